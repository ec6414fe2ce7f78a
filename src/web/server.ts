// The server: status pages (/healthz, /readyz, /metrics, /api/status), and with a store the page and its API. Answers only to
// names of this machine, so that no web page on a foreign name can read it through a visitor's browser.

import { waitAtMost } from "../core/abort.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { ConfigError, reasonOf } from "../core/errors.ts";
import type { Exchange } from "../exchanges/exchange.ts";
import { DEFAULT_EXCHANGE } from "../exchanges/mod.ts";
import type { Logger } from "../core/log.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { LiveSink } from "./live.ts";
import type { ProductStatus, Source } from "../pipeline/source.ts";
import type { Stats } from "../core/stats.ts";
import type { StoreReader } from "../store/reader.ts";
import { Api, StoreGate } from "./api.ts";
import { Connections } from "./connections.ts";
import { type DemoLevers, LEVERS_PATH, listLevers, pullLever } from "./demo_api.ts";
import { renderMetrics } from "./metrics.ts";
import { PAGE_PATHS, PAGE_STYLE_SOURCE, pageFile } from "./page.ts";
import { HttpError, isOwnOrigin, json, shown } from "./request.ts";
import { Streams } from "./stream.ts";

/** What the pages tell of. */
export interface WebOptions {
  /** Address to listen on. */
  readonly host: string;
  /** Port; 0: any free one. */
  readonly port: number;
  /** Where the port is taken, try those after it. */
  readonly nextFreePort: boolean;
  /** Lower-case names besides localhost and IP addresses. */
  readonly allowedHosts: readonly string[];
  /** Web pages that may read the answers from another address, as `https://example.org`; default none. */
  readonly allowedOrigins?: readonly string[];
  /** Where events come from. */
  readonly source: Source;
  /** Whose events they are; default {@link DEFAULT_EXCHANGE}. */
  readonly exchange?: Pick<Exchange, "name">;
  /** Where they go. */
  readonly pipeline: Pick<Pipeline, "status">;
  /** The cursor, if there is one: why it cannot be written, or undefined. */
  readonly cursor?: { readonly trouble: string | undefined } | undefined;
  /** Counters. */
  readonly stats: Stats;
  /** What happened; without it there are the status pages alone. */
  readonly store?: StoreReader | undefined;
  /** What happens; without it, or without a store, there is no stream. */
  readonly live?: LiveSink | undefined;
  /** The levers of the demo; without it this is none. */
  readonly demo?: DemoLevers | undefined;
  /** Told of bugs; without it they are told to the asker alone. */
  readonly log?: Logger | undefined;
  /** Time; default the machine's. */
  readonly clock?: Clock;
}

/** Ports that are tried after the wanted one. */
const NEXT_PORTS = 20;
/** Longest address, characters: room for the names of some hundred products. */
const MAX_URL = 8192;
/** Until the last answers must have gone out, ms. */
const LAST_ANSWERS_MS = 200;

/** On every answer: whatever it holds, a browser loads nothing foreign for it and shows it to no foreign page. */
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

/** Whether a `Host` header names this machine: loopback, an IP literal, or a name that the settings allow. */
export function isOwnHost(header: string | null, allowedHosts: readonly string[]): boolean {
  // 999.999.999.999 looks like an address and is none
  if (header === null || !URL.canParse(`http://${header}`)) return false;
  const name = header.toLowerCase().replace(/:\d+$/, "");
  if (name === "localhost" || name.endsWith(".localhost") || allowedHosts.includes(name)) return true;
  return /^\[[0-9a-f:.]+\]$/.test(name) || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name);
}

/** Why the program is not ready, in words; none: it is. */
export function notReadyReasons(source: Source, pipeline: Pick<Pipeline, "status">): string[] {
  const { link, exchange, lastTrouble, clockTrouble, lastFrameSeconds, historyDone, products } = source.status();
  const reasons: string[] = [];
  if (historyDone !== undefined) reasons.push(`making a day of history, ${Math.floor(historyDone * 100)} %`);
  else if (link === "connecting") reasons.push(`no data from ${exchange}: ${lastTrouble ?? "connecting"}`);
  else if (link === "silent") reasons.push(`nothing from ${exchange} for ${lastFrameSeconds} s`);
  if (clockTrouble !== undefined) reasons.push(clockTrouble);
  // a product that waits is no fault: perhaps it was not traded
  const troubles = products.map(({ state, note }) => note === "not subscribed" ? note : state);
  if (troubles.every((trouble) => ["stalled", "refused", "not subscribed"].includes(trouble))) {
    reasons.push(`${exchange} sends no prices: all products are ${[...new Set(troubles)].join(" or ")}`);
  }
  for (const sink of pipeline.status()) {
    if (sink.state !== "ok") reasons.push(`${sink.name} is ${sink.state}: ${sink.trouble ?? "no answer yet"}`);
  }
  return reasons;
}

/** Heartbeats that take longer make every age wrong, s. */
const LATE_SECONDS = 5;

