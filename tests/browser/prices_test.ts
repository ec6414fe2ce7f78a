// What the page shows while all is well: prices, candles, the watch list, and what the user does with them.

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import type { Interval } from "../../src/core/candle.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { tell } from "../integration/feed.ts";
import { Chromium } from "./chromium.ts";
import { Program } from "./program.ts";
import { assertClean, assertDrawn, browserTest, drawnCandles, openScene, sentTicks } from "./scene.ts";

/** Every control that chooses an interval, by what it is. */
const BUTTONS = ["15s", "1m", "5m", "15m", "1h", "4h", "1d"];

browserTest("the first price and candle are on the page after the program starts", async () => {
  await using chromium = await Chromium.start();
  await using simulator = await Simulator.start({ seed: 3, ticksPerSecond: 1 });
  const since = performance.now();
  await using program = await Program.start({ simulator });
  await using visitor = await chromium.open();
  const tab = await visitor.visit(program.url);
  await tab.until("a price is shown", () => /^[\d,]+\.\d\d$/.test(document.getElementById("price")?.textContent ?? ""));
  await tab.until("a candle is drawn", () => __page.candles().length > 0);
  const took = performance.now() - since;
  tell(`first price and candle after ${Math.round(took)} ms`);
  // before the first heartbeat nobody knows how far away
  await tab.until(
    "it says that it is live, and how far away",
    () =>
      __page.strip()?.level === "good" && /^live, Coinbase (?:under 0\.1|\d\.\d) s away$/.test(
        document.getElementById("strip-text")?.textContent ?? "",
      ),
  );
  assertClean({ chromium, tab });
});

browserTest(
  "candles are those of the ticks that were sent, in every interval, also late, repeated and out of order",
  async () => {
    await using scene = await openScene({ ticksPerSecond: 20, path: "/?product=ETH-USD&interval=1s" });
    const { simulator, tab } = scene;
    const { levers } = simulator;
    await tab.until("ten candles are drawn live", () => __page.candles().length >= 10);
    levers.repeat(20);
    levers.outOfOrder("ETH-USD");
    levers.outOfOrder("ETH-USD");
    levers.late(7000, "ETH-USD");
    levers.late(95_000, "ETH-USD");
    levers.flood(2000, 1000);
    await tab.until("more candles come", () => __page.candles().length >= 14);
    levers.quiet("ETH-USD", true);
    await assertDrawn(scene, "ETH-USD", "1s");
    // nobody knows what was traded before the program heard its first tick; of all that came since, nothing is missing
    const marked = await tab.page.evaluate(() => __page.candles().filter(({ incomplete }) => incomplete));
    const gaps = await scene.program.get<{ from: number | null; to: number | null; reason: string }[]>(
      "/api/gaps?product=ETH-USD",
    );
    assertEquals(gaps.map(({ from, reason }) => ({ from, reason })), [{ from: null, reason: "restart" }]);
    assertEquals(marked.filter(({ time }) => time > (gaps[0]?.to ?? 0)), []);

    for (const interval of ["5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"] as Interval[]) {
      if (BUTTONS.includes(interval)) await tab.page.click(`[data-group=interval] [data-value="${interval}"]`);
      else await tab.page.selectOption("#other-intervals", interval);
      await tab.until(
        `${interval} is loaded`,
        (wanted) => __page.selection().interval === wanted && __page.isLoaded(),
        interval,
      );
      await assertDrawn(scene, "ETH-USD", interval);
    }
    // and it goes on from there
    levers.quiet("ETH-USD", false);
    await tab.until(
      "ticks come again",
      (before) => __page.candles().reduce((sum, { ticks }) => sum + ticks, 0) > before,
      sentTicks(simulator, "ETH-USD"),
    );
    assertClean(scene);
  },
);

