// The tutorial that this stack is based on: its unchanged queries and Telegraf input, used with our topic and our points, give
// the same numbers as the ticks.

import { assert, assertAlmostEquals, assertEquals, assertGreater } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { assertAllDeclared, countByTime, type Point } from "../count.ts";
import { startFeed, tell, until } from "../integration/feed.ts";
import type { InfluxServer } from "../servers/influxdb.ts";
import { TelegrafServer } from "../servers/telegraf.ts";
import { serverTest } from "../servers/test.ts";
import { chainMissing, settle, startChain, telegrafEnv, tutorialConfig } from "./chain.ts";
import { readGaps, readPoints } from "./points.ts";

const missing = chainMissing();

/** Panel "timeline chart". */
const TIMELINE = `
from(bucket: "coinbase-bucket")
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r["_measurement"] == "kafka_consumer")
  |> filter(fn: (r) => r["_field"] == "price")
  |> filter(fn: (r) => r["product"] == "\${product}")
  |> aggregateWindow(every: \${Interval}, fn: mean, createEmpty: false)
  |> yield(name: "mean")
`;

/** One of the four pipelines of panel "candlestick chart". */
const pipeline = (name: string, fn: string) => `
${name} = from(bucket: "coinbase-bucket")
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r["_measurement"] == "kafka_consumer")
  |> filter(fn: (r) => r["_field"] == "price")
  |> filter(fn: (r) => r["product"] == "\${product}")
  |> aggregateWindow(every: \${Interval}, fn: ${fn}, createEmpty: false)
  |> set(key: "newValue", value: "${name}")
`;

/** Panel "candlestick chart". */
const CANDLESTICK = `
${pipeline("close", "last")}${pipeline("open", "first")}${pipeline("low", "min")}${pipeline("high", "max")}
union(tables: [close, open, low, high])
  |> pivot(rowKey: ["_time"], columnKey: ["newValue"], valueColumn: "_value")
`;

interface Variables {
  readonly bucket: string;
  readonly product: string;
  readonly interval: number;
  readonly start: number;
  readonly stop: number;
}

/** Fills in the variables as Grafana does. All times in unix seconds. */
async function runQuery(influx: InfluxServer, flux: string, { bucket, product, interval, start, stop }: Variables) {
  const text = flux.replaceAll('"coinbase-bucket"', JSON.stringify(bucket)).replaceAll("${product}", product)
    .replaceAll("${Interval}", `${interval}s`)
    .replaceAll("v.timeRangeStart", new Date(start * 1000).toISOString())
    .replaceAll("v.timeRangeStop", new Date(stop * 1000).toISOString());
  const rows = await influx.query(text);
  return rows.sort((a, b) => String(a._time) < String(b._time) ? -1 : 1)
    .map((row) => ({ ...row, seconds: Date.parse(String(row._time)) / 1000 }));
}

/** The same computed from the ticks. A window has the time of its end, which is Flux's default. */
function windows(points: readonly Point[], { product, interval }: Variables) {
  const ticks = points.filter((point) => point.product === product).sort((a, b) => a.timeUs - b.timeUs);
  const groups = Map.groupBy(ticks, ({ timeUs }) => Math.floor(timeUs / 1e6 / interval) * interval + interval);
  return [...groups].map(([seconds, list]) => {
    const prices = list.map(({ price }) => price);
    return {
      seconds,
      mean: prices.reduce((sum, price) => sum + price, 0) / prices.length,
      candle: {
        open: prices.at(0),
        high: Math.max(...prices),
        low: Math.min(...prices),
        close: prices.at(-1),
      },
    };
  });
}

serverTest(missing, "the tutorial's queries and Telegraf input give the same numbers as the ticks", async () => {
  await using chain = await startChain();
  const { kafka, influx } = chain;
  await influx.createBucket("tutorial");
  const config = await Deno.makeTempFile({ suffix: ".conf" });
  try {
    await Deno.writeTextFile(config, tutorialConfig("${INFLUX_TOKEN}"));
    const env = { ...telegrafEnv(kafka, influx), INFLUX_BUCKET: "tutorial", INFLUX_TOKEN: influx.adminToken };
    await using _tutorial = await TelegrafServer.start({ config, env });
    await using simulator = await Simulator.start({ seed: 14, ticksPerSecond: 20 });
    await using feed = startFeed({ url: simulator.url, broker: kafka.broker, channel: "ticker" });
    await until("1000 ticks are confirmed", () => feed.kafka.sent >= 1000);
    await feed.stop();
    await settle(chain);

    // the points have the prices that were sent
    const points = await readPoints(influx, simulator.products);
    const gaps = await readGaps(influx);
    assertAllDeclared(countByTime({ sent: simulator.sent(), points, gaps }));
    assertEquals(points.length, feed.stats.received);
    const tutorialPoints = async () =>
      (await influx.query(`from(bucket: "tutorial") |> range(start: -1h) |> filter(fn: (r) => r._field == "price")`))
        .filter(({ product }) => simulator.products.includes(String(product)));
    await until("the tutorial's Telegraf has stored them too", async () => {
      return (await tutorialPoints()).length === points.length;
    });

    const times = points.map(({ timeUs }) => timeUs / 1e6);
    const start = Math.floor(Math.min(...times) / 5) * 5;
    const stop = Math.ceil(Math.max(...times) / 5) * 5 + 5;
    let compared = 0;
    for (const bucket of [influx.bucket, "tutorial"]) {
      for (const product of ["BTC-USD", "ADA-USD"]) {
        for (const interval of [1, 5]) {
          const variables = { bucket, product, interval, start, stop };
          const expected = windows(points, variables);
          assertGreater(expected.length, 1);
          const timeline = await runQuery(influx, TIMELINE, variables);
          const candles = await runQuery(influx, CANDLESTICK, variables);
          assertEquals(timeline.map(({ seconds }) => seconds), expected.map(({ seconds }) => seconds));
          assertEquals(candles.map(({ seconds }) => seconds), expected.map(({ seconds }) => seconds));
          expected.forEach(({ mean, candle }, i) => {
            const [row, bars] = [timeline[i] as Record<string, unknown>, candles[i] as Record<string, unknown>];
            assertAlmostEquals(Number(row._value), mean, mean * 1e-12);
            assertEquals({ open: bars.open, high: bars.high, low: bars.low, close: bars.close }, candle);
            compared++;
          });
        }
      }
    }
    assert(compared > 20);
    tell(`${compared} means and candles of ${points.length} ticks are equal`);
  } finally {
    await Deno.remove(config);
  }
});
