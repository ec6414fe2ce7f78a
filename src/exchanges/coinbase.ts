// The protocol of Coinbase Exchange: subscribe and decode. The channels used here need neither key nor account.
// https://docs.cdp.coinbase.com/exchange/websocket-feed/overview

import type { RejectReason, Tick } from "../core/record.ts";
import type { Decoded, Exchange, Refusal } from "./exchange.ts";
import { MAX_AHEAD_MS, parseCount, parseDecimal, parsePrice, parseTimeUs } from "./values.ts";

const PRODUCT = /^[A-Z0-9]{1,20}(?:-[A-Z0-9]{1,20}){1,3}$/;

/** Coinbase answers "Message too big" to long subscribe messages, and does not publish the limit: this stays far below it. */
const PRODUCTS_PER_MESSAGE = 100;

/**
 * Matches a ticker exactly as Coinbase writes it, in less than half the time of `JSON.parse()`. Any other form (order of
 * fields, a new field, an escape, a space) is parsed as JSON, with the same result.
 */
const TICKER = (() => {
  const count = "([1-9][0-9]{0,14})", decimal = '"([0-9.]{1,30})"', unread = '"[0-9.]{1,30}"';
  return new RegExp(
    `^\\{"type":"ticker","sequence":${count},"product_id":"([A-Z0-9-]{1,84})","price":${decimal},"open_24h":${decimal},` +
      `"volume_24h":${decimal},"low_24h":${unread},"high_24h":${unread},"volume_30d":${unread},"best_bid":${decimal},` +
      `"best_bid_size":${unread},"best_ask":${decimal},"best_ask_size":${unread},"side":"(buy|sell)",` +
      `"time":"([0-9T:.Z-]{20,30})","trade_id":${count},"last_size":${decimal}\\}$`,
  );
})();

const NONE: readonly never[] = [];
const NOTHING: Decoded = { ticks: NONE, rejected: NONE };

function reject(reason: RejectReason): Decoded {
  return { ticks: [], rejected: [reason] };
}

/**
 * `{"type":"ticker","sequence":137212619516,"product_id":"BTC-USD","price":"84737.58","open_24h":"84430.55",
 * "volume_24h":"1836.96781750","low_24h":"84400","high_24h":"85021.57","volume_30d":"175984.53012145",
 * "best_bid":"84737.58","best_bid_size":"0.19921154","best_ask":"84737.59","best_ask_size":"0.05223077","side":"sell",
 * "time":"2026-10-03T20:58:31.127510Z","trade_id":1102042811,"last_size":"0.00000025"}`. The
 * channels `ticker` and `ticker_batch` send the same message; it does not name its channel.
 */
function decodeTicker(message: Record<string, unknown>, receivedTime: number | undefined): Decoded {
  const product = message.product_id;
  if (typeof product !== "string" || !PRODUCT.test(product)) return reject("bad-product");
  if (isWithoutTime(message)) {
    const neverTraded = isZero(message.price);
    if (!neverTraded && parsePrice(message.price) === undefined) return reject("bad-price");
    return { ticks: NONE, rejected: NONE, withoutTrade: { product, neverTraded } };
  }
  const sequence = parseCount(message.sequence);
  if (sequence === undefined) return reject("bad-sequence");
  const price = parsePrice(message.price);
  if (price === undefined) return reject("bad-price");
  const exchangeTimeUs = parseTimeUs(message.time);
  if (exchangeTimeUs === undefined) return reject("bad-time");
  const exchangeTime = exchangeTimeUs / 1000;
  // a tick from the future would stay the newest price until that time
  if (receivedTime !== undefined && exchangeTime > receivedTime + MAX_AHEAD_MS) return reject("bad-time");

  // optional: trade_id, side and last_size have been missing in some frames over the years
  const { side } = message;
  const tick: Tick = {
    kind: "tick",
    exchange: "coinbase",
    product,
    sequence,
    price,
    exchangeTimeUs,
    receivedTime: receivedTime ?? exchangeTime,
    recordTimeUs: exchangeTimeUs,
    tradeId: parseCount(message.trade_id),
    lastSize: parseDecimal(message.last_size),
    // the taker's side; Coinbase's `match` message has the maker's, which is the opposite
    side: side === "buy" || side === "sell" ? side : undefined,
    open24h: parseDecimal(message.open_24h),
    volume24h: parseDecimal(message.volume_24h),
    bid: parseDecimal(message.best_bid),
    ask: parseDecimal(message.best_ask),
  };
  return { ticks: [tick], rejected: NONE };
}

/** A product that was never traded has the price "0" and no time, or a time in year 1. */
function isZero(price: unknown): boolean {
  return price === undefined || price === null || price === "" || parseDecimal(price) === 0;
}

function isWithoutTime({ time, price }: Record<string, unknown>): boolean {
  if (time === undefined || time === null || time === "") return true;
  return isZero(price) && typeof time === "string" && time.startsWith("0001-01-01T00:00:00");
}

