// One client of the simulated exchange: its socket, its subscriptions, and the frames delayed on their way to it.

import type { Trade } from "./market.ts";
import { Subscriptions } from "./protocol.ts";
import type { ServerSocket } from "./socket.ts";

/** A client with more unsent bytes than this is too slow: its connection is closed to bound the memory. */
const SLOW_CLIENT_BYTES: number = 8 * 1024 * 1024;

/** What a connection needs from the exchange. */
export interface House {
  /** `silent`: nothing is sent. `delayMs`: how long each frame is delayed. */
  readonly switches: { readonly silent: boolean; readonly delayMs: number };
  /** Called for every ticker handed to the socket. */
  left(trade: Trade, connection: number): void;
}

interface Held {
  readonly due: number;
  readonly frame: string | Uint8Array;
  readonly trade: Trade | undefined;
}

/** One client. */
export class Connection {
  /** Counted from 1. */
  readonly number: number;
  /** ms since the epoch. */
  readonly openedAt: number;
  /** Opened while the lever `mute` was on: it never receives anything. */
  readonly muted: boolean;
  /** What it has subscribed to. */
  readonly subscriptions: Subscriptions = new Subscriptions();
  /** Its WebSocket. */
  readonly socket: ServerSocket;
  /** Whether it has sent a subscribe. */
  asked = false;
  /** The last ticker it was sent. */
  lastTicker: string | undefined;
  /** Product -> sequence of its last ticker on `ticker_batch`. */
  readonly batched: Map<string, number> = new Map();
  readonly #house: House;
  #held: Held[] = [];
  #heldBytes = 0;

  /** Takes over an upgraded socket. */
  constructor(number: number, openedAt: number, socket: ServerSocket, muted: boolean, house: House) {
    this.number = number;
    this.openedAt = openedAt;
    this.socket = socket;
    this.muted = muted;
    this.#house = house;
  }

  /** Whether frames are sent to it now. */
  get hears(): boolean {
    return this.socket.open && !this.muted && !this.#house.switches.silent;
  }

  /** Sends one frame, after the delay if there is one; false if it cannot receive. */
  send(frame: string | Uint8Array, trade?: Trade): boolean {
    if (!this.hears) return false;
    const { delayMs } = this.#house.switches;
    // delayed frames go first, or ending the delay would change the order
    if (delayMs === 0 && this.#held.length === 0) return this.#hand(frame, trade);
    this.#heldBytes += frame.length;
    if (this.#heldBytes > SLOW_CLIENT_BYTES) return this.#hangUpOnSlow();
    this.#held.push({ due: performance.now() + delayMs, frame, trade });
    return true;
  }

  /** Sends a ticker. */
  tell(trade: Trade): boolean {
    return this.send(trade.text, trade);
  }

  /** Sends the delayed frames that are due. */
  release(now: number): void {
    if (this.#held.length === 0) return;
    let count = 0;
    for (const { due, frame, trade } of this.#held) {
      if (due > now) break;
      count++;
      this.#heldBytes -= frame.length;
      if (this.hears) this.#hand(frame, trade);
    }
    if (count > 0) this.#held = this.#held.slice(count);
  }

  #hand(frame: string | Uint8Array, trade: Trade | undefined): boolean {
    if (this.socket.queuedBytes > SLOW_CLIENT_BYTES) return this.#hangUpOnSlow();
    const taken = typeof frame === "string" ? this.socket.sendText(frame) : this.socket.sendBytes(frame);
    if (taken && trade !== undefined) {
      this.lastTicker = trade.text;
      this.#house.left(trade, this.number);
    }
    return taken;
  }

  /** The reason is from Coinbase's documentation; its close code was never captured. */
  #hangUpOnSlow(): false {
    this.#held = [];
    this.socket.close(1008, "ErrSlowConsume");
    return false;
  }
}
