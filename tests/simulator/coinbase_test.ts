import { assertEquals } from "@std/assert";
import { type Listings, Subscriptions } from "../../src/simulator/coinbase.ts";

const LISTED = ["BTC-USD", "ETH-USD", "SOL-USD"];

function listings(refuseAll = false): Listings {
  return { market: new Map(LISTED.map((product) => [product, { isListed: true }])), refuseAll };
}

function reply(channels: Record<string, string[]>): string {
  const list = Object.entries(channels).map(([name, product_ids]) => ({ name, product_ids, account_ids: null }));
  return JSON.stringify({ type: "subscriptions", channels: list });
}

function failed(reason: string, message = "Failed to subscribe"): string {
  return JSON.stringify({ type: "error", message, reason });
}

const LOGIN = "level2, level3, and full channels now require authentication.";

// what a new connection sends, and what it is answered
const CASES: [string, unknown, { errors?: string[]; reply?: string }][] = [
  ["adds root products to every channel", {
    type: "subscribe",
    product_ids: ["ETH-USD", "BTC-USD"],
    channels: ["ticker", "heartbeat"],
  }, { reply: reply({ ticker: ["BTC-USD", "ETH-USD"], heartbeat: ["BTC-USD", "ETH-USD"] }) }],
  ["adds a channel's own products to those of the root", {
    type: "subscribe",
    product_ids: ["ETH-USD"],
    channels: ["heartbeat", { name: "ticker", product_ids: ["BTC-USD"] }],
  }, { reply: reply({ heartbeat: ["ETH-USD"], ticker: ["BTC-USD", "ETH-USD"] }) }],
  ["acknowledges ticker_batch under its old name", {
    type: "subscribe",
    product_ids: ["BTC-USD"],
    channels: ["ticker_batch"],
  }, { reply: reply({ ticker_1000: ["BTC-USD"] }) }],
  ["accepts the old name, too", { type: "subscribe", product_ids: ["BTC-USD"], channels: ["ticker_1000"] }, {
    reply: reply({ ticker_1000: ["BTC-USD"] }),
  }],
  ["reports each bad product on each channel, and accepts the good ones", {
    type: "subscribe",
    product_ids: ["XRP-GBP", "BTC-USD"],
    channels: ["ticker", "heartbeat"],
  }, {
    errors: [failed("XRP-GBP is not a valid product"), failed("XRP-GBP is not a valid product")],
    reply: reply({ ticker: ["BTC-USD"], heartbeat: ["BTC-USD"] }),
  }],
  ["reads the empty list of a channel as one empty name", {
    type: "subscribe",
    product_ids: ["BTC-USD"],
    channels: [{ name: "ticker", product_ids: [] }],
  }, { errors: [failed(" is not a valid product")], reply: reply({ ticker: ["BTC-USD"] }) }],
  ["refuses a channel without any product", { type: "subscribe", channels: ["ticker"] }, {
    errors: [failed(" is not a valid product")],
    reply: reply({}),
  }],
  ["refuses a subscribe without channels", { type: "subscribe", product_ids: ["BTC-USD"] }, {
    errors: [failed("No channels provided")],
  }],
  ["refuses a subscribe with no channel in the list", { type: "subscribe", product_ids: ["BTC-USD"], channels: [] }, {
    errors: [failed("No channels provided")],
  }],
  ["refuses an unknown channel", { type: "subscribe", product_ids: ["BTC-USD"], channels: ["prices", "ticker"] }, {
    errors: [failed("prices is not a valid channel")],
    reply: reply({ ticker: ["BTC-USD"] }),
  }],
  ["refuses a channel that needs a login", { type: "subscribe", product_ids: ["BTC-USD"], channels: ["level2"] }, {
    errors: [failed(LOGIN)],
    reply: reply({}),
  }],
  ["acknowledges the status channel without products", { type: "subscribe", channels: ["status"] }, {
    reply: reply({ status: [] }),
  }],
  ["refuses an unsubscribe without channels", { type: "unsubscribe", product_ids: ["BTC-USD"] }, {
    errors: [failed("No channels provided", "Failed to unsubscribe")],
  }],
  ["refuses other types", { type: "ticker" }, {
    errors: [failed("Type has to be either subscribe or unsubscribe")],
  }],
];

for (const [what, message, expected] of CASES) {
  Deno.test(`Subscriptions.answer() ${what}`, () => {
    const { frames } = new Subscriptions().answer(JSON.stringify(message), listings());
    const { errors = [], reply } = expected;
    assertEquals(frames, reply === undefined ? errors : [...errors, reply]);
  });
}

for (
  const text of [
    "",
    "{",
    "null",
    "[]",
    "5",
    '{"type":"subscribe","channels":5}',
    '{"type":"subscribe","product_ids":"BTC-USD","channels":["ticker"]}',
    '{"type":"subscribe","product_ids":[5],"channels":[null,{"name":{}}]}',
    '{"type":"unsubscribe","channels":[{"product_ids":{}}]}',
  ]
) {
  Deno.test(`Subscriptions.answer() answers ${JSON.stringify(text)} with errors and grants nothing`, () => {
    const subscriptions = new Subscriptions();
    const answer = subscriptions.answer(text, listings());
    assertEquals([answer.frames[0] !== reply({}), answer.granted, subscriptions.all()], [true, [], {}]);
  });
}

Deno.test("Subscriptions.answer() adds later subscribes, lists all subscriptions, and removes what is unsubscribed", () => {
  const subscriptions = new Subscriptions();
  const say = (message: unknown) => subscriptions.answer(JSON.stringify(message), listings());
  say({ type: "subscribe", product_ids: ["BTC-USD"], channels: ["ticker"] });
  const later = say({ type: "subscribe", product_ids: ["ETH-USD"], channels: ["ticker", "heartbeat"] });
  assertEquals(later.frames, [reply({ ticker: ["BTC-USD", "ETH-USD"], heartbeat: ["ETH-USD"] })]);
  assertEquals(later.granted, [{ channel: "ticker", product: "ETH-USD" }, {
    channel: "heartbeat",
    product: "ETH-USD",
  }]);
  const one = say({ type: "unsubscribe", product_ids: ["BTC-USD"], channels: ["ticker"] });
  assertEquals(one.frames, [reply({ ticker: ["ETH-USD"], heartbeat: ["ETH-USD"] })]);
  const channel = say({ type: "unsubscribe", channels: ["heartbeat"] });
  assertEquals(channel.frames, [reply({ ticker: ["ETH-USD"] })]);
  const last = say({ type: "unsubscribe", product_ids: ["ETH-USD"], channels: ["ticker"] });
  assertEquals(last.frames, [reply({})]);
});

Deno.test("Subscriptions.answer() refuses everything for one bad product with refuseAll", () => {
  const subscriptions = new Subscriptions();
  const message = {
    type: "subscribe",
    product_ids: ["BTC-USD", "NO-USD", "NO-EUR"],
    channels: ["ticker", "heartbeat"],
  };
  const answer = subscriptions.answer(JSON.stringify(message), listings(true));
  assertEquals(answer, { frames: [failed("NO-USD is not a valid product")], granted: [], isSubscribe: true });
  assertEquals(subscriptions.all(), {});
});
