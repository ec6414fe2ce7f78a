import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { SinkError } from "../../src/core/errors.ts";
import type { StoreReader } from "../../src/store/reader.ts";
import { tickText } from "../../src/web/api.ts";
import { FakeClock } from "../fakes/clock.ts";
import { makeTick } from "../fakes/events.ts";
import { mayListen, until } from "../simulator/client.ts";
import { liveProducts, Site, storeThat } from "./site.ts";

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: mayListen ? name : `${name} [skipped: needs --allow-net]`, ignore: !mayListen, fn });
}

const EMPTY = storeThat(() => Promise.resolve([]));
const PRODUCTS = ["BTC-USD", "ETH-USD", ...Array.from({ length: 20 }, (_, i) => `P${i}-USD`)];

Deno.test("tickText() begins as the record does, and leaves out what is not known", () => {
  const tick = makeTick({
    price: 4e-7,
    exchangeTimeUs: 1_700_000_000_123_456,
    recordTimeUs: 1_700_000_000e6,
    receivedTime: 1_700_000_000_500,
    sequence: 7,
  });
  assertEquals(
    tickText(tick, true),
    '{"product":"BTC-USD","w_time":1700000000,"price":4e-7,"time":1700000000.123456,"sequence":7,' +
      '"received":1700000000.5}',
  );
  assertEquals(
    tickText({ ...tick, exchange: "kraken", product: 'a"b', lastSize: 0.01, side: "sell", open24h: 3 }, true),
    '{"product":"kraken:a\\"b","w_time":1700000000,"price":4e-7,"time":1700000000.123456,"sequence":7,' +
      '"size":0.01,"side":"sell","open24h":3,"received":1700000000.5}',
  );
  assertEquals(
    tickText({ ...tick, open24h: 3 }),
    '{"product":"BTC-USD","w_time":1700000000,"price":4e-7,"time":1700000000.123456,"sequence":7}',
  );
});

// ---- what cannot be used

