// What is Coinbase's own in the simulator: the messages that a client may send, and every message of the exchange. Pure.

import type { Product, TickerValues, Trade } from "./market.ts";

/** Channels that need no login. The last four are acknowledged here, but carry no data. */
const CHANNELS: readonly string[] = [
  "ticker",
  "ticker_batch",
  "heartbeat",
  "matches",
  "level2_batch",
  "status",
  "auctionfeed",
];

const LOGIN_CHANNELS: readonly string[] = ["level2", "level3", "full", "user", "balance"];

/** Old names may still be used (docs), and replies use them (capture of 2026-10-03 for `ticker_1000`). */
const OLD_NAMES: Readonly<Record<string, string>> = { ticker_batch: "ticker_1000", level2_batch: "level2_50" };
const NEW_NAMES: Readonly<Record<string, string>> = { ticker_1000: "ticker_batch", level2_50: "level2_batch" };

/** Close reason for a client that reads too slowly: from the documentation; the close code was never captured. */
export const SLOW_CLIENT: { readonly code: number; readonly reason: string } = { code: 1008, reason: "ErrSlowConsume" };

/** What the exchange lists now. */
export interface Listings {
  /** Products by id, in the order of the replies. */
  readonly market: ReadonlyMap<string, Pick<Product, "isListed">>;
  /** One bad product makes the whole subscribe fail (as in 2017). */
  readonly refuseAll: boolean;
}

/** One product on one channel. */
export interface Subscription {
  readonly channel: string;
  readonly product: string;
}

/** The result of one message of a client. */
export interface Answer {
  /** The messages to send: errors first, then the `subscriptions` reply unless the whole message was refused. */
  readonly frames: readonly string[];
  /** What this message subscribed to, without duplicates: the last trade of each is sent again. */
  readonly granted: readonly Subscription[];
  /** Whether it was a subscribe, valid or not: the exchange waits 5 s for one. */
  readonly isSubscribe: boolean;
}

/** The id of a ticker: the same for each copy of it. */
export function tickerId({ product, sequence }: Pick<Trade, "product" | "sequence">): string {
  return `coinbase:${product}:${sequence}`;
}

/** The text of a `ticker` message, its keys in the order of the wire. */
export function tickerText(values: TickerValues): string {
  const { sequence, product, price, open, volume, low, high, monthVolume, bid, bidSize, ask, askSize } = values;
  return `{"type":"ticker","sequence":${sequence},"product_id":"${product}","price":"${price}","open_24h":"${open}",` +
    `"volume_24h":"${volume}","low_24h":"${low}","high_24h":"${high}","volume_30d":"${monthVolume}",` +
    `"best_bid":"${bid}","best_bid_size":"${bidSize}","best_ask":"${ask}","best_ask_size":"${askSize}",` +
    `"side":"${values.side}","time":"${values.time}","trade_id":${values.tradeId},"last_size":"${values.size}"}`;
}

/** The text of a `heartbeat` message of a product whose last trade is known, or that has none. */
export function heartbeatText(product: string, last: Trade | undefined, time: string): string {
  const { tradeId = 0, sequence = 0 } = last ?? {};
  return `{"type":"heartbeat","last_trade_id":${tradeId},"product_id":"${product}","sequence":${sequence},"time":"${time}"}`;
}

/** The text of the `error` message that says that a product is delisted. */
export function delistedText(product: string): string {
  return errorText("Failed to subscribe", `${product} is delisted`);
}

/** The trade in a recorded ticker message; undefined for any other message. */
export function readTicker(text: string): Trade | undefined {
  const { type, product_id: product, sequence, trade_id: tradeId, price, time } = parseObject(text) ?? {};
  if (type !== "ticker" || typeof product !== "string" || typeof sequence !== "number") return undefined;
  if (typeof tradeId !== "number" || typeof price !== "string" || typeof time !== "string") return undefined;
  return { product, sequence, tradeId, price, time, text, wasSent: false };
}

function errorText(message: string, reason: string): string {
  return JSON.stringify({ type: "error", message, reason });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** A list of names; an empty or invalid one gives one empty name, as the exchange reads it (seen in December 2023). */
function namesIn(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length === 0) return [""];
  return value.map((item) => typeof item === "string" ? item : "");
}

/** A channel that a message names, with its products. */
interface Requested {
  readonly channel: string;
  readonly products: readonly string[];
}

