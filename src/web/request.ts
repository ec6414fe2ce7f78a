// What all routes share: JSON answers, errors that become answers, and query parameters described by a table.

import { SECONDS_WISH, secondsOf } from "../core/terminal.ts";

/** An error for the client: the server answers `{"error": message}` with this status. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  /** The message is a sentence for the person who sent the request. */
  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** A JSON answer, one line. */
export function json(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return jsonText(`${JSON.stringify(body)}\n`, status, headers);
}

/** As {@link json}, of a text that is JSON already. */
export function jsonText(text: string, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(text, { status, headers: { "content-type": "application/json", ...headers } });
}

const MAX_QUOTED = 60;

/** A value from outside, quoted and at most 60 characters long, for a message. */
export function quoted(value: string): string {
  return JSON.stringify(value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}...` : value);
}

/** `a, b, c and 7 more`. */
export function briefly(names: readonly string[], most = 8): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(", ")} and ${more} more` : names.join(", ");
}

/** Status 400: a parameter cannot be used. */
export function unusable(name: string, expected: string, value: string): HttpError {
  return new HttpError(400, `Cannot use ${name}: expected ${expected}, got ${quoted(value)}`);
}

/** A type of query parameter. */
export interface ParameterType<T> {
  /** What it accepts, for messages. */
  readonly expected: string;
  /** Its value; undefined if the text cannot be used. */
  readonly parse: (text: string) => T | undefined;
}

/** Any text. */
export const text: ParameterType<string> = { expected: "a text", parse: (text) => text };

/** Unix seconds, with or without a fraction. */
export const seconds: ParameterType<number> = {
  expected: SECONDS_WISH,
  parse: (text) => {
    const value = secondsOf(text);
    return Number.isNaN(value) ? undefined : value;
  },
};

/** A whole number, without sign, point or exponent. */
export function whole(low: number, high: number): ParameterType<number> {
  return {
    expected: `${low} to ${high}`,
    parse: (text) => /^\d{1,15}$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : undefined,
  };
}

/** One of a few words. */
export function oneOf<T extends string>(choices: readonly T[]): ParameterType<T> {
  return { expected: `one of ${choices.join(", ")}`, parse: (text) => choices.find((choice) => choice === text) };
}

/** The values of a table of parameters; undefined: not given. */
export type Parameters<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends ParameterType<infer T> ? T | undefined : never;
};

/** Reads a query. Throws an {@link HttpError} with status 400 for unknown, repeated and unusable parameters. */
export function readParameters<Table extends Readonly<Record<string, ParameterType<unknown>>>>(
  search: URLSearchParams,
  table: Table,
): Parameters<Table> {
  const names = Object.keys(table);
  const values: Record<string, unknown> = {};
  for (const [name, given] of search) {
    if (!names.includes(name)) {
      const expected = names.length === 0 ? "no parameters" : `one of ${names.join(", ")}`;
      throw new HttpError(400, `Cannot use the parameter ${quoted(name)}: expected ${expected}`);
    }
    const all = search.getAll(name);
    if (all.length > 1) {
      throw new HttpError(400, `Cannot use ${name}: expected one value, got ${briefly(all.map(quoted))}`);
    }
    const type = table[name] as ParameterType<unknown>;
    values[name] = type.parse(given);
    if (values[name] === undefined) throw unusable(name, type.expected, given);
  }
  return values as Parameters<Table>;
}

/** Whether an `Origin` header names the host of the request. The scheme may differ: a proxy in front may speak TLS. */
export function isOwnOrigin(origin: string, request: Request): boolean {
  return URL.canParse(origin) && new URL(origin).host === request.headers.get("host")?.toLowerCase();
}
