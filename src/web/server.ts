// The HTTP server: routes, and the checks that each request must pass. It answers only to names of this machine, so that no
// web page elsewhere can read it through a visitor's browser.

import { waitAtMost } from "../core/abort.ts";
import { ConfigError, reasonOf } from "../core/errors.ts";
import type { Exchange } from "../exchanges/exchange.ts";
import type { Logger } from "../core/log.ts";
import type { StoreReader } from "../store/reader.ts";
import { Api, StoreGate } from "./api.ts";
import { Connections } from "./connections.ts";
import { type DemoLevers, LEVERS_PATH, listLevers, pullLever } from "./demo_api.ts";
import { renderMetrics } from "./metrics.ts";
import { PAGE_PATHS, PAGE_STYLE_SOURCE, pageFile } from "./page.ts";
import { HttpError, isOwnOrigin, json, quoted } from "./request.ts";
import { readinessOf, statusOf, type StatusOptions } from "./status.ts";
import { Streams } from "./stream.ts";

/** What the server is built from. */
export interface WebOptions extends StatusOptions {
  readonly host: string;
  /** Port; 0: any free one. */
  readonly port: number;
  /** If the port is taken, try those after it. */
  readonly nextFreePort: boolean;
  /** Lower-case host names to answer to, besides localhost and IP addresses. */
  readonly allowedHosts: readonly string[];
  /** Web pages elsewhere that may read the answers, as `https://example.org`; default none. */
  readonly allowedOrigins?: readonly string[];
  readonly exchange: Pick<Exchange, "name">;
  /** Without it there are only the status routes: no page, no lists, no stream. */
  readonly store?: StoreReader | undefined;
  readonly demo?: DemoLevers | undefined;
  readonly log: Logger;
}

/** Ports that are tried after the wanted one. */
const NEXT_PORTS = 20;
/** Longest address, characters: room for the names of some hundred products. */
const MAX_URL = 8192;
/** How long a shutdown waits for answers that are being sent, ms. */
const LAST_ANSWERS_MS = 200;

/** On every answer: a browser loads nothing from elsewhere for it, and does not show it to a page from elsewhere. */
const HEADERS: readonly (readonly [string, string])[] = [
  [
    "content-security-policy",
    [
      "default-src 'none'",
      "script-src 'self'",
      `style-src 'self' ${PAGE_STYLE_SOURCE}`,
      "img-src 'self' data:",
      "connect-src 'self'",
      "worker-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
  ],
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "no-referrer"],
  ["cross-origin-opener-policy", "same-origin"],
  ["cross-origin-resource-policy", "same-origin"],
];

/** Whether a `Host` header names this machine: loopback, an IP address, or a name from the settings. */
export function isOwnHost(header: string | null, allowedHosts: readonly string[]): boolean {
  // canParse() refuses what only looks like an address: 999.999.999.999
  if (header === null || !URL.canParse(`http://${header}`)) return false;
  const name = header.toLowerCase().replace(/:\d+$/, "");
  if (name === "localhost" || name.endsWith(".localhost") || allowedHosts.includes(name)) return true;
  return /^\[[0-9a-f:.]+\]$/.test(name) || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name);
}

interface RouteInput {
  readonly request: Request;
  readonly search: URLSearchParams;
  /** Resolves when the connection is done with the answer. */
  readonly completed: Promise<void>;
}

type Route = (input: RouteInput) => Response | Promise<Response>;

/** Answers all requests. */
class Site {
  readonly #options: WebOptions;
  readonly #routes = new Map<string, Route>();
  readonly #streams: Streams | undefined;
  /** Requests whose answers are not sent yet. */
  readonly #open = new Set<Promise<void>>();
  #stopping = false;

  constructor(options: WebOptions, serverTrouble: () => string | undefined) {
    const { source, pipeline, stats, store, live, demo, clock } = options;
    const exchange = options.exchange.name;
    const routes = this.#routes;
    this.#options = options;

    if (store !== undefined) {
      for (const path of PAGE_PATHS) routes.set(path, ({ request }) => pageFile(path, request));
    }
    routes.set("/healthz", () => json({ alive: true }));
    routes.set("/readyz", () => {
      const readiness = readinessOf(options, serverTrouble());
      return json(readiness, readiness.ready ? 200 : 503);
    });
    routes.set("/metrics", () => {
      const text = renderMetrics({ stats, source: source.status(), sinks: pipeline.status() });
      return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
    });
    routes.set("/api/status", () => json(statusOf(options, serverTrouble())));
    if (store !== undefined) {
      const gate = new StoreGate();
      const api = new Api({ source, exchange, store, live, clock }, gate);
      routes.set("/api/products", ({ search }) => api.products(search));
      routes.set("/api/ticks", ({ search }) => api.ticks(search));
      routes.set("/api/candles", ({ search }) => api.candles(search));
      routes.set("/api/gaps", ({ search }) => api.gaps(search));
      if (live !== undefined) {
        const status = () => {
          const { products, ...rest } = statusOf(options, serverTrouble());
          return { products, rest };
        };
        const onBug = (error: unknown) => this.#logBug("/api/stream", error);
        const streams = new Streams({ live, store, api, gate, exchange, status, clock, onBug });
        routes.set("/api/stream", (input) => this.#stream(streams, input));
        this.#streams = streams;
      }
    }
    if (demo !== undefined) routes.set("/api/demo", () => listLevers(demo));
  }

  /** Answers one request; never rejects. */
  async answer(request: Request, completed: Promise<void>): Promise<Response> {
    const settled = completed.then(() => void this.#open.delete(settled));
    this.#open.add(settled);
    const response = await this.#answer(request, completed).catch((error): Response => {
      if (error instanceof HttpError) return json({ error: error.message }, error.status, error.headers);
      this.#logBug(request.url, error);
      return json({ error: "Cannot answer because of a bug in this program: see its log" }, 500);
    });
    const { headers } = response;
    for (const [name, value] of HEADERS) headers.set(name, value);
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    this.#allowOrigin(request, headers);
    return response;
  }

