// A sink that keeps everything in memory, and fails as a test wants it.

import type { FeedEvent, Gap } from "../../src/core/record.ts";
import type { Sink } from "../../src/core/sink.ts";

/** Resolves never, rejects with the signal's reason: what a sink that is stuck does. */
export function stuck(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Stores what it gets; gaps come among the ticks. */
export class FakeSink implements Sink {
  readonly name: string;
  /** Everything confirmed, in order. */
  readonly stored: FeedEvent[] = [];
  /** Everything asked for, confirmed or not. */
  readonly attempts: (readonly FeedEvent[])[] = [];
  /** How often it was asked to connect. */
  connects = 0;
  /** How often it was closed. */
  closes = 0;
  /** Asked before a connect succeeds: throws or waits. */
  onConnect: (signal: AbortSignal) => Promise<void> | void = () => {};
  /** Asked before a batch is stored: throws or waits. */
  onWrite: (batch: readonly FeedEvent[], signal: AbortSignal) => Promise<void> | void = () => {};
  /** Asked before it is closed. */
  onClose: () => Promise<void> | void = () => {};

  constructor(name = "fake") {
    this.name = name;
  }

  /** `A1 A2 gap` for what is stored. */
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

/** Gaps go a way of their own. */
export class FakeSinkWithGaps extends FakeSink {
  /** Gaps confirmed. */
  readonly gaps: Gap[] = [];
  /** How often gaps were to be written. */
  gapAttempts = 0;
  /** Asked before gaps are stored: throws or waits. */
  onWriteGaps: (gaps: readonly Gap[], signal: AbortSignal) => Promise<void> | void = () => {};

  async writeGaps(gaps: readonly Gap[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.gapAttempts++;
    await this.onWriteGaps(gaps, signal);
    this.gaps.push(...gaps);
  }
}
