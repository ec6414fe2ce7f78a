// Attempt number -> delay. Pure: the randomness is handed in.

/** The bounds of a growing delay. */
export interface BackoffLimits {
  /** Upper bound of the first delay, ms. */
  readonly baseMs: number;
  /** No delay is longer, ms. */
  readonly capMs: number;
}

/**
 * Delay before attempt number `attempt` (0 is the first repetition), ms: full jitter between 0 and a bound that
 * doubles with each attempt up to the cap. Full jitter, so that many clients thrown out together do not return together.
 *
 * @param random 0 included to 1 excluded, as `Math.random()` gives it
 */
export function backoffMs(attempt: number, { baseMs, capMs }: BackoffLimits, random: number): number {
  return random * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
}
