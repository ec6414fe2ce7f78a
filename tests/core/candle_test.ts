import { assert, assertEquals } from "@std/assert";
import {
  type Candle,
  candleOf,
  type CandleWindow,
  type Interval,
  intervalMs,
  INTERVALS,
  markCandles,
  mergeWindow,
  openTimeOf,
} from "../../src/core/candle.ts";
import type { Gap, Tick } from "../../src/core/record.ts";
import { foldCandles, foldWindows } from "../fakes/candles.ts";
import { forSeeds, type Random } from "../fakes/random.ts";

const at = (text: string) => Date.parse(text);

function tick(sequence: number, time: string | number, price: number, more: Partial<Tick> = {}): Tick {
  const exchangeTimeUs = typeof time === "number" ? time : at(time) * 1000;
  return {
    kind: "tick",
    exchange: "coinbase",
    product: "BTC-USD",
    sequence,
    price,
    exchangeTimeUs,
    recordTimeUs: exchangeTimeUs,
    receivedTime: 0,
    ...more,
  };
}

/** A walk in time and price, with bursts in one microsecond, sleeps of hours and days, and sizes of up to eight decimals. */
function someTicks(random: Random): Tick[] {
  const ticks: Tick[] = [];
  let timeUs = at("2026-01-01T00:00:00Z") * 1000 + random.int(0, 9e11);
  let sequence = random.int(0, 1e9);
  let cents = random.int(1, 1e7);
  for (let i = random.int(1, 300); i > 0; i--) {
    timeUs += Math.floor(random.pick([0, 1, 5e5, 5e6, 5e6, 6e7, 1e9, 4e10, 3e11]) * random.next());
    if (random.chance(0.05)) timeUs += random.int(0, 1e12);
    sequence += random.int(1, 50);
    cents = Math.max(1, cents + random.int(-500, 500));
    ticks.push(tick(sequence, timeUs, cents / 100, { lastSize: random.int(0, 1e9) / 1e8 }));
  }
  return ticks;
}

/** Longer candles from shorter windows, in order of time. */
function mergedCandles(parts: readonly CandleWindow[], interval: Interval): Candle[] {
  const merged = new Map<number, CandleWindow>();
  for (const part of parts) {
    const openTime = openTimeOf(part.openTime, interval);
    const window = merged.get(openTime);
    if (window === undefined) merged.set(openTime, { ...part, openTime });
    else mergeWindow(window, part);
  }
  return [...merged.values()].sort((a, b) => a.openTime - b.openTime).map((window) => candleOf(window, interval));
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  return items.map(() => left.splice(random.int(0, left.length - 1), 1)[0] as T);
}

/** What candles are, said once more in the plainest way: slow, and with all ticks at hand. */
function plainCandles(ticks: readonly Tick[], interval: Interval): Candle[] {
  const distinct = [...new Map(ticks.map((tick) => [tick.sequence, tick])).values()];
  const inOrder = distinct.sort((a, b) => a.exchangeTimeUs - b.exchangeTimeUs || a.sequence - b.sequence);
  const windows = Map.groupBy(inOrder, (tick) => openTimeOf(Math.floor(tick.exchangeTimeUs / 1000), interval));
  return [...windows].map(([openTime, ticks]) => ({
    interval,
    openTime,
    open: ticks[0]?.price ?? NaN,
    high: Math.max(...ticks.map((tick) => tick.price)),
    low: Math.min(...ticks.map((tick) => tick.price)),
    close: ticks.at(-1)?.price ?? NaN,
    ticks: ticks.length,
    volume: ticks.reduce((sum, tick) => sum + Math.round((tick.lastSize ?? NaN) * 1e8), 0) / 1e8,
  }));
}

