// Candles of a list of ticks, for comparison with what the store, the page and the dashboards make of the same ticks.

import {
  type Candle,
  candleOf,
  type CandleWindow,
  growWindow,
  type Interval,
  openTimeOf,
  windowOf,
} from "../../src/core/candle.ts";
import { type Tick, tickId } from "../../src/core/record.ts";

/** The windows of one product, in order of time. The ticks may come in any order and more than once. */
export function foldWindows(ticks: Iterable<Tick>, interval: Interval): CandleWindow[] {
  const windows = new Map<number, CandleWindow>();
  const seen = new Set<string>();
  for (const tick of ticks) {
    const id = tickId(tick);
    if (seen.has(id)) continue;
    seen.add(id);
    const openTime = openTimeOf(tick.exchangeTimeUs / 1000, interval);
    const window = windows.get(openTime);
    if (window === undefined) windows.set(openTime, windowOf(openTime, tick));
    else growWindow(window, tick);
  }
  return [...windows.values()].sort((a, b) => a.openTime - b.openTime);
}

/** The same as candles. */
export function foldCandles(ticks: Iterable<Tick>, interval: Interval): Candle[] {
  return foldWindows(ticks, interval).map((window) => candleOf(window, interval));
}
