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
    const killed = Date.now() / 1000;
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
    // the page may have seen, in the last moment, what the program had no time to store
    const last = stored.findLast(({ time }) => time <= killed);
    const comparable = (candles: readonly PlainCandle[]) => candles.filter(({ time }) => time !== last?.time);
    await until("the page has drawn what is stored", async () => {
      return JSON.stringify(comparable(await drawnCandles(tab))) === JSON.stringify(comparable(stored));
    }, 60_000).catch(async () => assertEquals(comparable(await drawnCandles(tab)), comparable(stored)));
    const seen = (await drawnCandles(tab)).find(({ time }) => time === last?.time);
    assert(seen !== undefined && last !== undefined && seen.ticks >= last.ticks, JSON.stringify([seen, last]));
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