for (
  const [interval, time, expected] of [
    ["1s", "2026-03-04T05:06:07.999Z", "2026-03-04T05:06:07Z"],
    ["5s", "2026-03-04T05:06:59.999Z", "2026-03-04T05:06:55Z"],
    ["15s", "2026-03-04T05:06:15.000Z", "2026-03-04T05:06:15Z"],
    ["30s", "2026-03-04T05:06:29.999Z", "2026-03-04T05:06:00Z"],
    ["1m", "2026-03-04T05:06:07Z", "2026-03-04T05:06:00Z"],
    ["5m", "2026-03-04T05:06:07Z", "2026-03-04T05:05:00Z"],
    ["15m", "2026-03-04T05:16:07Z", "2026-03-04T05:15:00Z"],
    ["30m", "2026-03-04T05:16:07Z", "2026-03-04T05:00:00Z"],
    ["1h", "2026-03-04T05:16:07Z", "2026-03-04T05:00:00Z"],
    ["4h", "2026-03-04T05:16:07Z", "2026-03-04T04:00:00Z"],
    ["1d", "2026-03-04T05:16:07Z", "2026-03-04T00:00:00Z"],
    ["1w", "2026-03-04T05:16:07Z", "2026-03-02T00:00:00Z"],
    ["1w", "2026-03-01T23:59:59.999Z", "2026-02-23T00:00:00Z"],
    ["1w", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"],
    ["1m", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:00Z"],
  ] as const
) {
  Deno.test(`openTimeOf() puts ${time} into the ${interval} from ${expected}`, () => {
    assertEquals(openTimeOf(at(time), interval), at(expected));
  });
}

Deno.test("a candle holds its start and not its end", () => {
  const ticks = [
    tick(1, "2026-03-04T05:06:00.000Z", 10),
    tick(2, at("2026-03-04T05:06:59.999Z") * 1000 + 999, 12),
    tick(3, "2026-03-04T05:07:00.000Z", 11),
  ];
  assertEquals(foldCandles(ticks, "1m").map(({ openTime, open, close, ticks }) => ({ openTime, open, close, ticks })), [
    { openTime: at("2026-03-04T05:06:00Z"), open: 10, close: 12, ticks: 2 },
    { openTime: at("2026-03-04T05:07:00Z"), open: 11, close: 11, ticks: 1 },
  ]);
});

Deno.test("a window without ticks is no candle, and no ticks are no candles", () => {
  const ticks = [tick(1, "2026-03-04T05:06:00Z", 10), tick(2, "2026-03-04T05:09:00Z", 10)];
  assertEquals(foldCandles(ticks, "1m").length, 2);
  assertEquals(foldCandles([], "1m"), []);
});

Deno.test("of ticks at the same time the lowest sequence opens and the highest closes", () => {
  const ticks = [tick(8, 5e6, 2), tick(9, 5e6, 3), tick(7, 5e6, 1)];
  const [candle] = foldCandles(ticks, "1s");
  assertEquals([candle?.open, candle?.close], [1, 3]);
});

Deno.test("property: candles are those of the plain words, in any order, any batches, with repeats", async () => {
  await forSeeds(60, (random) => {
    const ticks = someTicks(random);
    for (const interval of INTERVALS) {
      const expected = plainCandles(ticks, interval);
      assertEquals(foldCandles(ticks, interval), expected);
      const disorder = shuffled([...ticks, ...ticks.filter(() => random.chance(0.2))], random);
      assertEquals(foldCandles(disorder, interval), expected);
    }
  });
});

Deno.test("property: open and close lie between low and high, and no tick is lost or counted twice", async () => {
  await forSeeds(60, (random) => {
    const ticks = someTicks(random);
    for (const interval of INTERVALS) {
      const candles = foldCandles(ticks, interval);
      for (const { open, high, low, close, openTime, ticks } of candles) {
        assert(low <= open && low <= close && open <= high && close <= high && ticks >= 1);
        assertEquals(openTimeOf(openTime, interval), openTime);
      }
      assertEquals(candles.reduce((sum, candle) => sum + candle.ticks, 0), ticks.length);
      assert(candles.every((candle, i) => i === 0 || candle.openTime > (candles[i - 1]?.openTime ?? 0)));
    }
  });
});

Deno.test("property: longer candles made of shorter ones are those of the ticks, for every pair of intervals", async () => {
  await forSeeds(30, (random) => {
    const ticks = someTicks(random);
    for (const [i, short] of INTERVALS.entries()) {
      for (const long of INTERVALS.slice(i)) {
        assertEquals(mergedCandles(shuffled(foldWindows(ticks, short), random), long), foldCandles(ticks, long));
      }
    }
  });
});

Deno.test("each interval divides the next one", () => {
  for (const [i, interval] of INTERVALS.entries()) {
    assertEquals(intervalMs(INTERVALS[i + 1] ?? interval) % intervalMs(interval), 0);
  }
});

for (
  const [name, sizes, volume] of [
    ["0.1 and 0.2", [0.1, 0.2], 0.3],
    ["a hundred times 0.01", Array(100).fill(0.01), 1],
    ["18 decimals", [1e-18, 2e-18], 3e-18],
    ["beyond 18 decimals", [4e-19, 1e-18], 1e-18],
    ["billions and 8 decimals", [4_000_000.00000001, 0.00000001], 4_000_000.00000002],
    ["more than fits into a double's integers", [1e20, 1e20], 2e20],
    ["one tick without a size", [1, undefined, 2], undefined],
    ["no tick with a size", [undefined], undefined],
  ] as const
) {
  Deno.test(`volume: ${name}`, () => {
    const ticks = sizes.map((lastSize: number | undefined, i) => tick(i, 5e6 + i, 1, { lastSize }));
    assertEquals(foldCandles(ticks, "1m")[0]?.volume, volume);
    assertEquals(mergedCandles(foldWindows(ticks, "1s"), "1h")[0]?.volume, volume);
  });
}

const MINUTE = 60;
/** Candles of five minutes from 0, each with ticks at its start and its end; unix seconds. */
const five = foldCandles(
  Array.from({ length: 10 }, (_, i) => tick(i, (Math.floor(i / 2) * MINUTE + (i % 2) * 59) * 1e6, 1)),
  "1m",
);

function gap(from: number | null, to: number | null, more: Partial<Gap> = {}): Gap {
  return {
    kind: "gap",
    exchange: "coinbase",
    product: "BTC-USD",
    opened: from ?? 130,
    from,
    to,
    reason: "link-silent",
    dropped: 0,
    missed: true,
    ...more,
  };
}

for (
  const [name, gaps, expected] of [
    ["no gap", [], []],
    ["inside one candle", [gap(70, 80)], [1]],
    ["from one to the next", [gap(119, 121)], [1, 2]],
    ["over three", [gap(119, 240)], [1, 2, 3, 4]],
    ["that begins where a candle ends touches only the next", [gap(120, 150)], [2]],
    ["that ends where a candle starts touches it", [gap(110, 120)], [1, 2]],
    ["in which nothing was missed", [gap(70, 80, { missed: false })], []],
    ["that still lasts", [gap(130, null)], [2, 3, 4]],
    ["that closed: the later of its records counts", [gap(130, null), gap(130, 140)], [2]],
    ["in which nothing was missed after all", [gap(130, null), gap(130, 140, { missed: false })], []],
    ["that does not know its start reaches back to the candle before it", [gap(null, 140, { opened: 135 })], [1, 2]],
    ["that does not know its start and still lasts", [gap(null, null, { opened: 200 })], [2, 3, 4]],
    ["that does not know its start and ended before all candles", [gap(null, -5, { opened: 1 })], []],
    ["that does not know its start and ended in the first candle", [gap(null, 5, { opened: 1 })], [0]],
    ["of the first start, which ended in the first candle", [gap(null, 5, { opened: 5.5, reason: "restart" })], []],
    ["of a first start that waits", [gap(null, null, { opened: 5.5, reason: "restart" })], []],
    ["of a start, with a candle before it", [gap(null, 65, { opened: 65.5, reason: "restart" })], [0, 1]],
    ["after all candles", [gap(300, 400)], []],
    ["two of them", [gap(1, 2), gap(241, 242)], [0, 4]],
  ] as const
) {
  Deno.test(`markCandles() marks the incomplete ones: a gap ${name}`, () => {
    const marked = markCandles(five, 0, gaps);
    assertEquals(marked.flatMap((candle, i) => candle.incomplete ? [i] : []), [...expected]);
  });
}

Deno.test("markCandles() without candles marks nothing", () => {
  assertEquals(markCandles([], 0, [gap(null, null)]), []);
});

Deno.test("markCandles() marks the candle whose window is not over", () => {
  assertEquals(markCandles(five, 299_999).map((candle) => candle.running), [false, false, false, false, true]);
  assertEquals(markCandles(five, 300_000).map((candle) => candle.running), [false, false, false, false, false]);
  // its last minute is over, its hour is not
  assertEquals(
    markCandles(five.slice(-1).map((last) => ({ ...last, interval: "1h" as const, openTime: 0 })), 300_000).map((
      candle,
    ) => candle.running),
    [true],
  );
});
