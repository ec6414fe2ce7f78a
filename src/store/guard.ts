// The lock of the file itself, whatever it is called: a bind mount has another `<name>.lock`, but the same file.

import { statOf } from "./header.ts";

/** Tells one file from all others of this machine; undefined: nothing is there. */
export function identityOf(path: string): string | undefined {
  const stat = statOf(path);
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

/**
 * Holds the file of a store open, beside SQLite. Closing any descriptor of a file drops all locks that SQLite has on it in this
 * process: another program could then take itself for the last one, and delete the WAL under us. So the file is opened here
 * before SQLite opens it, and closed after the last connection of this process is.
 */
export class Guard implements Disposable {
  #held: { readonly file: Deno.FsFile; readonly identity: string } | undefined;
  #isLocked = false;

  /** The file, which must have been opened. */
  get file(): Deno.FsFile {
    if (this.#held === undefined) throw new TypeError("The guard has no file");
    return this.#held.file;
  }

  /** See {@link identityOf}: of the file that was opened. */
  get identity(): string | undefined {
    return this.#held?.identity;
  }

  /** Whether no other program can have the file. */
  get isLocked(): boolean {
    return this.#isLocked;
  }

  /** Opens the file, or makes it. The same file as before stays open. Throws what the system throws. */
  open(path: string): void {
    if (this.#held !== undefined && this.#held.identity === identityOf(path)) return;
    this[Symbol.dispose]();
    const file = openFile(path);
    const { dev, ino } = file.statSync();
    this.#held = { file, identity: `${dev}:${ino}` };
  }

  /**
   * Locks the file; false: it is locked already. Linux keeps this lock (flock) apart from those of SQLite (fcntl), at least on its
   * own disks; elsewhere each would keep the other out, and nothing is locked.
   */
  lock(): boolean {
    if (this.#isLocked || Deno.build.os !== "linux") return true;
    try {
      return this.#isLocked = this.file.tryLockSync(true);
    } catch {
      // a file system without such locks
      return true;
    }
  }

  /** Gives the lock back, and keeps the file open for the next `open()`. */
  unlock(): void {
    if (this.#isLocked) this.file.unlockSync();
    this.#isLocked = false;
  }

  /** Closes the file, and with it gives the lock back. */
  [Symbol.dispose](): void {
    this.#held?.file.close();
    this.#held = undefined;
    this.#isLocked = false;
  }
}

/** One that may not be written to can still be looked at. */
function openFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true, write: true, create: true, mode: 0o644 });
  } catch (error) {
    try {
      return Deno.openSync(path);
    } catch {
      throw error;
    }
  }
}
