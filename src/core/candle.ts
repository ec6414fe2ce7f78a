// Candles (open, high, low, close) from ticks by exchange time, and which of them are running or incomplete.

import type { Gap, Tick } from "./record.ts";

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
  /** Highest price. */
  readonly high: number;
  /** Lowest price. */
  readonly low: number;
  /** Price of the last tick: the one with the highest exchange time, of several the one with the highest sequence. */
  readonly close: number;
  /** How many ticks it was made from, at least 1: a window without ticks has no candle. */
  readonly ticks: number;
  /** Sum of the ticks' `lastSize`, base units; undefined unless every tick has one. */
  readonly volume: number | undefined;
}

/** A candle, and whether it may still change or ticks are missing. */
export interface MarkedCandle extends Candle {
  /** Its window is not over. */
  readonly running: boolean;
  /** A gap touches its window: some of its ticks may be missing. */
  readonly incomplete: boolean;
}

/** Length of the interval in ms. */
export function intervalMs(interval: Interval): number {
  return LENGTH_MS[interval];
}

/** The start of the window that contains this time; both in ms since the epoch. */
export function openTimeOf(time: number, interval: Interval): number {
  const length = LENGTH_MS[interval];
  const first = interval === "1w" ? FIRST_MONDAY_MS : 0;
  return Math.floor((time - first) / length) * length + first;
}

/** The part of a tick that matters for candles. */
export type CandleTick = Pick<Tick, "sequence" | "price" | "exchangeTimeUs" | "lastSize">;

/** A candle under construction: ticks and other windows can be added in any order. */
export interface CandleWindow {
  /** As in the candle. */
  readonly openTime: number;
  /** As in the candle. */
  open: number;
  /** As in the candle. */
  high: number;
  /** As in the candle. */
  low: number;
  /** As in the candle. */
  close: number;
  /** As in the candle. */
  ticks: number;
  /** Sum of the sizes; undefined if a tick had none. */
  volume: Volume | undefined;
  /** Exchange time of the tick of `open`. */
  firstTimeUs: number;
  /** Its sequence. */
  firstSequence: number;
  /** Exchange time of the tick of `close`. */
  lastTimeUs: number;
  /** Its sequence. */
  lastSequence: number;
  /** The lowest sequence of its ticks. */
  lowSequence: number;
  /** The highest sequence of its ticks. */
  highSequence: number;
}

/**
 * Says of each candle whether it still runs at `now` (ms since the epoch), and whether one of these gaps touches it.
 * Candles and gaps are those of one product, candles in order of time, and of a gap's two records the closing one last.
 * Mark after merging: a longer candle still runs when its last part does not.
 */
export function markCandles<T extends Candle>(
  candles: readonly T[],
  now: number,
  gaps: readonly Gap[] = [],
): (T & MarkedCandle)[] {
  const touched = new Set<Candle>();
  for (const gap of new Map(gaps.map((gap) => [gap.opened, gap])).values()) {
    if (!gap.missed) continue;
    const to = (gap.to ?? Infinity) * 1000;
    const opened = Math.min(gap.opened * 1000, to);
    // the first start ever: nothing was there that could be missing
    if (gap.from === null && gap.reason === "restart" && countClosed(candles, opened) === 0) continue;
    const from = gap.from === null ? lastTimeBefore(candles, opened) : gap.from * 1000;
    for (let i = countClosed(candles, from); i < candles.length; i++) {
      const candle = candles[i] as Candle;
      if (candle.openTime > to) break;
      touched.add(candle);
    }
  }
  return candles.map((candle) => ({
    ...candle,
    running: now < closeTimeOf(candle),
    incomplete: touched.has(candle),
  }));
}