const LISTS = ["/api/ticks", "/api/candles", "/api/gaps"];
const BAD: [query: string, paths: readonly string[], says: string][] = [
  ["limit=-1", LISTS, 'Cannot use limit: expected 1 to 10000, got "-1"'],
  ["limit=0", LISTS, 'Cannot use limit: expected 1 to 10000, got "0"'],
  ["limit=10001", LISTS, "1 to 10000"],
  ["limit=1e3", LISTS, '"1e3"'],
  ["limit=", LISTS, 'got ""'],
  ["limit=1.5", LISTS, '"1.5"'],
  ["limit=0x10", LISTS, '"0x10"'],
  ["limit=%2010", LISTS, '" 10"'],
  ["limit=10%0A", LISTS, '"10\\n"'],
  ["limit=Infinity", LISTS, '"Infinity"'],
  ["limit=99999999999999999999999999", LISTS, "1 to 10000"],
  ["limit=١٠", LISTS, "1 to 10000"],
  ["limit=5&limit=5", LISTS, 'Cannot use limit: expected one value, got "5", "5"'],
  [
    "from=NaN",
    LISTS,
    'Cannot use from: expected unix seconds like 1700000000 or 1700000000.25, got "NaN"',
  ],
  ["from=", LISTS, 'got ""'],
  ["from=-1", LISTS, '"-1"'],
  ["from=1e9", LISTS, '"1e9"'],
  ["from=1700000000000", LISTS, "unix seconds"],
  ["to=2026-10-04", LISTS, "Cannot use to: expected"],
  ["to=.5", LISTS, '".5"'],
  ["to=5.", LISTS, '"5."'],
  ["from=20&to=10", LISTS, 'Cannot use from: expected at most to, which is 10, got "20"'],
  ["from=20&to=19.999999", LISTS, "at most to"],
  [
    "interval=7x",
    ["/api/candles"],
    'Cannot use interval: expected one of 1s, 5s, 15s, 30s, 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w, got "7x"',
  ],
  ["interval=", ["/api/candles"], 'got ""'],
  ["interval=1M", ["/api/candles"], '"1M"'],
  ["interval=__proto__", ["/api/candles"], '"__proto__"'],
  ["interval=1m&interval=1h", ["/api/candles"], "expected one value"],
  [
    "interval=1m",
    ["/api/ticks", "/api/gaps"],
    'Cannot use the parameter "interval": expected one of product, from, to, limit',
  ],
  ["Limit=5", LISTS, 'Cannot use the parameter "Limit"'],
  ["=5", LISTS, 'Cannot use the parameter ""'],
  ["__proto__=5", LISTS, '"__proto__"'],
  [`${"x".repeat(3000)}=5`, LISTS, "xxx..."],
  [`limit=${"y".repeat(3000)}`, LISTS, "yyy..."],
  ["limit=5", ["/api/products"], 'Cannot use the parameter "limit": expected no parameters'],
  ["everyMs=49", ["/api/stream"], 'Cannot use everyMs: expected 50 to 10000, got "49"'],
  ["everyMs=10001", ["/api/stream"], '"10001"'],
  ["everyMs=", ["/api/stream"], '""'],
  ["everyMs=1e3", ["/api/stream"], '"1e3"'],
  ["lastEventId=x", ["/api/stream"], "Cannot use lastEventId: expected 0 to "],
  ["lastEventId=-5", ["/api/stream"], '"-5"'],
  ["limit=5", ["/api/stream"], "expected one of product, everyMs, candles, lastEventId"],
  ["everyMs=100&everyMs=200", ["/api/stream"], "expected one value"],
  [
    "candles=BTC-USD",
    ["/api/stream"],
    "Cannot use candles: expected at most 50 pairs like BTC-USD:1m, separated by commas, with 1s, 5s, ",
  ],
  ["candles=", ["/api/stream"], 'got ""'],
  ["candles=BTC-USD:7x", ["/api/stream"], '"BTC-USD:7x"'],
  ["candles=BTC-USD:1m,", ["/api/stream"], '"BTC-USD:1m,"'],
  ["candles=BTC-USD:1m&candles=ETH-USD:1m", ["/api/stream"], "expected one value"],
];
for (const [query, paths, says] of BAD) {
  test(`the API refuses ?${query.slice(0, 40)} and says why`, async () => {
    await using web = new Site({ store: EMPTY, source: { products: liveProducts(...PRODUCTS) } });
    for (const path of paths) {
      const product = path === "/api/products" ? "" : "&product=BTC-USD";
      const { status, json } = await web.ask(`${path}?${encodeURI(decodeURI(query))}${product}`);
      assertEquals([status, Object.keys(json)], [400, ["error"]], path);
      assertStringIncludes(json.error, says);
    }
  });
}

test("a product must be given for ticks and candles, once, and be known", async () => {
  await using web = new Site({ store: EMPTY, source: { products: liveProducts(...PRODUCTS) } });
  const known = "BTC-USD, ETH-USD, P0-USD, P1-USD, P2-USD, P3-USD, P4-USD, P5-USD and 14 more";
  for (const path of ["/api/ticks", "/api/candles"]) {
    for (const query of ["", "?product="]) {
      const { status, json } = await web.ask(`${path}${query}`);
      assertEquals([status, json.error], [
        400,
        `Cannot use product: expected one of ${known}, got ""`,
      ]);
    }
  }
  for (const path of [...LISTS, "/api/stream"]) {
    for (const product of ["DOGE-USD", "btc-usd", "__proto__", "constructor", "BTC-USD ", "coinbase:BTC-USD"]) {
      const { status, json } = await web.ask(`${path}?product=${encodeURIComponent(product)}`);
      assertEquals([status, json.error], [404, `Cannot find product ${JSON.stringify(product)}: there are ${known}`]);
    }
    assertEquals((await web.ask(`${path}?product=BTC-USD&product=BTC-USD`)).status, 400);
  }
  assertEquals((await web.ask("/api/stream?product=BTC-USD,DOGE-USD")).status, 404);
  assertEquals((await web.ask("/api/stream?product=BTC-USD,")).status, 404);
  assertEquals((await web.ask("/api/stream?product=")).status, 400);
});

