// The delay before the next attempt.

/** The limits of a growing delay. */
export interface BackoffLimits {
  /** The longest first delay, ms. */
  readonly baseMs: number;
  /** The longest delay, ms. */
  readonly capMs: number;
}

/**
 * The delay before retry number `attempt` (from 0), ms: random between 0 and a limit that doubles with each attempt up to the
 * cap. Random, so that many clients that lose their connection together do not all return at the same moment.
 *
 * @param random 0 (included) to 1 (excluded), as from `Math.random()`
 */
export function backoffMs(attempt: number, { baseMs, capMs }: BackoffLimits, random: number): number {
  return random * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
}
