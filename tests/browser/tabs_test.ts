// Many tabs of one browser: they share one stream, since a browser opens six connections to a host and no more.

import { assert, assertEquals, assertLess } from "@std/assert";
import { until } from "../integration/feed.ts";
import type { Tab } from "./chromium.ts";
import { assertClean, browserTest, openScene } from "./scene.ts";

const STREAM = "/api/stream";
const lively = (tab: Tab) =>
  tab.until(
    "candles are drawn and prices come",
    () => __page.candles().length > 0 && __page.strip()?.kind === "live" || __page.strip(),
  );

browserTest("two tabs share one SharedWorker and its stream; eight work as well as one", async () => {
  await using scene = await openScene({ relayed: true, path: "/?product=BTC-USD&interval=1s" });
  const { tab, relay, visitor, chromium, url, program } = scene;
  assert(relay !== undefined);
  await lively(tab);
  assertEquals(await tab.page.evaluate(() => __page.isShared()), true);
  const alone = relay.open(STREAM);
  assertEquals(alone, 1);

  const second = await visitor.visit(`${url}/?product=BTC-USD&interval=1m`);
  await lively(second);
  await until("there is still one stream", () => relay.open(STREAM) === alone);
  assertEquals((await chromium.sharedWorkers()).length, 1);

  const { simulator } = scene;
  const more = [];
  for (const product of simulator.products.slice(2, 8)) {
    const tab = await visitor.visit(`${url}/?product=${product}&interval=1s`);
    await lively(tab);
    more.push(tab);
  }
  await until("there is one stream", () => relay.open(STREAM) === 1);
  assertEquals((await chromium.sharedWorkers()).length, 1);
  // each tab draws its own product on
  for (const [i, each] of [tab, second, ...more].entries()) {
    await each.until(`tab ${i} goes on`, (from) => {
      const ticks = __page.candles().reduce((sum, { ticks }) => sum + ticks, 0);
      return ticks > from || ticks;
    }, await each.page.evaluate(() => __page.candles().reduce((sum, { ticks }) => sum + ticks, 0)));
  }
  for (const each of [second, ...more]) {
    assertEquals([each.troubles, each.foreign], [[], []]);
    await each.page.close();
  }
  await until("the stream is that of one tab again", () => relay.open(STREAM) === 1);
  assertLess((await program.get<{ now: number }>("/api/status")).now, Infinity);
  await lively(tab);
  assertClean(scene);
});

browserTest("without SharedWorker, as on Android, each tab has its own stream", async () => {
  await using scene = await openScene({ relayed: true, path: "/?product=BTC-USD&interval=1s" });
  const { relay, visitor, chromium, url, tab } = scene;
  assert(relay !== undefined);
  await lively(tab);
  await tab.page.close();
  await using poor = await chromium.open();
  await poor.context.addInitScript("delete globalThis.SharedWorker");
  const lone = await poor.visit(`${url}/?product=BTC-USD&interval=1s`);
  await lively(lone);
  assertEquals(await lone.page.evaluate(() => __page.isShared()), false);
  const before = await lone.page.evaluate(() => __page.candles().length);
  await lone.until("candles go on", (count) => __page.candles().length > count, before);
  assert(lone.requests.some((request) => request.includes(STREAM)));
  assertEquals([lone.troubles, lone.foreign, chromium.foreign], [[], [], []]);
  await visitor.context.close();
});
