// The queries of the dashboard *Pipeline* on the real InfluxDB where two producers share the products: what can be added up is
// added up, once; of delays the worse is shown; of a product that both follow the better.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { PIPELINE } from "../../src/stack/dashboards/pipeline.ts";
import { PIPELINE_PANELS as PANELS } from "../../src/stack/dashboards/ids.ts";
import { DELAY_BUCKETS } from "../../src/core/stats.ts";
import type { FluxRow } from "../servers/flux_csv.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { interpolate, withOptions } from "./grafana.ts";
import { gapLine } from "./market.ts";
import { metricLine, PRODUCER, tickLine } from "./producer.ts";

interface Panel {
  readonly id: number;
  readonly maxDataPoints?: number;
  readonly interval?: string;
  readonly targets: { readonly query: string }[];
}

const START = Date.UTC(2026, 2, 2) / 1000;
const SPAN = 600;
const END = START + SPAN;
/** From then on the second producer follows what was refused to the first. */
const MOVED = 300;
/** As states.flux numbers them. */
const [LIVE, QUIET, REFUSED] = [0, 1, 4];

/** What one of them tells: rises at each look of 10 s, counters that rise once at a second of the range, states at a second. */
interface Told {
  readonly received: number;
  readonly delaySeconds: number;
  /** Of all its acknowledgements: one of the histogram's bounds. */
  readonly bound: number;
  readonly queue: number;
  readonly reconnects: readonly number[];
  readonly rejected: readonly number[];
  readonly dropped: number;
  readonly lost: number;
  readonly states: (second: number) => Readonly<Record<string, string>>;
  /** Seconds since the last tick of each product. */
  readonly age: number;
}

const PRODUCERS: Readonly<Record<string, Told>> = {
  [PRODUCER]: {
    received: 50,
    delaySeconds: 0.05,
    bound: 3,
    queue: 3,
    reconnects: [180],
    rejected: [120],
    dropped: 3,
    lost: 0,
    states: (second) => ({
      "ONE-USD": "live",
      "BOTH-USD": "stalled",
      ...second < MOVED && { "MOVED-USD": "refused" },
    }),
    age: 100,
  },
  "http://second:8000/metrics": {
    received: 20,
    delaySeconds: 0.3,
    bound: 9,
    queue: 4,
    reconnects: [180, 185, 420],
    rejected: [120, 125],
    dropped: 4,
    lost: 1,
    states: (second) => ({
      "TWO-USD": "quiet",
      "BOTH-USD": "live",
      ...second >= MOVED && { "MOVED-USD": "live" },
    }),
    age: 2,
  },
};

function* linesOf(url: string, told: Told): Generator<string> {
  for (let second = 3; second < SPAN; second += 10) {
    const at = START + second;
    const metric = (field: string, value: number, tags: Record<string, string> = {}) =>
      metricLine({ at, field, value, tags: { url, ...tags } });
    const looks = (second - 3) / 10;
    const so = (seconds: readonly number[]) => seconds.filter((each) => each <= second).length;
    yield metric("feed_ticks_received_total", told.received * looks);
    yield metric("feed_ticks_sent_total", told.received * looks, { sink: "kafka" });
    yield metric("feed_exchange_delay_seconds", told.delaySeconds);
    yield metric("feed_queue_depth", told.queue, { sink: "kafka" });
    yield metric("feed_reconnects_total", so(told.reconnects));
    yield metric("feed_ticks_rejected_total", so(told.rejected), { reason: "bad-json" });
    yield metric("feed_ticks_dropped_total", second < 200 ? 0 : told.dropped, { sink: "kafka" });
    yield metric("feed_ticks_lost_total", second < 200 ? 0 : told.lost, { sink: "kafka" });
    for (const [i, le] of [...DELAY_BUCKETS.map(String), "+Inf"].entries()) {
      const value = i >= told.bound ? told.received * looks : 0;
      yield metric("feed_tick_delay_seconds_bucket", value, { stage: "kafka", le });
    }
    for (const [product, state] of Object.entries(told.states(second))) {
      yield metric("feed_product_state", 1, { product, state });
      yield metric("feed_tick_age_seconds", told.age, { product });
      yield metric("feed_tick_time_seconds", at - told.age, { product });
    }
  }
}

const missing = influxMissing();

