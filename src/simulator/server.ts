// The Coinbase simulator: a WebSocket server that speaks the Coinbase Exchange protocol, for tests, demo and benches. It
// shares no code with the program it tests, so that both cannot contain the same mistake. Prices are simulated or
// recorded; the levers cause faults.

import { Connection } from "./connection.ts";
import { Floor, type FloorOptions, PUMP_MS } from "./floor.ts";
import type { Reply, Request } from "./http.ts";
import { foreign, readBody, readRequest, upgradeKey, writeReply, writeUpgrade } from "./http.ts";
import type { ReceivedText, SentTick } from "./ledger.ts";
import { Newest } from "./ledger.ts";
import type { Levers } from "./levers.ts";
import { createLevers, describeLevers, LeverError, pullLever } from "./levers.ts";
import { DEFAULT_PRODUCTS } from "./market.ts";
import type { Sample } from "./past.ts";
import { acceptKey, cut, ServerSocket } from "./socket.ts";

export type { SentTick } from "./ledger.ts";

/** How long closing waits for the clients to answer the Close before it cuts their connections, ms. */
const FAREWELL_MS = 250;
const CONNECTIONS_LIMIT = 10_000;
/** How long a client may take to send its request, ms. */
const REQUEST_MS = 15_000;
/** Wait after a failed accept, ms. */
const ACCEPT_AGAIN_MS = 100;

/** How the simulated exchange behaves before any lever is pulled, and where it listens. */
export interface SimulatorOptions extends Partial<FloorOptions> {
  /** Address to listen on. Default `127.0.0.1`. */
  readonly hostname?: string;
  /** Port to listen on. Default 0: a free one. */
  readonly port?: number;
}

/** One client connection, open or closed. */
export interface ConnectionInfo {
  /** Counted from 1. */
  readonly number: number;
  /** ms since the epoch. */
  readonly openedAt: number;
  /** Channel -> products; `ticker_1000` appears under its newer name `ticker_batch`. */
  readonly subscribed: Readonly<Record<string, readonly string[]>>;
  /** Its close code, 1006 if the connection broke; missing while open. */
  readonly closed?: number;
}

/** The simulated exchange. It listens from `start()` until it is disposed of. */
export class Simulator implements AsyncDisposable {
  /** Where clients connect: `ws://127.0.0.1:<port>`. */
  readonly url: string;
  /** The HTTP interface with the levers: `http://127.0.0.1:<port>`. */
  readonly httpUrl: string;
  /** The port it listens on. */
  readonly port: number;
  /** The faults it can cause. */
  readonly levers: Levers;
  readonly #floor: Floor;
  readonly #listener: Deno.TcpListener;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #accepting: Promise<void>;
  readonly #serving = new Set<Promise<void>>();
  /** Connections that are not, or not yet, WebSockets. */
  readonly #lines = new Set<Deno.Conn>();
  readonly #past = new Newest<ConnectionInfo>(CONNECTIONS_LIMIT);
  #opened = 0;
  #failure: unknown;
  #closing: Promise<void> | undefined;

