// Reads the arguments of a command.

import { parseArgs } from "node:util";
import { listOf } from "./setting.ts";

/** What a command accepts. */
export interface Accepted {
  /** Names of options with a value, such as `--file`. */
  readonly values?: readonly string[];
  /** Names of options without a value. */
  readonly flags?: readonly string[];
  /** Whether there may be other words, such as the name of a file. */
  readonly takesWords?: boolean;
  /** The error message for an unknown argument. */
  readonly refuse?: (arg: string) => string;
}

/** Arguments that were understood, and an error message for each that was not. */
export interface Arguments {
  /** By name with its `--`; a flag has an empty text. */
  readonly options: ReadonlyMap<string, string>;
  /** Arguments that are not options; `-` is one of them. */
  readonly words: readonly string[];
  /** In the order of the arguments; the caller may add its own. */
  readonly problems: string[];
}

/** Reads `--name value` and `--name=value`; a value may begin with a dash. Everything after `--` is a word. */
export function readArguments(
  args: readonly string[],
  {
    values = [],
    flags = [],
    takesWords = false,
    refuse = (arg) =>
      `Cannot use ${arg.startsWith("--") ? arg.split("=")[0] : `"${arg}"`}: there is no such option, see --help`,
  }: Accepted,
): Arguments {
  const options = new Map<string, string>();
  const words: string[] = [];
  const problems: string[] = [];
  const types = [
    ...values.map((name) => [name.slice(2), { type: "string" }] as const),
    ...flags.map((name) => [name.slice(2), { type: "boolean" }] as const),
  ];
  // not strict: it would throw at the first problem
  const { tokens } = parseArgs({ args: [...args], options: Object.fromEntries(types), strict: false, tokens: true });
  for (const [i, token] of tokens.entries()) {
    const arg = args[token.index] ?? "";
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      if (takesWords) words.push(arg);
      else problems.push(refuse(arg));
      continue;
    }
    const { rawName: name, value } = token;
    if (!values.includes(name) && !flags.includes(name)) {
      // of "-abc" each letter is a token
      if (tokens[i - 1]?.index !== token.index) problems.push(refuse(arg));
      continue;
    }
    if (options.has(name)) problems.push(`Cannot use ${name}: expected it once, got it twice`);
    if (flags.includes(name)) {
      if (value === undefined) options.set(name, "");
      else problems.push(`Cannot use ${name}: expected no value, got "${value}"`);
    } else if (value === undefined) problems.push(`Cannot use ${name}: expected a value, see --help`);
    else options.set(name, value);
  }
  return { options, words, problems };
}

/** The choice that an option names, or the usual one if it is not given. Adds a problem for anything else. */
export function choiceOf<T extends string>(
  { options, problems }: Arguments,
  name: string,
  choices: readonly T[],
  usual: T,
): T {
  const value = options.get(name) ?? usual;
  const chosen = choices.find((choice) => choice === value);
  if (chosen === undefined) {
    problems.push(`Cannot use ${name}: expected ${listOf(choices)}, got "${value}"`);
  }
  return chosen ?? usual;
}
