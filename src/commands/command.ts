// What every command gets, and where its output goes.

import type { Output } from "../core/terminal.ts";
import { writeAll, writeAllSync } from "../core/write_all.ts";

/** What the program hands to a command. */
export interface Context {
  /** Aborts at the first signal. A command may abort it, too. */
  readonly stop: AbortController;
  /** Called when a second signal ends the program at once: logs what is left undone. */
  onSecondSignal: () => void;
}

/** Resolves when the command has ended, with its exit code if that is not 0. */
export type Command = (args: readonly string[], context: Context) => Promise<number | void>;

/** The exit code after a second signal. */
export const SECOND_SIGNAL_EXIT = 130;

const encoder = new TextEncoder();

/** Results go to stdout, messages to stderr. */
export const stdio: Output = {
  write: (text) => writeAll(Deno.stdout, encoder.encode(text)),
  tell(text) {
    try {
      writeAllSync(Deno.stderr, encoder.encode(text));
    } catch {
      // stderr is closed; the exit code remains
    }
  },
};

/** Whether the arguments ask for the help text. */
export function asksForHelp(args: readonly string[]): boolean {
  return args.includes("--help") || args.includes("-h");
}
