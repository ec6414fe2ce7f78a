import { assert, assertEquals } from "@std/assert";
import type { Interval } from "../../../src/core/candle.ts";
import { History } from "../../../src/web/page/history.ts";
import type { WireGap, WireTick } from "../../../src/web/page/wire.ts";
import { forSeeds } from "../../fakes/random.ts";
import { FakeServer, pageCandles, PRODUCT, randomTicks } from "./market.ts";
import { FakePageClock } from "./page_clock.ts";

interface Scene extends Disposable {
  readonly clock: FakePageClock;
  readonly server: FakeServer;
  readonly history: History;
  /** Seconds of the clock. */
  now(): number;
}

function scene(interval: Interval, prepare: (server: FakeServer, now: number) => void = () => {}): Scene {
  const clock = new FakePageClock();
  const server = new FakeServer(() => clock.now());
  prepare(server, clock.now() / 1000);
  const history = new History({
    product: PRODUCT,
    interval,
    ask: server.ask,
    trouble: (error) => (error as Error).message,
    onChange: () => {},
    clock,
    serverAhead: () => 0,
  });
  return { clock, server, history, now: () => clock.now() / 1000, [Symbol.dispose]: () => history.close() };
}

function tick(time: number, sequence: number, price = 10): WireTick {
  return { product: PRODUCT, time, sequence, price, size: 1 };
}

/** One tick a second up to now. */
function past(seconds: number): (server: FakeServer, now: number) => void {
  return (server, now) => {
    for (let i = 0; i < seconds; i++) server.ticks.push(tick(Math.floor(now) - seconds + i, i, 10 + i % 5));
  };
}

function same({ history, server, clock }: Scene, interval: Interval): void {
  history.draw();
  assertEquals([...history.candles], pageCandles(server.ticks, interval, clock.now()));
}

Deno.test("page history: loads the newest page, then is continued by ticks", async () => {
  using each = scene("1s", past(50));
  const { clock, history, server, now } = each;
  assertEquals(history.isLoaded, false);
  await clock.advance(0);
  assertEquals(history.isLoaded, true);
  same(each, "1s");
  for (let i = 0; i < 100; i++) {
    const next = tick(now(), 100 + i, 20 + i);
    server.ticks.push(next);
    history.add([next]);
    await clock.advance(300);
    same(each, "1s");
  }
});

Deno.test("page history: after a hole it is asked again, and whole", async () => {
  await forSeeds(8, async (random) => {
    const interval = random.pick<Interval>(["1s", "15s", "1m"]);
    using each = scene(interval);
    const { clock, history, server } = each;
    const ticks = randomTicks(random, 300);
    clock.sleep((ticks[0]?.time ?? 0) * 1000 - clock.now());
    await clock.advance(0);
    for (const next of ticks) {
      await clock.advance(Math.max(0, next.time * 1000 - clock.now()));
      server.ticks.push(next);
      if (!random.chance(0.3)) history.add([next]);
      if (random.chance(0.05)) history.refresh();
    }
    history.refresh();
    await clock.advance(10);
    same(each, interval);
  });
});

Deno.test("page history: what came before the stream was open, and was stored after the question, is there soon", async () => {
  using each = scene("1s", past(50));
  const { clock, history, server, now } = each;
  await clock.advance(0);
  const missed = tick(now(), 1000, 50);
  // the stream is open and says so; the store is a moment behind
  history.refresh();
  await clock.advance(100);
  server.ticks.push(missed);
  const next = tick(now(), 1001, 51);
  server.ticks.push(next);
  history.add([next]);
  await clock.advance(2000);
  same(each, "1s");
});

Deno.test("page history: a late tick heals within seconds, without a word of anybody", async () => {
  using each = scene("1m", past(300));
  const { clock, history, server, now } = each;
  await clock.advance(30_000);
  const newest = tick(now(), 1000, 50);
  const late = tick(now() - 100, 999, 5);
  server.ticks.push(newest, late);
  history.add([newest, late]);
  await clock.advance(7000);
  same(each, "1m");
});

Deno.test("page history: late ticks without end are asked for at most every five seconds", async () => {
  using each = scene("1m", past(300));
  const { clock, history, server, now } = each;
  await clock.advance(1000);
  const before = server.asked.length;
  for (let i = 0; i < 200; i++) {
    const next = tick(now() - 50, 2000 - i);
    server.ticks.push(next);
    history.add([next]);
    await clock.advance(100);
  }
  const asked = server.asked.slice(before).filter((path) => path.startsWith("api/candles"));
  assert(asked.length >= 3 && asked.length <= 5, String(asked.length));
});

Deno.test("page history: what nobody told of is seen within a minute", async () => {
  using each = scene("15s", past(100));
  const { clock, server, now } = each;
  await clock.advance(10);
  server.ticks.push(tick(now(), 500, 77));
  await clock.advance(61_000);
  same(each, "15s");
});

Deno.test("page history: an hour away, and then all of it", async () => {
  using each = scene("1s", past(60));
  const { clock, history, server, now } = each;
  await clock.advance(10);
  clock.sleep(3_600_000);
  for (let i = 3599; i > 0; i--) server.ticks.push(tick(Math.floor(now()) - i, 10_000 - i, 30 + i % 9));
  history.refresh();
  await clock.advance(10);
  same(each, "1s");
});

Deno.test("page history: away for longer than one answer holds, it begins anew with the newest", async () => {
  using each = scene("1s", past(60));
  const { clock, history, server, now } = each;
  await clock.advance(10);
  clock.sleep(12_000_000);
  for (let i = 11_999; i > 0; i--) server.ticks.push(tick(Math.floor(now()) - i, 100_000 - i));
  history.refresh();
  await clock.advance(10);
  history.draw();
  assertEquals([...history.candles], pageCandles(server.ticks, "1s", clock.now()).slice(-1000));
  assertEquals(history.isWhole, false);
});

