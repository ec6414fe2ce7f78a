import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual, assertRejects } from "@std/assert";
import { systemClock } from "../../src/core/clock.ts";
import { EventQueue } from "../../src/pipeline/queue.ts";
import { type FeedEvent, type Gap, GapTimes, recordTime, type Tick } from "../../src/core/record.ts";
import { FakeClock, settle } from "../fakes/clock.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { forSeeds, type Random } from "../fakes/random.ts";

function setUp(capacity: number) {
  const clock = new FakeClock();
  const dropped: Tick[] = [];
  const queue = new EventQueue({
    capacity,
    clock,
    gapTimes: new GapTimes(),
    onDrop: (tick) => void dropped.push(tick),
  });
  return { clock, dropped, queue };
}

/** A tick of whole seconds: its record time is `seconds`. */
function at(seconds: number, product = "BTC-USD"): Tick {
  return makeTick({ product, sequence: seconds, exchangeTimeUs: seconds * 1e6 });
}

function gapsOf(events: readonly FeedEvent[]): Gap[] {
  return events.filter((event) => event.kind === "gap");
}

function ticksOf(events: readonly FeedEvent[]): Tick[] {
  return events.filter((event) => event.kind === "tick");
}

/** What readers of the gaps topic hold in the end: of each identity the later form. */
function latest(gaps: readonly Gap[]): Map<string, Gap> {
  return new Map(gaps.map((gap) => [`${gap.product} ${gap.opened}`, gap]));
}

