// Every query of the dashboard *Pipeline* on the real InfluxDB, asked as Grafana asks, compared with what plain code makes of the
// same hour of a made-up feed.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import pipelineJson from "../../grafana-provisioning/dashboards/json/pipeline.json" with { type: "text" };
import { PIPELINE_PANELS as PANELS } from "../../src/stack/dashboards/ids.ts";
import { DELAY_BUCKETS } from "../../src/core/stats.ts";
import { Random } from "../fakes/random.ts";
import type { FluxRow, FluxValue } from "../servers/flux_csv.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { interpolate, type View, windowPeriodMs, withOptions } from "./grafana.ts";
import { gapLine, type StoredGap } from "./market.ts";
import { metricLine, readLine, rejectedLine, type Sample, telegrafLine, tickLine } from "./producer.ts";

interface Panel {
  readonly id: number;
  readonly maxDataPoints?: number;
  readonly interval?: string;
  readonly targets: { readonly query: string }[];
}

const dashboard: {
  readonly panels: Panel[];
  readonly annotations: { readonly list: { readonly target: { readonly query: string } }[] };
} = JSON.parse(pipelineJson);
const ALL_QUERIES = new Set([
  ...dashboard.panels.flatMap(({ targets }) => targets.map(({ query }) => query)),
  ...dashboard.annotations.list.map(({ target }) => target.query),
]);

// a Monday; seconds since the epoch
const START = Date.UTC(2026, 2, 2) / 1000;
const HOUR = 3600;
const END = START + 2 * HOUR;
/** The worse, the later. */
const STATES = ["live", "quiet", "waiting", "stalled", "refused"];
const PRODUCTS = ["BTC-USD", "ETH-USD", "NEW-USD", "XRP-USD", "NO-USD"];
/** Of those that tick, the first moment. */
const FIRST: Readonly<Record<string, number>> = { "BTC-USD": START, "ETH-USD": START + 600, "NEW-USD": START + 5500 };
/** The producer is started again: its counters begin anew. */
const RESTART = START + 4000;
/** The producer is down, and reports nothing. */
const DEAD = [START + 4600, START + 4810] as const;
const isDead = (at: number) => at >= DEAD[0] && at < DEAD[1];
/** The link is down, and no heartbeat comes. */
const DOWN = [START + 5000, START + 5120] as const;

const random = new Random(11);
const metrics: Sample[] = [];
const telegraf: Sample[] = [];
const reads: { at: number; product: string; behind: number; telegraf: string | undefined }[] = [];
const ticks: { at: number; product: string }[] = [];
const records: { at: number; reason: string }[] = [];

function stateAt(product: string, at: number): string {
  if (product === "NO-USD") return "refused";
  if (product === "XRP-USD") return "quiet";
  if (at >= DOWN[0] && at < DOWN[1] || product === "NEW-USD" && at < START + 5500) return "waiting";
  return product === "ETH-USD" && at >= START + 6000 && at < START + 6200 ? "stalled" : "live";
}

