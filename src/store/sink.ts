// The sink of the embedded store.

import type { FeedEvent, Gap } from "../core/record.ts";
import type { Store } from "./store.ts";
import type { Sink } from "../core/sink.ts";

/** Writes to a store, and closes it at the end. */
export class SqliteSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "sqlite";
  /** See {@link Sink.dropReason}: the queue overflows when the disk accepts nothing for a long time. */
  readonly dropReason = "store-failed" as const;
  /** See {@link Sink.lingerMs}: a transaction writes about ten pages, even for one tick. */
  readonly lingerMs = 250;
  /** See {@link Sink.onGap}. */
  readonly onGap?: (gap: Gap) => void;
  readonly #store: Store;
  readonly #beforeWrite: (signal: AbortSignal) => Promise<void>;

  /**
   * The store does not have to be open.
   *
   * @param onGap called at once with each gap that only the store has: open pages must not wait for a slow or full disk
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
