// The two locks of a store: a lock file beside it, which names the process, and a lock on the file itself, which also holds if
// the file has another name (a bind mount).

import { SinkError, type SinkErrorKind } from "../core/errors.ts";
import { statOf } from "./file.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Distinguishes a file from all others on this machine; undefined if nothing is there. */
export function identityOf(path: string): string | undefined {
  const stat = statOf(path);
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

/**
 * Locks `<store>.lock` until the returned file is closed. The system frees the lock however the program ends. The file stays, so
 * that a later start knows that there was a store.
 *
 * @param kind of the error if another program has the lock
 */
export function lockName(path: string, lockPath: string, kind: SinkErrorKind): Deno.FsFile {
  const file = Deno.openSync(lockPath, { read: true, write: true, create: true });
  const bytes = new Uint8Array(20);
  const owner = decoder.decode(bytes.subarray(0, file.readSync(bytes) ?? 0)).replace(/[\s\0]/g, "");
  if (!/^\d*$/.test(owner)) {
    file.close();
    throw new SinkError(
      "fatal",
      `Cannot use the store ${path}: expected ${lockPath} to be its lock file, got something else. It was not changed`,
    );
  }
  if (!file.tryLockSync(true)) {
    file.close();
    const who = owner === "" ? "" : ` (process ${owner})`;
    throw new SinkError(kind, `Cannot use the store ${path}: another program${who} is using it and holds ${lockPath}`);
  }
  try {
    file.truncateSync(0);
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(encoder.encode(`${Deno.pid}\n`));
  } catch {
    // a full disk: the lock holds without the process id
  }
  return file;
}

/**
 * Keeps the file of a store open as long as SQLite has connections to it. Closing any descriptor of a file drops all locks that
 * SQLite has on it in this process, and another program could then delete the WAL. So the file is opened before SQLite opens it,
 * and closed after the last connection.
 */
export class FileLock implements Disposable {
  #open: { readonly file: Deno.FsFile; readonly identity: string; readonly writeError?: unknown } | undefined;
  #isLocked = false;

  /** The open file. */
  get file(): Deno.FsFile {
    if (this.#open === undefined) throw new TypeError("The store's file is not open");
    return this.#open.file;
  }

  /** See {@link identityOf}: of the open file. */
  get identity(): string | undefined {
    return this.#open?.identity;
  }

  /** Whether this process has the lock. */
  get isLocked(): boolean {
    return this.#isLocked;
  }

  /**
   * Opens the file, which is made if there is none, and locks it. Returns false if another process has locked it. A file that is
   * open already stays open.
   */
  lock(path: string): boolean {
    if (this.#open === undefined || this.#open.identity !== identityOf(path) || this.#open.writeError !== undefined) {
      this[Symbol.dispose]();
      const { file, writeError } = openFile(path);
      const { dev, ino } = file.statSync();
      this.#open = { file, identity: `${dev}:${ino}`, writeError };
    }
    // Linux keeps this lock (flock) apart from those of SQLite (fcntl); elsewhere they would exclude each other
    if (this.#isLocked || Deno.build.os !== "linux") return true;
    try {
      return this.#isLocked = this.#open.file.tryLockSync(true);
    } catch {
      // a file system without such locks
      return true;
    }
  }

  /** Throws why the file cannot be written. SQLite would make a -wal file with the same rights, which stays when these are changed. */
  requireWritable(): void {
    if (this.#open?.writeError !== undefined) throw this.#open.writeError;
  }

  /** Gives the lock back. The file stays open, since connections may still read from it. */
  unlock(): void {
    if (this.#isLocked) this.#open?.file.unlockSync();
    this.#isLocked = false;
  }

  /** Closes the file, which gives the lock back too. */
  [Symbol.dispose](): void {
    this.#open?.file.close();
    this.#open = undefined;
    this.#isLocked = false;
  }
}

/** Opens the file for reading only if it cannot be written: its content still tells whether it is a store. */
function openFile(path: string): { file: Deno.FsFile; writeError?: unknown } {
  try {
    return { file: Deno.openSync(path, { read: true, write: true, create: true, mode: 0o644 }) };
  } catch (writeError) {
    try {
      return { file: Deno.openSync(path), writeError };
    } catch {
      throw writeError;
    }
  }
}
