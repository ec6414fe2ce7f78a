// The simulated market: seeded price walks, and the `ticker` message of each trade as Coinbase writes it. Pure: the
// caller passes the time of a trade, and the same seed gives the same prices in the same order.

import { LastDay } from "./last_day.ts";
import { PricePath } from "./price_path.ts";
import { mixSeed, seededRandom } from "./random.ts";

/** One trade on the simulated exchange, with its ticker message. */
export interface Trade {
  /** The exchange's id of the product, such as `BTC-USD`. */
  readonly product: string;
  /** Position in the product's order book; it grows by 2 or 3 with each trade, as in the recordings. */
  readonly sequence: number;
  /** Grows by exactly 1 with each trade of the product. */
  readonly tradeId: number;
  /** Decimal text, as in the message. */
  readonly price: string;
  /** RFC 3339 with six decimals, as in the message. */
  readonly time: string;
  /** The whole ticker message. */
  readonly text: string;
  /** Whether it was sent to a client; set by the sender. */
  left: boolean;
}

/** Where a known product starts: its price, and how many decimals its price has. */
interface Listing {
  readonly price: number;
  readonly decimals: number;
}

const LISTINGS: Readonly<Record<string, Listing>> = {
  "ETH-USD": { price: 3_500, decimals: 2 },
  "BTC-USD": { price: 90_000, decimals: 2 },
  "SOL-USD": { price: 140, decimals: 2 },
  "BNB-USD": { price: 900, decimals: 2 },
  "XRP-USD": { price: 2.2, decimals: 4 },
  "ADA-USD": { price: 0.4, decimals: 4 },
  "AVAX-USD": { price: 14, decimals: 2 },
  "DOT-USD": { price: 2.3, decimals: 3 },
};

/** Quote currencies worth about a dollar. */
const OTHER_MONEY = /-(?:USDC|USDT|EUR|GBP)$/;

/** The products listed by default. */
export const DEFAULT_PRODUCTS: readonly string[] = Object.keys(LISTINGS);

// Sequences and trade ids grow with the time since 2026-01-01, so that a restarted simulator starts above every number
// of earlier runs, like the same exchange continuing. A client that finds repeats by sequence depends on it.
const NUMBERS_SINCE = 1_767_225_600_000;

/** A whole number of smallest units as decimal text: `decimalText(123450, 3)` is `123.450`, or `123.45` with `cut`. */
export function decimalText(units: number, decimals: number, cut = false): string {
  const digits = String(units).padStart(decimals + 1, "0");
  let end = digits.length;
  const point = digits.length - decimals;
  if (cut) { while (end > point && digits.charCodeAt(end - 1) === 48) end--; }
  return end === point ? digits.slice(0, point) : `${digits.slice(0, point)}.${digits.slice(point, end)}`;
}

let cachedMinute = Number.NaN;
let cachedText = "";

/** Microseconds since the epoch as Coinbase writes a time: `2026-10-03T20:58:31.127510Z`. */
export function timeText(micros: number): string {
  const minute = Math.floor(micros / 60_000_000);
  if (minute !== cachedMinute) {
    cachedMinute = minute;
    cachedText = new Date(minute * 60_000).toISOString().slice(0, 17);
  }
  return `${cachedText}${decimalText(micros - minute * 60_000_000 + 100_000_000, 6).slice(1)}Z`;
}

/** The walk of one product. */
class Walk {
  last: Trade | undefined;
  traded = 0;
  readonly #product: string;
  readonly #decimals: number;
  readonly #random: () => number;
  readonly #crowd: () => number;
  readonly #path: PricePath;
  #day: LastDay;
  #sequence: number;
  #tradeId: number;
  #micros = 0;
  // of the last trade, with or without a message
  #units: number;
  #buy = true;
  #size = 1;

