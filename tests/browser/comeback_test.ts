// The page after its server or its line was gone: it comes back by itself, and the chart has no hole.

import { assert, assertEquals } from "@std/assert";
import { until } from "../integration/feed.ts";
import type { Tab } from "./chromium.ts";
import {
  assertClean,
  assertDrawn,
  browserTest,
  drawnCandles,
  openScene,
  type PlainCandle,
  plainCandles,
  type Scene,
} from "./scene.ts";

const PATH = "/?product=BTC-USD&interval=1s";
/** What a browser says of a server that is away; nobody can keep it from saying so. */
const AWAY = /net::ERR_|Failed to load resource|50[234]: /;

const away = (tab: Tab) =>
  tab.until(
    "the strip says that the program does not answer",
    () => {
      const truth = __page.strip();
      return truth?.kind === "away" && truth.level === "bad" &&
          /^no answer from the program for \d+ s/.test(truth.text) ||
        truth;
    },
    undefined,
    20_000,
  );

const back = (tab: Tab) =>
  tab.until("the strip says live", () => __page.strip()?.kind === "live" || __page.strip(), undefined, 30_000);

/** The candles that the store has, in the page's words. */
async function storedCandles({ program }: Scene): Promise<PlainCandle[]> {
  const candles = await program.get<PlainCandle[]>("/api/candles?product=BTC-USD&interval=1s&limit=10000");
  return candles.map(({ time, open, high, low, close, ticks }) => ({ time, open, high, low, close, ticks }));
}

browserTest(
  "kill -9 and a new start: the page comes back by itself, draws what is stored, and shades what nobody saw",
  async () => {
    await using scene = await openScene({ ticksPerSecond: 10, path: PATH, settings: { STALE_AFTER_MS: "2000" } });
    const { simulator, program, tab } = scene;
    // the first is touched by the start's own gap, the last two by the kill
    await tab.until("candles are drawn", () => __page.candles().length > 9);
    const since = await tab.page.evaluate(() => {
      (globalThis as { same?: boolean }).same = true;
      return __page.candles()[0]?.time;
    });
    await program.kill("SIGKILL");
    await away(tab);
    await program.startAgain();
    await back(tab);
    await tab.until(
      "the restart is shaded",
      () =>
        __page.regions().some(({ gap, open }) => gap.reason === "restart" && gap.from !== null && !open) ||
        __page.regions(),
      undefined,
      20_000,
    );
    simulator.levers.quiet("BTC-USD", true);
    await tab.until(
      "BTC-USD is quiet",
      () => document.querySelector<HTMLElement>('[data-product="BTC-USD"]')?.dataset.state === "quiet",
    );
    const stored = await storedCandles(scene);
    // also the last candle before the kill: the page never shows what the program had no time to store
    await until("the page has drawn what is stored", async () => {
      return JSON.stringify(await drawnCandles(tab)) === JSON.stringify(stored);
    }, 60_000).catch(async () => assertEquals(await drawnCandles(tab), stored));
    assertEquals(stored[0]?.time, since);
    // what was stored is what was sent, but for the ticks inside the gap
    const gaps = await program.get<{ from: number | null; to: number | null; missed: boolean }[]>(
      "/api/gaps?product=BTC-USD",
    );
    const touched = ({ time }: PlainCandle) =>
      gaps.some(({ from, to, missed }) => missed && (from ?? 0) < time + 1 && (to ?? Infinity) >= time);
    const whole = (candles: PlainCandle[]) => candles.filter((candle) => !touched(candle));
    assertEquals(whole(stored), whole(plainCandles(simulator, "BTC-USD", "1s")));
    assert(whole(stored).length > 5);
    const incomplete = await tab.page.evaluate(() =>
      __page.candles().filter(({ incomplete }) => incomplete).map(({ time }) => time)
    );
    // before the first start nothing is missing
    const [first, ...others] = gaps;
    assertEquals(first?.from, null);
    const marked = stored.filter(({ time }) =>
      others.some(({ from, to, missed }) => missed && (from ?? 0) < time + 1 && (to ?? Infinity) >= time)
    );
    assertEquals(incomplete, marked.map(({ time }) => time));
    // it was not loaded anew
    assertEquals(await tab.page.evaluate(() => (globalThis as { same?: boolean }).same), true);
    tab.forgive(AWAY);
    assertClean(scene);
  },
);

