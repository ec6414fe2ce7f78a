// Which store the export, backup and restore commands use.

import type { Arguments } from "../config/arguments.ts";
import { wrongPath } from "../core/terminal.ts";

/** The file that `--file` or the setting names. Adds a problem if it cannot be used. */
export function storeFileOf({ options, problems }: Arguments, setting: string, attempt: string): string {
  const chosen = options.get("--file");
  const file = chosen ?? setting;
  const problem = file === ""
    ? `Cannot ${attempt}: expected the name of a store in STORE_FILE or --file, got ""`
    : wrongPath(chosen === undefined ? "STORE_FILE" : "--file", file);
  if (problem !== undefined) problems.push(problem);
  return file;
}
