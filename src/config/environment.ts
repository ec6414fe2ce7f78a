// Where settings come from: the environment and the file .env. Finds misspelt names, and values in .env that would be misread.

import { parse } from "@std/dotenv";
import { ConfigError, reasonOf } from "../core/errors.ts";
import { SETTINGS } from "./config.ts";
import { type Environment, mayBeFile, type Setting } from "./setting.ts";
import { readTextFileSync } from "./text_file.ts";

/** Settings by name, and by the name with `_FILE`. */
function byName(settings: readonly Setting[]): Map<string, Setting> {
  return new Map(
    settings.flatMap((setting) =>
      (mayBeFile(setting) ? ["", "_FILE"] : [""]).map((suffix) => [setting.name + suffix, setting] as const)
    ),
  );
}
const BY_NAME = byName(SETTINGS);

/**
 * The environment, and below it `.env` of the current folder. Throws a ConfigError if that file cannot be used.
 *
 * @param more settings of the command in addition to those of the program
 */
export function readEnvironment(more: readonly Setting[] = []): Environment {
  const own = Deno.env.toObject();
  let file = {};
  try {
    const text = readTextFileSync(".env");
    const problems = problemsInDotEnv(text, own, [...SETTINGS, ...more]);
    if (problems.length > 0) throw new ConfigError(problems);
    file = parse(text);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new ConfigError([`Cannot read .env: ${reasonOf(error)}`]);
    }
  }
  return { values: { ...file, ...own }, readFile: readTextFileSync };
}

/** The Levenshtein distance of two texts, at most 3. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return Math.min(3, row[b.length] as number);
}

/** A message for each name that is almost that of a setting. */
export function hintsFor(names: Iterable<string>): string[] {
  const hints: string[] = [];
  for (const name of names) {
    if (BY_NAME.has(name)) continue;
    const bare = name.replace(/_FILE$/, "");
    // one letter in six may differ, at most two: HOME is not HOST, and KAFKA_URL is not KAFKA_SSL
    const near = SETTINGS.find((setting) =>
      distance(bare, setting.name) <= Math.min(2, Math.floor(setting.name.length / 6))
    );
    if (near === undefined) continue;
    const meant = name !== bare && mayBeFile(near) ? `${near.name}_FILE` : near.name;
    hints.push(`${name} is not a setting: did you mean ${meant}?`);
  }
  return hints;
}

/** A name, its value if that is in quotes, and the rest of the line. */
const DOT_ENV_LINE = /^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=[ \t]*('[^']*'|"(?:\\[^]|[^"\\])*"|)([^\r\n]*)/gm;

/**
 * Finds settings in the text of a `.env` whose value would be misread: `@std/dotenv` ends a value without quotes at `#`, and
 * replaces `$NAME` in it, by the word "undefined" if that name is not set. Allowed are ` # ` before a comment, and `${NAME}`
 * if the file or the environment sets that name. Finds lines that set nothing, too, unless they are empty or comments. The
 * messages do not show the value, which may be a password.
 *
 * @param environment all names that are set outside of the file
 */
export function problemsInDotEnv(
  text: string,
  environment: Readonly<Record<string, string>>,
  settings: readonly Setting[] = SETTINGS,
): string[] {
  const known = byName(settings);
  const lines = [...text.matchAll(DOT_ENV_LINE)];
  const isSet = (name: string) => Object.hasOwn(environment, name) || lines.some((line) => line[1] === name);
  const problems: string[] = [];
  for (const [, name = "", quoted = "", rest = ""] of lines) {
    const setting = known.get(name);
    if (setting === undefined) continue;
    const why = quoted === ""
      ? troubleWithoutQuotes(rest.trim(), setting.secret === true, isSet)
      : /^\s*(?:#.*)?$/.test(rest)
      ? undefined
      : "something follows its closing quote";
    if (why === undefined) continue;
    const orFile = mayBeFile(setting) && name === setting.name
      ? `, or set ${name}_FILE to the path of a file with the value`
      : "";
    problems.push(`Cannot use ${name} in .env, because ${why}: put the whole value in single quotes${orFile}`);
  }
  // after a quote that is not closed, it is unknown where a line ends
  if (problems.length > 0) return problems;
  for (const [i, line] of text.replace(DOT_ENV_LINE, blank).split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    problems.push(`Cannot use line ${i + 1} of .env: expected NAME=value or a comment`);
  }
  return problems;
}

/** Keeps only the line ends. */
const blank = (assignment: string) => assignment.replace(/[^\n]/g, "");

/** Why a value without quotes would be misread, in words that follow "because"; undefined if it would not. */
function troubleWithoutQuotes(
  value: string,
  isSecret: boolean,
  isSet: (name: string) => boolean,
): string | undefined {
  if (/^['"]/.test(value)) return "its quote is not closed";
  // "abc#def"; in a secret also "abc #def"
  const comment = isSecret ? /^(?:[^#]*\s)?#(?:\s|$)/ : /^(?:[^#]*\s)?#/;
  if (value.includes("#") && !comment.test(value)) {
    return 'without quotes a "#" begins a comment';
  }
  const [meant = ""] = value.split("#");
  const rest = meant.replace(/\$\{(\w+)(:-[^}]+)?\}/g, (all, name, otherwise) => otherwise || isSet(name) ? "" : all);
  if (/\$[\w{]/.test(rest)) return 'without quotes "$" stands for the value of another name';
  return undefined;
}
