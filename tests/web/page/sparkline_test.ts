import { assertEquals } from "@std/assert";
import type { Interval } from "../../../src/core/candle.ts";
import { loadSpark, Spark, SPARK_POINTS, sparkPath } from "../../../src/web/page/sparkline.ts";
import { makeTick } from "../../fakes/events.ts";
import { foldCandles } from "../../fakes/candles.ts";

/** 13:07:00 on a day of 2023, unix seconds. */
const START = 1_700_053_620;

/** Asks a store that began at {@link START} and got a tick each 5 s for so long; notes what it was asked for. */
function store(seconds: number) {
  const ticks = Array.from(
    { length: seconds / 5 },
    (_, i) => makeTick({ sequence: i + 1, price: 100 + i, exchangeTimeUs: (START + i * 5) * 1e6 }),
  );
  const asked: Interval[] = [];
  const ask = (interval: Interval, limit: number) => {
    asked.push(interval);
    const candles = foldCandles(ticks, interval).slice(-limit);
    return Promise.resolve(candles.map(({ openTime, close }) => ({ time: openTime / 1000, close })));
  };
  return { ask, asked };
}

const AGES: [name: string, seconds: number, asked: Interval[], points: number, title: string][] = [
  ["that is empty", 0, ["15m", "1m", "5s"], 0, ""],
  ["of ten seconds", 10, ["15m", "1m", "5s"], 2, "the last 1 min"],
  ["of a minute", 60, ["15m", "1m", "5s"], 12, "the last 1 min"],
  ["of twenty minutes", 1200, ["15m", "1m"], 20, "the last 20 min"],
  ["of two days", 172_800, ["15m"], 96, "the last 24 h"],
];
for (const [name, seconds, intervals, points, title] of AGES) {
  Deno.test(`loadSpark() of a store ${name} makes a line of ${points} candles`, async () => {
    const { ask, asked } = store(seconds);
    const spark = await loadSpark(ask);
    assertEquals([asked, spark.prices.length, spark.title, spark.isOutgrown], [intervals, points, title, false]);
  });
}

Deno.test("loadSpark() does not join what was before a long pause to what came after it", async () => {
  const before = Array.from({ length: 200 }, (_, i) => ({ time: START - 864_000 + i * 900, close: 1 }));
  const after = [{ time: START, close: 2 }, { time: START + 900, close: 3 }];
  const spark = new Spark("15m", [...before, ...after]);
  assertEquals([spark.prices, spark.isEnough], [[2, 3], false]);
  const asked: Interval[] = [];
  await loadSpark((interval, limit) => {
    asked.push(interval);
    return Promise.resolve(interval === "15m" ? [...before, ...after].slice(-limit) : []);
  });
  assertEquals(asked, ["15m", "1m", "5s"]);
});

Deno.test("Spark goes on with the ticks that come, and leaves late ones out", () => {
  const spark = new Spark("5s", []);
  assertEquals(spark.add(1, START), true);
  assertEquals(sparkPath(spark.prices), "");
  assertEquals([spark.add(2, START + 4.9), spark.add(3, START + 5), spark.add(9, START + 4)], [false, true, false]);
  assertEquals([spark.prices, spark.title], [[2, 3], "the last 1 min"]);
});

Deno.test("Spark is outgrown as soon as there are enough longer candles, and stays as long as it is", () => {
  const spark = new Spark("5s", []);
  for (let i = 0; i < SPARK_POINTS; i++) {
    assertEquals(spark.isOutgrown, false);
    spark.add(i, START + i * 5);
  }
  assertEquals(spark.isOutgrown, true);
  spark.add(1000, START + SPARK_POINTS * 5);
  assertEquals([spark.prices.length, spark.prices[0], spark.prices.at(-1)], [SPARK_POINTS, 1, 1000]);
  const day = new Spark("15m", Array.from({ length: SPARK_POINTS }, (_, i) => ({ time: i * 900, close: i })));
  assertEquals(day.isOutgrown, false);
});

Deno.test("sparkPath() goes from left to right and from the lowest to the highest; a price that stands still is in the middle", () => {
  assertEquals(sparkPath([]), "");
  assertEquals(sparkPath([5]), "");
  assertEquals(sparkPath([1, 3, 2]), "M0.0,26.0L48.0,2.0L96.0,14.0");
  assertEquals(sparkPath([5, 5]), "M0.0,14.0L96.0,14.0");
});