  private constructor(options: SimulatorOptions) {
    const { hostname = "127.0.0.1", port = 0, recording } = options;
    this.#floor = new Floor({
      products: options.products ?? (recording === undefined ? DEFAULT_PRODUCTS : []),
      seed: options.seed ?? 1,
      ticksPerSecond: atLeast("ticksPerSecond", options.ticksPerSecond ?? 1, 0),
      batchMs: atLeast("batchMs", options.batchMs ?? 5000, PUMP_MS),
      heartbeatMs: atLeast("heartbeatMs", options.heartbeatMs ?? 1000, PUMP_MS),
      subscribeWithinMs: atLeast("subscribeWithinMs", options.subscribeWithinMs ?? 5000, 0),
      rememberTicks: atLeast("rememberTicks", options.rememberTicks ?? 2_000_000, 0),
      pastMs: atLeast("pastMs", options.pastMs ?? 0, 0),
      recording,
    });
    if (recording !== undefined && (options.pastMs ?? 0) > 0) {
      throw new RangeError(`Cannot use pastMs beside a recording: current value is ${options.pastMs}`);
    }
    if (recording !== undefined && !(recording.speed > 0)) {
      throw new RangeError(`Cannot use speed as it must be above 0: current value is ${recording.speed}`);
    }
    this.levers = createLevers(this.#floor);
    this.#listener = Deno.listen({ hostname, port, transport: "tcp" });
    this.port = this.#listener.addr.port;
    const shown = hostname === "0.0.0.0" || hostname === "::" ? "127.0.0.1" : hostname;
    const authority = `${shown.includes(":") ? `[${shown}]` : shown}:${this.port}`;
    this.url = `ws://${authority}`;
    this.httpUrl = `http://${authority}`;
    this.#timer = setInterval(() => this.#floor.pump(), PUMP_MS);
    this.#accepting = this.#accept();
  }

  /** Starts to listen. Rejects if the options are invalid or the address cannot be used. */
  static start(options: SimulatorOptions = {}): Promise<Simulator> {
    return new Promise((resolve) => resolve(new Simulator(options)));
  }

  /** The products it lists. */
  get products(): readonly string[] {
    return this.#floor.market.products;
  }

  /**
   * What a client on `ticker_batch` would have received in the last `pastMs`, up to now; generated while it is read. The
   * live tickers continue from there: a client that reads it to the end and then subscribes misses nothing. Empty once a
   * client has subscribed.
   */
  past(): Generator<Sample> {
    return this.#floor.past();
  }

  /**
   * Every valid ticker that was sent, once each, in the order of sending: the newest `rememberTicks`. `since` skips that
   * many of all that were ever sent.
   */
  sent(since = 0): readonly SentTick[] {
    return [...this.#floor.ledger.since(since)];
  }

  /** How many tickers were sent since the start. */
  get sentCount(): number {
    return this.#floor.ledger.count;
  }

  /** How many of the oldest tickers are no longer in `sent()`. */
  get forgotten(): number {
    return this.#floor.ledger.forgotten;
  }

  /** Trades of each product since the start, sent or not, with the ids of the last one. */
  traded(): Readonly<Record<string, { count: number; sequence: number; tradeId: number }>> {
    const { market } = this.#floor;
    return Object.fromEntries(market.products.map((product) => {
      const last = market.last(product);
      return [product, {
        count: market.traded(product),
        sequence: last?.sequence ?? 0,
        tradeId: last?.tradeId ?? 0,
      }];
    }));
  }

  /** The newest ten thousand connections, oldest first. */
  connections(): readonly ConnectionInfo[] {
    const live = [...this.#floor.clients].map((client) => describe(client));
    return [...this.#past.list(), ...live].sort((a, b) => a.number - b.number);
  }

  /** The newest ten thousand messages of clients. */
  received(): readonly ReceivedText[] {
    return this.#floor.received.list();
  }

  /** Progress of the recording: equal numbers when it is over, both 0 without one. */
  playback(): { readonly played: number; readonly total: number } {
    const player = this.#floor.player;
    return { played: player?.played ?? 0, total: player?.total ?? 0 };
  }

  /**
   * Stops listening, closes every client with 1001, and resolves when nothing is left open. A second call waits for the
   * first.
   */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.#listener.close();
    await this.#accepting;
    for (const { socket } of this.#floor.clients) {
      socket.hush(false);
      socket.close(1001, "simulator closes");
    }
    for (const line of this.#lines) cut(line);
    const late = setTimeout(() => {
      for (const { socket } of this.#floor.clients) socket.drop();
    }, FAREWELL_MS);
    await Promise.all(this.#serving);
    clearTimeout(late);
    // a bug of the simulator must not look like one of the program under test
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #accept(): Promise<void> {
    for (;;) {
      let conn: Deno.TcpConn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
        // out of file descriptors, or the peer left while it was in the queue: try the next one
        const [oldest] = this.#lines;
        if (oldest !== undefined) cut(oldest);
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_AGAIN_MS));
        continue;
      }
      const serving = this.#serve(conn).finally(() => this.#serving.delete(serving));
      this.#serving.add(serving);
    }
  }

  /** Serves one connection to its end. Never rejects. */
  async #serve(conn: Deno.TcpConn): Promise<void> {
    this.#lines.add(conn);
    const late = setTimeout(() => cut(conn), REQUEST_MS);
    try {
      conn.setNoDelay(true);
      const request = await readRequest(conn);
      clearTimeout(late);
      const key = request === undefined ? undefined : upgradeKey(request);
      if (request === undefined) await writeReply(conn, { status: 400, body: refusal("Cannot read the request") });
      else if (key === undefined) await writeReply(conn, await this.#answer(conn, request));
      else if (this.#floor.switches.refuseUpgrade === undefined) await this.#upgrade(conn, key, request.rest);
      else await writeReply(conn, { status: this.#floor.switches.refuseUpgrade, body: "refused", type: "text/plain" });
    } catch (error) {
      if (!isLineError(error)) this.#failure ??= error;
    } finally {
      clearTimeout(late);
      this.#lines.delete(conn);
      cut(conn);
    }
  }

  async #upgrade(conn: Deno.TcpConn, key: string, rest: Uint8Array): Promise<void> {
    await writeUpgrade(conn, await acceptKey(key));
    const { switches, clients } = this.#floor;
    this.#lines.delete(conn);
    const socket = new ServerSocket(conn, rest);
    const client = new Connection(++this.#opened, this.#floor.wallMs(), socket, switches.mute, this.#floor);
    clients.add(client);
    try {
      socket.hush(switches.silent || switches.mute);
      if (switches.hangUpAtOnce) socket.close(1001);
      await socket.run((text) => this.#floor.hear(client, text));
    } finally {
      socket.drop();
      clients.delete(client);
      this.#past.add(describe(client));
    }
  }

  async #answer(conn: Deno.Conn, request: Request): Promise<Reply> {
    const reason = foreign(request);
    if (reason !== undefined) return { status: 403, body: refusal(reason) };
    const { method, url } = request;
    const lever = /^\/levers\/(\w+)$/.exec(url.pathname)?.[1];
    if (method === "POST" && lever !== undefined) {
      const body = await readBody(conn, request);
      if (body === undefined) {
        return { status: 400, body: refusal("Cannot read the body as it must be 0 to 65536 bytes") };
      }
      return this.#pull(lever, body);
    }
    if (method === "GET" && url.pathname === "/") {
      return { status: 200, body: `${JSON.stringify(this.#state(), null, 2)}\n` };
    }
    if (method === "GET" && url.pathname === "/sent") {
      const since = url.searchParams.get("since") ?? "0";
      if (!/^\d{1,15}$/.test(since)) {
        const wish = "Cannot use since as it must be a whole number from 0 on";
        return { status: 400, body: refusal(`${wish}: current value is ${JSON.stringify(since)}`) };
      }
      return { status: 200, type: "application/x-ndjson", body: jsonLines(this.#floor.ledger.since(Number(since))) };
    }
    const known = lever !== undefined || url.pathname === "/" || url.pathname === "/sent";
    return { status: known ? 405 : 404, body: refusal(`Cannot find ${method} ${url.pathname}`) };
  }

  #pull(name: string, body: string): Reply {
    let args: unknown = {};
    try {
      if (body.trim() !== "") args = JSON.parse(body);
    } catch {
      const wish = `Cannot pull ${name} as the body must be JSON`;
      return { status: 400, body: refusal(`${wish}: current value is ${JSON.stringify(body.slice(0, 100))}`) };
    }
    try {
      const pulled = pullLever(this.#floor, name, args);
      if (pulled !== undefined) return { status: 200, body: `${JSON.stringify({ lever: name, ...pulled })}\n` };
      const names = Object.keys(this.levers).join(", ");
      return { status: 404, body: refusal(`Cannot find the lever "${name}": there are ${names}`) };
    } catch (error) {
      if (error instanceof LeverError) return { status: 400, body: refusal(error.message) };
      throw error;
    }
  }

  #state(): Record<string, unknown> {
    const { switches, quiet, lost } = this.#floor;
    return {
      url: this.url,
      connections: [...this.#floor.clients].map((client) => describe(client)),
      sent: this.sentCount,
      forgotten: this.forgotten,
      traded: this.traded(),
      playback: this.playback(),
      switches: { ...switches, quiet: [...quiet], lost: [...lost] },
      levers: describeLevers(this.products),
    };
  }
}

function describe({ number, openedAt, subscriptions, socket }: Connection): ConnectionInfo {
  const info = { number, openedAt, subscribed: subscriptions.all() };
  return socket.code === undefined ? info : { ...info, closed: socket.code };
}

function refusal(error: string): string {
  return `${JSON.stringify({ error })}\n`;
}

function* jsonLines(rows: Iterable<unknown>): Generator<string> {
  for (const row of rows) yield `${JSON.stringify(row)}\n`;
}

function atLeast(name: string, value: number, min: number): number {
  if (value >= min) return value;
  throw new RangeError(`Cannot use ${name} as it must be at least ${min}: current value is ${value}`);
}

/** Whether the error only means that the connection ended. */
function isLineError(error: unknown): boolean {
  const { BadResource, BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, NotConnected, UnexpectedEof } =
    Deno.errors;
  return [BadResource, BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, NotConnected, UnexpectedEof]
    .some((kind) => error instanceof kind);
}
