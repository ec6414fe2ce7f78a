import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/core/errors.ts";
import type { SinkStatus } from "../../src/pipeline/delivery.ts";
import { DELAY_BUCKETS, Stats } from "../../src/core/stats.ts";
import type { ProductStatus, SourceStatus } from "../../src/pipeline/source.ts";
import { renderMetrics } from "../../src/web/metrics.ts";
import type { DemoLevers, Lever } from "../../src/web/demo_api.ts";
import { ANSWER_MS, REQUEST_MS } from "../../src/web/connections.ts";
import { PAGE_PATHS } from "../../src/web/page.ts";
import { isOwnHost } from "../../src/web/server.ts";
import { FakeClock } from "../fakes/clock.ts";
import { makeGap } from "../fakes/events.ts";
import { mayListen } from "../simulator/client.ts";
import { type Ask, Site, type SiteOptions, storeThat } from "./site.ts";

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

/** The pages of a program without a store. */
function serve({ source = {}, ...options }: SiteOptions = {}): Site {
  return new Site({ source: { ...SOURCE, ...source }, sinks: [SINK], allowedHosts: ["feed.example"], ...options });
}

/** With a store that answers every question with nothing. */
function serveStore(options: SiteOptions = {}): Site {
  return serve({ store: storeThat(() => Promise.resolve([])), ...options });
}

// ---- health

test("/healthz says that the process lives, whatever else is wrong", async () => {
  await using web = serve({ source: { link: "connecting" }, sinks: [{ ...SINK, state: "failing" }] });
  const { status, json, headers } = await web.ask("/healthz");
  assertEquals([status, json, headers.get("content-type")], [200, { alive: true }, "application/json"]);
});

const NONE_COMES: ProductStatus[] = [
  { product: "A-USD", state: "stalled" },
  { product: "B-USD", state: "refused", refused: "B-USD is delisted" },
  { product: "C-USD", state: "waiting", note: "not subscribed" },
];
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
    ["the link is silent", { link: "silent", lastFrameSeconds: 16.5 }, [SINK], ["no data from Coinbase for 16.5 s"]],
    ["no product can be had", { products: NONE_COMES }, [SINK], [
      "Coinbase sends no prices: all products are stalled or refused or not subscribed",
    ]],
    ["one product only waits", { products: [...NONE_COMES, { product: "E-USD", state: "waiting" }] }, [SINK], []],
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
      ["no data from Coinbase for 60 s", "kafka is closed: no answer yet"],
    ],
  ] as [string, Partial<SourceStatus>, SinkStatus[], string[]][]
) {
  test(`/readyz when ${what}`, async () => {
    await using web = serve({ source, sinks });
    const { status, json } = await web.ask("/readyz");
    assertEquals(json, { ready: reasons.length === 0, reasons, warnings: [] });
    assertEquals(status, reasons.length === 0 ? 200 : 503);
  });
}

test("/readyz warns when heartbeats come so late that no age can be right", async () => {
  for (
    const [delaySeconds, warnings] of [
      [5, []],
      [20.3, [
        "heartbeats from Coinbase arrive 20 s late, so all ages are too high: the local clock is ahead, or the connection is slow",
      ]],
    ] as const
  ) {
    await using web = serve({ source: { delaySeconds } });
    const { status, json } = await web.ask("/readyz");
    assertEquals([status, json], [200, { ready: true, reasons: [], warnings }]);
  }
});

test("/readyz and /api/status warn of gap records that do not arrive: ticks do, so the program is ready", async () => {
  await using web = serve({ sinks: [{ ...SINK, gapsTrouble: "there is no topic feed_gaps" }] });
  const warnings = ["gap records do not reach kafka: there is no topic feed_gaps"];
  const { status, json } = await web.ask("/readyz");
  assertEquals([status, json], [200, { ready: true, reasons: [], warnings }]);
  const told = (await web.ask("/api/status")).json;
  assertEquals([told.warnings, (told.sinks as SinkStatus[])[0]?.gapsTrouble], [
    warnings,
    "there is no topic feed_gaps",
  ]);
});

// ---- status