  constructor(product: string, seed: number, startedAt: number) {
    const own = mixSeed(seed, product);
    this.#product = product;
    this.#random = seededRandom(own);
    // separate from the prices, or a lever that makes one trade would change every later price
    this.#crowd = seededRandom(own ^ 0x5BD1E995);
    const inDollars = product.replace(OTHER_MONEY, "-USD");
    const listing = LISTINGS[product] ?? LISTINGS[inDollars] ??
      { price: 1 + Math.floor(this.#random() * 500), decimals: 4 };
    this.#decimals = listing.decimals;
    const start = this.#units = Math.round(listing.price * 10 ** listing.decimals);
    this.#path = new PricePath(start, seed, this.#random);
    const open = Math.round(start * (0.98 + this.#random() * 0.04));
    this.#day = new LastDay(
      open,
      Math.min(open, Math.round(start * (0.97 + this.#random() * 0.02))),
      Math.max(open, Math.round(start * (1.01 + this.#random() * 0.02))),
      (5e7 + this.#random() * 5e8) / listing.price,
    );
    const age = Math.max(0, Math.floor(startedAt) - NUMBERS_SINCE);
    // far apart, as in reality: two products rarely share a number
    this.#sequence = (130 + own % 997) * 1_000_000_000 + age * 16;
    this.#tradeId = (1 + own % 89) * 1_000_000_000 + age * 8;
  }

  /** How many trades the next order causes; they share their microsecond, as 40 % do in reality. */
  crowd(): number {
    const draw = this.#crowd();
    return draw < 0.88 ? 1 : draw < 0.96 ? 2 : 3;
  }

  /** From 0 to below 1, so that products do not all trade at the same moment. */
  phase(): number {
    return this.#crowd();
  }

  /** A trade without a message; {@link tell} writes it. */
  pass(micros: number, shared: boolean): void {
    if (!shared || this.traded === 0) this.#micros = micros > this.#micros ? micros : this.#micros + 1;
    this.#trade(this.#micros);
  }

  trade(micros: number, shared: boolean, price?: string): Trade {
    if (!shared || this.traded === 0) this.#micros = micros > this.#micros ? micros : this.#micros + 1;
    this.#trade(this.#micros, price);
    return this.tell(this.#micros, price);
  }

  /** A trade with this time, however wrong; later trades are not affected. */
  tradeAt(micros: number): Trade {
    this.#trade(this.#micros);
    return this.tell(micros);
  }

  /** Allows the next trade to be earlier than the last one, as when the exchange's clock is set back. */
  rewind(): void {
    this.#micros = 0;
    const { open, low, high, volume } = this.#day;
    this.#day = new LastDay(open, low, high, volume);
  }

  /** Takes a recorded trade as the last one, so that levers continue from its numbers. */
  adopt(trade: Trade): void {
    this.last = trade;
    this.traded++;
    this.#sequence = Math.max(this.traded === 1 ? 0 : this.#sequence, trade.sequence);
    this.#tradeId = Math.max(this.traded === 1 ? 0 : this.#tradeId, trade.tradeId);
    this.#setPrice(trade.price);
  }

  #setPrice(price: string): void {
    this.#units = Math.max(1, Math.round(Number(price) * 10 ** this.#decimals));
    this.#path.value = this.#units;
  }

  #trade(micros: number, price?: string): void {
    const draw = this.#random() * 4;
    this.#buy = draw < 2;
    this.#sequence += draw % 2 < 1 ? 2 : 3;
    this.#path.step();
    this.#size = Math.floor(10 ** (this.#random() * 8));
    if (price !== undefined) this.#setPrice(price);
    // buys are a little above the path and sells below; visible where the price increment is coarse
    else this.#units = Math.max(1, Math.round(this.#path.value + (this.#buy ? 0.25 : -0.25)));
    this.#tradeId++;
    this.traded++;
    this.#day.add(micros, this.#units, this.#size / 1e8);
  }

  /** The message of the last trade, with this time or its own. */
  tell(micros = this.#micros, price?: string): Trade {
    const d = this.#decimals;
    const units = this.#units;
    const { open, low, high, volume } = this.#day;
    // seeded by the trade, so that every message of a trade has the same book
    const book = seededRandom(this.#tradeId);
    const gap = 1 + Math.floor(book() * 3);
    const bid = this.#buy ? Math.max(1, units - gap) : units;
    const ask = this.#buy ? units : units + gap;
    const text = price ?? decimalText(units, d, true);
    const time = timeText(micros);
    const trade: Trade = {
      product: this.#product,
      sequence: this.#sequence,
      tradeId: this.#tradeId,
      price: text,
      time,
      // keys in the order of the wire; price without trailing zeros, book with all, sizes and volumes with eight digits
      text:
        `{"type":"ticker","sequence":${this.#sequence},"product_id":"${this.#product}","price":"${text}","open_24h":"${
          decimalText(open, d, true)
        }","volume_24h":"${volume.toFixed(8)}","low_24h":"${decimalText(low, d, true)}","high_24h":"${
          decimalText(high, d, true)
        }","volume_30d":"${(volume * 28.6).toFixed(8)}","best_bid":"${decimalText(bid, d)}","best_bid_size":"${
          decimalText(1 + Math.floor(book() * 2e8), 8)
        }","best_ask":"${decimalText(ask, d)}","best_ask_size":"${
          decimalText(1 + Math.floor(book() * 2e8), 8)
        }","side":"${this.#buy ? "buy" : "sell"}","time":"${time}","trade_id":${this.#tradeId},"last_size":"${
          decimalText(this.#size, 8)
        }"}`,
      left: false,
    };
    this.last = trade;
    return trade;
  }
}

/** All products of the simulated exchange, each with its own walk. */
export class Market {
  /** The products, in the order in which they are listed in replies. */
  readonly products: readonly string[];
  readonly #walks = new Map<string, Walk>();

  /** `startedAt` (ms since the epoch) decides where sequences and trade ids start. */
  constructor(products: readonly string[], seed: number, startedAt: number) {
    this.products = [...new Set(products)];
    for (const product of this.products) this.#walks.set(product, new Walk(product, seed, startedAt));
  }

  /** Whether the product has ever been listed. */
  has(product: string): boolean {
    return this.#walks.has(product);
  }

  /** The product's last trade; undefined before the first. */
  last(product: string): Trade | undefined {
    return this.#walks.get(product)?.last;
  }

  /** How many trades of the product there were. */
  traded(product: string): number {
    return this.#walks.get(product)?.traded ?? 0;
  }

  /** A random number from 0 to below 1, for when the product trades. */
  phase(product: string): number {
    return this.#walk(product).phase();
  }

  /** How many trades the product's next order causes at once, 1 to 3. */
  crowd(product: string): number {
    return this.#walk(product).crowd();
  }

  /**
   * The next trade, at the given microsecond or just after the previous trade; `shared` uses the previous one's time.
   */
  trade(product: string, micros: number, shared = false, price?: string): Trade {
    return this.#walk(product).trade(micros, shared, price);
  }

  /** As {@link trade}, but writes no message and leaves `last()` as it is. */
  pass(product: string, micros: number, shared = false): void {
    this.#walk(product).pass(micros, shared);
  }

  /** Writes the message of the product's newest trade, after {@link pass}. */
  tell(product: string): Trade {
    return this.#walk(product).tell();
  }

  /** The next trade with exactly this time, however wrong: for late and future tickers. */
  tradeAt(product: string, micros: number): Trade {
    return this.#walk(product).tradeAt(micros);
  }

  /** Forgets the times so far, so that the next trades show a clock that was set back. */
  rewind(): void {
    for (const walk of this.#walks.values()) walk.rewind();
  }

  /** Takes a recorded trade as the product's last. */
  adopt(trade: Trade): void {
    this.#walk(trade.product).adopt(trade);
  }

  #walk(product: string): Walk {
    const walk = this.#walks.get(product);
    if (walk === undefined) throw new RangeError(`Cannot trade as the product is not listed: "${product}"`);
    return walk;
  }
}
