// The made-up market: seeded price walks, and the `ticker` message of each trade as Coinbase writes it. Pure: the
// time of a trade is handed in, and the same seed gives the same prices in the same order, whenever they happen.

/** One match on the simulated exchange, together with the ticker message that tells of it. */
export interface Trade {
  /** The exchange's id of the product, such as `BTC-USD`. */
  readonly product: string;
  /** Position in the product's order book; it grows by 2 or 3 with each trade, as in the recordings. */
  readonly sequence: number;
  /** Grows by exactly 1 with each trade of the product. */
  readonly tradeId: number;
  /** Decimal text as it stands in the message. */
  readonly price: string;
  /** RFC 3339 with six digits, as it stands in the message. */
  readonly time: string;
  /** The whole ticker message. */
  readonly text: string;
  /** Whether a socket has been given this trade already; kept up to date by whoever sends. */
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

/** What the simulated exchange lists when nothing else is asked for. */
export const DEFAULT_PRODUCTS: readonly string[] = Object.keys(LISTINGS);

// Numbers begin above any that an earlier run can have reached, so that a restarted simulator looks like the same
// exchange going on, and a client that tells repeats by sequence is not misled. 2026-01-01.
const NUMBERS_SINCE = 1_767_225_600_000;

/** A small seeded generator (mulberry32): numbers from 0 to below 1. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6D2B79F5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A seed of its own for each product, so that a longer list does not change the prices of the others (FNV-1a). */
function mixSeed(seed: number, name: string): number {
  let hash = (0x811C9DC5 ^ seed) >>> 0;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** A whole number of smallest units as decimal text: `decimalText(123450, 3)` is `123.450`, or `123.45` with `cut`. */
export function decimalText(units: number, decimals: number, cut = false): string {
  const digits = String(units).padStart(decimals + 1, "0");
  let end = digits.length;
  const point = digits.length - decimals;
  if (cut) { while (end > point && digits.charCodeAt(end - 1) === 48) end--; }
  return end === point ? digits.slice(0, point) : `${digits.slice(0, point)}.${digits.slice(point, end)}`;
}

let cachedSecond = Number.NaN;
let cachedText = "";

/** Microseconds since the epoch as Coinbase writes a time: `2026-10-03T20:58:31.127510Z`. */
export function timeText(micros: number): string {
  const second = Math.floor(micros / 1_000_000);
  if (second !== cachedSecond) {
    cachedSecond = second;
    cachedText = new Date(second * 1000).toISOString().slice(0, 20);
  }
  return `${cachedText}${String(micros - second * 1_000_000).padStart(6, "0")}Z`;
}

/** The walk of one product. */
class Walk {
  last: Trade | undefined;
  traded = 0;
  readonly #product: string;
  readonly #decimals: number;
  readonly #start: number;
  readonly #open: number;
  readonly #random: () => number;
  readonly #crowd: () => number;
  #units: number;
  #low: number;
  #high: number;
  #volume: number;
  #sequence: number;
  #tradeId: number;
  #micros = 0;

  constructor(product: string, seed: number, startedAt: number) {
    const own = mixSeed(seed, product);
    this.#product = product;
    this.#random = seededRandom(own);
    // drawn apart from the prices, or a lever that makes one trade would change every later price
    this.#crowd = seededRandom(own ^ 0x5BD1E995);
    const listing = LISTINGS[product] ?? { price: 1 + Math.floor(this.#random() * 500), decimals: 4 };
    this.#decimals = listing.decimals;
    this.#start = Math.round(listing.price * 10 ** listing.decimals);
    this.#units = this.#start;
    this.#open = Math.round(this.#start * (0.98 + this.#random() * 0.04));
    this.#low = Math.min(this.#open, Math.round(this.#start * (0.97 + this.#random() * 0.02)));
    this.#high = Math.max(this.#open, Math.round(this.#start * (1.01 + this.#random() * 0.02)));
    this.#volume = (5e7 + this.#random() * 5e8) / listing.price;
    const age = Math.max(0, Math.floor(startedAt) - NUMBERS_SINCE);
    // far apart, as in reality: sequences are equal by chance only
    this.#sequence = (130 + own % 997) * 1_000_000_000 + age * 16;
    this.#tradeId = (1 + own % 89) * 1_000_000_000 + age * 8;
  }

  /** How many trades the next taker's order causes; they share their microsecond, as 40 % do in reality. */
  crowd(): number {
    const draw = this.#crowd();
    return draw < 0.88 ? 1 : draw < 0.96 ? 2 : 3;
  }

  /** A phase from 0 to below 1, so that products do not all trade at the same moment. */
  phase(): number {
    return this.#crowd();
  }

  trade(micros: number, shared: boolean, price?: string): Trade {
    const random = this.#random;
    const buy = random() < 0.5;
    const stride = Math.max(1, Math.round(this.#units * 4e-5));
    const still = random() < 0.4;
    let move = still ? 0 : 1 + Math.floor(random() * stride);
    // the pull home keeps a walk of weeks above zero
    const up = this.#units > this.#start * 1.25 ? false : this.#units < this.#start * 0.8 ? true : buy;
    if (!up) move = -move;
    this.#units = Math.max(1, this.#units + move);
    const gap = 1 + Math.floor(random() * 3);
    const size = Math.floor(10 ** (random() * 8));
    this.#sequence += random() < 0.5 ? 2 : 3;
    const [bidSize, askSize] = [1 + Math.floor(random() * 2e8), 1 + Math.floor(random() * 2e8)];
    if (price !== undefined) this.#setPrice(price);
    this.#tradeId++;
    this.traded++;
    this.#low = Math.min(this.#low, this.#units);
    this.#high = Math.max(this.#high, this.#units);
    this.#volume += size / 1e8;
    if (!shared || this.last === undefined) this.#micros = micros > this.#micros ? micros : this.#micros + 1;
    return this.#tell(this.#micros, buy, size, gap, bidSize, askSize, price);
  }

  /** A trade whose time is as given, before or after its neighbours; the clock of later trades is not touched. */
  tradeAt(micros: number): Trade {
    const before = this.#micros;
    this.#micros = micros - 1;
    const trade = this.trade(micros, false);
    this.#micros = before;
    return trade;
  }

  /** Lets the next trade be earlier than the last one, as when the exchange's clock is set back. */
  rewind(): void {
    this.#micros = 0;
  }

  /** Takes over a trade out of a recording, so that levers go on from its numbers. */
  adopt(trade: Trade): void {
    this.last = trade;
    this.traded++;
    this.#sequence = Math.max(this.traded === 1 ? 0 : this.#sequence, trade.sequence);
    this.#tradeId = Math.max(this.traded === 1 ? 0 : this.#tradeId, trade.tradeId);
    this.#setPrice(trade.price);
  }

  #setPrice(price: string): void {
    this.#units = Math.max(1, Math.round(Number(price) * 10 ** this.#decimals));
  }

  #tell(
    micros: number,
    buy: boolean,
    size: number,
    gap: number,
    bidSize: number,
    askSize: number,
    price?: string,
  ): Trade {
    const d = this.#decimals;
    const units = this.#units;
    const bid = buy ? Math.max(1, units - gap) : units;
    const ask = buy ? units : units + gap;
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
          decimalText(this.#open, d, true)
        }","volume_24h":"${this.#volume.toFixed(8)}","low_24h":"${decimalText(this.#low, d, true)}","high_24h":"${
          decimalText(this.#high, d, true)
        }","volume_30d":"${(this.#volume * 28.6).toFixed(8)}","best_bid":"${decimalText(bid, d)}","best_bid_size":"${
          decimalText(bidSize, 8)
        }","best_ask":"${decimalText(ask, d)}","best_ask_size":"${decimalText(askSize, 8)}","side":"${
          buy ? "buy" : "sell"
        }","time":"${time}","trade_id":${this.#tradeId},"last_size":"${decimalText(size, 8)}"}`,
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

  /** Seed of all walks, and the time (ms) above which sequences and trade ids begin. */
  constructor(products: readonly string[], seed: number, startedAt: number) {
    this.products = [...new Set(products)];
    for (const product of this.products) this.#walks.set(product, new Walk(product, seed, startedAt));
  }

  /** Whether the product has ever been listed. */
  has(product: string): boolean {
    return this.#walks.has(product);
  }

  /** The product's last trade; none before the first. */
  last(product: string): Trade | undefined {
    return this.#walks.get(product)?.last;
  }

  /** How many trades of the product there were. */
  traded(product: string): number {
    return this.#walks.get(product)?.traded ?? 0;
  }

  /** A phase from 0 to below 1 for the product's first trade. */
  phase(product: string): number {
    return this.#walk(product).phase();
  }

  /** How many trades the product's next taker causes at once, 1 to 3. */
  crowd(product: string): number {
    return this.#walk(product).crowd();
  }

  /**
   * The next trade, at the given microsecond or just after the trade before; `shared` takes that one's time instead.
   */
  trade(product: string, micros: number, shared = false, price?: string): Trade {
    return this.#walk(product).trade(micros, shared, price);
  }

  /** The next trade with exactly this time, however wrong: for tickers that are late or from the future. */
  tradeAt(product: string, micros: number): Trade {
    return this.#walk(product).tradeAt(micros);
  }

  /** Forgets the times so far, so that a clock that was set back shows in the next trades. */
  rewind(): void {
    for (const walk of this.#walks.values()) walk.rewind();
  }

  /** Takes over a recorded trade as the product's last. */
  adopt(trade: Trade): void {
    this.#walk(trade.product).adopt(trade);
  }

  #walk(product: string): Walk {
    const walk = this.#walks.get(product);
    if (walk === undefined) throw new RangeError(`Cannot trade as the product is not listed: "${product}"`);
    return walk;
  }
}
