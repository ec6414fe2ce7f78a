import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/errors.ts";
import type { SinkStatus } from "../../src/lane.ts";
import { DELAY_BUCKETS, Stats } from "../../src/stats.ts";
import type { SourceStatus } from "../../src/sources/source.ts";
import { renderMetrics } from "../../src/web/metrics.ts";
import { isOwnHost, serveStatus, type WebOptions } from "../../src/web/server.ts";
import { makeGap } from "../fakes/events.ts";
import { FakeSource } from "../fakes/source.ts";
import { mayListen } from "../simulator/client.ts";

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: mayListen ? name : `${name} [skipped: needs --allow-net]`, ignore: !mayListen, fn });
}

const SINK: SinkStatus = { name: "kafka", state: "ok", queueDepth: 3, queueCapacity: 1000 };
const GAP = makeGap({ product: "ETH-USD", reason: "stalled" });
const SOURCE: SourceStatus = {
  exchange: "Coinbase",
  url: "wss://ws-feed.exchange.coinbase.com",
  channel: "ticker",
  link: "open",
  lastFrameSeconds: 0.25,
  products: [
    { product: "BTC-USD", state: "live", price: 37000.12, time: 1_700_000_000.5, ageSeconds: 1.5 },
    { product: "ETH-USD", state: "stalled", price: 2000, time: 1_700_000_000, ageSeconds: 20, gap: GAP },
    { product: "XRP-GBP", state: "refused", refused: "XRP-GBP is delisted" },
  ],
};

