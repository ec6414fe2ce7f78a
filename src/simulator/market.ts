// The simulated market: products whose prices walk at random from a seed. Pure: the caller passes the times, and the same
// seed gives the same prices in the same order. How a trade is written as a message is up to the exchange.

import { DayOpen } from "./day_open.ts";
import { PricePath } from "./price_path.ts";
import { mixSeed, seededRandom } from "./random.ts";

/** One trade, with its message. */
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
  readonly text: string;
  /** Whether it was sent to a client; set by the sender. */
  wasSent: boolean;
}

/** What a ticker message says of a trade, besides its ids. Numbers are decimal text. */
export interface TickerValues extends Omit<Trade, "text" | "wasSent"> {
  /** The taker's. */
  readonly side: "buy" | "sell";
  /** Of the trade, with eight decimals, as all sizes and volumes. */
  readonly size: string;
  readonly bid: string;
  readonly bidSize: string;
  readonly ask: string;
  readonly askSize: string;
  /** Price 24 hours ago. */
  readonly open: string;
  /** Lowest and highest price since the start, instead of in the last 24 hours. */
  readonly low: string;
  readonly high: string;
  /** Volumes of 24 hours and 30 days: invented, and always the same. */
  readonly volume: string;
  readonly monthVolume: string;
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

/** Microseconds since the epoch in RFC 3339: `2026-10-03T20:58:31.127510Z`. */
export function timeText(timeUs: number): string {
  const minute = Math.floor(timeUs / 60_000_000);
  if (minute !== cachedMinute) {
    cachedMinute = minute;
    cachedText = new Date(minute * 60_000).toISOString().slice(0, 17);
  }
  return `${cachedText}${decimalText(timeUs - minute * 60_000_000 + 100_000_000, 6).slice(1)}Z`;
}

/** How a trade differs from the usual one. */
export interface TradeOptions {
  /** It has the same time as the previous trade, because both are part of one order. */
  readonly isSameOrder?: boolean;
  /** Its price, as decimal text; default the next price of the walk. */
  readonly price?: string | undefined;
  /** Its time is exactly the given one, however wrong, and does not affect later trades. */
  readonly isWrongTime?: boolean;
}

/** One product and its trades. */
export class Product {
  readonly id: string;
  /** Whether clients may subscribe to it. */
  isListed = true;
  /** Whether it trades. */
  isTrading = true;
  /** Whether its trades are sent to clients. */
  isPublished = true;
  traded = 0;
  readonly #writeTicker: (values: TickerValues) => string;
  readonly #decimals: number;
  readonly #random: () => number;
  readonly #orderRandom: () => number;
  readonly #path: PricePath;
  readonly #volume: number;
  /** How long until the next order, in average times between two trades. */
  #untilOrder: number;
  #dayOpen: DayOpen;
  #low: number;
  #high: number;
  // the last trade; prices in smallest units, sizes in 1e-8
  #sequence: number;
  #tradeId: number;
  #timeUs = 0;
  #shownTimeUs = 0;
  #price: number;
  #priceText: string | undefined;
  #isBuy = true;
  #size = 1;
  #last: Trade | undefined;

