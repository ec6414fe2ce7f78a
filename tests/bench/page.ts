/// <reference lib="dom" />
// `deno task bench:page`: from the first byte of the page to the first candle on the screen; and what page and program cost with 200
// products at 100 ticks/s each and ten more readers, on the real program and a real browser.

import { chromiumMissing, type Tab } from "../browser/chromium.ts";
import { openScene } from "../browser/scene.ts";

const LOADS = 15;
const PRODUCTS = 200;
const TICKS_PER_SECOND = 100;
const READERS = 10;
const SECONDS = Number(Deno.args[0] ?? 20);

const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
const pause = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));

async function output(...command: string[]): Promise<string> {
  const [program = "", ...args] = command;
  const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).trim();
}

const ticksASecond = Number(await output("getconf", "CLK_TCK"));

/** CPU seconds of a process so far, and MB of memory with its share of what several have in common, as the kernel counts. */
async function usage(pid: number): Promise<{ cpu: number; mb: number }> {
  // read by a program that may
  const fields = (await output("cat", `/proc/${pid}/stat`)).replace(/^.*\) /, "").split(" ");
  const kb = /^Pss: +(\d+)/m.exec(await output("cat", `/proc/${pid}/smaps_rollup`))?.[1];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / ticksASecond, mb: Number(kb) / 1024 };
}

/** Notes, in the page, when the first candle was there: in the frame after the one that drew it. */
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

const missing = chromiumMissing();
if (missing !== undefined) {
  say(`Cannot run the bench: ${missing}`);
  Deno.exit(2);
}

{
  await using scene = await openScene({ ticksPerSecond: 1, pastMs: 24 * 3_600_000 });
  const { chromium } = scene;
  say(`Chromium ${chromium.version}, Deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores`);
  const times: { fromByte: number; fromStart: number; candles: number }[] = [];
  for (let load = 0; load < LOADS; load++) {
    // a person of its own each time, so that nothing is in a cache
    await using visitor = await chromium.open();
    await visitor.context.addInitScript(WATCH_FIRST_CANDLE);
    times.push(await firstCandle(await visitor.visit(`${scene.url}/?product=BTC-USD&interval=1m`)));
  }
  say(
    `first byte to first candle on screen: ${Math.round(median(times.map(({ fromByte }) => fromByte)))} ms ` +
      `(from the request on: ${Math.round(median(times.map(({ fromStart }) => fromStart)))} ms; median of ${LOADS}, ` +
      `longest ${Math.round(Math.max(...times.map(({ fromByte }) => fromByte)))} ms; ${times.at(-1)?.candles} candles)`,
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
    program: await usage(program.pid),
    browser: await chromium.processes(),
  });
  const before = await look();
  await pause(SECONDS);
  const after = await look();
  stop.abort();
  const bytes = (await Promise.all(readers)).reduce((sum, each) => sum + each, 0);
  const seconds = (after.at - before.at) / 1000;
  say("");
  say(
    `${PRODUCTS} products, ${
      Math.round((after.sent - before.sent) / seconds)
    } ticks/s, one page and ${READERS} more readers ` +
      `(${(bytes / READERS / (SECONDS + 5) / 1000).toFixed(0)} kB/s each), ${Math.round(seconds)} s:`,
  );
  say(
    `  the program: ${((after.program.cpu - before.program.cpu) / seconds).toFixed(2)} of a core, ${
      Math.round(after.program.mb)
    } MB`,
  );
  for (const { type, id, cpuTime } of after.browser) {
    const share = (cpuTime - (before.browser.find((each) => each.id === id)?.cpuTime ?? 0)) / seconds;
    if (share < 0.005) continue;
    say(`  the browser's ${type} process: ${share.toFixed(2)} of a core, ${Math.round((await usage(id)).mb)} MB`);
  }
  const troubles = [...tab.troubles, ...chromium.workerErrors];
  if (troubles.length > 0) say(`  troubles: ${troubles.join("\n")}`);
}