/** The pages of a program whose parts say what the test wants. */
function serve(
  { source = {}, sinks = [SINK], stats = new Stats(), ...options }: Partial<Omit<WebOptions, "source">> & {
    source?: Partial<SourceStatus>;
    sinks?: SinkStatus[];
  } = {},
): { port: number; ask: (path: string, how?: Ask) => Promise<Answer> } & AsyncDisposable {
  const fake = new FakeSource();
  fake.state = { ...SOURCE, ...source };
  const server = serveStatus({
    host: "127.0.0.1",
    port: 0,
    nextFreePort: false,
    allowedHosts: ["feed.example"],
    source: fake,
    pipeline: { status: () => sinks },
    stats,
    ...options,
  });
  const { port } = server.addr;
  return {
    port,
    ask: (path, how) => ask(port, path, how),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

interface Ask {
  readonly method?: string;
  /** Null: none. */
  readonly host?: string | null;
}

interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

/** By hand, since `fetch` chooses the Host header itself. */
async function ask(port: number, path: string, { method = "GET", host = "localhost" }: Ask = {}): Promise<Answer> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const lines = [`${method} ${path} HTTP/1.1`, ...host === null ? [] : [`Host: ${host}`], "Connection: close"];
  await conn.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  const whole = await new Response(conn.readable).text();
  const end = whole.indexOf("\r\n\r\n");
  const [first = "", ...headers] = whole.slice(0, end).split("\r\n");
  const named = new Map(headers.map((line) => {
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
    json: named.get("content-type") === "application/json" && text !== "" ? JSON.parse(text) : {},
  };
}

// ---- health

test("/healthz says that the process lives, whatever else is wrong", async () => {
  await using web = serve({ source: { link: "connecting" }, sinks: [{ ...SINK, state: "failing" }] });
  const { status, json, headers } = await web.ask("/healthz");
  assertEquals([status, json, headers.get("content-type")], [200, { alive: true }, "application/json"]);
});

for (
  const [what, source, sinks, reasons] of [
    ["all is well", {}, [SINK], []],
    ["there are no sinks", {}, [], []],
    [
      "there is no link",
      { link: "connecting", lastTrouble: "the upgrade was refused: 503" },
      [SINK],
      ["no data from Coinbase: the upgrade was refused: 503"],
    ],
    ["it is only starting", { link: "connecting" }, [], ["no data from Coinbase: connecting"]],
    ["the link is silent", { link: "silent", lastFrameSeconds: 16.5 }, [SINK], ["nothing from Coinbase for 16.5 s"]],
    ["the clock is wrong", { clockTrouble: "the local clock looks wrong" }, [SINK], ["the local clock looks wrong"]],
    [
      "sinks are not ready",
      {},
      [
        { ...SINK, state: "failing", trouble: "the broker is away" },
        { ...SINK, name: "store", state: "connecting" },
        { ...SINK, name: "stdout" },
      ],
      ["kafka is failing: the broker is away", "store is connecting: no answer yet"],
    ],
    [
      "all is wrong",
      { link: "silent", lastFrameSeconds: 60 },
      [{ ...SINK, state: "closed" }],
      ["nothing from Coinbase for 60 s", "kafka is closed: no answer yet"],
    ],
  ] as [string, Partial<SourceStatus>, SinkStatus[], string[]][]
) {
  test(`/readyz when ${what}`, async () => {
    await using web = serve({ source, sinks });
    const { status, json } = await web.ask("/readyz");
    assertEquals(json, { ready: reasons.length === 0, reasons });
    assertEquals(status, reasons.length === 0 ? 200 : 503);
  });
}

// ---- status

test("/api/status tells of link, products, open gaps, sinks and counters", async () => {
  const stats = new Stats();
  stats.received = 7;
  stats.rejected["bad-price"] = 2;
  stats.sink("kafka").sent = 5;
  await using web = serve({ stats });
  const { status, json } = await web.ask("/api/status");
  assertEquals(status, 200);
  assertEquals(
    json,
    JSON.parse(JSON.stringify({
      ...SOURCE,
      gaps: [GAP],
      sinks: [SINK],
      counters: {
        frames: 0,
        ignored: 0,
        control: 0,
        received: 7,
        rejected: stats.rejected,
        repeated: 0,
        reconnects: 0,
        gaps: 0,
        sinks: { kafka: { sent: 5, dropped: 0, lost: 0, gapsSent: 0, failures: 0 } },
      },
    })),
  );
});

// ---- who may ask what

for (
  const [host, allowed] of [
    ["localhost", true],
    ["LOCALHOST:8000", true],
    ["app.localhost:8000", true],
    ["127.0.0.1", true],
    ["127.0.0.1:8000", true],
    ["192.168.1.20:8000", true],
    ["[::1]", true],
    ["[::1]:8000", true],
    ["[fe80::1]:8000", true],
    ["feed.example", true],
    ["Feed.Example:8000", true],
    ["evil.example", false],
    ["evil.example:8000", false],
    ["localhost.evil.example", false],
    ["127.0.0.1.evil.example", false],
    ["notlocalhost", false],
    ["sub.feed.example", false],
    ["feed.example.evil", false],
    ["evil@localhost", false],
    ["localhost/evil", false],
    ["", false],
    ["999.999.999.999", false],
    ["[:::::]", false],
    ["localhost:99999", false],
    ["[::1", false],
    ["::1", false],
  ] as const
) {
  Deno.test(`isOwnHost() says ${allowed ? "yes" : "no"} to "${host}"`, () => {
    assertEquals(isOwnHost(host, ["feed.example"]), allowed);
  });
}

Deno.test("isOwnHost() says no to a request without Host", () => {
  assertEquals(isOwnHost(null, []), false);
});

test("every page answers a foreign name with 403 and says what to do", async () => {
  await using web = serve();
  for (const path of ["/healthz", "/readyz", "/metrics", "/api/status", "/elsewhere"]) {
    for (const host of ["evil.example", "evil.example:80", "999.999.999.999", "[:::]", null]) {
      const { status, json } = await web.ask(path, { host });
      // without Host the server itself may refuse
      if (host === null && status === 400) continue;
      assertEquals([status, Object.keys(json)], [403, ["error"]], `${path} for ${host}`);
      assertStringIncludes(String(json.error), "ALLOWED_HOSTS");
    }
    const { status } = await web.ask(path, { host: "[::1]:8000" });
    assertEquals(status, path === "/elsewhere" ? 404 : 200);
  }
});

test("unknown pages and methods are answered in JSON, and say what there is", async () => {
  await using web = serve();
  for (const path of ["/", "/metric", "/metrics/", "/api", "//healthz", "/%2e%2e/etc/passwd"]) {
    const { status, json } = await web.ask(path);
    assertEquals(status, 404, path);
    assertStringIncludes(String(json.error), "/healthz, /readyz, /metrics and /api/status");
  }
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
    const { status, json, headers } = await web.ask("/api/status", { method });
    assertEquals([status, headers.get("allow")], [405, "GET, HEAD"]);
    assertStringIncludes(String(json.error), `Cannot take method ${method}`);
  }
  const { status, text } = await web.ask("/healthz", { method: "HEAD" });
  assertEquals([status, text], [200, ""]);
});

// ---- the port

test("serveStatus() says that a port is taken, or takes the next free one where it may", async () => {
  await using first = serve();
  const error = assertThrows(() => serve({ port: first.port }), ConfigError);
  assertEquals(error.problems, [
    `Cannot listen on 127.0.0.1:${first.port} as PORT must be a free port: it is taken by another program`,
  ]);
  await using second = serve({ port: first.port, nextFreePort: true });
  assert(second.port > first.port && second.port <= first.port + 20, `${second.port} after ${first.port}`);
  assertEquals((await second.ask("/healthz")).status, 200);
});

test("serveStatus() says that an address is none of this machine's", () => {
  // from the block that is set aside for documentation
  const error = assertThrows(() => serve({ host: "192.0.2.1", nextFreePort: true }), ConfigError);
  assertStringIncludes(error.message, "Cannot listen on 192.0.2.1:0 as HOST and PORT must be an address of this");
  return Promise.resolve();
});

// ---- metrics

interface Family {
  readonly type: string;
  /** Name with labels -> value. */
  readonly series: Map<string, number>;
}

/** The Prometheus text format, and nothing more than it: throws at the first line that is not as it must be. */
function parsePrometheus(text: string): Map<string, Family> {
  assert(text.endsWith("\n"), "the last line must end");
  const families = new Map<string, Family>();
  const helped = new Set<string>();
  let current = "";
  for (const line of text.split("\n").slice(0, -1)) {
    if (line === "") continue;
    const [, keyword, named = "", rest = ""] = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line) ?? [];
    if (keyword === "HELP") {
      assert(!helped.has(named), `a second HELP of ${named}`);
      helped.add(named);
    } else if (keyword === "TYPE") {
      assert(!families.has(named), `a second TYPE of ${named}`);
      assertMatch(rest, /^(?:counter|gauge|histogram)$/);
      families.set(current = named, { type: rest, series: new Map() });
    } else {
      const [, name = "", labels, value = ""] =
        /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line) ?? [];
      assert(name !== "", `no series: ${line}`);
      const family = families.get(current);
      const suffix = family?.type === "histogram" ? /^_(?:bucket|sum|count)$/ : /^$/;
      assert(family !== undefined && name.startsWith(current) && suffix.test(name.slice(current.length)), line);
      const pairs = labels === undefined || labels === ""
        ? []
        : labels.match(/[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"/g) ?? [];
      assertEquals(pairs.join(","), labels ?? "", `labels: ${line}`);
      const names = pairs.map((pair) => pair.slice(0, pair.indexOf("=")));
      assertEquals(new Set(names).size, names.length, `a label twice: ${line}`);
      const key = `${name}{${pairs.sort().join(",")}}`;
      assert(!family.series.has(key), `a series twice: ${line}`);
      family.series.set(key, Number(value));
    }
  }
  for (const name of families.keys()) assert(helped.has(name), `${name} has no HELP`);
  return families;
}

/** Counters of a program that has worked for a while. */
function busyStats(): Stats {
  const stats = new Stats();
  stats.frames = 100;
  stats.received = 80;
  stats.rejected["too-large"] = 3;
  for (const seconds of [-1, 0, 0.0009, 0.02, 0.02, 7, 1000]) stats.arrival.add(seconds);
  const kafka = stats.sink("kafka");
  kafka.sent = 70;
  kafka.dropped = 5;
  kafka.delay.add(0.003);
  stats.sink("stdout").sent = 80;
  return stats;
}

test("/metrics is Prometheus text with our prefix, names and types", async () => {
  await using web = serve({ stats: busyStats(), sinks: [SINK, { ...SINK, name: "stdout", state: "failing" }] });
  const { status, headers, text } = await web.ask("/metrics");
  assertEquals([status, headers.get("content-type")], [200, "text/plain; version=0.0.4; charset=utf-8"]);
  const families = parsePrometheus(text);
  const types = Object.fromEntries([...families].map(([name, { type }]) => [name, type]));
  assertEquals(types, {
    feed_frames_total: "counter",
    feed_frames_ignored_total: "counter",
    feed_frames_control_total: "counter",
    feed_ticks_received_total: "counter",
    feed_ticks_repeated_total: "counter",
    feed_ticks_rejected_total: "counter",
    feed_reconnects_total: "counter",
    feed_gaps_total: "counter",
    feed_ticks_sent_total: "counter",
    feed_ticks_dropped_total: "counter",
    feed_ticks_lost_total: "counter",
    feed_gap_records_sent_total: "counter",
    feed_sink_failures_total: "counter",
    feed_link_up: "gauge",
    feed_queue_depth: "gauge",
    feed_queue_capacity: "gauge",
    feed_sink_up: "gauge",
    feed_tick_age_seconds: "gauge",
    feed_product_state: "gauge",
    feed_resident_memory_bytes: "gauge",
    feed_tick_delay_seconds: "histogram",
  });
  const seriesOf = (name: string) => Object.fromEntries(families.get(name)?.series ?? []);
  assertEquals(seriesOf("feed_ticks_received_total"), { "feed_ticks_received_total{}": 80 });
  assertEquals(seriesOf("feed_ticks_rejected_total")['feed_ticks_rejected_total{reason="too-large"}'], 3);
  assertEquals(seriesOf("feed_ticks_sent_total"), {
    'feed_ticks_sent_total{sink="kafka"}': 70,
    'feed_ticks_sent_total{sink="stdout"}': 80,
  });
  assertEquals(seriesOf("feed_sink_up"), { 'feed_sink_up{sink="kafka"}': 1, 'feed_sink_up{sink="stdout"}': 0 });
  assertEquals(seriesOf("feed_tick_age_seconds"), {
    'feed_tick_age_seconds{product="BTC-USD"}': 1.5,
    'feed_tick_age_seconds{product="ETH-USD"}': 20,
  });
  assertEquals(seriesOf("feed_product_state"), {
    'feed_product_state{product="BTC-USD",state="live"}': 1,
    'feed_product_state{product="ETH-USD",state="stalled"}': 1,
    'feed_product_state{product="XRP-GBP",state="refused"}': 1,
  });
});

Deno.test("renderMetrics() gives histograms with cumulative buckets that agree with sum and count", async () => {
  const stats = busyStats();
  const families = parsePrometheus(await renderMetrics({ stats, source: SOURCE, sinks: [SINK] }));
  const series = families.get("feed_tick_delay_seconds")?.series ?? new Map<string, number>();
  for (
    const [stage, delays, count] of [["arrival", stats.arrival, 7], ["kafka", stats.sink("kafka").delay, 1]] as const
  ) {
    const bounds = [...DELAY_BUCKETS.map(String), "+Inf"];
    const buckets = bounds.map((le) => series.get(`feed_tick_delay_seconds_bucket{le="${le}",stage="${stage}"}`));
    for (const [i, value] of buckets.entries()) {
      assert(value !== undefined && (i === 0 || value >= (buckets[i - 1] ?? 0)), `${stage}: ${buckets}`);
    }
    assertEquals(buckets.at(-1), count);
    assertEquals(series.get(`feed_tick_delay_seconds_count{stage="${stage}"}`), count);
    assertEquals(series.get(`feed_tick_delay_seconds_sum{stage="${stage}"}`), delays.sum);
  }
  // up to 1 ms: -1, 0 and 0.0009
  assertEquals(series.get('feed_tick_delay_seconds_bucket{le="0.001",stage="arrival"}'), 3);
});

Deno.test("renderMetrics() of a program that has just started has no series that means nothing", async () => {
  const source = { ...SOURCE, link: "connecting", products: [{ product: "BTC-USD", state: "waiting" }] } as const;
  const families = parsePrometheus(await renderMetrics({ stats: new Stats(), source, sinks: [] }));
  // no sink has a number, and no product an age
  for (const name of ["feed_ticks_sent_total", "feed_queue_depth", "feed_sink_up", "feed_tick_age_seconds"]) {
    assertEquals([...families.get(name)?.series ?? []], [], name);
  }
  assertEquals(families.get("feed_link_up")?.series.get("feed_link_up{}"), 0);
});

Deno.test("renderMetrics() twice gives the same counters: nothing adds up between two readers", async () => {
  const input = { stats: busyStats(), source: SOURCE, sinks: [SINK] };
  const [first, second] = [await renderMetrics(input), await renderMetrics(input)];
  const counters = (text: string) => text.split("\n").filter((line) => !line.includes("memory"));
  assertEquals(counters(first), counters(second));
});
