// The only door to time. Everything that waits or asks for the time is handed a Clock; tests hand in their own.

/** Time as the program sees it. */
export interface Clock {
  /** Wall clock, ms since the epoch, UTC. It may jump: use it for what is written down, never for how long something took. */
  now(): number;
  /** Monotonic ms since some start; never jumps. Use it for ages and deadlines. */
  elapsed(): number;
  /** Resolves after `ms`; rejects with `signal.reason` once the signal aborts, at once if it already has. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  },
};
