// How it looks and whom it serves: sizes from a phone to a wall, both themes, no motion, and axe's rules.

import { assert, assertEquals, assertGreater, assertLess, assertNotEquals } from "@std/assert";
import { until } from "../integration/feed.ts";
import { seriousFindings } from "./axe.ts";
import type { Tab } from "./chromium.ts";
import { assertClean, browserTest, openScene } from "./scene.ts";

/** Nothing reaches out of the window at the side, and what must be seen is on it. */
async function assertFits({ page }: Tab, width: number): Promise<void> {
  const tooWide = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const wide = [...document.querySelectorAll<HTMLElement>("body *")].filter((element) => {
      const { right, left, width } = element.getBoundingClientRect();
      return width > 0 && left >= 0 && right > clientWidth + 1 && getComputedStyle(element).position !== "absolute" &&
        !element.closest("#chart, svg, .way");
    });
    return {
      over: scrollWidth - clientWidth,
      wide: wide.slice(0, 5).map(({ id, className, tagName }) => `${tagName}#${id}.${className}`),
    };
  });
  assertEquals(tooWide, { over: 0, wide: [] }, `at ${width} px`);
  for (const id of ["strip-text", "product", "price", "chart", "filter", "products", "zone", "numbers-button"]) {
    const box = await page.locator(`#${id}`).boundingBox();
    assert(box !== null && box.width > 20 && box.height > 10, `#${id} is not seen at ${width} px`);
  }
  const chart = await page.locator("#chart").boundingBox();
  assert(chart !== null);
  assertGreater(chart.height, 200, `the chart at ${width} px`);
  assertGreater(chart.width, Math.min(330, width * 0.5), `the chart at ${width} px`);
}

const drawn = (tab: Tab) =>
  tab.until("candles are drawn", () => __page.candles().length > 2 && __page.strip()?.kind === "live");

browserTest("it fits 360 px, 800 px, 1020 px, 1280 px and 4k, with the numbers open too", async () => {
  await using scene = await openScene({ ticksPerSecond: 5, path: "/?interval=1s" });
  const { tab } = scene;
  await drawn(tab);
  for (const [width, height] of [[360, 740], [800, 600], [1020, 700], [1280, 800], [3840, 2160]] as const) {
    await tab.page.setViewportSize({ width, height });
    await tab.until("the chart has its new size", (width) => {
      const canvas = document.querySelector("#chart canvas")?.getBoundingClientRect();
      return innerWidth === width && canvas !== undefined && canvas.width > 0;
    }, width);
    await assertFits(tab, width);
    await tab.page.click("#numbers-button");
    await assertFits(tab, width);
    const cut = await tab.page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("#strip-text, .stage-title, .stage-text, .stage-note")]
        .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth + 1).map(({ innerText }) => innerText)
    );
    assertEquals(cut, [], `what is not seen at ${width} px`);
    await tab.page.click("#numbers-button");
  }
  assertClean(scene);
});

browserTest("dark and light by the system, also while it is open; the chart follows", async () => {
  await using scene = await openScene({ ticksPerSecond: 5, path: "/?interval=1s", visitor: { colorScheme: "dark" } });
  const { tab } = scene;
  const { page } = tab;
  await drawn(tab);
  const brightness = (selector: string) =>
    page.evaluate((selector) => {
      const element = document.querySelector(selector);
      const [r = 0, g = 0, b = 0] = (getComputedStyle(element ?? document.body).backgroundColor.match(/\d+/g) ?? [])
        .map(Number);
      return (r + g + b) / 3;
    }, selector);
  /** Of the chart's own canvas: near its left upper corner. */
  const painted = () =>
    page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>("#chart canvas");
      const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
      if (canvas !== null) copy?.drawImage(canvas, 3, 3, 1, 1, 0, 0, 1, 1);
      const [r = 0, g = 0, b = 0] = copy?.getImageData(0, 0, 1, 1).data ?? [];
      return (r + g + b) / 3;
    });
  assertLess(await brightness("body"), 60);
  assertLess(await painted(), 80);
  await page.emulateMedia({ colorScheme: "light" });
  await tab.until("the page is light", () => getComputedStyle(document.body).color !== "rgb(226, 230, 235)");
  assertGreater(await brightness("body"), 200);
  await until("the chart is light", async () => await painted() > 200);
  assertClean(scene);
});

