// The store's threads: one writes and cleans, the other one only reads, so that nobody waits for the disk but they.

import type { Interval } from "../core/candle.ts";
import { reasonOf, SinkError, type SinkErrorKind } from "../core/errors.ts";
import type { Fields, Level } from "../core/log.ts";
import type { Gap, GapName } from "../core/record.ts";
import { clean, type Retention } from "./cleaner.ts";
import { type OpenDatabase, openDatabase, openForReading, putAside } from "./database.ts";
import { FileLock } from "./lock.ts";
import type { PackedBatch, PackedTicks } from "./packing.ts";
import { Queries } from "./queries.ts";
import type { ProductKey, Range, StoredCandle } from "./reader.ts";
import { closeQuietly, isDamage, isLocked, storeErrorOf } from "./store_error.ts";
import { Writer } from "./writer.ts";

/** How the writing thread goes about it. */
export interface WriterSettings extends Retention {
  /** The file. */
  readonly path: string;
  /** Between two rounds of cleaning, ms. */
  readonly cleanEveryMs: number;
  /** Until a commit is on the disk and not only safe from the end of the program, ms. */
  readonly syncEveryMs: number;
}

/** What can be asked of the threads. */
export type Ask =
  | { readonly ask: "open"; readonly settings: WriterSettings }
  | { readonly ask: "write"; readonly batch: PackedBatch }
  | { readonly ask: "close" }
  /** `generation`: another than before, and the file is opened anew; undefined: this program only reads. */
  | {
    readonly ask: "read";
    readonly path: string;
    readonly generation: number | undefined;
    readonly question: Question;
  };

/** What the reading thread answers. */
export type Question =
  | { readonly about: "lastTicks" }
  | { readonly about: "ticks"; readonly product: ProductKey; readonly range: Range }
  | {
    readonly about: "candles";
    readonly product: ProductKey;
    readonly interval: Interval;
    readonly range: Range;
    readonly now: number;
  }
  | { readonly about: "gaps"; readonly product: ProductKey | undefined; readonly range: Range }
  | { readonly about: "gapNames"; readonly limit: number }
  | {
    readonly about: "since";
    readonly products: readonly ProductKey[];
    readonly receivedTime: number;
    readonly limit: number;
  };

/** An answer, as it is about. */
export interface Answers {
  /** Packed. */
  readonly lastTicks: PackedTicks;
  /** Packed. */
  readonly ticks: PackedTicks;
  /** As they are. */
  readonly candles: StoredCandle[];
  /** As they are. */
  readonly gaps: Gap[];
  /** As they are. */
  readonly gapNames: GapName[];
  /** Undefined: too many. */
  readonly since: {
    readonly ticks: PackedTicks;
    readonly gaps: readonly Gap[];
    readonly gapsWritten: readonly number[];
  } | undefined;
}

/** What a thread sends. */
export type Reply =
  | { readonly id: number; readonly answer: unknown; readonly generation?: number }
  /** Without `kind` it is a bug. */
  | {
    readonly id: number;
    readonly failure: { readonly kind?: SinkErrorKind; readonly message: string; readonly stack?: string };
  }
  | { readonly gap: Gap }
  | { readonly log: { readonly level: Level; readonly message: string; readonly fields: Fields } };

/** What a thread is sent. */
export type Request = Ask & { readonly id: number };

/** Between two looks whether the file is still there, ms. */
const LOOK_MS = 1000;
/** Part of its time that cleaning may take. */
const CLEAN_PART = 0.2;

/** What a worker's global object is to it; the types of the program know that of the main thread only. */
interface Port {
  postMessage(reply: Reply, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent<Request>) => void) | null;
}
const port = globalThis as unknown as Port;

function send(reply: Reply, transfer: Transferable[] = []): void {
  port.postMessage(reply, transfer);
}

function logAt(level: Level): (message: string, fields?: Fields) => void {
  return (message, fields = {}) => send({ log: { level, message, fields } });
}
const log = { info: logAt("info"), warn: logAt("warn"), error: logAt("error") };

/** The file, opened again after every failure but a lock. */
class Writing {
  readonly #settings: WriterSettings;
  readonly #fileLock = new FileLock();
  #open: OpenDatabase | undefined;
  #writer: Writer | undefined;
  #generation = 0;
  #lookedAt = -Infinity;
  /** Something was committed that may not be on the disk. */
  #isDirty = false;
  #round: Generator<void> | undefined;

