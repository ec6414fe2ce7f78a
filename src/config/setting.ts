// What a setting is: a name, a kind of value, a default and a meaning. Reads settings from an environment and describes them.

import { reasonOf } from "../core/errors.ts";
import { wrongPath } from "../core/terminal.ts";

/** Where the values of settings come from. */
export interface Environment {
  /** All names with their texts. An empty text counts as not set, except where a setting may be empty. */
  readonly values: Readonly<Record<string, string>>;
  /** Reads the file that a `<NAME>_FILE` names. Throws if it cannot. */
  readonly readFile: (path: string) => string;
}

/** A kind of value, such as a whole number within bounds. */
export interface Kind<T> {
  /** What the value must be, in words that follow "expected". */
  readonly expected: string;
  /** Turns the text into the value. Throws a WrongValue if it cannot. The empty text is one that can be the default. */
  readonly parse: (text: string) => T;
  /** Never shown, and also read from the file that `<NAME>_FILE` names. */
  readonly secret?: true;
  /** Not secret, but also read from the file that `<NAME>_FILE` names. */
  readonly file?: true;
  /** The path of a file. */
  readonly path?: true;
  /** An empty text is a value, and not the same as the default. */
  readonly mayBeEmpty?: true;
}

/** One setting. */
export interface Setting<T = unknown> extends Kind<T> {
  readonly name: string;
  /** As text, as it would be written in the environment. */
  readonly default: string;
  /** What it does, with its unit. */
  readonly meaning: string;
}

/** Settings under the names that the code uses. */
export type Settings = Readonly<Record<string, Setting>>;

/** The values of such settings: each is what its `parse` returns. */
export type ValuesOf<S extends Settings> = { readonly [Name in keyof S]: ReturnType<S[Name]["parse"]> };

/** A text that is not a value of its kind. The message says what was found, in words that follow "got". */
export class WrongValue extends Error {}

/** The text is not a value of its kind. */
export function isNot(text: string): WrongValue {
  // an address may contain a login
  return new WrongValue(JSON.stringify(text.replace(/[^\s/]+@/g, "...@")));
}

/** A setting of that kind. */
export function setting<T>(name: string, kind: Kind<T>, usual: string, meaning: string): Setting<T> {
  return { ...kind, name, default: usual, meaning };
}

/** Any text, or one that matches the pattern. */
export function text(expected: string, pattern = /^/): Kind<string> {
  return {
    expected,
    parse(text) {
      if (text !== "" && !pattern.test(text)) throw isNot(text);
      return text;
    },
  };
}

/** Any text that must not be shown. */
export function secret(expected: string): Kind<string> {
  return { ...text(expected), secret: true };
}

/** A whole number, both bounds included. */
export function int(low: number, high: number): Kind<number> {
  return {
    expected: `${low} to ${high}`,
    parse(text) {
      const value = Number(text);
      if (!/^\d{1,15}$/.test(text) || value < low || value > high) throw isNot(text);
      return value;
    },
  };
}

/** A decimal number without an exponent, both bounds included. */
export function decimal(low: number, high: number): Kind<number> {
  return {
    expected: `${low} to ${high}`,
    parse(text) {
      const value = Number(text);
      if (!/^\d{1,15}(\.\d{1,15})?$/.test(text) || value < low || value > high) throw isNot(text);
      return value;
    },
  };
}

const LIST = new Intl.ListFormat("en-GB", { type: "disjunction" });

/** `a, b or c` */
export function listOf(choices: readonly string[]): string {
  return LIST.format(choices);
}

/** One of these words, in upper or lower case. */
export function oneOf<T extends string>(...choices: readonly T[]): Kind<T> {
  return {
    expected: listOf(choices),
    parse(text) {
      const choice = choices.find((choice) => choice === text.toLowerCase());
      if (choice === undefined) throw isNot(text);
      return choice;
    },
  };
}

/** True or false. */
export function flag(): Kind<boolean> {
  const word = oneOf("true", "false");
  return { ...word, parse: (text) => word.parse(text) === "true" };
}

/**
 * Items between commas, without duplicates.
 *
 * @param parseItem undefined if the item is wrong
 * @param least how many there must be
 */
export function list(expected: string, parseItem: (item: string) => string | undefined, least = 0): Kind<string[]> {
  return {
    expected: `${expected}, separated by commas`,
    parse(text) {
      const items = text.split(",").map((item) => item.trim()).filter((item) => item !== "");
      const wrong = items.filter((item) => parseItem(item) === undefined);
      if (wrong.length > 0 || items.length < least) throw isNot(wrong.join(",") || text);
      return [...new Set(items.map((item) => parseItem(item) as string))];
    },
  };
}

