// Waiting that ends with a signal or after a time, also for what knows neither.

import type { Clock } from "./clock.ts";

/** Resolves or rejects as the promise, or with the signal's reason as soon as it aborts: then nobody hears of the promise any more. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Resolves or rejects as the promise, though after `ms` it resolves all the same; rejects with the signal's reason once it aborts. */
export async function waitAtMost(
  ms: number,
  promise: Promise<unknown>,
  clock: Clock,
  ...signals: readonly AbortSignal[]
): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race([promise, clock.sleep(ms, AbortSignal.any([over.signal, ...signals]))]);
  } finally {
    over.abort();
  }
}
