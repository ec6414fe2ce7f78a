// Writes records as JSON lines to stdout, for `dev` without Kafka. Gaps are left out; they are in the log.

import { unlessAborted } from "../core/abort.ts";
import { reasonOf, SinkError } from "../core/errors.ts";
import { type FeedEvent, toRecord } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";

const encoder = new TextEncoder();

/** Writes one record per line. */
export class StdoutSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "stdout";
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #onClosed: () => void;

  /**
   * Nothing is written before the first batch.
   *
   * @param onClosed called when the reader is gone (`... | head`)
   * @param write writes some of the bytes and returns how many; default stdout
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

  /** See {@link Sink.write}. A reader that has stopped reading (`| less`) keeps it waiting until the signal aborts. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    let lines = "";
    for (const event of batch) {
      if (event.kind === "tick") lines += `${toRecord(event)}\n`;
    }
    try {
      await unlessAborted(this.#writeAll(encoder.encode(lines), signal), signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof Deno.errors.BrokenPipe) return this.#onClosed();
      throw new SinkError("fatal", `Cannot write to stdout: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Nothing to close. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #writeAll(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let written = 0; written < bytes.length && !signal.aborted;) {
      written += await this.#write(bytes.subarray(written));
    }
  }
}
