// Tests that need something which may be missing on this machine: a server, a permission, a command.

import { granted } from "./process.ts";

/**
 * Defines a test. If something is missing the test is skipped, and its name says why.
 *
 * @param missing what is missing and how to get it, in one sentence; undefined if the test can run
 */
export function serverTest(
  missing: string | undefined,
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  const skipped = missing === undefined ? "" : ` [skipped: ${missing}]`;
  Deno.test({ name: `${name}${skipped}`, ignore: missing !== undefined, fn });
}

/** Why the program cannot be started as a process here; undefined if it can. Never prompts. */
export function programMissing(): string | undefined {
  if (granted({ name: "run", command: Deno.execPath() })) return undefined;
  return "starting the program needs --allow-run: use deno task test";
}
