// The demo's levers over HTTP: /api/demo lists them, a POST pulls one. Only the demo passes levers to the server, only its
// own page may pull them, and what a lever does is up to the demo.

import { HttpError, isOwnOrigin, json, shown } from "./request.ts";

/** One lever as a person sees it. */
export interface Lever {
  /** Its name in the path. */
  readonly name: string;
  /** A few words for the button. */
  readonly title: string;
  /** One sentence: what it teaches. */
  readonly teaches: string;
  /** One sentence: what to watch. */
  readonly watch: string;
  /** `pulse`: something happens once; `switch`: it stays on until it is switched off. */
  readonly kind: "pulse" | "switch";
  /** Whether a switch is on. */
  readonly on?: boolean;
}

/** The levers, as the demo passes them to the server. */
export interface DemoLevers {
  /** All levers with their current state. */
  list(): Lever[];
  /**
   * Pulls one. Resolves with fields for the answer, or with false if there is no such lever; rejects with a RangeError,
   * whose message goes to the client, if the arguments cannot be used.
   */
  pull(name: string, args: unknown): Promise<unknown>;
}

/** Path of the levers, followed by a name. */
export const LEVERS_PATH = "/api/demo/levers/";

/** Longest body, bytes. */
const MAX_BODY = 4096;
/** How long the body may take to arrive, ms. */
const BODY_MS = 5000;

/** `GET /api/demo` */
export function listLevers(levers: DemoLevers): Response {
  return json({ levers: levers.list() });
}

/**
 * `POST /api/demo/levers/<name>`. A page of another origin needs a CORS preflight for this content type, and never gets it;
 * if the browser names the origin, it must be the page itself.
 */
export async function pullLever(request: Request, url: URL, levers: DemoLevers): Promise<Response> {
  const name = url.pathname.slice(LEVERS_PATH.length);
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  if (
    (origin !== null && !isOwnOrigin(origin, request)) || (site !== null && site !== "same-origin" && site !== "none")
  ) {
    throw new HttpError(403, `Cannot pull a lever for ${shown(origin ?? site ?? "")} as only the page itself may`);
  }
  const type = request.headers.get("content-type") ?? "";
  if (type.split(";")[0]?.trim().toLowerCase() !== "application/json") {
    throw new HttpError(415, `Cannot read the body as its content-type must be application/json: it is ${shown(type)}`);
  }
  const body = await readBody(request);
  let args: unknown;
  try {
    args = JSON.parse(body);
  } catch {
    args = undefined;
  }
  if (typeof args !== "object" || args === null || Array.isArray(args)) {
    throw new HttpError(400, `Cannot use the body as it must be a JSON object like {}: it is ${shown(body)}`);
  }
  let told: unknown;
  try {
    told = await levers.pull(name, args);
  } catch (error) {
    if (error instanceof RangeError) throw new HttpError(400, error.message);
    throw error;
  }
  if (told === false) {
    const names = levers.list().map((lever) => lever.name).join(", ");
    throw new HttpError(404, `Cannot find lever ${shown(name)}: there are ${names}`);
  }
  return json({ done: true, ...(typeof told === "object" ? told : {}) });
}

/** Reads the body; throws an HttpError if it is too large. */
async function readBody(request: Request): Promise<string> {
  if (request.body === null) return "";
  const reader = request.body.getReader();
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), BODY_MS);
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > MAX_BODY) {
        await reader.cancel();
        throw new HttpError(413, `Cannot read the body as it must be at most ${MAX_BODY} bytes`);
      }
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    clearTimeout(timer);
  }
}
