// Ticks -> candles (open, high, low, close): a pure fold over exchange time, and what is known about a candle besides its
// prices. Where ticks come from, and where candles are kept or drawn, is left to others.

import { type Gap, seriesOf, type Tick, tickId } from "./record.ts";

/** The lengths of candles, shortest first. Each divides all that follow it. */
export const INTERVALS = ["1s", "5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"] as const;

/** One of {@link INTERVALS}. */
export type Interval = typeof INTERVALS[number];

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

const LENGTH_MS = Object.fromEntries(INTERVALS.map((interval) => {
  const unit = interval.slice(-1) as keyof typeof UNIT_MS;
  return [interval, Number(interval.slice(0, -1)) * UNIT_MS[unit]];
})) as Record<Interval, number>;

/** The epoch was a Thursday, and weeks start on Monday. */
const FIRST_MONDAY_MS = 4 * UNIT_MS.d;

/** The prices of one product in one window of time, `openTime` included, `openTime` + interval excluded. */
export interface Candle {
  /** How long the window is. */
  readonly interval: Interval;
  /** Where the window starts, ms since the epoch: a whole multiple of the interval in UTC, for `1w` a Monday. */
  readonly openTime: number;
  /** Price of the first tick: the one with the lowest exchange time, of several the one with the lowest sequence. */
  readonly open: number;
  /** Highest price that came. */
  readonly high: number;
  /** Lowest price that came. */
  readonly low: number;
  /** Price of the last tick: the one with the highest exchange time, of several the one with the highest sequence. */
  readonly close: number;
  /** How many ticks it was made from, at least 1: a window without ticks has no candle. */
  readonly ticks: number;
  /** Sum of the ticks' `lastSize`, base units; undefined unless every tick has one. */
  readonly volume: number | undefined;
}

/** A candle, and what may still change or be missing. */
export interface MarkedCandle extends Candle {
  /** Its window is not over: prices are those of now, not of the end. */
  readonly running: boolean;
  /** Ticks of it are missing, or may be: a gap touches its window. */
  readonly incomplete: boolean;
}

/** Length of the interval in ms. */
export function intervalMs(interval: Interval): number {
  return LENGTH_MS[interval];
}

/** The start of the window that holds this moment; both in ms since the epoch. */
export function openTimeOf(time: number, interval: Interval): number {
  const length = LENGTH_MS[interval];
  const first = interval === "1w" ? FIRST_MONDAY_MS : 0;
  return Math.floor((time - first) / length) * length + first;
}

/**
 * Remembers which ticks came. A repeat cannot change a candle's prices, but it would be counted twice, so it is taken out
 * before the fold, once for all intervals.
 */
export class Repeats {
  readonly #remember: number;
  #newer = new Set<string>();
  #older = new Set<string>();

  /**
   * Remembers nothing yet.
   * @param remember this many of the latest ticks at least, twice as many at most
   */
  constructor(remember = 65_536) {
    this.#remember = remember;
  }

  /** True if a tick with this exchange, product and sequence came before and is still remembered. */
  seen(tick: Tick): boolean {
    const id = tickId(tick);
    if (this.#newer.has(id) || this.#older.has(id)) return true;
    if (this.#newer.size >= this.#remember) {
      this.#older = this.#newer;
      this.#newer = new Set();
    }
    this.#newer.add(id);
    return false;
  }
}

/** A window while it is filled. */
interface Window {
  readonly openTime: number;
  open: number;
  high: number;
  low: number;
  close: number;
  ticks: number;
  /** In units of {@link toUnits}. */
  volume: bigint | undefined;
  firstTimeUs: number;
  firstSequence: number;
  lastTimeUs: number;
  lastSequence: number;
}

/**
 * Makes the candles of one product from its ticks, one at a time. The order of the ticks does not matter, as long as none
 * is so late that its window is no longer kept. Repeats must be taken out before (see {@link Repeats}).
 */
export class CandleFold {
  /** Of all its candles. */
  readonly interval: Interval;
  readonly #keep: number;
  /** In order of time. */
  readonly #windows: Window[] = [];
  #series: string | undefined;

