// What can be asked of the store: the web's and the tasks' side of it. Who answers is left to the store.

import type { Interval, MarkedCandle } from "../core/candle.ts";
import type { FeedEvent, Gap, Tick } from "../core/record.ts";

/** A range of time, unix seconds; how much of it is read at once. */
export interface Range {
  /** Included. With it the first `limit` from there are read, without it the newest `limit`. */
  readonly from?: number | undefined;
  /** Excluded. */
  readonly to?: number | undefined;
  /** At most so many. */
  readonly limit: number;
}

/** A product as the store knows it. */
export interface ProductKey {
  /** Lower case: `coinbase`. */
  readonly exchange: string;
  /** The exchange's own id. */
  readonly product: string;
}

/** A candle, and how it came to be. */
export interface StoredCandle extends MarkedCandle {
  /** `ticks`: folded from what we received; `exchange`: the exchange's own. */
  readonly origin: "ticks" | "exchange";
  /** The highest sequence among its ticks: a later tick with a higher one is not in it yet. */
  readonly lastSequence: number;
}

/** All lists are in order of time. */
export interface StoreReader {
  /** Calls the listener with each batch once it is committed, in order of the commits. The function that is returned ends it. */
  onCommit(listener: (batch: readonly FeedEvent[]) => void): () => void;
  /** The last tick of each product: the one with the highest exchange time; with the newest `open24h`, which no other has. */
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
   * What arrived at this moment (our clock, ms) or later, in order of arrival; undefined where it would be more than `limit`.
   * Where our clock was set back since then, more than that. A tick that came more than a minute late may not be among it.
   */
  since(products: readonly ProductKey[], receivedTime: number, limit: number): Promise<FeedEvent[] | undefined>;
}
