// How far Telegraf has got, by its own log: asking InfluxDB again and again would be work that is measured too.

import type { TelegrafServer } from "../servers/telegraf.ts";

/** Records (and gaps) of which InfluxDB has confirmed the points; some perhaps twice. */
export async function writtenBy(telegraf: TelegrafServer): Promise<number> {
  const lines = (await telegraf.log()).matchAll(/\[outputs\.influxdb_v2(?:::records)?\] Wrote batch of (\d+) metrics/g);
  return lines.reduce((sum, [, number]) => sum + Number(number), 0);
}
