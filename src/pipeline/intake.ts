// Turns frames into new ticks: decodes, ignores other products, drops repeats, and counts everything. All sources use it.

import type { Decoded, Exchange } from "../exchanges/exchange.ts";
import { type Position, REJECT_REASONS, type Tick } from "../core/record.ts";
import { Sequencer } from "./sequencer.ts";
import type { Stats } from "../core/stats.ts";

/** Options of {@link Intake}. */
export interface IntakeOptions {
  /** The exchange that sent the frames. */
  readonly exchange: Exchange;
  /** The channel that they come from; the frames do not name it. */
  readonly channel: string;
  /** Ticks of other products are ignored; undefined: all products are wanted. */
  readonly products: ReadonlySet<string> | undefined;
  /** Longer frames are rejected without being parsed, UTF-16 code units (bytes, for the ASCII that exchanges send). */
  readonly maxFrameLength: number;
  /** The last tick of each product in an earlier run, if known. */
  readonly last?: readonly Position[] | undefined;
  /** Receives the counts. */
  readonly stats: Stats;
}

/** Called synchronously, in order of arrival. */
export interface IntakeHandler {
  /** A new tick, with its `recordTimeUs` set. */
  onTick(tick: Tick): void;
  /** The product's previous tick, sent again. */
  onRepeat?(tick: Tick): void;
}

const NOTHING: Decoded = { ticks: [], rejected: [] };

/** Checks the frames of one source. */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #sequencer: Sequencer;
  readonly #handler: IntakeHandler;

  /** Throws a TypeError if the exchange does not have the channel. */
  constructor(options: IntakeOptions, handler: IntakeHandler) {
    const channel = options.exchange.channels[options.channel];
    if (channel === undefined) throw new TypeError(`No channel ${options.channel} at ${options.exchange.name}`);
    this.#options = options;
    this.#handler = handler;
    this.#sequencer = new Sequencer(channel.precision, options.last);
  }

  /**
   * Counts one frame and passes its ticks to the handler. Returns everything in the frame.
   *
   * @param receivedTime our wall clock at its arrival, ms; undefined if unknown
   */
  accept(frame: string, receivedTime?: number): Decoded {
    const { exchange, products, maxFrameLength, stats } = this.#options;
    stats.frames++;
    if (frame.length > maxFrameLength) {
      stats.rejected["too-large"]++;
      return NOTHING;
    }
    const decoded = exchange.decode(frame, receivedTime);
    for (const reason of decoded.rejected) stats.rejected[reason]++;
    for (const tick of decoded.ticks) {
      if (products !== undefined && !products.has(tick.product)) {
        stats.ignored++;
      } else if (this.#sequencer.admit(tick)) {
        stats.received++;
        stats.arrival.add((tick.receivedTime - tick.exchangeTimeUs / 1000) / 1000);
        this.#handler.onTick(tick);
      } else {
        stats.repeated++;
        this.#handler.onRepeat?.(tick);
      }
    }
    const { heartbeat, subscribed, refused, withoutTrade } = decoded;
    let empty = decoded.ticks.length === 0 && decoded.rejected.length === 0;
    if (withoutTrade !== undefined && (products === undefined || products.has(withoutTrade.product))) {
      stats.withoutTrade++;
      empty = false;
    }
    if (heartbeat !== undefined || subscribed !== undefined || refused !== undefined) stats.control++;
    else if (empty) stats.ignored++;
    return decoded;
  }

  /** How far the exchange is ahead of our clock, ms. Undefined if the frame was rejected for another reason. */
  aheadMs(frame: string, receivedTime: number): number | undefined {
    const [tick] = this.#options.exchange.decode(frame).ticks;
    return tick === undefined ? undefined : tick.exchangeTimeUs / 1000 - receivedTime;
  }
}

/** `2 bad-json, 1 bad-price`, or `0`. */
export function describeRejected(stats: Stats): string {
  const parts = REJECT_REASONS.filter((reason) => stats.rejected[reason] > 0)
    .map((reason) => `${stats.rejected[reason]} ${reason}`);
  return parts.length === 0 ? "0" : parts.join(", ");
}
