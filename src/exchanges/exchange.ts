// What the program needs to know about an exchange. A new exchange is one file beside this one, without I/O, state or clock.

import type { RejectReason, Tick } from "../core/record.ts";

/** Of record times. `seconds`: rounded down to whole seconds. `microseconds`: exact, and strictly rising per product. */
export type TimePrecision = "seconds" | "microseconds";

/** The exchange is alive, and this is the newest trade of one product. */
export interface Heartbeat {
  /** The exchange's id. */
  readonly product: string;
  /** Id of the product's newest trade; 0 if it was never traded; absent if the exchange does not say. */
  readonly lastTradeId?: number;
  /** When it was sent by the exchange's clock, whole microseconds since the epoch. */
  readonly timeUs?: number;
}

/**
 * The exchange said no. `words` is its own text, for people only: code decides by `kind`, and `decode()` is where the words
 * become one. `product`: it does not serve this product. `channel`: it does not know this channel. `login`: what was asked
 * for needs a login, which this program does not have. `other`: anything else.
 */
export type Refusal =
  & { readonly words: string }
  & (
    | { readonly kind: "product"; readonly product: string }
    | { readonly kind: "channel"; readonly channel: string }
    | { readonly kind: "login" | "other" }
  );

/** Whether no product of this channel can come: the exchange does not know the channel, or asks for a login. */
export function refusesChannel(refusal: Refusal, channel: string): boolean {
  return refusal.kind === "login" || (refusal.kind === "channel" && refusal.channel === channel);
}

/** The content of one frame. Bad input is ordinary here, so it is a value (`rejected`), not an exception. */
export interface Decoded {
  /** Empty for acknowledgements and heartbeats. */
  readonly ticks: readonly Tick[];
  /** One reason for each tick that the frame should have held. */
  readonly rejected: readonly RejectReason[];
  /** A ticker without a trade, which is valid. `neverTraded`: the exchange says that the product was never traded. */
  readonly withoutTrade?: { readonly product: string; readonly neverTraded: boolean };
  /** See {@link Heartbeat}. */
  readonly heartbeat?: Heartbeat;
  /** The complete list of products that are subscribed now, according to the exchange. */
  readonly subscribed?: readonly string[];
  /** See {@link Refusal}. */
  readonly refused?: Refusal;
}

/** A channel of an exchange. */
export interface Channel {
  /** Its content in words, for help texts. */
  readonly meaning: string;
  /** Precision of its record times; `microseconds` for a channel that sends more than one tick of a product per second. */
  readonly precision: TimePrecision;
}

/** An exchange. All its methods are pure. */
export interface Exchange {
  /** Lower case, as in {@link Tick.exchange}. */
  readonly name: string;
  /** The name for people: `Coinbase`. */
  readonly title: string;
  /** Address of its WebSocket. */
  readonly url: string;
  /** The channels that can be read, by the exchange's own names in lower case. */
  readonly channels: Readonly<Record<string, Channel>>;
  /** Matches a valid product id. */
  readonly productPattern: RegExp;
  /** Products if none are set; the first one is the example in messages. */
  readonly defaultProducts: readonly [string, ...string[]];
  /** The channel if none is set. */
  readonly defaultChannel: string;
  /** Up to this many products, each one gets heartbeats; with more, only the first one. */
  readonly maxHeartbeats: number;
  /** The frames that subscribe to these products, in order. Sent when a connection opens, and again for products that stay silent. */
  subscribe(products: readonly string[], channel: string): string[];
  /**
   * Reads one frame. Never throws; the same frame and time always give the same result.
   *
   * @param receivedTime our wall clock at its arrival, ms since the epoch; default the time in the frame
   */
  decode(frame: string, receivedTime?: number): Decoded;
}
