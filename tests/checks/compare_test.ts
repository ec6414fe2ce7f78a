// The arithmetic of the audit: times in order, what is missing, which trades are not seen, what is covered.

import { assert, assertEquals } from "@std/assert";
import { compare, coverageOf, overwritten, unseenTrades } from "../../src/checks/compare.ts";
import { Gaps } from "../../src/checks/gaps.ts";
import { NumberList, RecordTimes, sortedUnique, timesOf } from "../../src/checks/times.ts";
import { parseGapRecord } from "../../src/core/record.ts";
import { forSeeds } from "../fakes/random.ts";

const T = 1_791_061_111_000_000;
const parse = (text: string) => parseGapRecord(new TextEncoder().encode(text));
const us = (...seconds: number[]) => Float64Array.from(seconds, (each) => Math.round(each * 1e6));

Deno.test("timesOf() sorts records by time, and keeps the first trade of each time", async () => {
  await forSeeds(5, (chance) => {
    const random = () => chance.next();
    const [one, two] = [new RecordTimes(), new RecordTimes()];
    const wanted = new Map<number, number | undefined>();
    let time = T, trade = 1_102_042_811;
    for (let i = 0; i < 30_000; i++) {
      const dice = random();
      // late, repeated, without a trade, and very far away
      const at = dice < 0.001 ? Math.floor(random() * 9e15) : dice < 0.02 ? time - Math.floor(random() * 5e6) : time;
      const own = random() < 0.05 ? undefined : trade;
      if (!wanted.has(at)) wanted.set(at, own);
      const list = random() < 0.5 ? one : two;
      list.add(at, own);
      if (random() < 0.01) list.add(at, own);
      time += Math.floor(random() * 200_000) + 1;
      trade += random() < 0.1 ? 3 : 1;
    }
    const { times, trades } = timesOf(one, two);
    const expected = [...wanted].sort(([a], [b]) => a - b);
    assertEquals([...times], expected.map(([at]) => at));
    assertEquals([...trades], expected.map(([, own]) => own ?? NaN));
  });
});

Deno.test("sortedUnique() sorts numbers and removes duplicates", () => {
  const list = new NumberList();
  for (let i = 9999; i >= 0; i--) list.push(i % 5000);
  assertEquals([...sortedUnique(list)], Array.from({ length: 5000 }, (_, i) => i));
  assertEquals([...sortedUnique(new NumberList())], []);
});

Deno.test("compare() counts what is stored, declared, waiting, missing and beyond, and lists ranges", () => {
  const wanted = us(1, 2, 3, 4, 5, 6, 7, 8, 9);
  const have = us(0.5, 1, 2, 5, 9, 9.5);
  const gaps = [{ from: 6.5, to: 7, reason: "link-closed" }];
  assertEquals(compare(wanted, have, gaps), {
    there: 4,
    declared: 1,
    waiting: 0,
    missing: 4,
    // what is declared lies between 6 and 8: one range
    holes: [{ from: 3, to: 4, count: 2 }, { from: 6, to: 8, count: 2 }],
    beyond: 2,
  });
  const { waiting, missing, holes } = compare(wanted, have, gaps, us(5, 7, 8));
  assertEquals([waiting, missing, holes.length], [1, 3, 2]);
  assertEquals(compare(wanted, wanted, []).missing, 0);
  assertEquals(compare(us(), us(1), []).beyond, 1);
});

Deno.test("compare() counts all holes, and keeps a thousand of them", () => {
  const wanted = Float64Array.from({ length: 10_000 }, (_, i) => i);
  const have = wanted.filter((time) => time % 2 === 0);
  const { missing, holes } = compare(wanted, have, []);
  assertEquals([missing, holes.length], [5000, 1000]);
});

Deno.test("unseenTrades() finds the trades between those of the records, and whether a gap declares them", () => {
  const trades = Float64Array.of(10, NaN, 11, 14, 15, 13, 20);
  const times = us(1, 1.5, 2, 3, 4, 4.5, 5);
  const { count, ranges } = unseenTrades({ times, trades, others: [] }, [{ from: 4.8, to: 6, reason: "link-closed" }]);
  assertEquals(count, 1 + 4);
  assertEquals(ranges, [
    { firstTrade: 12, lastTrade: 12, count: 1, from: 2, to: 4.5, declared: false },
    { firstTrade: 16, lastTrade: 19, count: 4, from: 4, to: 5, declared: true },
  ]);
  assertEquals(unseenTrades({ times: us(1, 2), trades: Float64Array.of(NaN, NaN), others: [] }, []).count, 0);
});

