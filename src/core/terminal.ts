// What the commands of a terminal share: times and paths as people write them, and where words go.

/** Where the words of a command go. */
export interface Output {
  /** Takes all of it; rejects with BrokenPipe when nobody reads any more. */
  write(text: string): Promise<void>;
  /** For words to a person, which do not belong to the answer. */
  tell(text: string): void;
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