  /** Ends the streams, and waits a moment for answers that are being sent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#streams?.close();
    await waitAtMost(LAST_ANSWERS_MS, Promise.all(this.#open), this.#options.clock);
  }

  async #answer(request: Request, completed: Promise<void>): Promise<Response> {
    const { demo, allowedHosts } = this.#options;
    const host = request.headers.get("host");
    if (!isOwnHost(host, allowedHosts)) {
      const expected = "localhost, an IP address or a name in ALLOWED_HOSTS";
      throw new HttpError(403, `Cannot answer for the host ${quoted(host ?? "")}: expected ${expected}`);
    }
    if (this.#stopping) throw new HttpError(503, "Cannot answer: the program is stopping", { "retry-after": "5" });
    if (request.url.length > MAX_URL) {
      throw new HttpError(414, `Cannot use the address: expected at most ${MAX_URL} characters`);
    }
    const { pathname, searchParams: search } = new URL(request.url);
    const { method } = request;
    const isLever = demo !== undefined && pathname.startsWith(LEVERS_PATH);
    if (method === "OPTIONS" && !isLever && this.#isAllowed(request.headers.get("origin"))) {
      const headers = { "access-control-allow-methods": "GET, HEAD", "access-control-allow-headers": "last-event-id" };
      return new Response(null, { status: 204, headers });
    }
    const methods = isLever ? ["POST"] : ["GET", "HEAD"];
    if (!methods.includes(method)) {
      const allow = methods.join(", ");
      throw new HttpError(405, `Cannot use the method ${method}: expected ${methods.join(" or ")}`, { allow });
    }
    if (isLever) return await pullLever(request, pathname.slice(LEVERS_PATH.length), demo);
    const route = this.#routes.get(pathname);
    if (route !== undefined) return await route({ request, search, completed });
    const paths = [...this.#routes.keys()].filter((path) => path === "/" || !PAGE_PATHS.includes(path));
    const last = paths.pop();
    throw new HttpError(404, `Cannot find ${quoted(pathname)}: there are ${paths.join(", ")} and ${last}`);
  }

  /** The number of streams is limited: pages elsewhere must not use them up, even if they could not read the answers. */
  #stream(streams: Streams, { request, search, completed }: RouteInput): Response {
    const origin = request.headers.get("origin");
    if (origin !== null && !isOwnOrigin(origin, request) && !this.#isAllowed(origin)) {
      throw new HttpError(403, `Cannot open a stream for ${quoted(origin)}: expected an origin in ALLOWED_ORIGINS`);
    }
    return streams.open(request, search, completed);
  }

  #isAllowed(origin: string | null): boolean {
    return origin !== null && this.#options.allowedOrigins?.includes(origin) === true;
  }

  #allowOrigin(request: Request, headers: Headers): void {
    if ((this.#options.allowedOrigins ?? []).length === 0) return;
    headers.append("vary", "origin");
    const origin = request.headers.get("origin");
    if (origin === null || !this.#isAllowed(origin)) return;
    headers.set("access-control-allow-origin", origin);
    headers.set("cross-origin-resource-policy", "cross-origin");
  }

  #logBug(page: string, error: unknown): void {
    this.#options.log.often("error", "A request failed because of a bug", {
      page,
      error: error instanceof Error ? error.stack ?? error.message : String(error),
    });
  }
}

/** A server that listens. */
export interface WebServer extends AsyncDisposable {
  readonly addr: Deno.NetAddr;
  /** Ends the streams, waits a moment for answers that are being sent, then closes all connections. */
  shutdown(): Promise<void>;
}

/** Starts to listen. Throws a ConfigError if the address or port cannot be used. Later failures do not end the program. */
export function serve(options: WebOptions): WebServer {
  const { clock, log } = options;
  const listener = listen(options);
  const site: Site = new Site(options, () => connections.trouble);
  const connections: Connections = new Connections(listener, {
    answer: (request, completed) => site.answer(request, completed),
    clock,
    log,
  });
  let stopped: Promise<void> | undefined;
  const shutdown = () => stopped ??= site.stop().then(() => connections.close());
  return { addr: listener.addr, shutdown, [Symbol.asyncDispose]: shutdown };
}

function listen({ host, port, nextFreePort }: WebOptions): Deno.TcpListener {
  for (let offset = 0;; offset++) {
    try {
      return Deno.listen({ hostname: host, port: port + offset });
    } catch (error) {
      const isTaken = error instanceof Deno.errors.AddrInUse;
      if (isTaken && nextFreePort && offset < NEXT_PORTS && port + offset < 65535) continue;
      if (isTaken) {
        throw new ConfigError([
          `Cannot listen on ${host}:${port}: expected PORT to be a free port, another program uses it`,
        ]);
      }
      throw new ConfigError([
        `Cannot listen on ${host}:${port}: expected HOST to be an address of this machine: ${reasonOf(error)}`,
      ]);
    }
  }
}
