// The typed errors, and which exit code each of them means.

/** Settings or arguments that cannot be used: all of them, told at once. Exit 2, before any connection. */
export class ConfigError extends Error {
  /** Its class. */
  override name = "ConfigError";
  /** One sentence each: the attempt, the wish and the value. */
  readonly problems: readonly string[];

  /** One sentence for each problem. */
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** At the start the exchange refuses every product, the channel or the login. Exit 3. */
export class RefusedError extends Error {
  /** Its class. */
  override name = "RefusedError";
}

/** A connection could not be opened, or broke. Never ends the program: the source waits and tries again. */
export class ConnectionError extends Error {
  /** Its class. */
  override name = "ConnectionError";
}

/**
 * What a failed sink write means for the batch: `retry` the same batch again, later; `drop` one of its records will never
 * be taken; `fatal` nothing will ever be taken (a refused login).
 */
export type SinkErrorKind = "retry" | "drop" | "fatal";

/** A sink could not connect or store a batch. Exit 4 when it ends the program. */
export class SinkError extends Error {
  /** Its class. */
  override name = "SinkError";
  /** What the pipeline should do now. */
  readonly kind: SinkErrorKind;

  /** The cause is what the library threw. */
  constructor(kind: SinkErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** Asked to stop, and not all ticks could be stored in time. Exit 5. */
export class DrainError extends Error {
  /** Its class. */
  override name = "DrainError";
  /** Ticks taken from the exchange and stored nowhere, the sum over all sinks. */
  readonly left: number;

  /** Says how many ticks were left, as a number and in words. */
  constructor(left: number, message: string) {
    super(message);
    this.left = left;
  }
}

/** The process exit code that tells a supervisor what happened: 2 settings, 3 exchange, 4 sink, 5 not drained, 1 our bug. */
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

/** What an error says, for a message. Where Deno forbids something its own words advise `--allow-all`, which is no cure. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name !== "NotCapable") return error.message;
  const [, kind = "", what] = /^Requires (\w+) access to (.+?)(?:, run again with .*)?$/s.exec(error.message) ?? [];
  if (what === undefined) return error.message;
  // /proc, /dev and /sys: no file there is opened to a program that has not all rights
  if (kind === "all") return `this program may not use ${what}: choose a place outside of /proc, /dev and /sys`;
  return `this program was started without the right to ${what} (--allow-${kind})`;
}
