import { assert, assertEquals } from "@std/assert";
import { INTERVALS } from "../../../src/core/candle.ts";
import {
  blanksOf,
  CandleBook,
  MAX_CANDLES,
  type PageCandle,
  placeOf,
  regionsOf,
} from "../../../src/web/page/candles.ts";
import type { WireCandle, WireGap, WireTick } from "../../../src/web/page/wire.ts";
import { forSeeds } from "../../fakes/random.ts";
import { pageCandles, PRODUCT, randomTicks, serverCandles, START } from "./market.ts";

/** Draws changes as a chart does: all, or those that changed and those that are new at the end. */
class Mirror {
  candles: PageCandle[] = [];

  draw(book: CandleBook): void {
    const changes = book.takeChanges();
    if (changes?.all) this.candles = [...book.candles];
    else {
      for (const candle of changes?.changed ?? []) {
        const place = placeOf(this.candles, candle.time);
        assert(place === this.candles.length || this.candles[place]?.time === candle.time, "only the end grows");
        this.candles[place] = candle;
      }
    }
    assertEquals(this.candles, [...book.candles]);
  }
}

function tick(time: number, sequence: number, price: number, size = 1): WireTick {
  return { product: PRODUCT, time: START + time, sequence, price, size };
}

Deno.test("page candles: ticks alone, in any order and some twice, make the candles of the fold", async () => {
  await forSeeds(60, (random) => {
    const ticks = randomTicks(random, 300);
    const interval = random.pick(INTERVALS.slice(0, 7));
    const now = Math.max(...ticks.map(({ time }) => time)) * 1000;
    const book = new CandleBook(interval, now);
    const mirror = new Mirror();
    const order = [...ticks];
    for (let i = 0; i < 40; i++) order.splice(random.int(0, order.length), 0, random.pick(ticks));
    for (const each of order) {
      book.add(each);
      if (random.chance(0.1)) mirror.draw(book);
    }
    mirror.draw(book);
    assertEquals(mirror.candles, pageCandles(ticks, interval, now));
  });
});

Deno.test("page candles: whatever the server tells in between, once it told all the candles are its own", async () => {
  await forSeeds(60, (random) => {
    const ticks = randomTicks(random, 400);
    const interval = random.pick(INTERVALS.slice(0, 6));
    const now = Math.max(...ticks.map(({ time }) => time)) * 1000;
    const book = new CandleBook(interval, now);
    const mirror = new Mirror();
    let stored = random.int(0, 200);
    book.tell(-Infinity, serverCandles(ticks.slice(0, stored), interval, now));
    // the stream begins somewhat before what is stored, loses some, and the store is ahead of it or behind
    for (let i = Math.max(0, stored - random.int(0, 50)); i < ticks.length; i++) {
      const each = ticks[i];
      if (each !== undefined && !random.chance(0.05)) book.add(each);
      if (random.chance(0.05)) {
        stored = Math.max(stored, Math.min(ticks.length, i + random.int(-30, 30)));
        const told = serverCandles(ticks.slice(0, stored), interval, now);
        const from = random.chance(0.3) ? -Infinity : told[random.int(0, told.length - 1)]?.time ?? -Infinity;
        book.tell(from, told.filter(({ time }) => time >= from));
      }
      if (random.chance(0.1)) mirror.draw(book);
    }
    book.tell(-Infinity, serverCandles(ticks, interval, now));
    mirror.draw(book);
    assertEquals(mirror.candles, pageCandles(ticks, interval, now));
  });
});

Deno.test("page candles: a feed in good order needs no second word of the server", async () => {
  await forSeeds(40, (random) => {
    const ticks = randomTicks(random, 300).toSorted((a, b) => a.time - b.time).map((each, i) => ({
      ...each,
      sequence: i,
    }));
    const interval = random.pick(INTERVALS.slice(0, 6));
    const now = (ticks.at(-1)?.time ?? 0) * 1000;
    const book = new CandleBook(interval, now);
    const stored = random.int(1, 250);
    book.tell(-Infinity, serverCandles(ticks.slice(0, stored), interval, now));
    for (const each of ticks.slice(Math.max(0, stored - 20))) book.add(each);
    assertEquals([...book.candles], pageCandles(ticks, interval, now));
    assertEquals(book.takeDoubt(), undefined);
  });
});