browserTest("an orderly stop and a new start after a while: back by itself", async () => {
  await using scene = await openScene({ ticksPerSecond: 10, path: PATH });
  const { program, tab } = scene;
  await tab.until("candles are drawn", () => __page.candles().length > 5);
  await program.stop();
  await away(tab);
  await program.startAgain();
  await back(tab);
  await tab.until("candles go on", () => {
    const last = __page.candles().at(-1)?.time ?? 0;
    return last > Date.now() / 1000 - 3 || last;
  });
  await tab.until("the time between is shaded", () => __page.regions().length > 0);
  tab.forgive(AWAY);
  assertClean(scene);
});

browserTest("the network is gone for a while, and the program goes on: no hole, no gap", async () => {
  await using scene = await openScene({ ticksPerSecond: 10, path: PATH, relayed: true });
  const { simulator, tab, relay } = scene;
  assert(relay !== undefined);
  await tab.until("candles are drawn", () => __page.candles().length > 5);
  await relay.cut();
  await away(tab);
  const drawn = await drawnCandles(tab);
  await until(
    "candles have passed it by",
    () => plainCandles(simulator, "BTC-USD", "1s").length > drawn.length + 3,
  );
  relay.join();
  await back(tab);
  simulator.levers.quiet("BTC-USD", true);
  await assertDrawn(scene, "BTC-USD", "1s");
  const after = await drawnCandles(tab);
  assert(after.length > drawn.length + 2);
  assertEquals(await tab.page.evaluate(() => __page.regions().filter(({ gap }) => gap.reason !== "restart")), []);
  tab.forgive(AWAY);
  assertClean(scene);
});

browserTest("a line that is dead and tells nobody: noticed, opened anew, no hole", async () => {
  await using scene = await openScene({ ticksPerSecond: 10, path: PATH, relayed: true });
  const { simulator, tab, relay } = scene;
  assert(relay !== undefined);
  await tab.until("candles are drawn", () => __page.candles().length > 5);
  relay.hush(true);
  await away(tab);
  // the old connections stay dead, as behind a router that forgot them
  await relay.cut();
  relay.hush(false);
  relay.join();
  await back(tab);
  simulator.levers.quiet("BTC-USD", true);
  await assertDrawn(scene, "BTC-USD", "1s");
  tab.forgive(AWAY);
  assertClean(scene);
});

browserTest("a tab that nobody sees receives nothing, and has all candles when it is seen again", async () => {
  await using scene = await openScene({ ticksPerSecond: 10, path: PATH, relayed: true });
  const { simulator, tab, relay, visitor, url } = scene;
  assert(relay !== undefined);
  await tab.until("candles are drawn", () => __page.candles().length > 5);
  const other = await visitor.visit(`${url}/?product=ETH-USD&interval=1s`);
  await other.until("candles are drawn", () => __page.candles().length > 0);
  // in headless Chromium all tabs are visible
  const setHidden = (tab: Tab, isHidden: boolean) =>
    tab.page.evaluate((visibilityState) => {
      Object.defineProperty(document, "visibilityState", { value: visibilityState, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, isHidden ? "hidden" : "visible");
  await setHidden(tab, true);
  const drawn = await drawnCandles(tab);
  simulator.levers.late(20_000, "BTC-USD");
  await until(
    "candles have passed it by",
    () => plainCandles(simulator, "BTC-USD", "1s").length > drawn.length + 5,
  );
  assertEquals(await drawnCandles(tab), drawn);
  simulator.levers.quiet("BTC-USD", true);
  await setHidden(tab, false);
  await assertDrawn(scene, "BTC-USD", "1s");
  for (const each of [tab, other]) await setHidden(each, true);
  await until("the stream has ended", () => relay.open("/api/stream") === 0, 30_000);
  await setHidden(other, false);
  const before = await other.page.evaluate(() => __page.candles().length);
  await other.until("its candles go on", (count) => __page.candles().length > count, before);
  assertEquals(other.troubles, []);
  assertClean(scene);
});
