// A slow disk: any sink, with a wait before each write. A change of the wait also applies to the writes waiting now.

import type { Clock } from "../core/clock.ts";
import type { FeedEvent, Gap, GapReason } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";

/** Another sink, slowed down. Everything else is passed through, also its name. */
export class SlowSink implements Sink {
  /** See {@link Sink.name}: the wrapped sink's. */
  readonly name: string;
  /** See {@link Sink.dropReason}: the wrapped sink's. */
  readonly dropReason?: GapReason;
  /** See {@link Sink.lingerMs}: the wrapped sink's. */
  readonly lingerMs?: number;
  /** See {@link Sink.writeGaps}: as slow as the writes, if the wrapped sink has it. */
  readonly writeGaps?: (gaps: readonly Gap[], signal: AbortSignal) => Promise<void>;
  /** See {@link Sink.onGap}: not slowed down, if the wrapped sink has it. */
  readonly onGap?: (gap: Gap) => void;
  readonly #sink: Sink;
  readonly #clock: Clock;
  #delayMs = 0;
  #changed = new AbortController();

  /** Not slow until {@link delayMs} is set. Closing it closes the wrapped sink. */
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

  /** Also applies to the writes that are waiting now. */
  set delayMs(ms: number) {
    this.#delayMs = ms;
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  /** See {@link Sink.connect}: not slowed down. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#sink.connect(signal);
  }

  /** See {@link Sink.write}. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    await this.#wait(signal);
    await this.#sink.write(batch, signal);
  }

  /** Closes the wrapped sink. */
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
        // the delay was changed: wait for what is left of the new one
        if (signal.aborted || !changed.aborted) throw error;
      }
    }
  }
}
