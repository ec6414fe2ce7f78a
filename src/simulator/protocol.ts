// The messages that a client may send and Coinbase's answers: subscribe, unsubscribe, and errors in its words. Pure.

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

/** What the exchange lists now. */
export interface Listings {
  /** Products in the order of the replies. */
  readonly products: readonly string[];
  /** Why the product is refused, in the exchange's words; undefined if it is listed. */
  refusal(product: string): string | undefined;
  /** One bad product makes the whole subscribe fail (as in 2017). */
  readonly refuseAll: boolean;
}

/** One product on one channel. */
export interface Subscription {
  /** Today's name of the channel. */
  readonly channel: string;
  /** The exchange's id. */
  readonly product: string;
}

/** The result of one message of a client. */
export interface Answer {
  /** Errors, in order; they are sent first. */
  readonly errors: readonly string[];
  /** The `subscriptions` reply; undefined when the whole message was refused. */
  readonly reply?: string;
  /** What this message subscribed to, without duplicates: the last trade of each is sent again. */
  readonly granted: readonly Subscription[];
  /** Whether it was a subscribe, valid or not: the exchange waits 5 s for one. */
  readonly asked: boolean;
}

/** The text of an `error` message. */
export function errorText(message: string, reason: string): string {
  return JSON.stringify({ type: "error", message, reason });
}

/** The text of a `heartbeat` message. */
export function heartbeatText(product: string, sequence: number, tradeId: number, time: string): string {
  return `{"type":"heartbeat","last_trade_id":${tradeId},"product_id":"${product}","sequence":${sequence},"time":"${time}"}`;
}

interface Wish {
  readonly channel: string;
  readonly products: readonly string[];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A list of names; an empty or invalid one gives one empty name, as the exchange reads it (seen in December 2023). */
function names(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length === 0) return [""];
  return value.map((item) => typeof item === "string" ? item : "");
}

/** The subscriptions of one connection. */
export class Subscriptions {
  readonly #channels = new Map<string, Set<string>>();

  /** Whether this product is subscribed on this channel. */
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
  take(text: string, listings: Listings): Answer {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      message = undefined;
    }
    if (!isObject(message)) {
      // not JSON itself: reported from the sandbox in 2019 (coinbase/coinbase-pro-node#376)
      return { errors: ["invalid (un)subscribe msg"], granted: [], asked: false };
    }
    if (message.type === "subscribe") return this.#subscribe(message, listings);
    if (message.type === "unsubscribe") return this.#unsubscribe(message, listings);
    // the wording of this one was never captured
    const reason = "Type has to be either subscribe or unsubscribe";
    return { errors: [errorText("Failed to subscribe", reason)], granted: [], asked: false };
  }

  #subscribe(message: Record<string, unknown>, listings: Listings): Answer {
    const failed = (reason: string) => errorText("Failed to subscribe", reason);
    const { wishes, bad } = this.#wishes(message);
    if (wishes.length === 0 && bad.length === 0) {
      return { errors: [failed("No channels provided")], granted: [], asked: true };
    }
    const errors = bad.map(failed);
    const granted = new Map<string, Subscription>();
    for (const { channel, products } of wishes) {
      // status covers all products and takes none
      for (const product of products.length === 0 && channel !== "status" ? [""] : products) {
        const refusal = listings.refusal(product);
        if (refusal === undefined) granted.set(`${channel} ${product}`, { channel, product });
        else errors.push(failed(refusal));
      }
    }
    if (listings.refuseAll && errors.length > 0) return { errors: errors.slice(0, 1), granted: [], asked: true };
    for (const { channel, product } of granted.values()) {
      const products = this.#channels.get(channel) ?? new Set();
      this.#channels.set(channel, products.add(product));
    }
    for (const { channel } of wishes) {
      if (channel === "status" && !this.#channels.has(channel)) this.#channels.set(channel, new Set());
    }
    return { errors, reply: this.#reply(listings), granted: [...granted.values()], asked: true };
  }

  #unsubscribe(message: Record<string, unknown>, listings: Listings): Answer {
    const { wishes, bad } = this.#wishes(message);
    if (wishes.length === 0 && bad.length === 0) {
      return { errors: [errorText("Failed to unsubscribe", "No channels provided")], granted: [], asked: false };
    }
    for (const { channel, products } of wishes) {
      const current = this.#channels.get(channel);
      for (const product of products) current?.delete(product);
      if (products.length === 0 || current?.size === 0) this.#channels.delete(channel);
    }
    const errors = bad.map((reason) => errorText("Failed to unsubscribe", reason));
    return { errors, reply: this.#reply(listings), granted: [], asked: false };
  }

  /** The products of the message apply to every channel; a channel's own are added. */
  #wishes(message: Record<string, unknown>): { wishes: Wish[]; bad: string[] } {
    const wishes: Wish[] = [];
    const bad: string[] = [];
    const root = names(message.product_ids);
    for (const item of Array.isArray(message.channels) ? message.channels : []) {
      const name = isObject(item) ? String(item.name) : String(item);
      const channel = NEW_NAMES[name] ?? name;
      const own = names(isObject(item) ? item.product_ids : undefined);
      if (LOGIN_CHANNELS.includes(channel)) bad.push("level2, level3, and full channels now require authentication.");
      else if (!CHANNELS.includes(channel)) bad.push(`${name} is not a valid channel`);
      else wishes.push({ channel, products: [...new Set([...root, ...own])] });
    }
    return { wishes, bad };
  }

  /** Lists every subscription, not only new ones; products in the exchange's order, not the client's. */
  #reply(listings: Listings): string {
    const channels = [...this.#channels].map(([channel, products]) => ({
      name: OLD_NAMES[channel] ?? channel,
      product_ids: listings.products.filter((product) => products.has(product)),
      account_ids: null,
    }));
    return JSON.stringify({ type: "subscriptions", channels });
  }
}
