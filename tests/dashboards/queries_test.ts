// Every query of the dashboard *Prices* and of its alert on the real InfluxDB, asked as Grafana asks (with a token that may only read),
// compared with what src/core/candle.ts and plain code make of the same ticks.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import pricesJson from "../../grafana-provisioning/dashboards/json/prices.json" with { type: "text" };
import { type Candle, type Interval, intervalMs, openTimeOf } from "../../src/core/candle.ts";
import type { Tick } from "../../src/core/record.ts";
import { PANELS } from "../../src/stack/dashboards/ids.ts";
import { CHOICES } from "../../src/stack/dashboards/prices.ts";
import { QUERIES } from "../../src/stack/dashboards/queries.ts";
import { PriceDigits } from "../../src/web/page/format.ts";
import { Random } from "../fakes/random.ts";
import type { FluxRow, FluxValue } from "../servers/flux_csv.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { interpolate, readsOf, type View, windowPeriodMs, withOptions } from "./grafana.ts";
import { gapLine, priceLines, stored, type StoredGap, walk } from "./market.ts";
import { foldCandles } from "../fakes/candles.ts";

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly maxDataPoints?: number;
  readonly interval?: string;
  readonly targets: { readonly refId: string; readonly query: string }[];
}

/** The queries that Grafana has, taken out of what it is given. */
const dashboard: {
  readonly panels: Panel[];
  readonly annotations: { readonly list: { readonly target: { readonly query: string } }[] };
  readonly templating: { readonly list: { readonly type: string; readonly query: unknown }[] };
} = JSON.parse(pricesJson);

function targetOf(id: number, refId = "A"): { query: string } & Pick<View, "maxDataPoints" | "interval"> {
  const panel = dashboard.panels.find((panel) => panel.id === id);
  const query = panel?.targets.find((target) => target.refId === refId)?.query;
  assert(query !== undefined);
  return { query, maxDataPoints: panel?.maxDataPoints, interval: panel?.interval };
}

const variableQuery = (dashboard.templating.list[0]?.query as { query: string }).query;
const annotationQuery = dashboard.annotations.list[0]?.target.query ?? "";

/** All that must have been asked when the tests are through. */
const ALL_QUERIES = new Set([
  ...dashboard.panels.flatMap((panel) => panel.targets.map((target) => target.query)),
  ...dashboard.annotations.list.map((annotation) => annotation.target.query),
  ...dashboard.templating.list.filter(({ type }) => type === "query").map(({ query }) =>
    (query as { query: string }).query
  ),
]);

// a Monday; seconds since the epoch
const START = Date.UTC(2026, 2, 2) / 1000;
const HOUR = 3600;
const DAY = 24 * HOUR;
const END = START + 4 * DAY;
/** The moment at which everything is asked, ms: shortly after the last tick. */
const NOW = END * 1000 + 2500;

const random = new Random(5);
const ticks = [
  walk(random, {
    product: "BTC-USD",
    price: 37_000,
    precision: "seconds",
    from: START,
    to: END,
    every: 30,
    // an hour with both ends inside of windows, and three minutes shortly before the end
    holes: [[END - 20 * HOUR - 777, END - 19 * HOUR - 777], [END - 600, END - 420]],
  }),
  // some in the same second, where only the last is kept
  walk(random, { product: "BTC-USD", price: 37_500, precision: "seconds", from: END, to: END + 2, every: 0.3 }),
  walk(random, {
    product: "ETH-USD",
    price: 2000,
    precision: "microseconds",
    from: END - 2 * HOUR,
    to: END,
    every: 0.7,
    holes: [[END - 150, END - 120]],
  }),
  walk(random, { product: "SHIB-USD", price: 0.00000827, precision: "seconds", from: END - DAY, to: END, every: 60 }),
  walk(random, {
    product: "kraken:BTC/USD, perp",
    price: 37_100,
    precision: "seconds",
    from: END - DAY,
    to: END,
    every: 60,
  }),
  walk(random, { product: "WHOLE-USD", price: 1_234_567, precision: "seconds", from: END - DAY, to: END, every: 60 })
    // prices without decimals
    .map((tick) => ({ ...tick, price: Math.round(tick.price) })),
  walk(random, { product: "TINY-USD", price: 713, precision: "seconds", from: END - DAY, to: END, every: 60 })
    .map((tick) => ({ ...tick, price: Number(`${Math.round(tick.price)}e-11`) })),
  // a price may be below zero, as that of oil once was
  walk(random, {
    product: "UNDER-USD",
    price: 12_345_678_901,
    precision: "seconds",
    from: END - DAY,
    to: END,
    every: 60,
  })
    .map((tick) => ({ ...tick, price: -tick.price })),
  walk(random, { product: "OLD-USD", price: 5, precision: "seconds", from: START, to: START + DAY, every: 60 }),
];