/** What a person should know although prices flow: it does not make the program unready. */
export function warningsOf(
  { source, pipeline, cursor }: Pick<WebOptions, "source" | "pipeline" | "cursor">,
  serverTrouble?: string | undefined,
): string[] {
  const warnings = pipeline.status().flatMap(({ name, gapsTrouble, throttled }) => [
    ...gapsTrouble === undefined ? [] : [`gap records do not reach ${name}: ${gapsTrouble}`],
    ...throttled === undefined ? [] : [`${name} is throttled: ${throttled}`],
  ]);
  const { exchange, delaySeconds = 0 } = source.status();
  if (delaySeconds > LATE_SECONDS) {
    warnings.push(
      `heartbeats of ${exchange} arrive ${
        Math.round(delaySeconds)
      } s late, so all ages are too high: the local clock is ` +
        "ahead, or the connection is slow",
    );
  }
  if (cursor?.trouble !== undefined) warnings.push(`the cursor cannot be written: ${cursor.trouble}`);
  if (serverTrouble !== undefined) warnings.push(`the status server: ${serverTrouble}`);
  return warnings;
}

/** As `/api/status` tells it. */
function statusOf(
  { source, pipeline, stats, demo, cursor, live }: WebOptions,
  clock: Clock,
  serverTrouble: string | undefined,
): { products: readonly ProductStatus[] } & Record<string, unknown> {
  const status = source.status();
  const reasons = notReadyReasons(source, pipeline);
  return {
    now: clock.now() / 1000,
    pid: Deno.pid,
    ready: reasons.length === 0,
    reasons,
    warnings: warningsOf({ source, pipeline, cursor }, serverTrouble),
    demo: demo !== undefined,
    ...status,
    gaps: [...status.products.flatMap(({ gap }) => gap === undefined ? [] : [gap]), ...live?.openGaps ?? []],
    sinks: pipeline.status(),
    counters: {
      frames: stats.frames,
      ignored: stats.ignored,
      control: stats.control,
      withoutTrade: stats.withoutTrade,
      received: stats.received,
      rejected: stats.rejected,
      repeated: stats.repeated,
      reconnects: stats.reconnects,
      gaps: stats.gaps,
      sinks: Object.fromEntries(
        [...stats.sinks].map(([name, { sent, dropped, lost, gapsSent, failures }]) => [
          name,
          { sent, dropped, lost, gapsSent, failures },
        ]),
      ),
    },
  };
}

/** What a page is given to answer. */
interface Asked {
  readonly request: Request;
  readonly url: URL;
  /** Settles when the connection is done with the answer. */
  readonly completed: Promise<void>;
}

type Page = (asked: Asked) => Response | Promise<Response>;

/** All requests of one server. */
class Site {
  readonly #options: WebOptions;
  readonly #pages = new Map<string, Page>();
  readonly #streams: Streams | undefined;
  readonly #open = new Set<Promise<void>>();
  #stopping = false;

  /** @param serverTrouble why connections cannot be accepted, or undefined */
  constructor(options: WebOptions, serverTrouble: () => string | undefined) {
    const { source, pipeline, stats, store, live, demo, exchange = DEFAULT_EXCHANGE, clock = systemClock } = options;
    this.#options = options;
    const page = (path: string, answer: Page) => this.#pages.set(path, answer);

    if (store !== undefined) {
      for (const path of PAGE_PATHS) page(path, ({ request }) => pageFile(path, request));
    }
    page("/healthz", () => json({ alive: true }));
    page("/readyz", () => {
      const reasons = notReadyReasons(source, pipeline);
      const warnings = warningsOf(options, serverTrouble());
      return json({ ready: reasons.length === 0, reasons, warnings }, reasons.length === 0 ? 200 : 503);
    });
    page("/metrics", () => {
      const text = renderMetrics({ stats, source: source.status(), sinks: pipeline.status() });
      return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
    });
    page("/api/status", () => json(statusOf(options, clock, serverTrouble())));
    if (store !== undefined) {
      const gate = new StoreGate();
      const api = new Api({ source, exchange: exchange.name, store, live, clock }, gate);
      page("/api/products", ({ url }) => api.products(url.searchParams));
      page("/api/ticks", ({ url }) => api.ticks(url.searchParams));
      page("/api/candles", ({ url }) => api.candles(url.searchParams));
      page("/api/gaps", ({ url }) => api.gaps(url.searchParams));
      if (live !== undefined) {
        const status = () => {
          const { products, ...rest } = statusOf(options, clock, serverTrouble());
          return { products, rest };
        };
        const onBug = (error: unknown) => this.#tellBug("/api/stream", error);
        const streams = new Streams({ live, store, api, gate, exchange: exchange.name, status, clock, onBug });
        page("/api/stream", (asked) => this.#stream(streams, asked));
        this.#streams = streams;
      }
    }
    if (demo !== undefined) page("/api/demo", () => listLevers(demo));
  }

  /** Answers one request; never rejects. */
  async answer(request: Request, completed: Promise<void>): Promise<Response> {
    const settled = completed.then(() => void this.#open.delete(settled));
    this.#open.add(settled);
    const response = await this.#answer(request, completed).catch((error): Response => {
      if (error instanceof HttpError) return json({ error: error.message }, error.status, error.headers);
      this.#tellBug(request.url, error);
      return json({ error: "Cannot answer as this program has a bug here: its log says more" }, 500);
    });
    const { headers } = response;
    for (const [name, value] of HEADERS) headers.set(name, value);
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    this.#allowOrigin(request, headers);
    // the connection leaves out the body where HEAD was asked, and tells its length
    return response;
  }

