// The file: found, locked, told apart from files that are not ours, opened, and moved aside when it is damaged. Everything that
// goes wrong with it becomes a SinkError with a sentence.

import { DatabaseSync } from "node:sqlite";
import { SinkError } from "../errors.ts";
import type { Level } from "../log.ts";
import { STORED_INTERVALS } from "./candle_table.ts";
import { APPLICATION_ID, migrate, pragma, VERSION } from "./schema.ts";

/** The database, open for writing. */
export interface OpenDatabase {
  /** The connection. */
  readonly db: DatabaseSync;
  /** What stood there before is lost to it: damaged, and moved aside. */
  readonly replaces: boolean;
  /** Whether file and lock are still those that were opened. */
  isInPlace(): boolean;
  /** Closes the connection and gives the lock back. Never throws. */
  close(): void;
}

/** Takes what is to be logged. */
export type Tell = (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** How long a write waits for another program that holds the file locked, ms. */
const BUSY_MS = 500;
const MAGIC = "SQLite format 3\0";
/** What begins a file that SQLite wrote. */
const HEADER_BYTES = 100;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What SQLite says, in its words, and what it means for the store. Deno 2.9 gives no code with it. */
const CAUSES: readonly { readonly words: RegExp; readonly cause: string }[] = [
  { words: /database or disk is full/, cause: "its disk is full" },
  { words: /readonly database/, cause: "the file or its folder cannot be written to" },
  {
    words: /(?:database|table) is locked/,
    cause: "another program holds it locked, perhaps a sqlite3 with an open transaction",
  },
  { words: /malformed|not a database/, cause: "the file is damaged" },
  { words: /disk I\/O error/, cause: "its disk fails: disk I/O error" },
  { words: /unable to open/, cause: "it cannot be opened: it, its folder or its disk is missing or not ours to use" },
];

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The file itself is broken: no retry will help. */
export function isDamage(error: unknown): boolean {
  return isSqlite(error) && /malformed|not a database/.test(wordsOf(error));
}

/** Somebody else has it for a moment; the connection is as good as before. */
export function isLocked(error: unknown): boolean {
  return isSqlite(error) && /(?:database|table) is locked/.test(wordsOf(error));
}

function isSqlite(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === "ERR_SQLITE_ERROR";
}

/**
 * What went wrong with the store, as a sentence; the error itself where it is a bug of ours.
 *
 * @param attempt as in `write to`
 */
export function storeErrorOf(error: unknown, path: string, attempt: string): unknown {
  if (error instanceof SinkError) return error;
  const words = wordsOf(error);
  const said = (cause: string, kind: "retry" | "fatal" = "retry") =>
    new SinkError(kind, `Cannot ${attempt} the store ${path} as ${cause}`, { cause: error });
  if (error instanceof Deno.errors.NotCapable) {
    return said(`the program may not: ${words.replace(/, run again.*/s, "")}`, "fatal");
  }
  if (isSqlite(error)) {
    if (/constraint failed|syntax error|datatype mismatch/.test(words)) return error;
    return said(CAUSES.find(({ words: each }) => each.test(words))?.cause ?? words);
  }
  if (error instanceof Deno.errors.PermissionDenied) return said(`it is not ours to use: ${words}`);
  // files fail with many classes, of which some are plain Errors; a TypeError and its kin are bugs
  if (
    error instanceof Error &&
    (Object.values(Deno.errors).some((kind) => error instanceof kind) || /os error/.test(words))
  ) {
    return said(/os error 28/.test(words) ? "its disk is full" : words);
  }
  return error;
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function identityOf(path: string): string | undefined {
  const stat = statOf(path);
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

/** Where a symbolic link leads: two names of one file must have one lock. */
function realPathOf(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return path;
    throw error;
  }
}

function headerOf(path: string): Uint8Array {
  using file = Deno.openSync(path);
  const header = new Uint8Array(HEADER_BYTES);
  return header.subarray(0, file.readSync(header) ?? 0);
}

/** What stands at the path: nothing yet, a database of ours, one that is damaged, or something that is none of our business. */
function inspect(path: string, lockPath: string): "new" | "ours" | "damaged" | "foreign" {
  if (statOf(path) === undefined) return "new";
  const header = headerOf(path);
  if (header.length === 0) return "new";
  if (decoder.decode(header.subarray(0, MAGIC.length)) !== MAGIC) {
    // a disk that lost power leaves zeros; and where our lock lies beside it the file was ours
    return header.every((byte) => byte === 0) || statOf(lockPath) !== undefined ? "damaged" : "foreign";
  }
  const applicationId = new DataView(header.buffer, header.byteOffset).getUint32(68);
  if (applicationId === APPLICATION_ID) return "ours";
  // of a new database the header may still be in the WAL
  try {
    using db = new DatabaseSync(path, { readOnly: true });
    if (pragma(db, "application_id") === APPLICATION_ID) return "ours";
    return Number(db.prepare("SELECT count(*) AS n FROM sqlite_master").get()?.n) === 0 ? "ours" : "foreign";
  } catch (error) {
    if (isDamage(error)) return statOf(lockPath) !== undefined ? "damaged" : "foreign";
    throw error;
  }
}

/** Moves the database and what belongs to it to another name, under which `sqlite3` can still open it. */
function moveAside(path: string, now: number, tell: Tell, why: string): void {
  const aside = `${path}.damaged-${new Date(now).toISOString().slice(0, 19).replaceAll(":", "-")}Z`;
  for (const suffix of ["", "-wal", "-shm"]) {
    try {
      Deno.renameSync(path + suffix, aside + suffix);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  tell("error", "The store was damaged: its file was moved aside, a new one begins", { path, aside, why });
}

/** The lock of a store: held as long as the file is open, and freed by the system however the program ends. */
function lock(path: string, lockPath: string, isFirst: boolean): Deno.FsFile {
  const file = Deno.openSync(lockPath, { read: true, write: true, create: true });
  if (file.tryLockSync(true)) {
    try {
      file.truncateSync(0);
      file.writeSync(encoder.encode(`${Deno.pid}\n`));
    } catch {
      // the disk is full, as the store itself will say: the lock holds without the number, and left behind it would hold for ever
    }
    return file;
  }
  const words = new Uint8Array(20);
  const owner = decoder.decode(words.subarray(0, file.readSync(words) ?? 0)).trim();
  file.close();
  throw new SinkError(
    isFirst ? "fatal" : "retry",
    `Cannot open the store ${path} as another program${owner === "" ? "" : `, process ${owner},`} writes to it ` +
      `and holds ${lockPath}; only one can`,
  );
}

/** Closes it, whatever state it is in. */
export function closeQuietly(db: DatabaseSync): void {
  try {
    if (db.isOpen) db.close();
  } catch {
    // what could be saved was saved by the commits
  }
}

function openSqlite(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    // only before the first table; later it is the file that says so
    db.exec("PRAGMA auto_vacuum = INCREMENTAL");
    const mode = db.prepare("PRAGMA journal_mode = WAL").get()?.journal_mode;
    if (mode !== "wal") {
      throw new SinkError("retry", `Cannot open the store ${path} as its disk must allow SQLite's WAL: it is ${mode}`);
    }
    // A commit is in the WAL once it is confirmed, so that no end of the program takes it away. It is on the disk with the next
    // checkpoint, at most 10 s later: a power cut costs these, never the file, and the next start's restart gap begins there.
    db.exec("PRAGMA synchronous = NORMAL");
    db.exec("PRAGMA wal_autocheckpoint = 2000");
    db.exec("PRAGMA journal_size_limit = 67108864");
    db.exec("PRAGMA cache_size = -8192");
    db.exec("PRAGMA temp_store = MEMORY");
    const version = pragma(db, "user_version");
    if (version > VERSION) {
      throw new SinkError(
        "fatal",
        `Cannot use the store ${path} as its version must be at most ${VERSION}: current value is ${version}, a newer program wrote it`,
      );
    }
    return db;
  } catch (error) {
    closeQuietly(db);
    throw error;
  }
}

/** Reads what writing relies on: a damage there shows now and not in the middle. */
function probe(db: DatabaseSync): void {
  for (const { id } of db.prepare("SELECT id FROM product").all()) {
    for (const length of STORED_INTERVALS) {
      db.prepare(`SELECT * FROM candle_${length} WHERE product = ? ORDER BY open_time DESC LIMIT 2`).all(Number(id));
    }
    db.prepare("SELECT * FROM tick WHERE product = ? ORDER BY sequence DESC LIMIT 1").all(Number(id));
    db.prepare("SELECT * FROM gap WHERE product = ? ORDER BY opened DESC LIMIT 1").all(Number(id));
  }
}

/**
 * Opens the store for writing; makes it, its folder, and what an older version lacks. Throws SinkErrors: `fatal` where a person
 * must decide, `retry` where the disk may heal.
 *
 * @param isFirst a lock of somebody else is final
 */
export function openDatabase(path: string, isFirst: boolean, now: () => number, tell: Tell): OpenDatabase {
  const attempt = (): { db: DatabaseSync; replaces: boolean; file: Deno.FsFile; real: string; lockPath: string } => {
    const folder = path.replace(/[^/\\]*$/, "");
    if (folder !== "") Deno.mkdirSync(folder, { recursive: true });
    const real = realPathOf(path);
    const lockPath = `${real}.lock`;
    const kind = inspect(real, lockPath);
    // the lock stays beside the file for ever: where it lies alone there was a file
    const wasLocked = statOf(lockPath) !== undefined;
    const wasLost = kind === "new" && wasLocked;
    if (kind === "foreign") {
      throw new SinkError(
        "fatal",
        `Cannot use the store ${path} as it must be a file of this program: it is something else, and was left alone`,
      );
    }
    const file = lock(path, lockPath, isFirst);
    let db: DatabaseSync | undefined;
    try {
      if (kind === "damaged") moveAside(real, now(), tell, "it does not begin as a database does");
      if (wasLost) tell("error", "The store's file was lost, a new one begins", { path });
      let replaces = kind === "damaged" || wasLost;
      const open = () => {
        db = openSqlite(real);
        const found = migrate(db);
        if (found > 0 && found < VERSION) {
          tell("info", "The store was brought to a newer version", { path, from: found, to: VERSION });
        }
        probe(db);
        return db;
      };
      try {
        return { db: open(), replaces, file, real, lockPath };
      } catch (error) {
        if (!isDamage(error)) throw error;
        if (db !== undefined) closeQuietly(db);
        moveAside(real, now(), tell, wordsOf(error));
        replaces = true;
        return { db: open(), replaces, file, real, lockPath };
      }
    } catch (error) {
      if (db !== undefined) closeQuietly(db);
      // a store that could not even begin was not lost
      if (!wasLocked) Deno.removeSync(lockPath);
      file.close();
      throw error;
    }
  };
  try {
    const { db, replaces, file, real, lockPath } = attempt();
    const identity = identityOf(real);
    const lockIdentity = identityOf(lockPath);
    return {
      db,
      replaces,
      isInPlace: () =>
        identityOf(real) === identity && identityOf(lockPath) === lockIdentity && statOf(`${real}-wal`) !== undefined,
      close() {
        closeQuietly(db);
        try {
          file.close();
        } catch {
          // closed already
        }
      },
    };
  } catch (error) {
    throw storeErrorOf(error, path, "open");
  }
}

/** Moves a damaged file aside that is open nowhere; throws a SinkError where that fails. */
export function putAside(path: string, why: unknown, now: () => number, tell: Tell): void {
  try {
    moveAside(realPathOf(path), now(), tell, wordsOf(why));
  } catch (error) {
    throw storeErrorOf(error, path, "move aside");
  }
}

/** Opens the store for reading only, as others may while it is written. Throws SinkErrors. */
export function openForReading(path: string): DatabaseSync {
  try {
    if (statOf(path) === undefined) {
      throw new SinkError("retry", `Cannot read the store ${path} as there is no such file`);
    }
    const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS });
    try {
      db.exec("PRAGMA cache_size = -4096");
      const id = pragma(db, "application_id");
      const version = pragma(db, "user_version");
      if (id !== APPLICATION_ID) {
        throw new SinkError("fatal", `Cannot read the store ${path} as it must be a file of this program`);
      }
      if (version !== VERSION) {
        throw new SinkError(
          "fatal",
          `Cannot read the store ${path} as its version must be ${VERSION}: current value is ${version}, ` +
            (version < VERSION ? "and the program brings it up to date when it runs" : "a newer program wrote it"),
        );
      }
      return db;
    } catch (error) {
      closeQuietly(db);
      throw error;
    }
  } catch (error) {
    throw storeErrorOf(error, path, "read");
  }
}
