// Opens the SQLite file for writing or reading: refuses files that cannot be used, locks, migrates, and moves a damaged file
// aside.

import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { reasonOf, SinkError, type SinkErrorKind } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { STORED_INTERVALS } from "./candle_table.ts";
import {
  type FileKind,
  filesBeside,
  inspectContent,
  inspectHeader,
  kindOf,
  realPathOf,
  SQLITE_SUFFIXES,
  statOf,
} from "./file.ts";
import { FileLock, identityOf, lockName } from "./lock.ts";
import { APPLICATION_ID, migrate, pragma, VERSION } from "./schema.ts";
import { closeQuietly, isDamage, isLocked, storeErrorOf } from "./store_error.ts";

/** Receives what happens to the file. */
export type StoreLog = Pick<Logger, "info" | "warn" | "error">;

/** How long a statement waits for another program's lock, ms. */
const BUSY_MS = 500;

/** Throws if the path cannot become a regular file by waiting. */
function refuseWrongPath(path: string): void {
  const stat = statOf(path);
  const kind = stat === undefined ? undefined : kindOf(stat);
  const found = /[/\\]$/.test(path) ? "a folder" : kind;
  if (found === undefined) return;
  throw new SinkError("fatal", `Cannot use the store ${path}: expected a regular file, got ${found}`);
}

/**
 * SQLite keeps the newest ticks in a `-wal` file beside the name under which it opened the file. Under another name the store
 * would lack them, and nothing says which name has the `-wal`.
 */
function refuseLinked(path: string, nlink: number | null | undefined, errorKind: SinkErrorKind): void {
  if ((nlink ?? 1) < 2) return;
  throw new SinkError(
    errorKind,
    `Cannot use the store ${path}: expected one name, got ${nlink} (hard links). The newest ticks are in a -wal file beside ` +
      "only one of them: remove the others (find -samefile)",
  );
}

/**
 * A file in rollback mode never had a `-wal` or `-journal` of its own that matters: it was copied over a store by hand, and SQLite
 * would mix the two.
 */
function refuseMixed(path: string, real: string, errorKind: SinkErrorKind): void {
  const beside = filesBeside(real).find((name) => !name.endsWith("-shm"));
  if (beside === undefined) return;
  throw new SinkError(
    errorKind,
    `Cannot use the store ${path}: expected no other file beside this backup, got ${beside}, which belongs to the store that ` +
      `was here before. Run: deno task restore ${path}`,
  );
}

function refuseForeign(path: string): never {
  throw new SinkError(
    "fatal",
    `Cannot use the store ${path}: expected a store of this program, got another file. It was not changed`,
  );
}

/** A file name that is not used yet: `<path>.<word>-<time>`. */
export function asideNameOf(path: string, word: string, now: number): string {
  const name = `${path}.${word}-${new Date(now).toISOString().slice(0, 19).replaceAll(":", "-")}Z`;
  let free = name;
  for (let n = 2; statOf(free) !== undefined; n++) free = `${name}-${n}`;
  return free;
}

/** Renames a damaged database and the files beside it, so that `sqlite3` can still open it. */
function moveAside(path: string, now: number, log: StoreLog, why: string): void {
  const aside = asideNameOf(path, "damaged", now);
  for (const suffix of ["", ...SQLITE_SUFFIXES]) {
    if (statOf(path + suffix) !== undefined) Deno.renameSync(path + suffix, aside + suffix);
  }
  log.error("The store was damaged: its file was moved aside, a new one begins", { path, aside, why });
}

/** Moves aside a damaged file that is not open. Throws a SinkError if that fails. */
export function putAside(path: string, why: unknown, now: () => number, log: StoreLog): void {
  try {
    moveAside(realPathOf(path), now(), log, reasonOf(why));
  } catch (error) {
    throw storeErrorOf(error, `move aside the store ${path}`);
  }
}

/** A path that this process has locked. */
export interface HeldStore {
  /** The path without symbolic links. */
  readonly real: string;
  /** What the file was. */
  readonly kind: FileKind;
  /** There was a store, and its file is gone. */
  readonly isLost: boolean;
  /** Gives the name back. If it was never a store, the lock file is removed. */
  release(isStore: boolean): void;
}

/**
 * Locks a store's name and file, and makes its folder. Throws if another program uses it, or if it is not a store.
 *
 * @param fileLock must be disposed of by the caller, after all connections
 * @param errorKind `fatal`, or `retry` while the program runs
 * @param isRestoring the file will be replaced: it is not made, and may have several names
 */
