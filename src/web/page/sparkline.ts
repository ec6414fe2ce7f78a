// The sparkline of a product: the closes of its candles, continued by ticks, as the path of an SVG. Pure.

import { type Interval, intervalMs, openTimeOf } from "../../core/candle.ts";

/** The size of its view box; the page stretches it. */
export const SPARK = { width: 96, height: 28 } as const;

/** Most candles of a line: a day of 15-minute candles. */
export const SPARK_POINTS = 96;
/**
 * The intervals of its candles. If the store is too young for a line of the first, the next one is used: a line of at most
 * 96 minutes, or of 8.
 */
const SPARK_INTERVALS: readonly Interval[] = ["15m", "1m", "5s"];
/** A line of fewer candles says less than a line of shorter candles. */
const ENOUGH_POINTS = 8;

/** What a line needs of a candle. */
export interface SparkCandle {
  /** Its start, unix seconds. */
  readonly time: number;
  readonly close: number;
}

/** One product's line. */
export class Spark {
  readonly #interval: Interval;
  /** Length of a candle, seconds. */
  readonly #length: number;
  #points: readonly SparkCandle[];

  /** Takes candles in order of time, and leaves out those too old to be on the line of the newest. */
  constructor(interval: Interval, candles: readonly SparkCandle[]) {
    this.#interval = interval;
    this.#length = intervalMs(interval) / 1000;
    this.#points = this.#newest(candles);
  }

  get isEnough(): boolean {
    return this.#points.length >= ENOUGH_POINTS;
  }

  /** Whether the store must have enough longer candles by now. */
  get isOutgrown(): boolean {
    return this.#interval !== SPARK_INTERVALS[0] && this.#points.length >= SPARK_POINTS;
  }

  get prices(): number[] {
    return this.#points.map(({ close }) => close);
  }

  /** Its time span: `the last 24 h`; empty if there is no line. */
  get title(): string {
    const first = this.#points[0]?.time ?? 0;
    const last = this.#points.at(-1)?.time ?? 0;
    if (first === last) return "";
    const minutes = Math.ceil((last - first + this.#length) / 60);
    return `the last ${minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`}`;
  }

  /** Takes a price; `time` in unix seconds. Returns true if the line has a new point. Late prices wait for the next load. */
  add(price: number, time: number): boolean {
    const start = openTimeOf(time * 1000, this.#interval) / 1000;
    const last = this.#points.at(-1)?.time ?? -Infinity;
    if (start < last) return false;
    const before = start === last ? this.#points.slice(0, -1) : this.#points;
    this.#points = this.#newest([...before, { time: start, close: price }]);
    return start > last;
  }

  /** Leaves out candles from before a pause of the program: they are of another time. */
  #newest(points: readonly SparkCandle[]): SparkCandle[] {
    const from = (points.at(-1)?.time ?? 0) - SPARK_POINTS * this.#length;
    return points.filter(({ time }) => time > from);
  }
}

/** Loads candles, the longest first, until there are enough for a line. */
export async function loadSpark(
  load: (interval: Interval, limit: number) => Promise<readonly SparkCandle[]>,
): Promise<Spark> {
  let spark = new Spark("5s", []);
  for (const interval of SPARK_INTERVALS) {
    spark = new Spark(interval, await load(interval, SPARK_POINTS));
    if (spark.isEnough) break;
  }
  return spark;
}

/** `M0,14L1,13…`: from left to right, the lowest price at the bottom. Empty for fewer than two prices. */
export function sparkPath(prices: readonly number[]): string {
  if (prices.length < 2) return "";
  const low = prices.reduce((least, price) => Math.min(least, price), Infinity);
  const high = prices.reduce((most, price) => Math.max(most, price), -Infinity);
  const { width, height } = SPARK;
  const margin = 2;
  const points = prices.map((price, i) => {
    const x = i * width / (prices.length - 1);
    const part = high === low ? 0.5 : (price - low) / (high - low);
    return `${x.toFixed(1)},${(height - margin - part * (height - 2 * margin)).toFixed(1)}`;
  });
  return `M${points.join("L")}`;
}