test("/api/status tells of link, products, open gaps, sinks and counters", async () => {
  const stats = new Stats();
  stats.received = 7;
  stats.rejected["bad-price"] = 2;
  stats.sink("kafka").sent = 5;
  const clock = new FakeClock(1_700_000_000_250);
  await using web = serve({ stats, clock, source: { delaySeconds: 0.04 } });
  const { status, json } = await web.ask("/api/status");
  assertEquals(status, 200);
  assertEquals(
    json,
    JSON.parse(JSON.stringify({
      ...SOURCE,
      now: 1_700_000_000.25,
      pid: Deno.pid,
      delaySeconds: 0.04,
      ready: true,
      reasons: [],
      warnings: [],
      demo: false,
      gaps: [GAP],
      sinks: [SINK],
      counters: {
        frames: 0,
        ignored: 0,
        control: 0,
        withoutTrade: 0,
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

test("/api/status tells of a gap that the store alone has, while it is open", async () => {
  await using web = serveStore();
  const lost = makeGap({ product: "BTC-USD", reason: "store-failed" });
  web.live.declare(lost);
  web.live.declare({ ...lost, dropped: 4 });
  assertEquals((await web.ask("/api/status")).json.gaps, JSON.parse(JSON.stringify([GAP, { ...lost, dropped: 4 }])));
  web.live.declare({ ...lost, dropped: 4, to: lost.opened + 9 });
  assertEquals((await web.ask("/api/status")).json.gaps, JSON.parse(JSON.stringify([GAP])));
});

test("/api/status says why the program is not ready, as /readyz does", async () => {
  await using web = serve({ sinks: [{ ...SINK, state: "failing", trouble: "the broker is away" }] });
  const { json } = await web.ask("/api/status");
  assertEquals([json.ready, json.reasons], [false, ["kafka is failing: the broker is away"]]);
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
    assertStringIncludes(String(json.error), `Cannot use the method ${method}: expected GET or HEAD`);
  }
  const { status, text } = await web.ask("/healthz", { method: "HEAD" });
  assertEquals([status, text], [200, ""]);
});

test("without a store there is no API of prices, and with one an unknown path is told what there is", async () => {
  await using bare = serve();
  for (const path of ["/api/products", "/api/ticks", "/api/stream", "/api/demo", "/api/demo/levers/hangUp"]) {
    assertEquals((await bare.ask(path)).status, 404, path);
  }
  await using web = serveStore();
  const { status, json } = await web.ask("/api/candle?product=BTC-USD");
  assertEquals(status, 404);
  assertStringIncludes(json.error, 'Cannot find "/api/candle": there are /, /healthz, ');
  assertStringIncludes(json.error, "/api/products, /api/ticks, /api/candles, /api/gaps and /api/stream");
});

for (
  const path of [
    "/../main.ts",
    "/..%2fmain.ts",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/style.css/../../server.ts",
    "/..\\..\\main.ts",
    "/page.js%00.html",
    "//etc/passwd",
    "/file:///etc/passwd",
    "/api/ticks/../../deno.json",
    "/API/status",
    "/api/status/",
    "/api//status",
    "/%",
    "/dist/page.js",
  ]
) {
  test(`the path ${path} is none`, async () => {
    await using web = serveStore();
    const { status, json } = await web.ask(path);
    assertEquals([status, Object.keys(json)], [404, ["error"]]);
  });
}

test("with a store there is the page, in its files, and a browser need not load one twice", async () => {
  await using bare = serve();
  await using web = serveStore();
  const types: Record<string, string> = {
    "/": "text/html; charset=utf-8",
    "/style.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/stream_worker.js": "text/javascript; charset=utf-8",
    "/icon.svg": "image/svg+xml",
    "/notices.txt": "text/plain; charset=utf-8",
  };
  assertEquals(Object.keys(types), PAGE_PATHS);
  for (const [path, type] of Object.entries(types)) {
    assertEquals((await bare.ask(path)).status, 404, path);
    const { status, headers, text } = await web.ask(path);
    assertEquals([status, headers.get("content-type")], [200, type]);
    assertEquals(headers.get("cache-control"), "no-cache");
    assert(text.length > 100, path);
    const tag = headers.get("etag") ?? "";
    for (const known of [tag, `W/${tag}`, `"other", ${tag}`]) {
      const again = await web.ask(path, { headers: { "if-none-match": known } });
      assertEquals([again.status, again.text, again.headers.get("etag")], [304, "", tag]);
    }
    assertEquals((await web.ask(path, { headers: { "if-none-match": '"other"' } })).status, 200);
    const packed = await web.ask(path, { headers: { "accept-encoding": "gzip" } });
    if (text.length > 1000) assertEquals(packed.headers.get("content-encoding"), "gzip", path);
  }
  // the page stands behind an address that names what it shows
  assertEquals((await web.ask("/?product=BTC-USD&interval=1m")).status, 200);
  for (const path of ["/index.html", "/main.ts", "/page/main.ts", "/dist/page.js", "/page.js.map"]) {
    assertEquals((await web.ask(path)).status, 404, path);
  }
});

const HEADERS = [
  "content-security-policy",
  "x-content-type-options",
  "referrer-policy",
  "cross-origin-opener-policy",
  "cross-origin-resource-policy",
  "cache-control",
];

test("every answer has the headers that keep a browser from foreign things", async () => {
  await using web = serveStore();
  const asked: [path: string, how: Ask, status: number][] = [
    ["/healthz", {}, 200],
    ["/healthz", { method: "HEAD" }, 200],
    ["/metrics", {}, 200],
    ["/api/status", {}, 200],
    ["/api/products", {}, 200],
    ["/api/stream", { method: "HEAD" }, 200],
    ["/api/ticks", {}, 400],
    ["/api/status", { host: "evil.example" }, 403],
    ["/nothing", {}, 404],
    ["/nothing", { method: "HEAD" }, 404],
    ["/api/status", { method: "POST" }, 405],
    [`/api/ticks?product=${"x".repeat(9000)}`, {}, 414],
  ];
  for (const [path, how, expected] of asked) {
    const { status, headers } = await web.ask(path, how);
    assertEquals(status, expected, path);
    assertEquals(HEADERS.filter((name) => !headers.has(name)), [], path);
    const policy = headers.get("content-security-policy") ?? "";
    assertStringIncludes(policy, "default-src 'none'");
    assert(!/unsafe|https?:|\*/.test(policy), policy);
    assertEquals(headers.get("x-content-type-options"), "nosniff");
    assertEquals(headers.get("access-control-allow-origin"), undefined);
  }
});

test("HEAD answers as GET does, without the body", async () => {
  await using web = serveStore({ source: { link: "connecting" } });
  for (const path of ["/", "/healthz", "/readyz", "/api/products", "/api/ticks", "/api/gaps", "/nothing"]) {
    const get = await web.ask(path);
    const head = await web.ask(path, { method: "HEAD" });
    assertEquals([head.status, head.text], [get.status, ""], path);
    for (const name of ["content-type", "content-length", "etag", "cache-control"]) {
      assertEquals(head.headers.get(name), get.headers.get(name), `${path}: ${name}`);
    }
  }
});

test("answers are compressed for those who say that they can read it", async () => {
  const products = Array.from({ length: 100 }, (_, i) => ({ product: `P${i}-USD`, state: "live" as const }));
  await using web = serveStore({ source: { products } });
  assertEquals((await web.ask("/api/products")).headers.get("content-encoding"), undefined);
  const { headers } = await web.ask("/api/products", { headers: { "accept-encoding": "br, gzip" } });
  assertEquals(headers.get("content-encoding"), "gzip");
  const response = await fetch(`http://127.0.0.1:${web.port}/api/products`);
  assertEquals((await response.json()).length, 100);
});

test("a bug is told to the log, and to the asker that it is one", async () => {
  const bug = () => Promise.reject(new TypeError("x is not a function"));
  await using web = serve({ store: storeThat(bug) });
  const { status, json, headers } = await web.ask("/api/gaps");
  assertEquals(status, 500);
  assertStringIncludes(json.error, "a bug");
  assertEquals(headers.has("content-security-policy"), true);
  assertEquals(web.log.find("x is not a function").length, 1);
});

// ---- pages of others

test("no foreign page is let in, unless the settings name its origin", async () => {
  const foreign = { origin: "https://charts.example" };
  await using closed = serveStore();
  assertEquals(
    (await closed.ask("/api/status", { headers: foreign })).headers.get("access-control-allow-origin"),
    undefined,
  );
  assertEquals((await closed.ask("/api/stream", { headers: foreign })).status, 403);
  assertEquals((await closed.ask("/api/status", { method: "OPTIONS", headers: foreign })).status, 405);

  await using open = serveStore({ allowedOrigins: ["https://charts.example"] });
  const { status, headers } = await open.ask("/api/status", { headers: foreign });
  assertEquals([status, headers.get("access-control-allow-origin")], [200, "https://charts.example"]);
  assertStringIncludes(headers.get("vary") ?? "", "origin");
  // errors can be read, too
  assertEquals(
    (await open.ask("/api/ticks", { headers: foreign })).headers.get("access-control-allow-origin"),
    foreign.origin,
  );
  const asking = await open.ask("/api/stream", { method: "OPTIONS", headers: foreign });
  assertEquals([asking.status, asking.headers.get("access-control-allow-methods")], [204, "GET, HEAD"]);
  for (const origin of ["https://evil.example", "http://charts.example", "https://charts.example:444", "null"]) {
    const { headers } = await open.ask("/api/status", { headers: { origin } });
    assertEquals(headers.get("access-control-allow-origin"), undefined, origin);
    assertEquals((await open.ask("/api/stream", { headers: { origin } })).status, 403, origin);
  }
});

test("a stream is opened for the page's own origin, also behind TLS", async () => {
  await using web = serveStore();
  for (const origin of [`http://localhost:${web.port}`, `https://localhost:${web.port}`]) {
    const { status } = await web.ask("/api/stream", {
      method: "HEAD",
      host: `localhost:${web.port}`,
      headers: { origin },
    });
    assertEquals(status, 200, origin);
  }
});

// ---- clients that behave badly

test("those who send half a request and wait hold up nobody, and not the end", async () => {
  await using web = serveStore();
  const conns = [];
  const halves = [
    "",
    "G",
    "GET / HT",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
    "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab",
  ];
  for (let i = 0; i < 300; i++) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: web.port });
    await conn.write(new TextEncoder().encode(halves[i % halves.length] ?? ""));
    conns.push(conn);
  }
  const before = performance.now();
  assertEquals((await web.ask("/healthz")).status, 200);
  assertLess(performance.now() - before, 5000);
  const stopping = performance.now();
  await web.stop();
  assertLess(performance.now() - stopping, 5000);
  for (const conn of conns) conn.close();
});

test("connections that wait too long are closed, an open stream is not", async () => {
  const clock = new FakeClock();
  await using web = serveStore({ clock });
  await using stream = await web.stream("?everyMs=250");
  await stream.waits("status");
  const opened = await Promise.all(
    [
      "",
      "GET /healthz HT",
      "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
      "POST /api/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab",
    ].map(async (half) => {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: web.port });
      await conn.write(new TextEncoder().encode(half));
      const ended = { yes: false };
      const reading = new Response(conn.readable).text().catch(() => {}).then(() => ended.yes = true);
      return { ended, reading };
    }),
  );
  // one that was asked after them is answered: so all of them were accepted
  assertEquals((await web.ask("/healthz")).status, 200);
  const open = () => opened.filter(({ ended }) => !ended.yes).length;
  await clock.advance(REQUEST_MS - 2000);
  assert(open() >= 3, `${open()} are open`);
  await clock.advance(3000);
  await Promise.all(opened.map(({ reading }) => reading));
  const known = stream.data("status").length;
  await clock.advance(10 * ANSWER_MS);
  await stream.waits("status", known + 1);
  assertEquals(stream.ended, false);
});

test("an answer that nobody takes is given up", async () => {
  const clock = new FakeClock();
  const many = Array.from({ length: 100_000 }, () => makeGap());
  await using web = serve({ clock, store: storeThat(() => Promise.resolve(many)) });
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: web.port });
  await conn.write(new TextEncoder().encode("GET /api/gaps HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  await conn.read(new Uint8Array(10));
  await clock.advance(ANSWER_MS + 2000);
  // whether it was told or not is the system's choice; whole it is not
  const rest = await new Response(conn.readable).text().catch(() => "");
  assert(!rest.endsWith("]\n"), "the answer was cut");
});

test("what is no HTTP is refused, and nothing comes to harm", async () => {
  await using web = serveStore();
  for (
    const junk of [
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      `GET / HTTP/1.1\r\n${"x: y\r\n".repeat(5000)}\r\n`,
      `GET /${"a".repeat(500_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
      "\0".repeat(1000),
    ]
  ) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: web.port });
    await conn.write(new TextEncoder().encode(junk)).catch(() => {});
    await conn.closeWrite().catch(() => {});
    const answer = await new Response(conn.readable).text().catch(() => "");
    assert(/^(?:|HTTP\/1\.[01] 4\d\d [^]*)$/.test(answer), `${JSON.stringify(junk.slice(0, 40))}: ${answer}`);
  }
  assertEquals((await web.ask("/healthz")).status, 200);
});

test("shutdown() does not wait for somebody who does not read what he asked for", async () => {
  const many = Array.from({ length: 400_000 }, () => makeGap());
  const web = serve({ store: storeThat(() => Promise.resolve(many)) });
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: web.port });
  await conn.write(new TextEncoder().encode("GET /api/gaps HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  await conn.read(new Uint8Array(10));
  const before = performance.now();
  await Promise.all([web.stop(), web.stop()]);
  assertLess(performance.now() - before, 5000);
  conn.close();
});

test("shutdown() lets an answer that is under way go out, and takes no new question", async () => {
  const answered = Promise.withResolvers<unknown>();
  const asked = Promise.withResolvers<void>();
  const web = serve({
    store: storeThat(() => {
      asked.resolve();
      return answered.promise;
    }),
  });
  const asking = web.ask("/api/gaps");
  await asked.promise;
  const stopping = web.stop();
  const { status, json } = await web.ask("/healthz");
  assertEquals([status, json.error], [503, "Cannot answer: the program is stopping"]);
  answered.resolve([]);
  assertEquals((await asking).json, []);
  await stopping;
});

// ---- levers

const LEVER: Lever = { name: "hangUp", title: "Hang up", teaches: "A", watch: "B", kind: "pulse" };

function demo(pulled: unknown[] = []): DemoLevers {
  return {
    list: () => [LEVER],
    pull: (name, args) => {
      if (name !== "hangUp") return Promise.resolve(false);
      if ("code" in (args as object)) return Promise.reject(new RangeError("Cannot use code: expected 1000"));
      pulled.push(args);
      return Promise.resolve({ on: true });
    },
  };
}

test("the demo tells its levers, and its own page pulls them", async () => {
  const pulled: unknown[] = [];
  await using web = serveStore({ demo: demo(pulled) });
  assertEquals((await web.ask("/api/demo")).json, { levers: [LEVER] });
  assertEquals((await web.ask("/api/status")).json.demo, true);
  const headers = { "content-type": "application/json; charset=utf-8" };
  for (
    const more of [
      {},
      { origin: `http://localhost:${web.port}`, "sec-fetch-site": "same-origin" },
      { "sec-fetch-site": "none" },
    ]
  ) {
    const { status, json } = await web.ask("/api/demo/levers/hangUp", {
      method: "POST",
      host: `localhost:${web.port}`,
      headers: { ...headers, ...more },
      body: '{"on":true}',
    });
    assertEquals([status, json], [200, { done: true, on: true }]);
  }
  assertEquals(pulled, [{ on: true }, { on: true }, { on: true }]);
});

const PULL = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
for (
  const [what, path, how, status] of [
    ["an unknown lever", "slap", PULL, 404],
    ["no lever", "", PULL, 404],
    ["a lever of another path", "../status", PULL, 405],
    ["a body that is no JSON", "hangUp", { ...PULL, body: "on=true" }, 400],
    ["a body that is no object", "hangUp", { ...PULL, body: "[]" }, 400],
    ["no body", "hangUp", { ...PULL, body: "" }, 400],
    ["an argument that the lever refuses", "hangUp", { ...PULL, body: '{"code":7}' }, 400],
    ["a body without end", "hangUp", { ...PULL, body: `{"a":"${"x".repeat(5000)}"}` }, 413],
    ["the content type of a form", "hangUp", { ...PULL, headers: { "content-type": "text/plain" } }, 415],
    ["no content type", "hangUp", { ...PULL, headers: {} }, 415],
    ["another method", "hangUp", { ...PULL, method: "GET", body: undefined }, 405],
    ["a foreign origin", "hangUp", { ...PULL, headers: { ...PULL.headers, origin: "https://evil.example" } }, 403],
    ["no true origin", "hangUp", { ...PULL, headers: { ...PULL.headers, origin: "null" } }, 403],
    ["a foreign site", "hangUp", { ...PULL, headers: { ...PULL.headers, "sec-fetch-site": "cross-site" } }, 403],
    ["another port", "hangUp", { ...PULL, headers: { ...PULL.headers, "sec-fetch-site": "same-site" } }, 403],
    ["a foreign host", "hangUp", { ...PULL, host: "evil.example" }, 403],
  ] as [string, string, Ask, number][]
) {
  test(`no lever is pulled by ${what}`, async () => {
    const pulled: unknown[] = [];
    await using web = serveStore({ demo: demo(pulled), allowedOrigins: ["https://evil.example"] });
    const answer = await web.ask(`/api/demo/levers/${path}`, how);
    assertEquals([answer.status, Object.keys(answer.json), pulled], [status, ["error"], []]);
  });
}

// ---- the port

test("serve() says that a port is taken, or takes the next free one where it may", async () => {
  await using first = serve();
  const error = assertThrows(() => serve({ port: first.port }), ConfigError);
  assertEquals(error.problems, [
    `Cannot listen on 127.0.0.1:${first.port}: expected PORT to be a free port, another program uses it`,
  ]);
  await using second = serve({ port: first.port, nextFreePort: true });
  assert(second.port > first.port && second.port <= first.port + 20, `${second.port} after ${first.port}`);
  assertEquals((await second.ask("/healthz")).status, 200);
});

test("serve() says that an address is none of this machine's", () => {
  // from the block that is set aside for documentation
  const error = assertThrows(() => serve({ host: "192.0.2.1", nextFreePort: true }), ConfigError);
  assertStringIncludes(error.message, "Cannot listen on 192.0.2.1:0: expected HOST to be an address of this machine");
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
  const sinks: SinkStatus[] = [SINK, { ...SINK, name: "stdout", state: "failing", gapsTrouble: "no topic" }];
  await using web = serve({ stats: busyStats(), source: { delaySeconds: 0.04 }, sinks });
  const { status, headers, text } = await web.ask("/metrics");
  assertEquals([status, headers.get("content-type")], [200, "text/plain; version=0.0.4; charset=utf-8"]);
  const families = parsePrometheus(text);
  const types = Object.fromEntries([...families].map(([name, { type }]) => [name, type]));
  assertEquals(types, {
    feed_frames_total: "counter",
    feed_frames_ignored_total: "counter",
    feed_tickers_without_trade_total: "counter",
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
    feed_exchange_delay_seconds: "gauge",
    feed_queue_depth: "gauge",
    feed_queue_capacity: "gauge",
    feed_sink_up: "gauge",
    feed_gap_records_up: "gauge",
    feed_tick_age_seconds: "gauge",
    feed_tick_time_seconds: "gauge",
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
  assertEquals(seriesOf("feed_exchange_delay_seconds"), { "feed_exchange_delay_seconds{}": 0.04 });
  assertEquals(seriesOf("feed_sink_up"), { 'feed_sink_up{sink="kafka"}': 1, 'feed_sink_up{sink="stdout"}': 0 });
  assertEquals(seriesOf("feed_gap_records_up"), {
    'feed_gap_records_up{sink="kafka"}': 1,
    'feed_gap_records_up{sink="stdout"}': 0,
  });
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

Deno.test("renderMetrics() gives histograms with cumulative buckets that agree with sum and count", () => {
  const stats = busyStats();
  const families = parsePrometheus(renderMetrics({ stats, source: SOURCE, sinks: [SINK] }));
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

Deno.test("renderMetrics() of a program that has just started has no series that means nothing", () => {
  const source = { ...SOURCE, link: "connecting", products: [{ product: "BTC-USD", state: "waiting" }] } as const;
  const families = parsePrometheus(renderMetrics({ stats: new Stats(), source, sinks: [] }));
  // no sink has a number, and no product an age
  for (const name of ["feed_ticks_sent_total", "feed_queue_depth", "feed_sink_up", "feed_tick_age_seconds"]) {
    assertEquals([...families.get(name)?.series ?? []], [], name);
  }
  assertEquals(families.get("feed_link_up")?.series.get("feed_link_up{}"), 0);
});

Deno.test("renderMetrics() twice gives the same counters: nothing adds up between two readers", () => {
  const input = { stats: busyStats(), source: SOURCE, sinks: [SINK] };
  const [first, second] = [renderMetrics(input), renderMetrics(input)];
  const counters = (text: string) => text.split("\n").filter((line) => !line.includes("memory"));
  assertEquals(counters(first), counters(second));
});

Deno.test("renderMetrics() escapes what would end a label, or its line", () => {
  const source = { ...SOURCE, products: [{ product: 'A"B\\C\nD', state: "waiting" }] } as const;
  assertStringIncludes(
    renderMetrics({ stats: new Stats(), source, sinks: [] }),
    '\nfeed_product_state{product="A\\"B\\\\C\\nD",state="waiting"} 1\n',
  );
});
