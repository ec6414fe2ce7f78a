import { assertEquals } from "@std/assert";
import { Recent } from "../../src/simulator/recent.ts";

function fill(limit: number, count: number): Recent<number> {
  const recent = new Recent<number>(limit);
  for (let i = 0; i < count; i++) recent.add(i);
  return recent;
}

Deno.test("Recent forgets the oldest above its limit, counts them, and keeps the numbers of the others", () => {
  const recent = fill(1000, 5432);
  const kept = recent.since();
  assertEquals([recent.count, kept.length], [5432, 5432 - recent.forgotten]);
  assertEquals([kept.length >= 1000, kept.length <= 1250], [true, true]);
  assertEquals([kept[0], kept.at(-1)], [recent.forgotten, 5431]);
  assertEquals(recent.since(5430), [5430, 5431]);
  assertEquals(recent.since(5432), []);
});

Deno.test("Recent with a limit of 0 keeps nothing and counts all", () => {
  const recent = fill(0, 10);
  assertEquals([recent.count, recent.forgotten, recent.since()], [10, 10, []]);
});
