// The typed errors, and the exit code of each.

/** Settings or arguments that cannot be used, all in one error. Exit 2, before any connection. */
export class ConfigError extends Error {
  /** Name of the class. */
  override name = "ConfigError";
  /** One sentence each: what was attempted, what was expected, and the value found. */
  readonly problems: readonly string[];

  /** Takes one sentence for each problem. */
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** At the start, the exchange refuses every product, the channel or the login. Exit 3. */
export class RefusedError extends Error {
  /** Name of the class. */
  override name = "RefusedError";
}

/** A connection could not be opened, or broke. The source waits and tries again. */
export class ConnectionError extends Error {
  /** Name of the class. */
  override name = "ConnectionError";
}

/**
 * What a failed write means: `retry`: try the same batch again later; `drop`: one of its records will never be accepted;
 * `fatal`: nothing will ever be accepted (for example a refused login).
 */
export type SinkErrorKind = "retry" | "drop" | "fatal";

/** A sink could not connect or store a batch. Exit 4 if it ends the program. */
export class SinkError extends Error {
  /** Name of the class. */
  override name = "SinkError";
  /** What the pipeline must do now. */
  readonly kind: SinkErrorKind;

  /** The cause is the error of the library. */
  constructor(kind: SinkErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** The program was stopped, and not all ticks could be stored in time. Exit 5. */
export class DrainError extends Error {
  /** Name of the class. */
  override name = "DrainError";
  /** Ticks that were received and not stored, the sum over all sinks. */
  readonly left: number;

  /** The message must contain the number too. */
  constructor(left: number, message: string) {
    super(message);
    this.left = left;
  }
}

/** The exit code of the process: 2 settings, 3 exchange, 4 sink, 5 ticks were left, 1 a bug. */
export function exitCodeFor(error: unknown): number {
  if (error instanceof ConfigError) return 2;
  if (error instanceof RefusedError) return 3;
  if (error instanceof SinkError) return 4;
  if (error instanceof DrainError) return 5;
  return 1;
}

/** The error and its causes, outermost first. */
export function chainOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let each = error; each instanceof Error && chain.length < 10; each = each.cause) chain.push(each);
  return chain;
}

/** The message of an error. If Deno denies a permission, its own text advises `--allow-all`, which is not the solution. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name !== "NotCapable") return error.message;
  const [, kind = "", what] = /^Requires (\w+) access to (.+?)(?:, run again with .*)?$/s.exec(error.message) ?? [];
  if (what === undefined) return error.message;
  // Deno opens no file in /proc, /dev and /sys unless the program has all permissions
  if (kind === "all") return `this program may not use ${what}: choose a place outside of /proc, /dev and /sys`;
  return `this program was started without the right to ${what} (--allow-${kind})`;
}
