// The two kinds of event in the pipeline (ticks and gaps), and the JSON records that other programs read.

/** One price update of one product, made by an exchange's `decode()`. Only the Sequencer changes it, and only `recordTimeUs`. */
export interface Tick {
  /** Distinguishes a tick from a {@link Gap} in a {@link FeedEvent}. */
  readonly kind: "tick";
  /** Name of the exchange, lower case: `coinbase`. */
  readonly exchange: string;
  /** The exchange's own id, unchanged: `BTC-USD`. */
  readonly product: string;
  /** The exchange's sequence number of this product: an integer from 0. It rises, but skips numbers. */
  readonly sequence: number;
  /** Last traded price, quote currency per base unit: finite, above zero, and equal to the text that was sent. */
  readonly price: number;
  /** Time of the trade by the exchange's clock: whole microseconds since the epoch (finer digits are cut off). */
  readonly exchangeTimeUs: number;
  /** When its frame arrived by our wall clock, ms since the epoch. */
  readonly receivedTime: number;
  /**
   * The time written to its record, whole microseconds since the epoch. `decode()` sets it to `exchangeTimeUs`; the Sequencer
   * adjusts it, because it depends on earlier ticks.
   */
  recordTimeUs: number;
  /** The exchange's id of the trade behind the price. */
  readonly tradeId?: number | undefined;
  /** Size of that trade, base units. */
  readonly lastSize?: number | undefined;
  /** The taker's side: `buy` means the taker bought. */
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

/** The fields of a product's last tick that the next run needs. */
export type Position = Pick<
  Tick,
  "exchange" | "product" | "sequence" | "price" | "exchangeTimeUs" | "receivedTime" | "recordTimeUs" | "tradeId"
>;

/** Clocks differ. A tick whose time is further ahead of our clock than this does not prove that everything before it arrived, us. */
const AHEAD_US = 1e6;

/**
 * The time that a product has reached with this tick, us: the tick's own time, or its arrival if the tick's time is too far
 * ahead of that. So ticks that follow one with a wrong future time do not count as late.
 */
export function reachedUs({ exchangeTimeUs, receivedTime }: Pick<Tick, "exchangeTimeUs" | "receivedTime">): number {
  return exchangeTimeUs > receivedTime * 1000 + AHEAD_US ? receivedTime * 1000 : exchangeTimeUs;
}

/**
 * Age of a trade, ms: its age on arrival plus the time since then. Each part is at least 0, even if a clock is wrong.
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
 * Why ticks may be missing. `link-closed`: the connection ended. `link-silent`: it was open, but no frame arrived. `stalled`:
 * ticks of one product stopped although it was probably traded. `refused`: the exchange refused the product. `queue-full`: a
 * sink was slow or away until its queue was full. `record-refused`: a sink rejected the record for good. `store-failed`: the
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
 * An interval in which ticks of one product may be missing. It is written when it opens and again when it changes or closes,
 * with the same product and `opened`: readers keep the latest version. All times are unix seconds, UTC. A missing tick has a
 * `w_time` from `from` to `to`, both included.
 */
export interface Gap {
  /** Distinguishes a gap from a {@link Tick} in a {@link FeedEvent}. */
  readonly kind: "gap";
  /** As in the tick. */
  readonly exchange: string;
  /** As in the tick. */
  readonly product: string;
  /** When it opened by our clock; identifies the gap together with the product. May fall if the clock is set back. */
  readonly opened: number;
  /**
   * Nothing is missing up to here: `w_time` of the product's last tick, or a later time up to which the exchange reported no
   * trade. Null if unknown.
   */
  readonly from: number | null;
  /** Null while the gap is open; then `w_time` of the first tick after it, or when a repeat arrived that proves nothing was missed. */
  readonly to: number | null;
  /** See {@link GAP_REASONS}. */
  readonly reason: GapReason;
  /** Ticks that we had and lost; ticks that never reached us are not counted. */
  readonly dropped: number;
  /** False once it is certain that nothing was missed. */
  readonly missed: boolean;
}

/** What travels from a source to the sinks, in order. */
export type FeedEvent = Tick | Gap;

/** The product's name in records: Coinbase's own id, or the id of any other exchange with its name in front (`kraken:BTC/USD`). */
export function seriesOf(exchange: string, product: string): string {
  return exchange === "coinbase" ? product : `${exchange}:${product}`;
}

/** `w_time` of a tick: unix seconds, with up to six decimals. */
export function recordTime(tick: Pick<Tick, "recordTimeUs">): number {
  return tick.recordTimeUs / 1e6;
}

/**
 * One tick as JSON, exactly these three fields in this order: `{"product":"BTC-USD","w_time":1700000000,"price":37000.12}`.
 * This is a public contract. `w_time` is unix seconds, UTC. Numbers are JSON numbers that equal the exchange's text (a price below 0.000001 is written
 * as `4e-7`).
 */
export function toRecord(tick: Tick): string {
  const product = JSON.stringify(seriesOf(tick.exchange, tick.product));
  return `{"product":${product},"w_time":${recordTime(tick)},"price":${tick.price}}`;
}

/** Longer values are no records, bytes. */
const MAX_RECORD_BYTES = 20_000;

/** Reads a record; undefined: Telegraf would reject it. The time is unix seconds. */
export function parseRecord(value: Uint8Array | null): { product: string; time: number } | undefined {
  if (value === null || value.length > MAX_RECORD_BYTES) return undefined;
  const { product, w_time: time, price } = parseObject(value);
  return typeof product === "string" && product !== "" && product.length <= 200 && typeof time === "number" &&
      time >= 0 && time <= 9e9 && typeof price === "number" && Math.abs(price) <= 1e300
    ? { product, time }
    : undefined;
}

const decoder = new TextDecoder();

/** The fields of a JSON object; empty if it is anything else. */
function parseObject(value: Uint8Array | null): Record<string, unknown> {
  try {
    return Object(JSON.parse(decoder.decode(value ?? undefined)));
  } catch {
    return {};
  }
}

/** `coinbase:BTC-USD:84737`: identifies a tick for ever, so that readers can recognise duplicates and count losses. */
export function tickId(tick: Tick): string {
  return `${tick.exchange}:${tick.product}:${tick.sequence}`;
}

/**
 * One gap as JSON, also a public contract:
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

/** A gap as its record says it; `product` is the name in records. */
export type GapRecord = Pick<Gap, "product" | "opened" | "from" | "to" | "missed"> & { readonly reason: string };

/** Reads the record of a gap; undefined: it is none. */
export function parseGapRecord(value: Uint8Array | null): GapRecord | undefined {
  const { product, opened, from = null, to = null, reason, missed } = parseObject(value);
  const isTime = (time: unknown): time is number | null => time === null || typeof time === "number";
  return typeof product === "string" && typeof opened === "number" && isTime(from) && isTime(to)
    ? { product, opened, from, to, reason: String(reason), missed: missed === true }
    : undefined;
}

/** The identity of one gap. */
export type GapName = readonly [exchange: string, product: string, opened: number];

/** Older names are forgotten: they can repeat only if the clock is set back to exactly the same ms. */
const MAX_GAP_NAMES = 50_000;

/**
 * Gives each gap a unique `opened`: our clock in whole ms, or the next free ms if the product already has a gap of that time.
 * Since the clock may be set back, also between two runs, these times need not rise.
 */
export class GapTimes {
  readonly #names = new Map<string, GapName>();

  /** Does not give the names of these earlier gaps (oldest first) again. */
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

  /** A new open gap of a product. */
  openGap(
    now: number,
    { exchange, product, from, reason }: Pick<Gap, "exchange" | "product" | "from" | "reason">,
  ): Gap {
    const opened = this.next(now, exchange, product);
    return { kind: "gap", exchange, product, opened, from, to: null, reason, dropped: 0, missed: true };
  }

  /** The last `count` names given, in the order in which they were given. */
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

/** Why a frame, or a tick in it, was rejected. A closed list, because it is a metric label. */
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
