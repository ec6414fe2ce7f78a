// The thread that writes and cleans.

import { reasonOf } from "../core/errors.ts";
import { clean, type Retention } from "./cleaner.ts";
import { type OpenDatabase, openDatabase, putAside } from "./database.ts";
import { FileLock } from "./lock.ts";
import type { PackedBatch } from "./packing.ts";
import { emit, log, serve } from "./rpc.ts";
import { isDamage, isLocked, storeErrorOf } from "./store_error.ts";
import { Writer } from "./writer.ts";

/** Options of the writing thread. */
export interface WriterSettings extends Retention {
  /** The file. */
  readonly path: string;
  /** Time between two rounds of cleaning, ms. */
  readonly cleanEveryMs: number;
  /** Time until a commit is on the disk, ms; the end of the program loses nothing before that. */
  readonly syncEveryMs: number;
}

/** Time between two checks that the file is still at its path, ms. */
const CHECK_MS = 1000;
/** Part of the thread's time that cleaning may take. */
const CLEAN_PART = 0.2;

/** The file, opened again after every failure except a lock. */
class WritableFile {
  readonly #settings: WriterSettings;
  readonly #fileLock = new FileLock();
  #open: OpenDatabase | undefined;
  #writer: Writer | undefined;
  /** How often the file was opened. */
  #generation = 0;
  #checkedAt = -Infinity;
  /** Something was committed that may not be on the disk. */
  #isDirty = false;
  #cleaning: Generator<void> | undefined;

  constructor(settings: WriterSettings) {
    this.#settings = settings;
    setInterval(() => this.#sync(), settings.syncEveryMs);
    setTimeout(() => this.#clean(), Math.min(5000, settings.cleanEveryMs));
  }

  get generation(): number {
    return this.#generation;
  }

  open(): Writer {
    if (this.#writer !== undefined) return this.#writer;
    const { path } = this.#settings;
    const isFirst = this.#generation === 0;
    const open = openDatabase(path, { log, now: Date.now, fileLock: this.#fileLock, isFirst });
    try {
      const wasEmptied = !isFirst && open.db.prepare("SELECT 1 FROM product LIMIT 1").get() === undefined;
      if (wasEmptied && !open.replaces) log.error("The store's file was lost, a new one begins", { path });
      const replaces = open.replaces || wasEmptied;
      this.#writer = new Writer(open.db, { now: Date.now, replaces, onGap: (gap) => emit({ gap }) });
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
      this.open();
      this.#checkPlace();
      this.#isDirty = true;
      try {
        return this.open().write(batch);
      } catch (error) {
        if (!this.#recover(error)) throw error;
        return this.open().write(batch);
      }
    } catch (error) {
      throw storeErrorOf(error, `write to the store ${path}`);
    }
  }

  close(): void {
    this.#closeDatabase();
    this.#fileLock[Symbol.dispose]();
  }

  #closeDatabase(): void {
    this.#cleaning = undefined;
    this.#open?.close();
    this.#open = this.#writer = undefined;
  }

  #checkPlace(): void {
    const now = performance.now();
    if (now - this.#checkedAt < CHECK_MS) return;
    this.#checkedAt = now;
    if (this.#open?.isInPlace() === true) return;
    const { path } = this.#settings;
    log.error("The store's file was moved, deleted or replaced while it was in use: it is opened again", { path });
    this.#closeDatabase();
  }

  /** After a failure: closes the file unless it was only locked, and moves a damaged one aside. True if a second attempt may succeed. */
  #recover(error: unknown): boolean {
    if (isLocked(error)) return false;
    this.#closeDatabase();
    if (!isDamage(error)) return false;
    putAside(this.#settings.path, error, Date.now, log);
    return true;
  }

  /** Outside of a write. The next write reports what cannot be repaired here. */
  #recoverQuietly(error: unknown): void {
    if (!isDamage(error)) return;
    try {
      this.#recover(error);
    } catch {
      // reported by the next write
    }
  }

  #sync(): void {
    if (!this.#isDirty || this.#open === undefined) return;
    this.#isDirty = false;
    try {
      this.#open.db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    } catch (error) {
      this.#isDirty = true;
      this.#recoverQuietly(error);
    }
  }

  #clean(): void {
    let wait = this.#settings.cleanEveryMs;
    try {
      if (this.#open !== undefined && this.#writer !== undefined) {
        const writer = this.#writer;
        this.#cleaning ??= clean(this.#open.db, this.#settings, Date.now(), () => writer.forget());
        const before = performance.now();
        const { done } = this.#cleaning.next();
        this.#isDirty = true;
        if (done === true) this.#cleaning = undefined;
        else wait = (performance.now() - before) * (1 / CLEAN_PART - 1);
      }
    } catch (error) {
      this.#cleaning = undefined;
      if (!isLocked(error)) {
        const { path } = this.#settings;
        log.warn("The store could not be cleaned", { path, why: reasonOf(storeErrorOf(error, "delete old ticks")) });
        this.#recoverQuietly(error);
      }
    }
    setTimeout(() => this.#clean(), wait);
  }
}

let file: WritableFile | undefined;

/** See {@link Thread}. */
export interface WriterMethods {
  /** Opens the file if it is not open. Returns how often it was opened. */
  open(settings: WriterSettings): number;
  /** Returns how many ticks were new, and how often the file was opened. The file must have been opened before. */
  write(batch: PackedBatch): { stored: number; generation: number };
  /** Closes the file for good, after the reading thread has closed it. */
  close(): void;
}

serve<WriterMethods>({
  open(settings) {
    file ??= new WritableFile(settings);
    file.open();
    return file.generation;
  },
  write(batch) {
    if (file === undefined) throw new TypeError("Cannot write to a store that was never opened");
    return { stored: file.write(batch), generation: file.generation };
  },
  close() {
    file?.close();
  },
});
