// What a failure of SQLite or the file system means for the store: a SinkError whose message says what is wrong.

import type { DatabaseSync } from "node:sqlite";
import { reasonOf, SinkError } from "../core/errors.ts";

/** Error texts of SQLite and the system, and what each means. node:sqlite in Deno 2.9 has no codes for its errors. */
const CAUSES: readonly { readonly text: RegExp; readonly cause: string }[] = [
  { text: /database or disk is full|os error (?:28|122)\b/, cause: "the disk is full" },
  { text: /os error 30\b/, cause: "the disk is read-only" },
  { text: /readonly database|os error 13\b/, cause: "no permission to write to the file or its folder" },
  { text: /os error 2\b/, cause: "the folder does not exist" },
  { text: /os error 20\b/, cause: "part of its path is not a folder" },
  {
    text: /(?:database|table) is locked/,
    cause: "another program has locked it, perhaps sqlite3 with an open transaction",
  },
  { text: /malformed|not a database/, cause: "the file is damaged" },
  { text: /disk I\/O error|os error 5\b/, cause: "disk I/O error" },
  {
    text: /unable to open/,
    cause: "the file, its folder or its disk does not exist, or there is no permission to use it",
  },
];

/** What the error means; undefined if its own text is the best there is. */
export function causeOf(error: unknown): string | undefined {
  const found = reasonOf(error);
  return CAUSES.find(({ text }) => text.test(found))?.cause;
}

/** The file is damaged: retrying does not help. */
export function isDamage(error: unknown): boolean {
  return isSqlite(error) && /malformed|not a database/.test(reasonOf(error));
}

/** Another connection holds a lock for a moment; ours is still usable. */
export function isLocked(error: unknown): boolean {
  return isSqlite(error) && /(?:database|table) is locked/.test(reasonOf(error));
}

function isSqlite(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === "ERR_SQLITE_ERROR";
}

/**
 * The failure as a SinkError, or the error itself if it is a bug: bad SQL, a TypeError.
 *
 * @param attempt for example `write to the store data/prices.sqlite`
 */
export function storeErrorOf(error: unknown, attempt: string): unknown {
  if (error instanceof SinkError) return error;
  const text = reasonOf(error);
  const isForbidden = error instanceof Deno.errors.NotCapable;
  const isBug = isSqlite(error)
    ? /constraint failed|syntax error|datatype mismatch/.test(text)
    : !/os error/.test(text);
  if (isBug && !isForbidden) return error;
  // neither a permission of Deno nor a wrong path changes while the program runs
  const kind = isForbidden || error instanceof Deno.errors.NotADirectory ? "fatal" : "retry";
  return new SinkError(kind, `Cannot ${attempt}: ${causeOf(error) ?? text}`, { cause: error });
}

/** Closes the connection in whatever state it is; committed data is safe either way. */
export function closeQuietly(db: DatabaseSync): void {
  try {
    if (db.isOpen) db.close();
  } catch {
    // a damaged file or a missing disk: there is nothing left to save
  }
}
