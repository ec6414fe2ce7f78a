// What the web server reads from the store.

import type { Interval, MarkedCandle } from "../core/candle.ts";
import type { FeedEvent, Gap, Tick } from "../core/record.ts";

/** A range of time, unix seconds. */
export interface TimeRange {
  /** Included. */
  readonly from?: number | undefined;
  /** Excluded. */
  readonly to?: number | undefined;
}

/** Part of a range of time: the first `limit` items if it has a start, otherwise the newest `limit`. */
export interface Range extends TimeRange {
  /** At least 1. */
  readonly limit: number;
}

/** A product of an exchange. */
export interface ProductKey {
  /** Lower case: `coinbase`. */
  readonly exchange: string;
  /** The exchange's own id. */
  readonly product: string;
}

/** A candle of the store. */
export interface StoredCandle extends MarkedCandle {
  /** The highest sequence of its ticks: a tick with a higher one is not in it yet. */
  readonly lastSequence: number;
}

/** Reads the store. All lists are in order of time. */
export interface StoreReader {
  /** Calls the listener with each batch once it is committed, in order of the commits. The function that is returned ends it. */
  onCommit(listener: (batch: readonly FeedEvent[]) => void): () => void;
  /** The last tick of each product: the one with the highest exchange time. Only these ticks have `open24h`, the newest. */
  lastTicks(): Promise<Tick[]>;
  /** Ticks of one product, by exchange time. */
  ticks(product: ProductKey, range: Range): Promise<Tick[]>;
  /**
   * Candles of one product whose `openTime` lies in the range, marked.
   *
   * @param now wall clock, ms: whether the last one still runs
   */
  candles(product: ProductKey, interval: Interval, range: Range, now: number): Promise<StoredCandle[]>;
  /** Gaps that touch the range, by `opened`; of all products, or of one. */
  gaps(product: ProductKey | undefined, range: Range): Promise<Gap[]>;
  /**
   * What arrived at this moment (our clock, ms) or later, in order of arrival; undefined if it is more than `limit`.
   * If our clock was set back since then, more than that. A tick that arrived more than a minute late may be left out.
   */
  since(products: readonly ProductKey[], receivedTime: number, limit: number): Promise<FeedEvent[] | undefined>;
}
