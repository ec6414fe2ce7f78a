// `deno task backup`: a copy of the store, also while the program writes to it.

import { dirname } from "node:path";
import { readArguments } from "../config/arguments.ts";
import { ConfigError, reasonOf } from "../core/errors.ts";
import { type Output, wrongPath } from "../core/terminal.ts";
import { backUp, isSameFile } from "../store/copy.ts";
import { kindOf, statOf } from "../store/file.ts";
import { causeOf } from "../store/store_error.ts";
import { asksForHelp } from "./command.ts";
import { storeFileOf } from "./store_file.ts";

/** How `deno task backup` is used. */
export const BACKUP_USAGE = `Usage: deno task backup [options] FILE

Writes a copy of the store to FILE: one complete state, also while the program runs. deno task restore FILE puts it back.

  --overwrite                    replace FILE if it exists; it must be a regular file that no program uses
  --file FILE                    the store; default: the setting STORE_FILE
`;

/**
 * `deno task backup FILE`. Throws a ConfigError with all problems of the arguments, a SinkError if the store cannot be read or
 * the copy cannot be written.
 *
 * @param storeFile the setting STORE_FILE
 */
export async function backupStore(args: readonly string[], storeFile: string, output: Output): Promise<void> {
  if (asksForHelp(args)) return await output.write(BACKUP_USAGE);
  const given = readArguments(args, { values: ["--file"], flags: ["--overwrite"], takesWords: true });
  const { options, words: [to = "", ...more], problems } = given;
  const store = storeFileOf(given, storeFile, "back up");
  if (to === "" || more.length > 0) {
    problems.push(`Cannot back up: expected the name of one file to write to, got "${args.join(" ")}"`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const problem = wrongPath("FILE", to) ?? await wrongTarget(to, store, options.has("--overwrite"));
  if (problem !== undefined) throw new ConfigError([problem]);
  const bytes = await backUp(store, to);
  output.tell(`${to}: ${(bytes / 1e6).toFixed(1)} MB\n`);
}

/** Says why nothing may be written there; undefined if it may. */
async function wrongTarget(to: string, store: string, mayOverwrite: boolean): Promise<string | undefined> {
  const refuse = (expected: string, got: string) => `Cannot back up to ${to}: expected ${expected}, got ${got}`;
  // also if there is no such file now: writing to another program's lock file would be as bad as writing to ours
  const suffix = /(?:-wal|-shm|-journal|\.lock)$/i.exec(to)?.[0];
  if (suffix !== undefined) return refuse("a name that does not end like a file beside a store", suffix);
  let target: Deno.FileInfo;
  try {
    target = await Deno.lstat(to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      return `Cannot back up to ${to}: ${causeOf(error) ?? reasonOf(error)}`;
    }
    return statOf(dirname(to)) === undefined ? refuse("an existing folder", dirname(to)) : undefined;
  }
  if (isSameFile(to, store)) return refuse("another file than the store", "the store itself");
  const kind = kindOf(target);
  if (kind !== undefined) return refuse("a regular file or a new name", kind);
  if (!mayOverwrite) return `Cannot back up to ${to}: it exists (--overwrite replaces it)`;
  return await isInUse(to) ? `Cannot back up to ${to}: another program is using it and holds ${to}.lock` : undefined;
}

/** Whether another program has this file as its store. */
async function isInUse(path: string): Promise<boolean> {
  try {
    using lock = await Deno.open(`${path}.lock`, { read: true, write: true });
    return !await lock.tryLock(true);
  } catch {
    // there is no lock file, or no permission to open it
    return false;
  }
}