  /** `startedAt` (ms since the epoch) decides where sequences and trade ids start. */
  constructor(id: string, seed: number, startedAt: number, writeTicker: (values: TickerValues) => string) {
    const ownSeed = mixSeed(seed, id);
    this.id = id;
    this.#writeTicker = writeTicker;
    this.#random = seededRandom(ownSeed);
    // separate from the prices, or a lever that makes one trade would change every later price
    this.#orderRandom = seededRandom(ownSeed ^ 0x5BD1E995);
    const listing = LISTINGS[id] ?? LISTINGS[id.replace(OTHER_MONEY, "-USD")] ??
      { price: 1 + Math.floor(this.#random() * 500), decimals: 4 };
    this.#decimals = listing.decimals;
    this.#price = Math.round(listing.price * 10 ** listing.decimals);
    this.#path = new PricePath(this.#price, seed, this.#random);
    const open = Math.round(this.#price * (0.98 + this.#random() * 0.04));
    this.#dayOpen = new DayOpen(open);
    this.#low = Math.min(open, Math.round(this.#price * (0.97 + this.#random() * 0.02)));
    this.#high = Math.max(open, Math.round(this.#price * (1.01 + this.#random() * 0.02)));
    this.#volume = (5e7 + this.#random() * 5e8) / listing.price;
    const age = Math.max(0, Math.floor(startedAt) - NUMBERS_SINCE);
    // far apart, as in reality: two products rarely share a number
    this.#sequence = (130 + ownSeed % 997) * 1_000_000_000 + age * 16;
    this.#tradeId = (1 + ownSeed % 89) * 1_000_000_000 + age * 8;
    // products must not all trade at the same moment
    this.#untilOrder = 1 - this.#orderRandom();
  }

  /** The last trade; undefined before the first. Its message is the same each time. */
  get last(): Trade | undefined {
    return this.traded === 0 ? undefined : this.#last ??= this.#describe();
  }

  /**
   * Makes the trades of the next `ms`. Now and then an order is large: several trades in one microsecond, followed by a
   * longer pause.
   *
   * @param timeOf the time in us of an order that is due `afterMs` from the start; `random` is from 0 to below 1
   * @param onTrade called after each trade
   */
  advance(
    ms: number,
    tradesPerSecond: number,
    timeOf: (afterMs: number, random: number) => number,
    onTrade?: (trade: Trade) => void,
  ): void {
    if (tradesPerSecond === 0) return;
    const spacing = 1000 / tradesPerSecond;
    let due = this.#untilOrder * spacing;
    while (due <= ms) {
      const draw = this.#orderRandom();
      // 40 % of all trades share their microsecond in reality, too
      const trades = draw < 0.88 ? 1 : draw < 0.96 ? 2 : 3;
      const timeUs = timeOf(due, this.#orderRandom());
      for (let i = 0; i < trades; i++) {
        this.trade(timeUs, { isSameOrder: i > 0 });
        onTrade?.(this.#last ??= this.#describe());
      }
      due += trades * spacing;
    }
    this.#untilOrder = (due - ms) / spacing;
  }

  /** Makes the next trade at the given microsecond, or just after the previous trade if that was later. */
  trade(timeUs: number, { isSameOrder = false, price, isWrongTime = false }: TradeOptions = {}): void {
    if (!isWrongTime && (!isSameOrder || this.traded === 0)) this.#timeUs = Math.max(timeUs, this.#timeUs + 1);
    this.#shownTimeUs = isWrongTime ? timeUs : this.#timeUs;
    const draw = this.#random() * 4;
    this.#isBuy = draw < 2;
    this.#sequence += draw % 2 < 1 ? 2 : 3;
    this.#path.step();
    this.#size = Math.floor(10 ** (this.#random() * 8));
    this.#priceText = price;
    if (price !== undefined) this.#setPrice(price);
    // buys are a little above the path and sells below; visible where the price increment is coarse
    else this.#price = Math.max(1, Math.round(this.#path.value + (this.#isBuy ? 0.25 : -0.25)));
    this.#tradeId++;
    this.traded++;
    this.#last = undefined;
    this.#dayOpen.add(this.#timeUs, this.#price);
    if (this.#price < this.#low) this.#low = this.#price;
    if (this.#price > this.#high) this.#high = this.#price;
  }

  /** Allows the next trade to be earlier than the last one, as when the exchange's clock is set back. */
  rewind(): void {
    this.#timeUs = 0;
    this.#dayOpen = new DayOpen(this.#dayOpen.price);
  }

  /** Takes a recorded trade as the last one, so that levers continue from its numbers. */
  adopt(trade: Trade): void {
    this.#sequence = this.traded === 0 ? trade.sequence : Math.max(this.#sequence, trade.sequence);
    this.#tradeId = this.traded === 0 ? trade.tradeId : Math.max(this.#tradeId, trade.tradeId);
    this.traded++;
    this.#setPrice(trade.price);
    this.#last = trade;
  }

  #setPrice(price: string): void {
    this.#price = Math.max(1, Math.round(Number(price) * 10 ** this.#decimals));
    this.#path.value = this.#price;
  }

  #describe(): Trade {
    const price = (units: number) => decimalText(units, this.#decimals);
    const shortPrice = (units: number) => decimalText(units, this.#decimals, true);
    // seeded by the trade, so that every message of a trade has the same order book
    const random = seededRandom(this.#tradeId);
    const spread = 1 + Math.floor(random() * 3);
    const bid = this.#isBuy ? Math.max(1, this.#price - spread) : this.#price;
    const ask = this.#isBuy ? this.#price : this.#price + spread;
    const values: TickerValues = {
      product: this.id,
      sequence: this.#sequence,
      tradeId: this.#tradeId,
      price: this.#priceText ?? shortPrice(this.#price),
      time: timeText(this.#shownTimeUs),
      side: this.#isBuy ? "buy" : "sell",
      size: decimalText(this.#size, 8),
      bid: price(bid),
      bidSize: decimalText(1 + Math.floor(random() * 2e8), 8),
      ask: price(ask),
      askSize: decimalText(1 + Math.floor(random() * 2e8), 8),
      open: shortPrice(this.#dayOpen.price),
      low: shortPrice(this.#low),
      high: shortPrice(this.#high),
      volume: this.#volume.toFixed(8),
      monthVolume: (this.#volume * 28.6).toFixed(8),
    };
    const { product, sequence, tradeId, time } = values;
    return { product, sequence, tradeId, price: values.price, time, text: this.#writeTicker(values), wasSent: false };
  }
}

/** All products of the simulated exchange by id, in the order in which they are listed in replies. */
export type Market = ReadonlyMap<string, Product>;

/** Products without a trade. */
export function createMarket(
  ids: readonly string[],
  seed: number,
  startedAt: number,
  writeTicker: (values: TickerValues) => string,
): Market {
  return new Map(ids.map((id) => [id, new Product(id, seed, startedAt, writeTicker)]));
}
