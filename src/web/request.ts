// What every page shares: JSON answers, refusals as errors, and parameters that are checked to the letter.

import { SECONDS_WISH, secondsOf } from "../core/terminal.ts";

/** An answer that is none: caught in one place and told as `{"error": "..."}`. */
export class HttpError extends Error {
  /** See {@link Error.name}. */
  override readonly name = "HttpError";
  /** 400, 404, ... */
  readonly status: number;
  /** Headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;

  /** The message is what the asker reads. */
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

/** The same of a text that is JSON already. */
export function jsonText(text: string, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(text, { status, headers: { "content-type": "application/json", ...headers } });
}

/** Longer values are cut in messages. */
const SHOWN = 60;

/** A value as it stands in a message. */
export function shown(value: string): string {
  return JSON.stringify(value.length > SHOWN ? `${value.slice(0, SHOWN)}...` : value);
}

/** `a, b, c and 7 more`. */
export function briefly(names: readonly string[], most = 8): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(", ")} and ${more} more` : names.join(", ");
}

/** The query of one request. What cannot be used throws a {@link HttpError} with status 400. */
export class Parameters {
  readonly #values = new Map<string, string>();

  /**
   * Refuses names that are not known and names that stand twice.
   * @param known all names that the page takes
   */
  constructor(search: URLSearchParams, known: readonly string[]) {
    for (const [name, value] of search) {
      if (!known.includes(name)) {
        const wish = known.length === 0 ? "there are no parameters" : `it must be one of ${known.join(", ")}`;
        throw new HttpError(
          400,
          `Cannot use the parameter ${shown(name)} as ${wish}: current value is ${shown(value)}`,
        );
      }
      const before = this.#values.get(name);
      if (before !== undefined) {
        const values = `${shown(before)} and ${shown(value)}`;
        throw new HttpError(400, `Cannot use ${name} as it must be given once: current values are ${values}`);
      }
      this.#values.set(name, value);
    }
  }

  /** As it was given; undefined: it was not. */
  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** A whole number, without sign, point or exponent. */
  whole(name: string, low: number, high: number): number | undefined {
    const text = this.#values.get(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (value >= low && value <= high) return value;
    throw refused(name, `${low} to ${high}`, text);
  }

  /** A moment: unix seconds, with or without a fraction. */
  seconds(name: string): number | undefined {
    const text = this.#values.get(name);
    if (text === undefined) return undefined;
    const value = secondsOf(text);
    if (Number.isNaN(value)) throw refused(name, SECONDS_WISH, text);
    return value;
  }

  /** One of a few words. */
  oneOf<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.#values.get(name);
    if (text === undefined) return undefined;
    const choice = choices.find((each) => each === text);
    if (choice !== undefined) return choice;
    throw refused(name, `one of ${choices.join(", ")}`, text);
  }
}

/** The attempt, the wish and the value, as status 400. */
export function refused(name: string, wish: string, value: string): HttpError {
  return new HttpError(400, `Cannot use ${name} as it must be ${wish}: current value is ${shown(value)}`);
}

/** Whether the origin is the host that was asked, whatever stands in between (TLS in front changes only the scheme). */
export function isOwnOrigin(origin: string, request: Request): boolean {
  return URL.canParse(origin) && new URL(origin).host === request.headers.get("host")?.toLowerCase();
}