Deno.test("page candles: a tick that came late casts doubt on its candle, once", () => {
  const book = new CandleBook("1m", START * 1000);
  book.tell(-Infinity, serverCandles([tick(0, 1, 10), tick(61, 5, 11)], "1m", START * 1000));
  book.add(tick(62, 6, 12));
  assertEquals(book.takeDoubt(), undefined);
  book.add(tick(30, 3, 9));
  assertEquals(book.takeDoubt(), START);
  assertEquals(book.takeDoubt(), undefined);
});

Deno.test("page candles: the store may be ahead of the stream, which is no reason for doubt", () => {
  const book = new CandleBook("1m", START * 1000);
  const ticks = [tick(0, 1, 10), tick(1, 2, 11), tick(2, 3, 12), tick(3, 4, 13)];
  book.tell(-Infinity, serverCandles(ticks, "1m", START * 1000));
  for (const each of ticks.slice(1)) book.add(each);
  assertEquals([...book.candles], pageCandles(ticks, "1m", START * 1000));
  assertEquals(book.takeDoubt(), undefined);
});

Deno.test("page candles: what ran is over when its time is", () => {
  const book = new CandleBook("1m", (START + 10) * 1000);
  book.add(tick(5, 1, 10));
  book.add(tick(6, 2, 11));
  book.takeChanges();
  assertEquals(book.candles.map(({ running }) => running), [true]);
  book.settle((START + 59.9) * 1000);
  assertEquals(book.takeChanges(), undefined);
  book.settle((START + 60) * 1000);
  assertEquals(book.takeChanges()?.changed.map(({ running }) => running), [false]);
});

Deno.test("page candles: what the server does not have is not there, unless a tick says so", () => {
  const book = new CandleBook("1m", START * 1000);
  book.tell(-Infinity, serverCandles([tick(0, 1, 10), tick(60, 2, 11), tick(120, 3, 12)], "1m", START * 1000));
  book.add(tick(180, 4, 13));
  book.takeChanges();
  book.tell(START + 60, serverCandles([tick(60, 2, 11)], "1m", START * 1000));
  assertEquals(book.candles.map(({ close }) => close), [10, 11, 13]);
  assertEquals(book.takeChanges()?.all, true);
});

Deno.test("page candles: a tick that was lost with a killed program goes once later ones are stored", () => {
  const book = new CandleBook("1m", START * 1000);
  const [stored, lost, later] = [tick(0, 1, 10), tick(5, 2, 99), tick(130, 3, 12)];
  book.add(stored);
  book.add(lost);
  book.tell(-Infinity, serverCandles([stored], "1m", START * 1000));
  assertEquals(book.candles.map(({ high }) => high), [99], "it may be on its way");
  book.add(later);
  book.settle((START + 140) * 1000);
  book.tell(-Infinity, serverCandles([stored, later], "1m", START * 1000));
  assertEquals(book.candles.map(({ high }) => high), [10, 12]);
  assertEquals(book.takeDoubt(), undefined);
});

Deno.test("page candles: a late tick that the store does not have yet is asked for again", () => {
  const book = new CandleBook("1m", START * 1000);
  const [first, newest, late] = [tick(0, 1, 10), tick(70, 9, 11), tick(50, 8, 99)];
  for (const each of [first, newest, late]) book.add(each);
  assertEquals(book.takeDoubt(), START);
  book.tell(-Infinity, serverCandles([first, newest], "1m", START * 1000));
  assertEquals(book.takeDoubt(), START);
  book.tell(START, serverCandles([first, newest, late], "1m", START * 1000));
  assertEquals(book.candles.map(({ high }) => high), [99, 11]);
});

Deno.test("page candles: older ones go in front, and change nothing that is there", () => {
  const book = new CandleBook("1m", START * 1000);
  book.tell(-Infinity, serverCandles([tick(120, 3, 12)], "1m", START * 1000));
  book.add(tick(130, 4, 13));
  book.tellOlder(serverCandles([tick(0, 1, 10), tick(60, 2, 11), tick(125, 3, 99)], "1m", START * 1000));
  assertEquals(book.candles.map(({ close }) => close), [10, 11, 13]);
  // a tick of a window that is loaded now is taken
  book.add(tick(61, 9, 20));
  assertEquals(book.candles.map(({ close }) => close), [10, 20, 13]);
});

