import { assertEquals, assertStrictEquals } from "@std/assert";
import { REJECT_REASONS } from "../../src/core/record.ts";
import { DELAY_BUCKETS, Delays, Stats } from "../../src/core/stats.ts";

const BUCKETS: [seconds: number, bucket: number][] = [
  [-5, 0],
  [0, 0],
  [0.001, 0],
  [0.0011, 1],
  [0.0025, 1],
  [1, DELAY_BUCKETS.indexOf(1)],
  [1.01, DELAY_BUCKETS.indexOf(2.5)],
  [30, DELAY_BUCKETS.length - 1],
  [31, DELAY_BUCKETS.length],
];
for (const [seconds, bucket] of BUCKETS) {
  Deno.test(`Delays.add(${seconds}) counts in ${DELAY_BUCKETS[bucket] === undefined ? "the last bucket" : `the bucket up to ${DELAY_BUCKETS[bucket]} s`}`, () => {
    const delays = new Delays();
    delays.add(seconds);
    assertEquals(delays.counts.indexOf(1), bucket);
    assertEquals(delays.counts.reduce((sum, count) => sum + count), 1);
    assertEquals(delays.sum, Math.max(0, seconds));
  });
}

Deno.test("Delays have bounds that rise", () => {
  assertEquals(DELAY_BUCKETS, DELAY_BUCKETS.toSorted((a, b) => a - b));
});

Deno.test("Stats.sink() keeps one set of counters for each name", () => {
  const stats = new Stats();
  stats.sink("kafka").sent = 5;
  assertStrictEquals(stats.sink("kafka"), stats.sink("kafka"));
  assertEquals([stats.sink("kafka").sent, stats.sink("stdout").sent], [5, 0]);
});

Deno.test("Stats.rejectedTotal adds up all reasons, each of which starts at 0", () => {
  const stats = new Stats();
  assertEquals(
    stats.rejected,
    Object.fromEntries(REJECT_REASONS.map((reason) => [reason, 0])) as typeof stats.rejected,
  );
  for (const reason of REJECT_REASONS) stats.rejected[reason] += 2;
  assertEquals(stats.rejectedTotal, 2 * REJECT_REASONS.length);
});
