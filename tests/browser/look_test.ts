// How it looks and whom it serves: sizes from a phone to a wall, both themes, no motion, and axe's rules.

import { assert, assertEquals, assertGreater, assertLess, assertNotEquals } from "@std/assert";
import { until } from "../integration/feed.ts";
import { seriousFindings } from "./axe.ts";
import { Chromium, type Tab } from "./chromium.ts";
import { Program } from "./program.ts";
import { assertClean, browserTest, openScene } from "./scene.ts";

/** Nothing reaches out of the window at the side, and what must be seen is on it. */
async function assertFits({ page }: Tab, width: number): Promise<void> {
  const tooWide = await page.evaluate(() => {
    const { scrollWidth } = document.documentElement;
    // what a scroll bar leaves
    const { clientWidth } = document.body;
    const wide = [...document.querySelectorAll<HTMLElement>("body *")].filter((element) => {
      const { right, left, width } = element.getBoundingClientRect();
      return width > 0 && left >= 0 && right > clientWidth + 1 && getComputedStyle(element).position !== "absolute" &&
        !element.closest("#chart, svg, .flow");
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
  const plot = await page.locator("#chart canvas").first().boundingBox();
  assertEquals(Math.round(plot?.x ?? -1), Math.round(chart.x), "the plot begins where the chart does");
}

const drawn = (tab: Tab) =>
  tab.until("candles are drawn", () => __page.candles().length > 2 && __page.strip()?.kind === "live");

/** Waits until the panel with the numbers of every stage is drawn, after a click on its button. */
const numbersDrawn = (tab: Tab) =>
  tab.until(
    "the numbers are drawn",
    () =>
      document.querySelectorAll(".stage").length >= 7 &&
      (document.getElementById("numbers-tables")?.getBoundingClientRect().height ?? 0) > 100,
  );

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
    await numbersDrawn(tab);
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

/** Numbers on the page of which a part is covered or cut off, by what is around them. */
const cutNumbers = ({ page }: Tab) =>
  page.evaluate(() => {
    const rectOf = (element: Element) => {
      const range = document.createRange();
      range.selectNodeContents(element);
      return range.getBoundingClientRect();
    };
    const cut: string[] = [];
    const numbers =
      ".row .price, .row .change, .row .state, #price, #change, #legend .part, #numbers-tables td, .stage-text";
    for (const element of document.querySelectorAll<HTMLElement>(numbers)) {
      const { left, right } = rectOf(element);
      if (right - left === 0) continue;
      for (let box: Element | null = element; box !== null; box = box.parentElement) {
        const { overflowX, contain } = getComputedStyle(box);
        if (overflowX === "visible" && contain === "none" && box.localName !== "html") continue;
        const start = box.getBoundingClientRect().left + box.clientLeft;
        if (left < start - 0.5 || right > start + box.clientWidth + 0.5) {
          cut.push(`${element.innerText} in .${box.className}`);
        }
      }
      for (const other of element.closest(".row")?.querySelectorAll(".name, .spark, .price, .change") ?? []) {
        if (other === element) continue;
        const { left: start, right: end, top, bottom } = other.getBoundingClientRect();
        const mine = element.getBoundingClientRect();
        const isBeside = bottom <= mine.top + 3 || top >= mine.bottom - 3;
        if (!isBeside && start < right - 0.5 && end > left + 0.5) {
          cut.push(`${element.innerText} over ${other.className}`);
        }
      }
    }
    return cut;
  });

/** Prices that need more room than most, as the exchange writes them. */
const LONG_PRICES: readonly [product: string, price: string][] = [
  ["BTC-IDR", "1244508534"],
  ["BTT-USD", "0.00000000713"],
  ["PEPE-USD", "0.0000051234"],
  ["BTC-VND", "123456789.123456"],
  ["ATOM-BTC", "0.000000000012345678"],
];

browserTest(
  "no number is cut off, however long: in the list, above the chart, in the tables, at every width",
  async () => {
    await using scene = await openScene({
      ticksPerSecond: 0,
      products: LONG_PRICES.map(([product]) => product),
      path: "/?product=BTT-USD&interval=1s",
    });
    const { tab, simulator } = scene;
    await tab.until(
      "the list is there",
      (count) => document.querySelectorAll(".row").length === count,
      LONG_PRICES.length,
    );
    for (const [product, price] of LONG_PRICES) {
      simulator.levers.trade(product, 5, price);
    }
    for (const [product, price] of LONG_PRICES) {
      await tab.until(`the price of ${product} is shown, with all its digits`, ([product, price]) => {
        const text = document.querySelector(`[data-product="${product}"] .price`)?.textContent?.replaceAll(",", "") ??
          "";
        return text.startsWith(price) && Number(text) === Number(price) || text;
      }, [product, price] as const);
    }
    await tab.page.click("#numbers-button");
    for (const width of [360, 390, 800, 1100, 1280, 2560]) {
      await tab.page.setViewportSize({ width, height: 900 });
      for (const [product, price] of LONG_PRICES) {
        await tab.page.click(`[data-product="${product}"]`);
        await tab.until("the chosen price is shown", (price) => {
          const text = document.getElementById("price")?.textContent?.replaceAll(",", "") ?? "";
          return innerWidth > 0 && text.startsWith(price) && __page.candles().length > 0;
        }, price);
        assertEquals(await cutNumbers(tab), [], `${product} at ${width} px`);
      }
      await assertFits(tab, width);
    }
    assertClean(scene);
  },
);

browserTest("60 to 120 candles have room at first, at every width, until the user zooms", async () => {
  await using scene = await openScene({ ticksPerSecond: 2, channel: "ticker_batch", pastMs: 3 * 3_600_000 });
  const { tab } = scene;
  const { page } = tab;
  await tab.until("candles are drawn", () => __page.candles().length > 120 && __page.isLoaded());
  const room = (width: number) =>
    tab.until(`60 to 120 candles have room at ${width} px`, (width) => {
      const room = __page.room();
      return innerWidth === width && room > 59.9 && room < 120.1 || room;
    }, width);
  for (const width of [360, 800, 1280, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    await room(width);
    await using visitor = await scene.chromium.open({ viewport: { width, height: 900 } });
    const fresh = await visitor.visit(scene.url);
    await fresh.until("candles are drawn", () => __page.candles().length > 120);
    await fresh.until("60 to 120 have room", () => __page.room() > 59.9 && __page.room() < 120.1 || __page.room());
  }
  await page.focus("#chart");
  // on a busy machine a key may come before the chart has its new width
  for (let i = 0; i < 40 && await page.evaluate(() => __page.room() >= 60); i++) await page.keyboard.press("+");
  await tab.until("fewer are in sight", () => __page.room() < 60);
  await page.setViewportSize({ width: 2000, height: 900 });
  await tab.until("what the user chose stays", () => innerWidth === 2000 && __page.room() < 60 || __page.room());
  await page.click('[data-group=interval] [data-value="5m"]');
  await tab.until("another interval begins anew", () => __page.room() > 59.9);
  assertClean(scene);
});

browserTest("a channel of samples offers no button for an interval of less than six samples", async () => {
  const offered = ({ page }: Tab) =>
    page.evaluate(() => ({
      buttons: [...document.querySelectorAll<HTMLElement>("[data-group=interval] button")].map(({ innerText }) =>
        innerText
      ),
      more: [...document.querySelectorAll<HTMLOptionElement>("#other-intervals option")].map(({ value }) => value),
    }));
  for (const [channel, first, rest] of [["ticker", "15s", "30s"], ["ticker_batch", "30s", "15s"]] as const) {
    await using scene = await openScene({ channel });
    const { tab } = scene;
    await tab.until(
      `${first} is offered`,
      (first) => document.querySelector(`[data-group=interval] button[data-value="${first}"]`) !== null,
      first,
    );
    const { buttons, more } = await offered(tab);
    assertEquals(buttons, [first, "1m", "5m", "15m", "1h", "4h", "1d"]);
    assertEquals(more, ["", "1s", "5s", rest, "30m", "1w"]);
    await tab.page.selectOption("#other-intervals", rest);
    await tab.until("it can be chosen all the same", (rest) => __page.selection().interval === rest, rest);
    assertEquals(await tab.page.inputValue("#other-intervals"), rest);
    assertClean(scene);
  }
});

browserTest("nothing moves when a state takes more words, nor for a scroll bar", async () => {
  await using scene = await openScene({
    ticksPerSecond: 5,
    path: "/?product=ADA-USD&interval=1s",
    settings: { STALE_AFTER_MS: "3000" },
  });
  const { tab, simulator } = scene;
  const { page } = tab;
  await drawn(tab);
  await page.click("#numbers-button");
  await numbersDrawn(tab);
  const places = async () => {
    const found: Record<string, unknown> = {};
    for (const [width, height] of [[800, 600], [1280, 800], [1265, 800]] as const) {
      await page.setViewportSize({ width, height });
      await tab.until("it has its size", (width) => innerWidth === width, width);
      found[width] = await page.evaluate(() =>
        ["strip", "pipeline", "numbers-tables", "watch", "main", "price", "chart", "chart-key"].map((id) => {
          // the tables below may get a row, and the chart is as high as they leave room
          const { left, top, width, height } = document.getElementById(id)?.getBoundingClientRect() ?? new DOMRect();
          const inside = id === "chart" || id === "chart-key" || id === "price";
          const from = inside ? document.getElementById("main")?.getBoundingClientRect().top ?? 0 : 0;
          return `${id}: ${Math.round(left)} ${Math.round(top - from + scrollY * Number(!inside))} ${
            Math.round(width)
          } ${id === "price" ? "" : Math.round(height)}`;
        })
      );
    }
    return found;
  };
  const before = await places();
  simulator.levers.loseProduct("ADA-USD", true);
  simulator.levers.wrongProductErrors("DOT-USD");
  await tab.until(
    "the states take more words",
    () => /sends no more ticks of ADA-USD; .*refused DOT-USD/.test(__page.strip()?.text ?? ""),
    undefined,
    30_000,
  );
  assertEquals(await places(), before);
  const rows = await page.evaluate(() =>
    new Set([...document.querySelectorAll(".toolbar button")].map((each) => each.getBoundingClientRect().top)).size
  );
  assertEquals(rows, 1, "the buttons are in one row");

  await page.setViewportSize({ width: 1280, height: 1200 });
  const widths = () =>
    page.evaluate(() => {
      const { clientHeight, scrollHeight } = document.documentElement;
      const { width = 0 } = document.getElementById("main")?.getBoundingClientRect() ?? {};
      return { scrolls: scrollHeight > clientHeight, width };
    });
  const low = await widths();
  await page.setViewportSize({ width: 1280, height: 700 });
  assertEquals(await widths(), { ...low, scrolls: true });
  assertEquals(low.scrolls, false);
  assertClean(scene);
});

browserTest(
  "on a phone the list comes before the levers, whole, and the pipeline shows both branches apart",
  async () => {
    await using chromium = await Chromium.start();
    await using program = await Program.start({ command: "demo" });
    await using visitor = await chromium.open({ viewport: { width: 390, height: 844 } });
    const tab = await visitor.visit(program.url);
    await tab.until(
      "all is there",
      () =>
        document.querySelectorAll(".row").length === 8 && document.querySelector("[data-lever]") !== null &&
        document.querySelectorAll(".stage").length === 7,
      undefined,
      30_000,
    );
    const { bottoms, list, stages } = await tab.page.evaluate(() => {
      const bottom = (id: string) => document.getElementById(id)?.getBoundingClientRect().bottom ?? 0;
      const { scrollHeight = 0, clientHeight = 0 } = document.getElementById("products") ?? {};
      return {
        bottoms: ["pipeline-panel", "main", "watch", "levers"].map(bottom),
        list: { scrollHeight, clientHeight },
        stages: [...document.querySelectorAll(".stage .box")].map((box) => {
          const { left, right, top } = box.getBoundingClientRect();
          return { left, right, top };
        }),
      };
    });
    assertEquals(bottoms, bottoms.toSorted((a, b) => a - b), "pipeline, chart, list, levers");
    assertEquals(list.scrollHeight, list.clientHeight, "the list does not scroll inside itself");
    const [exchange, socket, decode, firstQueue, firstSink, secondQueue, secondSink] = stages;
    for (
      const [from, to] of [[exchange, socket], [socket, decode], [firstQueue, firstSink], [secondQueue, secondSink]]
    ) {
      assertEquals(from?.top, to?.top);
      assertLess(from?.right ?? 0, to?.left ?? 0);
    }
    assertLess(decode?.top ?? 0, firstQueue?.top ?? 0);
    assertLess(firstQueue?.top ?? 0, secondQueue?.top ?? 0);
    assertEquals(firstQueue?.left, secondQueue?.left);
    assertClean({ chromium, tab });
  },
);

browserTest("no label of the price axis is half covered by the last price, as it moves", async () => {
  await using scene = await openScene({
    ticksPerSecond: 0,
    products: ["ADA-USD"],
    path: "/?product=ADA-USD&interval=1d",
  });
  const { tab, simulator } = scene;
  const { page } = tab;
  await tab.until("the list is there", () => document.querySelectorAll(".row").length === 1);
  const trade = async (price: string) => {
    simulator.levers.trade("ADA-USD", 1, price);
    await tab.until(`${price} is drawn`, (price) => __page.candles().at(-1)?.close === Number(price), price);
  };
  await trade("0.3001");
  await trade("0.5");
  const axis = await page.locator("#chart canvas").nth(2).boundingBox();
  assert(axis !== null);
  const pictureNow = async () => {
    // the library draws in the frame after the next
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    return await page.screenshot({ clip: axis });
  };
  /** A picture of the axis once two in a row are the same. */
  const picture = async () => {
    let last = await pictureNow();
    for (let i = 0; i < 20; i++) {
      const next = await pictureNow();
      if (next.equals(last)) break;
      last = next;
    }
    return last;
  };
  for (let price = 4000; price < 4250; price += 17) {
    await trade(`0.${price}`);
    const moved = await picture();
    // the labels are made anew for another series
    await page.click('[data-value="line"]');
    await page.click('[data-value="candles"]');
    assertEquals(await picture(), moved, `at 0.${price}`);
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
    await numbersDrawn(tab);
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
      "local",
      "UTC",
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
  await tab.until("the pipeline is drawn", () => document.querySelectorAll(".stage").length > 3);
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
