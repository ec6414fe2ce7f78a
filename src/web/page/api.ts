/// <reference lib="dom" />
// Requests to the API.

import { isObject } from "./wire.ts";

/** The program did not answer, or answered with an error. The message is for people. */
export class ApiError extends Error {
  override name = "ApiError";
}

const TIMEOUT_MS = 15_000;

/** How to make a request. */
export interface ApiOptions {
  readonly signal?: AbortSignal;
  /** Sent as JSON with POST; without it the request is a GET. */
  readonly body?: unknown;
}

/** The JSON of an answer. Throws an {@link ApiError}, or the signal's reason. */
export async function api(path: string, { signal, body }: ApiOptions = {}): Promise<unknown> {
  const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  let answer: unknown;
  try {
    response = await fetch(path, {
      ...(body === undefined ? {} : post),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    answer = await response.json().catch((error) => {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ApiError("the program does not answer", { cause });
  }
  if (response.ok && answer !== undefined) return answer;
  const reason = isObject(answer) ? answer["error"] : undefined;
  throw new ApiError(typeof reason === "string" ? reason : `the program answered with status ${response.status}`);
}

/** What went wrong, for people. Throws the error again if it is a bug of this page. */
export function messageOf(error: unknown): string {
  if (error instanceof Error && (error.name === "ApiError" || error.name === "WireError")) return error.message;
  throw error;
}
