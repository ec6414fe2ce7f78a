// The status pages: /healthz, /readyz, /metrics, /api/status. Answers only to names of this machine, so that no web page on
// a foreign name can read them through a visitor's browser.

import { ConfigError } from "../errors.ts";
import type { Pipeline } from "../pipeline.ts";
import type { Source } from "../sources/source.ts";
import type { Stats } from "../stats.ts";
import { renderMetrics } from "./metrics.ts";

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
  /** Where events come from. */
  readonly source: Source;
  /** Where they go. */
  readonly pipeline: Pick<Pipeline, "status">;
  /** Counters. */
  readonly stats: Stats;
}

/** Ports that are tried after the wanted one. */
const NEXT_PORTS = 20;

function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(`${JSON.stringify(body)}\n`, {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

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
  const { link, exchange, lastTrouble, clockTrouble, lastFrameSeconds, products } = source.status();
  const reasons: string[] = [];
  if (link === "connecting") reasons.push(`no data from ${exchange}: ${lastTrouble ?? "connecting"}`);
  else if (link === "silent") reasons.push(`nothing from ${exchange} for ${lastFrameSeconds} s`);
  if (clockTrouble !== undefined) reasons.push(clockTrouble);
  const accepted = products.filter(({ state }) => state !== "refused");
  if (accepted.every(({ state }) => state === "stalled")) {
    reasons.push(`${exchange} sends no prices: all products are stalled`);
  }
  for (const sink of pipeline.status()) {
    if (sink.state !== "ok") reasons.push(`${sink.name} is ${sink.state}: ${sink.trouble ?? "no answer yet"}`);
  }
  return reasons;
}

/** Answers one request. */
async function answer(request: Request, { allowedHosts, source, pipeline, stats }: WebOptions): Promise<Response> {
  const host = request.headers.get("host");
  if (!isOwnHost(host, allowedHosts)) {
    return json({
      error: `Cannot answer for host "${host}" as it must be localhost, an IP address or in ALLOWED_HOSTS`,
    }, 403);
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    const error = `Cannot take method ${request.method} as it must be GET or HEAD`;
    return json({ error }, 405, { allow: "GET, HEAD" });
  }
  const { pathname } = new URL(request.url);
  switch (pathname) {
    case "/healthz":
      return json({ alive: true });
    case "/readyz": {
      const reasons = notReadyReasons(source, pipeline);
      return json({ ready: reasons.length === 0, reasons }, reasons.length === 0 ? 200 : 503);
    }
    case "/metrics": {
      const text = await renderMetrics({ stats, source: source.status(), sinks: pipeline.status() });
      return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
    }
    case "/api/status":
      return json(statusOf(source, pipeline, stats));
    default:
      return json({ error: `Cannot find ${pathname}: there are /healthz, /readyz, /metrics and /api/status` }, 404);
  }
}

function statusOf(source: Source, pipeline: Pick<Pipeline, "status">, stats: Stats): unknown {
  const status = source.status();
  return {
    ...status,
    gaps: status.products.flatMap(({ gap }) => gap === undefined ? [] : [gap]),
    sinks: pipeline.status(),
    counters: {
      frames: stats.frames,
      ignored: stats.ignored,
      control: stats.control,
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

/** Starts to listen. Throws a ConfigError where the address or port cannot be had. */
export function serveStatus(options: WebOptions): Deno.HttpServer<Deno.NetAddr> {
  const { host, port, nextFreePort } = options;
  for (let offset = 0;; offset++) {
    try {
      return Deno.serve(
        { hostname: host, port: port + offset, onListen: () => {} },
        (request) => answer(request, options),
      );
    } catch (error) {
      const taken = error instanceof Deno.errors.AddrInUse;
      if (taken && nextFreePort && offset < NEXT_PORTS && port + offset < 65535) continue;
      const problem = taken
        ? `Cannot listen on ${host}:${port} as PORT must be a free port: it is taken by another program`
        : `Cannot listen on ${host}:${port} as HOST and PORT must be an address of this machine and a port we may use: ${
          error instanceof Error ? error.message : error
        }`;
      throw new ConfigError([problem]);
    }
  }
}
