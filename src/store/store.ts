// The embedded store as the program sees it: nothing here waits for the disk but promises. The work is done in two threads (see
// worker.ts): one writes, the other one reads, so that the longest question holds up no write.

import { unlessAborted, waitAtMost } from "../core/abort.ts";
import { systemClock } from "../core/clock.ts";
import type { Interval } from "../core/candle.ts";
import { SinkError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { FeedEvent, Gap, GapName, Tick } from "../core/record.ts";
import { pack, unpackTicks } from "./packing.ts";
import type { ProductKey, Range, StoredCandle, StoreReader } from "./reader.ts";
import type { Answers, Ask, Question, Reply, Request, WriterSettings } from "./worker.ts";

/** How a store goes about it. */
export interface StoreOptions {
  /** Ticks are kept for so many days; 0: for ever; default 7. */
  readonly ticksDays?: number;
  /** Candles and gaps are kept for so many days, never shorter than the ticks; 0, the default: for ever. */
  readonly candlesDays?: number;
  /** Between two rounds of cleaning, ms; default a minute. */
  readonly cleanEveryMs?: number;
  /** What a power cut may cost, ms; default 10 s. (The end of the program, however sudden, costs nothing.) */
  readonly syncEveryMs?: number;
  /** Called with each gap that the store itself declares, once it is committed. */
  readonly onGap?: (gap: Gap) => void;
  /** Log. */
  readonly log: Logger;
}

/** Until a thread must have closed the file, ms; after it, it is left behind as kill -9 would leave it. */
const CLOSE_MS = 1000;

interface Pending {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
}

/** One worker, started when it is first asked. */
class Thread {
  readonly #name: string;
  readonly #log: Logger;
  readonly #onGap: ((gap: Gap) => void) | undefined;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #lastId = 0;
  #isClosed = false;
  /** See {@link Ask}: of the file, as the last answer told. */
  generation = 0;

  constructor(name: string, log: Logger, onGap?: (gap: Gap) => void) {
    this.#name = name;
    this.#log = log;
    this.#onGap = onGap;
  }

  /** Whether it was ever asked anything. */
  get isStarted(): boolean {
    return this.#worker !== undefined;
  }

  ask(ask: Ask, transfer: Transferable[] = []): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(new SinkError("retry", "The store is closed"));
    const worker = this.#worker ??= this.#start();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = ++this.#lastId;
    this.#pending.set(id, { resolve, reject });
    worker.postMessage({ ...ask, id } satisfies Request, transfer);
    return promise;
  }

  /** Ends it. What was asked and not answered is rejected. */
  end(): void {
    this.#isClosed = true;
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#fail(new SinkError("retry", "The store was closed meanwhile"));
  }

  #start(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: this.#name });
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#take(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#worker = undefined;
      this.#fail(new Error(`The thread ${this.#name} ended: ${event.message}`));
    };
    return worker;
  }

  #take(reply: Reply): void {
    if ("log" in reply) {
      const { level, message, fields } = reply.log;
      return this.#log.often(level, message, fields);
    }
    if ("gap" in reply) return this.#onGap?.(reply.gap);
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ("failure" in reply) {
      const { kind, message, stack } = reply.failure;
      const error = kind === undefined ? new Error(message) : new SinkError(kind, message);
      if (stack !== undefined) error.stack = stack;
      return pending?.reject(error);
    }
    if (reply.generation !== undefined) this.generation = reply.generation;
    pending?.resolve(reply.answer);
  }

  #fail(error: Error): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}

/** Ticks, gaps and candles in one SQLite file. All of its methods reject with a SinkError where the file cannot be used. */
export class Store implements StoreReader, AsyncDisposable {
  /** Where the file is. */
  readonly path: string;
  readonly #settings: WriterSettings;
  readonly #writer: Thread;
  readonly #reader: Thread;
  readonly #commitListeners = new Set<(batch: readonly FeedEvent[]) => void>();
  #closing: Promise<void> | undefined;

