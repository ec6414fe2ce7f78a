// What is asked with ranges and limits is the same cut of the whole, whatever the store keeps it in.

import { assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { intervalMs, INTERVALS, markCandles } from "../../src/core/candle.ts";
import type { Gap, Tick } from "../../src/core/record.ts";
import { pack, packCandles, unpackCandles, unpackTicks } from "../../src/store/packing.ts";
import { Queries } from "../../src/store/queries.ts";
import type { Range } from "../../src/store/reader.ts";
import { migrate } from "../../src/store/schema.ts";
import { Writer } from "../../src/store/writer.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { forSeeds, type Random } from "../fakes/random.ts";
import { cut, KEYS, ofProduct, someTicks } from "./world.ts";
import { foldCandles } from "../fakes/candles.ts";

function open(ticks: readonly Tick[], gaps: readonly Gap[], random: Random) {
  const db = new DatabaseSync(":memory:");
  migrate(db);
  const writer = new Writer(db, { now: () => 0 });
  for (const batch of cut([...ticks, ...gaps], random)) writer.write(pack(batch));
  return { queries: new Queries(db), db, [Symbol.dispose]: () => db.close() };
}

/** Around these moments, unix seconds; often exactly at one of them, or at the start of a window. */
function someRange(times: readonly number[], random: Random): Range {
  const moment = () => {
    const time = times.length === 0 ? 1e9 : random.pick(times);
    return random.pick([
      time,
      time + 1e-6,
      Math.floor(time / 60) * 60,
      Math.floor(time / 3600) * 3600,
      time + random.int(-1e5, 1e5),
    ]);
  };
  return {
    ...(random.chance(0.6) ? { from: moment() } : {}),
    ...(random.chance(0.6) ? { to: moment() } : {}),
    limit: random.pick([1, 2, 10, 100, 5000]),
  };
}

function cutTo<T>(items: readonly T[], { from, to, limit }: Range, timeOf: (item: T) => number): T[] {
  const inside = items.filter((item) =>
    (from === undefined || timeOf(item) >= from) && (to === undefined || timeOf(item) < to)
  );
  return from === undefined ? inside.slice(-limit) : inside.slice(0, limit);
}

Deno.test("ticks and candles of a range are that cut of all of them", async () => {
  await forSeeds(25, (random) => {
    const ticks = someTicks(random);
    using store = open(ticks, [], random);
    for (const key of KEYS) {
      const own = ofProduct(ticks, key);
      const times = own.map(({ exchangeTimeUs }) => exchangeTimeUs / 1e6);
      for (let i = 0; i < 20; i++) {
        const range = someRange(times, random);
        const expected = cutTo(own, range, ({ exchangeTimeUs }) => exchangeTimeUs / 1e6);
        assertEquals(unpackTicks(store.queries.ticks(key, range)), expected, JSON.stringify(range));
      }
      for (const interval of INTERVALS) {
        const all = markCandles(foldCandles(own, interval), 0);
        for (let i = 0; i < 4; i++) {
          const range = someRange(times, random);
          const candles = store.queries.candles(key, interval, range, 0);
          assertEquals(unpackCandles(packCandles(candles), interval), candles);
          assertEquals(
            candles.map(({ lastSequence: _, ...candle }) => candle),
            cutTo(all, range, ({ openTime }) => openTime / 1000),
            `${interval} ${JSON.stringify(range)}`,
          );
          for (const { openTime, lastSequence } of candles) {
            const inside = own.filter(({ exchangeTimeUs }) =>
              exchangeTimeUs >= openTime * 1000 && exchangeTimeUs < (openTime + intervalMs(interval)) * 1000
            );
            assertEquals(lastSequence, Math.max(...inside.map(({ sequence }) => sequence)));
          }
        }
      }
    }
  });
});

Deno.test("pages bring all ticks of a range in order, and all gaps", async () => {
  await forSeeds(10, (random) => {
    const ticks = someTicks(random);
    const gaps = Array.from(
      { length: random.int(0, 9000) },
      (_, i) =>
        makeGap({
          product: random.pick(["BTC-USD", "ETH-USD"]),
          opened: i >> 1,
          from: (i >> 1) - 5,
          to: random.chance(0.9) ? i : null,
        }),
    );
    const distinct = [...new Map(gaps.map((gap) => [`${gap.product} ${gap.opened}`, gap])).values()];
    using store = open(ticks, gaps, random);
    for (const key of KEYS) {
      const own = ofProduct(ticks, key);
      const range = someRange(own.map(({ exchangeTimeUs }) => exchangeTimeUs / 1e6), random);
      const expected = cutTo(own, { ...range, limit: Infinity }, ({ exchangeTimeUs }) => exchangeTimeUs / 1e6);
      assertEquals([...store.queries.tickPages(key, range)].flat(), expected);
      const ofKey = distinct.filter(({ exchange, product }) => exchange === key.exchange && product === key.product);
      assertEquals([...store.queries.gapPages(key, {})].flat(), ofKey);
    }
    const byOpened = (a: Gap, b: Gap) => a.opened - b.opened || a.product.localeCompare(b.product);
    assertEquals([...store.queries.gapPages(undefined, {})].flat().sort(byOpened), distinct.sort(byOpened));
  });
});

Deno.test("marks of a range are those that the same candles have among all", async () => {
  await forSeeds(25, (random) => {
    const ticks = someTicks(random);
    const key = KEYS[0];
    const own = ofProduct(ticks, key);
    const times = own.map(({ exchangeTimeUs }) => exchangeTimeUs / 1e6);
    if (times.length === 0) return;
    const gaps = Array.from({ length: random.int(0, 6) }, (_, opened) => {
      const from = random.pick(times) + random.int(-100, 100);
      return makeGap({
        opened: from + opened / 1000,
        from: random.chance(0.8) ? from : null,
        to: random.chance(0.8) ? from + random.int(0, 5000) : null,
        missed: random.chance(0.8),
      });
    });
    using store = open(ticks, gaps, random);
    const now = random.pick(times) * 1000;
    for (const interval of INTERVALS) {
      const all = markCandles(foldCandles(own, interval), now, gaps);
      const range = someRange(times, random);
      assertEquals(
        store.queries.candles(key, interval, range, now).map((
          { openTime, running, incomplete },
        ) => [openTime, running, incomplete]),
        cutTo(all, range, ({ openTime }) => openTime / 1000).map((
          { openTime, running, incomplete },
        ) => [openTime, running, incomplete]),
        `${interval} ${JSON.stringify(range)} ${JSON.stringify(gaps)}`,
      );
    }
  });
});

Deno.test("the first start makes no candle incomplete; a start with older ticks does, even within one candle", () => {
  const random = { pick: <T>(items: ArrayLike<T>) => items[0] as T } as Random;
  const minute = Date.UTC(2026, 9, 3, 21) / 1000;
  const at = (sequence: number, seconds: number) =>
    makeTick({ sequence, exchangeTimeUs: (minute + seconds) * 1e6, recordTimeUs: (minute + seconds) * 1e6 });
  const start = (to: number) =>
    makeGap({ opened: minute + to + 0.877, from: null, to: minute + to, reason: "restart" });
  for (
    const [ticks, gap, expected] of [
      [[at(1, 45), at(2, 75)], start(45), { "1s": [0, 0], "1m": [0, 0], "1h": [0] }],
      [[at(1, 45), at(2, 75)], start(75), { "1s": [1, 1], "1m": [1, 1], "1h": [1] }],
      [[at(1, 15), at(2, 45)], start(45), { "1s": [1, 1], "1m": [1], "1h": [1] }],
    ] as const
  ) {
    using store = open(ticks, [gap], random);
    for (const [interval, marks] of Object.entries(expected)) {
      const candles = store.queries.candles(KEYS[0], interval as "1m", { limit: 10 }, 0);
      assertEquals(
        candles.map(({ incomplete }) => Number(incomplete)),
        [...marks],
        `${interval} ${gap.opened - minute}`,
      );
    }
  }
});
