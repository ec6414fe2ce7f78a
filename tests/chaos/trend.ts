// Is a series of measurements flat? Pure.

/** What may be called flat. */
export interface Bound {
  /** Part of the median by which the line may rise from the first measurement to the last. */
  readonly part: number;
  /** So much it may rise in any case. */
  readonly least: number;
}

/** What was found. */
export interface Trend {
  /** Of the values. */
  readonly median: number;
  /** By how much the line rises from the first to the last of them. */
  readonly rise: number;
  /** What it may rise. */
  readonly allowed: number;
  /** It does not rise more than that. */
  readonly isFlat: boolean;
}

/** The middle one; of two, the mean of both. NaN where there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = NaN, high = NaN] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return (low + high) / 2;
}

/**
 * The line through values at equal distances whose slope is the median of the slopes of all pairs (Theil-Sen): a few wild values,
 * as each fault makes them, do not move it.
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
