// How long it takes from a trade at the exchange until Grafana can query it, on real servers.

import { assertLess } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { percentile } from "../bench/report.ts";
import { startFeed, tell, until } from "../integration/feed.ts";
import { chainMissing, startChain } from "./chain.ts";
import { pointCount } from "./points.ts";
import { serverTest } from "../servers/test.ts";

const missing = chainMissing();

/** Points in the measurement. */
const POINTS = 1000;
/** The promised median; most of it is Telegraf's flush_interval of 1 s. The alert `delay` fires at 5 s. */
const MEDIAN_MS = 5000;

serverTest(missing, "InfluxDB returns a trade within seconds", async () => {
  await using chain = await startChain();
  const { kafka, influx } = chain;
  await using simulator = await Simulator.start({ seed: 9, ticksPerSecond: 5 });
  await using feed = startFeed({ url: simulator.url, broker: kafka.broker, channel: "ticker" });
  /** By product and time, ms. */
  const delays = new Map<string, number>();
  // Telegraf needs some seconds to join its consumer group
  await until("there are points", async () => await pointCount(influx, simulator.products) > 0, 60_000);
  const since = new Date().toISOString();
  await until("enough points have arrived", async () => {
    const rows = await influx.query(`
        from(bucket: "${influx.bucket}")
          |> range(start: ${since}, stop: 1h)
          |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
          |> group()
          |> keep(columns: ["_time", "product"])`);
    const now = Date.now();
    for (const { product, _time } of rows) {
      const key = `${product} ${_time}`;
      if (!delays.has(key)) delays.set(key, now - Date.parse(String(_time)));
    }
    return delays.size >= POINTS;
  }, 180_000);
  await feed.stop();
  const at = (part: number) => Math.round(percentile([...delays.values()], part));
  const median = at(0.5);
  tell(`${delays.size} points: median ${median} ms, 99 % within ${at(0.99)} ms, the longest ${at(1)} ms`);
  assertLess(median, MEDIAN_MS);
});