/** As InfluxDB has them, by product. */
const kept = new Map<string, Tick[]>();
for (const [product, group] of Object.entries(Object.groupBy(ticks.flat(), (tick) => tick.product))) {
  kept.set(product, stored(group ?? []));
}

function ticksIn(product: string, from: number, to: number): Tick[] {
  return (kept.get(product) ?? []).filter(({ recordTimeUs: us }) => us >= from * 1000 && us < to * 1000);
}

/** Windows of a range as Flux makes them: whole multiples of their length, cut at both ends. */
function* windowsOf({ from, to }: View, length: number): Generator<{ start: number; stop: number }> {
  for (let start = Math.floor(from / length) * length; start < to; start += length) {
    yield { start: Math.max(start, from), stop: Math.min(start + length, to) };
  }
}

/** Candles that the range touches, whole ones, and the windows between them that are empty. */
function expectedCandles({ from, to }: View, product: string, interval: Interval) {
  const candles = new Map(foldCandles(kept.get(product) ?? [], interval).map((candle) => [candle.openTime, candle]));
  const expected = [];
  for (let openTime = openTimeOf(from, interval); openTime < to; openTime += intervalMs(interval)) {
    expected.push(candles.get(openTime) ?? { openTime, open: null, high: null, low: null, close: null, ticks: 0 });
  }
  return expected.map(({ openTime, open, high, low, close, ticks }) => ({ openTime, open, high, low, close, ticks }));
}

/** The same of windows of any length. */
function foldedBy(length: number, view: { from: number; to: number }, product: string) {
  const windows = [...windowsOf({ from: Math.floor(view.from / length) * length, to: view.to }, length)];
  return windows.map(({ start: openTime }) => {
    const prices = ticksIn(product, openTime, openTime + length).map(({ price }) => price);
    const [open = null, close = null] = [prices[0], prices.at(-1)];
    const [high, low] = open === null ? [null, null] : [Math.max(...prices), Math.min(...prices)];
    return { openTime, open, high, low, close, ticks: prices.length };
  });
}

/** How many decimals the page would show for the prices of a product in the range. */
function decimalsIn(product: string, { from, to }: { from: number; to: number }): number {
  const digits = new PriceDigits();
  for (const { price } of ticksIn(product, from, to)) digits.see(price);
  return digits.digits;
}

type Prices = Record<keyof Omit<Candle, "interval" | "volume">, FluxValue>;

function candlesOf(rows: readonly FluxRow[]): Prices[] {
  return rows.map(({ _time, open = null, high = null, low = null, close = null, ticks = null }) => ({
    openTime: ms(_time),
    open,
    high,
    low,
    close,
    ticks,
  }));
}

function ms(time: FluxValue | undefined): number {
  const value = Date.parse(String(time));
  assert(Number.isFinite(value), `${time} is no time`);
  return value;
}

/** Only the columns that Grafana would show. */
function columnsOf(row: FluxRow | undefined): string[] {
  return Object.keys(row ?? {}).filter((name) => name !== "result" && name !== "table").toSorted();
}

