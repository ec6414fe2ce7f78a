// The arguments of a command, as a person types them.

import { parseArgs } from "node:util";

/** What a command takes. */
export interface Accepted {
  /** Options that have a value, with their `--`. */
  readonly values?: readonly string[];
  /** Options that have none. */
  readonly flags?: readonly string[];
  /** Whether other words are taken too, such as the name of a file. */
  readonly takesWords?: boolean;
  /** The sentence about an argument that is not taken. */
  readonly refuse?: (arg: string) => string;
}

/** Arguments that were understood, and a sentence for each that was not. */
export interface Arguments {
  /** By name with its `--`; a flag has an empty text. */
  readonly options: ReadonlyMap<string, string>;
  /** Those that are no options, `-` too. */
  readonly words: readonly string[];
  /** In the order of the arguments; the caller may add its own. */
  readonly problems: string[];
}

/** Reads `--name value` and `--name=value`; a value may begin with a dash. After `--` all are words. */
export function readArguments(
  args: readonly string[],
  {
    values = [],
    flags = [],
    takesWords = false,
    refuse = (arg) =>
      `Cannot use ${arg.startsWith("--") ? arg.split("=")[0] : `"${arg}"`} as there is no such option: see --help`,
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
    // nobody knows which of the two is meant
    if (options.has(name)) problems.push(`Cannot use ${name} as it must be given once: it is given again`);
    if (flags.includes(name)) {
      if (value === undefined) options.set(name, "");
      else problems.push(`Cannot use ${name} as it takes no value: current value is "${value}"`);
    } else if (value === undefined) problems.push(`Cannot use ${name} as it needs a value: see --help`);
    else options.set(name, value);
  }
  return { options, words, problems };
}

/** The one of the choices that an option names, or the usual one. Anything else is a problem. */
export function choiceOf<T extends string>(
  { options, problems }: Arguments,
  name: string,
  choices: readonly T[],
  usual: T,
): T {
  const value = options.get(name) ?? usual;
  const chosen = choices.find((choice) => choice === value);
  if (chosen === undefined) {
    problems.push(`Cannot use ${name} as it must be ${choices.join(" or ")}: current value is "${value}"`);
  }
  return chosen ?? usual;
}
