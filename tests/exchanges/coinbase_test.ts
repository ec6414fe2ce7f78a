import { assertEquals } from "@std/assert";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Decoded } from "../../src/exchanges/exchange.ts";
import { EXCHANGES } from "../../src/exchanges/mod.ts";
import type { RejectReason } from "../../src/core/record.ts";
import { exchangeContract } from "../contracts/exchange.ts";
import { forSeeds, type Random } from "../fakes/random.ts";
import control from "../fixtures/coinbase/control.2026-10-04.jsonl" with { type: "text" };
import years from "../fixtures/coinbase/ticker-years.2019-2026.jsonl" with { type: "text" };
import ticker from "../fixtures/coinbase/ticker.2026-10-04.jsonl" with { type: "text" };
import tickerBatch from "../fixtures/coinbase/ticker_batch.2026-10-04.jsonl" with { type: "text" };

exchangeContract(coinbase, ticker + tickerBatch + years + control);

const RECEIVED = Date.UTC(2026, 9, 4, 8, 15, 0, 30);

/** A captured frame with some fields changed; undefined takes a field away. */
function frame(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({ ...JSON.parse(ticker.slice(0, ticker.indexOf("\n"))), ...fields });
}

function rejected(reason: RejectReason): Decoded {
  return { ticks: [], rejected: [reason] };
}

const NOTHING: Decoded = { ticks: [], rejected: [] };

Deno.test("coinbase is in the list of exchanges under its name", () => {
  assertEquals(EXCHANGES[coinbase.name], coinbase);
});

Deno.test("coinbase.decode() reads every field of a captured ticker", () => {
  assertEquals(coinbase.decode(frame(), RECEIVED), {
    ticks: [{
      kind: "tick",
      exchange: "coinbase",
      product: "BTC-USD",
      sequence: 150000000010,
      price: 61234.56,
      exchangeTimeUs: 1_791_101_700_000_001,
      receivedTime: RECEIVED,
      recordTimeUs: 1_791_101_700_000_001,
      tradeId: 700000001,
      lastSize: 0.00000001,
      side: "sell",
      open24h: 61000.5,
      volume24h: 1523.407182,
      bid: 61234.55,
      ask: 61234.56,
    }],
    rejected: [],
  });
});

for (const field of ["trade_id", "side", "last_size", "open_24h", "volume_24h", "best_bid", "best_ask"]) {
  for (const value of [undefined, null, "", "x", -1, [5], {}]) {
    Deno.test(`coinbase.decode() keeps the price when ${field} is ${JSON.stringify(value)}`, () => {
      const { ticks, rejected } = coinbase.decode(frame({ [field]: value }), RECEIVED);
      assertEquals([ticks.length, ticks[0]?.price, rejected], [1, 61234.56, []]);
      assertEquals(Object.values(ticks[0] ?? {}).filter((each) => each === undefined).length, 1, "and leaves it out");
    });
  }
}

for (
  const price of [
    undefined,
    null,
    "0",
    "0.00",
    "-1",
    "+1",
    "",
    " ",
    "NaN",
    "Infinity",
    "1e5",
    "1e999",
    "0x10",
    "1,5",
    ".5",
    "5.",
    "1.2.3",
    " 1",
    "1 ",
    "٣",
    true,
    5,
    [5],
    ["5"],
    {},
    "9007199254740993",
  ]
) {
  Deno.test(`coinbase.decode() rejects price ${JSON.stringify(price)}`, () => {
    assertEquals(coinbase.decode(frame({ price }), RECEIVED), rejected("bad-price"));
  });
}

