/// <reference lib="dom" />
// Questions to the API: an answer, or an error whose message is for the person in front of the page.

import { isObject } from "./wire.ts";

/** Answers of the API that are no answer. Its message is for people. */
export class AskError extends Error {
  /** Tells it from other errors. */
  override name = "AskError";
  /** The HTTP status; 0: no answer at all. */
  readonly status: number;

  /** See the fields. */
  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** Without an answer for so long there will be none, ms. */
const TIMEOUT_MS = 15_000;

/** Gives the JSON of an answer. Throws an AskError, or the signal's reason. */
export async function ask(path: string, signal?: AbortSignal, body?: unknown): Promise<unknown> {
  const patience = AbortSignal.timeout(TIMEOUT_MS);
  const signals = signal === undefined ? patience : AbortSignal.any([signal, patience]);
  let response: Response;
  let answer: unknown;
  try {
    response = await fetch(path, {
      signal: signals,
      ...(body === undefined
        ? {}
        : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    answer = await response.json().catch((error) => {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new AskError("the program does not answer", 0, { cause });
  }
  if (response.ok && answer !== undefined) return answer;
  const told = isObject(answer) && typeof answer["error"] === "string" ? answer["error"] : `status ${response.status}`;
  throw new AskError(told, response.status);
}

/** What went wrong, for people; a bug of this page is thrown on. */
export function troubleOf(error: unknown): string {
  if (error instanceof Error && (error.name === "AskError" || error.name === "WireError")) return error.message;
  throw error;
}
