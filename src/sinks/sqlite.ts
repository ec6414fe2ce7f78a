// Ticks and gaps to the embedded store. How they are kept is the store's matter.

import type { FeedEvent } from "../record.ts";
import type { Store } from "../store/store.ts";
import type { Sink } from "./sink.ts";

/** One store, which it closes. */
export class SqliteSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "sqlite";
  /** See {@link Sink.dropReason}: its queue overflows when the disk takes nothing for so long. */
  readonly dropReason = "store-failed" as const;
  /** See {@link Sink.lingerMs}: each transaction writes some ten pages, however few its ticks; the page does not wait for it. */
  readonly lingerMs = 250;
  readonly #store: Store;

  /** The store may be open or not. */
  constructor(store: Store) {
    this.#store = store;
  }

  /** See {@link Sink.connect}. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#store.connect(signal);
  }

  /** See {@link Sink.write}. One transaction: after a failure nothing of the batch is stored. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    await this.#store.write(batch, signal);
  }

  /** Closes the store. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.close();
  }
}
