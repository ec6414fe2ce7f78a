import { assert, assertEquals } from "@std/assert";
import { backoffMs } from "../../src/core/backoff.ts";
import { forSeeds } from "../fakes/random.ts";

const LIMITS = { baseMs: 250, capMs: 30_000 };

for (
  const [attempt, bound] of [[0, 250], [1, 500], [2, 1000], [6, 16_000], [7, 30_000], [8, 30_000], [
    1e9,
    30_000,
  ]] as const
) {
  Deno.test(`backoffMs() of attempt ${attempt} is spread evenly from 0 to ${bound} ms`, () => {
    assertEquals(backoffMs(attempt, LIMITS, 0), 0);
    assertEquals(backoffMs(attempt, LIMITS, 0.5), bound / 2);
    assert(backoffMs(attempt, LIMITS, 1 - 2 ** -53) <= bound);
  });
}

Deno.test("backoffMs() is never above the cap nor below 0, whatever the attempt and the limits", () =>
  forSeeds(5000, (random) => {
    const limits = { baseMs: random.int(1, 5000), capMs: random.int(1, 60_000) };
    const ms = backoffMs(random.int(0, 10 ** random.int(0, 9)), limits, random.next());
    assert(ms >= 0 && ms <= limits.capMs, `${ms} of ${JSON.stringify(limits)}`);
  }));