// ---- what the store is asked

test("the store is asked for what was meant: limits, times, product, interval", async () => {
  const asked: unknown[] = [];
  const note = (what: string) => (...args: unknown[]) => {
    asked.push([what, ...args]);
    return Promise.resolve([]);
  };
  const store = {
    lastTicks: note("lastTicks"),
    ticks: note("ticks"),
    candles: note("candles"),
    gaps: note("gaps"),
    since: note("since"),
  } as unknown as StoreReader;
  await using web = new Site({ store, source: { products: liveProducts("BTC-USD") }, clock: new FakeClock(5000) });
  const key = { exchange: "coinbase", product: "BTC-USD" };
  const range = (limit: number, from?: number, to?: number) => ({ from, to, limit });
  const cases: [path: string, expected: unknown[]][] = [
    ["/api/ticks?product=BTC-USD", ["ticks", key, range(500)]],
    ["/api/ticks?product=BTC-USD&limit=10000&from=0", ["ticks", key, range(10_000, 0)]],
    ["/api/ticks?product=BTC-USD&from=1.000001&to=2.5&limit=1", ["ticks", key, range(1, 1.000001, 2.5)]],
    ["/api/ticks?product=BTC-USD&from=5&to=5", ["ticks", key, range(500, 5, 5)]],
    ["/api/candles?product=BTC-USD", ["candles", key, "1m", range(500), 5000]],
    ["/api/candles?product=BTC-USD&interval=1w&to=253402300799", [
      "candles",
      key,
      "1w",
      range(500, undefined, 253402300799),
      5000,
    ]],
    ["/api/gaps", ["gaps", undefined, range(500)]],
    ["/api/gaps?product=BTC-USD&to=7", ["gaps", key, range(500, undefined, 7)]],
  ];
  for (const [path, expected] of cases) {
    const { status, json } = await web.ask(path);
    assertEquals([status, json, asked.splice(0)], [200, [], [expected]], path);
  }
});

test("a store that cannot be read is told in words, on every list, and prices go on", async () => {
  const store = storeThat(() => Promise.reject(new SinkError("retry", "the disk is full")));
  await using web = new Site({
    store,
    source: { products: [{ product: "BTC-USD", state: "live", price: 5 }, { product: "ETH-USD", state: "waiting" }] },
  });
  for (const path of LISTS) {
    const { status, json, headers } = await web.ask(`${path}?product=BTC-USD`);
    assertEquals([status, json], [503, { error: "Cannot read the store: the disk is full" }]);
    assert(headers.has("retry-after"));
  }
  const { status, json } = await web.ask("/api/products");
  assertEquals([status, json], [200, [
    { product: "BTC-USD", exchange: "coinbase", price: 5, state: "live" },
    { product: "ETH-USD", exchange: "coinbase", state: "waiting" },
  ]]);
  assertEquals(web.log.lines, []);
});

test("the store is asked four things at a time; beyond a bound askers are told to come again", async () => {
  let asking = 0, most = 0;
  const answered = Promise.withResolvers<void>();
  const store = storeThat(async () => {
    most = Math.max(most, ++asking);
    await answered.promise;
    asking--;
    return [];
  });
  await using web = new Site({ store, source: { products: liveProducts("BTC-USD") } });
  let refused = 0;
  const answers = Array.from({ length: 80 }, async () => {
    const { status } = await web.ask("/api/gaps");
    if (status === 503) refused++;
    return status;
  });
  await until("those beyond the bound are refused", () => refused === 80 - 4 - 64);
  // other pages do not wait
  assertEquals((await web.ask("/healthz")).status, 200);
  answered.resolve();
  const counts = Map.groupBy(await Promise.all(answers), (status) => status);
  assertEquals([counts.get(200)?.length, counts.get(503)?.length, most], [68, 12, 4]);
  assertEquals((await web.ask("/api/gaps")).status, 200);
});

