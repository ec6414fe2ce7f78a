// What the commands of a terminal share: their arguments, times and paths as people write them, and where words go.

/** Where the words of a command go. */
export interface Output {
  /** Takes all of it; rejects with BrokenPipe when nobody reads any more. */
  write(text: string): Promise<void>;
  /** For words to a person, which do not belong to the answer. */
  tell(text: string): void;
}

/** Arguments that were understood, and a sentence for each that was not. */
export interface Arguments {
  /** By name with its `--`; a flag has an empty text. */
  readonly options: ReadonlyMap<string, string>;
  /** In the order of the arguments; the caller may add its own. */
  readonly problems: string[];
}

/**
 * Reads `--name value` and `--name=value`.
 *
 * @param names options that have a value
 * @param flags options that have none
 * @param other takes any other argument: gives a sentence about what is wrong with it, or undefined
 */
export function readArguments(
  args: readonly string[],
  names: readonly string[],
  flags: readonly string[],
  other: (arg: string) => string | undefined,
): Arguments {
  const options = new Map<string, string>();
  const problems: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    const [name = "", ...more] = arg.split("=");
    // nobody knows which of the two is meant
    if (options.has(name)) problems.push(`Cannot use ${name} as it must be given once: it is given again`);
    if (flags.includes(name)) options.set(name, "");
    else if (names.includes(name)) {
      const value = more.length > 0 ? more.join("=") : args[++i];
      if (value === undefined) problems.push(`Cannot use ${name} as it needs a value: see --help`);
      else options.set(name, value);
    } else {
      const problem = other(arg);
      if (problem !== undefined) problems.push(problem);
    }
  }
  return { options, problems };
}

/** What {@link secondsOf} takes, in words. */
export const SECONDS_WISH = "unix seconds like 1700000000 or 1700000000.25";
/** What {@link timeOf} takes, in words. */
export const TIME_WISH = `${SECONDS_WISH}, or a date like 2026-10-03T21:00:00Z`;

/** The end of the year 9999. Milliseconds of any day since 1978 are beyond it. */
const LAST_SECOND = 253_402_300_799;

/** Unix seconds, with or without a fraction; NaN: the text is something else, also milliseconds. */
export function secondsOf(text: string): number {
  const value = /^\d{1,12}(?:\.\d{1,20})?$/.test(text) ? Number(text) : NaN;
  return value <= LAST_SECOND ? value : NaN;
}

/** As {@link secondsOf}, or an ISO date, as unix seconds. A date without a zone is UTC. */
export function timeOf(text: string): number {
  // a date without an hour is UTC by the standard, one with an hour and no zone is not: we say UTC to both
  const [, day, hour = "T00:00", zone = "Z"] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? [];
  return day === undefined ? secondsOf(text) : Date.parse(`${day}T${hour.replace("T", "")}${zone}`) / 1000;
}

/** What is wrong with a path, as a sentence; undefined: nothing. Only a shell expands `~`; here it would be a folder of that name. */
export function wrongPath(name: string, path: string): string | undefined {
  if (!path.startsWith("~")) return undefined;
  return `Cannot use ${name}: expected a path that does not begin with "~", which only a shell expands, got "${path}" ` +
    '(write it in full: "/home/me/prices.sqlite"; for a file of that name: "./~name")';
}
