// A sink that stores in memory and can be made to fail.

import type { FeedEvent, Gap } from "../../src/core/record.ts";
import type { Sink } from "../../src/core/sink.ts";

/** Like a sink that hangs: never resolves, rejects with the signal's reason. */
export function stuck(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Receives gaps among the ticks. */
export class FakeSink implements Sink {
  readonly name: string;
  /** Every event written successfully, in order. */
  readonly stored: FeedEvent[] = [];
  /** Every batch, successful or not. */
  readonly attempts: (readonly FeedEvent[])[] = [];
  /** How often it was connected. */
  connects = 0;
  /** How often it was closed. */
  closes = 0;
  /** Called before a connect succeeds: may throw or wait. */
  onConnect: (signal: AbortSignal) => Promise<void> | void = () => {};
  /** Called before a batch is stored: may throw or wait. */
  onWrite: (batch: readonly FeedEvent[], signal: AbortSignal) => Promise<void> | void = () => {};
  /** Called before it is closed. */
  onClose: () => Promise<void> | void = () => {};

  constructor(name = "fake") {
    this.name = name;
  }

  /** The stored events as `A1 A2 gap`. */
  get told(): string {
    return this.stored.map((event) => event.kind === "tick" ? `${event.product}${event.sequence}` : "gap").join(" ");
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.connects++;
    await this.onConnect(signal);
  }

  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.attempts.push(batch);
    await this.onWrite(batch, signal);
    this.stored.push(...batch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closes++;
    await this.onClose();
  }
}

/** Receives gaps separately. */
export class FakeSinkWithGaps extends FakeSink {
  /** Every gap written successfully, in order. */
  readonly gaps: Gap[] = [];
  /** How often gaps were written, successfully or not. */
  gapAttempts = 0;
  /** Called before gaps are stored: may throw or wait. */
  onWriteGaps: (gaps: readonly Gap[], signal: AbortSignal) => Promise<void> | void = () => {};

  async writeGaps(gaps: readonly Gap[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.gapAttempts++;
    await this.onWriteGaps(gaps, signal);
    this.gaps.push(...gaps);
  }
}