for (const [product, from] of Object.entries(FIRST)) {
  for (let at = from; at < END; at += 0.2 + 4 * random.next()) {
    if (stateAt(product, at) === "live" && !isDead(at)) ticks.push({ at: Math.round(at * 1e6) / 1e6, product });
  }
}
// asked a little after each ten seconds
{
  const counts = { received: 0, sent: 0, reconnects: 0, json: 0, time: 0, dropped: 0, lost: 0 };
  let delays = new Array(DELAY_BUCKETS.length + 1).fill(0);
  for (let at = START + 3; at < END; at += 10) {
    if (at - RESTART >= 0 && at - RESTART < 10) {
      for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] = 0;
      delays = delays.map(() => 0);
    }
    counts.received += random.int(0, 60);
    counts.sent = Math.max(counts.sent, counts.received - random.int(0, 5));
    if (random.chance(0.02)) counts.reconnects++;
    if (random.chance(0.03)) counts.json += random.int(1, 4);
    if (random.chance(0.01)) counts.time++;
    if (random.chance(0.01)) counts.dropped += 7;
    if (random.chance(0.01)) counts.lost++;
    for (let i = random.int(0, 6); i > 0; i--) delays[random.int(0, 9)]++;
    const put = (field: string, value: number, tags?: Record<string, string>) => {
      if (!isDead(at)) metrics.push({ at, field, value, ...tags === undefined ? {} : { tags } });
    };
    put("feed_link_up", 1);
    put("feed_ticks_received_total", counts.received);
    put("feed_ticks_sent_total", counts.sent, { sink: "kafka" });
    put("feed_ticks_sent_total", 5 * counts.sent, { sink: "live" });
    put("feed_reconnects_total", counts.reconnects);
    put("feed_ticks_rejected_total", counts.json, { reason: "bad-json" });
    put("feed_ticks_rejected_total", counts.time, { reason: "bad-time" });
    put("feed_ticks_dropped_total", counts.dropped, { sink: "kafka" });
    put("feed_ticks_dropped_total", 3 * counts.dropped, { sink: "live" });
    put("feed_ticks_lost_total", counts.lost, { sink: "kafka" });
    put("feed_queue_depth", random.int(0, 50), { sink: "kafka" });
    put("feed_queue_depth", random.int(0, 9), { sink: "live" });
    if (at < DOWN[0] || at >= DOWN[1]) put("feed_exchange_delay_seconds", random.int(10, 300) / 1000);
    let cumulative = 0;
    for (const [i, count] of delays.entries()) {
      cumulative += count;
      const le = i < DELAY_BUCKETS.length ? String(DELAY_BUCKETS[i]) : "+Inf";
      put("feed_tick_delay_seconds_bucket", cumulative, { stage: "kafka", le });
      put("feed_tick_delay_seconds_bucket", 3 * cumulative, { stage: "arrival", le });
    }
    for (const product of PRODUCTS) {
      put("feed_product_state", 1, { product, state: stateAt(product, at) });
      const newest = ticks.findLast((tick) => tick.product === product && tick.at <= at);
      if (newest === undefined) continue;
      put("feed_tick_time_seconds", newest.at, { product });
      put("feed_tick_age_seconds", at - newest.at, { product });
    }
    telegraf.push({ at, field: "buffer_size", value: random.int(0, 40) });
    for (const product of ["BTC-USD", "ETH-USD"]) {
      const behind = random.chance(0.1) ? random.int(1, 20) : 0;
      reads.push({ at, product, behind, telegraf: undefined });
      // another one that does not read it any more
      reads.push({ at, product, behind: behind + 500, telegraf: "two" });
    }
    if (random.chance(0.02)) records.push({ at: at + 0.5, reason: random.chance(0.5) ? "no-json" : "bad-time" });
  }
}
/** These of the last 40 s are not stored. */
const LATE = END - 40;
const stored = ticks.filter(({ at, product }) => product !== "ETH-USD" || at < LATE);

const GAPS: readonly StoredGap[] = ([
  ["BTC-USD", 5000, 5120, "link-closed"],
  ["BTC-USD", 5100, 5200, "queue-full", 12],
  ["ETH-USD", 5000, 5120, "link-closed"],
  ["ETH-USD", 6000, 6200, "stalled"],
  // where there is no older tick nothing can be missing
  ["NO-USD", null, null, "refused"],
  ["NEW-USD", null, 5500, "restart"],
  // it is unknown where the last run ended
  ["BTC-USD", null, 3900, "restart"],
  ["XRP-USD", 3000, 3700, "restart"],
] as const).map(([product, from, to, reason, dropped = 0], i) => ({
  product,
  opened: START + (from ?? (to ?? 5500) - 30) + 15 + i / 2,
  from: from === null ? null : START + from,
  to: to === null ? null : START + to,
  reason,
  dropped,
  missed: true,
}));

/** Begin, seconds since the epoch. */
const beginOf = ({ from, to, opened }: StoredGap) => from ?? Math.min(opened, to ?? END);
const counted = GAPS.filter((gap) =>
  gap.from !== null || stored.some(({ at, product }) => product === gap.product && Math.floor(at) + 1 < beginOf(gap))
);

