// Accepts connections, limits their number and their time, and turns requests into answers. HTTP itself is left to node:http.
// Deno's own servers cannot be used: Deno.serve() has no limits, and a failed accept ends the process; a listening node:http
// server never accepts again after one.

import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Duplex, Readable } from "node:stream";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Clock } from "../core/clock.ts";
import { reasonOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { writeAll } from "../core/write_all.ts";

/** What the connections are served by. */
export interface ConnectionsOptions {
  /** Answers a request; never rejects. `completed` resolves when the connection is done with the answer. */
  readonly answer: (request: Request, completed: Promise<void>) => Promise<Response>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Open connections. Beyond it those nearest to their time limit are closed. Far below the usual 1,024 descriptors. */
const MAX_CONNECTIONS = 256;
/** Time limit for the head of a request, ms. */
export const REQUEST_MS = 15_000;
/** Time limit from there until the answer has been taken, ms. Event streams have none. */
export const ANSWER_MS = 60_000;
const SWEEP_MS = 1000;
/** Pause after a failed accept, ms: if connections could be closed to make room, and if not. */
const RETRY_MS = { afterClosing: 10, otherwise: 1000 };
/** Descriptors that are left to the rest of the program once they have run out. */
const SPARE = 16;
/** How long a failed accept stays in the warnings, ms. */
const WARN_MS = 600_000;

/** Shorter answers are not compressed, bytes. */
const COMPRESS_FROM = 1000;
const compress = promisify(gzip);

/** A TCP connection as a stream that node:http can use. */
class Connection extends Duplex {
  /** When it is closed, elapsed ms. */
  deadline: number;
  readonly #conn: Deno.TcpConn;
  readonly #buffer = new Uint8Array(4096);
  #peerEnded = false;
  #endsWithPeer = false;

  constructor(conn: Deno.TcpConn, deadline: number) {
    super();
    this.#conn = conn;
    this.deadline = deadline;
    try {
      conn.setNoDelay(true);
    } catch {
      // the peer is gone: the first read will fail
    }
    // an error means that the peer is gone, which needs no message
    this.on("error", () => {});
  }

  /** From now on the end of the peer's data closes the connection. Until then the peer may still wait for its answer. */
  endWithPeer(): void {
    this.#endsWithPeer = true;
    if (this.#peerEnded) this.destroy();
  }

  override _read(): void {
    this.#conn.read(this.#buffer).then(
      (count) => {
        this.#peerEnded = count === null;
        if (this.#peerEnded && this.#endsWithPeer) this.destroy();
        else this.push(count === null ? null : this.#buffer.slice(0, count));
      },
      (error) => void this.destroy(error),
    );
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", done);
  }

  override _write(bytes: Uint8Array, _: string, done: (error?: Error) => void): void {
    writeAll(this.#conn, bytes).then(() => done(), done);
  }

  /** Called by node:http after the last answer; a plain Duplex would stay open until the peer closes it. */
  destroySoon(): void {
    this.end(() => this.destroy());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    try {
      this.#conn.close();
    } catch {
      // closed already
    }
    done(error);
  }
}

/** The open connections of one listener. Each serves one request and is then closed. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #listener: Deno.TcpListener;
  readonly #http: Server;
  readonly #open = new Set<Connection>();
  readonly #over = new AbortController();
  readonly #accepting: Promise<void>;
  #sweeping: AbortController | undefined;
  #most = MAX_CONNECTIONS;
  #failures = 0;
  #failedAt = 0;
  #failure = "";

  /** Serves until `close()`; owns the listener. */
  constructor(listener: Deno.TcpListener, options: ConnectionsOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#http = createServer((request, response) => void this.#serve(request, response));
    this.#accepting = this.#accept();
  }

  /** Which connections could not be accepted in the last ten minutes; undefined: none. */
  get trouble(): string | undefined {
    if (this.#failures === 0 || this.#options.clock.elapsed() - this.#failedAt > WARN_MS) return undefined;
    return `could not accept ${this.#failures} connections, the last one because of: ${this.#failure}`;
  }

  async close(): Promise<void> {
    this.#over.abort();
    this.#listener.close();
    for (const connection of this.#open) connection.destroy();
    await this.#accepting;
  }

  async #accept(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      let conn: Deno.TcpConn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        // the peer left before it was accepted
        if (error instanceof Deno.errors.ConnectionAborted || error instanceof Deno.errors.ConnectionReset) continue;
        if (!signal.aborted) await this.#fail(error);
        continue;
      }
      if (signal.aborted) conn.close();
      else this.#take(conn);
    }
  }

  #take(conn: Deno.TcpConn): void {
    const { clock, log } = this.#options;
    if (this.#makeRoom(this.#most - 1)) {
      log.often("warn", "Too many connections to the web server, those that waited longest are closed", {
        most: this.#most,
      });
    }
    const connection = new Connection(conn, clock.elapsed() + REQUEST_MS);
    this.#open.add(connection);
    connection.once("close", () => this.#remove(connection));
    this.#watchTime();
    this.#http.emit("connection", connection);
  }

  /** Closes connections until there are no more than this. Streams are far fewer, and stay open. */
  #makeRoom(most: number): boolean {
    const excess = this.#open.size - most;
    if (excess <= 0) return false;
    const closable = [...this.#open].filter(({ deadline }) => deadline < Infinity);
    const oldest = closable.sort((a, b) => a.deadline - b.deadline).slice(0, excess);
    for (const connection of oldest) this.#cut(connection);
    return oldest.length > 0;
  }

  #cut(connection: Connection): void {
    // at once: the event `close` comes later
    this.#remove(connection);
    connection.destroy();
  }

  #remove(connection: Connection): void {
    this.#open.delete(connection);
    this.#watchTime();
  }

  /** Most likely there are no descriptors left: that must not end the program. */
  async #fail(error: unknown): Promise<void> {
    const { clock, log } = this.#options;
    this.#failures++;
    this.#failedAt = clock.elapsed();
    this.#failure = reasonOf(error);
    const open = this.#open.size;
    log.often("warn", "Cannot accept a connection to the web server, trying again", { error: this.#failure, open });
    this.#most = Math.max(SPARE, Math.min(this.#most, open - SPARE));
    const pauseMs = this.#makeRoom(this.#most) ? RETRY_MS.afterClosing : RETRY_MS.otherwise;
    await clock.sleep(pauseMs, this.#over.signal).catch(() => {});
  }

  #limit(connection: Connection, deadline: number): void {
    connection.deadline = deadline;
    this.#watchTime();
  }

  #watchTime(): void {
    const isNeeded = [...this.#open].some(({ deadline }) => deadline < Infinity);
    if (!isNeeded) {
      this.#sweeping?.abort();
      this.#sweeping = undefined;
    } else if (this.#sweeping === undefined) {
      this.#sweeping = new AbortController();
      void this.#sweep(this.#sweeping.signal);
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(SWEEP_MS, signal).catch(() => {});
      const now = clock.elapsed();
      for (const connection of this.#open) {
        if (now >= connection.deadline) this.#cut(connection);
      }
    }
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { answer, clock, log } = this.#options;
    const connection = incoming.socket as Duplex as Connection;
    const completed = new Promise<void>((resolve) => outgoing.once("close", resolve));
    outgoing.setHeader("connection", "close");
    this.#limit(connection, clock.elapsed() + ANSWER_MS);
    try {
      const request = requestOf(incoming);
      if (request === undefined) return void outgoing.writeHead(400).end();
      const response = await answer(request, completed);
      outgoing.statusCode = response.status;
      for (const [name, value] of response.headers) outgoing.setHeader(name, value);
      const isStream = response.headers.get("content-type") === "text/event-stream" && response.body !== null;
      if (!isStream) return await sendWhole(incoming, outgoing, response);
      this.#limit(connection, Infinity);
      connection.endWithPeer();
      await sendStream(outgoing, response.body);
      // the last bytes may be in the way of a client that does not read
      this.#limit(connection, clock.elapsed() + ANSWER_MS);
    } catch (error) {
      log.often("warn", "An answer could not be sent", { error: reasonOf(error) });
      connection.destroy();
    }
  }
}

/** The address has no true host: the `Host` header may hold text that is not valid in an address. */
function requestOf(incoming: IncomingMessage): Request | undefined {
  const { method = "", url = "", rawHeaders } = incoming;
  const address = URL.parse(url.startsWith("/") ? `http://localhost${url}` : url);
  if (address === null) return undefined;
  const headers = new Headers();
  for (let i = 0; i < rawHeaders.length; i += 2) headers.append(rawHeaders[i] ?? "", rawHeaders[i + 1] ?? "");
  // fetch's Request takes no body with these, and not every method
  const body = method === "GET" || method === "HEAD" ? null : Readable.toWeb(incoming) as ReadableStream<Uint8Array>;
  try {
    return new Request(address, { method, headers, body });
  } catch {
    return undefined;
  }
}

async function sendWhole({ method, headers }: IncomingMessage, outgoing: ServerResponse, response: Response) {
  if (response.body === null) return void outgoing.end();
  let bytes: Uint8Array = await response.bytes();
  if (bytes.length >= COMPRESS_FROM) {
    const vary = outgoing.getHeader("vary");
    outgoing.setHeader("vary", vary === undefined ? "accept-encoding" : `${vary}, accept-encoding`);
    const accepted = String(headers["accept-encoding"] ?? "").split(",").map((each) => each.trim());
    if (accepted.includes("gzip")) {
      bytes = await compress(bytes);
      outgoing.setHeader("content-encoding", "gzip");
      const tag = outgoing.getHeader("etag");
      if (typeof tag === "string") outgoing.setHeader("etag", `W/${tag}`);
    }
  }
  outgoing.setHeader("content-length", bytes.length);
  // the answer to HEAD has the length of the body, but no body
  outgoing.end(method === "HEAD" ? undefined : bytes);
}

/** Resolves when everything is passed to the connection, or the client is gone. */
async function sendStream(outgoing: ServerResponse, body: ReadableStream<Uint8Array>): Promise<void> {
  const reader = body.getReader();
  let wake = () => {};
  outgoing.on("drain", () => wake());
  outgoing.once("close", () => {
    wake();
    void reader.cancel().catch(() => {});
  });
  outgoing.flushHeaders();
  while (true) {
    const { done, value } = await reader.read();
    if (done) break;
    if (outgoing.write(value) || outgoing.closed) continue;
    await new Promise<void>((resolve) => wake = resolve);
  }
  outgoing.end();
}
