// The small line beside a product: closes of its candles, continued by its ticks, to the path of an SVG. Pure.

import { type Interval, intervalMs, openTimeOf } from "../../core/candle.ts";

/** Its box, in its own units; the page stretches it. */
export const SPARK = { width: 96, height: 28 } as const;

/** A line is as long as so many candles at most: a day, where each is 15 minutes. */
export const SPARK_POINTS = 96;
/**
 * The lengths of its candles. A store that is too young for the first ones gets a line of the second, and so on: of at most
 * 96 minutes, of at most eight.
 */
const SPARK_INTERVALS: readonly Interval[] = ["15m", "1m", "5s"];
/** A line of fewer candles says less than one of shorter candles. */
const ENOUGH_POINTS = 8;

/** What a line needs to know of a candle. */
export interface SparkCandle {
  /** Where it starts, unix seconds. */
  readonly time: number;
  /** Last price. */
  readonly close: number;
}

/** One product's line. */
export class Spark {
  readonly #interval: Interval;
  /** Of one candle, seconds. */
  readonly #length: number;
  #points: readonly SparkCandle[];

  /** Candles of this length, in order of time; those that are too old for the newest are left out. */
  constructor(interval: Interval, candles: readonly SparkCandle[]) {
    this.#interval = interval;
    this.#length = intervalMs(interval) / 1000;
    this.#points = this.#newest(candles);
  }

  /** There are enough candles for a line that says something. */
  get isEnough(): boolean {
    return this.#points.length >= ENOUGH_POINTS;
  }

  /** Candles that are longer would make a line of their own by now. */
  get isOutgrown(): boolean {
    return this.#interval !== SPARK_INTERVALS[0] && this.#points.length >= SPARK_POINTS;
  }

  /** Its prices, in order of time. */
  get prices(): number[] {
    return this.#points.map(({ close }) => close);
  }

  /** What it spans: `the last 24 h`; empty as long as there is no line. */
  get title(): string {
    const first = this.#points[0]?.time ?? 0;
    const last = this.#points.at(-1)?.time ?? 0;
    if (first === last) return "";
    const minutes = Math.ceil((last - first + this.#length) / 60);
    return `the last ${minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`}`;
  }

  /** Takes a price of this moment, unix seconds; true if the line got longer. One that comes late is left to the next load. */
  add(price: number, time: number): boolean {
    const start = openTimeOf(time * 1000, this.#interval) / 1000;
    const last = this.#points.at(-1)?.time ?? -Infinity;
    if (start < last) return false;
    const before = start === last ? this.#points.slice(0, -1) : this.#points;
    this.#points = this.#newest([...before, { time: start, close: price }]);
    return start > last;
  }

  /** After a pause of the program the candles before it are of another time. */
  #newest(points: readonly SparkCandle[]): SparkCandle[] {
    const from = (points.at(-1)?.time ?? 0) - SPARK_POINTS * this.#length;
    return points.filter(({ time }) => time > from);
  }
}

/** Asks for candles, the longest first, until there are enough for a line. */
export async function loadSpark(
  ask: (interval: Interval, limit: number) => Promise<readonly SparkCandle[]>,
): Promise<Spark> {
  let spark = new Spark("5s", []);
  for (const interval of SPARK_INTERVALS) {
    spark = new Spark(interval, await ask(interval, SPARK_POINTS));
    if (spark.isEnough) break;
  }
  return spark;
}

/** `M0,14L1,13…`: from left to right, the lowest price at the bottom. Empty for less than two prices. */
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