function assertClose(actual: FluxValue | undefined, expected: number | undefined): void {
  assert(typeof actual === "number" && expected !== undefined, `${actual} instead of ${expected}`);
  assertAlmostEquals(actual, expected, Math.abs(expected) * 1e-12 + 1e-15);
}

// ---- gaps, around an hour that is looked at
const LOOK = END - 2 * HOUR + 12;
const look = { from: LOOK * 1000, to: (LOOK + HOUR) * 1000 };
const GAPS: readonly (StoredGap & { readonly shown: string | undefined })[] = [
  { at: [600.5, 720], opened: 615.25, reason: "link-silent", shown: "link-silent" },
  // overlaps the one before
  { at: [660, 780], opened: 661, reason: "queue-full", dropped: 12, shown: "queue-full, 12 ticks known to be lost" },
  { at: [900, 930], opened: 915, reason: "link-closed", missed: false, shown: undefined },
  { at: [null, 1260], opened: 1200.25, reason: "restart", shown: "restart, start unknown" },
  // the first tick after it is older than the moment when it was declared
  { at: [null, 1790], opened: 1800, reason: "restart", shown: "restart, start unknown" },
  { at: [-900, -600], opened: -885, reason: "stalled", shown: undefined },
  { at: [-3000, 60], opened: -2985, reason: "stalled", shown: "stalled" },
  // the program did not run, and says so after the hour
  { at: [3500, 4000], opened: 4010, reason: "restart", shown: "restart" },
  { at: [4100, 4200], opened: 4115, reason: "stalled", shown: undefined },
  { at: [2000.25, null], opened: 2015, reason: "refused", product: "ETH-USD", shown: "refused, still open" },
  // it has no tick that is older: nothing can be missing
  { at: [null, 1500], opened: 1400, reason: "restart", product: "FIRST-USD", shown: undefined },
].map(({ at: [from, to], opened, reason, ...rest }) => ({
  product: "BTC-USD",
  dropped: 0,
  missed: true,
  reason,
  opened: LOOK + opened,
  from: from === null || from === undefined ? null : LOOK + from,
  to: to === null || to === undefined ? null : LOOK + to,
  ...rest,
}));

/** Begin and end on the screen, ms. */
function spanOf(gap: StoredGap): { begin: number; end: number } {
  const end = gap.to === null ? look.to : gap.to * 1000;
  return { begin: gap.from === null ? Math.min(gap.opened * 1000, end) : gap.from * 1000, end };
}

/** How many ms of the hour lie in a gap, tried one by one in steps of 250. */
function missingMs(product: string): number {
  const spans = GAPS.filter((gap) => gap.product === product && gap.missed).map(spanOf);
  let missing = 0;
  for (let at = look.from; at < look.to; at += 250) {
    if (spans.some(({ begin, end }) => at >= begin && at < end)) missing += 250;
  }
  return missing;
}

/** The alert's time range, 30 s before `now`. */
const alertView = (now: number): View => ({ from: now - 30_000, to: now });

const missing = influxMissing();

