// The first seconds of a page: what is asked at once, what comes in any order, and what is there although nothing was traded since.

import { assert, assertEquals } from "@std/assert";
import type { Route } from "playwright-core";
import { Simulator } from "../../src/simulator/server.ts";
import { until } from "../integration/feed.ts";
import { freePorts } from "../servers/process.ts";
import { Chromium } from "./chromium.ts";
import { Program } from "./program.ts";
import { assertClean, browserTest, openScene } from "./scene.ts";

const LIST = "**/api/products";

interface Row {
  readonly product: string;
  readonly price?: number;
  readonly state: string;
}

browserTest(
  "what the URL names is asked for beside the list of products, and its candles do not wait for it",
  async () => {
    await using scene = await openScene({ ticksPerSecond: 5 });
    const { chromium, url } = scene;
    await scene.tab.until("there is something to ask for", () => __page.candles().length > 0);
    await using visitor = await chromium.open();
    const list = Promise.withResolvers<void>();
    await visitor.context.route(LIST, async (route: Route) => {
      await list.promise;
      await route.continue();
    });
    const tab = await visitor.visit(`${url}/?product=XRP-USD&interval=5s`);
    await tab.until("candles are drawn", () => __page.candles().length > 0 && __page.isLoaded());
    assertEquals(await tab.page.evaluate(() => document.querySelectorAll(".row").length), 0);
    assertEquals(await tab.page.innerText("#product"), "XRP-USD");
    list.resolve();
    await tab.until(
      "its price has four digits, as if the list had been there first",
      () => /^\d\.\d{4}$/.test(document.getElementById("price")?.textContent ?? ""),
    );
    await tab.until("ticks are drawn", (count) => {
      const ticks = __page.candles().reduce((sum, { ticks }) => sum + ticks, 0);
      return ticks > count;
    }, await tab.page.evaluate(() => __page.candles().reduce((sum, { ticks }) => sum + ticks, 0)));
    assertClean({ chromium, tab });
  },
);

browserTest("what the stream told before the list of products was there is not forgotten", async () => {
  await using scene = await openScene({ ticksPerSecond: 5 });
  const { chromium, url, program, simulator } = scene;
  const rows = () => program.get<Row[]>("/api/products");
  await until("all products are live", async () => (await rows()).every(({ state }) => state === "live"));
  const stale = await rows();
  const price = (list: readonly Row[]) => list.find(({ product }) => product === "BTC-USD")?.price;
  simulator.levers.wrongProductErrors("DOT-USD");
  await until("a price is newer, and one product refused", async () => {
    const now = await rows();
    return price(now) !== price(stale) && now.some(({ state }) => state === "refused");
  });
  simulator.levers.quiet("BTC-USD", true);
  await using visitor = await chromium.open();
  const list = Promise.withResolvers<void>();
  await visitor.context.route(LIST, async (route: Route) => {
    await list.promise;
    await route.fulfill({ json: stale });
  });
  const tab = await visitor.visit(`${url}/`);
  await tab.until("the stream has told how all stands", () => __page.strip()?.kind === "live");
  list.resolve();
  await tab.until(
    "the refusal is seen",
    () => document.querySelector<HTMLElement>('[data-product="DOT-USD"]')?.dataset.state === "refused",
  );
  const newest = price(await rows())?.toFixed(2);
  await tab.until("so is the newest price", (newest) => {
    const text = document.querySelector('[data-product="BTC-USD"] .price')?.textContent ?? "";
    return text.replaceAll(",", "") === newest || text;
  }, newest);
  assertClean({ chromium, tab });
});

browserTest("a new store: small lines within seconds, and the empty chart says why", async () => {
  await using scene = await openScene({ channel: "ticker_batch", ticksPerSecond: 2, path: "/?interval=1m" });
  const { tab } = scene;
  await tab.until(
    "each product has its small line",
    () => {
      const lines = [...document.querySelectorAll(".spark path")].map((path) => path.getAttribute("d") ?? "");
      return lines.length === 8 && lines.every((line) => line.includes("L")) || lines;
    },
  );
  assertEquals(await tab.page.textContent('[data-product="BTC-USD"] .spark title'), "the last 1 min");
  assert(await tab.page.isVisible("#young"));
  assertEquals(await tab.page.innerText("#young"), "Nothing older is stored yet. Shorter candles show more.");
  assertClean(scene);
});

browserTest(
  "after a restart a product that was not traded since has its state, price, age and change at once",
  async () => {
    await using scene = await openScene({ ticksPerSecond: 5, settings: { STALE_AFTER_MS: "3000" } });
    const { chromium, program, simulator, url } = scene;
    await scene.tab.until("prices come", () => __page.candles().length > 0);
    for (const product of simulator.products) simulator.levers.quiet(product, true);
    await until("what was sent is stored", async () => {
      const sent = simulator.sent().filter(({ product }) => product === "BTC-USD").at(-1);
      const [stored] = await program.get<{ sequence: number }[]>("/api/ticks?product=BTC-USD&limit=1");
      return stored?.sequence === sent?.sequence;
    });
    await program.kill();
    await program.startAgain();
    await using visitor = await chromium.open();
    const tab = await visitor.visit(`${url}/`);
    await tab.until(
      "all are quiet, with a change",
      () => {
        const rows = [...document.querySelectorAll<HTMLElement>(".row")];
        const texts = rows.map(({ innerText }) => innerText.replaceAll("\n", " "));
        return rows.length === 8 && texts.every((text) => /quiet, \d+ s .*%$/.test(text)) || texts;
      },
    );
    // nothing was missed: nothing is shaded, no candle after the first start's is marked
    assertEquals(await tab.page.evaluate(() => __page.regions().filter(({ gap }) => gap.from !== null)), []);
    assertClean({ chromium, tab });
  },
);