Deno.test({
  name: `two producers on one dashboard, on a real InfluxDB${missing ? ` [skipped: ${missing}]` : ""}`,
  ignore: missing !== undefined,
  async fn(t) {
    await using influx = await InfluxServer.start();
    const lines = Object.entries(PRODUCERS).flatMap(([url, told]) => [...linesOf(url, told)]);
    // every reported tick is stored
    for (const product of ["ONE-USD", "TWO-USD", "BOTH-USD", "MOVED-USD"]) lines.push(tickLine(END - 1, product));
    lines.push(gapLine({
      product: "ONE-USD",
      opened: START + 90,
      from: START + 60,
      to: START + 120,
      reason: "link-closed",
      dropped: 0,
      missed: true,
    }));
    await influx.write(lines.join("\n"));

    const panels = PIPELINE.panels as unknown as Panel[];
    const ask = async (id: number): Promise<FluxRow[]> => {
      const panel = panels.find((panel) => panel.id === id);
      assert(panel?.targets[0] !== undefined);
      const { maxDataPoints, interval, targets: [{ query }] } = panel;
      const view = { from: START * 1000, to: END * 1000, maxDataPoints, interval };
      return await influx.query(withOptions(interpolate(query, view, influx.bucket), END * 1000));
    };
    /** Second of the range -> value. */
    const seriesOf = (rows: readonly FluxRow[], name: string, column = "_field") => {
      // null: no report in that window
      const own = rows.filter((row) => row[column] === name && row._value !== null);
      const found = own.map((row): [number, number] => [
        Date.parse(String(row._time)) / 1000 - START,
        Number(row._value),
      ]);
      assertEquals(new Set(found.map(([second]) => second)).size, found.length, `${name}: one row a moment`);
      return new Map(found);
    };
    const all = (series: Map<number, number>) => [...new Set(series.values())];

    await t.step("rates are those of both", async () => {
      const rows = await ask(PANELS.rates);
      for (const name of ["received", "acknowledged"]) {
        const series = seriesOf(rows, name);
        assert(series.size > 50);
        assertEquals(all(series), [7], name);
      }
    });

    await t.step("delays are those of the slower one", async () => {
      const rows = await ask(PANELS.delays);
      assertEquals(all(seriesOf(rows, "exchange")), [0.3]);
      const [low = NaN, high = NaN] = DELAY_BUCKETS.slice(8, 10);
      for (const [name, share] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]] as const) {
        const series = seriesOf(rows, name);
        assert(series.size > 15);
        for (const value of series.values()) assertAlmostEquals(value, low + (high - low) * share, 1e-9, name);
      }
    });

    await t.step("products of both are shown, each once; of what moved, or is followed twice, the better", async () => {
      const rows = await ask(PANELS.states);
      assertEquals([...new Set(rows.map((row) => row.product))], ["BOTH-USD", "MOVED-USD", "ONE-USD", "TWO-USD"]);
      const of = (product: string) => seriesOf(rows, product, "product");
      assertEquals([all(of("ONE-USD")), all(of("TWO-USD")), all(of("BOTH-USD"))], [[LIVE], [QUIET], [LIVE]]);
      for (const [second, state] of of("MOVED-USD")) assertEquals(state, second < MOVED ? REFUSED : LIVE, `${second}`);
    });

    await t.step("the table has a row for each product", async () => {
      const rows = await ask(PANELS.products);
      assertEquals(
        rows.map(({ product, state, age, unstored, gaps }) => [product, state, age, unstored, gaps]),
        [
          ["BOTH-USD", LIVE, 9, 0, 0],
          ["MOVED-USD", LIVE, 9, 0, 0],
          ["ONE-USD", LIVE, 107, 0, 1],
          ["TWO-USD", QUIET, 9, 0, 0],
        ],
      );
    });

    await t.step("the summary adds up what both count, and counts a product that both follow once", async () => {
      const [row, ...more] = await ask(PANELS.summary);
      assertEquals(more, []);
      assertEquals([row?.reconnects, row?.rejected, row?.dropped, row?.gaps, row?.waiting], [4, 3, 8, 1, 0]);
      assertAlmostEquals(Number(row?.coverage), 1 - 0.1 / 4, 1e-12);
    });

    await t.step("what waits is added up, and so are reconnects and what was rejected", async () => {
      assertEquals(all(seriesOf(await ask(PANELS.waiting), "producer, for kafka", "queue")), [7]);
      const reconnects = (await ask(PANELS.reconnects)).map((row) => [
        Date.parse(String(row._time)) / 1000 - START,
        Number(row._value),
      ]);
      assertEquals(reconnects.filter(([, count]) => count !== 0), [[180, 3], [420, 1]]);
      assertEquals([...seriesOf(await ask(PANELS.rejected), "frame: bad-json", "reason")], [[120, 3]]);
    });
  },
});
