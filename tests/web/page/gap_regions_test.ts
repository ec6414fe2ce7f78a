import { assert, assertEquals } from "@std/assert";
import { blanksOf, placeOnAxis, regionsOf } from "../../../src/web/page/gap_regions.ts";
import type { WireGap } from "../../../src/web/page/wire.ts";
import { PRODUCT, START } from "./market.ts";

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
  Deno.test(`page gaps: ${name} is shaded ${region === undefined ? "nowhere" : region.join(" to ")}`, () => {
    const regions = regionsOf([each], CANDLES, "1m", START + 700);
    assertEquals(regions.map(({ from, to }) => [from - START, to - START]), region === undefined ? [] : [[...region]]);
  });
}

Deno.test("page gaps: a gap gets the places of its windows, other windows without candles get none", () => {
  const regions = regionsOf([gap(130, 310)], CANDLES, "1m", START + 700);
  assertEquals(blanksOf(regions, CANDLES, "1m").map((time) => time - START), [180, 240, 300]);
});

Deno.test("page gaps: a long gap gets a bounded number of places", () => {
  const regions = regionsOf([gap(130, 30 * 86_400)], CANDLES, "1s", START + 31 * 86_400);
  const blanks = blanksOf(regions, CANDLES, "1s");
  assert(blanks.length > 60 && blanks.length <= 120, String(blanks.length));
  assertEquals(blanksOf(regions, [], "1s"), []);
});