  /**
   * Holds no candle yet.
   * @param keep this many candles, the latest; older ones are forgotten, and no longer change
   */
  constructor(interval: Interval, keep = 1000) {
    this.interval = interval;
    this.#keep = keep;
  }

  /**
   * Takes a tick into its candle and returns that candle's `openTime`; undefined when it is too late for any that is kept.
   * Throws a TypeError for a tick of another product than the first one.
   */
  add(tick: Tick): number | undefined {
    const series = seriesOf(tick.exchange, tick.product);
    this.#series ??= series;
    if (series !== this.#series) throw new TypeError(`Cannot fold a tick of ${series} into candles of ${this.#series}`);
    const openTime = openTimeOf(tick.exchangeTimeUs / 1000, this.interval);
    const place = this.#placeOf(openTime);
    const window = this.#windows[place];
    if (window?.openTime === openTime) {
      grow(window, tick);
      return openTime;
    }
    const full = this.#windows.length >= this.#keep;
    if (full && place === 0) return undefined;
    this.#windows.splice(place, 0, windowOf(openTime, tick));
    if (full) this.#windows.shift();
    return openTime;
  }

  /** The candle that starts at this time, if there is one. */
  candle(openTime: number): Candle | undefined {
    const window = this.#windows[this.#placeOf(openTime)];
    return window?.openTime === openTime ? this.#candleOf(window) : undefined;
  }

  /** All that are kept, in order of time. Later ticks do not change the objects that are returned. */
  candles(): Candle[] {
    return this.#windows.map((window) => this.#candleOf(window));
  }

  /** Index of the first window that does not start before this time. */
  #placeOf(openTime: number): number {
    // nearly every tick belongs to the last window or to a new one after it
    const last = this.#windows.at(-1);
    if (last === undefined || last.openTime < openTime) return this.#windows.length;
    if (last.openTime === openTime) return this.#windows.length - 1;
    let high = this.#windows.length - 1;
    let low = 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#windows[middle]?.openTime ?? Infinity) < openTime) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #candleOf({ openTime, open, high, low, close, ticks, volume }: Window): Candle {
    return { interval: this.interval, openTime, open, high, low, close, ticks, volume: fromUnits(volume) };
  }
}

/** The candles of one product, in order of time. The ticks may come in any order and more than once. */
export function foldCandles(ticks: Iterable<Tick>, interval: Interval): Candle[] {
  const repeats = new Repeats(Infinity);
  const fold = new CandleFold(interval, Infinity);
  for (const tick of ticks) {
    if (!repeats.seen(tick)) fold.add(tick);
  }
  return fold.candles();
}

/**
 * Longer candles from shorter ones of the same product, in order of time: the same as a fold of their ticks. The shorter
 * ones may come in any order, but each window only once. Throws a RangeError for a candle that is longer than `interval`.
 */
export function mergeCandles(candles: Iterable<Candle>, interval: Interval): Candle[] {
  const merged: Candle[] = [];
  let volume: bigint | undefined;
  for (const part of [...candles].sort((a, b) => a.openTime - b.openTime)) {
    if (LENGTH_MS[part.interval] > LENGTH_MS[interval]) {
      throw new RangeError(`Cannot merge candles of ${part.interval} as they must be at most ${interval} long`);
    }
    const openTime = openTimeOf(part.openTime, interval);
    const last = merged.at(-1);
    const units = part.volume === undefined ? undefined : toUnits(part.volume);
    if (last?.openTime !== openTime) {
      volume = units;
      merged.push({ ...part, interval, openTime });
      continue;
    }
    volume = volume === undefined || units === undefined ? undefined : volume + units;
    merged[merged.length - 1] = {
      ...last,
      high: Math.max(last.high, part.high),
      low: Math.min(last.low, part.low),
      close: part.close,
      ticks: last.ticks + part.ticks,
      volume: fromUnits(volume),
    };
  }
  return merged;
}

/**
 * Says of each candle whether it still runs at `now` (ms since the epoch), and whether one of these gaps touches it.
 * Candles and gaps are those of one product, candles in order of time, and of a gap's two records the closing one last.
 * Mark after merging: a longer candle still runs when its last part does not.
 */
export function markCandles(candles: readonly Candle[], now: number, gaps: readonly Gap[] = []): MarkedCandle[] {
  const touched = new Set<Candle>();
  for (const gap of new Map(gaps.map((gap) => [gap.opened, gap])).values()) {
    if (!gap.missed) continue;
    const to = (gap.to ?? Infinity) * 1000;
    const from = gap.from === null ? lastTimeBefore(candles, Math.min(gap.opened * 1000, to)) : gap.from * 1000;
    for (const candle of candles) {
      if (candle.openTime <= to && from < closeTimeOf(candle)) touched.add(candle);
    }
  }
  return candles.map((candle) => ({
    ...candle,
    running: now < closeTimeOf(candle),
    incomplete: touched.has(candle),
  }));
}

/** A gap that does not know its start began with the product's last tick, which may be in the last candle before it. */
function lastTimeBefore(candles: readonly Candle[], time: number): number {
  const last = candles.findLast((candle) => closeTimeOf(candle) <= time) ?? candles[0];
  return last?.openTime ?? time;
}

function closeTimeOf(candle: Candle): number {
  return candle.openTime + LENGTH_MS[candle.interval];
}

function windowOf(openTime: number, tick: Tick): Window {
  return {
    openTime,
    open: tick.price,
    high: tick.price,
    low: tick.price,
    close: tick.price,
    ticks: 1,
    volume: tick.lastSize === undefined ? undefined : toUnits(tick.lastSize),
    firstTimeUs: tick.exchangeTimeUs,
    firstSequence: tick.sequence,
    lastTimeUs: tick.exchangeTimeUs,
    lastSequence: tick.sequence,
  };
}

function grow(window: Window, tick: Tick): void {
  const { exchangeTimeUs, sequence, price, lastSize } = tick;
  if (price > window.high) window.high = price;
  if (price < window.low) window.low = price;
  if (exchangeTimeUs < window.firstTimeUs || exchangeTimeUs === window.firstTimeUs && sequence < window.firstSequence) {
    window.open = price;
    window.firstTimeUs = exchangeTimeUs;
    window.firstSequence = sequence;
  }
  if (exchangeTimeUs > window.lastTimeUs || exchangeTimeUs === window.lastTimeUs && sequence > window.lastSequence) {
    window.close = price;
    window.lastTimeUs = exchangeTimeUs;
    window.lastSequence = sequence;
  }
  window.ticks++;
  window.volume = window.volume === undefined || lastSize === undefined ? undefined : window.volume + toUnits(lastSize);
}

/** Of a decimal, so many are exact; exchanges use at most 18. */
const DECIMALS = 18;

/**
 * A size in whole units of 1e-18. Sums of doubles depend on their order, and 0.1 + 0.2 is not 0.3; sums of these units are
 * exact, so that order and batches do not show in a volume.
 */
function toUnits(size: number): bigint {
  // most sizes have at most eight decimals, and a division tells
  const hundredMillionths = Math.round(size * 1e8);
  if (hundredMillionths <= Number.MAX_SAFE_INTEGER && hundredMillionths / 1e8 === size) {
    return BigInt(hundredMillionths) * 10n ** 10n;
  }
  const [mantissa = "0", exponent = "0"] = size.toExponential().split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const zeros = DECIMALS + Number(exponent) - fraction.length;
  if (zeros >= 0) return BigInt(whole + fraction) * 10n ** BigInt(zeros);
  return BigInt(Math.round(Number(`${mantissa}e${Number(exponent) + DECIMALS}`)));
}

function fromUnits(units: bigint | undefined): number | undefined {
  return units === undefined ? undefined : Number(`${units}e-${DECIMALS}`);
}
