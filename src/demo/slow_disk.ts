// A slow disk: makes each write to the store wait. A change of the delay also applies to the writes waiting now.

import type { Clock } from "../core/clock.ts";

/** Not slow until {@link delayMs} is set. */
export class SlowDisk {
  readonly #clock: Clock;
  #delayMs = 0;
  #changed = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long each write waits before it begins, ms. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** Also applies to the writes that are waiting now. */
  set delayMs(ms: number) {
    this.#delayMs = ms;
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  /** Waits as long as a write must; rejects with the signal's reason. */
  readonly wait = async (signal: AbortSignal): Promise<void> => {
    const since = this.#clock.elapsed();
    for (;;) {
      const left = since + this.#delayMs - this.#clock.elapsed();
      if (left <= 0) return;
      const changed = this.#changed.signal;
      try {
        await this.#clock.sleep(left, AbortSignal.any([signal, changed]));
      } catch (error) {
        if (signal.aborted || !changed.aborted) throw error;
      }
    }
  };
}
