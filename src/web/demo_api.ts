// The demo's levers over HTTP: /api/demo lists them, a POST pulls one. Only the demo's own page may pull them.

import { HttpError, isOwnOrigin, json, quoted } from "./request.ts";

/** One lever, as the page shows it. */
export interface Lever {
  readonly name: string;
  readonly title: string;
  /** One sentence: what it teaches. */
  readonly teaches: string;
  /** One sentence: what to watch. */
  readonly watch: string;
  /** `pulse`: something happens once; `switch`: it stays on until it is switched off. */
  readonly kind: "pulse" | "switch";
  readonly on?: boolean;
}

/** The demo's levers, as the server uses them. */
export interface DemoLevers {
  list(): Lever[];
  /**
   * Pulls one. Resolves with fields for the answer, or with false if there is no such lever. Rejects with a RangeError if
   * the arguments cannot be used; its message goes to the client.
   */
  pull(name: string, args: unknown): Promise<unknown>;
}

/** Path of a lever, without its name. */
export const LEVERS_PATH = "/api/demo/levers/";

/** Longest body, characters. How long it may take to arrive is limited by the connection. */
const MAX_BODY = 4096;

/** `GET /api/demo` */
export function listLevers(levers: DemoLevers): Response {
  return json({ levers: levers.list() });
}

/**
 * `POST /api/demo/levers/<name>`. A page of another origin needs a CORS preflight for this content type, and never gets it;
 * if the browser names the origin, it must be the page itself.
 */
export async function pullLever(request: Request, name: string, levers: DemoLevers): Promise<Response> {
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  if (
    (origin !== null && !isOwnOrigin(origin, request)) || (site !== null && site !== "same-origin" && site !== "none")
  ) {
    throw new HttpError(403, `Cannot pull a lever for ${quoted(origin ?? site ?? "")}: only the demo's own page may`);
  }
  const type = request.headers.get("content-type") ?? "";
  if (type.split(";")[0]?.trim().toLowerCase() !== "application/json") {
    throw new HttpError(415, `Cannot read the body: expected the content type application/json, got ${quoted(type)}`);
  }
  let result: unknown;
  try {
    result = await levers.pull(name, await readObject(request));
  } catch (error) {
    if (error instanceof RangeError) throw new HttpError(400, error.message);
    throw error;
  }
  if (result === false) {
    const names = levers.list().map((lever) => lever.name).join(", ");
    throw new HttpError(404, `Cannot find lever ${quoted(name)}: there are ${names}`);
  }
  return json({ done: true, ...(typeof result === "object" ? result : {}) });
}

async function readObject({ body }: Request): Promise<object> {
  let text = "";
  for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += part;
    if (text.length > MAX_BODY) {
      throw new HttpError(413, `Cannot read the body: expected at most ${MAX_BODY} characters`);
    }
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new HttpError(400, `Cannot use the body: expected a JSON object like {}, got ${quoted(text)}`);
}
