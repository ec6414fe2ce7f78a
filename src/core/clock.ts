// All code that waits or reads the time gets a Clock; tests pass their own.

/** Reads the time and waits. */
export interface Clock {
  /** Wall clock, ms since the epoch, UTC. It may jump: use it for timestamps, never to measure how long something takes. */
  now(): number;
  /** Monotonic clock, ms since an arbitrary start. Use it for ages and deadlines. */
  elapsed(): number;
  /** Resolves after `ms`; rejects with `signal.reason` as soon as the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The clocks of this computer. */
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
