// The file: found, locked, told apart from files that are not ours, opened, and moved aside when it is damaged. Everything that
// goes wrong with it becomes a SinkError with a sentence.

import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { reasonOf, SinkError } from "../core/errors.ts";
import type { Level } from "../core/log.ts";
import { STORED_INTERVALS } from "./candle_table.ts";
import { Guard, identityOf } from "./guard.ts";
import { adoptBackup, BACKUP_ID, headerOf, kindOf, realPathOf, SQLITE_SUFFIXES, statOf } from "./header.ts";
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

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What SQLite and the system say, in their words, and what it means for the file. Deno 2.9 gives no code with SQLite's. */
const CAUSES: readonly { readonly words: RegExp; readonly cause: string }[] = [
  { words: /database or disk is full|os error (?:28|122)\b/, cause: "its disk is full" },
  { words: /os error 30\b/, cause: "its disk can only be read" },
  { words: /readonly database|os error 13\b/, cause: "the file or its folder cannot be written to" },
  { words: /os error 2\b/, cause: "its folder is missing" },
  { words: /os error 20\b/, cause: "what it is below is no folder" },
  {
    words: /(?:database|table) is locked/,
    cause: "another program holds it locked, perhaps a sqlite3 with an open transaction",
  },
  { words: /malformed|not a database/, cause: "the file is damaged" },
  { words: /disk I\/O error|os error 5\b/, cause: "its disk fails: disk I/O error" },
  { words: /unable to open/, cause: "it cannot be opened: it, its folder or its disk is missing or not ours to use" },
];

/** What it means for the file; undefined: there are no better words than its own. */
export function causeOf(error: unknown): string | undefined {
  const words = reasonOf(error);
  return CAUSES.find(({ words: each }) => each.test(words))?.cause;
}

/** The file itself is broken: no retry will help. */
export function isDamage(error: unknown): boolean {
  return isSqlite(error) && /malformed|not a database/.test(reasonOf(error));
}

/** Somebody else has it for a moment; the connection is as good as before. */
export function isLocked(error: unknown): boolean {
  return isSqlite(error) && /(?:database|table) is locked/.test(reasonOf(error));
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
  const words = reasonOf(error);
  const said = (cause: string, kind: "retry" | "fatal" = "retry") =>
    new SinkError(kind, `Cannot ${attempt} the store ${path} as ${cause}`, { cause: error });
  if (error instanceof Deno.errors.NotCapable) return said(reasonOf(error), "fatal");
  if (isSqlite(error)) {
    if (/constraint failed|syntax error|datatype mismatch/.test(words)) return error;
    return said(causeOf(error) ?? words);
  }
  // files fail with many classes, of which some are plain Errors; a TypeError and its kin are bugs
  if (
    error instanceof Error &&
    (Object.values(Deno.errors).some((kind) => error instanceof kind) || /os error/.test(words))
  ) {
    return said(causeOf(error) ?? words);
  }
  return error;
}

/** In a folder, and no folder itself: what cannot become one by waiting is a wrong setting. */
function refuseWrongPlace(path: string, folder: string): void {
  const refuse = (what: string) => {
    throw new SinkError("fatal", `Cannot use the store ${path} as it must be a regular file: it is ${what}`);
  };
  if (path === folder) refuse("a folder");
  for (let above = folder.replace(/[/\\]+$/, ""); above !== ""; above = above.replace(/[/\\]*[^/\\]*$/, "")) {
    let stat: Deno.FileInfo | undefined;
    try {
      stat = statOf(above);
    } catch (error) {
      // below a file, or not to be looked at: what is above it tells, or whoever uses it
      if (!(error instanceof Deno.errors.NotADirectory || error instanceof Deno.errors.NotCapable)) throw error;
      continue;
    }
    if (stat === undefined) continue;
    if (!stat.isDirectory) refuse(`below ${above}, which is ${kindOf(stat) ?? "a file"}`);
    break;
  }
  const stat = statOf(path);
  const what = stat === undefined ? undefined : kindOf(stat);
  if (what !== undefined) refuse(what);
}

/** What stands at a path; "unclear": a database whose header does not tell. */
type Found = "new" | "ours" | "backup" | "damaged" | "foreign" | "unclear";

/**
 * By its header: nothing yet, a database of ours, a backup of one, one that is damaged, or something that is none of our business.
 *
 * @param wasLocked where our lock lies beside it the file was ours
 */
