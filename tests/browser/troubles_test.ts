// What goes wrong with the exchange, and what the page makes of it: the strip, the list, the chart; and that all heals.

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import type { GapReason } from "../../src/core/record.ts";
import { until } from "../integration/feed.ts";
import { assertClean, assertDrawn, browserTest, drawnCandles, openScene, type Scene } from "./scene.ts";

const live = ({ tab }: Scene) =>
  tab.until("the strip says live again", () => __page.strip()?.kind === "live", undefined, 30_000);

/** Waits until a closed gap with this reason is shaded. */
const shaded = ({ tab }: Scene, reason: GapReason) =>
  tab.until(
    `a gap "${reason}" is shaded`,
    (wanted) => {
      const regions = __page.regions();
      return regions.some(({ gap, open }) => gap.reason === wanted && !open) || regions;
    },
    reason,
    30_000,
  );

browserTest(
  "the exchange hangs up and stays away: the strip counts down, the gap is shaded, the candles it touches say so",
  async () => {
    await using scene = await openScene({ ticksPerSecond: 10, path: "/?product=BTC-USD&interval=1s" });
    const { simulator, tab } = scene;
    await tab.until("candles are drawn", () => __page.candles().length > 3);
    simulator.levers.refuseUpgrade(true);
    simulator.levers.hangUp();
    await tab.until(
      "the strip says that there is no data, and when the next try is",
      () => /^no data from Coinbase for \d+ s, next try in \d+ s/.test(__page.strip()?.text ?? "") || __page.strip(),
    );
    assertEquals(await tab.page.getAttribute("#strip", "data-level"), "bad");
    await tab.until("an open gap is shaded", () => __page.regions().some(({ open }) => open));
    await tab.until("the shade lasts for three seconds", () => __page.regions().some(({ from, to }) => to - from > 3));
    simulator.levers.refuseUpgrade(false);
    await live(scene);
    await shaded(scene, "link-closed");
    await tab.until(
      "the candles beside the gap are incomplete",
      () => __page.candles().filter(({ incomplete }) => incomplete).length >= 2,
    );
    const [region] = await tab.page.evaluate(() => __page.regions());
    assert(region !== undefined);
    // no candle, and no line, inside: nobody knows what was traded
    const inside = (await drawnCandles(tab)).filter(({ time }) => time > region.from && time + 1 < region.to);
    assertEquals(inside, []);
    simulator.levers.quiet("BTC-USD", true);
    await assertDrawn(scene, "BTC-USD", "1s");
    assertClean(scene);
  },
);

browserTest("silence on an open connection: said, shaded, healed", async () => {
  await using scene = await openScene({
    ticksPerSecond: 10,
    path: "/?product=BTC-USD&interval=1s",
    settings: { STALE_AFTER_MS: "2000" },
  });
  const { program, simulator, tab } = scene;
  await tab.until("candles are drawn", () => __page.candles().length > 3);
  simulator.levers.silent(true);
  await tab.until("the strip says that nothing comes", () => {
    const truth = __page.strip();
    return truth?.level === "bad" && /^no data from Coinbase for \d+ s/.test(truth.text) || truth;
  });
  // the page may see it half a second before the program gives up the connection
  await until("the connection is given up", async () => {
    const { gaps } = await program.get<{ gaps: { reason: string }[] }>("/api/status");
    return gaps.some(({ reason }) => reason === "link-silent");
  });
  simulator.levers.silent(false);
  await live(scene);
  await shaded(scene, "link-silent");
  assertClean(scene);
});