  constructor(settings: WriterSettings) {
    this.#settings = settings;
    setInterval(() => this.#sync(), settings.syncEveryMs);
    setTimeout(() => this.#clean(), Math.min(5000, settings.cleanEveryMs));
  }

  /** How often the file was opened. */
  get generation(): number {
    return this.#generation;
  }

  open(): Writer {
    if (this.#writer !== undefined) return this.#writer;
    const { path } = this.#settings;
    const isFirst = this.#generation === 0;
    const open = openDatabase(path, { log, now: Date.now, fileLock: this.#fileLock, isFirst });
    try {
      const isEmpty = open.db.prepare("SELECT 1 FROM product LIMIT 1").get() === undefined;
      const replaces = open.replaces || (!isFirst && isEmpty);
      if (!isFirst && isEmpty && !open.replaces) log.error("The store's file was lost, a new one begins", { path });
      this.#writer = new Writer(open.db, { now: Date.now, replaces, onGap: (gap) => send({ gap }) });
      this.#open = open;
      this.#generation++;
      return this.#writer;
    } catch (error) {
      open.close();
      throw error;
    }
  }

  write(batch: PackedBatch): number {
    const { path } = this.#settings;
    try {
      return this.#write(batch);
    } catch (error) {
      throw storeErrorOf(error, `write to the store ${path}`);
    }
  }

  #write(batch: PackedBatch): number {
    let writer = this.open();
    const now = performance.now();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      if (this.#open?.isInPlace() !== true) {
        const { path } = this.#settings;
        log.error("The store's file was moved, deleted or replaced while it was in use: it is opened again", {
          path,
        });
        this.close();
        writer = this.open();
      }
    }
    this.#isDirty = true;
    try {
      return writer.write(batch);
    } catch (error) {
      if (!this.#mend(error)) throw error;
      return this.open().write(batch);
    }
  }

  close(): void {
    this.#round = undefined;
    this.#open?.close();
    this.#open = this.#writer = undefined;
  }

  /** For good, after the reading thread has closed the file. */
  end(): void {
    this.close();
    this.#fileLock[Symbol.dispose]();
  }

  /** After a failure: true when it is worth to try once more at once. */
  #mend(error: unknown): boolean {
    if (isLocked(error)) return false;
    this.close();
    if (!isDamage(error)) return false;
    putAside(this.#settings.path, error, Date.now, log);
    return true;
  }

  /** Outside of a write: what is no damage, or cannot be mended, the next write meets. */
  #mendQuietly(error: unknown): void {
    if (!isDamage(error)) return;
    try {
      this.#mend(error);
    } catch {
      // it is said then
    }
  }

  #sync(): void {
    if (!this.#isDirty || this.#open === undefined) return;
    this.#isDirty = false;
    try {
      this.#open.db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    } catch (error) {
      this.#isDirty = true;
      this.#mendQuietly(error);
    }
  }

  #clean(): void {
    let wait = this.#settings.cleanEveryMs;
    try {
      if (this.#open !== undefined && this.#writer !== undefined) {
        const writer = this.#writer;
        this.#round ??= clean(this.#open.db, this.#settings, Date.now(), () => writer.forget());
        const before = performance.now();
        const { done } = this.#round.next();
        this.#isDirty = true;
        if (done === true) this.#round = undefined;
        else wait = (performance.now() - before) * (1 / CLEAN_PART - 1);
      }
    } catch (error) {
      this.#round = undefined;
      if (!isLocked(error)) {
        const { path } = this.#settings;
        const why = reasonOf(storeErrorOf(error, `clean the store ${path}`));
        log.warn("The store could not be cleaned", { path, why });
        this.#mendQuietly(error);
      }
    }
    setTimeout(() => this.#clean(), wait);
  }
}

/** One connection that reads. */
class Reading {
  #open: { db: ReturnType<typeof openForReading>; queries: Queries; generation: number | undefined } | undefined;

  answer(path: string, generation: number | undefined, question: Question): unknown {
    if (this.#open?.generation !== generation) this.close();
    if (this.#open === undefined) {
      // before, it may be a backup that must be adopted, or none of our business
      if (generation === 0) {
        throw new SinkError("retry", `Cannot read the store ${path}: this program could not open it yet`);
      }
      const db = openForReading(path, generation !== undefined);
      this.#open = { db, queries: new Queries(db), generation };
    }
    try {
      return this.#ask(this.#open.queries, question);
    } catch (error) {
      if (!isLocked(error)) this.close();
      // what is written goes on in the parts that are whole
      if (isDamage(error)) log.error("A part of the store is damaged and cannot be read", { path });
      throw storeErrorOf(error, `read the store ${path}`);
    }
  }

  close(): void {
    if (this.#open !== undefined) closeQuietly(this.#open.db);
    this.#open = undefined;
  }

  #ask(queries: Queries, question: Question): Answers[Question["about"]] {
    switch (question.about) {
      case "lastTicks":
        return queries.lastTicks();
      case "ticks":
        return queries.ticks(question.product, question.range);
      case "candles":
        return queries.candles(question.product, question.interval, question.range, question.now);
      case "gaps":
        return queries.gaps(question.product, question.range);
      case "gapNames":
        return queries.gapNames(question.limit);
      case "since":
        return queries.since(question.products, question.receivedTime, question.limit);
    }
  }
}

let writing: Writing | undefined;
const reading = new Reading();

function handle(request: Request): unknown {
  switch (request.ask) {
    case "open":
      writing ??= new Writing(request.settings);
      writing.open();
      return undefined;
    case "write":
      if (writing === undefined) throw new TypeError("Cannot write to a store that was never opened");
      return writing.write(request.batch);
    case "close":
      writing?.end();
      reading.close();
      return undefined;
    case "read":
      return reading.answer(request.path, request.generation, request.question);
  }
}

function failureOf(error: unknown): { kind?: SinkErrorKind; message: string; stack?: string } {
  if (error instanceof SinkError) return { kind: error.kind, message: error.message };
  if (!(error instanceof Error)) return { message: String(error) };
  return { message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) };
}

/** The large parts of an answer, which need no copy. */
function transferOf(answer: unknown): Transferable[] {
  if (typeof answer !== "object" || answer === null || !("ticks" in answer)) return [];
  const { ticks } = answer;
  return ticks instanceof Float64Array ? [ticks.buffer as ArrayBuffer] : transferOf(ticks);
}

port.onmessage = ({ data }) => {
  const { id } = data;
  try {
    const answer = handle(data);
    send({ id, answer, ...(writing === undefined ? {} : { generation: writing.generation }) }, transferOf(answer));
  } catch (error) {
    send({ id, failure: failureOf(error) });
  }
};