browserTest("behind a reverse proxy the page works under a path: streams, candles, icon and levers", async () => {
  await using program = await Program.start({ command: "demo" });
  using client = Deno.createHttpClient({ allowHost: true });
  // what nginx does for `location /prices/ { proxy_pass http://127.0.0.1:8000/; proxy_set_header Host $http_host; }`
  const outside: string[] = [];
  await using proxy = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname, search } = new URL(request.url);
    if (!pathname.startsWith("/prices/")) {
      outside.push(pathname);
      return new Response("not here", { status: 404 });
    }
    const { method, headers, body } = request;
    const url = `${program.url}${pathname.slice("/prices".length)}${search}`;
    return fetch(url, { method, headers, body, client, redirect: "manual" });
  });
  await using chromium = await Chromium.start();
  await using visitor = await chromium.open();
  const tab = await visitor.visit(`http://127.0.0.1:${proxy.addr.port}/prices/?interval=1m`);
  await tab.until(
    "the stream is live and the day of history drawn",
    () => __page.strip()?.kind === "live" && __page.candles().length > 900 || [__page.strip(), __page.candles().length],
  );
  assertEquals(await tab.page.evaluate(() => __page.isShared()), true);
  const levers = tab.page.locator("[data-lever]");
  await levers.first().waitFor();
  await tab.page.locator('[data-lever="junk"]').click();
  await tab.until("the lever was pulled", () => {
    const text = document.getElementById("lever-result")?.textContent ?? "";
    return text.startsWith("Done: ") || text;
  });
  const icon = await tab.page.evaluate(async () => {
    const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    return (await fetch(link?.href ?? "")).status;
  });
  assertEquals([icon, outside], [200, []]);
  assertClean({ chromium, tab });
});

browserTest("without a way to the exchange the page names the demo, as the log does, until it is reached", async () => {
  const address = freePorts("exchange").exchange;
  const url = `ws://127.0.0.1:${address}`;
  const settings = { COINBASE_WS_URL: url, COINBASE_PRODUCTS: "BTC-USD,ETH-USD", COINBASE_CHANNEL: "ticker" };
  await using program = await Program.start({ settings });
  await using chromium = await Chromium.start();
  await using visitor = await chromium.open();
  const tab = await visitor.visit(`${program.url}/`);
  const notice =
    "No prices of BTC-USD yet. Without the internet: `deno task demo` shows the same with simulated prices.";
  await tab.until("it says what to do", (wanted) => {
    const text = document.getElementById("notice")?.textContent;
    return text === wanted || text;
  }, notice);
  assertEquals(await tab.page.evaluate(() => __page.strip()?.kind), "closed");
  await using _simulator = await Simulator.start({ port: address, ticksPerSecond: 20 });
  await tab.until(
    "prices come, and the advice is gone",
    () => {
      const text = document.getElementById("notice")?.textContent;
      return __page.strip()?.kind === "live" && text === "" || text;
    },
  );
  assertClean({ chromium, tab });
});

browserTest("the demo's chart grows with its day of history, and then goes on live", async () => {
  await using chromium = await Chromium.start();
  await using visitor = await chromium.open();
  const products = Array.from({ length: 24 }, (_, i) => `P${i}-USD`).join(",");
  await using program = await Program.start({ command: "demo", settings: { COINBASE_PRODUCTS: products } });
  const tab = await visitor.visit(`${program.url}/?interval=5m`);
  await tab.until(
    "it says how much is made, over the first candles",
    () => {
      const { kind, text = "" } = __page.strip() ?? {};
      return kind === "history" && /^making a day of history, \d+ %$/.test(text) && __page.candles().length > 10 ||
        [text, __page.candles().length];
    },
  );
  const count = await tab.page.evaluate(() => __page.candles().length);
  await tab.until("there are more", (before) => __page.candles().length > before + 20, count);
  await tab.until(
    "the day is whole, and prices come",
    () => {
      const kind = __page.strip()?.kind;
      return kind === "live" && __page.candles().length >= 288 || [kind, __page.candles().length];
    },
  );
  await tab.until(
    "the small lines are those of the whole day",
    () => {
      const titles = [...document.querySelectorAll(".spark title")].slice(0, 5).map(({ textContent }) => textContent);
      return titles.length === 5 && titles.every((title) => title === "the last 24 h") || titles;
    },
  );
  // the first live tick of a product closes the gap of its start
  await tab.until("nothing is missing", () => {
    const found = [...__page.regions(), ...__page.candles().filter(({ incomplete }) => incomplete)];
    return found.length === 0 || found;
  });
  assertClean({ chromium, tab });
});