browserTest("the watch list: every product, its price as sent, filter and keys", async (t) => {
  await using scene = await openScene({ ticksPerSecond: 5, settings: { STALE_AFTER_MS: "3000" } });
  const { simulator, tab } = scene;
  const { page } = tab;
  const chosen = () => page.evaluate(() => __page.selection().product);
  const shown = () =>
    page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("#products .row")].filter(({ hidden }) => !hidden)
        .map((row) => row.dataset.product)
    );

  await t.step("all products in the order of the settings, each with its last price", async () => {
    await tab.until(
      "all have a price",
      (count) => {
        const prices = [...document.querySelectorAll("#products .price")].map(({ textContent }) => textContent ?? "");
        return prices.length === count && prices.every((price) => /^[\d,.]+$/.test(price));
      },
      simulator.products.length,
    );
    assertEquals(await shown(), [...simulator.products]);
    simulator.levers.quiet("DOT-USD", true);
    await tab.until(
      "DOT-USD is quiet",
      () => /quiet/.test(document.querySelector('[data-product="DOT-USD"]')?.textContent ?? ""),
    );
    const last = simulator.sent().findLast(({ product }) => product === "DOT-USD")?.price;
    assertEquals(Number(await page.textContent('[data-product="DOT-USD"] .price')), Number(last));
    simulator.levers.quiet("DOT-USD", false);
    await tab.until(
      "DOT-USD is back",
      () => !/quiet/.test(document.querySelector('[data-product="DOT-USD"]')?.textContent ?? ""),
    );
  });

  await t.step("the filter: / focuses it, Enter takes the first, Escape empties it", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("a");
    assertEquals(await shown(), ["ADA-USD", "AVAX-USD"]);
    await page.keyboard.type("v");
    assertEquals(await shown(), ["AVAX-USD"]);
    await page.keyboard.press("Enter");
    assertEquals(await chosen(), "AVAX-USD");
    await page.keyboard.type("zz");
    assertEquals(await shown(), []);
    const nothing = await page.locator("#nothing").boundingBox();
    assert(nothing !== null && nothing.y < 300, "it is said that nothing fits, below the filter");
    await page.keyboard.press("Escape");
    assertEquals((await shown()).length, 8);
  });

  await t.step("arrow keys in the list, Enter chooses", async () => {
    await page.focus("#products");
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    assertEquals(await chosen(), "BTC-USD");
    await page.keyboard.press("End");
    await page.keyboard.press("Enter");
    assertEquals(await chosen(), "DOT-USD");
    const active = await page.evaluate(() => {
      const id = document.getElementById("products")?.getAttribute("aria-activedescendant");
      return document.getElementById(id ?? "")?.dataset.product;
    });
    assertEquals(active, "DOT-USD");
  });

  await t.step("digits fit the product", async () => {
    await page.click('[data-product="XRP-USD"]');
    await tab.until(
      "XRP-USD is shown with its four digits",
      () =>
        __page.selection().product === "XRP-USD" &&
        /^\d\.\d{4}$/.test(document.getElementById("price")?.textContent ?? ""),
    );
    await page.click('[data-product="BTC-USD"]');
    await tab.until("BTC-USD is shown with its two digits", () =>
      __page.selection().product === "BTC-USD" &&
      /^\d\d,\d{3}\.\d\d$/.test(document.getElementById("price")?.textContent ?? ""));
  });
  assertClean(scene);
});

browserTest("the URL holds product, interval and style: reload, back, forward, a link", async () => {
  await using scene = await openScene({});
  const { tab, visitor, url } = scene;
  const { page } = tab;
  const is = (product: string, interval: string, style: string) =>
    tab.until(`${product} ${interval} ${style} is shown`, (wanted) => {
      const { product, interval, style } = __page.selection();
      const params = new URLSearchParams(location.search);
      const pressed = [...document.querySelectorAll("[aria-pressed=true][data-value]")].map(({ textContent }) =>
        textContent
      );
      const seen = [product, interval, style].join(" ");
      return seen === wanted &&
          [params.get("product"), params.get("interval"), params.get("style")].join(" ") === wanted &&
          pressed.includes(style) && document.getElementById("product")?.textContent === product || seen;
    }, `${product} ${interval} ${style}`);
  await is("ETH-USD", "1m", "candles");
  await page.click('[data-product="SOL-USD"]');
  await is("SOL-USD", "1m", "candles");
  await page.click('[data-value="5m"]');
  await page.click('[data-value="line"]');
  await is("SOL-USD", "5m", "line");
  await page.reload();
  await is("SOL-USD", "5m", "line");
  await page.goBack();
  await is("SOL-USD", "5m", "candles");
  await page.goBack();
  await is("SOL-USD", "1m", "candles");
  await page.goBack();
  await is("ETH-USD", "1m", "candles");
  await page.goForward();
  await is("SOL-USD", "1m", "candles");

  // a link somebody sent, also a bad one
  const asked: string[] = [];
  visitor.context.on("request", (request) => asked.push(request.url()));
  const other = await visitor.visit(`${url}/?product=NO-SUCH&interval=7x&style=dots`);
  await other.until(
    "the first product is shown, and it is said",
    () =>
      __page.selection().product === "ETH-USD" && __page.selection().interval === "1m" &&
      /no product NO-SUCH/.test(document.getElementById("notice")?.textContent ?? ""),
  );
  // its candles and gaps were asked for beside the list: refused with 404, or given up if the list came first
  for (const what of ["candles", "gaps"]) {
    assertEquals(asked.some((url) => url.includes(`/api/${what}?product=NO-SUCH`)), true, asked.join("\n"));
  }
  other.forgive(/404/);
  assertEquals(other.troubles, []);
  const third = await visitor.visit(`${url}/?product=BTC-USD&interval=9m`);
  await third.until(
    "another interval is shown, it is said, and the address is right again",
    () =>
      __page.selection().interval === "1m" && location.search === "?product=BTC-USD&interval=1m&style=candles" &&
      /no candles of 9m/.test(document.getElementById("notice")?.textContent ?? ""),
  );
  assertClean(scene);
});

