import { assertEquals } from "@std/assert";
import {
  ConfigError,
  ConnectionError,
  DrainError,
  exitCodeFor,
  reasonOf,
  RefusedError,
  SinkError,
} from "../../src/core/errors.ts";

const CODES: [error: unknown, code: number][] = [
  [new ConfigError(["a"]), 2],
  [new RefusedError("no"), 3],
  [new SinkError("fatal", "no"), 4],
  [new SinkError("retry", "away"), 4],
  [new DrainError(3, "late"), 5],
  [new ConnectionError("closed"), 1],
  [new TypeError("our bug"), 1],
  ["a text", 1],
  [undefined, 1],
];
for (const [error, code] of CODES) {
  Deno.test(`exitCodeFor() is ${code} for ${error instanceof Error ? `${error.name}: ${error.message}` : error}`, () => {
    assertEquals(exitCodeFor(error), code);
  });
}

Deno.test("ConfigError tells all problems, one a line", () => {
  const error = new ConfigError(["first", "second"]);
  assertEquals([error.name, error.message, error.problems], ["ConfigError", "first\nsecond", ["first", "second"]]);
});

Deno.test("SinkError keeps its kind and its cause", () => {
  const cause = new Error("refused");
  const error = new SinkError("drop", "Cannot write", { cause });
  assertEquals([error.name, error.kind, error.message], ["SinkError", "drop", "Cannot write"]);
  assertEquals(error.cause, cause);
});

Deno.test("DrainError carries the number of ticks left", () => {
  assertEquals([new DrainError(7, "late").left, new DrainError(7, "late").name], [7, "DrainError"]);
});

const REASONS: [error: unknown, reason: string][] = [
  [new Error("No such file"), "No such file"],
  ["a text", "a text"],
  [
    // as Deno 2.9.6 says it of CURSOR_FILE=/proc/foo/bar
    new Deno.errors.NotCapable('Requires all access to "/proc/foo/bar", run again with the --allow-all flag'),
    'this program may not use "/proc/foo/bar": choose a place outside of /proc, /dev and /sys',
  ],
  [
    new Deno.errors.NotCapable('Requires write access to "/etc/x", run again with the --allow-write flag'),
    'this program was started without the right to "/etc/x" (--allow-write)',
  ],
  [new Deno.errors.NotCapable("other words"), "other words"],
];
for (const [error, reason] of REASONS) {
  Deno.test(`reasonOf() of ${error} says what it means: ${reason}`, () => {
    assertEquals(reasonOf(error), reason);
  });
}
