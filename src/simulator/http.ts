// Just enough HTTP/1.1 to serve WebSockets and levers on one port: one request per connection.

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_BODY_BYTES = 64 * 1024;
const WRITE_CHARS = 256 * 1024;

/** One request. */
export interface Request {
  /** Such as `GET`. */
  readonly method: string;
  /** Path and query. */
  readonly url: URL;
  /** Keys in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes already received after the head. */
  readonly rest: Uint8Array;
}

/** The answer to one request. */
export interface Reply {
  /** HTTP status. */
  readonly status: number;
  /** Text, or pieces of a long one. */
  readonly body: string | Iterable<string>;
  /** Default `application/json`. */
  readonly type?: string;
}

/** Reads the head of a request; undefined if the peer left or sent something else. */
export async function readRequest(conn: Deno.Conn): Promise<Request | undefined> {
  const buffer = new Uint8Array(MAX_HEAD_BYTES);
  let used = 0;
  for (;;) {
    const count = await conn.read(buffer.subarray(used));
    if (count === null) return undefined;
    const from = Math.max(0, used - 3);
    used += count;
    for (let i = from; i + 3 < used; i++) {
      if (buffer[i] === 13 && buffer[i + 1] === 10 && buffer[i + 2] === 13 && buffer[i + 3] === 10) {
        const head = new TextDecoder("latin1").decode(buffer.subarray(0, i));
        return parseHead(head, buffer.slice(i + 4, used));
      }
    }
    if (used === buffer.length) return undefined;
  }
}

function parseHead(head: string, rest: Uint8Array): Request | undefined {
  const [first = "", ...lines] = head.split("\r\n");
  const match = /^([A-Z]+) (\S+) HTTP\/1\.[01]$/.exec(first);
  const [, method, target] = match ?? [];
  if (method === undefined || target === undefined) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) return undefined;
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  if (!URL.canParse(target, "http://simulator")) return undefined;
  return { method, url: new URL(target, "http://simulator"), headers, rest };
}

/** Reads the body announced in the head; undefined if it is too large, of unknown length, or incomplete. */
export async function readBody(conn: Deno.Conn, request: Request): Promise<string | undefined> {
  if (request.headers.has("transfer-encoding")) return undefined;
  const length = Number(request.headers.get("content-length") ?? 0);
  if (!Number.isInteger(length) || length < 0 || length > MAX_BODY_BYTES) return undefined;
  const body = new Uint8Array(length);
  let used = Math.min(length, request.rest.length);
  body.set(request.rest.subarray(0, used));
  while (used < length) {
    const count = await conn.read(body.subarray(used));
    if (count === null) return undefined;
    used += count;
  }
  return new TextDecoder().decode(body);
}

async function writeAll(conn: Deno.Conn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += await conn.write(bytes.subarray(written));
}

/** Writes the answer. A body in pieces ends when the connection is closed. */
export async function writeReply(conn: Deno.Conn, reply: Reply): Promise<void> {
  let head = `HTTP/1.1 ${reply.status} ${reply.status < 400 ? "OK" : "Refused"}\r\nconnection: close\r\n`;
  head += `content-type: ${reply.type ?? "application/json"}\r\ncache-control: no-store\r\n`;
  if (typeof reply.body === "string") {
    const length = new TextEncoder().encode(reply.body).length;
    return await writeAll(conn, `${head}content-length: ${length}\r\n\r\n${reply.body}`);
  }
  let piece = `${head}\r\n`;
  for (const part of reply.body) {
    piece += part;
    if (piece.length < WRITE_CHARS) continue;
    await writeAll(conn, piece);
    piece = "";
  }
  await writeAll(conn, piece);
}

/** Writes the answer that turns the connection into a WebSocket. */
export async function writeUpgrade(conn: Deno.Conn, accept: string): Promise<void> {
  const head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n";
  await writeAll(conn, `${head}sec-websocket-accept: ${accept}\r\n\r\n`);
}

/** The key of a WebSocket handshake; undefined for any other request. */
export function upgradeKey(request: Request): string | undefined {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return undefined;
  if (request.method !== "GET" || request.headers.get("sec-websocket-version") !== "13") return undefined;
  return request.headers.get("sec-websocket-key");
}

/**
 * Why a request may not use the levers; undefined if it may. Otherwise a page of another origin could pull them through
 * the user's browser, and read the answers through a host name that resolves to 127.0.0.1.
 */
export function foreign(request: Request): string | undefined {
  const host = request.headers.get("host") ?? "";
  const name = host.replace(/:\d+$/, "");
  const literal = /^(\d{1,3}\.){3}\d{1,3}$/.test(name) || /^\[[\da-fA-F:.]+\]$/.test(name);
  if (!literal && name.toLowerCase() !== "localhost") {
    return `Cannot serve the request as Host must be localhost or an IP address: current value is "${host}"`;
  }
  const origin = request.headers.get("origin");
  if (origin !== undefined && origin !== `http://${host}`) {
    return `Cannot serve the request as Origin must be the simulator's own: current value is "${origin}"`;
  }
  const site = request.headers.get("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    return `Cannot serve the request as Sec-Fetch-Site must be same-origin or none: current value is "${site}"`;
  }
  return undefined;
}
