// The time before the exchange opened: trades of the same market, as a client on `ticker_batch` would have received
// them. Pure: the caller passes the times.

import type { Market, Trade } from "./market.ts";

/** The live market makes its trades up to this late, us. */
const MAX_LATE_US = 10_000;

/** What a client on `ticker_batch` would have received at one moment. */
export interface Sample {
  /** ms since the epoch. */
  readonly at: number;
  /** The last trade of each product that traded since the previous sample, ordered by time. */
  readonly trades: readonly Trade[];
}

/** How the past was traded and sampled. */
export interface PastOptions {
  /** When it starts, ms since the epoch. */
  readonly from: number;
  readonly ticksPerSecond: number;
  /** Interval of the samples, ms. */
  readonly batchMs: number;
}

/** Makes the trades of a time in the past. Each product starts with one trade. */
export class Past {
  readonly #market: Market;
  readonly #options: PastOptions;
  /** Up to here all trades are made, ms. */
  #at: number;
  #isBegun = false;
  /** Whether {@link close} was called. */
  isClosed = false;

  /** The market must be new. */
  constructor(market: Market, options: PastOptions) {
    this.#market = market;
    this.#options = options;
    this.#at = options.from;
    for (const product of market.values()) product.trade(Math.floor(options.from * 1000));
  }

  /** The next sample if it was due by `now` (ms since the epoch). The first is the answer to a subscribe. */
  next(now: number): Sample | undefined {
    if (!this.#isBegun) {
      this.#isBegun = true;
      return { at: this.#at, trades: [...this.#market.values()].flatMap(({ last }) => last ?? []) };
    }
    const due = this.#at + this.#options.batchMs;
    return due > now ? undefined : this.#sample(due);
  }

  /**
   * The last sample, before the next one is due: everything traded up to `now`. There are no trades from here to
   * {@link end}, so a client that has all samples misses nothing.
   */
  close(now: number): Sample {
    this.isClosed = true;
    return this.#sample(now);
  }

  /** Makes the trades up to `now`, unless it was closed before. Returns when the next sample is due, ms. */
  end(now: number): number {
    if (!this.isClosed) this.#trade(now);
    const { from, batchMs } = this.#options;
    return from + (Math.floor((now - from) / batchMs) + 1) * batchMs;
  }

  #sample(until: number): Sample {
    const trades = this.#trade(until);
    return { at: until, trades: trades.sort((a, b) => a.time < b.time ? -1 : a.time > b.time ? 1 : 0) };
  }

  /** Makes the trades up to this moment, ms; returns the last one of each product that traded. */
  #trade(until: number): Trade[] {
    const from = this.#at;
    this.#at = until;
    return [...this.#market.values()].flatMap((product) => {
      const before = product.traded;
      product.advance(
        until - from,
        this.#options.ticksPerSecond,
        (afterMs, random) => Math.floor((from + afterMs) * 1000 - random * MAX_LATE_US),
      );
      return product.traded > before ? product.last ?? [] : [];
    });
  }
}
