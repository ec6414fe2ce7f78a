// Makes backups of a store, and replaces a store with a backup.
//
// A backup is a store in rollback mode (journal_mode DELETE): one file, complete in itself, which can be read on a read-only disk.
// Stores in use are in WAL mode. The mode in the header is what makes a restore safe: if it ends at any point, or if somebody
// copies a backup over a store by hand, a file in rollback mode beside the -wal of another file shows it, and the program refuses
// to open it (see database.ts) instead of letting SQLite mix the two. Alone it is opened, and becomes a store in WAL mode.

import { dirname } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { SinkError } from "../core/errors.ts";
import { asideNameOf, type HeldStore, holdStore, openForReading, refuseUnreadable } from "./database.ts";
import { type FileKind, filesBeside, SQLITE_SUFFIXES, statOf } from "./file.ts";
import { FileLock } from "./lock.ts";
import { APPLICATION_ID, OLD_BACKUP_ID, pragma, VERSION } from "./schema.ts";
import { closeQuietly, isDamage, storeErrorOf } from "./store_error.ts";

/** Pages that SQLite copies at once; in between the program can do other work. */
const COPY_RATE = 1000;

/** Writes a backup of the store. Returns its size in bytes. Throws SinkErrors; then the target is as before. */
export async function backUp(store: string, to: string): Promise<number> {
  const part = `${to}.part-${Deno.pid}`;
  const db = openForReading(store);
  try {
    // one state for the whole copy: a copy that starts over at each commit would never end
    readOneState(db, store);
    await makeFile(part, to);
    try {
      await backup(db, part, { rate: COPY_RATE });
      finish(part);
      putInPlace(part, to);
      return (await Deno.stat(to)).size;
    } catch (error) {
      removeAll(part);
      throw storeErrorOf(error, isDamage(error) ? `back up the store ${store}` : `back up to ${to}`);
    }
  } finally {
    closeQuietly(db);
  }
}

function readOneState(db: DatabaseSync, store: string): void {
  try {
    db.exec("BEGIN");
    db.prepare("SELECT count(*) FROM product").get();
  } catch (error) {
    throw storeErrorOf(error, `back up the store ${store}`);
  }
}

/** SQLite would only say that it cannot open the file; the system says why. */
async function makeFile(part: string, to: string): Promise<void> {
  try {
    (await Deno.open(part, { write: true, createNew: true })).close();
  } catch (error) {
    throw storeErrorOf(error, `back up to ${to}`);
  }
}

/** What {@link restore} did. */
export interface Restored {
  /** Size of the store, bytes. */
  readonly bytes: number;
  /** New name of the store that was replaced; undefined if there was none. */
  readonly aside: string | undefined;
}

/**
 * Replaces the store with a checked copy of a backup or of another store. No other program can use the store meanwhile.
 * Throws SinkErrors; then the store is as before.
 *
 * @param now wall clock, ms
 */
export async function restore(from: string, store: string, now: () => number): Promise<Restored> {
  const kind = inspectSource(from);
  using lock = new FileLock();
  let held: HeldStore | undefined;
  let isDone = false;
  let part: string | undefined;
  try {
    const { real } = held = holdStore(store, lock, "fatal", true);
    // only the holder of the lock writes to this name
    const name = `${real}.restoring`;
    refuseSameFile(from, name, "what an interrupted restore has left");
    if (kind !== "backup") refuseSameFile(from, real, "the store itself");
    removeAll(part = name);
    await copyTo(part, from, kind === "backup");
    takeRights(part, real);
    finish(part, (copy) => refuseUnusable(copy, from));
    const aside = replaceStore(part, real, now());
    isDone = true;
    return { bytes: (await Deno.stat(real)).size, aside };
  } catch (error) {
    if (part !== undefined) removeAll(part);
    throw storeErrorOf(error, isDamage(error) ? `restore ${from}` : `restore the store ${store}`);
  } finally {
    held?.release(isDone);
  }
}

