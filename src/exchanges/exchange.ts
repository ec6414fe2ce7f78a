// What an exchange is to this program: a description without I/O, state or clock. A new one is one file beside this.

import type { RejectReason, Tick } from "../core/record.ts";

/** `seconds`: floored to whole seconds. `microseconds`: exact, and strictly rising per product. */
export type TimePrecision = "seconds" | "microseconds";

/** The exchange says that it lives, and how far one product has got. */
export interface Heartbeat {
  /** The product it speaks of. */
  readonly product: string;
  /** Id of the product's newest trade; 0 where there never was one; absent where the exchange does not say. */
  readonly lastTradeId?: number;
  /** When it was sent: the exchange's clock, whole microseconds since the epoch. */
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

/** What one frame turned out to hold. A value and not an exception, because bad input is ordinary here. */
export interface Decoded {
  /** None for acknowledgements and heartbeats. */
  readonly ticks: readonly Tick[];
  /** One reason for each tick the frame should have given and did not. */
  readonly rejected: readonly RejectReason[];
  /** A ticker that reports no trade, which is no fault. `neverTraded`: the exchange says that there never was one. */
  readonly withoutTrade?: { readonly product: string; readonly neverTraded: boolean };
  /** A sign of life. */
  readonly heartbeat?: Heartbeat;
  /** All products the exchange now sends prices of, as it says itself. */
  readonly subscribed?: readonly string[];
  /** See {@link Refusal}. */
  readonly refused?: Refusal;
}

/** What follows from the choice of a channel. */
export interface Channel {
  /** What it gives, for people. */
  readonly meaning: string;
  /** The times of its records: whole seconds, or microseconds where it ticks faster than once a second. */
  readonly precision: TimePrecision;
}

/** An exchange: no I/O, no state, no clock. */
export interface Exchange {
  /** Lower case, as it stands in each tick. */
  readonly name: string;
  /** As a person writes it. */
  readonly title: string;
  /** Where to open the socket. */
  readonly url: string;
  /** The channels that can be asked for, by the exchange's own names in lower case. */
  readonly channels: Readonly<Record<string, Channel>>;
  /** What a product id must look like. */
  readonly productPattern: RegExp;
  /** Followed when nobody says which; the first one stands as an example in messages. */
  readonly defaultProducts: readonly [string, ...string[]];
  /** Read when nobody says which. */
  readonly defaultChannel: string;
  /** Up to this many products each get a heartbeat of their own; of more, the first one alone. */
  readonly maxHeartbeats: number;
  /** Frames to send, in order, every time the socket opens, or to ask for some of the products again. */
  subscribe(products: readonly string[], channel: string): string[];
  /**
   * Never throws. The same frame and time always give the same answer.
   *
   * @param receivedTime our wall clock, ms since the epoch; without it the frame's own time stands in
   */
  decode(frame: string, receivedTime?: number): Decoded;
}