export function holdStore(
  path: string,
  fileLock: FileLock,
  errorKind: SinkErrorKind,
  isRestoring = false,
): HeldStore {
  refuseWrongPath(path);
  Deno.mkdirSync(dirname(realPathOf(path)), { recursive: true });
  const real = realPathOf(path);
  const lockPath = `${real}.lock`;
  const wasLocked = statOf(lockPath) !== undefined;
  const stat = statOf(real);
  if (!isRestoring) refuseLinked(path, stat?.nlink, errorKind);
  const nameLock = lockName(path, lockPath, errorKind);
  const release = (isStore: boolean) => {
    if (!wasLocked && !isStore) Deno.removeSync(lockPath);
    nameLock.close();
  };
  try {
    let kind: FileKind = "new";
    if (stat !== undefined || !isRestoring) {
      lockFile(path, real, fileLock, errorKind);
      kind = inspectHeader(fileLock.file, wasLocked) ?? inspectContent(real, wasLocked);
    }
    if (kind === "foreign") refuseForeign(path);
    return { real, kind, isLost: kind === "new" && wasLocked, release };
  } catch (error) {
    release(false);
    throw error;
  }
}

function lockFile(path: string, real: string, fileLock: FileLock, errorKind: SinkErrorKind): void {
  if (fileLock.lock(real)) return;
  throw new SinkError(
    errorKind,
    `Cannot use the store ${path}: another program is using the same file under another name (a bind mount). Stop that ` +
      "program, or set STORE_FILE to another file",
  );
}

/** Opens the file that is locked. */
function openLocked(real: string, fileLock: FileLock): DatabaseSync {
  try {
    return openSqlite(real);
  } catch (error) {
    if (!isLocked(error) || !fileLock.isLocked) throw error;
    // on a network file system both kinds of lock may be one, and ours keeps SQLite out
    fileLock.unlock();
    const db = openSqlite(real);
    fileLock.lock(real);
    return db;
  }
}

function openSqlite(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    const version = pragma(db, "user_version");
    if (version > VERSION) {
      throw new SinkError(
        "fatal",
        `Cannot use the store ${path}: expected version ${VERSION} or older, got ${version}, which a newer program wrote`,
      );
    }
    // An old backup gets the id of a store while it is in rollback mode. In the WAL, an earlier version of the program would not
    // see it and would delete the WAL.
    if (version > 0 && pragma(db, "application_id") !== APPLICATION_ID) {
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
    }
    // has an effect only before the first table
    db.exec("PRAGMA auto_vacuum = INCREMENTAL");
    const mode = db.prepare("PRAGMA journal_mode = WAL").get()?.journal_mode;
    if (mode !== "wal") {
      throw new SinkError(
        "retry",
        `Cannot use the store ${path}: expected a disk that supports SQLite's WAL, got ${mode}`,
      );
    }
    // A commit is in the WAL once it is confirmed, so no end of the program loses it. It is on the disk with the next checkpoint,
    // at most 10 s later: a power cut loses these seconds, never the file, and the restart gap of the next start begins there.
    db.exec("PRAGMA synchronous = NORMAL");
    db.exec("PRAGMA wal_autocheckpoint = 2000");
    db.exec("PRAGMA journal_size_limit = 67108864");
    db.exec("PRAGMA cache_size = -8192");
    db.exec("PRAGMA temp_store = MEMORY");
    return db;
  } catch (error) {
    closeQuietly(db);
    throw error;
  }
}

/** Reads what writing depends on, so that damage there shows at the start. */
function probe(db: DatabaseSync): void {
  for (const { id } of db.prepare("SELECT id FROM product").all()) {
    for (const length of STORED_INTERVALS) {
      db.prepare(`SELECT * FROM candle_${length} WHERE product = ? ORDER BY open_time DESC LIMIT 2`).all(Number(id));
    }
    db.prepare("SELECT * FROM tick WHERE product = ? ORDER BY sequence DESC LIMIT 1").all(Number(id));
    db.prepare("SELECT * FROM gap WHERE product = ? ORDER BY opened DESC LIMIT 1").all(Number(id));
  }
}

/** The database, open for writing. */
export interface OpenDatabase {
  /** The only connection that writes. */
  readonly db: DatabaseSync;
  /** It replaces a store that was damaged or lost. */
  readonly replaces: boolean;
  /** Whether the database, its WAL and its lock file are still those that were opened. */
  isInPlace(): boolean;
  /** Closes the connection and gives the locks back. Never throws. */
  close(): void;
}