function inspectSource(from: string): FileKind {
  try {
    return refuseUnreadable(from, true);
  } catch (error) {
    throw storeErrorOf(error, `read the store ${from}`);
  }
}

function refuseSameFile(from: string, other: string, what: string): void {
  if (!isSameFile(from, other)) return;
  throw new SinkError("fatal", `Cannot restore ${from}: expected a backup or another store, got ${what}`);
}

async function copyTo(part: string, from: string, isBackup: boolean): Promise<void> {
  // a backup is complete in itself, whatever another store has left beside it
  if (isBackup) return await Deno.copyFile(from, part);
  const db = new DatabaseSync(from, { readOnly: true });
  try {
    await backup(db, part, { rate: COPY_RATE });
  } finally {
    closeQuietly(db);
  }
}

/** The program must be able to write to the copy, also if another user restores it. */
function takeRights(part: string, real: string): void {
  if (Deno.build.os === "windows") return;
  const { mode, uid, gid } = statOf(real) ?? { mode: 0o644, uid: null, gid: null };
  Deno.chmodSync(part, (mode ?? 0o644) & 0o777 | 0o600);
  Deno.chownSync(part, uid, gid);
}

function refuseUnusable(copy: DatabaseSync, from: string): void {
  const refuse = (expected: string, got: string) => {
    throw new SinkError("fatal", `Cannot restore ${from}: expected ${expected}, got ${got}`);
  };
  const id = pragma(copy, "application_id"), version = pragma(copy, "user_version");
  if (version === 0 || (id !== APPLICATION_ID && id !== OLD_BACKUP_ID)) refuse("a store", "an empty file");
  if (version > VERSION) refuse(`version ${VERSION} or older`, `${version}, which a newer program wrote`);
  const found = String(Object.values(copy.prepare("PRAGMA integrity_check(1)").get() ?? {})[0]);
  if (found !== "ok") refuse("a file without damage", found.replace(/\s+/g, " "));
}

/** Makes the copy a backup (see the top of this file) and brings it to the disk. */
function finish(part: string, check?: (copy: DatabaseSync) => void): void {
  {
    using copy = new DatabaseSync(part);
    check?.(copy);
    copy.exec("PRAGMA journal_mode = DELETE");
    copy.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
  }
  using file = Deno.openSync(part, { read: true, write: true });
  file.syncSync();
}

/**
 * Replaces the store with the copy, and keeps the store under another name, which it returns. At every moment the path is either
 * the whole store that was there, or the whole copy.
 */
function replaceStore(part: string, real: string, now: number): string | undefined {
  const suffixes = ["", ...SQLITE_SUFFIXES].filter((suffix) => statOf(real + suffix) !== undefined);
  const aside = suffixes.length === 0 ? undefined : asideNameOf(real, "replaced", now);
  const links: string[] = [];
  try {
    for (const suffix of suffixes) {
      Deno.linkSync(real + suffix, aside + suffix);
      links.push(aside + suffix);
    }
    syncFolderOf(real);
    Deno.renameSync(part, real);
  } catch (error) {
    for (const name of links) Deno.removeSync(name);
    throw error;
  }
  syncFolderOf(real);
  // until these are gone the program refuses the copy, since it is in rollback mode
  for (const name of filesBeside(real)) Deno.removeSync(name);
  syncFolderOf(real);
  return aside;
}

function putInPlace(part: string, to: string): void {
  Deno.renameSync(part, to);
  syncFolderOf(to);
}

/** Makes sure that files keep their new names after a power cut. */
function syncFolderOf(path: string): void {
  if (Deno.build.os === "windows") return;
  using folder = Deno.openSync(dirname(path));
  folder.syncSync();
}

function removeAll(path: string): void {
  for (const suffix of ["", ...SQLITE_SUFFIXES]) {
    try {
      Deno.removeSync(path + suffix);
    } catch {
      // it does not exist, or writing to it fails too and says why
    }
  }
}

/** Whether two names lead to the same file. */
export function isSameFile(path: string, other: string): boolean {
  const a = statOf(path), b = statOf(other);
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}
