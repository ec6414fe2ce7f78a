// `deno task restore`: replaces the store with a backup.

import { readArguments } from "../config/arguments.ts";
import { ConfigError } from "../core/errors.ts";
import { type Output, wrongPath } from "../core/terminal.ts";
import { restore } from "../store/copy.ts";
import { asksForHelp } from "./command.ts";
import { storeFileOf } from "./store_file.ts";

/** How `deno task restore` is used. */
export const RESTORE_USAGE = `Usage: deno task restore [options] FILE

Replaces the store with a copy of FILE, which is a backup or another store. Stop the program first. The copy is checked from end
to end. The present store is kept under the name STORE.replaced-TIME.

  --file STORE                   the store to replace; default: the setting STORE_FILE
`;

/**
 * `deno task restore FILE`. Throws a ConfigError with all problems of the arguments, a SinkError if FILE or the store cannot be
 * used. Then the store is as before.
 *
 * @param storeFile the setting STORE_FILE
 * @param now wall clock, ms
 */
export async function restoreStore(
  args: readonly string[],
  storeFile: string,
  output: Output,
  now: () => number,
): Promise<void> {
  if (asksForHelp(args)) return await output.write(RESTORE_USAGE);
  const given = readArguments(args, { values: ["--file"], takesWords: true });
  const { words: [from = "", ...more], problems } = given;
  const store = storeFileOf(given, storeFile, "restore");
  const problem = from === "" || more.length > 0
    ? `Cannot restore: expected the name of one backup, got "${args.join(" ")}"`
    : wrongPath("FILE", from);
  if (problem !== undefined) problems.push(problem);
  if (problems.length > 0) throw new ConfigError(problems);
  const { bytes, aside } = await restore(from, store, now);
  output.tell(`${store}: restored from ${from}, ${(bytes / 1e6).toFixed(1)} MB\n`);
  if (aside !== undefined) output.tell(`${aside}: the store that was there before\n`);
}
