// For commands in a terminal: their output, and the times and paths in their arguments.

/** The output of a command. */
export interface Output {
  /** Writes the result; rejects with BrokenPipe if the reader is gone. */
  write(text: string): Promise<void>;
  /** Writes a message to the user that is not part of the result. */
  tell(text: string): void;
}

/** The format of {@link secondsOf}, for messages. */
export const SECONDS_WISH = "unix seconds like 1700000000 or 1700000000.25";
/** The format of {@link timeOf}, for messages. */
export const TIME_WISH = `${SECONDS_WISH}, or a date like 2026-10-03T21:00:00Z`;

/** The end of the year 9999. Milliseconds of any day since 1978 are larger. */
const LAST_SECOND = 253_402_300_799;

/** Unix seconds, with or without a fraction; NaN for anything else, also for milliseconds. */
export function secondsOf(text: string): number {
  const value = /^\d{1,12}(?:\.\d{1,20})?$/.test(text) ? Number(text) : NaN;
  return value <= LAST_SECOND ? value : NaN;
}

/** Reads unix seconds, or an ISO date, as unix seconds. A date without a time zone is UTC. */
export function timeOf(text: string): number {
  // by the standard, a date without an hour is UTC, but one with an hour and no zone is local time: here both are UTC
  const [, day, hour = "T00:00", zone = "Z"] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? [];
  return day === undefined ? secondsOf(text) : Date.parse(`${day}T${hour.replace("T", "")}${zone}`) / 1000;
}

/** What is wrong with a path, as a sentence; undefined if nothing is. Only a shell expands `~`; here it would name a folder. */
export function wrongPath(name: string, path: string): string | undefined {
  if (!path.startsWith("~")) return undefined;
  return `Cannot use ${name}: expected a path that does not begin with "~", which only a shell expands, got "${path}" ` +
    '(write it in full: "/home/me/prices.sqlite"; for a file of that name: "./~name")';
}