  /** Ends the streams, and lets what is under way go out. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#streams?.close();
    // one who does not read what he asked for must not keep us
    await waitAtMost(LAST_ANSWERS_MS, Promise.all(this.#open), this.#options.clock ?? systemClock);
  }

  async #answer(request: Request, completed: Promise<void>): Promise<Response> {
    const host = request.headers.get("host");
    if (!isOwnHost(host, this.#options.allowedHosts)) {
      const wish = "it must be localhost, an IP address or in ALLOWED_HOSTS";
      throw new HttpError(403, `Cannot answer for host "${host}" as ${wish}`);
    }
    if (this.#stopping) throw new HttpError(503, "Cannot answer as the program stops", { "retry-after": "5" });
    if (request.url.length > MAX_URL) {
      throw new HttpError(414, `Cannot use the address as it must be at most ${MAX_URL} characters long`);
    }
    const url = new URL(request.url);
    const { method } = request;
    const { demo } = this.#options;
    const isLever = demo !== undefined && url.pathname.startsWith(LEVERS_PATH);
    if (method === "OPTIONS" && !isLever && this.#allows(request.headers.get("origin"))) {
      const headers = { "access-control-allow-methods": "GET, HEAD", "access-control-allow-headers": "last-event-id" };
      return new Response(null, { status: 204, headers });
    }
    if (isLever ? method !== "POST" : method !== "GET" && method !== "HEAD") {
      const allow = isLever ? "POST" : "GET, HEAD";
      const wish = isLever ? "POST" : "GET or HEAD";
      throw new HttpError(405, `Cannot take method ${method} as it must be ${wish}`, { allow });
    }
    if (isLever) return await pullLever(request, url, demo);
    const page = this.#pages.get(url.pathname);
    if (page !== undefined) return await page({ request, url, completed });
    const paths = [...this.#pages.keys()].filter((path) => path === "/" || !PAGE_PATHS.includes(path));
    const last = paths.pop();
    throw new HttpError(404, `Cannot find ${shown(url.pathname)}: there are ${paths.join(", ")} and ${last}`);
  }

  /** A stream holds a place: a foreign page must not take them all, even if it could read nothing. */
  #stream(streams: Streams, { request, url, completed }: Asked): Response {
    const origin = request.headers.get("origin");
    if (origin !== null && !isOwnOrigin(origin, request) && !this.#allows(origin)) {
      throw new HttpError(403, `Cannot open a stream for ${shown(origin)} as it must be in ALLOWED_ORIGINS`);
    }
    return streams.open(request, url.searchParams, completed);
  }

  #allows(origin: string | null): boolean {
    return origin !== null && this.#options.allowedOrigins?.includes(origin) === true;
  }

  #allowOrigin(request: Request, headers: Headers): void {
    if ((this.#options.allowedOrigins ?? []).length === 0) return;
    headers.append("vary", "origin");
    const origin = request.headers.get("origin");
    if (origin === null || !this.#allows(origin)) return;
    headers.set("access-control-allow-origin", origin);
    headers.set("cross-origin-resource-policy", "cross-origin");
  }

  #tellBug(page: string, error: unknown): void {
    this.#options.log?.often("error", "A request failed for a bug", {
      page,
      error: error instanceof Error ? error.stack ?? error.message : String(error),
    });
  }
}

/** A server that listens. */
export interface StatusServer extends AsyncDisposable {
  /** Where. */
  readonly addr: Deno.NetAddr;
  /** Ends the streams, lets answers that are under way go out for a moment, then hangs up. */
  shutdown(): Promise<void>;
}

/** Starts to listen. Throws a ConfigError where the address or port cannot be had. Nothing that fails later ends the program. */
export function serveStatus(options: WebOptions): StatusServer {
  const { clock = systemClock, log } = options;
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
      const taken = error instanceof Deno.errors.AddrInUse;
      if (taken && nextFreePort && offset < NEXT_PORTS && port + offset < 65535) continue;
      if (taken) {
        throw new ConfigError([
          `Cannot listen on ${host}:${port} as PORT must be a free port: it is taken by another program`,
        ]);
      }
      const wish = "HOST and PORT must be an address of this machine and a port we may use";
      throw new ConfigError([`Cannot listen on ${host}:${port} as ${wish}: ${reasonOf(error)}`]);
    }
  }
}