for (
  const time of [
    1_791_101_700,
    "2026-10-04",
    "2026-10-04T08:15:00",
    "2026-10-04 08:15:00Z",
    "0001-01-01T00:00:00.000000Z",
    "1969-12-31T23:59:59.999999Z",
    "2026-02-30T00:00:00Z",
    "2026-10-04T24:00:00Z",
    "2026-10-04T08:15:00.Z",
    "2026-10-04T08:15:00.1234567890Z",
    "2026-10-04T08:15:00.000Z junk",
  ]
) {
  Deno.test(`coinbase.decode() rejects time ${JSON.stringify(time)}`, () => {
    assertEquals(coinbase.decode(frame({ time }), RECEIVED), rejected("bad-time"));
  });
}

for (const time of [undefined, null, ""]) {
  Deno.test(`coinbase.decode() takes a ticker with time ${JSON.stringify(time)} for one that reports no trade`, () => {
    assertEquals(coinbase.decode(frame({ time, sequence: undefined, trade_id: undefined }), RECEIVED), {
      ...NOTHING,
      withoutTrade: { product: "BTC-USD", neverTraded: false },
    });
    // what is no price is junk with or without a time
    assertEquals(coinbase.decode(frame({ time, price: "junk" }), RECEIVED), rejected("bad-price"));
  });
}

for (
  const changes of [
    { price: "0" },
    { price: "0.00000000", sequence: 0, trade_id: 0 },
    { price: undefined },
    { price: "", time: "" },
    { price: "0", time: "0001-01-01T00:00:00.000000Z" },
  ]
) {
  Deno.test(`coinbase.decode() knows a product that was never traded by ${JSON.stringify(changes)}`, () => {
    const never = { time: undefined, sequence: undefined, trade_id: undefined, ...changes };
    assertEquals(coinbase.decode(frame(never), RECEIVED), {
      ...NOTHING,
      withoutTrade: { product: "BTC-USD", neverTraded: true },
    });
  });
}

for (
  const product_id of [
    undefined,
    null,
    "",
    "BTC",
    "btc-usd",
    "BTC/USD",
    "BTC-USD ",
    " BTC-USD",
    "BTC-USD\n",
    "-USD",
    "BTC-",
    'BTC-"USD',
    "BTC--USD",
    5,
    ["BTC-USD"],
    "X".repeat(21) + "-USD",
  ]
) {
  Deno.test(`coinbase.decode() rejects product ${JSON.stringify(product_id)}`, () => {
    assertEquals(coinbase.decode(frame({ product_id }), RECEIVED), rejected("bad-product"));
  });
}

for (const sequence of [undefined, null, "150000000010", -1, 1.5, true, [1], 2 ** 53]) {
  Deno.test(`coinbase.decode() rejects sequence ${JSON.stringify(sequence)}`, () => {
    assertEquals(coinbase.decode(frame({ sequence }), RECEIVED), rejected("bad-sequence"));
  });
}

for (
  const [name, text, reason] of [
    ["no JSON", "junk", "bad-json"],
    ["an empty frame", "", "bad-json"],
    ["half a frame", frame().slice(0, 200), "bad-json"],
    ["two frames in one", frame() + frame(), "bad-json"],
    ["null", "null", "bad-message"],
    ["a list", `[${frame()}]`, "bad-message"],
    ["a text", '"ticker"', "bad-message"],
    ["no type", frame({ type: undefined }), "bad-message"],
    ["a type that is no text", frame({ type: 5 }), "bad-message"],
  ] as const
) {
  Deno.test(`coinbase.decode() rejects ${name}`, () => {
    assertEquals(coinbase.decode(text, RECEIVED), rejected(reason));
  });
}

for (
  const text of ["{}", '{"type":"ticker"}', '{"type":"heartbeat"}', '{"type":"error"}', '{"type":"subscriptions"}']
) {
  Deno.test(`coinbase.decode() finds no tick in ${text}`, () => {
    assertEquals(coinbase.decode(text, RECEIVED).ticks, []);
  });
}

for (const type of ["status", "l2update", "snapshot", "match", "last_match", "ticker2", "TICKER", ""]) {
  Deno.test(`coinbase.decode() has nothing for us in a frame of type ${JSON.stringify(type)}`, () => {
    assertEquals(coinbase.decode(frame({ type }), RECEIVED), NOTHING);
  });
}

