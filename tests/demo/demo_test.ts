// The demo with the real store: a day of candles at the start, and live prices that continue from it.

import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import type { Candle } from "../../src/core/candle.ts";
import { systemClock as clock } from "../../src/core/clock.ts";
import { Demo, type DemoOptions, HISTORY_MS } from "../../src/demo/demo.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Tick } from "../../src/core/record.ts";
import { SqliteSink } from "../../src/store/sink.ts";
import { Store } from "../../src/store/store.ts";
import { Notebook } from "../fakes/log.ts";
import { FakeSource } from "../fakes/source.ts";
import { until } from "../simulator/client.ts";
import { inTempDir } from "../fakes/folder.ts";
import { mayDemo, PRODUCTS, skipped, startLesson } from "./lesson.ts";
import { foldCandles } from "../fakes/candles.ts";

const never = new AbortController().signal;
const ETH = { exchange: "coinbase", product: PRODUCTS[0] ?? "" };

/** A test in a folder of its own. */
function demoTest(name: string, fn: (dir: string) => Promise<void>): void {
  Deno.test({
    name: `the demo ${name}${skipped}`,
    ignore: !mayDemo,
    fn: () => inTempDir(fn),
  });
}

function start(dir: string, more: Partial<DemoOptions> = {}): Promise<Demo> {
  return Demo.start({
    exchange: coinbase,
    products: PRODUCTS,
    channel: "ticker_batch",
    hasKafka: false,
    clock,
    dir,
    ...more,
  });
}

/** What a store keeps of a tick, besides where it comes from. */
const kept = (tick: Tick) => [tick.sequence, tick.price, tick.exchangeTimeUs, tick.tradeId, tick.lastSize, tick.side];
const plain = ({ openTime, open, high, low, close, ticks }: Candle) => ({ openTime, open, high, low, close, ticks });

demoTest(
  "has a day of history in its store at the start, and removes the file at the end",
  async (dir) => {
    const written: Tick[] = [];
    {
      await using demo = await start(dir);
      await using store = await Store.open(demo.storeFile, { log: new Notebook() });
      const isComplete = await demo.writeHistory((ticks) => {
        written.push(...ticks);
        return store.write(ticks, never);
      }, never);
      const age = Date.now() - Math.max(...written.slice(-3).map(({ receivedTime }) => receivedTime));
      assertLess(age, 8000, "the history ends now");
      assert(isComplete);
      const samples = written.length / PRODUCTS.length;
      assert(samples >= HISTORY_MS / 5000 && samples < HISTORY_MS / 5000 + 10, `${samples} samples of each product`);

      const ticks = written.filter(({ product }) => product === ETH.product);
      assertEquals((await store.ticks(ETH, { limit: 5 })).map(kept), ticks.slice(-5).map(kept));
      for (const interval of ["1m", "1h"] as const) {
        const stored = await store.candles(ETH, interval, { limit: 10_000 }, Date.now());
        assertEquals(stored.map(plain), foldCandles(ticks, interval).map(plain));
      }
      // the change over 24 hours is the one that the history shows, to the minute
      assertLess(Math.abs((ticks.at(-1)?.open24h ?? 0) / (ticks[0]?.price ?? 0) - 1), 0.005);
    }
    assertEquals((await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name), []);
  },
);

demoTest(
  "continues live where the history ends: prices, sequences and trade ids, and nothing was missed between",
  async (dir) => {
    await using lesson = await startLesson({
      dir,
      channel: "ticker_batch",
      pace: { batchMs: 1000, ticksPerSecond: 5 },
    });
    await until("each product has three ticks", () => lesson.ticks().length >= 3 * PRODUCTS.length);
    for (const product of PRODUCTS) {
      const before = lesson.history.findLast((tick) => tick.product === product);
      const ticks = lesson.ticks().filter((tick) => tick.product === product);
      assert(before !== undefined);
      let last = before;
      for (const tick of ticks) {
        assertGreater(tick.sequence, last.sequence);
        assertGreater(tick.tradeId ?? 0, last.tradeId ?? Infinity);
        assertLess((tick.tradeId ?? 0) - (last.tradeId ?? 0), 40);
        assertGreater(tick.exchangeTimeUs, last.exchangeTimeUs);
        assertLess(tick.exchangeTimeUs - last.exchangeTimeUs, 5e6);
        assertLess(Math.abs(tick.price / last.price - 1), 0.005);
        last = tick;
      }
    }
    const restarts = lesson.gaps().filter(({ reason, to }) => reason === "restart" && to !== null);
    assertEquals(restarts.length, PRODUCTS.length);
    assertEquals(restarts.filter(({ missed }) => missed), []);
    for (const { from, to } of restarts) assertLess((to ?? Infinity) - (from ?? 0), 5);
  },
);

