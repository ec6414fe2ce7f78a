// What travels through the program (ticks and gaps) and the two JSON records that everybody else reads.

/** One price update of one product. Made by an exchange's `decode()`, owned by whoever holds it, never changed later. */
export interface Tick {
  /** Tells a tick from a gap on the road. */
  readonly kind: "tick";
  /** Lower case, the name of the exchange: `coinbase`. */
  readonly exchange: string;
  /** The exchange's own id, unchanged: `BTC-USD`. */
  readonly product: string;
  /** The exchange's number, per product: an integer from 0. It rises, but gaps in it are normal. */
  readonly sequence: number;
  /** Last traded price, quote currency per base unit: finite, above zero, and equal to the text that was sent. */
  readonly price: number;
  /** When the exchange says it happened: whole microseconds since the epoch, UTC (finer digits are cut off). */
  readonly exchangeTimeUs: number;
  /** When its frame arrived: our wall clock, ms since the epoch. */
  readonly receivedTime: number;
  /**
   * The time its record bears, whole microseconds since the epoch. `decode()` leaves it equal to `exchangeTimeUs`; only the
   * Sequencer sets it, because it depends on the ticks before.
   */
  recordTimeUs: number;
  /** The exchange's id of the trade behind the price. */
  readonly tradeId?: number | undefined;
  /** Size of that trade, base units. */
  readonly lastSize?: number | undefined;
  /** Who took: `buy` means the taker bought. */
  readonly side?: "buy" | "sell" | undefined;
  /** Price 24 hours ago, quote currency. */
  readonly open24h?: number | undefined;
  /** Volume of the last 24 hours, base units. */
  readonly volume24h?: number | undefined;
  /** Best bid, quote currency. */
  readonly bid?: number | undefined;
  /** Best ask, quote currency. */
  readonly ask?: number | undefined;
}

/** How far one product has got: its last tick, as far as whoever goes on from there must know it. */
export type Position = Pick<
  Tick,
  "exchange" | "product" | "sequence" | "price" | "exchangeTimeUs" | "receivedTime" | "recordTimeUs" | "tradeId"
>;

/** Two clocks do not agree; what is further ahead of ours than this tells nothing about the time up to it, us. */
const AHEAD_US = 1e6;

/**
 * Up to when a tick shows how far its product has got, us: its own time, or that of its arrival where it lies ahead of that. Once
 * one tick was ahead, those that follow it are not late.
 */
export function reachedUs({ exchangeTimeUs, receivedTime }: Pick<Tick, "exchangeTimeUs" | "receivedTime">): number {
  return exchangeTimeUs > receivedTime * 1000 + AHEAD_US ? receivedTime * 1000 : exchangeTimeUs;
}

/**
 * How old a trade is, ms: how old it was when it arrived (at least 0), plus the time since. A wrong clock never makes it negative.
 *
 * @param now wall clock, ms
 */
export function ageMs(
  { exchangeTimeUs, receivedTime }: Pick<Tick, "exchangeTimeUs" | "receivedTime">,
  now: number,
): number {
  return Math.max(0, receivedTime - exchangeTimeUs / 1000) + Math.max(0, now - receivedTime);
}

/**
 * Why data may be missing. `link-closed`: the connection ended. `link-silent`: it was open and nothing came. `stalled`: the
 * exchange traded a product and did not tell us. `refused`: the exchange said no to the product. `queue-full`: a sink was
 * slow or away for longer than the queue lasts. `record-refused`: a sink will never take that record. `store-failed`: the
 * store lost ticks. `restart`: the program was not running. `stopped`: it was asked to stop.
 */
export const GAP_REASONS = [
  "link-closed",
  "link-silent",
  "stalled",
  "refused",
  "queue-full",
  "record-refused",
  "store-failed",
  "restart",
  "stopped",
] as const;

/** One of {@link GAP_REASONS}. */
export type GapReason = typeof GAP_REASONS[number];

/**
 * A declared interruption of one product. It is written when it opens and again when it closes, with the same product and
 * `opened`: readers keep the later one. All times are unix seconds, UTC. A missing tick has a `w_time` from `from` to `to`,
 * both included.
 */
