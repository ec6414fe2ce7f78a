// The Coinbase simulator: a WebSocket server that speaks the Coinbase Exchange protocol, for tests, demo and benches. It
// shares no code with the program it tests, so that both cannot contain the same mistake. Prices are simulated or
// recorded; the levers cause faults.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { Readable } from "node:stream";
import { text as readText } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { tickerId } from "./coinbase.ts";
import { Connection } from "./connection.ts";
import { Exchange, type ExchangeOptions, PUMP_MS, type ReceivedText } from "./exchange.ts";
import { createLevers, describeLevers, LeverError, type Levers, pullLever } from "./levers.ts";
import type { Sample } from "./past.ts";
import { Recent } from "./recent.ts";
import { acceptKey, ServerSocket } from "./socket.ts";

/** How long closing waits for the clients to answer the Close before it cuts their connections, ms. */
const CLOSE_GRACE_MS = 250;
const MAX_CONNECTIONS_REMEMBERED = 10_000;
const MAX_BODY_BYTES = 65_536;

/** How the simulated exchange behaves before any lever is pulled, and where it listens. */
export interface SimulatorOptions extends ExchangeOptions {
  /** Address to listen on. Default `127.0.0.1`. */
  readonly hostname?: string;
  /** Port to listen on. Default 0: a free one. */
  readonly port?: number;
}

/** One client connection, open or closed. */
export interface ConnectionInfo {
  readonly number: number;
  /** ms since the epoch. */
  readonly openedAt: number;
  /** Channel -> products; `ticker_1000` appears under its newer name `ticker_batch`. */
  readonly subscribed: Readonly<Record<string, readonly string[]>>;
  /** Its close code, 1006 if the connection broke; missing while open. */
  readonly closed?: number;
}

/** A valid ticker that was sent to at least one client. */
export interface SentTick {
  /** `coinbase:<product>:<sequence>`: the same for each copy of the same ticker. */
  readonly id: string;
  readonly product: string;
  readonly sequence: number;
  readonly tradeId: number;
  /** Decimal text, exactly as sent. */
  readonly price: string;
  /** RFC 3339 text, exactly as sent. */
  readonly time: string;
  /** When it was sent: ms since the epoch with a fraction, by the machine's clock, never shifted by a lever. */
  readonly at: number;
  /** The connection that got it first. */
  readonly connection: number;
}

/** The answer to an HTTP request: a value to send as JSON, or lines of JSON. */
interface Reply {
  readonly status: number;
  readonly body: object | Iterable<string>;
}

/** The simulated exchange. It listens from `start()` until it is disposed of. */
export class Simulator implements AsyncDisposable {
  /** Where clients connect: `ws://127.0.0.1:<port>`. */
  readonly url: string;
  /** The HTTP interface with the levers: `http://127.0.0.1:<port>`. */
  readonly httpUrl: string;
  readonly port: number;
  readonly levers: Levers;
  readonly #exchange: Exchange;
  readonly #server: Server;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #closed: Recent<ConnectionInfo> = new Recent(MAX_CONNECTIONS_REMEMBERED);
  #opened = 0;
  #closing: Promise<void> | undefined;

