import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { describe, KINDS, planRound, VICTIMS } from "./faults.ts";

Deno.test("planRound() gives the same plan for the same seed, and another one for another seed", () => {
  assertEquals(planRound(5, 3), planRound(5, 3));
  assertNotEquals(describe(planRound(5, 3)), describe(planRound(6, 3)));
});

Deno.test("planRound() eventually plans every fault, and each part at most once per round", () => {
  const seen = new Set<string>();
  for (let round = 1; round <= 1000; round++) {
    const faults = planRound(1, round);
    assert(faults.length >= 1);
    assertEquals(new Set(faults.map(({ victim }) => victim)).size, faults.length);
    for (const { victim, kind, ms } of faults) {
      seen.add(`${victim} ${kind}`);
      assert(ms >= 5000 && ms <= 60_000);
    }
  }
  assertEquals(seen.size, VICTIMS.reduce((sum, victim) => sum + KINDS[victim].length, 0));
});

Deno.test("planRound() leaves out impossible faults and respects the longest duration", () => {
  for (let round = 1; round <= 300; round++) {
    for (const { victim, kind, ms } of planRound(1, round, { longestMs: 8000, impossible: new Set(["disk full"]) })) {
      assertNotEquals(`${victim} ${kind}`, "disk full");
      assert(ms <= 8000);
    }
  }
});
