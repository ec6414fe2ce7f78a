// Decides whether a series of measurements is flat. Pure.

/** The allowed rise: the larger of the two. */
export interface Bound {
  /** From the first measurement to the last, as a part of the median. */
  readonly part: number;
  /** From the first measurement to the last, absolute. */
  readonly least: number;
}

/** The result. */
export interface Trend {
  /** Of all values. */
  readonly median: number;
  /** The rise of the line from the first value to the last. */
  readonly rise: number;
  /** The allowed rise. */
  readonly allowed: number;
  readonly isFlat: boolean;
}

/** The middle value, or the mean of the two middle ones. NaN if there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = NaN, high = NaN] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return (low + high) / 2;
}

/**
 * Fits a Theil-Sen line to values at equal distances: its slope is the median of the slopes of all pairs, so a few outliers, as
 * each fault causes them, do not change it.
 */
export function trendOf(values: readonly number[], { part, least }: Bound): Trend {
  const slopes: number[] = [];
  for (const [i, before] of values.entries()) {
    for (const [j, after] of values.entries()) {
      if (j > i) slopes.push((after - before) / (j - i));
    }
  }
  const middle = median(values);
  const rise = slopes.length === 0 ? 0 : median(slopes) * (values.length - 1);
  const allowed = Math.max(least, Math.abs(middle) * part);
  return { median: middle, rise, allowed, isFlat: rise <= allowed };
}
