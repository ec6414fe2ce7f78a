// What a file is before SQLite opens it: its kind, its header, and the mark by which a backup is known when it is put back.

import { basename, dirname, join, resolve } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { APPLICATION_ID } from "./schema.ts";

/**
 * `feeb` in ASCII: stands in place of {@link APPLICATION_ID} in a backup, until a program takes the file as its store. A file
 * with this mark was never written through a WAL: what lies beside it is of the file that stood there before.
 */
export const BACKUP_ID = 0x66656562;

/** What SQLite keeps beside a file, by what stands behind its name. */
export const SQLITE_SUFFIXES = ["-wal", "-shm", "-journal"] as const;

/** What begins a file that SQLite wrote. */
const HEADER_BYTES = 100;
const MAGIC = "SQLite format 3\0";
/** Where the application id stands, most significant byte first: https://www.sqlite.org/fileformat2.html#database_header. */
const ID_OFFSET = 68;

const decoder = new TextDecoder();

/** Undefined: nothing is there. */
export function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** What is no regular file, in words. */
export function kindOf({ isFile, isDirectory, isSymlink, isFifo, isSocket }: Deno.FileInfo): string | undefined {
  if (isFile) return undefined;
  if (isDirectory) return "a folder";
  if (isSymlink) return "a symbolic link";
  if (isFifo === true) return "a pipe";
  return isSocket === true ? "a socket" : "a device";
}

/** Where a path leads in the end, also where nothing is there yet: two names of one file must have one lock. */
export function realPathOf(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const target = linkAt(path);
  if (target !== undefined) return realPathOf(resolve(Deno.realPathSync(dirname(path)), target));
  return statOf(dirname(path)) === undefined ? path : join(Deno.realPathSync(dirname(path)), basename(path));
}

function linkAt(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined;
  }
}

/** The beginning of a file. */
export interface Header {
  /** At most 100. */
  readonly length: number;
  /** Whether SQLite wrote it. */
  readonly isSqlite: boolean;
  /** A disk that lost power leaves zeros. */
  readonly isZeros: boolean;
  /** Of a file of SQLite; 0: none, or it still stands in the WAL. */
  readonly applicationId: number;
}

/** Reads it from an open file: to close one would drop the locks of all connections that this process has to it. */
export function headerOf(file: Deno.FsFile): Header {
  const bytes = new Uint8Array(HEADER_BYTES);
  file.seekSync(0, Deno.SeekMode.Start);
  const length = file.readSync(bytes) ?? 0;
  const isSqlite = length === HEADER_BYTES && decoder.decode(bytes.subarray(0, MAGIC.length)) === MAGIC;
  return {
    length,
    isSqlite,
    isZeros: bytes.every((byte) => byte === 0),
    applicationId: isSqlite ? new DataView(bytes.buffer).getUint32(ID_OFFSET) : 0,
  };
}

/** Copies the database to a file that nobody else has open, and marks the copy. Throws what SQLite throws. */
export async function copyAsBackup(db: DatabaseSync, path: string): Promise<void> {
  await backup(db, path, { rate: 1000 });
  using copy = new DatabaseSync(path);
  // the copy has its original's mode: without it no reader leaves files beside it, and the mark cannot end up in one of them
  copy.exec("PRAGMA journal_mode = DELETE");
  copy.exec(`PRAGMA application_id = ${BACKUP_ID}`);
}

/**
 * Makes the backup at this path the store. Whoever calls it has the lock, and the file open. After a crash at any point of it the next call does what
 * is left: the mark goes last, once all that does not belong to the file is gone from the disk. Returns what was removed.
 */
export function adoptBackup(path: string, file: Deno.FsFile): string[] {
  if (headerOf(file).applicationId !== BACKUP_ID) return [];
  const removed = SQLITE_SUFFIXES.map((suffix) => path + suffix).filter((name) => statOf(name) !== undefined);
  for (const name of removed) {
    // others may have the shm in their memory: shortened, it would end them; and nothing is ever read from it after a crash
    if (!name.endsWith("-shm")) {
      // empty it is harmless, and that it is empty can be made sure of
      using old = Deno.openSync(name, { write: true });
      old.truncateSync(0);
      old.syncSync();
    }
    Deno.removeSync(name);
  }
  const id = new Uint8Array(4);
  new DataView(id.buffer).setUint32(0, APPLICATION_ID);
  file.seekSync(ID_OFFSET, Deno.SeekMode.Start);
  file.writeSync(id);
  file.syncSync();
  return removed;
}
