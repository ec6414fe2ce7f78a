// The embedded store as the program uses it. The work is done in two threads, so nothing here waits for the disk: one writes, the
// other reads, so that a long query delays no write.

import { unlessAborted } from "../core/abort.ts";
import type { Interval } from "../core/candle.ts";
import { SinkError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { FeedEvent, Gap, GapName, Tick } from "../core/record.ts";
import { pack, unpackCandles, unpackTicks } from "./packing.ts";
import type { ProductKey, Range, StoredCandle, StoreReader } from "./reader.ts";
import type { ReaderMethods, ReadSource } from "./reader_worker.ts";
import { Thread, type WorkerEvent } from "./rpc.ts";
import type { WriterMethods, WriterSettings } from "./writer_worker.ts";

/** Options of {@link Store}. */
export interface StoreOptions {
  /** Days for which ticks are kept; 0: for ever; default 7. */
  readonly ticksDays?: number;
  /** Days for which candles and gaps are kept, never less than the ticks; 0, the default: for ever. */
  readonly candlesDays?: number;
  /** Time between two rounds of cleaning, ms; default a minute. */
  readonly cleanEveryMs?: number;
  /** The most that a power cut may lose, ms; default 10 s. The end of the program, however sudden, loses nothing. */
  readonly syncEveryMs?: number;
  /** Called with each gap that the store itself declares, once it is committed. */
  readonly onGap?: (gap: Gap) => void;
  /** Receives what happens to the file. */
  readonly log: Logger;
}

/** Ticks, gaps and candles in one SQLite file. Its methods reject with a SinkError if the file cannot be used. */
export class Store implements StoreReader, AsyncDisposable {
  /** The file. */
  readonly path: string;
  readonly #settings: WriterSettings;
  readonly #writer: Thread<WriterMethods>;
  readonly #reader: Thread<ReaderMethods>;
  readonly #commitListeners = new Set<(batch: readonly FeedEvent[]) => void>();
  /** How often the writer has opened the file. */
  #generation = 0;
  #closing: Promise<void> | undefined;

  /** Opens the file with the first call that needs it. */
  constructor(path: string, options: StoreOptions) {
    const { ticksDays = 7, candlesDays = 0, cleanEveryMs = 60_000, syncEveryMs = 10_000, onGap, log } = options;
    this.path = path;
    this.#settings = { path, ticksDays, candlesDays, cleanEveryMs, syncEveryMs };
    const onEvent = (event: WorkerEvent) => {
      if ("log" in event) return log.often(event.log.level, event.log.message, event.log.fields);
      onGap?.(event.gap);
      this.#reportCommit([event.gap]);
    };
    this.#writer = new Thread(new URL("./writer_worker.ts", import.meta.url), onEvent);
    this.#reader = new Thread(new URL("./reader_worker.ts", import.meta.url), onEvent);
  }

  /**
   * Opens the file, or makes it. If that may work later (a full disk), the store is returned all the same: its methods reject with
   * the reason until then. Rejects with a `fatal` SinkError if a person must act: another program uses the file, a newer program
   * wrote it, or it is not a store.
   */
  static async open(path: string, options: StoreOptions): Promise<Store> {
    const store = new Store(path, options);
    try {
      await store.connect(new AbortController().signal);
    } catch (error) {
      if (error instanceof SinkError && error.kind !== "fatal") {
        options.log.error("The store cannot be used for now", { why: error.message });
        return store;
      }
      await store.close();
      throw error;
    }
    return store;
  }

  /** One attempt to open the file; does nothing if it is open. */
  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const opened = this.#writer.call("open", this.#settings).then((generation) => {
      this.#generation = generation;
    });
    await unlessAborted(opened, signal);
  }

  /**
   * Resolves with the number of new ticks once the whole batch is committed. A tick that is stored already, or older than what is
   * kept, is left out. The signal ends the waiting: the batch may still be stored.
   */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    if (batch.length === 0) return 0;
    if (!this.#writer.isStarted) await this.connect(signal);
    const written = this.#writer.call("write", pack(batch)).then(({ stored, generation }) => {
      this.#generation = generation;
      this.#reportCommit(batch);
      return stored;
    });
    return await unlessAborted(written, signal);
  }

  /** See {@link StoreReader.onCommit}. */
  onCommit(listener: (batch: readonly FeedEvent[]) => void): () => void {
    this.#commitListeners.add(listener);
    return () => void this.#commitListeners.delete(listener);
  }

  /** See {@link StoreReader.lastTicks}. */
  async lastTicks(): Promise<Tick[]> {
    return unpackTicks(await this.#reader.call("lastTicks", this.#source));
  }

  /** See {@link StoreReader.ticks}. */
  async ticks(product: ProductKey, range: Range): Promise<Tick[]> {
    return unpackTicks(await this.#reader.call("ticks", this.#source, product, range));
  }

  /** See {@link StoreReader.candles}. */
  async candles(product: ProductKey, interval: Interval, range: Range, now: number): Promise<StoredCandle[]> {
    return unpackCandles(await this.#reader.call("candles", this.#source, product, interval, range, now), interval);
  }

  /** See {@link StoreReader.gaps}. */
  gaps(product: ProductKey | undefined, range: Range): Promise<Gap[]> {
    return this.#reader.call("gaps", this.#source, product, range);
  }

  /** The names of the newest gaps by `opened`, the oldest first; at most `limit`. */
  gapNames(limit: number): Promise<GapName[]> {
    return this.#reader.call("gapNames", this.#source, limit);
  }

  /** See {@link StoreReader.since}. */
  async since(
    products: readonly ProductKey[],
    receivedTime: number,
    limit: number,
  ): Promise<FeedEvent[] | undefined> {
    const arrived = await this.#reader.call("since", this.#source, products, receivedTime, limit);
    if (arrived === undefined) return undefined;
    const { gaps, gapsWritten } = arrived;
    const events: FeedEvent[] = [];
    let next = 0;
    for (const tick of unpackTicks(arrived.ticks)) {
      for (; (gapsWritten[next] ?? Infinity) < tick.receivedTime; next++) events.push(gaps[next] as Gap);
      events.push(tick);
    }
    return [...events, ...gaps.slice(next)];
  }

  /** Closes the file and ends the threads. Later calls are rejected. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** See {@link Store.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #source(): ReadSource {
    return { path: this.path, generation: this.#writer.isStarted ? this.#generation : undefined };
  }

  #reportCommit(batch: readonly FeedEvent[]): void {
    for (const listener of this.#commitListeners) listener(batch);
  }

  async #close(): Promise<void> {
    // the last connection to close checkpoints the WAL: that must be the one that may write
    await this.#reader.end();
    await this.#writer.end();
  }
}