browserTest(
  "one product stops, one is quiet, one is delisted: each says what it is, and the others stay live",
  async (t) => {
    await using scene = await openScene({
      ticksPerSecond: 10,
      path: "/?product=BTC-USD&interval=1s",
      settings: { STALE_AFTER_MS: "3000" },
    });
    const { simulator, tab } = scene;
    const { page } = tab;
    const { levers } = simulator;
    const state = (product: string, wanted: string) =>
      tab.until(
        `${product} is ${wanted}`,
        ([product, wanted]) => {
          const row = document.querySelector<HTMLElement>(`[data-product="${product}"]`);
          return row?.dataset.state === wanted || row?.innerText;
        },
        [product, wanted] as const,
        30_000,
      );
    await tab.until("candles are drawn", () => __page.candles().length > 3);

    await t.step("stalled", async () => {
      levers.loseProduct("BTC-USD", true);
      await state("BTC-USD", "stalled");
      await tab.until(
        "the strip names it",
        () => /^live.*; Coinbase sends no more ticks of BTC-USD$/.test(__page.strip()?.text ?? "") || __page.strip(),
      );
      assertMatch(await page.innerText("#age"), /^no more ticks from the exchange; last tick \d+ s ago$/);
      assertEquals(await page.getAttribute('[data-product="ETH-USD"]', "data-state"), "live");
      levers.loseProduct("BTC-USD", false);
      await state("BTC-USD", "live");
      await live(scene);
      await shaded(scene, "stalled");
    });

    await t.step("quiet is not stalled, and no gap", async () => {
      const before = (await page.evaluate(() => __page.regions())).length;
      levers.quiet("BTC-USD", true);
      await state("BTC-USD", "quiet");
      await tab.until(
        "the head says so",
        () => /^no trades now/.test(document.getElementById("age")?.textContent ?? ""),
      );
      assertEquals(await page.getAttribute("#strip", "data-level"), "good");
      levers.quiet("BTC-USD", false);
      await state("BTC-USD", "live");
      assertEquals(
        (await page.evaluate(() => __page.regions())).length,
        before,
      );
    });

    await t.step("delisted", async () => {
      levers.wrongProductErrors("DOT-USD");
      await state("DOT-USD", "refused");
      assertMatch(await page.getAttribute('[data-product="DOT-USD"] .state', "title") ?? "", /DOT-USD is delisted/);
      await tab.until(
        "the strip names it",
        () => /Coinbase refused DOT-USD$/.test(__page.strip()?.text ?? "") || __page.strip(),
      );
      await page.click('[data-product="DOT-USD"]');
      await tab.until(
        "the head says why",
        () => /^refused by the exchange \(.*delisted.*\)/.test(document.getElementById("age")?.textContent ?? ""),
      );
      assertEquals(await page.getAttribute('[data-product="ETH-USD"]', "data-state"), "live");
    });
    assertClean(scene);
  },
);

browserTest("whatever is chosen while nothing comes, no age on the page is smaller than the API's", async () => {
  await using scene = await openScene({ ticksPerSecond: 10, batchMs: 500, channel: "ticker_batch" });
  const { simulator, program, tab } = scene;
  await live(scene);
  simulator.levers.silent(true);
  await until("the last ticks are some seconds old", async () => {
    const products = await program.get<{ ageSeconds?: number }[]>("/api/products");
    return products.every(({ ageSeconds = 0 }) => ageSeconds >= 5);
  });
  for (const product of simulator.products) {
    await tab.page.click(`[data-product="${product}"]`);
    await tab.until(
      "its candles are there",
      (wanted) => __page.selection().product === wanted && __page.isLoaded(),
      product,
    );
    // the stream brings again what it knows; each page shows that a moment later
    const draws = await tab.page.evaluate(() => __page.draws());
    await tab.until("the page was drawn several times", (before) => __page.draws() > before + 6, draws);
    const shown = await tab.page.evaluate(async () => {
      const products: { product: string; ageSeconds: number }[] = await (await fetch("api/products")).json();
      const seconds = (text: string | undefined) => Number(/(\d+) s\b/.exec(text ?? "")?.[1] ?? 0);
      const { product: chosen } = __page.selection();
      return products.map(({ product, ageSeconds }) => ({
        product,
        api: Math.floor(ageSeconds),
        row: seconds(document.querySelector<HTMLElement>(`[data-product="${product}"] .state`)?.innerText),
        head: product === chosen ? seconds(document.getElementById("age")?.innerText) : undefined,
      }));
    });
    assertEquals(shown.filter(({ api, row, head = api }) => row < api - 1 || head < api - 1), []);
    if (shown.some(({ api }) => api > 50)) break;
  }
  assertClean(scene);
});

browserTest("junk, repeats and a flood move no candle that they should not move", async () => {
  await using scene = await openScene({ ticksPerSecond: 10, path: "/?product=BTC-USD&interval=5s" });
  const { simulator, tab, program } = scene;
  const { levers } = simulator;
  await tab.until("candles are drawn", () => __page.candles().length > 1);
  levers.junk(62);
  levers.repeat(500);
  levers.cutOff("BTC-USD");
  levers.flood(5000, 3000);
  const sent = simulator.sentCount;
  await tab.until(
    "the flood is on the page",
    (wanted) => __page.candles().reduce((sum, { ticks }) => sum + ticks, 0) > wanted,
    1000,
  );
  assertGreater(simulator.sentCount, sent);
  levers.quiet("BTC-USD", true);
  await assertDrawn(scene, "BTC-USD", "5s");
  const { counters } = await program.get<{ counters: { rejected: Record<string, number>; repeated: number } }>(
    "/api/status",
  );
  assertGreater(Object.values(counters.rejected).reduce((sum, count) => sum + count, 0), 50);
  assertEquals(counters.repeated >= 500, true);
  assertClean(scene);
});