function inspect(file: Deno.FsFile, wasLocked: boolean): Found {
  const { length, isSqlite, isZeros, applicationId } = headerOf(file);
  if (length === 0) return "new";
  if (!isSqlite) return isZeros || wasLocked ? "damaged" : "foreign";
  if (applicationId === APPLICATION_ID) return "ours";
  return applicationId === BACKUP_ID ? "backup" : "unclear";
}

/** By its content, as of a new database the header may still be in the WAL. */
function inspectContent(path: string, wasLocked: boolean): Found {
  try {
    using db = new DatabaseSync(path, { readOnly: true });
    if (pragma(db, "application_id") === APPLICATION_ID) return "ours";
    return Number(db.prepare("SELECT count(*) AS n FROM sqlite_master").get()?.n) === 0 ? "ours" : "foreign";
  } catch (error) {
    if (isDamage(error)) return wasLocked ? "damaged" : "foreign";
    throw error;
  }
}

/**
 * SQLite keeps the newest ticks beside the name that it was given: opened by another name the file would be without them, and
 * nothing tells which name they are beside.
 */
function refuseLinked(path: string, { nlink }: Deno.FileInfo, kind: "fatal" | "retry"): void {
  if ((nlink ?? 1) < 2) return;
  throw new SinkError(
    kind,
    `Cannot use the store ${path}: it has ${nlink} names (hard links), and the newest ticks lie in a -wal file beside only ` +
      "one of them. Remove the other names (find -samefile)",
  );
}

function refuseForeign(path: string): never {
  throw new SinkError(
    "fatal",
    `Cannot use the store ${path} as it must be a file of this program: it is something else, and was left alone`,
  );
}

