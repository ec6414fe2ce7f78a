import { assert, assertEquals } from "@std/assert";
import { Random } from "../fakes/random.ts";
import { median, trendOf } from "./trend.ts";

const BOUND = { part: 0.1, least: 5 };

Deno.test("median() returns the middle value, or the mean of two", () => {
  assertEquals([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])], [2, 2.5, 7]);
});

Deno.test("trendOf() accepts noise around a level, and finds a leak of 1 % a minute", () => {
  const random = new Random(1);
  const noise = () => 20 * (random.next() - 0.5);
  const level = Array.from({ length: 30 }, () => 200 + noise());
  assert(trendOf(level, BOUND).isFlat);
  const leak = Array.from({ length: 30 }, (_, minute) => 200 + 2 * minute + noise());
  const { isFlat, rise } = trendOf(leak, BOUND);
  assert(!isFlat && rise > 40 && rise < 75, `rise ${rise}`);
});

Deno.test("trendOf() ignores the peaks of faults, and accepts falling values", () => {
  const peaks = Array.from({ length: 30 }, (_, minute) => minute % 7 === 6 ? 5000 : 10);
  assertEquals(trendOf(peaks, BOUND).rise, 0);
  assert(trendOf(Array.from({ length: 10 }, (_, minute) => 300 - minute), BOUND).isFlat);
});

Deno.test("trendOf() of one value or a steady one is flat", () => {
  assert(trendOf([100], BOUND).isFlat);
  assertEquals(trendOf([7, 7, 7], BOUND), { median: 7, rise: 0, allowed: 5, isFlat: true });
});