Deno.test("EventQueue hands out events in the order in which they came, across the end of the ring", () => {
  const { queue } = setUp(5);
  const taken: FeedEvent[] = [];
  for (let i = 1; i <= 10; i++) {
    queue.push(at(i));
    if (i % 3 === 0) taken.push(...queue.take(2));
  }
  taken.push(...queue.take(100));
  assertEquals(taken.map((event) => (event as Tick).sequence), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assertEquals([queue.depth, queue.ticks], [0, 0]);
});

Deno.test("EventQueue takes no more than asked for", () => {
  const { queue } = setUp(10);
  for (let i = 1; i <= 5; i++) queue.push(at(i));
  assertEquals(queue.take(3).length, 3);
  assertEquals([queue.depth, queue.ticks], [2, 2]);
});

Deno.test("EventQueue drops the oldest when full, tells of it, and declares a gap that holds them all", () => {
  const { queue, dropped } = setUp(4);
  for (let i = 1; i <= 7; i++) queue.push(at(i));
  assertEquals(dropped.map(({ sequence }) => sequence), [1, 2, 3]);
  assertEquals([queue.depth, queue.capacity], [4, 4]);

  const events = queue.take(100);
  assertEquals(ticksOf(events).map(({ sequence }) => sequence), [4, 5, 6, 7]);
  const [gap] = gapsOf(events);
  assertEquals(events[0], gap, "the gap stands before the tick that ends it");
  assertEquals({ ...gap, opened: 0 }, {
    kind: "gap",
    exchange: "coinbase",
    product: "BTC-USD",
    opened: 0,
    from: 1,
    to: 4,
    reason: "queue-full",
    dropped: 3,
    missed: true,
  });
});

Deno.test("EventQueue calls onGap with the first dropped tick, and then with each form that it hands out", () => {
  const told: [Gap, boolean][] = [];
  const onGap = (gap: Gap, isNew: boolean) => void told.push([gap, isNew]);
  const queue = new EventQueue({ capacity: 4, clock: new FakeClock(), gapTimes: new GapTimes(), onGap });
  for (let i = 1; i <= 5; i++) queue.push(at(i));
  assertEquals(told.map(([{ from, to, dropped }, isNew]) => [from, to, dropped, isNew]), [[1, null, 1, true]]);
  for (let i = 6; i <= 7; i++) queue.push(at(i));
  const handedOut = gapsOf(queue.take(100));
  assertEquals(told.slice(1), handedOut.map((gap) => [gap, false]));
  assertEquals(handedOut.map(({ opened, to, dropped }) => [opened, to, dropped]), [[
    told[0]?.[0].opened ?? null,
    4,
    3,
  ]]);
});

Deno.test("EventQueue ends a queue-full gap of a product of which no tick follows, once it has run empty", () => {
  const { queue } = setUp(2);
  queue.push(at(1, "DOT-USD"));
  queue.push(at(2));
  queue.push(at(3));
  const [gap] = gapsOf(queue.take(100));
  assertEquals([gap?.product, gap?.from, gap?.to, gap?.dropped], ["DOT-USD", 1, 1, 1]);
});

Deno.test("EventQueue tells a growing gap open and then closed under the same identity, not with every batch", async () => {
  const { queue, clock } = setUp(10);
  const told: Gap[][] = [];
  for (let i = 1; i <= 60; i++) {
    queue.push(at(i));
    if (i >= 11 && i % 5 === 1) told.push(gapsOf(queue.take(1)));
    if (i === 31) await clock.advance(1000);
  }
  const gaps = told.flat();
  assertEquals(gaps.map(({ to }) => to === null), [true, false, true]);
  assertEquals(gaps[0]?.opened, gaps[1]?.opened);
  assert(gaps[2] !== undefined && gaps[2].opened !== gaps[0]?.opened, "drops after the end are a gap of their own");
});

Deno.test("EventQueue declares a dropped tick that came late within the gap", () => {
  const { queue } = setUp(2);
  for (const seconds of [10, 7, 12, 9, 11]) queue.push(at(seconds));
  const [gap] = gapsOf(queue.take(100));
  assertEquals([gap?.from, gap?.to, gap?.dropped], [7, 12, 3]);
});

Deno.test("EventQueue keeps gaps when full: its oldest ticks go, gaps come out before what is left", () => {
  const { queue, dropped } = setUp(3);
  const gap = makeGap({ opened: 5, to: null });
  queue.push(gap);
  for (let i = 10; i < 14; i++) queue.push(at(i));
  const events = queue.take(100);
  assertEquals(events[0], gap);
  assertEquals(gapsOf(events).length, 2);
  assertEquals(dropped.length, 1);
});

const KEPT: { name: string; pushed: Partial<Gap>[]; out: Partial<Gap>[] }[] = [
  {
    name: "keeps the later form of a gap",
    pushed: [{ opened: 5, from: 1 }, { opened: 5, from: 1, to: 9 }],
    out: [{ opened: 5, from: 1, to: 9 }],
  },
  {
    name: "merges two ended gaps of a product into one that covers both",
    pushed: [{ opened: 5, from: 1, to: 9, dropped: 2 }, { opened: 12, from: 10, to: 15, dropped: 3 }],
    out: [{ opened: 5, from: 1, to: 15, dropped: 5 }],
  },
  {
    name: "ends a merged gap no earlier than the one that ends last",
    pushed: [{ opened: 5, from: 4, to: 30 }, { opened: 12, from: 10, to: 15 }],
    out: [{ opened: 5, from: 4, to: 30 }],
  },
  {
    name: "does not know where a merged gap begins if one of them does not",
    pushed: [{ opened: 5, from: 4, to: 9 }, { opened: 12, from: null, to: 15 }],
    out: [{ opened: 5, from: null, to: 15 }],
  },
  {
    name: "says of a merged gap that something was missed if it was in one of them",
    pushed: [{ opened: 5, from: 4, to: 9, missed: false }, { opened: 12, from: 10, to: 15, missed: true }],
    out: [{ opened: 5, from: 4, to: 15, missed: true }],
  },
  {
    name: "keeps an ended gap when another one, open before it, ends after it",
    pushed: [{ opened: 5, from: 1 }, { opened: 7, from: 6, to: 6, dropped: 1 }, { opened: 5, from: 1, to: 9 }],
    out: [{ opened: 7, from: 1, to: 9, dropped: 1 }],
  },
  {
    name: "counts the drops of a gap once, whatever the number of its forms",
    pushed: [
      { opened: 5, from: 1, to: 2, dropped: 1 },
      { opened: 7, from: 6, dropped: 5 },
      { opened: 7, from: 6, to: 9, dropped: 8 },
    ],
    out: [{ opened: 5, from: 1, to: 9, dropped: 9 }],
  },
  {
    name: "does not merge gaps of two products",
    pushed: [{ opened: 5, from: 1, to: 9 }, { opened: 6, product: "ETH-USD", from: 2, to: 3 }],
    out: [{ opened: 5, from: 1, to: 9 }, { opened: 6, product: "ETH-USD", from: 2, to: 3 }],
  },
];
Deno.test("EventQueue, full, ends a gap that readers know as open under the identity they know", () => {
  const { queue } = setUp(1);
  const known = makeGap({ opened: 7, from: 6 });
  queue.push(known);
  queue.take(1);
  queue.push(makeGap({ opened: 5, from: 1, to: 3, dropped: 1 }));
  queue.push({ ...known, to: 9 });
  queue.push(at(20, "SOL-USD"));
  assertEquals(gapsOf(queue.take(100)), [makeGap({ opened: 7, from: 1, to: 9, dropped: 1 })]);
});

Deno.test("EventQueue, full, does not take another product's gap of the same time for one that readers know", () => {
  const { queue } = setUp(1);
  const known = makeGap({ opened: 7, from: 6 });
  queue.push(known);
  queue.take(1);
  queue.push(makeGap({ product: "ETH-USD", opened: 7, from: 1, to: 2 }));
  queue.take(1);
  queue.push(makeGap({ opened: 5, from: 1, to: 3, dropped: 1 }));
  queue.push({ ...known, to: 9 });
  queue.push(at(20, "SOL-USD"));
  assertEquals(gapsOf(queue.take(100)), [makeGap({ opened: 7, from: 1, to: 9, dropped: 1 })]);
});

for (const { name, pushed, out } of KEPT) {
  Deno.test(`EventQueue, full, ${name}`, () => {
    const { queue } = setUp(1);
    for (const gap of pushed) queue.push(makeGap(gap));
    queue.push(at(20, "SOL-USD"));
    assertEquals(gapsOf(queue.take(100)), out.map((gap) => makeGap(gap)));
  });
}

Deno.test("EventQueue.batches() waits for events, hands out what has gathered, and ends when closed and empty", async () => {
  const { queue } = setUp(100);
  const batches: number[][] = [];
  const done = (async () => {
    for await (const batch of queue.batches({ maxBatch: 3, lingerMs: 0 }, new AbortController().signal)) {
      batches.push(ticksOf(batch).map(({ sequence }) => sequence));
      await settle();
    }
  })();
  await settle();
  queue.push(at(1));
  for (let i = 2; i <= 6; i++) queue.push(at(i));
  await settle();
  queue.push(at(7));
  queue.close();
  await done;
  assertEquals(batches.flat(), [1, 2, 3, 4, 5, 6, 7]);
  assert(batches.every(({ length }) => length > 0 && length <= 3));
});

Deno.test("EventQueue.batches() lets a batch fill for the linger, and no longer", async () => {
  const { queue, clock } = setUp(100);
  const batches: number[] = [];
  const done = (async () => {
    for await (const batch of queue.batches({ maxBatch: 5, lingerMs: 50 }, new AbortController().signal)) {
      batches.push(batch.length);
    }
  })();
  queue.push(at(1));
  await clock.advance(49);
  queue.push(at(2));
  assertEquals(batches, []);
  await clock.advance(1);
  await settle();
  assertEquals(batches, [2]);

  for (let i = 0; i < 5; i++) queue.push(at(i));
  await settle();
  assertEquals(batches, [2, 5], "a full batch does not wait");

  queue.push(at(9));
  queue.close();
  await done;
  assertEquals(batches, [2, 5, 1], "nor does the last one");
  assertEquals(clock.sleeping, 0);
});

Deno.test("EventQueue.batches() misses no event that comes while a linger ends", async () => {
  const queue = new EventQueue({ capacity: 100, clock: systemClock, gapTimes: new GapTimes() });
  let taken = 0;
  const done = (async () => {
    for await (const batch of queue.batches({ maxBatch: 5, lingerMs: 1 }, new AbortController().signal)) {
      taken += batch.length;
    }
  })();
  for (let i = 1; i <= 100; i++) {
    queue.push(at(i));
    // the next event comes as soon as this one is taken, at the latest
    const deadline = performance.now() + 10_000;
    while (taken < i) {
      assert(performance.now() < deadline, `event ${i} is not taken`);
      if (i % 2 === 0) await Promise.resolve();
      await systemClock.sleep(0, new AbortController().signal);
    }
  }
  queue.close();
  await done;
  assertEquals(taken, 100);
});

for (const lingerMs of [0, 50]) {
  Deno.test(`EventQueue.batches() with a linger of ${lingerMs} ms rejects once its signal aborts, and loses nothing`, async () => {
    const { queue, clock } = setUp(100);
    const stop = new AbortController();
    const batches = queue.batches({ maxBatch: 5, lingerMs }, stop.signal);
    if (lingerMs > 0) queue.push(at(1));
    const next = batches.next();
    await settle();
    const reason = new Error("the time is over");
    stop.abort(reason);
    assertEquals(await assertRejects(() => next), reason);
    queue.push(at(2));
    assertEquals(queue.ticks, lingerMs > 0 ? 2 : 1);
    assertEquals(clock.sleeping, 0);
  });
}

Deno.test("EventQueue.room() resolves when something is taken, and at the latest after its time", async () => {
  const { queue, clock } = setUp(10);
  queue.push(at(1));
  const woken: string[] = [];
  const taken = queue.room(1000).then(() => woken.push("taken"));
  await settle();
  assertEquals(woken, []);
  queue.take(1);
  await taken;
  assertEquals(clock.sleeping, 0);

  const late = queue.room(1000).then(() => woken.push("late"));
  await clock.advance(1000);
  await late;
  assertEquals(woken, ["taken", "late"]);
});

/** Lives through what a source, a sink and a full ring may do, and keeps the books. */
async function live(random: Random) {
  const capacity = random.int(1, 40);
  const { queue, clock, dropped } = setUp(capacity);
  const products = ["BTC-USD", "ETH-USD", "SOL-USD"].slice(0, random.int(1, 3));
  const others = new GapTimes();
  const open = new Map<string, Gap>();
  const pushedTicks: Tick[] = [], pushedGaps: Gap[] = [], out: FeedEvent[] = [];
  let seconds = 1000, taken = 0;
  const take = () => {
    const events = queue.take(random.int(1, capacity));
    taken += ticksOf(events).length;
    out.push(...events);
  };

  const push = (event: FeedEvent) => {
    if (event.kind === "tick") pushedTicks.push(event);
    else pushedGaps.push(event);
    queue.push(event);
  };
  for (let step = random.int(50, 600); step > 0; step--) {
    const product = random.pick(products);
    const gap = open.get(product);
    seconds += random.int(0, 2);
    if (random.chance(0.7)) {
      push({ ...at(seconds - (random.chance(0.1) ? 5 : 0), product), sequence: pushedTicks.length });
    } else if (random.chance(0.5)) {
      const opened = others.next(seconds * 1000, "coinbase", product);
      // as a source does it (open, later closed), or as a sink that refuses one record
      if (random.chance(0.3)) {
        push(makeGap({ product, opened, from: seconds, to: seconds, dropped: 1, reason: "record-refused" }));
      } else if (gap === undefined) {
        const opening = makeGap({ product, opened, from: random.chance(0.1) ? null : seconds });
        open.set(product, opening);
        push(opening);
      }
    } else if (gap !== undefined) {
      open.delete(product);
      push({ ...gap, to: seconds, dropped: gap.dropped + random.int(0, 3) });
    }
    if (random.chance(0.15)) take();
    if (random.chance(0.01)) await clock.advance(random.int(1, 1500));

    assertEquals(pushedTicks.length, taken + dropped.length + queue.ticks);
    assertLessOrEqual(queue.depth, capacity);
  }
  while (queue.depth > 0) take();
  return { products, pushedTicks, pushedGaps, dropped, out };
}

Deno.test("EventQueue loses nothing undeclared: pushed = taken + dropped + waiting, and each product stays in order", () =>
  forSeeds(150, async (random) => {
    const { products, pushedTicks, dropped, out } = await live(random);
    assertEquals(pushedTicks.length, ticksOf(out).length + dropped.length);
    for (const product of products) {
      const numbers = ticksOf(out).filter((tick) => tick.product === product).map(({ sequence }) => sequence);
      assertEquals(numbers, numbers.toSorted((a, b) => a - b));
    }
  }));

Deno.test("EventQueue declares each dropped tick in a closed queue-full gap, and their numbers add up", () =>
  forSeeds(150, async (random) => {
    const { dropped, out } = await live(random);
    const declared = [...latest(gapsOf(out).filter(({ reason }) => reason === "queue-full")).values()];
    assertEquals(declared.reduce((sum, gap) => sum + gap.dropped, 0), dropped.length);
    assertEquals(declared.filter(({ to }) => to === null), []);
    for (const tick of dropped) {
      const time = recordTime(tick);
      assert(
        declared.some(({ product, from, to }) =>
          product === tick.product && from !== null && to !== null && from <= time && time <= to
        ),
        `no gap holds ${tick.product} at ${time}`,
      );
    }
  }));

Deno.test("EventQueue never loses a gap: each one comes out, or within one that covers it, and all drops are told", () =>
  forSeeds(150, async (random) => {
    const { pushedGaps, out } = await live(random);
    const wanted = latest(pushedGaps);
    const given = [...latest(gapsOf(out).filter(({ reason }) => reason !== "queue-full")).values()];
    for (const gap of wanted.values()) {
      assert(
        given.some((other) =>
          other.product === gap.product &&
          (other.from === null || (gap.from !== null && other.from <= gap.from)) &&
          (gap.to === null ? other.to === null : other.to === null || other.to >= gap.to)
        ),
        `nothing covers ${gap.product} ${gap.opened} from ${gap.from} to ${gap.to}`,
      );
    }
    const sum = (gaps: Iterable<Gap>) => [...gaps].reduce((total, { dropped }) => total + dropped, 0);
    assertEquals(sum(given), sum(wanted.values()));
    const open = (gaps: Iterable<Gap>) => [...gaps].filter(({ to }) => to === null).map(({ opened }) => opened);
    assertEquals(new Set(open(given)), new Set(open(wanted.values())), "those and only those are left open");
  }));

Deno.test("EventQueue keeps no more gaps than products need, whatever the number that went through a full ring", () => {
  const { queue } = setUp(2);
  for (let i = 1; i <= 10_000; i++) {
    const gap = makeGap({ product: i % 2 === 0 ? "BTC-USD" : "ETH-USD", opened: i, from: i });
    queue.push(gap);
    queue.push({ ...gap, to: i + 1, dropped: 1 });
  }
  const gaps = gapsOf(queue.take(100));
  assertLessOrEqual(gaps.length, 2 + 2 * 2);
  assertEquals([...latest(gaps).values()].reduce((sum, { dropped }) => sum + dropped, 0), 10_000);
});

Deno.test("EventQueue drops as cheaply as it pushes: 300,000 ticks through a full ring of 100,000 within 2 s", () => {
  const { queue, dropped } = setUp(100_000);
  const tick = at(1);
  const start = performance.now();
  for (let i = 0; i < 300_000; i++) queue.push(tick);
  const took = performance.now() - start;
  assertEquals(dropped.length, 200_000);
  assertGreaterOrEqual(2000, took);
});
