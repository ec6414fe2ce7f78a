// A million invalid frames: each one must be decoded to valid ticks or rejected with a reason.

import v8 from "node:v8";
import vm from "node:vm";
import { assert, assertEquals, assertLess } from "@std/assert";
import { coinbase } from "../src/exchanges/coinbase.ts";
import { REJECT_REASONS } from "../src/core/record.ts";
import { assertValidTick } from "./contracts/exchange.ts";
import { Random } from "./fakes/random.ts";
import control from "./fixtures/coinbase/control.2026-10-04.jsonl" with { type: "text" };
import years from "./fixtures/coinbase/ticker-years.2019-2026.jsonl" with { type: "text" };
import ticker from "./fixtures/coinbase/ticker.2026-10-04.jsonl" with { type: "text" };

const FRAMES = 1_000_000;
const SEED = 20261004;
const RECEIVED = Date.UTC(2026, 9, 4, 9);

const CAPTURED = (ticker + years + control).trim().split("\n");
/** The start and end of every value in each frame. */
const SPANS = CAPTURED.map((frame) =>
  [...frame.matchAll(/(?<=:)(?:"[^"]*"|\d+)/g)].map(({ 0: value, index }) => [index, index + value.length] as const)
);
/** Replacements for a value. */
const VALUES = [
  ...[
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1e999",
    "1e-400",
    "9007199254740993",
    "0.1",
    "[]",
    "{}",
    "[5]",
    '""',
    '"0"',
    '"-1"',
  ],
  ...[
    '"1e5"',
    '"0x10"',
    '"NaN"',
    '"1.2.3"',
    '"5"',
    '"00012"',
    '"BTC-USD"',
    '"btc-usd"',
    '"XRP-GBP is delisted"',
    '"\\u0000"',
  ],
  ...['"0001-01-01T00:00:00.000000Z"', '"2026-02-30T00:00:00Z"', '"2999-01-01T00:00:00Z"', '"2026-10-04T08:15:00Z"'],
  ...['"2026-10-04T08:15:60.5+23:59"', '"heartbeat"', '"ticker"', '"error"', '"subscriptions"', `"${"9".repeat(400)}"`],
  `"0.${"0".repeat(330)}1"`,
];
const LETTERS = '{}[]",:.-+0123456789eE\\ntruefalsZTkp \u0000\u00e9\u0660\ud800\ufeff';

function junk(random: Random): string {
  const which = random.int(0, CAPTURED.length - 1);
  const frame = CAPTURED[which] ?? "";
  const spot = random.int(0, frame.length);
  switch (random.int(0, 6)) {
    case 0: // noise
      return Array.from({ length: random.int(0, 40) }, () => random.pick(LETTERS)).join("");
    case 1: // cut off
      return frame.slice(0, spot);
    case 2: // one letter
      return frame.slice(0, spot) + random.pick(LETTERS) + frame.slice(spot + 1);
    case 3: // a piece is gone
      return frame.slice(0, spot) + frame.slice(spot + random.int(1, 30));
    case 4: // two frames grown together
      return frame.slice(0, spot) + random.pick(CAPTURED).slice(spot);
    case 5: // a name is another
      return frame.replace(
        random.pick(["price", "time", "sequence", "product_id", "type"]),
        random.pick(["time", "price", "x"]),
      );
    default: { // a value is another
      const [start, end] = random.pick(SPANS[which] ?? []);
      return frame.slice(0, start) + random.pick(VALUES) + frame.slice(end);
    }
  }
}

// needs no flag and no permission
v8.setFlagsFromString("--expose-gc");
const collectGarbage: () => void = vm.runInNewContext("gc");

Deno.test(`coinbase.decode() survives ${FRAMES} junk frames without exception, invalid tick or growing memory (seed ${SEED})`, () => {
  const random = new Random(SEED);
  const reasons = new Set<string>(REJECT_REASONS);
  const heap: number[] = [];
  let ticks = 0, rejected = 0;
  for (let i = 1; i <= FRAMES; i++) {
    const frame = junk(random);
    let decoded;
    try {
      decoded = coinbase.decode(frame, RECEIVED);
    } catch (cause) {
      throw new Error(`decode() throws at frame ${i}: ${JSON.stringify(frame)}`, { cause });
    }
    for (const tick of decoded.ticks) assertValidTick(tick, coinbase, RECEIVED);
    for (const reason of decoded.rejected) assert(reasons.has(reason), reason);
    ticks += decoded.ticks.length;
    rejected += decoded.rejected.length;
    if (i % (FRAMES / 5) === 0) {
      collectGarbage();
      heap.push(Deno.memoryUsage().heapUsed);
    }
  }
  // the mixture must contain valid and invalid frames
  assert(ticks > FRAMES / 10 && rejected > FRAMES / 10, `${ticks} ticks, ${rejected} rejected`);
  // would show a leak of 8 bytes per frame
  assertLess(Math.max(...heap) - Math.min(...heap), FRAMES * 4, `heap after each fifth: ${heap}`);
});

Deno.test("junk frames are the same for the same seed", () => {
  const make = () => {
    const random = new Random(SEED);
    return Array.from({ length: 100 }, () => junk(random));
  };
  assertEquals(make(), make());
});