Deno.test("unseenTrades() counts trades that share a time, and those of records outside the range", () => {
  const own = { times: us(1, 2, 3), trades: Float64Array.of(10, 12, 15), others: [{ timeUs: 1e6, trade: 11 }] };
  assertEquals(unseenTrades(own, []).count, 2);
  const around = { times: us(0.9, 4), trades: Float64Array.of(13, 17), others: [{ timeUs: 4e6, trade: 14 }] };
  assertEquals(unseenTrades(own, [], around), { count: 0, ranges: [] });
  // what is beyond the last one is none of the range
  assertEquals(unseenTrades({ ...own, trades: Float64Array.of(10, 12, 13) }, [], around).count, 0);
  const late = { ...own, others: [{ timeUs: 3e6, trade: 16 }] };
  assertEquals(unseenTrades(late, [], around).ranges.map(({ firstTrade }) => firstTrade), [11]);
});

Deno.test("timesOf() joins lists, and keeps each trade of a time once", () => {
  const [one, two] = [new RecordTimes(), new RecordTimes()];
  for (const [time, trade] of [[5, 7], [5, 7], [5, undefined], [9, 8]] as const) one.add(time, trade);
  for (const [time, trade] of [[5, 6], [5, 7], [7, undefined], [5, 9]] as const) two.add(time, trade);
  const { times, trades, others } = timesOf(one, two);
  assertEquals([[...times], [...trades]], [[5, 7, 9], [6, NaN, 8]]);
  assertEquals(others, [{ timeUs: 5, trade: 7 }, { timeUs: 5, trade: 9 }]);
});

Deno.test("overwritten() counts trades beyond the first of a time, but not of whole seconds, of gaps, or before", () => {
  const times = us(1, 1.5, 2.5, 3.5, 4.5);
  const trades = Float64Array.of(1, 3, 6, 8, 10);
  const others = [[1, 2], [1.5, 4], [2.5, 7], [3.5, 9], [3.5, 11]].map(([at = 0, trade = 0]) => (
    { timeUs: at * 1e6, trade }
  ));
  assertEquals(overwritten({ times, trades, others }, [{ from: 2.4, to: 2.6, reason: "stalled" }], 1), {
    count: 3,
    declared: 1,
    shared: [{ at: 1.5, trades: [3, 4] }, { at: 3.5, trades: [8, 9, 11] }],
  });
  assertEquals(overwritten({ times, trades, others }, [], 3).count, 2);
});

Deno.test("coverageOf() counts gaps that overlap once, and only what lies in the range", () => {
  const span = (from: number, to: number) => ({ from, to, reason: "stalled" });
  assertEquals(coverageOf([], 0, 100), 1);
  assertEquals(coverageOf([span(-Infinity, 10), span(5, 20), span(8, 9), span(90, Infinity)], 0, 100), 0.7);
  assertEquals(coverageOf([span(-5, -1), span(200, 300)], 0, 100), 1);
});

Deno.test("Gaps: the latest record counts, an open gap ends at the next restart, one without a start begins after the last record", () => {
  const gaps = new Gaps();
  const add = (fields: Record<string, unknown>) => {
    const gap = parse(JSON.stringify({
      exchange: "coinbase",
      product: "BTC-USD",
      reason: "link-closed",
      dropped: 0,
      missed: true,
      ...fields,
    }));
    assert(gap !== undefined);
    gaps.add(gap);
  };
  add({ opened: 10, from: 9, to: null });
  add({ opened: 10, from: 9, to: 12 });
  add({ opened: 20, from: 19, to: null, reason: "stopped" });
  add({ opened: 30, from: null, to: 31, reason: "restart" });
  add({ opened: 40, from: 39, to: 41, missed: false });
  add({ opened: 50, from: 49, to: null });
  add({ opened: 60, from: 59, to: 61, product: "ETH-USD" });
  // the clock was far ahead, then corrected, then behind
  for (const [product, opened] of [["SOL-USD", 80], ["XRP-USD", 5]] as const) {
    add({ product, opened: 900, from: 70, to: null });
    add({ product, opened, from: null, to: 85, reason: "restart" });
  }
  const spans = gaps.spans("BTC-USD", { from: 0, to: 100 }, (time) => time === 31 ? 25 : undefined);
  assertEquals(spans.map(({ from, to }) => [from, to]), [[9, 12], [19, 30], [25, 31], [49, Infinity]]);
  assertEquals(gaps.spans("BTC-USD", { from: 32, to: 48 }, () => undefined), []);
  const ends = (product: string) =>
    gaps.spans(product, { from: 0, to: 100 }, () => 75).map(({ from, to }) => [from, to]);
  assertEquals([ends("SOL-USD"), ends("XRP-USD")], [[[70, 80], [75, 85]], [[70, 70], [75, 85]]]);
  assertEquals(
    [parse("no json"), parse('{"product":1}'), parse("null"), parseGapRecord(null)],
    Array(4).fill(undefined),
  );
});