demoTest("has the same prices each time, and other prices with another seed", async (dir) => {
  const prices = async (seed: number) => {
    await using demo = await start(dir, { seed, historyMs: 600_000 });
    const written: Tick[] = [];
    await demo.writeHistory((ticks) => Promise.resolve(void written.push(...ticks)), never);
    return written.slice(0, 300).map(({ product, price }) => `${product} ${price}`).sort();
  };
  const first = await prices(7);
  assertEquals(await prices(7), first);
  assert(first.join() !== (await prices(8)).join());
});

demoTest("stops in the middle of its history when the signal aborts, or when it cannot be written", async (dir) => {
  const stop = new AbortController();
  await using demo = await start(dir);
  let batches = 0;
  const isComplete = await demo.writeHistory(() => {
    if (++batches === 3) stop.abort(new DOMException("enough", "AbortError"));
    return Promise.resolve();
  }, stop.signal);
  assertEquals([isComplete, batches], [false, 3]);
  await assertRejects(() => demo.levers.pull("junk", {}), RangeError, "the day of history is not complete yet");
  // a write that is cut short by the signal is no failure
  await using cut = await start(dir);
  assertEquals(await cut.writeHistory(() => Promise.reject(stop.signal.reason), stop.signal), false);
  // a write that fails at that moment is one
  const failing = new AbortController();
  await using unlucky = await start(dir);
  const fail = () => {
    failing.abort();
    return Promise.reject(new Error("disk full"));
  };
  await assertRejects(() => unlucky.writeHistory(fail, failing.signal), Error, "disk full");
  await using other = await start(dir);
  await assertRejects(
    () => other.writeHistory(() => Promise.reject(new Error("disk full")), never),
    Error,
    "disk full",
  );
});

demoTest("stores live ticks while its levers are pulled, each tick once", async (dir) => {
  let store: Store | undefined;
  await using lesson = await startLesson({
    dir,
    sinks: (demo) => {
      store = new Store(demo.storeFile, { log: new Notebook() });
      return [new SqliteSink(store, undefined, demo.disk.wait)];
    },
  });
  await until("ticks are stored", () => lesson.stats.sink("sqlite").sent > 20);
  await lesson.pull("flood");
  await lesson.pull("slowDisk", { on: true });
  await lesson.pull("repeats");
  await lesson.pull("outOfOrder");
  await until("ticks wait for the disk", () => lesson.lane("sqlite").queueDepth > 500);
  await lesson.pull("slowDisk", { on: false });
  await until("the flood is stored", () => lesson.stats.sink("sqlite").sent > 30_000, 30_000);
  const stored = await store?.ticks(ETH, { limit: 10_000 }) ?? [];
  const ids = new Set(stored.map(({ sequence }) => sequence));
  assertEquals(ids.size, stored.length);
  const since = stored[0]?.exchangeTimeUs ?? 0;
  const told = lesson.ticks().filter((tick) => tick.product === ETH.product && tick.exchangeTimeUs > since);
  assertGreater(told.length, 5000);
  const newest = stored.at(-1)?.sequence ?? 0;
  assertEquals(told.filter(({ sequence }) => sequence <= newest && !ids.has(sequence)), []);
});

demoTest("logs the progress of its history if that takes longer, and not before", async (dir) => {
  for (const [stepMs, times] of [[1, 0], [600, 4]] as const) {
    const log = new Notebook();
    let elapsed = 0;
    const slow = { ...clock, elapsed: () => elapsed += stepMs };
    await using demo = await start(dir, { log, clock: slow, historyMs: 20 * 3_600_000 });
    await demo.writeHistory(() => Promise.resolve(), never);
    const told = log.find("info Making a day of history");
    assertEquals(told.length, times, told.join());
  }
});

demoTest(
  "writes its history as a source with its progress, refuses levers until it is complete, and then runs the feed",
  async (dir) => {
    await using demo = await start(dir, { historyMs: 3_600_000 });
    const written: Tick[] = [];
    const seen: (number | undefined)[] = [];
    let feed: FakeSource | undefined;
    let last: unknown;
    const source = demo.source(async (ticks) => {
      seen.push(source.status().historyDone);
      await assertRejects(() => demo.levers.pull("junk", {}), RangeError, "the day of history is not complete yet");
      written.push(...ticks);
    }, (positions) => {
      last = positions;
      return feed = new FakeSource();
    });
    const stop = new AbortController();
    const { link, products } = source.status();
    assertEquals([link, products.map(({ state }) => state)], ["connecting", PRODUCTS.map(() => "waiting")]);
    const done = source.run(() => {}, () => undefined, stop.signal);
    await until("the feed runs", () => feed !== undefined);
    assertEquals([...seen].sort(), seen);
    assertEquals(source.status(), feed?.status());
    assertEquals(last, PRODUCTS.map((product) => written.findLast((tick) => tick.product === product)));
    assertEquals(await demo.levers.pull("junk", {}), { reached: 0, frames: 31 });
    stop.abort();
    await done;
  },
);

demoTest("leaves nothing behind when it cannot start", async (dir) => {
  await assertRejects(() => start(dir, { historyMs: -1 }), RangeError, "pastMs");
  assertEquals((await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name), []);
});