export interface Gap {
  /** Tells a gap from a tick on the road. */
  readonly kind: "gap";
  /** As in the tick. */
  readonly exchange: string;
  /** As in the tick. */
  readonly product: string;
  /** Our clock when it opened; with the product, its identity. Not in order of time where the clock was set back. */
  readonly opened: number;
  /** Up to here nothing is missing: `w_time` of the product's last tick, or a later moment up to which the exchange said that nothing was traded. Null: nobody knows. */
  readonly from: number | null;
  /** Null while it lasts; then `w_time` of the first tick after it, or the arrival of a repeat that shows that nothing was missed. */
  readonly to: number | null;
  /** Why. */
  readonly reason: GapReason;
  /** Ticks known to be lost in it; more may be missing where the exchange never reached us. */
  readonly dropped: number;
  /** False once it is known that nothing was missed. */
  readonly missed: boolean;
}

/** What travels from a source to the sinks, in order. */
export type FeedEvent = Tick | Gap;

/** The name under which all readers know a product: Coinbase's bare, any other exchange's behind its name (`kraken:BTC/USD`). */
export function seriesOf(exchange: string, product: string): string {
  return exchange === "coinbase" ? product : `${exchange}:${product}`;
}

/** A tick's time as records bear it: unix seconds, with up to six decimals. */
export function recordTime(tick: Pick<Tick, "recordTimeUs">): number {
  return tick.recordTimeUs / 1e6;
}

/**
 * The public contract, exactly these three fields in this order: `{"product":"BTC-USD","w_time":1700000000,"price":37000.12}`.
 * `w_time` is unix seconds UTC. Numbers are JSON numbers that equal the exchange's text (a price below 0.000001 is written
 * as `4e-7`).
 */
export function toRecord(tick: Tick): string {
  const product = JSON.stringify(seriesOf(tick.exchange, tick.product));
  return `{"product":${product},"w_time":${recordTime(tick)},"price":${tick.price}}`;
}

/** `coinbase:BTC-USD:84737`: names one tick for ever, so that any reader can tell repeats and count losses. */
export function tickId(tick: Tick): string {
  return `${tick.exchange}:${tick.product}:${tick.sequence}`;
}

/**
 * The contract beside the record, one gap as JSON:
 * `{"exchange":"coinbase","product":"BTC-USD","opened":1700000015.25,"from":1700000000,"to":null,"reason":"link-silent","dropped":0,"missed":true}`.
 */
export function toGapRecord(gap: Gap): string {
  return JSON.stringify({
    exchange: gap.exchange,
    product: seriesOf(gap.exchange, gap.product),
    opened: gap.opened,
    from: gap.from,
    to: gap.to,
    reason: gap.reason,
    dropped: gap.dropped,
    missed: gap.missed,
  });
}

/** What names one gap: exchange, product, `opened`. */
export type GapName = readonly [exchange: string, product: string, opened: number];

/** Older names are forgotten: they could only come again if the clock were set back to the very ms. */
const MAX_GAP_NAMES = 50_000;

/**
 * Gives each gap its `opened`: our clock in whole ms, moved on only where the product already has a gap of that time. The clock
 * may be set back, also between two runs, so these times do not rise.
 */
export class GapTimes {
  readonly #names = new Map<string, GapName>();

  /** Keeps clear of the gaps of earlier runs, the oldest first. */
  constructor(earlier: Iterable<GapName> = []) {
    for (const name of earlier) this.#add(name);
  }

  /**
   * `opened` of a new gap of this product, unix seconds.
   *
   * @param now wall clock, ms
   */
  next(now: number, exchange: string, product: string): number {
    let ms = Math.floor(now);
    while (this.#names.has(keyOf([exchange, product, ms / 1000]))) ms++;
    this.#add([exchange, product, ms / 1000]);
    return ms / 1000;
  }

  /** The newest names, those that were given last at the end. */
  newest(count: number): GapName[] {
    return [...this.#names.values()].slice(-count);
  }

  #add(name: GapName): void {
    this.#names.set(keyOf(name), name);
    if (this.#names.size <= MAX_GAP_NAMES) return;
    for (const oldest of this.#names.keys()) return void this.#names.delete(oldest);
  }
}

function keyOf([exchange, product, opened]: GapName): string {
  return `${exchange}:${product} ${opened}`;
}

/** Why a frame, or the tick it should have given, was not taken. A closed list: it is a label of metrics. */
export const REJECT_REASONS = [
  "bad-json",
  "bad-message",
  "bad-product",
  "bad-price",
  "bad-time",
  "bad-sequence",
  "too-large",
] as const;

/** One of {@link REJECT_REASONS}. */
export type RejectReason = typeof REJECT_REASONS[number];
