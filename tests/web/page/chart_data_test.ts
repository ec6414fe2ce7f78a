import { assert, assertEquals } from "@std/assert";
import type { Interval } from "../../../src/core/candle.ts";
import { ChartData, MAX_CANDLES } from "../../../src/web/page/chart_data.ts";
import { indexFrom } from "../../../src/web/page/search.ts";
import type { WireCandle, WireGap, WireTick } from "../../../src/web/page/wire.ts";
import { forSeeds } from "../../fakes/random.ts";
import { FakeServer, PRODUCT, randomTicks, serverCandles } from "./market.ts";
import { FakePageClock } from "./page_clock.ts";

interface Scene extends Disposable {
  readonly clock: FakePageClock;
  readonly server: FakeServer;
  readonly data: ChartData;
  /** Seconds of the clock. */
  now(): number;
}

function scene(interval: Interval, prepare: (server: FakeServer, now: number) => void = () => {}): Scene {
  const clock = new FakePageClock();
  const server = new FakeServer(() => clock.now());
  prepare(server, clock.now() / 1000);
  const data = new ChartData({
    product: PRODUCT,
    interval,
    ask: server.ask,
    messageOf: (error) => (error as Error).message,
    onChange: () => {},
    clock,
    serverAhead: () => 0,
  });
  return { clock, server, data, now: () => clock.now() / 1000, [Symbol.dispose]: () => data.close() };
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

function stored({ server, clock }: Scene, interval: Interval): WireCandle[] {
  return serverCandles(server.ticks, interval, clock.now());
}

function assertStored(scene: Scene, interval: Interval): void {
  scene.data.draw();
  assertEquals([...scene.data.candles], stored(scene, interval));
}

/** Draws as a chart does: all candles, or those that changed and those that are new at the end. */
class Mirror {
  candles: WireCandle[] = [];

  draw(data: ChartData): void {
    const drawing = data.draw();
    if (drawing?.all) this.candles = [...drawing.candles];
    else {
      for (const candle of drawing?.changed ?? []) {
        const place = indexFrom(this.candles, candle.time);
        assert(place === this.candles.length || this.candles[place]?.time === candle.time, "only the end grows");
        this.candles[place] = candle;
      }
    }
    assertEquals(this.candles, [...data.candles]);
  }
}

Deno.test("chart data: loads the newest page, then the stream's candles replace those with the same time or are added", async () => {
  using each = scene("1s", past(50));
  const { clock, data, server, now } = each;
  assertEquals(data.isLoaded, false);
  await clock.advance(0);
  assertEquals(data.isLoaded, true);
  const mirror = new Mirror();
  mirror.draw(data);
  assertEquals(mirror.candles, stored(each, "1s"));
  for (let i = 0; i < 100; i++) {
    for (const candle of server.store("1s", tick(now(), 100 + i, 20 + i))) data.addCandle(candle);
    await clock.advance(300);
    mirror.draw(data);
    assertEquals(mirror.candles, stored(each, "1s"));
  }
});

Deno.test("chart data: candles of other products and intervals change nothing", async () => {
  using each = scene("1s", past(50));
  await each.clock.advance(0);
  const [candle] = each.server.store("1s", tick(each.now(), 100));
  assert(candle !== undefined);
  each.data.addCandle({ ...candle, interval: "5s" });
  each.data.addCandle({ ...candle, product: "ETH-USD" });
  assertEquals(each.data.candles.length, 50);
});

Deno.test("chart data: late ticks, breaks of the stream, slow and overtaken answers: in the end it equals the store", async () => {
  await forSeeds(20, async (random) => {
    const interval = random.pick<Interval>(["1s", "5s", "15s", "1m"]);
    const ticks = randomTicks(random, 150);
    const known = random.int(0, 80);
    const wait = (clock: FakePageClock) => new Promise<void>((resolve) => clock.after(random.int(0, 400), resolve));
    using each = scene(interval, (server) => server.ticks.push(...ticks.slice(0, known)));
    const { clock, data, server } = each;
    server.delay = () => wait(clock);
    clock.sleep((ticks[known]?.time ?? 0) * 1000 - clock.now());
    const mirror = new Mirror();
    let isOpen = false;
    let arrival = 0;
    for (const next of ticks.slice(known)) {
      await clock.advance(Math.max(0, Math.min(2000, next.time * 1000 - clock.now())));
      const events = server.store(interval, next);
      // events arrive in order, each a while after it was read
      arrival = Math.max(arrival, clock.now() + random.int(0, 300));
      for (const candle of isOpen ? events : []) clock.after(arrival - clock.now(), () => data.addCandle(candle));
      if (random.chance(0.1)) isOpen = false;
      else if (!isOpen && random.chance(0.3)) {
        isOpen = true;
        data.refresh();
      }
      if (random.chance(0.05)) void data.loadOlder();
      if (random.chance(0.3)) mirror.draw(data);
    }
    if (!isOpen) data.refresh();
    await clock.advance(5000);
    mirror.draw(data);
    assertEquals(mirror.candles, stored(each, interval));
  });
});

Deno.test("chart data: a late tick before the first candle waits for its page, unless there is none", async () => {
  using each = scene("1s", past(1500));
  const { clock, data, server, now } = each;
  await clock.advance(0);
  for (const candle of server.store("1s", tick(now() - 1200.5, 5000, 99))) data.addCandle(candle);
  assertEquals(data.candles.length, 1000);
  await data.loadOlder();
  assertStored(each, "1s");
  assertEquals(data.hasAll, true);
  for (const candle of server.store("1s", tick(now() - 3000, 5001, 99))) data.addCandle(candle);
  assertStored(each, "1s");
});

Deno.test("chart data: what the stream sends while a page is on its way is newer than the page", async () => {
  using each = scene("1s", past(1500));
  const { clock, data, server, now } = each;
  await clock.advance(0);
  server.delay = () => new Promise((resolve) => clock.after(100, resolve));
  const older = data.loadOlder();
  await clock.advance(150);
  for (const candle of server.store("1s", tick(now() - 1200.5, 5000, 99))) data.addCandle(candle);
  await clock.advance(100);
  await older;
  assertStored(each, "1s");
});

Deno.test("chart data: an hour away, and then all of it", async () => {
  using each = scene("1s", past(60));
  const { clock, data, server, now } = each;
  await clock.advance(10);
  clock.sleep(3_600_000);
  for (let i = 3599; i > 0; i--) server.ticks.push(tick(Math.floor(now()) - i, 10_000 - i, 30 + i % 9));
  data.refresh();
  await clock.advance(10);
  assertStored(each, "1s");
});

Deno.test("chart data: away for longer than one answer holds, it begins anew with the newest", async () => {
  using each = scene("1s", past(60));
  const { clock, data, server, now } = each;
  await clock.advance(10);
  clock.sleep(12_000_000);
  for (let i = 11_999; i > 0; i--) server.ticks.push(tick(Math.floor(now()) - i, 100_000 - i));
  data.refresh();
  await clock.advance(10);
  data.draw();
  assertEquals([...data.candles], stored(each, "1s").slice(-1000));
  assertEquals(data.hasAll, false);
});

Deno.test("chart data: a candle before the first one, made by a late tick that was missed, is fetched", async () => {
  using each = scene("1m", past(300));
  const { clock, data, server, now } = each;
  await clock.advance(10);
  server.ticks.push(tick(now() - 1000, 5000));
  data.refresh();
  await clock.advance(10);
  assertStored(each, "1m");
});

Deno.test("chart data: what the store no longer has goes", async () => {
  using each = scene("1m", past(300));
  const { clock, data, server } = each;
  await clock.advance(10);
  server.ticks.splice(0, 200);
  data.refresh();
  await clock.advance(10);
  assertStored(each, "1m");
});

Deno.test("chart data: scrolled to its left end it grows there, until there is no more", async () => {
  using each = scene("1s", past(2500));
  const { clock, data } = each;
  await clock.advance(0);
  const lengths = [data.candles.length];
  for (let i = 0; i < 4; i++) {
    await Promise.all([data.loadOlder(), data.loadOlder()]);
    lengths.push(data.candles.length);
  }
  assertEquals(lengths, [1000, 2000, 2500, 2500, 2500]);
  assertEquals(data.hasAll, true);
  assertStored(each, "1s");
});

Deno.test("chart data: the oldest candles are forgotten, a thousand at once", async () => {
  using each = scene("1s", past(20));
  const { clock, data, now } = each;
  await clock.advance(0);
  const start = Math.floor(now());
  const [first] = data.candles;
  assert(first !== undefined);
  for (let i = 0; i < MAX_CANDLES; i++) {
    data.addCandle({ ...first, product: PRODUCT, interval: "1s", time: start + i });
  }
  assert(data.candles.length <= MAX_CANDLES - 1000 + 20, String(data.candles.length));
  assertEquals([data.candles.at(-1)?.time, data.hasAll], [start + MAX_CANDLES - 1, false]);
});

Deno.test("chart data: a candle is over with its window, without an event", async () => {
  using each = scene("1m", (server, now) => server.ticks.push(tick(now + 5, 1)));
  const { clock, data } = each;
  await clock.advance(59_900);
  assertEquals(data.draw()?.candles.map(({ running }) => running), [true]);
  assertEquals(data.draw(), undefined);
  await clock.advance(100);
  assertEquals(data.draw()?.changed.map(({ running }) => running), [false]);
});

Deno.test("chart data: a server in trouble is named, asked again, and forgiven", async () => {
  using each = scene("1s", (server, now) => {
    past(20)(server, now);
    server.trouble = new Error("the store is away");
  });
  const { clock, data, server } = each;
  await clock.advance(0);
  assertEquals([data.trouble, data.isLoaded], ["the store is away", false]);
  await clock.advance(60_000);
  const tries = server.asked.filter((path) => path.startsWith("api/candles")).length;
  assert(tries >= 6 && tries <= 12, String(tries));
  server.trouble = undefined;
  await clock.advance(10_000);
  assertEquals([data.trouble, data.isLoaded], [undefined, true]);
  assertStored(each, "1s");
});

Deno.test("chart data: closed, it asks nothing more", async () => {
  const each = scene("1s", (server) => server.trouble = new Error("the store is away"));
  await each.clock.advance(10);
  each.data.close();
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

Deno.test("chart data: a gap that lasts grows with time, and ends", async () => {
  using each = scene("1s", past(30));
  const { clock, data, now } = each;
  await clock.advance(10);
  data.draw();
  const opened = now();
  data.addGap(gap(opened, null));
  data.addGap(gap(opened + 1, null, { product: "ETH-USD" }));
  const first = data.draw();
  assertEquals(first?.regions.map(({ open }) => open), [true]);
  await clock.advance(4000);
  const later = data.draw();
  assertEquals(later?.all, true, "places on the axis were added");
  assert((later?.blanks().length ?? 0) > (first?.blanks().length ?? 0));
  data.addGap(gap(opened, opened + 6));
  assertEquals(data.draw()?.regions.map(({ open, to }) => [open, to]), [[false, opened + 6]]);
});

Deno.test("chart data: a gap whose end only the store knows ends when it is fetched", async () => {
  using each = scene("1s", (server, now) => {
    past(30)(server, now);
    server.gaps.push(gap(now, null));
  });
  const { clock, data, server, now } = each;
  const opened = now();
  await clock.advance(10);
  assertEquals(data.draw()?.regions.map(({ open }) => open), [true]);
  server.gaps[0] = gap(opened, opened + 2);
  data.refresh();
  await clock.advance(10);
  assertEquals(data.draw()?.regions.map(({ open }) => open), [false]);
});

Deno.test("chart data: the end that the stream sent is kept though the store does not know it yet", async () => {
  using each = scene("1s", (server, now) => {
    past(30)(server, now);
    server.gaps.push(gap(now, null));
  });
  const { clock, data, now } = each;
  const opened = now();
  await clock.advance(10);
  data.addGap(gap(opened, opened + 2));
  data.refresh();
  await clock.advance(10);
  assertEquals(data.draw()?.regions.map(({ open }) => open), [false]);
});

Deno.test("chart data: what is drawn once is not drawn again", async () => {
  using each = scene("1m", past(30));
  const { clock, data } = each;
  await clock.advance(10);
  assert(data.draw() !== undefined);
  assertEquals(data.draw(), undefined);
});
