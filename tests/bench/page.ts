/// <reference lib="dom" />
// `deno task bench page [SECONDS]`: the time from the first byte of the page to the first candle on the screen; and what page and program
// use with 200 products at 100 ticks/s each and ten more readers, with the real program and a real browser.

import { chromiumMissing, type Tab } from "../browser/chromium.ts";
import { openScene } from "../browser/scene.ts";
import { endIfMissing, judge, median, note, numberArgument, pause, say } from "./report.ts";
import { commandOf, usageMissing, usageOf } from "./usage.ts";

endIfMissing(usageMissing() ?? chromiumMissing());

const LOADS = 15;
const PRODUCTS = 200;
const TICKS_PER_SECOND = 100;
const READERS = 10;
const SECONDS = numberArgument(0, "SECONDS", 20);
/** Allowed CPU, cores. */
const MOST_CORES = { page: 0.2, program: 0.5 };
/** The flag of the renderer of the browser's own window, which is not visible here. */
const OWN_PAGES = "--top-chrome-webui";
/** Allowed memory of each. */
const MOST_MB = 200;

/** Runs in the page: notes the time of the first candle, in the frame after the one that drew it. */
const WATCH_FIRST_CANDLE = `{
  const look = () => {
    if (!(globalThis.__page?.candles?.().length > 0)) return requestAnimationFrame(look);
    requestAnimationFrame(() => globalThis.__firstCandle = performance.now());
  };
  requestAnimationFrame(look);
}`;

async function firstCandle(tab: Tab): Promise<{ fromByte: number; fromStart: number; candles: number }> {
  await tab.until("the first candle is on the screen", () => "__firstCandle" in globalThis, undefined, 60_000);
  return await tab.page.evaluate(() => {
    const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    const { __firstCandle: at } = globalThis as unknown as { __firstCandle: number };
    return { fromByte: at - (navigation?.responseStart ?? NaN), fromStart: at, candles: __page.candles().length };
  });
}

{
  await using scene = await openScene({ ticksPerSecond: 1, pastMs: 24 * 3_600_000 });
  const { chromium } = scene;
  say(`Chromium ${chromium.version}`);
  const times: { fromByte: number; fromStart: number; candles: number }[] = [];
  for (let load = 0; load < LOADS; load++) {
    // a new browser context each time, so that nothing is cached
    await using visitor = await chromium.open();
    await visitor.context.addInitScript(WATCH_FIRST_CANDLE);
    times.push(await firstCandle(await visitor.visit(`${scene.url}/?product=BTC-USD&interval=1m`)));
  }
  const fromByte = times.map((each) => each.fromByte);
  note(
    "page, first byte to first candle on the screen",
    `${Math.round(median(fromByte))} ms (median of ${LOADS}, longest ${
      Math.round(Math.max(...fromByte))
    } ms; from the ` +
      `request on ${Math.round(median(times.map(({ fromStart }) => fromStart)))} ms; ${times.at(-1)?.candles} candles)`,
  );
}
{
  const products = Array.from({ length: PRODUCTS }, (_, i) => `P${String(i + 1).padStart(3, "0")}-USD`);
  await using scene = await openScene({ products, ticksPerSecond: TICKS_PER_SECOND });
  const { program, chromium, simulator, tab } = scene;
  await tab.until("prices are on the screen", () => __page.candles().length > 0, undefined, 60_000);
  const stop = new AbortController();
  const readers = Array.from({ length: READERS }, async () => {
    const response = await fetch(`${program.url}/api/stream?everyMs=100`, { signal: stop.signal });
    let bytes = 0;
    try {
      for await (const chunk of response.body ?? []) bytes += chunk.length;
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
    return bytes;
  });
  await pause(5);
  const look = async () => ({
    at: performance.now(),
    sent: simulator.sentCount,
    program: await usageOf(program.pid),
    browser: await chromium.processes(),
  });
  const before = await look();
  await pause(SECONDS);
  const after = await look();
  stop.abort();
  const bytes = (await Promise.all(readers)).reduce((sum, each) => sum + each, 0);
  const seconds = (after.at - before.at) / 1000;
  const rate = Math.round((after.sent - before.sent) / seconds);
  say(
    `${PRODUCTS} products, ${rate} ticks/s, one page and ${READERS} more readers ` +
      `(${(bytes / READERS / (SECONDS + 5) / 1000).toFixed(0)} kB/s each), ${Math.round(seconds)} s:`,
  );
  const page = { cores: 0, mb: 0 };
  for (const { type, id, cpuTime } of after.browser) {
    const cores = (cpuTime - (before.browser.find((each) => each.id === id)?.cpuTime ?? 0)) / seconds;
    // other renderers are spares for a next page
    if (cores < 0.005) continue;
    const { sharedMb } = await usageOf(id);
    const isPage = type === "renderer" && !(await commandOf(id)).includes(OWN_PAGES);
    const whose = isPage ? "the page's" : type === "renderer" ? "the browser's own" : "the browser's";
    say(`  ${whose} ${type} process: ${cores.toFixed(2)} of a core, ${Math.round(sharedMb)} MB`);
    if (!isPage) continue;
    page.cores += cores;
    page.mb += sharedMb;
  }
  const troubles = [...tab.troubles, ...chromium.workerErrors];
  if (troubles.length > 0) say(`  troubles: ${troubles.join("\n")}`);
  const ours = { cores: (after.program.cpu - before.program.cpu) / seconds, mb: after.program.peakMb };
  for (const [who, used] of [["page", page], ["program", ours]] as const) {
    const load = `${who} with ${PRODUCTS} products at ${TICKS_PER_SECOND} ticks/s in a browser`;
    const most = MOST_CORES[who];
    judge(`${load}, CPU`, used.cores < most, `${used.cores.toFixed(2)} of a core (${rate} ticks/s)`, `below ${most}`);
    judge(`${load}, memory`, used.mb < MOST_MB, `${Math.round(used.mb)} MB`, `below ${MOST_MB} MB`);
  }
}
