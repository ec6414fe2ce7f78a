// A server on a free port whose parts say what the test wants, and ways to ask it: by hand, and as a browser reads a stream.

import { systemClock } from "../../src/core/clock.ts";
import { DEFAULT_EXCHANGE } from "../../src/exchanges/mod.ts";
import type { SinkStatus } from "../../src/pipeline/delivery.ts";
import type { FeedEvent } from "../../src/core/record.ts";
import { LiveSink } from "../../src/web/live.ts";
import type { ProductStatus, SourceStatus } from "../../src/pipeline/source.ts";
import { Stats } from "../../src/core/stats.ts";
import type { StoreReader } from "../../src/store/reader.ts";
import { serve, type WebOptions, type WebServer } from "../../src/web/server.ts";
import { Notebook } from "../fakes/log.ts";
import { FakeSource } from "../fakes/source.ts";
import { until } from "../simulator/client.ts";

const never = new AbortController().signal;

/** A store that answers every question in the same way. */
export function storeThat(answer: () => Promise<unknown>): StoreReader {
  const question = () => answer() as Promise<never>;
  const onCommit = () => () => {};
  return { onCommit, lastTicks: question, ticks: question, candles: question, gaps: question, since: question };
}

/** What a site is made of. */
export interface SiteOptions extends Partial<Omit<WebOptions, "source" | "live" | "log">> {
  readonly source?: Partial<SourceStatus>;
  readonly sinks?: SinkStatus[];
  /** Events that the live sink keeps. */
  readonly capacity?: number;
}

/** A server with all its parts. */
export class Site implements AsyncDisposable {
  readonly source = new FakeSource();
  readonly live: LiveSink;
  readonly log = new Notebook();
  readonly stats: Stats;
  readonly port: number;
  readonly #server: WebServer;

