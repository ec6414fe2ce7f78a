// Which store the export, backup and restore commands use.

import type { Arguments } from "../config/arguments.ts";
import { wrongPath } from "../core/terminal.ts";

/** The file that `--file` or the setting names. What is wrong with it goes to the problems. */
export function storeFileOf({ options, problems }: Arguments, setting: string, attempt: string): string {
  const chosen = options.get("--file");
  const file = chosen ?? setting;
  const problem = file === ""
    ? `Cannot ${attempt} as a store must be named by STORE_FILE or --file: current value is ""`
    : wrongPath(chosen === undefined ? "STORE_FILE" : "--file", file);
  if (problem !== undefined) problems.push(problem);
  return file;
}
