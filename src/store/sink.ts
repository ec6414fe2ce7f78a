// Ticks and gaps to the embedded store. How they are kept is the store's matter.

import type { FeedEvent, Gap } from "../core/record.ts";
import type { Store } from "./store.ts";
import type { Sink } from "../core/sink.ts";

/** One store, which it closes. */
export class SqliteSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "sqlite";
  /** See {@link Sink.dropReason}: its queue overflows when the disk takes nothing for so long. */
  readonly dropReason = "store-failed" as const;
  /** See {@link Sink.lingerMs}: each transaction writes some ten pages, however few its ticks; the page does not wait for it. */
  readonly lingerMs = 250;
  /** See {@link Sink.onGap}. */
  readonly onGap?: (gap: Gap) => void;
  readonly #store: Store;
  readonly #beforeWrite: (signal: AbortSignal) => Promise<void>;

  /**
   * The store may be open or not.
   *
   * @param onGap called with each gap of the store alone, at once: open pages must not wait for a disk that is slow or full
   * @param beforeWrite each write waits for it: the slow disk of the demo
   */
  constructor(
    store: Store,
    onGap?: (gap: Gap) => void,
    beforeWrite = (_: AbortSignal): Promise<void> => Promise.resolve(),
  ) {
    this.#store = store;
    this.#beforeWrite = beforeWrite;
    if (onGap !== undefined) this.onGap = onGap;
  }

  /** See {@link Sink.connect}. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#store.connect(signal);
  }

  /** See {@link Sink.write}. One transaction: after a failure nothing of the batch is stored. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    await this.#beforeWrite(signal);
    await this.#store.write(batch, signal);
  }

  /** Closes the store. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.close();
  }
}