  /** Opens nothing before it is asked to. */
  constructor(path: string, options: StoreOptions) {
    const { ticksDays = 7, candlesDays = 0, cleanEveryMs = 60_000, syncEveryMs = 10_000, onGap, log } = options;
    this.path = path;
    this.#settings = { path, ticksDays, candlesDays, cleanEveryMs, syncEveryMs };
    this.#writer = new Thread("store writer", log, (gap) => {
      onGap?.(gap);
      this.#tellCommit([gap]);
    });
    this.#reader = new Thread("store reader", log);
  }

  /**
   * Opens the file, or makes it. Where the disk is to blame it returns a store all the same, whose writes and questions fail
   * with the reason until the disk is well. Rejects with a `fatal` SinkError where a person must decide: another program writes
   * to it, a newer one wrote it, or it is something else.
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

  /** One attempt to have the file open; harmless when it is. */
  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await unlessAborted(this.#writer.ask({ ask: "open", settings: this.#settings }), signal);
  }

  /**
   * Resolves with the number of ticks that were new, once all of it is committed. A tick that was there, or that is older than
   * what is kept, is left out. The signal bounds the waiting: what is under way may yet be stored.
   */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    if (batch.length === 0) return 0;
    if (!this.#writer.isStarted) await this.connect(signal);
    const packed = pack(batch);
    const written = this.#writer.ask({ ask: "write", batch: packed }, [packed.ticks.buffer]).then((stored) => {
      this.#tellCommit(batch);
      return stored as number;
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
    return unpackTicks(await this.#read({ about: "lastTicks" }));
  }

  /** See {@link StoreReader.ticks}. */
  async ticks(product: ProductKey, range: Range): Promise<Tick[]> {
    return unpackTicks(await this.#read({ about: "ticks", product, range }));
  }

  /** See {@link StoreReader.candles}. */
  async candles(product: ProductKey, interval: Interval, range: Range, now: number): Promise<StoredCandle[]> {
    return await this.#read({ about: "candles", product, interval, range, now });
  }

  /** See {@link StoreReader.gaps}. */
  gaps(product: ProductKey | undefined, range: Range): Promise<Gap[]> {
    return this.#read({ about: "gaps", product, range });
  }

  /** The newest gaps' names by `opened`, the oldest first; at most `limit`. */
  gapNames(limit: number): Promise<GapName[]> {
    return this.#read({ about: "gapNames", limit });
  }

  /** See {@link StoreReader.since}. */
  async since(
    products: readonly ProductKey[],
    receivedTime: number,
    limit: number,
  ): Promise<FeedEvent[] | undefined> {
    const arrived = await this.#read({ about: "since", products, receivedTime, limit });
    if (arrived === undefined) return undefined;
    const events: FeedEvent[] = [];
    let next = 0;
    for (const tick of unpackTicks(arrived.ticks)) {
      for (; next < arrived.gaps.length && (arrived.gapsWritten[next] ?? 0) < tick.receivedTime; next++) {
        events.push(arrived.gaps[next] as Gap);
      }
      events.push(tick);
    }
    return [...events, ...arrived.gaps.slice(next)];
  }

  /** Closes the file and ends the threads; what is asked from now on is rejected. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** See {@link Store.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #tellCommit(batch: readonly FeedEvent[]): void {
    for (const listener of this.#commitListeners) listener(batch);
  }

  async #read<Q extends Question>(question: Q): Promise<Answers[Q["about"]]> {
    const generation = this.#writer.isStarted ? this.#writer.generation : undefined;
    return await this.#reader.ask({ ask: "read", path: this.path, generation, question }) as Answers[Q["about"]];
  }

  async #close(): Promise<void> {
    // the last one to leave puts the file in order: that must be the one who may write
    for (const thread of [this.#reader, this.#writer]) {
      if (thread.isStarted) await waitAtMost(CLOSE_MS, thread.ask({ ask: "close" }).catch(() => {}), systemClock);
      thread.end();
    }
  }
}
