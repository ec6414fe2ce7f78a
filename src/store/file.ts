// Finds out what is at a path before SQLite opens it.

import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { APPLICATION_ID, OLD_BACKUP_ID, pragma } from "./schema.ts";
import { isDamage } from "./store_error.ts";

/** Suffixes of the files that SQLite keeps beside a database. */
export const SQLITE_SUFFIXES = ["-wal", "-shm", "-journal"] as const;

/** The header of an SQLite file: https://www.sqlite.org/fileformat2.html#the_database_header. */
const HEADER_BYTES = 100;
const MAGIC = "SQLite format 3\0";
/** Offset of the journal mode: 2 for WAL, 1 for a rollback journal. */
const MODE_OFFSET = 18;
/** Offset of the application id, big-endian. */
const ID_OFFSET = 68;

const decoder = new TextDecoder();

/** Undefined if nothing is there. */
export function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Names what is not a regular file, for a message. */
export function kindOf({ isFile, isDirectory, isSymlink, isFifo, isSocket }: Deno.FileInfo): string | undefined {
  if (isFile) return undefined;
  if (isDirectory) return "a folder";
  if (isSymlink) return "a symbolic link";
  if (isFifo === true) return "a pipe";
  return isSocket === true ? "a socket" : "a device";
}

/** The path without symbolic links, even if the file does not exist yet: two names of one file must have one lock. */
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

/** The names of the files that SQLite keeps beside a database and that exist. */
export function filesBeside(path: string): string[] {
  return SQLITE_SUFFIXES.map((suffix) => path + suffix).filter((name) => statOf(name) !== undefined);
}

/**
 * What a file is. A `store` is in WAL mode, as the program writes it. A `backup` is a store in rollback mode: complete in itself,
 * without a `-wal` file.
 */
export type FileKind = "new" | "store" | "backup" | "damaged" | "foreign";

/**
 * What the header of an open file says; undefined if the content must decide, as the application id of a new store may still be in
 * the WAL.
 *
 * @param wasLocked our lock file is beside it, so it was a store
 */
export function inspectHeader(file: Deno.FsFile, wasLocked: boolean): FileKind | undefined {
  const bytes = new Uint8Array(HEADER_BYTES);
  // closing a file would drop the locks of all connections that this process has to it, so the caller opens it
  file.seekSync(0, Deno.SeekMode.Start);
  const length = file.readSync(bytes) ?? 0;
  if (length === 0) return "new";
  if (length < HEADER_BYTES || decoder.decode(bytes.subarray(0, MAGIC.length)) !== MAGIC) {
    // a power cut leaves zeros
    return wasLocked || bytes.every((byte) => byte === 0) ? "damaged" : "foreign";
  }
  const id = new DataView(bytes.buffer).getUint32(ID_OFFSET);
  if (id !== APPLICATION_ID && id !== OLD_BACKUP_ID) return undefined;
  return bytes[MODE_OFFSET] === 2 ? "store" : "backup";
}

/** Opens the file with SQLite, which leaves files beside this name. So it must be the only one. */
export function inspectContent(path: string, wasLocked: boolean): FileKind {
  try {
    using db = new DatabaseSync(path, { readOnly: true });
    const isOurs = pragma(db, "application_id") === APPLICATION_ID ||
      db.prepare("SELECT 1 FROM sqlite_master").get() === undefined;
    return isOurs ? "store" : "foreign";
  } catch (error) {
    if (isDamage(error)) return wasLocked ? "damaged" : "foreign";
    throw error;
  }
}