/** The path of a file; undefined if it is empty. */
export function path(): Kind<string | undefined> {
  return { expected: "the path of a file", parse: (text) => text === "" ? undefined : text, path: true };
}

/** A web address, returned without a slash at its end. */
export function webAddress(): Kind<string> {
  return {
    expected: "an http:// or https:// address without a login in it",
    parse(text) {
      if (text === "") return "";
      const url = URL.parse(text);
      if (url === null || !/^https?:$/.test(url.protocol) || url.username + url.password !== "") throw isNot(text);
      return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
    },
  };
}

/** The same kind of value, or nothing. */
export function orEmpty<T>(kind: Kind<T>): Kind<T> {
  return { ...kind, expected: `${kind.expected}, or empty`, mayBeEmpty: true };
}

/** Whether `<NAME>_FILE` can name a file that holds the value. */
export function mayBeFile(setting: Setting | undefined): boolean {
  return setting?.secret === true || setting?.file === true;
}

/** Reads settings one by one and collects what is wrong with them. */
export class SettingsReader {
  /** What is wrong, one sentence per mistake. */
  readonly problems: string[] = [];
  /** The secrets that were read: no output may contain them. */
  readonly secrets: string[] = [];
  readonly #environment: Environment;
  readonly #wrong = new Set<string>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Whether the environment sets it, itself or as a file. */
  isSet(name: string): boolean {
    const { values } = this.#environment;
    return (values[name] ?? "").trim() !== "" || (values[`${name}_FILE`] ?? "") !== "";
  }

  /** Whether none of these settings has been found wrong. */
  areGood(...settings: readonly Setting[]): boolean {
    return settings.every(({ name }) => !this.#wrong.has(name));
  }

  /** All values of the settings, as {@link read} gives them. */
  readAll<S extends Settings>(settings: S): ValuesOf<S> {
    return Object.fromEntries(
      Object.entries(settings).map(([name, setting]) => [name, this.read(setting)]),
    ) as ValuesOf<S>;
  }

  /** The value, or the default if it is not set. If it is wrong, adds a problem and returns the default. */
  read<T>(setting: Setting<T>): T {
    const { name, expected } = setting;
    const before = this.problems.length;
    const file = mayBeFile(setting) ? this.#environment.values[`${name}_FILE`] ?? "" : "";
    const text = (file === "" ? this.#ownText(setting) : this.#readFile(setting, file)) ?? setting.default;
    if (setting.secret === true && text !== "") this.secrets.push(text);
    try {
      return setting.parse(text);
    } catch (error) {
      if (!(error instanceof WrongValue)) throw error;
      const isPath = file === "" && mayBeFile(setting) && /^\S{1,1024}$/.test(text);
      const found = isPath ? `one word; if it is a path, set ${name}_FILE instead` : error.message;
      this.problems.push(
        file === ""
          ? `Cannot use ${name}: expected ${expected}, got ${found}`
          : `Cannot use ${name}_FILE: expected a file with ${expected}, got ${found}`,
      );
      return setting.parse(setting.default);
    } finally {
      if (this.problems.length > before) this.#wrong.add(name);
    }
  }

  /** The text in the environment; undefined if it is not set. */
  #ownText({ name, mayBeEmpty, path }: Setting): string | undefined {
    const text = this.#environment.values[name]?.trim();
    if (text === undefined || (text === "" && mayBeEmpty !== true)) return undefined;
    const problem = path === true ? wrongPath(name, text) : undefined;
    if (problem !== undefined) this.problems.push(problem);
    return text;
  }

  /** The text of the file; undefined, with a problem, if it cannot be used. */
  #readFile({ name, expected }: Setting, file: string): string | undefined {
    const problem = wrongPath(`${name}_FILE`, file);
    if (problem !== undefined) {
      this.problems.push(problem);
      return undefined;
    }
    try {
      const text = this.#environment.readFile(file).trimEnd();
      if (text !== "") return text;
      // a secret that was not written, or a volume that was not mounted: not the same as no secret
      this.problems.push(`Cannot use ${name}_FILE: expected a file with ${expected}, got the empty file "${file}"`);
    } catch (error) {
      this.problems.push(`Cannot read ${name}_FILE: expected a readable file, got "${file}" (${reasonOf(error)})`);
    }
    return undefined;
  }
}

/** The settings as `--help` prints them. */
export function describe(settings: readonly Setting[]): string {
  return settings.map((setting) => {
    const file = mayBeFile(setting) ? ` (or ${setting.name}_FILE, the path of a file)` : "";
    const usual = setting.default || "none";
    return `  ${setting.name}${file}\n      ${setting.meaning}\n      ${setting.expected}; default ${usual}\n`;
  }).join("");
}
