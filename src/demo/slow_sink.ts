// A disk that takes its time: any sink, with a wait before each write that can be changed while it lasts.

import type { Clock } from "../core/clock.ts";
import type { FeedEvent, Gap, GapReason } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";

/** Another sink, slowed down. It passes on everything else, its name too. */
export class SlowSink implements Sink {
  /** See {@link Sink.name}: that of the sink behind it. */
  readonly name: string;
  /** See {@link Sink.dropReason}: that of the sink behind it. */
  readonly dropReason?: GapReason;
  /** See {@link Sink.lingerMs}: that of the sink behind it. */
  readonly lingerMs?: number;
  /** See {@link Sink.writeGaps}: as slow as the writes, where the sink behind it has it. */
  readonly writeGaps?: (gaps: readonly Gap[], signal: AbortSignal) => Promise<void>;
  /** See {@link Sink.onGap}: not slow, where the sink behind it has it. */
  readonly onGap?: (gap: Gap) => void;
  readonly #sink: Sink;
  readonly #clock: Clock;
  #delayMs = 0;
  #changed = new AbortController();

  /** Not slow before {@link delayMs} is set. Closing it closes the sink behind it. */
  constructor(sink: Sink, clock: Clock) {
    this.name = sink.name;
    if (sink.dropReason !== undefined) this.dropReason = sink.dropReason;
    if (sink.lingerMs !== undefined) this.lingerMs = sink.lingerMs;
    if (sink.onGap !== undefined) this.onGap = sink.onGap.bind(sink);
    this.#sink = sink;
    this.#clock = clock;
    if (sink.writeGaps !== undefined) {
      const writeGaps = sink.writeGaps.bind(sink);
      this.writeGaps = async (gaps, signal) => {
        await this.#wait(signal);
        await writeGaps(gaps, signal);
      };
    }
  }

  /** How long each write waits before it begins, ms. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** Counts for the writes that wait now, too. */
  set delayMs(ms: number) {
    this.#delayMs = ms;
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  /** See {@link Sink.connect}: not slow. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#sink.connect(signal);
  }

  /** See {@link Sink.write}. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    await this.#wait(signal);
    await this.#sink.write(batch, signal);
  }

  /** Closes the sink behind it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sink[Symbol.asyncDispose]();
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const since = this.#clock.elapsed();
    while (true) {
      const left = since + this.#delayMs - this.#clock.elapsed();
      if (left <= 0) return;
      const changed = this.#changed.signal;
      try {
        await this.#clock.sleep(left, AbortSignal.any([signal, changed]));
      } catch (error) {
        // a new delay: how much of it is left?
        if (signal.aborted || !changed.aborted) throw error;
      }
    }
  }
}
