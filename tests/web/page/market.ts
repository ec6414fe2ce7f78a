// Ticks as an exchange in trouble sends them, and a server that knows some of them: for the tests of what a page makes of both.

import { type Interval, intervalMs, openTimeOf } from "../../../src/core/candle.ts";
import type { WireCandle, WireCandleEvent, WireGap, WireTick } from "../../../src/web/page/wire.ts";
import { makeTick } from "../../fakes/events.ts";
import type { Random } from "../../fakes/random.ts";
import { foldCandles } from "../../fakes/candles.ts";

/** 2026-11-24T18:00:00Z */
export const START = 1795543200;
export const PRODUCT = "BTC-USD";

/** In order of sequence; some happened a little before the one before, a few long before. */
export function randomTicks(random: Random, count: number): WireTick[] {
  let time = START;
  let sequence = random.int(0, 1000);
  return Array.from({ length: count }, () => {
    time += random.chance(0.05) ? random.int(1, 90) : random.next() * 2;
    sequence += random.chance(0.1) ? random.int(1, 5) : 1;
    const late = random.chance(0.1) ? random.next() * 3 : random.chance(0.02) ? random.next() * 40 : 0;
    return {
      product: PRODUCT,
      price: random.int(8_990_000, 9_010_000) / 100,
      time: Math.round((time - late) * 1e6) / 1e6,
      sequence,
      ...(random.chance(0.001) ? {} : { size: random.int(1, 99_999) / 1e5 }),
    };
  });
}

/** The candles of these ticks as the server sends them. */
export function serverCandles(ticks: readonly WireTick[], interval: Interval, now: number): WireCandle[] {
  const sequences = new Map<number, number>();
  for (const { time, sequence } of ticks) {
    const start = openTimeOf(time * 1000, interval);
    sequences.set(start, Math.max(sequences.get(start) ?? -1, sequence));
  }
  const plain = ticks.map(({ time, sequence, price, size }) =>
    makeTick({ sequence, price, lastSize: size, exchangeTimeUs: Math.round(time * 1e6) })
  );
  return foldCandles(plain, interval).map(({ openTime, open, high, low, close, ticks, volume }) => ({
    time: openTime / 1000,
    open,
    high,
    low,
    close,
    ticks,
    ...(volume === undefined ? {} : { volume }),
    running: now < openTime + intervalMs(interval),
    incomplete: false,
    sequence: sequences.get(openTime) ?? -1,
  }));
}

/** A server that answers as the API does. */
export class FakeServer {
  readonly ticks: WireTick[] = [];
  readonly gaps: WireGap[] = [];
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  /** Why it does not answer. */
  trouble: Error | undefined;
  /** Waits before it reads its store, and after that. */
  delay: () => Promise<void> = () => Promise.resolve();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Stores these ticks, and returns the events of the candles that they changed. */
  store(interval: Interval, ...ticks: readonly WireTick[]): WireCandleEvent[] {
    this.ticks.push(...ticks);
    const changed = new Set(ticks.map(({ time }) => openTimeOf(time * 1000, interval) / 1000));
    return serverCandles(this.ticks, interval, this.#now()).filter(({ time }) => changed.has(time))
      .map((candle) => ({ product: PRODUCT, interval, ...candle }));
  }

  readonly ask = async (path: string): Promise<unknown> => {
    this.asked.push(path);
    await this.delay();
    const answer = this.#answer(path);
    await this.delay();
    return answer;
  };

  #answer(path: string): unknown {
    if (this.trouble !== undefined) throw this.trouble;
    const { pathname, searchParams } = new URL(path, "http://localhost");
    const number = (name: string, fallback: number) => Number(searchParams.get(name) ?? fallback);
    const [from, to, limit] = [number("from", -Infinity), number("to", Infinity), number("limit", 500)];
    const cut = <T>(list: T[]) => searchParams.has("from") ? list.slice(0, limit) : list.slice(-limit);
    if (pathname === "/api/gaps") {
      return cut(this.gaps.filter((gap) => (gap.to ?? Infinity) >= from && (gap.from ?? gap.opened) < to));
    }
    const interval = searchParams.get("interval") as Interval;
    const candles = serverCandles(this.ticks, interval, this.#now());
    return cut(candles.filter(({ time }) => time >= from && time < to));
  }
}
