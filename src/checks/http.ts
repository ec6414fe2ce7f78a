// HTTP requests of the checks: a server that does not answer is a Problem.

import { chainOf, reasonOf } from "../core/errors.ts";
import { Problem } from "./stage.ts";

/** A server, and what to say if it does not answer. */
export interface HttpServer {
  /** In messages: `InfluxDB at http://localhost:8086`. */
  readonly name: string;
  /** Why it does not answer. */
  readonly cause: string;
  readonly cure: string;
}

/** The answer, whatever its status. Throws a Problem if there is none. */
export async function request(
  url: string,
  server: HttpServer,
  signal: AbortSignal,
  init: RequestInit = {},
): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new Problem(`${server.name}: ${reasonOfRequest(error)}`, server.cause, server.cure);
  }
}

/** Never contains the address, which may contain a login. */
function reasonOfRequest(error: unknown): string {
  const messages = chainOf(error).map(({ message }) => message);
  const all = messages.join(": ");
  if (/refused/i.test(all)) return "connection refused, nothing listens there";
  if (/dns|ENOTFOUND|lookup/i.test(all)) return "its host name is unknown";
  return (messages.at(-1) ?? reasonOf(error)).replace(/ for url \([^)]*\)/, "");
}
