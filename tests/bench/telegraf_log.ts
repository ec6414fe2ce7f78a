// Telegraf's progress according to its log. Queries to InfluxDB would be work that is measured as well.

import type { TelegrafServer } from "../servers/telegraf.ts";

/** How many points of records and gaps InfluxDB has confirmed; some may be counted twice. */
export async function writtenBy(telegraf: TelegrafServer): Promise<number> {
  const lines = (await telegraf.log()).matchAll(/\[outputs\.influxdb_v2(?:::records)?\] Wrote batch of (\d+) metrics/g);
  return lines.reduce((sum, [, number]) => sum + Number(number), 0);
}