Deno.test("page history: scrolled to its left end it grows there, until there is no more", async () => {
  using each = scene("1s", past(2500));
  const { clock, history } = each;
  await clock.advance(0);
  const lengths = [history.candles.length];
  for (let i = 0; i < 4; i++) {
    await Promise.all([history.older(), history.older()]);
    lengths.push(history.candles.length);
  }
  assertEquals(lengths, [1000, 2000, 2500, 2500, 2500]);
  assertEquals(history.isWhole, true);
  same(each, "1s");
});

const REACHES: [name: string, oldest: number, asked: number, shaded: number][] = [
  ["in one stretch", 50, 2, 0],
  ["with a pause before them", 6000, 3, 1],
];
for (const [name, oldest, asked, shaded] of REACHES) {
  Deno.test(`page history: gaps are asked for beside the first candles; ${name}, ${asked} questions`, async () => {
    const answers = Promise.withResolvers<void>();
    using each = scene("1s", (server, now) => {
      past(50)(server, now);
      server.ticks.unshift(tick(Math.floor(now) - oldest, -1));
      server.gaps.push(gap(now - 5000, now - 4900));
      server.held = answers.promise;
    });
    const { clock, history, server } = each;
    await clock.advance(0);
    assertEquals([server.asked.length, history.isLoaded], [2, false]);
    answers.resolve();
    await clock.advance(0);
    assertEquals([server.asked.length, history.isLoaded], [asked, true]);
    assertEquals(history.draw()?.regions.length, shaded);
  });
}

Deno.test("page history: a server in trouble is named, asked again, and forgiven", async () => {
  using each = scene("1s", (server, now) => {
    past(20)(server, now);
    server.trouble = new Error("the store is away");
  });
  const { clock, history, server, now } = each;
  await clock.advance(0);
  assertEquals([history.trouble, history.isLoaded], ["the store is away", false]);
  // ticks are drawn all the same
  history.add([tick(now(), 1000)]);
  assertEquals(history.candles.length, 1);
  await clock.advance(60_000);
  const tries = server.asked.filter((path) => path.startsWith("api/candles")).length;
  assert(tries >= 6 && tries <= 12, String(tries));
  server.trouble = undefined;
  await clock.advance(10_000);
  assertEquals([history.trouble, history.isLoaded], [undefined, true]);
});

Deno.test("page history: closed, it asks nothing more", async () => {
  const each = scene("1s", past(20));
  await each.clock.advance(10);
  each.history.close();
  each.history.refresh();
  const before = each.server.asked.length;
  await each.clock.advance(300_000);
  assertEquals(each.server.asked.length, before);
});

function gap(opened: number, to: number | null, more: Partial<WireGap> = {}): WireGap {
  return {
    product: PRODUCT,
    opened,
    from: opened - 5,
    to,
    reason: "link-closed",
    dropped: 0,
    missed: true,
    ...more,
  };
}

Deno.test("page history: a gap that lasts grows with time, and its end is seen though nobody told of it", async () => {
  using each = scene("1s", past(30));
  const { clock, history, server, now } = each;
  await clock.advance(10);
  history.draw();
  const opened = now();
  history.addGaps([gap(opened, null), gap(opened, null, { product: "ETH-USD", opened: opened + 1 })]);
  const first = history.draw();
  assertEquals(first?.regions.map(({ open }) => open), [true]);
  await clock.advance(4000);
  const later = history.draw();
  assertEquals(later?.all, true, "places on the axis were added");
  assert((later?.blanks().length ?? 0) > (first?.blanks().length ?? 0));
  server.gaps.push(gap(opened, opened + 6));
  await clock.advance(70_000);
  assertEquals(history.draw()?.regions.map(({ open, to }) => [open, to]), [[false, opened + 6]]);
});

Deno.test("page history: the end that the stream told is kept though the store does not know it yet", async () => {
  using each = scene("1s", (server, now) => {
    past(30)(server, now);
    server.gaps.push(gap(now, null));
  });
  const { clock, history, now } = each;
  const opened = now();
  await clock.advance(10);
  assertEquals(history.draw()?.regions.map(({ open }) => open), [true]);
  history.addGaps([gap(opened, opened + 2)]);
  history.refresh();
  await clock.advance(10);
  assertEquals(history.draw()?.regions.map(({ open }) => open), [false]);
});

Deno.test("page history: candles that a gap of the stream touches are incomplete before the server says so", async () => {
  using each = scene("1s", past(30));
  const { clock, history, now } = each;
  await clock.advance(10);
  const marked = () => history.candles.filter(({ incomplete }) => incomplete).length;
  assertEquals(marked(), 0);
  const opened = Math.floor(now());
  const lost = gap(opened, null, { from: opened - 20, reason: "store-failed", dropped: 1 });
  history.addGaps([lost]);
  assertEquals(marked(), 20, "all from its start on");
  assertEquals(history.draw()?.regions.map(({ open }) => open), [true]);
  history.addGaps([{ ...lost, to: opened - 15, dropped: 5 }]);
  assertEquals(marked(), 6, "its end is one of them");
  history.refresh();
  await clock.advance(10);
  assertEquals(marked(), 6, "also after an answer of a server that has not stored it");
  history.addGaps([{ ...lost, to: opened - 15, missed: false }]);
  assertEquals(marked(), 0);
});

Deno.test("page history: what is drawn once is not drawn again", async () => {
  using each = scene("1m", past(30));
  const { clock, history } = each;
  await clock.advance(10);
  assert(history.draw() !== undefined);
  assertEquals(history.draw(), undefined);
});
