// A clock that a test controls.

import type { Clock } from "../../src/core/clock.ts";

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
}

/** Runs everything that can run without time passing: all microtasks, and what they start. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Time passes only in `advance()`: until then not even a sleep of 0 ms ends. */
export class FakeClock implements Clock {
  #wall: number;
  #elapsed = 0;
  /** By `due`, then in the order in which they began. */
  readonly #sleepers: Sleeper[] = [];

  /** @param wall where the wall clock starts, ms since the epoch: default 2026-10-03T21:00:00Z */
  constructor(wall: number = Date.UTC(2026, 9, 3, 21)) {
    this.#wall = wall;
  }

  now(): number {
    return this.#wall;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  /** How many sleeps are pending. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** Time until the next pending sleep ends, ms; undefined if there is none. */
  get nextWakeMs(): number | undefined {
    const first = this.#sleepers[0];
    return first === undefined ? undefined : first.due - this.#elapsed;
  }

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
   * Advances both clocks by `ms`: ends the due sleeps one after the other, each at its own time, and runs everything that
   * follows from one before the next, so that new sleeps end in their turn.
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

  /** Sets the wall clock forward by `ms`, or back; no time passes. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  #moveTo(elapsed: number): void {
    this.#wall += elapsed - this.#elapsed;
    this.#elapsed = elapsed;
  }
}
