import { assert, assertEquals, assertGreater } from "@std/assert";
import type { Tick } from "../../src/core/record.ts";
import type { TimePrecision } from "../../src/exchanges/exchange.ts";
import { Sequencer } from "../../src/pipeline/sequencer.ts";
import { makeTick } from "../fakes/events.ts";
import { forSeeds } from "../fakes/random.ts";

function tick(sequence: number, exchangeTimeUs: number, product = "BTC-USD"): Tick {
  return makeTick({ product, sequence, exchangeTimeUs });
}

Deno.test("Sequencer goes on where an earlier run ended: knows its last tick, and takes no microsecond twice", () => {
  const last = { ...tick(7, 100), recordTimeUs: 104 };
  const sequencer = new Sequencer("microseconds", [last, tick(3, 50, "ETH-USD")]);
  assertEquals([sequencer.admit(tick(7, 100)), sequencer.admit(tick(3, 50, "ETH-USD"))], [false, false]);
  const next = tick(8, 101);
  assertEquals([sequencer.admit(next), next.recordTimeUs], [true, 105]);
  assertEquals(sequencer.admit(tick(3, 50, "BTC-EUR")), true);
});

const TIMES: { name: string; precision: TimePrecision; given: number[]; record: number[] }[] = [
  {
    name: "floors to whole seconds",
    precision: "seconds",
    given: [1_700_000_000_000_000, 1_700_000_000_999_999, 1_700_000_001_000_000],
    record: [1_700_000_000_000_000, 1_700_000_000_000_000, 1_700_000_001_000_000],
  },
  { name: "keeps exact microseconds", precision: "microseconds", given: [100, 101, 250], record: [100, 101, 250] },
  {
    name: "gives a tick whose microsecond is taken the next free one",
    precision: "microseconds",
    given: [100, 100, 100, 101, 102, 200],
    record: [100, 101, 102, 103, 104, 200],
  },
  {
    name: "lets a late tick keep its own time",
    precision: "microseconds",
    given: [100, 40, 200],
    record: [100, 40, 200],
  },
  {
    name: "does not let a late tick free a microsecond that was taken",
    precision: "microseconds",
    given: [100, 100, 40, 100, 101],
    record: [100, 101, 40, 102, 103],
  },
];
for (const { name, precision, given, record } of TIMES) {
  Deno.test(`Sequencer with ${precision} ${name}`, () => {
    const sequencer = new Sequencer(precision);
    const ticks = given.map((us, i) => tick(i, us));
    assert(ticks.every((each) => sequencer.admit(each)));
    assertEquals(ticks.map(({ recordTimeUs }) => recordTimeUs), record);
    assertEquals(ticks.map(({ exchangeTimeUs }) => exchangeTimeUs), given);
  });
}

const ADMITTED: { name: string; given: [sequence: number, product?: string][]; admitted: boolean[] }[] = [
  {
    name: "takes the previous sequence again for a repeat",
    given: [[5], [5], [5], [6]],
    admitted: [true, false, false, true],
  },
  { name: "lets a lower sequence through", given: [[5], [3], [4]], admitted: [true, true, true] },
  {
    name: "lets a sequence from before the previous one through",
    given: [[5], [6], [5]],
    admitted: [true, true, true],
  },
  {
    name: "tells products apart",
    given: [[5, "BTC-USD"], [5, "ETH-USD"], [5, "BTC-USD"], [5, "ETH-USD"]],
    admitted: [true, true, false, false],
  },
  { name: "takes sequence 0 for a sequence", given: [[0], [0], [1]], admitted: [true, false, true] },
];
for (const { name, given, admitted } of ADMITTED) {
  Deno.test(`Sequencer ${name}`, () => {
    const sequencer = new Sequencer("microseconds");
    assertEquals(given.map(([sequence, product], i) => sequencer.admit(tick(sequence, i, product))), admitted);
  });
}

Deno.test("Sequencer does not let a repeat take a microsecond", () => {
  const sequencer = new Sequencer("microseconds");
  sequencer.admit(tick(1, 100));
  sequencer.admit(tick(1, 100));
  const next = tick(2, 100);
  sequencer.admit(next);
  assertEquals(next.recordTimeUs, 101);
});

Deno.test("Sequencer takes no microsecond twice after a tick from the future, nor once it is that late", () => {
  const sequencer = new Sequencer("microseconds");
  const ahead = 300_000_000;
  const given = [100, 100, ahead, ahead, 100, 101, 101, 250, ahead - 5, ahead - 5, ahead, ahead + 1];
  const record = given.map((us, i) => {
    const each = tick(i, us);
    assert(sequencer.admit(each));
    return each.recordTimeUs;
  });
  assertEquals(record, [
    ...[100, 101, ahead, ahead + 1, 102, 103, 104, 250],
    ...[ahead - 5, ahead - 4, ahead + 2, ahead + 3],
  ]);
});

Deno.test("Sequencer makes the times of a product strictly rise, except for ticks older than its newest", () =>
  forSeeds(500, (random) => {
    const sequencer = new Sequencer("microseconds");
    const newest = new Map<string, number>(), highest = new Map<string, number>();
    let us = 1000;
    for (let i = 0; i < 300; i++) {
      // many share a microsecond, some are late
      us += random.chance(0.5) ? 0 : random.int(0, 4);
      const each = tick(i, random.chance(0.1) ? us - random.int(1, 20) : us, random.pick(["BTC-USD", "ETH-USD"]));
      assert(sequencer.admit(each));
      const { product, exchangeTimeUs, recordTimeUs } = each;
      if (exchangeTimeUs < (newest.get(product) ?? -Infinity)) {
        assertEquals(recordTimeUs, exchangeTimeUs);
        continue;
      }
      assertGreater(recordTimeUs, highest.get(product) ?? -Infinity);
      assert(recordTimeUs >= exchangeTimeUs);
      // never moved further than there were ticks to make way for
      assert(recordTimeUs === exchangeTimeUs || recordTimeUs === (highest.get(product) ?? 0) + 1);
      newest.set(product, exchangeTimeUs);
      highest.set(product, recordTimeUs);
    }
  }));