/** `{"type":"heartbeat","last_trade_id":1092969669,"product_id":"BTC-USD","sequence":136118091026,"time":"2026-09-15T11:01:54.000000Z"}` */
function decodeHeartbeat(message: Record<string, unknown>): Decoded {
  const product = message.product_id;
  if (typeof product !== "string" || !PRODUCT.test(product)) return reject("bad-product");
  const lastTradeId = parseCount(message.last_trade_id);
  const timeUs = parseTimeUs(message.time);
  return {
    ticks: [],
    rejected: [],
    heartbeat: {
      product,
      ...(lastTradeId === undefined ? {} : { lastTradeId }),
      ...(timeUs === undefined ? {} : { timeUs }),
    },
  };
}

/**
 * `{"type":"subscriptions","channels":[{"name":"ticker_1000","product_ids":["BTC-USD"],"account_ids":null}]}`: the complete
 * list of current subscriptions. `ticker_batch` appears under its old name `ticker_1000` (seen 2026-10-03).
 */
function decodeSubscriptions(message: Record<string, unknown>): Decoded {
  const subscribed: string[] = [];
  for (const channel of Array.isArray(message.channels) ? message.channels : []) {
    const { name, product_ids: products } = Object(channel) as Record<string, unknown>;
    if (name !== "ticker" && name !== "ticker_batch" && name !== "ticker_1000") continue;
    for (const product of Array.isArray(products) ? products : []) {
      if (typeof product === "string") subscribed.push(product);
    }
  }
  return { ticks: [], rejected: [], subscribed };
}

/** `{"type":"error","message":"Failed to subscribe","reason":"XRP-GBP is delisted"}`: there is no code, only these texts. */
function decodeError({ message, reason }: Record<string, unknown>): Decoded {
  const texts = [message, reason].filter((text) => typeof text === "string" && text !== "");
  const words = texts.join(": ").slice(0, 300) || "no reason given";
  return { ticks: NONE, rejected: NONE, refused: refusalOf(words, typeof reason === "string" ? reason : "") };
}

function refusalOf(words: string, reason: string): Refusal {
  // the whole first word: AR-USD is a suffix of HBAR-USD
  const [subject = ""] = reason.split(" ", 1);
  if (PRODUCT.test(subject)) return { kind: "product", product: subject, words };
  const [, channel] = /(\S+) is not a valid channel$/.exec(words) ?? [];
  if (channel !== undefined) return { kind: "channel", channel, words };
  // "level2, level3, and full channels now require authentication."
  return { kind: /authenticat/i.test(words) ? "login" : "other", words };
}

/** Coinbase Exchange: `ticker` (each trade) and `ticker_batch` (the last trade of each 5 seconds that had one). */
export const coinbase: Exchange = {
  name: "coinbase",
  title: "Coinbase",
  url: "wss://ws-feed.exchange.coinbase.com",
  channels: {
    ticker_batch: {
      meaning: "the last trade of each 5 s that had one",
      precision: "seconds",
    },
    ticker: {
      meaning: "every trade, w_time with microseconds",
      precision: "microseconds",
    },
  },
  productPattern: PRODUCT,
  defaultProducts: ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"],
  defaultChannel: "ticker_batch",
  maxHeartbeats: 50,

  subscribe(products, channel) {
    const frames: string[] = [];
    const allBeat = products.length <= coinbase.maxHeartbeats;
    for (let start = 0; start < products.length; start += PRODUCTS_PER_MESSAGE) {
      const part = products.slice(start, start + PRODUCTS_PER_MESSAGE);
      frames.push(JSON.stringify({
        type: "subscribe",
        product_ids: part,
        channels: allBeat ? [channel, "heartbeat"] : [channel],
      }));
    }
    if (!allBeat) {
      frames.push(JSON.stringify({ type: "subscribe", product_ids: products.slice(0, 1), channels: ["heartbeat"] }));
    }
    return frames;
  },

  decode(frame, receivedTime) {
    const exact = TICKER.exec(frame);
    if (exact !== null) {
      return decodeTicker({
        sequence: Number(exact[1]),
        product_id: exact[2],
        price: exact[3],
        open_24h: exact[4],
        volume_24h: exact[5],
        best_bid: exact[6],
        best_ask: exact[7],
        side: exact[8],
        time: exact[9],
        trade_id: Number(exact[10]),
        last_size: exact[11],
      }, receivedTime);
    }
    let message: unknown;
    try {
      message = JSON.parse(frame);
    } catch {
      return reject("bad-json");
    }
    if (typeof message !== "object" || message === null || Array.isArray(message)) return reject("bad-message");
    const fields = message as Record<string, unknown>;
    switch (fields.type) {
      case "ticker":
        return decodeTicker(fields, receivedTime);
      case "heartbeat":
        return decodeHeartbeat(fields);
      case "subscriptions":
        return decodeSubscriptions(fields);
      case "error":
        return decodeError(fields);
      default:
        // "New message types can be added at any time": an unknown type is ignored, a missing one is an error
        return typeof fields.type === "string" ? NOTHING : reject("bad-message");
    }
  },
};
