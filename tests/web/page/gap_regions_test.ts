import { assertEquals } from "@std/assert";
import { placeOnAxis } from "../../../src/web/page/gap_regions.ts";

// two candles, a window without one, a candle; candle `i` reaches from i - 0.5 to i + 0.5
const TIMES = [600, 660, 780].map((time) => ({ time }));
const PLACES: [name: string, time: number, place: number][] = [
  ["before all candles", 0, -0.5],
  ["at the start of the first", 600, -0.5],
  ["in the middle of the first", 630, 0],
  ["at the start of the second", 660, 0.5],
  ["where there is no candle", 750, 1.5],
  ["at the start of the last", 780, 1.5],
  ["in the last quarter of the last", 825, 2.25],
  ["long after the last", 9000, 2.5],
];
for (const [name, time, place] of PLACES) {
  Deno.test(`page gaps: a moment ${name} lies at place ${place}`, () => {
    assertEquals(placeOnAxis(time, TIMES, 60), place);
  });
}
