// The time before the exchange opened: the same market trades through it, and is told of as a client on `ticker_batch`
// would have heard it. Pure: times are handed in.

import type { Market, Trade } from "./market.ts";

/** How often the floor looks what is due; its trades are late by as much. */
const PUMP_US = 10_000;

/** What a client on `ticker_batch` would have got at one moment. */
export interface Sample {
  /** ms since the epoch. */
  readonly at: number;
  /** The last trade of each product that had one since the sample before, by time. */
  readonly trades: readonly Trade[];
}

/** How the past went. */
export interface PastOptions {
  /** When it begins, ms since the epoch. */
  readonly from: number;
  /** Trades per second of each product. */
  readonly ticksPerSecond: number;
  /** Distance of the samples. */
  readonly batchMs: number;
}

/** Lets a market trade through a time that is over. Each product begins with one trade. */
export class Past {
  readonly #market: Market;
  readonly #options: PastOptions;
  /** Product -> when its next taker comes, us. */
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

  /** The next sample, if it was due by `now` (ms since the epoch). The first is what a subscribe brings. */
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

  /** Its last sample was taken. */
  get isClosed(): boolean {
    return this.#closedAt !== undefined;
  }

  /**
   * The last sample, before the next one is due: all that was traded up to this moment. From here to {@link end} nothing is,
   * so that whoever has heard all of it misses nothing.
   */
  close(now: number): Sample {
    this.#closedAt = now;
    return this.#sample(now);
  }

  /**
   * Trades up to this moment, untold, unless it was closed before. From here on time is the floor's: what each product
   * owes, in trades, and when the next sample is due.
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

  /** Lets all trade up to this moment, ms; returns those that did. */
  #walk(until: number): string[] {
    const market = this.#market;
    const spacing = 1e6 / this.#options.ticksPerSecond;
    const end = until * 1000;
    return market.products.filter((product) => {
      const first = this.#next.get(product) as number;
      let next = first;
      while (next <= end) {
        // a large order is several trades of one microsecond, paid for by the pause that follows
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