Deno.test({
  name: `every query of Prices on a real InfluxDB, with known ticks and gaps${missing ? ` [skipped: ${missing}]` : ""}`,
  ignore: missing !== undefined,
  async fn(t) {
    await using influx = await InfluxServer.start();
    await influx.createBucket("empty");
    await influx.write(ticks.map(priceLines).join("\n"));
    // the record that opened them came first, without an end
    await influx.write(GAPS.map((gap) => gapLine({ ...gap, to: null, dropped: 0, missed: true })).join("\n"));
    await influx.write(GAPS.map((gap) => gapLine(gap)).join("\n"));
    const token = await influx.createToken({ read: influx.bucket });
    const asked = new Set<string>();

    const ask = async (
      query: string,
      view: View,
      options: { now?: number; profile?: boolean } = {},
    ) => {
      if (query !== QUERIES.alertNoTicks) asked.add(query);
      const flux = withOptions(
        interpolate(query, view, influx.bucket),
        options.now ?? NOW,
        options.profile,
      );
      return await influx.query(flux, token);
    };
    const candles = async (view: { from: number; to: number }, product: string, choice: string, profile = false) => {
      const { query, maxDataPoints } = targetOf(PANELS.candles);
      return await ask(query, { ...view, maxDataPoints, variables: { product, Interval: choice } }, { profile });
    };

    for (const interval of CHOICES.filter((choice) => choice !== "auto")) {
      await t.step(
        `candles of ${interval} are those of src/core/candle.ts, the first and the last one whole`,
        async () => {
          // no more of them than the panel has room for; both ends inside of windows, and ticks beyond them
          const span = Math.min(180 * intervalMs(interval), 3.9 * DAY * 1000);
          const to = NOW - 1100 - Math.round(0.13 * Math.min(span, intervalMs(interval)));
          const view = { from: to - span + 333, to };
          for (const product of ["BTC-USD", "ETH-USD", "SHIB-USD", "kraken:BTC/USD, perp"]) {
            const rows = await candles(view, product, interval);
            const expected = expectedCandles(view, product, interval);
            const some = expected.filter((candle) => candle.ticks > 0).length;
            // without a tick anywhere in the range there is nothing to show
            assertEquals(candlesOf(rows), some === 0 ? [] : expected, `${product}, ${some} candles`);
            if (rows.length > 0) assertEquals(columnsOf(rows[0]), ["_time", "close", "high", "low", "open", "ticks"]);
            // one table, or Grafana would draw one chart into the other
            assert(rows.every((row) => row.table === 0));
          }
        },
      );
    }

    await t.step(
      "candles whose range starts and ends where windows do have neither one more nor one less",
      async () => {
        const view = { from: (END - HOUR) * 1000, to: END * 1000 };
        const rows = candlesOf(await candles(view, "ETH-USD", "1m"));
        assertEquals(rows.length, 60);
        assertEquals(rows, expectedCandles(view, "ETH-USD", "1m"));
      },
    );

    for (
      const [product, minutes, seconds] of [
        ["BTC-USD", 10, 30],
        ["BTC-USD", 30, 30],
        ["BTC-USD", 60, 30],
        ["BTC-USD", 61, 60],
        ["BTC-USD", 180, 120],
        ["BTC-USD", 300, 180],
        ["BTC-USD", 720, 600],
        ["BTC-USD", 1440, 900],
        ["BTC-USD", 4 * 1440, 3600],
        ["BTC-USD", 20 * 1440, 4 * 3600],
        ["BTC-USD", 60 * 1440, 12 * 3600],
        // many ticks a second
        ["ETH-USD", 10, 5],
        ["ETH-USD", 20, 10],
        ["ETH-USD", 30, 15],
        ["ETH-USD", 60, 30],
      ] as const
    ) {
      await t.step(`candles of ${product} in ${minutes} minutes are ${seconds} s long with auto`, async () => {
        const view = { from: NOW - minutes * 60_000, to: NOW };
        const rows = candlesOf(await candles(view, product, "auto"));
        assertEquals(rows, foldedBy(seconds * 1000, view, product));
      });
    }

    await t.step("with auto there are 60 to 120 candles, and none that holds less than six samples", async () => {
      for (const minutes of [31, 59, 75, 121, 200, 245, 361, 599, 1201, 1900, 3700, 7000, 14_500, 30_000, 90_000]) {
        const rows = candlesOf(await candles({ from: NOW - minutes * 60_000, to: NOW }, "BTC-USD", "auto"));
        // one more where both ends are cut
        assert(rows.length >= 60 && rows.length <= 121, `${rows.length} candles in ${minutes} minutes`);
        assert((rows[1]?.openTime as number) - (rows[0]?.openTime as number) >= 30_000);
      }
    });

    for (
      const [choice, hours, interval] of [["1s", 1.25, "15s"], ["1m", 24, "5m"], ["5s", 72, "15m"]] as const
    ) {
      await t.step(
        `${choice} over ${hours} h is more than the panel has room for: candles of ${interval}`,
        async () => {
          const view = { from: NOW - hours * 3_600_000, to: NOW };
          const rows = candlesOf(await candles(view, "BTC-USD", choice));
          assertEquals(rows, expectedCandles(view, "BTC-USD", interval));
          // Grafana refuses ten times maxDataPoints, and draws nothing narrower than a pixel
          assert(rows.length <= 400, `${rows.length} candles`);
        },
      );
    }

    for (const choice of ["auto", "1m", "1d"]) {
      await t.step(`candles (${choice}): all five aggregates are done by the storage engine`, async () => {
        const view = { from: NOW - 86_400_000, to: NOW };
        assertEquals(readsOf(await candles(view, "BTC-USD", choice, true)), Array(5).fill("ReadWindowAggregateByTime"));
      });
    }

    await t.step("no other panel reads ticks one by one", async () => {
      const view = { ...look, variables: { product: "BTC-USD", Interval: "auto" } };
      const others = dashboard.panels.filter((panel) => panel.id !== PANELS.candles);
      for (const { id, targets } of others) {
        for (const { refId, query } of targets) {
          const { maxDataPoints } = targetOf(id, refId);
          const reads = readsOf(await ask(query, { ...view, maxDataPoints }, { profile: true }));
          // the one plain read of the summary is that of gaps
          const plain = reads.filter((read) => !read.startsWith("ReadWindowAggregate"));
          assert(
            reads.length > 0 && plain.length === (id === PANELS.summary && refId === "A" ? 1 : 0),
            `panel ${id}: ${reads}`,
          );
        }
      }
      assertEquals(readsOf(await ask(QUERIES.alertNoTicks, alertView(NOW), { profile: true })), [
        "ReadWindowAggregate",
      ]);
    });

    await t.step("timeline: the mean of each window, stamped at its start, null where nothing came", async () => {
      const { query, maxDataPoints } = targetOf(PANELS.timeline);
      for (const [product, span] of [["BTC-USD", DAY], ["ETH-USD", HOUR], ["SHIB-USD", 3 * HOUR]] as const) {
        const view = { from: NOW - span * 1000, to: NOW, maxDataPoints, variables: { product } };
        const rows = await ask(query, view);
        const windows = [...windowsOf(view, windowPeriodMs(view))];
        assertEquals(rows.map((row) => ms(row._time)), windows.map((window) => window.start));
        let empty = 0;
        for (const [i, { start, stop }] of windows.entries()) {
          const prices = ticksIn(product, start, stop).map((tick) => tick.price);
          if (prices.length === 0) empty++;
          if (prices.length === 0) assertEquals(rows[i]?._value, null);
          else assertClose(rows[i]?._value, prices.reduce((sum, price) => sum + price, 0) / prices.length);
        }
        assert(empty > 0 && empty < windows.length);
      }
    });

    await t.step("price: the last of each window, and the newest at the end", async () => {
      const { query, maxDataPoints } = targetOf(PANELS.price);
      const view = { from: NOW - 1_800_000, to: NOW, maxDataPoints, variables: { product: "BTC-USD" } };
      const rows = await ask(query, view);
      assertEquals(rows.map((row) => row._value), lastOfWindows(view, "BTC-USD"));
      assertEquals(rows.at(-1)?._value, kept.get("BTC-USD")?.at(-1)?.price);
    });

    await t.step("market: every product of the range or of the last day, its change, and its age", async () => {
      for (const view of [look, { from: NOW - 1_800_000, to: NOW }, { from: START * 1000, to: (START + DAY) * 1000 }]) {
        const { query, ...panel } = targetOf(PANELS.market);
        const rows = await ask(query, { ...view, ...panel });
        const expected = [...kept.keys()].toSorted().flatMap((product) => {
          const inRange = ticksIn(product, view.from, view.to);
          const newest = ticksIn(product, NOW - DAY * 1000, NOW).at(-1);
          if (inRange.length === 0 && newest === undefined) return [];
          const [first, last] = [inRange[0]?.price, inRange.at(-1)?.price];
          const age = newest === undefined ? null : (NOW - newest.recordTimeUs / 1000) / 1000;
          return [{
            product,
            // all its digits, and zeros up to as many as its prices have
            last: last?.toLocaleString("en-US", {
              minimumFractionDigits: decimalsIn(product, view),
              maximumFractionDigits: decimalsIn(product, view),
            }) ?? "-",
            change: first === undefined || last === undefined ? null : last / first - 1,
            age,
          }];
        });
        assertEquals(rows.map((row) => row.product ?? ""), expected.map((row) => row.product));
        for (const [i, { last, change, age }] of expected.entries()) {
          assertEquals(rows[i]?.last, last);
          if (change === null) assertEquals(rows[i]?.change ?? null, null);
          else assertAlmostEquals(Number(rows[i]?.change), change, 1e-12);
          if (age === null) assertEquals(rows[i]?.age ?? null, null);
          else assertAlmostEquals(Number(rows[i]?.age), age, 1e-6);
        }
        assert(rows.every((row) => row.table === 0));
        assertEquals(columnsOf(rows[0]), ["age", "change", "last", "product"]);
      }
    });

    await t.step("decimals: as many as the prices of the product have", async () => {
      for (const product of ["BTC-USD", "SHIB-USD", "TINY-USD", "UNDER-USD", "WHOLE-USD"]) {
        const rows = await ask(QUERIES.decimals, { ...look, variables: { product } });
        assertEquals(rows.map(({ decimals }) => decimals), [decimalsIn(product, look)]);
        assertEquals(columnsOf(rows[0]), ["decimals"]);
      }
    });

    await t.step("market: the small lines, a table per product", async () => {
      const { query, ...panel } = targetOf(PANELS.market, "B");
      const view = { from: NOW - 1_800_000, to: NOW, ...panel };
      const rows = await ask(query, view);
      assertEquals(columnsOf(rows[0]), ["_time", "_value", "product"]);
      const lines = Object.groupBy(rows, (row) => String(row.product));
      assertEquals(
        Object.keys(lines).toSorted(),
        [...kept.keys()].filter((product) => product !== "OLD-USD").toSorted(),
      );
      for (const [product, line = []] of Object.entries(lines)) {
        const means = [...windowsOf(view, windowPeriodMs(view))].map(({ start, stop }) => {
          const prices = ticksIn(product, start, stop).map((tick) => tick.price);
          return prices.length === 0 ? null : prices.reduce((sum, price) => sum + price, 0) / prices.length;
        });
        assertEquals(line.map((row) => row._value === null), means.map((mean) => mean === null));
        for (const [i, mean] of means.entries()) if (mean !== null) assertClose(line[i]?._value, mean);
        assertEquals(new Set(line.map((row) => row.table)).size, 1);
      }
    });

    await t.step("summary: change, extremes, time without data, age", async () => {
      const { query, maxDataPoints } = targetOf(PANELS.summary);
      for (const product of ["BTC-USD", "ETH-USD", "SHIB-USD"]) {
        const rows = await ask(query, { ...look, maxDataPoints, variables: { product } });
        assertEquals(rows.length, 1);
        const [row] = rows;
        assertEquals(columnsOf(row), ["age", "change", "high", "low", "missing"]);
        const prices = ticksIn(product, look.from, look.to).map((tick) => tick.price);
        assertEquals([row?.high, row?.low], [Math.max(...prices), Math.min(...prices)]);
        assertClose(row?.change, (prices.at(-1) ?? NaN) / (prices[0] ?? NaN) - 1);
        assertEquals(row?.missing, missingMs(product) / 1000);
        assertAlmostEquals(Number(row?.age), NOW / 1000 - (kept.get(product)?.at(-1)?.recordTimeUs ?? NaN) / 1e6, 1e-6);
      }
      // a product that is silent in the range and has been for a day
      const view = { from: NOW - 1_800_000, to: NOW, maxDataPoints, variables: { product: "OLD-USD" } };
      assertEquals(await ask(query, view), []);
    });

    await t.step("gaps: a region for each that touches the range and missed something", async () => {
      for (const product of ["BTC-USD", "ETH-USD", "SHIB-USD", "FIRST-USD"]) {
        const rows = await ask(annotationQuery, { ...look, variables: { product } });
        const expected = GAPS.filter((gap) => gap.product === product && gap.shown !== undefined).map((gap) => ({
          time: spanOf(gap).begin,
          timeEnd: spanOf(gap).end,
          text: `No data for ${product}: ${gap.shown}`,
          tags: `gap,${gap.reason}`,
        }));
        const shown = rows.map((row) => ({
          time: ms(row.time),
          timeEnd: ms(row.timeEnd),
          text: row.text,
          tags: row.tags,
        }));
        const inOrder = (a: { time: number }, b: { time: number }) => a.time - b.time;
        assertEquals(shown.toSorted(inOrder), expected.toSorted(inOrder));
        // with a group key Grafana would lose the end, and draw a line
        assert(rows.every((row) => row.table === 0));
        if (rows.length > 0) assertEquals(columnsOf(rows[0]), ["tags", "text", "time", "timeEnd"]);
      }
    });

    await t.step("product: what ticked since a day before the range, BTC-USD first", async () => {
      const recent = ["BTC-USD", "ETH-USD", "SHIB-USD", "TINY-USD", "UNDER-USD", "WHOLE-USD", "kraken:BTC/USD, perp"];
      const now = await ask(variableQuery, { from: NOW - 1_800_000, to: NOW });
      assertEquals(now.map((row) => row._value), recent);
      assertEquals(columnsOf(now[0]), ["_value"]);
      const then = await ask(variableQuery, { from: (START + DAY) * 1000, to: (START + 2 * DAY) * 1000 });
      assertEquals(then.map((row) => row._value), ["BTC-USD", "ETH-USD", "OLD-USD", ...recent.slice(2)]);
    });

    await t.step("alert: the number of ticks of all products together", async () => {
      const count = async (now: number) => await ask(QUERIES.alertNoTicks, alertView(now), { now });
      const expected = (now: number) =>
        [...kept.keys()].reduce((sum, product) => sum + ticksIn(product, now - 30_000, now).length, 0);
      for (const now of [NOW, (END - 300) * 1000]) {
        const rows = await count(now);
        // Grafana wants one table, no time and one number, and compares it with 1
        assertEquals(rows.map((row) => row._value), [expected(now)]);
        assert(expected(now) >= 1);
        assertEquals(columnsOf(rows[0]), ["_value"]);
      }
      // between walks there is a while with OLD-USD and BTC-USD alone: one product that ticks is enough
      const alone = findLast(START, START + DAY, (at) =>
        ticksIn("OLD-USD", (at - 30) * 1000, at * 1000).length === 0 &&
        ticksIn("BTC-USD", (at - 30) * 1000, at * 1000).length === 1);
      assertEquals((await count(alone * 1000)).map((row) => row._value), [1]);
      // what makes of none a quiet market is for alerts_test.ts
      for (const now of [(END + DAY) * 1000, START * 1000]) {
        assertEquals((await count(now)).map((row) => row._value), [0]);
      }
    });

    await t.step("a query of an empty bucket is no error and no row", async () => {
      const variables = { product: "BTC-USD", Interval: "auto" };
      for (const query of ALL_QUERIES) {
        const flux = withOptions(interpolate(query, { ...look, variables }, "empty"), NOW);
        assertEquals(await influx.query(flux), []);
      }
    });

    await t.step("no query was forgotten", () => {
      assertEquals(asked, ALL_QUERIES);
    });
  },
});

function lastOfWindows(view: View, product: string): number[] {
  return [...windowsOf(view, windowPeriodMs(view))].flatMap(({ start, stop }) =>
    ticksIn(product, start, stop).slice(-1).map((tick) => tick.price)
  );
}

function findLast(from: number, to: number, wanted: (at: number) => boolean): number {
  for (let at = to; at > from; at--) if (wanted(at)) return at;
  throw new RangeError("No such moment");
}