const view: View = { from: (END - HOUR) * 1000, to: END * 1000 };
/** It ends while the producer is dead. */
const viewOfDead: View = { from: (DEAD[0] - 900) * 1000, to: (DEAD[1] - 10) * 1000 };
const inView = <T extends { readonly at: number }>(list: readonly T[]) =>
  list.filter(({ at }) => at * 1000 >= view.from && at * 1000 < view.to);

/** How much a counter rose from sample to sample in the range; none at the first of a series. */
function rises(field: string, tags: Record<string, string> = {}): { at: number; rise: number; seconds: number }[] {
  const series = inView(metrics).filter((each) =>
    each.field === field && Object.entries(tags).every(([name, value]) => each.tags?.[name] === value)
  );
  return series.slice(1).map(({ at, value }, i) => {
    const before = series[i] as Sample;
    return { at, rise: value < before.value ? value : value - before.value, seconds: at - before.at };
  });
}

/** Starts of windows, ms, that lie in the range with at least one ms. */
function startsOf(length: number): number[] {
  const starts = [];
  for (let at = Math.floor(view.from / length) * length; at < view.to; at += length) {
    starts.push(Math.max(at, view.from));
  }
  return starts;
}
const windowOf = (at: number, length: number) => Math.max(Math.floor(at * 1000 / length) * length, view.from);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]) => sum(values) / values.length;

/** By window, of those that have some. */
function byWindow<T extends { readonly at: number }>(list: readonly T[], length: number, fold: (list: T[]) => number) {
  const groups = Map.groupBy(list, ({ at }) => windowOf(at, length));
  return new Map([...groups].map(([start, group]) => [start, fold(group)]));
}

function ms(time: FluxValue | undefined): number {
  const value = Date.parse(String(time));
  assert(Number.isFinite(value), `${time} is no time`);
  return value;
}

type Series = Map<number, number | null>;

/** A table of times and values. Any other column would become a second series, or a label in its name. */
function seriesOf(rows: readonly FluxRow[], name: string, column = "_field"): Series {
  const columns = new Set(rows.flatMap((row) => Object.keys(row)));
  assertEquals([...columns].toSorted(), ["_time", "_value", column, "result", "table"].toSorted());
  const own = rows.filter((row) => row[column] === name);
  assertEquals(new Set(own.map((row) => row.table)).size <= 1, true, `${name} is one table`);
  const times = own.map((row) => ms(row._time));
  assertEquals(times, times.toSorted((a, b) => a - b), `${name} is in order`);
  return new Map(own.map((row) => [ms(row._time), row._value === null ? null : Number(row._value)]));
}

function assertSeries(actual: Series, expected: Series, name: string): void {
  const keys = (series: Series) => [...series.keys()].toSorted((a, b) => a - b);
  assertEquals(keys(actual), keys(expected), `${name}: windows`);
  for (const [at, value] of expected) {
    const found = actual.get(at) ?? null;
    if (value === null || found === null) assertEquals(found, value, `${name} at ${at}`);
    else assertAlmostEquals(found, value, Math.abs(value) * 1e-9 + 1e-9, `${name} at ${at}`);
  }
}

/** Null for each window without a value: Grafana would draw a line through it. */
function withNulls(series: Map<number, number>, length: number): Series {
  const all = new Map(startsOf(length).map((start) => [start, series.get(start) ?? null]));
  assert([...series.keys()].every((start) => all.has(start)));
  return all;
}

/** As histogramQuantile: linear within the bucket, of two that it lies between the upper, and beyond the last bound that bound. */
function quantileOf(q: number, counts: readonly number[]): number | undefined {
  const total = sum(counts);
  if (total === 0) return undefined;
  const rank = q * total;
  let before = 0;
  for (const [i, count] of counts.entries()) {
    if (before + count > rank) {
      const [low, high] = [DELAY_BUCKETS[i - 1] ?? 0, DELAY_BUCKETS[i]];
      return high === undefined ? low : low + (high - low) * (rank - before) / count;
    }
    before += count;
  }
  return DELAY_BUCKETS.at(-1);
}

