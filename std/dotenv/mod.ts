// Replaces jsr:@std/dotenv where JSR cannot be reached: only parse(). It does not use parseEnv of node:util, because a .env must have
// the same meaning with either package: parseEnv keeps the backslashes of "a\"b" and "a\tb", does not replace $NAME, and accepts any
// text as a name.

const NAME_AND_EQUALS = /^\s*(?:export\s+)?([^\s=#]+)\s*=[ \t]*/gm;
const VALID_NAME = /^[A-Za-z_]\w*$/;
// A line end directly after the opening quote or before the closing one is not part of the value.
const SINGLE_QUOTED = /'\r?\n?([^']*?)\r?\n?'/y;
const DOUBLE_QUOTED = /"\r?\n?((?:\\[^]|[^"\\])*?)\r?\n?"/y;
const UNQUOTED = /[^\r\n#]*/y;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "'": "'", "\\": "\\" };
const REFERENCE = /\$\{(.+?)(?::-(.+))?\}|(?<!\\)\$(\w+)(?::-(.+))?/g;
/** More than any reasonable chain of references. */
const MAX_ROUNDS = 100;

/**
 * Reads the text of a `.env` file. `export` before a name, blank lines and `#` comments are allowed. A value in single
 * quotes is used unchanged; in double quotes `\n` and similar are escapes; without quotes the value ends at `#` or the end
 * of the line, and `$NAME`, `${NAME}` and `${NAME:-default}` are replaced, from the file or else from the environment
 * (which needs that permission). A line whose name is no identifier is ignored with a warning. If a name occurs twice,
 * the last value counts. The result has no prototype.
 *
 * @throws {Error} when a value refers to itself
 */
export function parse(text: string): Record<string, string> {
  const values: Record<string, string> = Object.create(null);
  const unquoted = new Set<string>();
  const at = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = NAME_AND_EQUALS.lastIndex;
    const match = pattern.exec(text);
    if (match === null) return undefined;
    NAME_AND_EQUALS.lastIndex = pattern.lastIndex;
    return match[1] ?? match[0];
  };
  NAME_AND_EQUALS.lastIndex = 0;
  for (let head = NAME_AND_EQUALS.exec(text); head !== null; head = NAME_AND_EQUALS.exec(text)) {
    const name = head[1] ?? "";
    const quoted = at(SINGLE_QUOTED) ?? at(DOUBLE_QUOTED)?.replace(/\\([^])/g, (pair, char) => ESCAPES[char] ?? pair);
    const value = quoted ?? at(UNQUOTED)?.trim() ?? "";
    if (!VALID_NAME.test(name)) {
      // deno-lint-ignore no-console
      console.warn(`Ignored the key "${name}" as it is not a valid identifier: it must match ${VALID_NAME}`);
      continue;
    }
    values[name] = value;
    if (quoted === undefined) unquoted.add(name);
  }
  const written = Object.assign(Object.create(null), values);
  for (const name of unquoted) values[name] = expand(name, written);
  return values;
}

function expand(name: string, written: Readonly<Record<string, string>>): string {
  const replace = (_: string, braced?: string, bracedDefault?: string, bare?: string, bareDefault?: string): string => {
    const wanted = braced ?? bare ?? "";
    // the real package also inserts "undefined" for an unknown name
    return String(written[wanted] ?? Deno.env.get(wanted) ?? bracedDefault ?? bareDefault);
  };
  let value = written[name] ?? "";
  for (let round = 0; round < MAX_ROUNDS; round++) {
    if (value.search(REFERENCE) === -1) return value;
    value = value.replace(REFERENCE, replace);
  }
  throw new Error(`Cannot expand ${name} as it refers to itself: current value is "${written[name]}"`);
}
