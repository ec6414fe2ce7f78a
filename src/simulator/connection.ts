// One client of the simulated exchange: its socket, its subscriptions, and the frames delayed on their way to it.

import { SLOW_CLIENT, Subscriptions } from "./coinbase.ts";
import type { Trade } from "./market.ts";
import type { ServerSocket } from "./socket.ts";
import type { Switches } from "./switches.ts";

/** A client with more unsent frames than this is too slow: its connection is closed to bound the memory. */
const MAX_UNSENT_FRAMES = 40_000;

interface DelayedFrame {
  /** By `performance.now()`. */
  readonly due: number;
  readonly frame: string | Uint8Array;
  readonly trade: Trade | undefined;
}

/** One client. */
export class Connection {
  /** Opened while the lever `mute` was on: it never receives anything. */
  readonly isMuted: boolean;
  readonly subscriptions: Subscriptions = new Subscriptions();
  hasSubscribed = false;
  lastTicker: string | undefined;
  /** Product -> sequence of its last ticker on `ticker_batch`. */
  readonly sampled: Map<string, number> = new Map();
  readonly #switches: Switches;
  readonly #onSent: (trade: Trade) => void;
  #delayed: DelayedFrame[] = [];

  /**
   * @param number counted from 1
   * @param openedAt ms since the epoch
   * @param onSent called for every ticker handed to the socket
   */
  constructor(
    readonly number: number,
    readonly openedAt: number,
    readonly socket: ServerSocket,
    switches: Switches,
    onSent: (trade: Trade) => void,
  ) {
    this.isMuted = switches.mute;
    this.#switches = switches;
    this.#onSent = onSent;
  }

  /** Whether frames are sent to it now. */
  get canReceive(): boolean {
    return this.socket.isOpen && !this.isMuted && !this.#switches.silent;
  }

  /** Sends one frame, after the delay if there is one; false if it cannot receive. */
  send(frame: string | Uint8Array, trade?: Trade): boolean {
    if (!this.canReceive) return false;
    const { delayMs } = this.#switches;
    // delayed frames go first, or ending the delay would change the order
    if (delayMs === 0 && this.#delayed.length === 0) return this.#sendNow(frame, trade);
    if (this.#delayed.length > MAX_UNSENT_FRAMES) return this.#closeSlow();
    this.#delayed.push({ due: performance.now() + delayMs, frame, trade });
    return true;
  }

  sendTicker(trade: Trade): boolean {
    return this.send(trade.text, trade);
  }

  sendDelayed(now: number): void {
    const count = this.#delayed.findIndex(({ due }) => due > now);
    const frames = this.#delayed.splice(0, count < 0 ? this.#delayed.length : count);
    for (const { frame, trade } of frames) if (this.canReceive) this.#sendNow(frame, trade);
  }

  #sendNow(frame: string | Uint8Array, trade: Trade | undefined): boolean {
    if (this.socket.unsentFrames > MAX_UNSENT_FRAMES) return this.#closeSlow();
    const isSent = this.socket.send(frame);
    if (isSent && trade !== undefined) {
      this.lastTicker = trade.text;
      this.#onSent(trade);
    }
    return isSent;
  }

  #closeSlow(): false {
    this.#delayed = [];
    this.socket.close(SLOW_CLIENT.code, SLOW_CLIENT.reason);
    return false;
  }
}
