// Everything that a test of the page needs, all real: the Coinbase simulator, the program, a browser, a person with a tab.

import { assertEquals } from "@std/assert";
import type { BrowserContextOptions } from "playwright-core";
import type { Candle, Interval } from "../../src/core/candle.ts";
import type { Tick } from "../../src/core/record.ts";
import { type SentTick, Simulator, type SimulatorOptions } from "../../src/simulator/server.ts";
import { sleep } from "../servers/process.ts";
import { Chromium, chromiumMissing, type Tab, type Visitor } from "./chromium.ts";
import { Program, type ProgramOptions } from "./program.ts";
import { type Interruption, storePast } from "./past.ts";
import { Relay } from "./relay.ts";
import { foldCandles } from "../fakes/candles.ts";

const missing = chromiumMissing();

/** A test that needs the browser: skipped aloud where there is none. */
export function browserTest(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({
    name: missing === undefined ? name : `${name} [skipped: ${missing}]`,
    ignore: missing !== undefined,
    fn,
  });
}

/** What the scene looks like; the rest is as each part likes it. */
export interface SceneOptions extends SimulatorOptions, Omit<ProgramOptions, "simulator" | "command" | "before"> {
  /** With `pastMs`: that past is stored before the program starts, with these interruptions in it. */
  readonly interruptions?: readonly Interruption[];
  /** Where the first tab goes; default `/`. */
  readonly path?: string;
  /** Of the person: size, theme, time zone. */
  readonly visitor?: BrowserContextOptions;
  /** The browser goes through a {@link Relay}. */
  readonly relayed?: boolean;
}

/** A running scene. */
export interface Scene extends AsyncDisposable {
  /** The exchange. */
  readonly simulator: Simulator;
  /** The program. */
  readonly program: Program;
  /** The browser. */
  readonly chromium: Chromium;
  /** A person in it. */
  readonly visitor: Visitor;
  /** The first tab. */
  readonly tab: Tab;
  /** Where tabs go: the program, or the relay before it. */
  readonly url: string;
  /** Only when asked for. */
  readonly relay: Relay | undefined;
}

/** Resolves once the first tab has loaded, which says nothing about prices. */
export async function openScene(options: SceneOptions = {}): Promise<Scene> {
  const { path = "/", visitor: person = {}, relayed = false } = options;
  await using stack = new AsyncDisposableStack();
  const chromium = Chromium.start().then((started) => stack.use(started));
  const simulator = stack.use(await Simulator.start({ seed: 7, ticksPerSecond: 4, ...options }));
  const before = (options.pastMs ?? 0) > 0
    ? (path: string) => storePast(path, simulator, options.interruptions)
    : undefined;
  const program = stack.use(
    await Program.start({ ...options, simulator, ...(before === undefined ? {} : { before }) }),
  );
  const relay = relayed ? stack.use(new Relay(program.url)) : undefined;
  const url = relay?.url ?? program.url;
  const visitor = stack.use(await (await chromium).open(person));
  const tab = await visitor.visit(`${url}${path}`);
  const parts = stack.move();
  return {
    simulator,
    program,
    chromium: await chromium,
    visitor,
    tab,
    url,
    relay,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** Fails if the page, a worker or the browser complained of anything, or asked another machine for anything. */
export function assertClean({ chromium, tab }: Pick<Scene, "chromium" | "tab">): void {
  assertEquals(
    { troubles: tab.troubles, foreign: [...tab.foreign, ...chromium.foreign], worker: chromium.workerErrors },
    { troubles: [], foreign: [], worker: [] },
  );
}

/** A tick that left the exchange, as the program should have understood it; read by hand and not by the program's decoder. */
export function tickOf({ product, sequence, tradeId, price, time, at }: SentTick): Tick {
  const [seconds = "", digits = ""] = time.replace("Z", "").split(".");
  const exchangeTimeUs = Date.parse(`${seconds}Z`) * 1000 + Number(digits.padEnd(6, "0").slice(0, 6));
  return {
    kind: "tick",
    exchange: "coinbase",
    product,
    sequence,
    tradeId,
    price: Number(price),
    exchangeTimeUs,
    recordTimeUs: exchangeTimeUs,
    receivedTime: at,
  };
}

/** The candles that the page should show of this product, from what the exchange really sent. */
export function sentCandles(simulator: Simulator, product: string, interval: Interval): Candle[] {
  return foldCandles(simulator.sent().filter((tick) => tick.product === product).map(tickOf), interval);
}

/** What of a candle can be told from ticks alone. */
export interface PlainCandle {
  /** Start, unix seconds. */
  readonly time: number;
  /** First price. */
  readonly open: number;
  /** Highest price. */
  readonly high: number;
  /** Lowest price. */
  readonly low: number;
  /** Last price. */
  readonly close: number;
  /** How many. */
  readonly ticks: number;
}

/** The candles that the page should show of this product, from what the exchange really sent. */
export function plainCandles(simulator: Simulator, product: string, interval: Interval): PlainCandle[] {
  return sentCandles(simulator, product, interval).map(({ openTime, open, high, low, close, ticks }) => ({
    time: openTime / 1000,
    open,
    high,
    low,
    close,
    ticks,
  }));
}

/** The candles that the page has drawn. */
export async function drawnCandles(tab: Tab): Promise<PlainCandle[]> {
  const candles = await tab.page.evaluate(() => __page.candles());
  return candles.map(({ time, open, high, low, close, ticks }) => ({ time, open, high, low, close, ticks }));
}

/** How many ticks the exchange has sent of this product. */
export function sentTicks(simulator: Simulator, product: string): number {
  return simulator.sent().filter((tick) => tick.product === product).length;
}

/**
 * Waits until the page has drawn exactly the candles of everything that was sent of a product. The product must be quiet; on
 * `ticker_batch` its last sample may still be on its way.
 */
export async function assertDrawn(
  { tab, simulator }: Pick<Scene, "tab" | "simulator">,
  product: string,
  interval: Interval,
): Promise<void> {
  for (const end = performance.now() + 180_000;; await sleep(50)) {
    const [drawn, sent] = [await drawnCandles(tab), plainCandles(simulator, product, interval)];
    if (JSON.stringify(drawn) === JSON.stringify(sent)) return;
    if (performance.now() > end) return assertEquals(drawn, sent, `${product} ${interval}`);
  }
}