/** Options of {@link openDatabase}. */
export interface OpenOptions {
  /** Receives what happens to the file. */
  readonly log: StoreLog;
  /** Wall clock, ms. */
  readonly now: () => number;
  /** A program that opens its store again passes its own lock, since it may still read from the file. It disposes of the lock. */
  readonly fileLock?: FileLock;
  /** False if the program opens it again: then another program's lock is no reason to end. Default true. */
  readonly isFirst?: boolean;
}

/**
 * Opens the store for writing. Makes it, its folder, and what an older version lacks. Throws SinkErrors: `fatal` if a person must
 * act, `retry` if it may work later.
 */
export function openDatabase(path: string, { log, now, fileLock: given, isFirst = true }: OpenOptions): OpenDatabase {
  const errorKind = isFirst ? "fatal" : "retry";
  const fileLock = given ?? new FileLock();
  let held: HeldStore | undefined;
  let db: DatabaseSync | undefined;
  const close = (isStore: boolean) => {
    if (db !== undefined) closeQuietly(db);
    try {
      if (given === undefined) fileLock[Symbol.dispose]();
      else fileLock.unlock();
      held?.release(isStore);
    } catch {
      // closed already
    }
  };
  try {
    const { real, kind, isLost } = held = holdStore(path, fileLock, errorKind);
    let replaces = isLost;
    const replaceDamaged = (why: string) => {
      moveAside(real, now(), log, why);
      lockFile(path, real, fileLock, errorKind);
      replaces = true;
    };
    const open = () => {
      fileLock.requireWritable();
      db = openLocked(real, fileLock);
      const found = migrate(db);
      if (found > 0 && found < VERSION) {
        log.info("The store was migrated to a newer version", { path, from: found, to: VERSION });
      }
      probe(db);
      return db;
    };
    if (kind === "backup") refuseMixed(path, real, errorKind);
    if (kind === "damaged") replaceDamaged("it does not begin with the header of a database");
    if (isLost) log.error("The store's file was lost, a new one begins", { path });
    let opened: DatabaseSync;
    try {
      opened = open();
    } catch (error) {
      if (!isDamage(error)) throw error;
      if (db !== undefined) closeQuietly(db);
      replaceDamaged(reasonOf(error));
      opened = open();
    }
    const { identity } = fileLock;
    const lockIdentity = identityOf(`${real}.lock`);
    return {
      db: opened,
      replaces,
      isInPlace: () =>
        identityOf(real) === identity && identityOf(`${real}.lock`) === lockIdentity &&
        statOf(`${real}-wal`) !== undefined,
      close: () => close(true),
    };
  } catch (error) {
    close(false);
    if (isFirst) fileLock[Symbol.dispose]();
    throw storeErrorOf(error, `open the store ${path}`);
  }
}

/**
 * Throws if the path is not a store that can be read.
 *
 * @param isRestoring a backup that was copied over a store by hand is accepted: only the file itself is read
 */
export function refuseUnreadable(path: string, isRestoring = false): FileKind {
  const stat = statOf(path);
  if (stat === undefined) throw new SinkError("retry", `Cannot read the store ${path}: no such file`);
  const found = kindOf(stat);
  if (found !== undefined) {
    throw new SinkError("fatal", `Cannot read the store ${path}: expected a regular file, got ${found}`);
  }
  const real = realPathOf(path);
  using file = Deno.openSync(real);
  const wasLocked = statOf(`${real}.lock`) !== undefined;
  const byHeader = inspectHeader(file, wasLocked);
  if (byHeader !== "backup" && byHeader !== "foreign") refuseLinked(path, stat.nlink, "fatal");
  const kind = byHeader ?? inspectContent(real, wasLocked);
  if (kind === "foreign") refuseForeign(path);
  if (kind === "backup" && !isRestoring) refuseMixed(path, real, "fatal");
  return kind;
}

/**
 * Opens the store for reading, also while a program writes to it. Throws SinkErrors.
 *
 * @param isOpenHere this process has it open for writing, so opening and closing the file would drop SQLite's locks (see
 * {@link FileLock})
 */
export function openForReading(path: string, isOpenHere = false): DatabaseSync {
  try {
    if (!isOpenHere) refuseUnreadable(path);
    const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS });
    try {
      db.exec("PRAGMA cache_size = -4096");
      const version = pragma(db, "user_version");
      if (version !== VERSION) {
        const advice = version < VERSION ? "the program migrates it when it starts" : "a newer program wrote it";
        throw new SinkError(
          "fatal",
          `Cannot read the store ${path}: expected version ${VERSION}, got ${version} (${advice})`,
        );
      }
      return db;
    } catch (error) {
      closeQuietly(db);
      throw error;
    }
  } catch (error) {
    throw storeErrorOf(error, `read the store ${path}`);
  }
}
