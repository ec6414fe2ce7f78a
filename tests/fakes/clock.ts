// Time that stands still until a test moves it.

import type { Clock } from "../../src/core/clock.ts";

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
}

/** Lets everything that can run without time passing run: all microtasks, and what they start. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Time in a test's hands. Nobody wakes, not even from a sleep of 0 ms, until `advance()` is called. */
export class FakeClock implements Clock {
  #wall: number;
  #elapsed = 0;
  /** By `due`, those of the same moment in the order in which they went to sleep. */
  readonly #sleepers: Sleeper[] = [];

  /** @param wall where the wall clock starts, ms since the epoch: 2026-10-03T21:00:00Z unless told */
  constructor(wall: number = Date.UTC(2026, 9, 3, 21)) {
    this.#wall = wall;
  }

  /** See {@link Clock.now}. */
  now(): number {
    return this.#wall;
  }

  /** See {@link Clock.elapsed}. */
  elapsed(): number {
    return this.#elapsed;
  }

  /** How many are asleep. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** How long the next one will sleep on, ms; undefined when nobody sleeps. */
  get nextWakeMs(): number | undefined {
    const first = this.#sleepers[0];
    return first === undefined ? undefined : first.due - this.#elapsed;
  }

  /** See {@link Clock.sleep}. */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#sleepers.splice(this.#sleepers.indexOf(sleeper), 1);
        reject(signal.reason);
      };
      const wake = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const sleeper = { due: this.#elapsed + Math.max(0, ms), wake };
      const later = this.#sleepers.findIndex(({ due }) => due > sleeper.due);
      this.#sleepers.splice(later < 0 ? this.#sleepers.length : later, 0, sleeper);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /**
   * Lets `ms` pass on both clocks: wakes the sleepers that are due one after the other, each at its own moment, and after
   * each lets everything settle, so that those who go to sleep again are woken in their turn.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    await settle();
    for (let first = this.#sleepers[0]; first !== undefined && first.due <= end; first = this.#sleepers[0]) {
      this.#sleepers.shift();
      this.#moveTo(first.due);
      first.wake();
      await settle();
    }
    this.#moveTo(end);
  }

  /** Somebody sets the wall clock: it jumps by `ms` (also back), and no time passes. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  #moveTo(elapsed: number): void {
    this.#wall += elapsed - this.#elapsed;
    this.#elapsed = elapsed;
  }
}