/** The products of the message apply to every channel; a channel's own are added. `refusals` name invalid channels. */
function readChannels(message: Record<string, unknown>): { requested: Requested[]; refusals: string[] } {
  const requested: Requested[] = [];
  const refusals: string[] = [];
  const shared = namesIn(message.product_ids);
  for (const item of Array.isArray(message.channels) ? message.channels : []) {
    const name = isObject(item) ? String(item.name) : String(item);
    const channel = NEW_NAMES[name] ?? name;
    const own = namesIn(isObject(item) ? item.product_ids : undefined);
    if (LOGIN_CHANNELS.includes(channel)) {
      refusals.push("level2, level3, and full channels now require authentication.");
    } else if (!CHANNELS.includes(channel)) refusals.push(`${name} is not a valid channel`);
    else requested.push({ channel, products: [...new Set([...shared, ...own])] });
  }
  return { requested, refusals };
}

/** What can be subscribed to, without duplicates; adds the reason for everything else to `refusals`. */
function grant(requested: readonly Requested[], market: Listings["market"], refusals: string[]): Subscription[] {
  const granted = new Map<string, Subscription>();
  for (const { channel, products } of requested) {
    // status covers all products and takes none
    for (const product of products.length === 0 && channel !== "status" ? [""] : products) {
      const listing = market.get(product);
      if (listing?.isListed === true) granted.set(`${channel} ${product}`, { channel, product });
      else refusals.push(`${product} is ${listing === undefined ? "not a valid product" : "delisted"}`);
    }
  }
  return [...granted.values()];
}

/** The subscriptions of one connection. */
export class Subscriptions {
  readonly #channels = new Map<string, Set<string>>();

  has(channel: string, product: string): boolean {
    return this.#channels.get(channel)?.has(product) === true;
  }

  /** All of them, as channel -> products. */
  all(): Record<string, string[]> {
    return Object.fromEntries([...this.#channels].map(([channel, products]) => [channel, [...products]]));
  }

  /** Removes a product from every channel. */
  forget(product: string): void {
    for (const [channel, products] of this.#channels) {
      products.delete(product);
      if (products.size === 0) this.#channels.delete(channel);
    }
  }

  /** Answers one message of the client. Never throws. */
  answer(text: string, { market, refuseAll }: Listings): Answer {
    const message = parseObject(text);
    // not JSON itself: reported from the sandbox in 2019 (coinbase/coinbase-pro-node#376)
    if (message === undefined) return { frames: ["invalid (un)subscribe msg"], granted: [], isSubscribe: false };
    const isSubscribe = message.type === "subscribe";
    if (!isSubscribe && message.type !== "unsubscribe") {
      // the wording of this one was never captured
      const error = errorText("Failed to subscribe", "Type has to be either subscribe or unsubscribe");
      return { frames: [error], granted: [], isSubscribe };
    }
    const { requested, refusals } = readChannels(message);
    const failed = (reason: string) => errorText(`Failed to ${message.type}`, reason);
    if (requested.length === 0 && refusals.length === 0) {
      return { frames: [failed("No channels provided")], granted: [], isSubscribe };
    }
    const granted = isSubscribe ? grant(requested, market, refusals) : [];
    const errors = refusals.map(failed);
    if (isSubscribe && refuseAll && errors.length > 0) {
      return { frames: errors.slice(0, 1), granted: [], isSubscribe };
    }
    if (isSubscribe) this.#add(requested, granted);
    else this.#remove(requested);
    return { frames: [...errors, this.#reply(market)], granted, isSubscribe };
  }

  #add(requested: readonly Requested[], granted: readonly Subscription[]): void {
    const productsOf = (channel: string) => {
      const products = this.#channels.get(channel) ?? new Set();
      this.#channels.set(channel, products);
      return products;
    };
    for (const { channel, product } of granted) productsOf(channel).add(product);
    if (requested.some(({ channel }) => channel === "status")) productsOf("status");
  }

  #remove(requested: readonly Requested[]): void {
    for (const { channel, products } of requested) {
      const current = this.#channels.get(channel);
      for (const product of products) current?.delete(product);
      if (products.length === 0 || current?.size === 0) this.#channels.delete(channel);
    }
  }

  /** Lists every subscription, not only new ones; products in the exchange's order, not the client's. */
  #reply(market: Listings["market"]): string {
    const channels = [...this.#channels].map(([channel, products]) => ({
      name: OLD_NAMES[channel] ?? channel,
      product_ids: [...market.keys()].filter((product) => products.has(product)),
      account_ids: null,
    }));
    return JSON.stringify({ type: "subscriptions", channels });
  }
}