// ---- products

test("/api/products tells the change also where the last trade was heard in an earlier run, and is told again", async () => {
  const stored = makeTick({ product: "SOL-USD", price: 25, open24h: 20 });
  await using web = new Site({
    store: storeThat(() => Promise.resolve([stored])),
    source: { products: [{ product: "SOL-USD", state: "quiet", price: 25, time: 1_700_000_000, ageSeconds: 70 }] },
  });
  const change = async () => (await web.ask("/api/products")).json[0].change24h;
  assertEquals(await change(), 25);
  await web.push(makeTick({ product: "SOL-USD", price: 25, open24h: 10, sequence: 2 }));
  assertEquals(await change(), 150);
});

test("/api/products asks the store again while the history is being made", async () => {
  let price = 25;
  await using web = new Site({
    store: storeThat(() => Promise.resolve([makeTick({ product: "SOL-USD", price: price++ })])),
    source: { products: [{ product: "SOL-USD", state: "waiting" }], historyDone: 0.5 },
  });
  const shown = async () => (await web.ask("/api/products")).json[0].price;
  assertEquals([await shown(), await shown()], [25, 26]);
  const { historyDone: _, ...state } = web.source.state;
  web.source.state = state;
  assertEquals([await shown(), await shown()], [27, 27]);
});

test("/api/products lists all in the order of the settings, with what is known of each", async () => {
  const stored = makeTick({
    product: "SOL-USD",
    price: 25,
    open24h: 20,
    exchangeTimeUs: 1_700_000_000_500_000,
    receivedTime: 1_700_000_000_600,
  });
  let asked = 0;
  await using web = new Site({
    clock: new FakeClock(1_700_000_060_600),
    store: storeThat(() => {
      asked++;
      return Promise.resolve([stored]);
    }),
    source: {
      products: [
        { product: "SOL-USD", state: "waiting" },
        { product: "BTC-USD", state: "live", price: 37_000.12, time: 1_700_000_050.25, ageSeconds: 1.5 },
        { product: "XRP-GBP", state: "refused", refused: "XRP-GBP is delisted" },
      ],
    },
  });
  await web.push(makeTick({ product: "BTC-USD", price: 37_000.12, open24h: 36_543 }));
  const expected = [
    {
      product: "SOL-USD",
      exchange: "coinbase",
      price: 25,
      time: 1_700_000_000.5,
      change24h: 25,
      // 0.1 s on its way, and 60 s since
      ageSeconds: 60.1,
      state: "waiting",
    },
    {
      product: "BTC-USD",
      exchange: "coinbase",
      price: 37_000.12,
      time: 1_700_000_050.25,
      change24h: 1.2509,
      ageSeconds: 1.5,
      state: "live",
    },
    { product: "XRP-GBP", exchange: "coinbase", state: "refused", refused: "XRP-GBP is delisted" },
  ];
  assertEquals((await web.ask("/api/products")).json, expected);
  assertEquals((await web.ask("/api/products")).json, expected);
  // what was before the start does not change
  assertEquals(asked, 1);
});

test("products of another exchange stand behind its name", async () => {
  await using web = new Site({
    store: EMPTY,
    exchange: { name: "kraken" },
    source: { products: liveProducts("BTC/USD") },
  });
  assertEquals((await web.ask("/api/products")).json[0].product, "kraken:BTC/USD");
  assertEquals((await web.ask("/api/ticks?product=kraken%3ABTC%2FUSD")).status, 200);
  assertEquals((await web.ask("/api/ticks?product=kraken:BTC/USD")).status, 200);
  assertEquals((await web.ask("/api/ticks?product=BTC/USD")).status, 404);
});