/** How many of them, from the first on, are over at this time. */
function countClosed(candles: readonly Candle[], time: number): number {
  let low = 0;
  let high = candles.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (closeTimeOf(candles[middle] as Candle) <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A gap that does not know its start began with the product's last tick, which may be in the last candle before it. */
function lastTimeBefore(candles: readonly Candle[], time: number): number {
  const last = candles[Math.max(0, countClosed(candles, time) - 1)];
  return last?.openTime ?? time;
}

function closeTimeOf(candle: Candle): number {
  return candle.openTime + LENGTH_MS[candle.interval];
}

/** The candle as it stands. */
export function candleOf(
  { openTime, open, high, low, close, ticks, volume }: CandleWindow,
  interval: Interval,
): Candle {
  return { interval, openTime, open, high, low, close, ticks, volume: volume?.toNumber() };
}

/** A window with its first tick in it. */
export function windowOf(openTime: number, { price, sequence, exchangeTimeUs, lastSize }: CandleTick): CandleWindow {
  return {
    openTime,
    open: price,
    high: price,
    low: price,
    close: price,
    ticks: 1,
    volume: lastSize === undefined ? undefined : Volume.of(lastSize),
    firstTimeUs: exchangeTimeUs,
    firstSequence: sequence,
    lastTimeUs: exchangeTimeUs,
    lastSequence: sequence,
    lowSequence: sequence,
    highSequence: sequence,
  };
}

/** Takes one more tick into its window. */
export function growWindow(window: CandleWindow, tick: CandleTick): void {
  const { exchangeTimeUs, sequence, price, lastSize } = tick;
  if (price > window.high) window.high = price;
  if (price < window.low) window.low = price;
  if (isBefore(exchangeTimeUs, sequence, window.firstTimeUs, window.firstSequence)) {
    window.open = price;
    window.firstTimeUs = exchangeTimeUs;
    window.firstSequence = sequence;
  }
  if (isBefore(window.lastTimeUs, window.lastSequence, exchangeTimeUs, sequence)) {
    window.close = price;
    window.lastTimeUs = exchangeTimeUs;
    window.lastSequence = sequence;
  }
  if (sequence < window.lowSequence) window.lowSequence = sequence;
  if (sequence > window.highSequence) window.highSequence = sequence;
  window.ticks++;
  if (lastSize === undefined) window.volume = undefined;
  else window.volume?.add(lastSize);
}

/** Takes another window of the same product into this one, which is as long or longer: the same as taking in its ticks. */
export function mergeWindow(window: CandleWindow, part: CandleWindow): void {
  if (part.high > window.high) window.high = part.high;
  if (part.low < window.low) window.low = part.low;
  if (isBefore(part.firstTimeUs, part.firstSequence, window.firstTimeUs, window.firstSequence)) {
    window.open = part.open;
    window.firstTimeUs = part.firstTimeUs;
    window.firstSequence = part.firstSequence;
  }
  if (isBefore(window.lastTimeUs, window.lastSequence, part.lastTimeUs, part.lastSequence)) {
    window.close = part.close;
    window.lastTimeUs = part.lastTimeUs;
    window.lastSequence = part.lastSequence;
  }
  if (part.lowSequence < window.lowSequence) window.lowSequence = part.lowSequence;
  if (part.highSequence > window.highSequence) window.highSequence = part.highSequence;
  window.ticks += part.ticks;
  window.volume = Volume.sum(window.volume, part.volume);
}

/** The order of ticks: by exchange time, at the same time by sequence. */
export function isBefore(timeUs: number, sequence: number, otherTimeUs: number, otherSequence: number): boolean {
  return timeUs < otherTimeUs || timeUs === otherTimeUs && sequence < otherSequence;
}

/** Of a decimal, so many are exact; exchanges use at most 18. */
const DECIMALS = 18;

/** Sizes of up to so many units of 1e-8 are doubles of their own. */
const MAX_DISTINCT = 2 ** 52;

/**
 * A sum of sizes. Sums of doubles depend on their order, and 0.1 + 0.2 is not 0.3; this one is exact, so that order and
 * batches do not show in a volume.
 */
export class Volume {
  /** Whole units of 1e-8, at most the largest safe integer: most sizes have at most eight decimals, and numbers are fast. */
  #hundredMillionths = 0;
  /** The rest, whole units of 1e-18. */
  #units = 0n;

  /** Of one size. */
  static of(size: number): Volume {
    const volume = new Volume();
    volume.add(size);
    return volume;
  }

  /** As {@link toText} wrote it. */
  static fromText(text: string): Volume {
    // so few digits are the same after the way through a double
    if (text.length <= 15) return Volume.of(Number(text));
    const [whole = "0", fraction = ""] = text.split(".");
    const volume = new Volume();
    volume.#units = BigInt(whole + fraction.padEnd(DECIMALS, "0"));
    return volume;
  }

  /** A new one; undefined where one of them is. */
  static sum(a: Volume | undefined, b: Volume | undefined): Volume | undefined {
    if (a === undefined || b === undefined) return undefined;
    const sum = new Volume();
    sum.#units = a.#units + b.#units;
    sum.#hundredMillionths = a.#hundredMillionths;
    sum.#addHundredMillionths(b.#hundredMillionths);
    return sum;
  }

  /** One more size. */
  add(size: number): void {
    const hundredMillionths = Math.round(size * 1e8);
    // a division tells whether it is exact, as long as doubles lie closer together than these units
    if (hundredMillionths <= MAX_DISTINCT && hundredMillionths / 1e8 === size) {
      this.#addHundredMillionths(hundredMillionths);
    } else this.#units += toUnits(size);
  }

  /** The nearest double. */
  toNumber(): number {
    if (this.#units === 0n) return this.#hundredMillionths / 1e8;
    return Number(`${this.#total()}e-${DECIMALS}`);
  }

  /** As a plain decimal without an exponent, all digits: `12.5`. */
  toText(): string {
    const digits = this.#total().toString().padStart(DECIMALS + 1, "0");
    const fraction = digits.slice(-DECIMALS).replace(/0+$/, "");
    return digits.slice(0, -DECIMALS) + (fraction === "" ? "" : `.${fraction}`);
  }

  #addHundredMillionths(more: number): void {
    const sum = this.#hundredMillionths + more;
    if (sum <= Number.MAX_SAFE_INTEGER) this.#hundredMillionths = sum;
    else this.#units += BigInt(more) * 10n ** 10n;
  }

  #total(): bigint {
    return this.#units + BigInt(this.#hundredMillionths) * 10n ** 10n;
  }
}

/** A size in whole units of 1e-18. */
function toUnits(size: number): bigint {
  const [mantissa = "0", exponent = "0"] = size.toExponential().split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const zeros = DECIMALS + Number(exponent) - fraction.length;
  if (zeros >= 0) return BigInt(whole + fraction) * 10n ** BigInt(zeros);
  return BigInt(Math.round(Number(`${mantissa}e${Number(exponent) + DECIMALS}`)));
}
