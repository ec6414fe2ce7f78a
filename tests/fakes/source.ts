// A source whose events come from the test.

import type { FeedEvent } from "../../src/core/record.ts";
import type { Source, SourceStatus } from "../../src/pipeline/source.ts";

/** Runs until it is stopped, ended or failed. */
export class FakeSource implements Source {
  /** Called when it stops. */
  onStop: (() => void) | undefined;
  /** The result of `status()`. */
  state: SourceStatus = {
    exchange: "Fake",
    url: "ws://fake",
    channel: "ticker",
    link: "open",
    lastFrameSeconds: 0,
    products: [],
  };
  /** The signal passed by the pipeline. */
  relief: () => Promise<void> | undefined = () => undefined;
  #emit: ((event: FeedEvent) => void) | undefined;
  readonly #over = Promise.withResolvers<void>();

  /** Whether the pipeline has stopped it, or never started it. */
  get isStopped(): boolean {
    return this.#emit === undefined;
  }

  /** Emits these events. */
  push(...events: FeedEvent[]): void {
    for (const event of events) this.#emit?.(event);
  }

  /** Ends it without being stopped: successfully, or with this error. */
  end(error?: unknown): void {
    if (error === undefined) this.#over.resolve();
    else this.#over.reject(error);
  }

  async run(
    emit: (event: FeedEvent) => void,
    relief: () => Promise<void> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    this.#emit = emit;
    this.relief = relief;
    const onAbort = () => this.#over.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await this.#over.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.onStop?.();
      this.#emit = undefined;
    }
  }

  status(): SourceStatus {
    return this.state;
  }
}