Deno.test("coinbase.decode() does not hang on a price of a million digits", () => {
  const price = `1.${"0".repeat(1_000_000)}1`;
  assertEquals(coinbase.decode(frame({ price }), RECEIVED), rejected("bad-price"));
});

const CONTROL: { name: string; message: Record<string, unknown>; wanted: Partial<Decoded> }[] = [
  {
    name: "a heartbeat",
    message: {
      type: "heartbeat",
      last_trade_id: 700000010,
      product_id: "BTC-USD",
      sequence: 150000000040,
      time: "2026-10-04T08:20:00.227412Z",
    },
    wanted: { heartbeat: { product: "BTC-USD", lastTradeId: 700000010, timeUs: 1_791_102_000_227_412 } },
  },
  {
    name: "a heartbeat of a product that was never traded",
    message: { type: "heartbeat", last_trade_id: 0, product_id: "ETH-EUR" },
    wanted: { heartbeat: { product: "ETH-EUR", lastTradeId: 0 } },
  },
  {
    name: "a heartbeat whose numbers are no numbers",
    message: { type: "heartbeat", last_trade_id: "5", product_id: "ETH-EUR", time: "now" },
    wanted: { heartbeat: { product: "ETH-EUR" } },
  },
  {
    name: "a heartbeat without a product",
    message: { type: "heartbeat", last_trade_id: 5 },
    wanted: { rejected: ["bad-product"] },
  },
  {
    name: "what is subscribed, ticker_batch under its old name, without the heartbeats",
    message: {
      type: "subscriptions",
      channels: [
        { name: "ticker_1000", product_ids: ["BTC-USD", "ETH-USD"], account_ids: null },
        { name: "heartbeat", product_ids: ["SOL-USD"], account_ids: null },
      ],
    },
    wanted: { subscribed: ["BTC-USD", "ETH-USD"] },
  },
  {
    name: "what is subscribed under the new names",
    message: {
      type: "subscriptions",
      channels: [{ name: "ticker_batch", product_ids: ["BTC-USD"] }, { name: "ticker", product_ids: ["ETH-USD"] }],
    },
    wanted: { subscribed: ["BTC-USD", "ETH-USD"] },
  },
  {
    name: "an acknowledgement of strange shape",
    message: {
      type: "subscriptions",
      channels: [null, 5, "ticker", { name: "ticker", product_ids: [5, null, "A-B"] }],
    },
    wanted: { subscribed: ["A-B"] },
  },
  {
    name: "that nothing is subscribed",
    message: { type: "subscriptions", channels: [] },
    wanted: { subscribed: [] },
  },
  {
    name: "a delisted product",
    message: { type: "error", message: "Failed to subscribe", reason: "XRP-GBP is delisted" },
    wanted: { refused: { kind: "product", product: "XRP-GBP", words: "Failed to subscribe: XRP-GBP is delisted" } },
  },
  {
    name: "a product whose name is the end of another's",
    message: { type: "error", message: "Failed to subscribe", reason: "AR-USD is not a valid product" },
    wanted: {
      refused: { kind: "product", product: "AR-USD", words: "Failed to subscribe: AR-USD is not a valid product" },
    },
  },
  {
    name: "an error about no product",
    message: { type: "error", message: "Failed to subscribe", reason: " is not a valid product" },
    wanted: { refused: { kind: "other", words: "Failed to subscribe:  is not a valid product" } },
  },
  {
    name: "a channel that it does not know",
    message: { type: "error", message: "Failed to subscribe", reason: "prices is not a valid channel" },
    wanted: {
      refused: { kind: "channel", channel: "prices", words: "Failed to subscribe: prices is not a valid channel" },
    },
  },
  {
    name: "a login that failed",
    message: { type: "error", message: "Authentication Failed" },
    wanted: { refused: { kind: "login", words: "Authentication Failed" } },
  },
  {
    name: "channels that need a login",
    message: {
      type: "error",
      message: "Failed to subscribe",
      reason: "level2, level3, and full channels now require authentication.",
    },
    wanted: {
      refused: {
        kind: "login",
        words: "Failed to subscribe: level2, level3, and full channels now require authentication.",
      },
    },
  },
  {
    name: "an error with one text",
    message: { type: "error", message: "slow down" },
    wanted: { refused: { kind: "other", words: "slow down" } },
  },
  {
    name: "an error whose texts are none",
    message: { type: "error", message: 5, reason: {} },
    wanted: { refused: { kind: "other", words: "no reason given" } },
  },
  {
    name: "an error with more words than a log line should hold",
    message: { type: "error", message: "x".repeat(1000) },
    wanted: { refused: { kind: "other", words: "x".repeat(300) } },
  },
];
for (const { name, message, wanted } of CONTROL) {
  Deno.test(`coinbase.decode() tells of ${name}`, () => {
    assertEquals(coinbase.decode(JSON.stringify(message), RECEIVED), { ...NOTHING, ...wanted });
  });
}

