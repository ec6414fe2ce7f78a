// The time before the exchange opened: trades of the same market, as a client on `ticker_batch` would have received
// them. Pure: the caller passes the times.

import type { Market, Trade } from "./market.ts";

/** How often the floor checks what is due; its trades are up to this late. */
const PUMP_US = 10_000;

/** What a client on `ticker_batch` would have received at one moment. */
export interface Sample {
  /** ms since the epoch. */
  readonly at: number;
  /** The last trade of each product that traded since the previous sample, ordered by time. */
  readonly trades: readonly Trade[];
}

/** Settings of the past. */
export interface PastOptions {
  /** When it starts, ms since the epoch. */
  readonly from: number;
  /** Trades per second of each product. */
  readonly ticksPerSecond: number;
  /** Interval of the samples. */
  readonly batchMs: number;
}

/** Makes the trades of a time in the past. Each product starts with one trade. */
export class Past {
  readonly #market: Market;
  readonly #options: PastOptions;
  /** Product -> time of its next order, us. */
  readonly #next = new Map<string, number>();
  #at: number;
  #opening: Trade[];
  #closedAt: number | undefined;

  /** The market must be new. */
  constructor(market: Market, options: PastOptions) {
    this.#market = market;
    this.#options = options;
    this.#at = options.from;
    this.#opening = market.products.map((product) => market.trade(product, Math.floor(options.from * 1000)));
    for (const product of market.products) {
      this.#next.set(product, (options.from + market.phase(product) * 1000 / options.ticksPerSecond) * 1000);
    }
  }

  /** The next sample if it was due by `now` (ms since the epoch). The first is the answer to a subscribe. */
  next(now: number): Sample | undefined {
    if (this.#opening.length > 0) {
      const trades = this.#opening;
      this.#opening = [];
      return { at: this.#at, trades };
    }
    const end = this.#at + this.#options.batchMs;
    if (end > now) return undefined;
    this.#at = end;
    return this.#sample(end);
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#closedAt !== undefined;
  }

  /**
   * The last sample, before the next one is due: everything traded up to `now`. There are no trades from here to
   * {@link end}, so a client that has all samples misses nothing.
   */
  close(now: number): Sample {
    this.#closedAt = now;
    return this.#sample(now);
  }

  /**
   * Makes the trades up to `now`, without messages, unless it was closed before. Returns what the floor continues with:
   * the trades due of each product, and when the next sample is due.
   */
  end(now: number): { readonly owed: ReadonlyMap<string, number>; readonly nextSample: number } {
    const { ticksPerSecond, batchMs } = this.#options;
    const until = this.#closedAt ?? now;
    for (const product of this.#walk(until)) this.#market.tell(product);
    const owed = new Map(
      [...this.#next].map(([product, next]) =>
        [product, ticksPerSecond > 0 ? 1 - (next - until * 1000) / 1e6 * ticksPerSecond : 0] as const
      ),
    );
    const passed = Math.max(0, Math.floor((now - this.#at) / batchMs));
    return { owed, nextSample: this.#at + (passed + 1) * batchMs };
  }

  #sample(at: number): Sample {
    const trades = this.#walk(at).map((product) => this.#market.tell(product));
    return { at, trades: trades.sort((a, b) => a.time < b.time ? -1 : a.time > b.time ? 1 : 0) };
  }

  /** Makes all trades up to this moment, ms; returns the products that traded. */
  #walk(until: number): string[] {
    const market = this.#market;
    const spacing = 1e6 / this.#options.ticksPerSecond;
    const end = until * 1000;
    return market.products.filter((product) => {
      const first = this.#next.get(product) as number;
      let next = first;
      while (next <= end) {
        // a large order is several trades in one microsecond, followed by a longer pause
        const crowd = market.crowd(product);
        const micros = Math.floor(next - market.phase(product) * PUMP_US);
        for (let i = 0; i < crowd; i++) market.pass(product, micros, i > 0);
        next += crowd * spacing;
      }
      this.#next.set(product, next);
      return next > first;
    });
  }
}
