// Waits for promises that do not take a signal, until a signal aborts or a time is over.

import type { Clock } from "./clock.ts";

/** Settles like the promise, or rejects with the signal's reason as soon as it aborts. The result of the promise is then ignored. */
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

/** Settles like the promise, but resolves after `ms` at the latest. Rejects with the reason of a signal that aborts. */
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