  private constructor(exchange: Exchange, server: Server) {
    this.#exchange = exchange;
    this.#server = server;
    const { port, address } = server.address() as AddressInfo;
    const shown = address === "0.0.0.0" || address === "::" ? "127.0.0.1" : address;
    const authority = `${shown.includes(":") ? `[${shown}]` : shown}:${port}`;
    this.port = port;
    this.url = `ws://${authority}`;
    this.httpUrl = `http://${authority}`;
    this.levers = createLevers(exchange);
    this.#timer = setInterval(() => exchange.pump(), PUMP_MS);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response));
    server.on("upgrade", (request: IncomingMessage, socket: Socket) => this.#upgrade(request, socket));
  }

  /** Starts to listen. Rejects if the options are invalid or the address cannot be used. */
  static async start({ hostname = "127.0.0.1", port = 0, ...options }: SimulatorOptions = {}): Promise<Simulator> {
    const exchange = new Exchange(options);
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, hostname, resolve);
    });
    return new Simulator(exchange, server);
  }

  get products(): readonly string[] {
    return [...this.#exchange.market.keys()];
  }

  /**
   * What a client on `ticker_batch` would have received in the last `pastMs`, up to now; generated while it is read. The
   * live tickers continue from there: a client that reads it to the end and then subscribes misses nothing. Empty once a
   * client has subscribed.
   */
  past(): Generator<Sample> {
    return this.#exchange.past();
  }

  /**
   * Every valid ticker that was sent, once each, in the order of sending: the newest `rememberTicks`. `since` skips that
   * many of all that were ever sent.
   */
  sent(since = 0): readonly SentTick[] {
    return this.#exchange.sent.since(since).map(({ trade, at, connection }) => {
      const { product, sequence, tradeId, price, time } = trade;
      return { id: tickerId(trade), product, sequence, tradeId, price, time, at, connection };
    });
  }

  get sentCount(): number {
    return this.#exchange.sent.count;
  }

  /** Trades of each product since the start, sent or not, with the ids of the last one. */
  traded(): Readonly<Record<string, { count: number; sequence: number; tradeId: number }>> {
    return Object.fromEntries(
      [...this.#exchange.market].map(([id, { traded, last }]) => {
        const { sequence = 0, tradeId = 0 } = last ?? {};
        return [id, { count: traded, sequence, tradeId }];
      }),
    );
  }

  /** The newest ten thousand connections, oldest first. */
  connections(): readonly ConnectionInfo[] {
    const open = [...this.#exchange.clients].map(describe);
    return [...this.#closed.since(), ...open].sort((a, b) => a.number - b.number);
  }

  /** The newest ten thousand messages of clients. */
  received(): readonly ReceivedText[] {
    return this.#exchange.received.since();
  }

  /**
   * Stops listening, closes every client with 1001, and resolves when nothing is left open. A second call waits for the
   * first.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    const sockets = [...this.#exchange.clients].map(({ socket }) => socket);
    for (const socket of sockets) {
      socket.hush(false);
      socket.close(1001, "simulator closes");
    }
    const timer = setTimeout(() => sockets.forEach((socket) => socket.drop()), CLOSE_GRACE_MS);
    await Promise.all([closed, ...sockets.map((socket) => socket.closed)]);
    clearTimeout(timer);
  }

  #upgrade(request: IncomingMessage, connection: Socket): void {
    const { switches, clients } = this.#exchange;
    const key = request.headers["sec-websocket-key"];
    const isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket" && key !== undefined &&
      request.headers["sec-websocket-version"] === "13";
    const status = isWebSocket ? switches.refuseUpgrade : 400;
    if (status !== undefined || key === undefined) {
      connection.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    connection.write(
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" +
        `sec-websocket-accept: ${acceptKey(key)}\r\n\r\n`,
    );
    const socket = new ServerSocket(connection, (text) => this.#exchange.hear(client, text));
    const number = ++this.#opened;
    const client = new Connection(
      number,
      this.#exchange.wallMs(),
      socket,
      switches,
      (trade) => this.#exchange.noteSent(trade, number),
    );
    clients.add(client);
    socket.hush(switches.silent || switches.mute);
    if (switches.hangUpAtOnce) socket.close(1001);
    void socket.closed.then(() => {
      clients.delete(client);
      this.#closed.add(describe(client));
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body } = await this.#answer(request);
    const isJson = !(Symbol.iterator in body);
    const headers = {
      "content-type": isJson ? "application/json" : "application/x-ndjson",
      "cache-control": "no-store",
      "connection": "close",
    };
    response.writeHead(status, headers);
    if (isJson) response.end(`${JSON.stringify(body, null, request.method === "GET" ? 2 : 0)}\n`);
    // rejects if the client leaves
    else await pipeline(Readable.from(body), response).catch(() => {});
  }

  async #answer(request: IncomingMessage): Promise<Reply> {
    const problem = foreignRequest(request);
    if (problem !== undefined) return { status: 403, body: { error: problem } };
    const { method } = request;
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://simulator");
    const lever = /^\/levers\/(\w+)$/.exec(pathname)?.[1];
    if (method === "POST" && lever !== undefined) return await this.#pull(lever, request);
    if (method === "GET" && pathname === "/") return { status: 200, body: this.#state() };
    if (method === "GET" && pathname === "/sent") {
      const since = searchParams.get("since") ?? "0";
      if (/^\d{1,15}$/.test(since)) return { status: 200, body: jsonLines(this.sent(Number(since))) };
      const error = `Cannot use since: expected a whole number from 0, got ${JSON.stringify(since)}`;
      return { status: 400, body: { error } };
    }
    const isKnown = lever !== undefined || pathname === "/" || pathname === "/sent";
    const error = `Cannot find ${method} ${pathname}: there are GET /, GET /sent and POST /levers/<name>`;
    return { status: isKnown ? 405 : 404, body: { error } };
  }

  async #pull(name: string, request: IncomingMessage): Promise<Reply> {
    const bytes = Number(request.headers["content-length"] ?? (request.headers["transfer-encoding"] ? NaN : 0));
    if (!(bytes <= MAX_BODY_BYTES)) {
      const error = `Cannot pull ${name}: expected a body of at most ${MAX_BODY_BYTES} bytes, with a Content-Length`;
      return { status: 413, body: { error } };
    }
    // rejects if the client leaves
    const text = await readText(request).catch(() => "");
    try {
      const pulled = pullLever(this.#exchange, name, text.trim() === "" ? {} : JSON.parse(text));
      if (pulled !== undefined) return { status: 200, body: { lever: name, ...pulled } };
      const error = `Cannot find the lever "${name}": there are ${Object.keys(this.levers).join(", ")}`;
      return { status: 404, body: { error } };
    } catch (error) {
      if (error instanceof LeverError) return { status: 400, body: { error: error.message } };
      if (!(error instanceof SyntaxError)) throw error;
      const found = JSON.stringify(text.slice(0, 100));
      return { status: 400, body: { error: `Cannot pull ${name}: expected JSON in the body, got ${found}` } };
    }
  }

  #state(): Record<string, unknown> {
    const { switches, market, player, sent, clients } = this.#exchange;
    const ids = (isMeant: (id: string) => boolean) => [...market.keys()].filter(isMeant);
    return {
      url: this.url,
      connections: [...clients].map(describe),
      sent: sent.count,
      forgotten: sent.forgotten,
      traded: this.traded(),
      playback: { played: player?.played ?? 0, total: player?.total ?? 0 },
      switches: {
        ...switches,
        quiet: ids((id) => market.get(id)?.isTrading === false),
        lost: ids((id) => market.get(id)?.isPublished === false),
      },
      levers: describeLevers(this.products),
    };
  }
}

function describe({ number, openedAt, subscriptions, socket }: Connection): ConnectionInfo {
  const info = { number, openedAt, subscribed: subscriptions.all() };
  return socket.code === undefined ? info : { ...info, closed: socket.code };
}

/** In pieces, because a line at a time would be slow. */
function* jsonLines(rows: readonly unknown[]): Generator<string> {
  for (let i = 0; i < rows.length; i += 1000) {
    yield rows.slice(i, i + 1000).map((row) => `${JSON.stringify(row)}\n`).join("");
  }
}

/**
 * Why a request may not use the levers; undefined if it may. Otherwise a page of another origin could pull them through
 * the user's browser, and read the answers through a host name that resolves to 127.0.0.1.
 */
function foreignRequest({ headers }: IncomingMessage): string | undefined {
  const refused = (header: string, expected: string, value: unknown) =>
    `Cannot serve the request: expected ${header} to be ${expected}, got ${JSON.stringify(value)}`;
  const { host = "", origin, "sec-fetch-site": site } = headers;
  if (!/^(?:(?:\d{1,3}\.){3}\d{1,3}|\[[\da-f:.]+\]|localhost)(?::\d+)?$/i.test(host)) {
    return refused("Host", "localhost or an IP address", host);
  }
  if (origin !== undefined && origin !== `http://${host}`) return refused("Origin", "the simulator's own", origin);
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    return refused("Sec-Fetch-Site", "same-origin or none", site);
  }
  return undefined;
}
