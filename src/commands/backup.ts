// `deno task backup`: a copy of the store, also while the program writes.

import { readArguments } from "../config/arguments.ts";
import { ConfigError, reasonOf, SinkError } from "../core/errors.ts";
import { type Output, wrongPath } from "../core/terminal.ts";
import { causeOf, closeQuietly, isDamage, openForReading, storeErrorOf } from "../store/database.ts";
import { copyAsBackup, kindOf, SQLITE_SUFFIXES } from "../store/header.ts";
import { asksForHelp } from "./command.ts";
import { storeFileOf } from "./store_file.ts";

/** How `deno task backup` is used. */
export const BACKUP_USAGE = `Usage: deno task backup [options] FILE

Writes a copy of the store to FILE, whole and of one moment, also while the program runs. To go back to it: stop the program, put
the copy where the store was (cp FILE data/prices.sqlite), and start the program before anybody else opens it. The copy bears a
mark: by it the program knows that what an earlier run left beside the store (-wal, -shm) is not of this file, and removes that.

  --overwrite                    FILE may be there already, as a regular file: no device, no link, no running store
  --file FILE                    the store; default the setting STORE_FILE
`;

/**
 * `deno task backup FILE`. Throws a ConfigError with all that is wrong with the arguments, a SinkError where the store cannot be
 * read or the copy not be written.
 *
 * @param storeFile the setting STORE_FILE
 */
export async function backupStore(args: readonly string[], storeFile: string, output: Output): Promise<void> {
  if (asksForHelp(args)) return await output.write(BACKUP_USAGE);
  const given = readArguments(args, { values: ["--file"], flags: ["--overwrite"], takesWords: true });
  const { options, words: [to = "", ...more], problems } = given;
  const file = storeFileOf(given, storeFile, "back up");
  if (to === "" || more.length > 0) {
    problems.push(`Cannot back up as one file to write to must be named: arguments are "${args.join(" ")}"`);
  } else {
    const problem = wrongPath("FILE", to) ?? await wrongTarget(to, file, options.has("--overwrite"));
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const part = `${to}.part-${Deno.pid}`;
  const db = openForReading(file);
  try {
    // one state of the file for as long as it takes: a copy that starts over at each commit would never end
    readSource(db, file);
    // SQLite would say that it is unable to open it, the system says why
    (await Deno.open(part, { write: true, createNew: true }).catch((error) => {
      throw backupError(error, to);
    })).close();
    try {
      await copyAsBackup(db, part);
      using copy = await Deno.open(part, { read: true, write: true });
      await copy.sync();
      await Deno.rename(part, to);
      const { size } = await copy.stat();
      output.tell(`${to}: ${(size / 1e6).toFixed(1)} MB\n`);
    } catch (error) {
      for (const suffix of ["", ...SQLITE_SUFFIXES]) await Deno.remove(part + suffix).catch(() => {});
      throw isDamage(error) ? storeErrorOf(error, file, "back up") : backupError(error, to);
    }
  } finally {
    closeQuietly(db);
  }
}

function readSource(db: ReturnType<typeof openForReading>, file: string): void {
  try {
    db.exec("BEGIN");
    db.prepare("SELECT count(*) FROM product").get();
  } catch (error) {
    throw storeErrorOf(error, file, "back up");
  }
}

/** Why nothing may be written there, in one sentence. */
async function wrongTarget(to: string, file: string, mayOverwrite: boolean): Promise<string | undefined> {
  // the program's own files, also where they are not there now: another program's lock is as good as ours
  const own = /(?:-wal|-shm|-journal|\.lock)$/i.exec(to)?.[0];
  if (own !== undefined) {
    return `Cannot back up to ${to} as its name must not end as that of a store's own files does: it ends in ${own}`;
  }
  const target = await lookAt(to);
  if (typeof target === "string") return target;
  if (to === file || await isSameFile(to, file)) return `Cannot back up to ${to} as it is the store itself`;
  if (target === undefined) return undefined;
  const what = kindOf(target);
  if (what !== undefined) {
    return `Cannot back up to ${to} as it must be a regular file, or not there yet: it is ${what}`;
  }
  if (!mayOverwrite) return `Cannot back up to ${to} as it is there already: --overwrite allows it`;
  if (await isInUse(to)) return `Cannot back up to ${to} as no program must be writing to it: one holds ${to}.lock`;
  return undefined;
}

/** What is there, itself and not what it leads to; undefined: nothing. A sentence where nothing can be. */
async function lookAt(path: string): Promise<Deno.FileInfo | string | undefined> {
  const folder = path.replace(/[^/\\]*$/, "") || ".";
  const refuse = (why: string) => `Cannot back up to ${path} as its folder must be there: ${folder} is ${why}`;
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotADirectory) return refuse("no folder");
    if (error instanceof Deno.errors.NotCapable) {
      return `Cannot back up to ${path} as it must be a place that can be used: ${reasonOf(error)}`;
    }
    if (!(error instanceof Deno.errors.NotFound)) throw backupError(error, path);
  }
  return await exists(folder) ? undefined : refuse("missing");
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    // what else is wrong with it, whoever writes there meets
    return !(error instanceof Deno.errors.NotFound);
  }
}

/** Whether another program has this file as its store. */
async function isInUse(path: string): Promise<boolean> {
  try {
    using lock = await Deno.open(`${path}.lock`, { read: true, write: true });
    return !await lock.tryLock(true);
  } catch {
    // there is none, or it is not ours to look at
    return false;
  }
}

/** Also under another name. */
async function isSameFile(path: string, other: string): Promise<boolean> {
  try {
    const a = await Deno.stat(path), b = await Deno.stat(other);
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    // one of them is missing, or cannot be looked at: the copy will tell
    return false;
  }
}

function backupError(error: unknown, to: string): unknown {
  if (error instanceof SinkError || error instanceof ConfigError || error instanceof TypeError) return error;
  const cause = causeOf(error);
  const words = cause === undefined ? `: ${reasonOf(error)}` : ` as ${cause}`;
  return new SinkError("fatal", `Cannot back up to ${to}${words}`, { cause: error });
}