  constructor({ source, sinks = [], capacity, ...options }: SiteOptions = {}) {
    const clock = options.clock ?? systemClock;
    this.source.state = { ...this.source.state, exchange: "Coinbase", ...source };
    this.live = new LiveSink({ clock, ...(capacity === undefined ? {} : { capacity }) });
    this.stats = options.stats ?? new Stats();
    this.#server = serve({
      host: "127.0.0.1",
      port: 0,
      nextFreePort: false,
      allowedHosts: [],
      source: this.source,
      exchange: DEFAULT_EXCHANGE,
      pipeline: { status: () => sinks },
      live: this.live,
      log: this.log,
      ...options,
      clock,
      stats: this.stats,
    });
    this.port = this.#server.addr.port;
  }

  /** Hands events to the live sink, as one batch. */
  push(...events: readonly FeedEvent[]): Promise<void> {
    return this.live.write(events, never);
  }

  /** States as the source tells them. */
  set products(products: readonly ProductStatus[]) {
    this.source.state = { ...this.source.state, products };
  }

  /** See {@link ask}. */
  ask(path: string, how?: Ask): Promise<Answer> {
    return ask(this.port, path, how);
  }

  /** Opens a stream. */
  stream(query = "", headers: Readonly<Record<string, string>> = {}): Promise<Stream> {
    return Stream.open(`http://127.0.0.1:${this.port}/api/stream${query}`, headers);
  }

  /** Ends the server. */
  stop(): Promise<void> {
    return this.#server.shutdown();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** How to ask. */
export interface Ask {
  readonly method?: string;
  /** Null: none. */
  readonly host?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What came. */
export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- whatever it is, the test compares it
  readonly json: any;
}

/** By hand, since `fetch` chooses the Host header itself, and makes paths straight. */
export async function ask(
  port: number,
  path: string,
  { method = "GET", host = "localhost", headers = {}, body }: Ask = {},
): Promise<Answer> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const lines = [
    `${method} ${path} HTTP/1.1`,
    ...host === null ? [] : [`Host: ${host}`],
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...body === undefined ? [] : [`Content-Length: ${new TextEncoder().encode(body).length}`],
    "Connection: close",
  ];
  await conn.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n${body ?? ""}`));
  const whole = await new Response(conn.readable).text();
  const end = whole.indexOf("\r\n\r\n");
  const [first = "", ...given] = whole.slice(0, end).split("\r\n");
  const named = new Map(given.map((line) => {
    const [name = "", ...rest] = line.split(": ");
    return [name.toLowerCase(), rest.join(": ")];
  }));
  const text = named.get("transfer-encoding") === "chunked"
    ? whole.slice(end + 4).split("\r\n").filter((_, i) => i % 2 === 1).join("\r\n")
    : whole.slice(end + 4);
  return {
    status: Number(first.split(" ")[1]),
    headers: named,
    text,
    json: named.get("content-type") === "application/json" && !named.has("content-encoding") && text !== ""
      ? JSON.parse(text)
      : {},
  };
}

/** One event of a stream. */
export interface StreamEvent {
  /** `tick`, `gap`, `status`, ... */
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- whatever it is, the test compares it
  readonly data: any;
}

/** A stream as a browser reads it. */
export class Stream implements AsyncDisposable {
  readonly response: Response;
  /** All events so far. */
  readonly events: StreamEvent[] = [];
  /** Comments, without their colon. */
  readonly comments: string[] = [];
  /** As the browser would send it when it comes again; undefined: none came. */
  lastEventId: string | undefined;
  /** What the server wants the browser to wait, ms. */
  retry: number | undefined;
  /** The server has ended it. */
  ended = false;
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>;

  private constructor(response: Response, stop: AbortController) {
    this.response = response;
    this.#stop = stop;
    this.#reading = this.#read();
  }

  static async open(url: string, headers: Readonly<Record<string, string>>): Promise<Stream> {
    const stop = new AbortController();
    return new Stream(await fetch(url, { headers, signal: stop.signal }), stop);
  }

  /** Ticks as `BTC-USD1`, gaps as `gap BTC-USD`, resets; status is left out. */
  get told(): string {
    return this.events.flatMap(({ event, data }) =>
      event === "tick"
        ? `${data.product}${data.sequence}`
        : event === "gap"
        ? `gap-${data.product}${data.to === null ? "" : "-closed"}`
        : event === "status"
        ? []
        : event
    ).join(" ");
  }

  /** Data of all events of this name. */
  // deno-lint-ignore no-explicit-any -- see StreamEvent.data
  data(event: string): any[] {
    return this.events.filter((each) => each.event === event).map(({ data }) => data);
  }

  /** Waits until it has told this. */
  async hears(told: string): Promise<void> {
    try {
      await until(`the stream tells "${told}"`, () => this.told === told);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}; it told "${this.told}"`);
    }
  }

  /** Waits for so many events of this name. */
  async waits(event: string, count = 1): Promise<void> {
    await until(`${count} events ${event} came`, () => this.data(event).length >= count);
  }

  /** Waits until the server ends it. */
  async ends(): Promise<void> {
    await until("the stream ends", () => this.ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async #read(): Promise<void> {
    let text = "";
    try {
      for await (const chunk of (this.response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
        text += chunk;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) this.#take(text.slice(0, end));
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
    this.ended = true;
  }

  #take(block: string): void {
    let event = "message";
    let data: string | undefined;
    for (const line of block.split("\n")) {
      const [, field = "", value = ""] = /^([a-z]*): (.*)$/.exec(line) ?? [];
      if (field === "") this.comments.push(value);
      else if (field === "event") event = value;
      else if (field === "data") data = value;
      else if (field === "id") this.lastEventId = value;
      else if (field === "retry") this.retry = Number(value);
      else throw new Error(`Cannot read the line ${line}`);
    }
    if (data !== undefined) this.events.push({ event, data: JSON.parse(data) });
  }
}

/** Products that are live. */
export function liveProducts(...products: string[]): ProductStatus[] {
  return products.map((product) => ({ product, state: "live" }));
}