const missing = influxMissing();

Deno.test({
  name: `every query of Pipeline on a real InfluxDB, with an hour of known data${
    missing ? ` [skipped: ${missing}]` : ""
  }`,
  ignore: missing !== undefined,
  async fn(t) {
    await using influx = await InfluxServer.start();
    await influx.createBucket("empty");
    const token = await influx.createToken({ read: influx.bucket });
    await influx.write([
      ...metrics.map(metricLine),
      ...telegraf.flatMap((sample) => [
        telegrafLine(sample),
        telegrafLine({ ...sample, value: 9000, tags: { alias: "metrics" } }),
      ]),
      ...reads.map(({ at, product, behind, telegraf }) => readLine(at, product, behind, telegraf)),
      ...stored.map(({ at, product }) => tickLine(at, product)),
      ...records.map(({ at, reason }) => rejectedLine(at, reason)),
      ...GAPS.map(gapLine),
    ].join("\n"));
    const asked = new Set<string>();

    const askQuery = async (query: string, panel: Partial<Panel> = {}, range = view) => {
      asked.add(query);
      const { maxDataPoints, interval } = panel;
      const flux = withOptions(interpolate(query, { ...range, maxDataPoints, interval }, influx.bucket), range.to);
      return await influx.query(flux, token);
    };
    const ask = async (id: number, range = view) => {
      const panel = dashboard.panels.find((panel) => panel.id === id);
      const [target, ...more] = panel?.targets ?? [];
      assert(panel !== undefined && target !== undefined && more.length === 0);
      const { maxDataPoints, interval } = panel;
      return {
        rows: await askQuery(target.query, panel, range),
        length: windowPeriodMs({ ...range, maxDataPoints, interval }),
      };
    };

    await t.step("rates: received, acknowledged and stored, in windows of their own", async () => {
      const { rows, length } = await ask(PANELS.rates);
      assertEquals(length, 15_000);
      for (
        const [name, field, tags] of [
          ["received", "feed_ticks_received_total", {}],
          ["acknowledged", "feed_ticks_sent_total", { sink: "kafka" }],
        ] as const
      ) {
        // the rate is unknown across a restart
        const known = rises(field, tags).filter(({ at }) => at - RESTART < 0 || at - RESTART >= 10);
        const expected = byWindow(known, length, (list) => mean(list.map(({ rise, seconds }) => rise / seconds)));
        assertSeries(seriesOf(rows, name), withNulls(expected, length), name);
      }
      const expected = new Map(startsOf(length).map((start) => [start, 0]));
      for (const [start, rate] of byWindow(inView(stored), length, (list) => list.length / (length / 1000))) {
        expected.set(start, rate);
      }
      assertSeries(seriesOf(rows, "stored"), expected, "stored");
    });

    await t.step("delays: heartbeats, acknowledgements, and the way into InfluxDB", async () => {
      const { rows, length } = await ask(PANELS.delays);
      assertEquals(length, 30_000);
      const heartbeats = inView(metrics).filter(({ field }) => field === "feed_exchange_delay_seconds");
      assertSeries(
        seriesOf(rows, "exchange"),
        withNulls(byWindow(heartbeats, length, (list) => Math.max(...list.map(({ value }) => value))), length),
        "exchange",
      );
      // from the end of each window to the end of the next; the first has none before it
      const counts = new Map<number, number[]>();
      for (const [i, le] of [...DELAY_BUCKETS.map(String), "+Inf"].entries()) {
        const own = inView(metrics).filter(({ field, tags }) =>
          field === "feed_tick_delay_seconds_bucket" && tags?.stage === "kafka" && tags.le === le
        );
        const ends = [...byWindow(own, length, (list) => list.at(-1)?.value ?? NaN)];
        for (const [j, [start, value]] of ends.slice(1).entries()) {
          const before = ends[j]?.[1] ?? NaN;
          const cumulative = counts.get(start) ?? new Array(DELAY_BUCKETS.length + 1).fill(0);
          cumulative[i] += value < before ? value : value - before;
          counts.set(start, cumulative);
        }
      }
      for (const [name, q] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]] as const) {
        const expected = new Map<number, number>();
        for (const [start, cumulative] of counts) {
          const value = quantileOf(q, cumulative.map((count, i) => count - (cumulative[i - 1] ?? 0)));
          if (value !== undefined) expected.set(start, Math.max(0.001, value));
        }
        assert(expected.size > 50);
        assertSeries(seriesOf(rows, name), withNulls(expected, length), name);
      }
      // of two Telegrafs the one that reads is right
      const unread = byWindow(
        inView(reads).filter(({ telegraf }) => telegraf === undefined),
        length,
        (list) => Math.max(...list.map(({ behind }) => behind)),
      );
      const known = rises("feed_ticks_sent_total", { sink: "kafka" })
        .filter(({ at }) => at - RESTART < 0 || at - RESTART >= 10);
      const rates = byWindow(known, length, (list) => mean(list.map(({ rise, seconds }) => rise / seconds)));
      const waiting = byWindow(inView(telegraf), length, (list) => mean(list.map(({ value }) => value)));
      const expected = new Map([...waiting].map(([start, number]) => {
        const rate = rates.get(start) ?? 0;
        return [start, Math.max(0.001, (unread.get(start) ?? 0) + (rate > 0 ? number / rate : 0))];
      }));
      assertSeries(seriesOf(rows, "stored"), withNulls(expected, length), "stored");
    });

    await t.step("states: of each product the worst of each window", async () => {
      const { rows, length } = await ask(PANELS.states);
      for (const product of PRODUCTS) {
        const samples = inView(metrics).filter(({ field, tags }) =>
          field === "feed_product_state" && tags?.product === product
        );
        const expected = byWindow(
          samples,
          length,
          (list) => Math.max(...list.map(({ tags }) => STATES.indexOf(tags?.state ?? ""))),
        );
        assertSeries(seriesOf(rows, product, "product"), withNulls(expected, length), product);
      }
    });

    await t.step("a producer that is dead: nulls up to the end of the time range", async () => {
      for (
        const [id, column, names] of [
          [PANELS.rates, "_field", ["received", "acknowledged"]],
          [PANELS.delays, "_field", ["exchange", "p50", "p95", "p99"]],
          [PANELS.states, "product", PRODUCTS],
          [PANELS.waiting, "queue", ["producer, for kafka", "producer, for live"]],
        ] as const
      ) {
        const { rows, length } = await ask(id, viewOfDead);
        for (const name of names) {
          const series = [...seriesOf(rows, name, column)];
          const alive = series.filter(([start]) => start + length <= DEAD[0] * 1000);
          const dead = series.filter(([start]) => start >= DEAD[0] * 1000);
          assert(alive.filter(([, value]) => value !== null).length > 10, name);
          assertEquals(dead.filter(([, value]) => value !== null), [], name);
          // a null ends a line and a bar where it stands; those of the last half minute may still come
          assert((series.at(-1)?.[0] ?? 0) + length > viewOfDead.to - 30_000 - length, name);
          assert(dead.length >= 5, name);
        }
      }
      const { rows: products } = await ask(PANELS.products, viewOfDead);
      // -2: its producer does not answer
      const expected = PRODUCTS.toSorted().map((product) => [product, -2, -1, -1]);
      assertEquals(products.map(({ product, state, age, unstored }) => [product, state, age, unstored]), expected);
      const { rows: [summary] } = await ask(PANELS.summary, viewOfDead);
      assertEquals(summary?.waiting ?? null, null);
    });

    /** Seconds of the range that a product's gaps cover, tried one by one in steps of half a second. */
    const missingOf = (product: string) => {
      const spans = counted.filter((gap) => gap.product === product);
      let seconds = 0;
      for (let at = END - HOUR; at < END; at += 0.5) {
        if (spans.some((gap) => at >= beginOf(gap) && at < (gap.to ?? END))) seconds += 0.5;
      }
      return seconds;
    };
    const gapsOf = (product: string) =>
      counted.filter((gap) => gap.product === product && (gap.to === null || gap.to >= END - HOUR)).length;
    /** From the first sample that reported a tick of the product which is not stored. */
    const unstoredOf = (product: string) => {
      const last = Math.floor(stored.findLast((tick) => tick.product === product)?.at ?? NaN);
      const look = metrics.find(({ at, field, value, tags }) =>
        field === "feed_tick_time_seconds" && tags?.product === product && at >= END - 600 && Math.floor(value) > last
      );
      return look === undefined ? 0 : END - look.at;
    };

    await t.step("products: state, age, what is not stored, gaps and coverage", async () => {
      const { rows } = await ask(PANELS.products);
      assert(rows.every((row) => row.table === 0));
      assertEquals(rows.map((row) => row.product), PRODUCTS.toSorted());
      assert(unstoredOf("ETH-USD") >= 30 && unstoredOf("BTC-USD") < 10);
      for (const row of rows) {
        const product = String(row.product);
        const newest = ticks.findLast((tick) => tick.product === product && tick.at <= END - 7)?.at;
        assertEquals(row.state, STATES.indexOf(stateAt(product, END - 7)), product);
        assertAlmostEquals(Number(row.age), newest === undefined ? -1 : END - newest, 1e-6, product);
        assertAlmostEquals(Number(row.unstored), newest === undefined ? -1 : unstoredOf(product), 1e-6, product);
        assertEquals([row.gaps, row.missing], [gapsOf(product), missingOf(product)], product);
        assertAlmostEquals(Number(row.coverage), 1 - missingOf(product) / HOUR, 1e-12);
      }
    });

    await t.step("summary: coverage, and what was counted in the range", async () => {
      const { rows } = await ask(PANELS.summary);
      assertEquals(rows.length, 1);
      const [row] = rows;
      const total = (field: string, tags: Record<string, string> = {}) =>
        sum(rises(field, tags).map(({ rise }) => rise));
      assertAlmostEquals(
        Number(row?.coverage),
        mean(PRODUCTS.map((product) => 1 - missingOf(product) / HOUR)),
        1e-12,
      );
      assertEquals(row?.gaps, sum(PRODUCTS.map(gapsOf)));
      assertEquals(row?.reconnects, total("feed_reconnects_total"));
      const frames = sum(["bad-json", "bad-time"].map((reason) => total("feed_ticks_rejected_total", { reason })));
      assertEquals(row?.rejected, frames + inView(records).length);
      const given = ["dropped", "lost"].map((what) => total(`feed_ticks_${what}_total`, { sink: "kafka" }));
      assertEquals(row?.dropped, sum(given));
      assertAlmostEquals(Number(row?.waiting), unstoredOf("ETH-USD"), 1e-6);
      assert([row?.reconnects, frames, sum(given)].every((value) => Number(value) > 0));
    });

    await t.step("what waits: each queue and Telegraf's buffer, the most of each window", async () => {
      const { rows, length } = await ask(PANELS.waiting);
      const most = (list: Sample[]) => Math.max(...list.map(({ value }) => value));
      for (const sink of ["kafka", "live"]) {
        const depth = inView(metrics).filter(({ field, tags }) => field === "feed_queue_depth" && tags?.sink === sink);
        const expected = withNulls(byWindow(depth, length, most), length);
        assertSeries(seriesOf(rows, `producer, for ${sink}`, "queue"), expected, sink);
      }
      const buffer = withNulls(byWindow(inView(telegraf), length, most), length);
      assertSeries(seriesOf(rows, "Telegraf, for InfluxDB", "queue"), buffer, "Telegraf");
    });

    await t.step("rejected: frames and records, by reason", async () => {
      const { rows, length } = await ask(PANELS.rejected);
      for (const reason of ["bad-json", "bad-time"]) {
        const some = rises("feed_ticks_rejected_total", { reason }).filter(({ rise }) => rise > 0);
        const expected = byWindow(some, length, (list) => sum(list.map(({ rise }) => rise)));
        assertSeries(seriesOf(rows, `frame: ${reason}`, "reason"), expected, reason);
      }
      for (const reason of ["no-json", "bad-time"]) {
        const own = inView(records).filter((record) => record.reason === reason);
        assert(own.length > 0);
        assertSeries(seriesOf(rows, `record: ${reason}`, "reason"), byWindow(own, length, (l) => l.length), reason);
      }
      assertEquals(new Set(rows.map((row) => row.reason)).size, 4);
    });

    await t.step("reconnects: those of each window, after a restart too", async () => {
      const { rows, length } = await ask(PANELS.reconnects);
      const expected = byWindow(
        rises("feed_reconnects_total"),
        length,
        (list) => sum(list.map(({ rise }) => rise)),
      );
      const found = new Map(rows.map((row) => [ms(row._time), Number(row._value)]));
      assertEquals([...found.keys()], startsOf(length));
      assertEquals(Object.keys(rows[0] ?? {}).toSorted(), ["_time", "_value", "result", "table"]);
      for (const [start, value] of found) assertEquals(value, expected.get(start) ?? 0);
    });

    await t.step("gaps: those that touch the range, the newest first", async () => {
      const { rows } = await ask(PANELS.gaps);
      const expected = counted.filter((gap) => gap.to === null || gap.to >= END - HOUR).map((gap) => ({
        begin: beginOf(gap) * 1000,
        end: (gap.to ?? END) * 1000,
        product: gap.product,
        reason: gap.reason,
        dropped: gap.dropped,
        state: gap.to === null ? "still open" : gap.from === null ? "start unknown" : "",
      }));
      assertEquals(GAPS.length - counted.length, 2);
      const shown = rows.map(({ begin, end, product, reason, dropped, state }) => ({
        begin: ms(begin),
        end: ms(end),
        product: String(product),
        reason: String(reason),
        dropped: Number(dropped),
        state: String(state ?? ""),
      }));
      assertEquals(
        shown,
        expected.toSorted((a, b) => b.begin - a.begin || (a.product < b.product ? 1 : -1)),
      );
      assert(rows.every(({ begin, end, seconds }) => seconds === (ms(end) - ms(begin)) / 1000));
    });

    await t.step("gaps on the chart: those that overlap are one region", async () => {
      const marks = await askQuery(dashboard.annotations.list[0]?.target.query ?? "");
      const regions: { time: number; timeEnd: number; names: string[] }[] = [];
      const inRange = counted.filter((gap) => gap.to === null || gap.to >= END - HOUR);
      for (const gap of inRange.toSorted((a, b) => beginOf(a) - beginOf(b) || (a.product < b.product ? -1 : 1))) {
        const [time, timeEnd, name] = [beginOf(gap) * 1000, (gap.to ?? END) * 1000, `${gap.product}: ${gap.reason}`];
        const last = regions.at(-1);
        if (last === undefined || time > last.timeEnd) regions.push({ time, timeEnd, names: [name] });
        else {
          last.timeEnd = Math.max(last.timeEnd, timeEnd);
          last.names.push(name);
        }
      }
      // two gaps of BTC-USD and one of ETH-USD share a region
      assert(regions.some(({ names }) => names.length === 3));
      assertEquals(
        marks.map(({ time, timeEnd, text, tags }) => ({ time: ms(time), timeEnd: ms(timeEnd), text, tags })),
        regions.map(({ names, ...rest }) => ({ ...rest, text: `No data for ${names.join(", ")}`, tags: "gap" })),
      );
      // with a group key Grafana would lose the end
      assert(marks.every((row) => row.table === 0));
      assertEquals(
        Object.keys(marks[0] ?? {}).toSorted(),
        ["result", "table", "tags", "text", "time", "timeEnd"].toSorted(),
      );
    });

    await t.step("in an empty bucket there is no error", async () => {
      for (const query of ALL_QUERIES) {
        const rows = await influx.query(withOptions(interpolate(query, view, "empty"), view.to));
        // counts of nothing are 0, or nothing
        assert(rows.length <= 1, `${rows.length} rows of ${query}`);
      }
    });

    await t.step("no query was forgotten", () => {
      assertEquals(asked, ALL_QUERIES);
    });
  },
});
