// Records as JSON lines on stdout, for `dev` without Kafka. Gaps are not records: they show in the log.

import { type FeedEvent, toRecord } from "../record.ts";
import type { Sink } from "./sink.ts";

const encoder = new TextEncoder();

/** Writes one record per line. */
export class StdoutSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "stdout";
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #onClosed: () => void;

  /**
   * @param onClosed the reader is gone (`... | head`): nobody wants more
   * @param write takes some of the bytes and says how many; default stdout
   */
  constructor(
    onClosed: () => void,
    write: (bytes: Uint8Array) => Promise<number> = (bytes) => Deno.stdout.write(bytes),
  ) {
    this.#onClosed = onClosed;
    this.#write = write;
  }

  /** Always ready. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  /** See {@link Sink.write}. */
  async write(batch: readonly FeedEvent[]): Promise<void> {
    let lines = "";
    for (const event of batch) {
      if (event.kind === "tick") lines += `${toRecord(event)}\n`;
    }
    const bytes = encoder.encode(lines);
    try {
      for (let written = 0; written < bytes.length;) written += await this.#write(bytes.subarray(written));
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      this.#onClosed();
    }
  }

  /** Nothing to close. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