Deno.test("page candles: without an answer of the server, ticks become candles for good and do not gather", () => {
  const book = new CandleBook("1s", START * 1000);
  const ticks = Array.from({ length: 30_000 }, (_, i) => tick(i / 100, i, 100 + i % 7, 0.1));
  for (const each of ticks) book.add(each);
  assertEquals([...book.candles], pageCandles(ticks, "1s", START * 1000));
});

Deno.test("page candles: the oldest are forgotten, a thousand at once", () => {
  const book = new CandleBook("1s", START * 1000);
  const candle = (time: number): WireCandle => ({
    time,
    open: 1,
    high: 1,
    low: 1,
    close: 1,
    ticks: 1,
    running: false,
    incomplete: false,
    sequence: time,
  });
  book.tell(-Infinity, Array.from({ length: MAX_CANDLES }, (_, i) => candle(START + i)));
  assertEquals(book.candles.length, MAX_CANDLES);
  book.add(tick(MAX_CANDLES, START + MAX_CANDLES, 1));
  assert(book.candles.length <= MAX_CANDLES - 1000 + 1);
  assertEquals(book.candles.at(-1)?.time, START + MAX_CANDLES);
});

function gap(from: number | null, to: number | null, more: Partial<WireGap> = {}): WireGap {
  return {
    product: PRODUCT,
    opened: START + (from ?? 0) + 1,
    from: from === null ? null : START + from,
    to: to === null ? null : START + to,
    reason: "link-closed",
    dropped: 0,
    missed: true,
    ...more,
  };
}

Deno.test("page candles: a gap of the stream without a start makes none incomplete at the first start, and else its own", () => {
  for (const [seconds, reason, expected] of [[0, "restart", 0], [60, "restart", 1], [0, "store-failed", 1]] as const) {
    const book = new CandleBook("1m", START * 1000);
    for (let at = 0; at <= seconds; at += 60) book.add(tick(at, START + at + 45, 1));
    book.mark([gap(null, seconds + 45, { opened: START + seconds + 45.877, reason })]);
    assertEquals(book.candles.filter(({ incomplete }) => incomplete).length, expected, `${reason} at ${seconds}`);
  }
});

const CANDLES = [0, 60, 120, 600].map((time) => ({ time: START + time }));
const REGIONS: [name: string, gap: WireGap, region: readonly [from: number, to: number] | undefined][] = [
  ["one that is over", gap(130, 590), [130, 590]],
  ["one that lasts", gap(610, null), [610, 700]],
  ["one in which nothing was missed", gap(130, 590, { missed: false }), undefined],
  ["one before all candles", gap(-900, -800), undefined],
  ["one of unknown start", gap(null, 590, { opened: START + 580 }), [120, 590]],
  ["a restart of unknown start", gap(null, 590, { opened: START + 580, reason: "restart" }), [120, 590]],
  ["a first start", gap(null, 0, { opened: START - 5, reason: "restart" }), undefined],
  ["a first start within a candle", gap(null, 45, { opened: START + 45.877, reason: "restart" }), undefined],
  ["a restart just after the first candle", gap(null, 60, { opened: START + 60.5, reason: "restart" }), [0, 60]],
  ["a first start that waits", gap(null, null, { opened: START - 5, reason: "restart" }), undefined],
  ["a new file in place of a lost one", gap(null, 0, { opened: START, reason: "store-failed" }), [0, 0]],
];
for (const [name, each, region] of REGIONS) {
  Deno.test(`page candles: of gaps, ${name} is shaded ${region === undefined ? "nowhere" : region.join(" to ")}`, () => {
    const regions = regionsOf([each], CANDLES, "1m", START + 700);
    assertEquals(regions.map(({ from, to }) => [from - START, to - START]), region === undefined ? [] : [[...region]]);
  });
}

Deno.test("page candles: a gap gets the places of its windows, other windows without candles get none", () => {
  const regions = regionsOf([gap(130, 310)], CANDLES, "1m", START + 700);
  assertEquals(blanksOf(regions, CANDLES, "1m").map((time) => time - START), [180, 240, 300]);
});

Deno.test("page candles: a long gap gets a bounded number of places", () => {
  const regions = regionsOf([gap(130, 30 * 86_400)], CANDLES, "1s", START + 31 * 86_400);
  const blanks = blanksOf(regions, CANDLES, "1s");
  assert(blanks.length > 60 && blanks.length <= 120, String(blanks.length));
  assertEquals(blanksOf(regions, [], "1s"), []);
});