browserTest("the crosshair's candle in words, local time and UTC, ticks and volume", async () => {
  await using scene = await openScene({ ticksPerSecond: 5, path: "/?product=BTC-USD&interval=1h" });
  const { tab } = scene;
  const { page } = tab;
  await tab.until("a candle is drawn", () => __page.candles().length > 0);
  const [candle] = await page.evaluate(() => __page.candles());
  const clock = (timeZone: string) =>
    new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone }).format(
      (candle?.time ?? 0) * 1000,
    );
  const legend = () => page.innerText("#legend");
  assert((await legend()).includes(`${clock("Europe/Berlin")} to`), await legend());
  const zones = () =>
    page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("#zone button")].map((
        button,
      ) => [button.innerText, button.ariaPressed])
    );
  assertEquals(await zones(), [["local time", "true"], ["UTC", "false"]]);
  await page.click("#zone [data-value=UTC]");
  assert((await legend()).includes(`${clock("UTC")} to`), await legend());
  assertEquals(await zones(), [["local time", "false"], ["UTC", "true"]]);
  await page.reload();
  await tab.until("UTC is kept", (hour) =>
    __page.selection().zone === "UTC" &&
    (document.getElementById("legend")?.textContent ?? "").includes(`${hour} to`), clock("UTC"));
  await page.click("#zone [data-value=local]");
  // where both are the same there is nothing to choose
  for (const timezoneId of ["UTC", "Africa/Abidjan"]) {
    await using visitor = await scene.chromium.open({ timezoneId });
    const other = await visitor.visit(scene.url);
    await other.until("it says UTC", () => document.getElementById("zone")?.innerText === "UTC");
    assertEquals(await other.page.locator("#zone button").count(), 0);
  }

  await tab.until("all four prices, ticks and volume are told", () => {
    const words = document.getElementById("legend")?.innerText ?? "";
    return ["open", "high", "low", "close", "ticks", "volume", "running"].every((word) => words.includes(word)) ||
      words;
  });
  await page.click('[data-value="volume"]');
  assertEquals(await page.evaluate(() => __page.selection().below), "volume");
  await page.selectOption("#other-intervals", "1s");
  await tab.until("five candles are drawn", () => __page.candles().length > 5);
  // the keyboard goes from candle to candle
  await page.focus("#chart");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  const time = await page.innerText("#legend .window");
  await tab.until(
    "two more candles come and the crosshair stays",
    (count) => __page.candles().length >= count + 2,
    (await drawnCandles(tab)).length,
  );
  assertEquals(await page.innerText("#legend .window"), time);
  await page.keyboard.press("Escape");
  // and the mouse
  const box = await page.locator("#chart").boundingBox();
  assert(box !== null);
  await page.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.4);
  await tab.until(
    "the mouse looks at another candle",
    (before) => (document.querySelector("#legend .window")?.textContent ?? "") !== before,
    time,
  );
  assertClean(scene);
});

browserTest(
  "ticker_batch: the page says that its candles are made of samples, and never calls their age delay",
  async () => {
    await using scene = await openScene({
      channel: "ticker_batch",
      batchMs: 1000,
      ticksPerSecond: 3,
      path: "/?product=BTC-USD&interval=1s",
    });
    const { tab, simulator } = scene;
    await tab.until("candles are drawn", () => __page.candles().length >= 3);
    await tab.page.waitForSelector("#samples", { state: "visible" });
    assertMatch(await tab.page.innerText("#samples"), /5-second samples.*Coinbase.*not included/s);
    await tab.until("the strip says how far away Coinbase is", () => {
      const text = document.getElementById("strip-text")?.textContent ?? "";
      return /^live, Coinbase (?:under 0\.1|\d\.\d) s away$/.test(text) || text;
    });
    simulator.levers.quiet("BTC-USD", true);
    await assertDrawn(scene, "BTC-USD", "1s");
    assertClean(scene);
  },
);

browserTest("the numbers of every stage, one click away", async () => {
  await using scene = await openScene({});
  const { tab, program, simulator } = scene;
  const { page } = tab;
  await tab.until("prices come", () => __page.candles().length > 0);
  assert(!await page.isVisible("#pipeline-panel"));
  await page.click("#numbers-button");
  assertEquals(await page.getAttribute("#numbers-button", "aria-expanded"), "true");
  simulator.levers.junk(31);
  simulator.levers.repeat(9);
  await tab.until("junk and repeats are counted", () => {
    const text = document.getElementById("numbers-tables")?.innerText ?? "";
    return /bad-json/.test(text) && /repeated[^\d]*\d*9\b/.test(text) || text;
  });
  const status = await program.get<
    { counters: { received: number; repeated: number; rejected: Record<string, number> } }
  >(
    "/api/status",
  );
  const number = async (title: string) =>
    Number((await page.innerText(`#numbers-tables tr:has(th:text-is("${title}")) td`)).replaceAll(",", ""));
  const rejected = Object.values(status.counters.rejected).reduce((sum, count) => sum + count, 0);
  assertGreater(rejected, 20);
  await tab.until("the page's numbers are the program's", () => true);
  assertEquals(await number("repeated"), status.counters.repeated);
  await page.click("#numbers-button");
  assert(!await page.isVisible("#pipeline-panel"));
  assertClean(scene);
});
