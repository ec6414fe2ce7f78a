// Accepts the connections of the status server, bounds their number and their time, and turns requests into answers. HTTP
// itself is left to node:http. Neither server of Deno can be used as it is: Deno.serve has no limits, and a failed accept
// ends the process; a listening node:http server never accepts again after one.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Duplex, Readable } from "node:stream";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Clock } from "../core/clock.ts";
import { reasonOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { writeAll } from "../core/write_all.ts";

/** What the connections are served by. */
export interface ConnectionsOptions {
  /** Gives the answer to a request, never rejects. `completed` resolves when the connection is done with the answer. */
  readonly answer: (request: Request, completed: Promise<void>) => Promise<Response>;
  /** Time. */
  readonly clock: Clock;
  /** Told of connections that cannot be accepted, and of too many. */
  readonly log?: Logger | undefined;
}

/** Open connections; at more, the one that waits longest is closed. Far below the usual limit of 1,024 descriptors. */
export const MAX_CONNECTIONS = 256;
/** Until a request must have come, ms. */
export const REQUEST_MS = 15_000;
/** Until the body of a request must have come and the answer been taken, ms. Event streams are exempt. */
export const ANSWER_MS = 60_000;
const SWEEP_MS = 1000;
/** After an accept that failed, ms: with a connection closed in its favour, and without. */
const RETRY_MS = [10, 1000] as const;
/** Descriptors that are left to the rest of the program once they have run out. */
const SPARE = 16;
/** A failure is a warning for so long, ms. */
const WARN_MS = 600_000;

/** Shorter answers are not compressed, bytes. */
const COMPRESS_FROM = 1000;
const compressions: readonly (readonly [encoding: string, compress: (bytes: Uint8Array) => Promise<Uint8Array>])[] = [
  ["gzip", promisify(gzip)],
  ["br", (bytes) => promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
];

/** A TCP connection in the form that node:http takes. */
class Connection extends Duplex {
  /** When its time began: at its accept, and again with its request. */
  since: number;
  readonly #conn: Deno.TcpConn;
  readonly #buffer = new Uint8Array(4096);
  #peerEnded = false;
  #endsWithPeer = false;

  constructor(conn: Deno.TcpConn, since: number) {
    super();
    this.#conn = conn;
    this.since = since;
    try {
      conn.setNoDelay(true);
    } catch {
      // the peer is gone: the first read will tell
    }
    // the peer is gone: nobody has to be told
    this.on("error", () => {});
  }

  /** From now on a peer that sends no more is gone. Before, it may have closed its own side only, and wait for the answer. */
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
    const bytes = new Uint8Array(chunks.reduce((sum, { chunk }) => sum + chunk.length, 0));
    let at = 0;
    for (const { chunk } of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    this._write(bytes, "buffer", done);
  }

  override _write(bytes: Uint8Array, _: string, done: (error?: Error) => void): void {
    writeAll(this.#conn, bytes).then(() => done(), done);
  }

  /** What node:http calls after the last answer; a bare Duplex would stay open until the peer closes it. */
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

/** The open connections of one listener: one request each, then it is closed. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #listener: Deno.TcpListener;
  readonly #http: Server;
  /** Without a whole request head, the oldest first. */
  readonly #waiting = new Set<Connection>();
  /** With an answer that has an end, the oldest first. */
  readonly #answering = new Set<Connection>();
  readonly #streaming = new Set<Connection>();
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

  /** Why connections could not be accepted lately; undefined: they all were. */
  get trouble(): string | undefined {
    if (this.#failures === 0 || this.#options.clock.elapsed() - this.#failedAt > WARN_MS) return undefined;
    return `${this.#failures} connections could not be accepted, the last for: ${this.#failure}`;
  }

  /** Stops accepting and cuts what is open. */
  async close(): Promise<void> {
    this.#over.abort();
    this.#listener.close();
    for (const connection of this.#all()) connection.destroy();
    await this.#accepting;
  }

  #all(): Connection[] {
    return [...this.#waiting, ...this.#answering, ...this.#streaming];
  }

  async #accept(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      let conn: Deno.TcpConn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        // the peer left while it was in the queue
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
      log?.often("warn", "Too many connections to the pages, those that waited longest are closed", {
        most: this.#most,
      });
    }
    const connection = new Connection(conn, clock.elapsed());
    this.#waiting.add(connection);
    this.#watchTime();
    connection.once("close", () => {
      for (const set of [this.#waiting, this.#answering, this.#streaming]) set.delete(connection);
      this.#watchTime();
    });
    this.#http.emit("connection", connection);
  }

  /** Closes connections until there are no more than these. Streams are many fewer than that, and are left alone. */
  #makeRoom(most: number): boolean {
    const excess = this.#waiting.size + this.#answering.size + this.#streaming.size - most;
    if (excess <= 0) return false;
    const oldest = [...this.#waiting, ...this.#answering].slice(0, excess);
    for (const connection of oldest) this.#cut(connection);
    return oldest.length > 0;
  }

  #cut(connection: Connection): void {
    this.#waiting.delete(connection);
    this.#answering.delete(connection);
    connection.destroy();
  }

  /** Descriptors have run out, most likely: that must not end the program. */
  async #fail(error: unknown): Promise<void> {
    const { clock, log } = this.#options;
    this.#failures++;
    this.#failedAt = clock.elapsed();
    this.#failure = reasonOf(error);
    const open = this.#all().length;
    log?.often("warn", "Cannot accept a connection to the pages, trying again", { error: this.#failure, open });
    this.#most = Math.max(SPARE, Math.min(this.#most, open - SPARE));
    const hasRoom = this.#makeRoom(this.#most);
    await clock.sleep(RETRY_MS[hasRoom ? 0 : 1], this.#over.signal).catch(() => {});
  }

  /** Time is looked at only while there is a connection with a limit. */
  #watchTime(): void {
    if (this.#waiting.size + this.#answering.size === 0) {
      this.#sweeping?.abort();
      this.#sweeping = undefined;
    } else if (this.#sweeping === undefined) {
      this.#sweeping = new AbortController();
      void this.#sweep(this.#sweeping.signal);
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (true) {
      await clock.sleep(SWEEP_MS, signal).catch(() => {});
      if (signal.aborted) return;
      const now = clock.elapsed();
      for (const [set, limitMs] of [[this.#waiting, REQUEST_MS], [this.#answering, ANSWER_MS]] as const) {
        for (const connection of set) {
          if (now - connection.since < limitMs) break;
          this.#cut(connection);
        }
      }
    }
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const connection = incoming.socket as Duplex as Connection;
    const completed = new Promise<void>((resolve) => outgoing.once("close", resolve));
    outgoing.setHeader("connection", "close");
    this.#restart(connection);
    try {
      const request = requestOf(incoming);
      if (request === undefined) return void outgoing.writeHead(400).end();
      const response = await this.#options.answer(request, completed);
      outgoing.statusCode = response.status;
      for (const [name, value] of response.headers) outgoing.setHeader(name, value);
      const isStream = response.headers.get("content-type") === "text/event-stream" && response.body !== null;
      if (!isStream) return await sendWhole(incoming, outgoing, response);
      this.#answering.delete(connection);
      this.#streaming.add(connection);
      this.#watchTime();
      connection.endWithPeer();
      await sendStream(outgoing, response.body);
      this.#streaming.delete(connection);
      // one who is shed, or does not read the end
      this.#restart(connection);
    } catch (error) {
      this.#options.log?.often("warn", "An answer could not be sent", { error: reasonOf(error) });
      connection.destroy();
    }
  }

  #restart(connection: Connection): void {
    this.#waiting.delete(connection);
    if (connection.destroyed) return;
    connection.since = this.#options.clock.elapsed();
    this.#answering.add(connection);
    this.#watchTime();
  }
}

/** The host is left to the header: what stands there may be no part of an address. */
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
    const [encoding, compress] = compressions.find(([encoding]) => accepted.includes(encoding)) ?? [];
    if (encoding !== undefined && compress !== undefined) {
      bytes = await compress(bytes);
      outgoing.setHeader("content-encoding", encoding);
      const tag = outgoing.getHeader("etag");
      if (typeof tag === "string") outgoing.setHeader("etag", `W/${tag}`);
    }
  }
  outgoing.setHeader("content-length", bytes.length);
  outgoing.end(method === "HEAD" ? undefined : bytes);
}

/** Resolves when all is handed to the connection, or the reader is gone. */
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