Deno.test("coinbase.subscribe() asks in one frame for up to 50 products and a heartbeat for each", () => {
  assertEquals(coinbase.subscribe(["BTC-USD", "ETH-USD"], "ticker_batch"), [
    '{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channels":["ticker_batch","heartbeat"]}',
  ]);
});

Deno.test("coinbase.subscribe() asks for one heartbeat alone above 50 products", () => {
  const products = Array.from({ length: 51 }, (_, i) => `P${i}-USD`);
  const frames = coinbase.subscribe(products, "ticker").map((text) => JSON.parse(text));
  assertEquals(frames, [
    { type: "subscribe", product_ids: products, channels: ["ticker"] },
    { type: "subscribe", product_ids: ["P0-USD"], channels: ["heartbeat"] },
  ]);
});

/** What changes in a frame, so that it is no longer the usual one, or is one still. */
const CHANGES: ((frame: string, random: Random) => string)[] = [
  (frame) => frame,
  // one letter is another, is missing, or stands twice
  (frame, random) => {
    const at = random.int(0, frame.length - 1);
    const letter = random.pick([...'09.,:"{}\\-eE+TZ aü\n\u0000', frame[at] ?? ""]);
    return frame.slice(0, at) + random.pick([letter, "", frame[at] + letter]) + frame.slice(at + 1);
  },
  // one value is another
  (frame, random) => {
    const values = [
      "0",
      "1.5",
      "00.10",
      ".5",
      "5.",
      "1.2.3",
      "-1",
      "1e3",
      "123456789012345678",
      "0.000000001",
      "x",
      "",
    ];
    const fields = [...frame.matchAll(/"(\w+)":(?:"[^"]*"|\d+)/g)];
    const field = random.pick(fields);
    const value = random.pick(values);
    const text = random.chance(0.5) ? JSON.stringify(value) : value || "0";
    return frame.replace(field[0], () => `"${field[1]}":${text}`);
  },
  // two fields change places
  (frame) => frame.replace(/("price":"[^"]*"),("open_24h":"[^"]*")/, "$2,$1"),
  (frame) => frame.replace(/}$/, ',"new":1}'),
];

Deno.test("coinbase.decode() reads a frame as it is usually written as it reads the same frame written otherwise", async () => {
  const frames = (ticker + tickerBatch + years).trim().split("\n");
  await forSeeds(3000, (random) => {
    const changed = random.pick(CHANGES)(random.pick(frames), random);
    const otherwise = changed.replace("{", "{ ");
    // a frame that does not begin like one cannot be written otherwise
    if (!changed.startsWith("{")) return;
    assertEquals(coinbase.decode(changed, RECEIVED), coinbase.decode(otherwise, RECEIVED), changed);
  });
});