/** Moves the database and what belongs to it to another name, under which `sqlite3` can still open it. */
function moveAside(path: string, now: number, tell: Tell, why: string): void {
  const name = `${path}.damaged-${new Date(now).toISOString().slice(0, 19).replaceAll(":", "-")}Z`;
  let aside = name;
  for (let n = 2; statOf(aside) !== undefined; n++) aside = `${name}-${n}`;
  for (const suffix of ["", ...SQLITE_SUFFIXES]) {
    try {
      Deno.renameSync(path + suffix, aside + suffix);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  tell("error", "The store was damaged: its file was moved aside, a new one begins", { path, aside, why });
}

/** The lock of a store's name: held as long as the file is open, and freed by the system however the program ends. */
function lock(path: string, lockPath: string, isFirst: boolean): Deno.FsFile {
  const file = Deno.openSync(lockPath, { read: true, write: true, create: true });
  const words = new Uint8Array(20);
  const owner = decoder.decode(words.subarray(0, file.readSync(words) ?? 0)).replace(/[\s\0]/g, "");
  if (!/^\d*$/.test(owner)) {
    file.close();
    throw new SinkError(
      "fatal",
      `Cannot use the store ${path}: expected ${lockPath} beside it to be its lock, or not there, found something else; ` +
        "it was left alone",
    );
  }
  if (file.tryLockSync(true)) {
    try {
      file.truncateSync(0);
      file.seekSync(0, Deno.SeekMode.Start);
      file.writeSync(encoder.encode(`${Deno.pid}\n`));
    } catch {
      // the disk is full, as the store itself will say: the lock holds without the number, and left behind it would hold for ever
    }
    return file;
  }
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

/** Locks the file itself: see {@link Guard}. */
function take(path: string, real: string, guard: Guard, isFirst: boolean): void {
  guard.open(real);
  if (guard.lock()) return;
  throw new SinkError(
    isFirst ? "fatal" : "retry",
    `Cannot open the store ${path} as another program writes to the same file under another name (a bind mount); only ` +
      "one can: stop that program, or give this one a file of its own with STORE_FILE",
  );
}

/** Opens the file that the guard holds. */
function openGuarded(real: string, guard: Guard): DatabaseSync {
  try {
    return openSqlite(real);
  } catch (error) {
    if (!isLocked(error) || !guard.isLocked) throw error;
    // on a network file system both kinds of lock may be one, and our own keeps SQLite out
    guard.unlock();
    const db = openSqlite(real);
    guard.lock();
    return db;
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
 * @param ownGuard of a program that opens the store again and may still read from the file; the caller disposes of it
 */
export function openDatabase(
  path: string,
  isFirst: boolean,
  now: () => number,
  tell: Tell,
  ownGuard?: Guard,
): OpenDatabase {
  const guard = ownGuard ?? new Guard();
  const letGo = () => ownGuard === undefined ? guard[Symbol.dispose]() : guard.unlock();
  const attempt = (): { db: DatabaseSync; replaces: boolean; file: Deno.FsFile; real: string; lockPath: string } => {
    refuseWrongPlace(path, path.replace(/[^/\\]*$/, ""));
    Deno.mkdirSync(dirname(realPathOf(path)), { recursive: true });
    const real = realPathOf(path);
    const lockPath = `${real}.lock`;
    // the lock stays beside the file for ever: where it lies alone there was a file
    const wasLocked = statOf(lockPath) !== undefined;
    let kind: Found = "new";
    if (statOf(real) !== undefined) {
      guard.open(real);
      kind = inspect(guard.file, wasLocked);
      if (kind !== "foreign") refuseLinked(path, guard.file.statSync(), isFirst ? "fatal" : "retry");
    }
    const wasLost = kind === "new" && wasLocked;
    if (kind === "foreign") refuseForeign(path);
    const file = lock(path, lockPath, isFirst);
    let db: DatabaseSync | undefined;
    try {
      take(path, real, guard, isFirst);
      // under another name than that of a running program SQLite would not see its WAL: so not before the lock
      if (kind === "unclear") kind = inspectContent(real, wasLocked);
      if (kind === "foreign") refuseForeign(path);
      if (kind === "damaged") {
        moveAside(real, now(), tell, "it does not begin as a database does");
        take(path, real, guard, isFirst);
      }
      if (kind === "backup") {
        const removed = adoptBackup(real, guard.file);
        tell("info", "A backup was put in place of the store: it is the store from now on", {
          path,
          ...(removed.length > 0 ? { removed: removed.join(", ") } : {}),
        });
      }
      if (wasLost) tell("error", "The store's file was lost, a new one begins", { path });
      let replaces = kind === "damaged" || wasLost;
      const open = () => {
        db = openGuarded(real, guard);
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
        moveAside(real, now(), tell, reasonOf(error));
        take(path, real, guard, isFirst);
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
    const { identity } = guard;
    const lockIdentity = identityOf(lockPath);
    return {
      db,
      replaces,
      isInPlace: () =>
        identityOf(real) === identity && identityOf(lockPath) === lockIdentity && statOf(`${real}-wal`) !== undefined,
      close() {
        closeQuietly(db);
        try {
          letGo();
          file.close();
        } catch {
          // closed already
        }
      },
    };
  } catch (error) {
    if (isFirst) guard[Symbol.dispose]();
    else letGo();
    throw storeErrorOf(error, path, "open");
  }
}

/** Moves a damaged file aside that is open nowhere; throws a SinkError where that fails. */
export function putAside(path: string, why: unknown, now: () => number, tell: Tell): void {
  try {
    moveAside(realPathOf(path), now(), tell, reasonOf(why));
  } catch (error) {
    throw storeErrorOf(error, path, "move aside");
  }
}

function refuseUnreadable(path: string): void {
  const real = realPathOf(path);
  using file = Deno.openSync(real);
  const wasLocked = statOf(`${real}.lock`) !== undefined;
  let kind = inspect(file, wasLocked);
  // a backup was never written through a WAL
  if (kind !== "backup" && kind !== "foreign") refuseLinked(path, file.statSync(), "fatal");
  if (kind === "unclear") kind = inspectContent(real, wasLocked);
  if (kind === "foreign") refuseForeign(path);
  if (kind === "backup" && SQLITE_SUFFIXES.some((suffix) => statOf(real + suffix) !== undefined)) {
    // SQLite would mix them
    throw new SinkError(
      "retry",
      `Cannot read the store ${path} as it is a backup that was put there, and what is beside it belongs to the store ` +
        "before: the program puts that right when it runs",
    );
  }
}

/**
 * Opens the store for reading only, as others may while it is written. Throws SinkErrors.
 *
 * @param isOpenHere this process may have it open for writing, and knows it as ours; see {@link Guard}
 */
export function openForReading(path: string, isOpenHere = false): DatabaseSync {
  try {
    const stat = statOf(path);
    if (stat === undefined) {
      throw new SinkError("retry", `Cannot read the store ${path} as there is no such file`);
    }
    const what = kindOf(stat);
    if (what !== undefined) {
      throw new SinkError("fatal", `Cannot read the store ${path} as it must be a regular file: it is ${what}`);
    }
    if (!isOpenHere) refuseUnreadable(path);
    const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS });
    try {
      db.exec("PRAGMA cache_size = -4096");
      const id = pragma(db, "application_id");
      const version = pragma(db, "user_version");
      if (id !== APPLICATION_ID && id !== BACKUP_ID) {
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