browserTest(
  "axe finds nothing serious: both themes, wide and 360 px, numbers open, a product refused, a filter without hits",
  async () => {
    await using scene = await openScene({
      ticksPerSecond: 5,
      path: "/?interval=1s",
      settings: { STALE_AFTER_MS: "3000" },
    });
    const { tab, simulator } = scene;
    const { page } = tab;
    await drawn(tab);
    for (const colorScheme of ["dark", "light"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        assertEquals(await seriousFindings(tab), [], `${colorScheme} ${width} px`);
      }
    }
    // rows out of sight are not drawn
    await page.setViewportSize({ width: 1280, height: 800 });
    simulator.levers.wrongProductErrors("DOT-USD");
    simulator.levers.loseProduct("ADA-USD", true);
    simulator.levers.junk(31);
    await tab.until(
      "both are in trouble",
      () => ["refused", "stalled"].every((state) => document.querySelector(`.row[data-state=${state}]`) !== null),
      undefined,
      30_000,
    );
    await page.click("#numbers-button");
    for (const colorScheme of ["dark", "light"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        assertEquals(await seriousFindings(tab), [], `in trouble, ${colorScheme} ${width} px`);
      }
    }
    await page.fill("#filter", "nothing has this name");
    assertEquals(await seriousFindings(tab), [], "an empty list");
    assertClean(scene);
  },
);

browserTest("the keyboard reaches everything, in an order that makes sense, and one sees where it is", async () => {
  await using scene = await openScene({ ticksPerSecond: 5, path: "/?interval=1s" });
  const { tab } = scene;
  const { page } = tab;
  await drawn(tab);
  const stops: string[] = [];
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement | null;
      if (element === null || element === document.body) return undefined;
      const { outlineStyle, boxShadow } = getComputedStyle(element);
      const name = element.id || element.dataset.value || element.className || element.tagName;
      return {
        name,
        marked: outlineStyle !== "none" || boxShadow !== "none",
        seen: element.getBoundingClientRect().width > 0,
      };
    });
    if (stop === undefined) break;
    assert(stop.marked && stop.seen, `the focus is not seen on ${stop.name}`);
    if (stops.includes(stop.name)) break;
    stops.push(stop.name);
  }
  for (
    const name of [
      "skip",
      "numbers-button",
      "zone",
      "filter",
      "products",
      "1m",
      "line",
      "volume",
      "other-intervals",
      "chart",
    ]
  ) {
    assert(stops.includes(name), `Tab does not reach ${name}: ${stops}`);
  }
  assert(
    stops.indexOf("filter") < stops.indexOf("products") && stops.indexOf("1m") < stops.indexOf("chart"),
    stops.join(),
  );
  assertClean(scene);
});

browserTest("who wants no motion sees none", async () => {
  await using scene = await openScene({ ticksPerSecond: 5, visitor: { reducedMotion: "reduce" } });
  const { tab } = scene;
  await tab.until("prices come", () => __page.candles().length > 0);
  await tab.page.click("#numbers-button");
  await tab.until("the road is drawn", () => document.querySelectorAll(".stage").length > 3);
  const running = await tab.page.evaluate(() =>
    document.getAnimations().filter(({ playState }) => playState === "running").length
  );
  assertEquals(running, 0);
  assertClean(scene);
});

browserTest(
  "it draws at most ten times a second under 200 products with many ticks, and nothing of it grows",
  async () => {
    const products = Array.from({ length: 200 }, (_, i) => `P${String(i + 1).padStart(3, "0")}-USD`);
    await using scene = await openScene({ products, ticksPerSecond: 25 });
    const { tab } = scene;
    await tab.until("all prices are there", () =>
      __page.candles().length > 0 &&
      [...document.querySelectorAll("#products .price")].slice(0, 5).every(({ textContent }) => textContent !== "–"));
    const look = () =>
      tab.page.evaluate(() => ({
        draws: __page.draws(),
        at: performance.now(),
        nodes: document.querySelectorAll("*").length,
      }));
    const before = await look();
    await tab.until("fifty more draws are done", (draws) => __page.draws() >= draws + 50, before.draws, 30_000);
    const after = await look();
    assertLess((after.draws - before.draws) / ((after.at - before.at) / 1000), 11);
    assertLess(after.nodes - before.nodes, 300);
    assertNotEquals(after.draws, before.draws);
    assertClean(scene);
  },
);
