// Per product, what depends on the tick before: is this one a repeat, and which time does its record bear.

import type { Position, Tick } from "./record.ts";

/** `seconds`: floored to whole seconds. `microseconds`: exact, and strictly rising per product. */
export type TimePrecision = "seconds" | "microseconds";

/** The two times of a tick, whole microseconds. */
interface Times {
  readonly exchangeTimeUs: number;
  readonly recordTimeUs: number;
}

interface Last {
  /** Of the tick before. */
  sequence: number;
  /** Of the tick with the highest time. */
  high: Times;
  /** The highest before time made its last leap to `high`. */
  before: Times | undefined;
  /** Where time goes on after it has leapt back. */
  low: Times | undefined;
}

/** Nobody is late by so much whose number is the next one: the exchange's clock was ahead, us. */
const LEAP_US = 1e6;

/** Takes the ticks of one source in order of arrival. */
export class Sequencer {
  readonly #precision: TimePrecision;
  readonly #last = new Map<string, Last>();

  /**
   * Has seen no tick yet.
   *
   * @param last where an earlier run ended, if it is known: goes on from there
   */
  constructor(precision: TimePrecision, last: readonly Position[] = []) {
    this.#precision = precision;
    for (const { product, sequence, exchangeTimeUs, recordTimeUs } of last) {
      this.#last.set(product, { sequence, high: { exchangeTimeUs, recordTimeUs }, before: undefined, low: undefined });
    }
  }

  /**
   * False for a repeat: same product and sequence as that product's previous tick (each subscribe sends the last trade
   * again). Otherwise sets `recordTimeUs` and returns true; a lower sequence goes through.
   */
  admit(tick: Tick): boolean {
    const last = this.#last.get(tick.product);
    if (last?.sequence === tick.sequence) return false;
    if (this.#precision === "seconds") tick.recordTimeUs = Math.floor(tick.exchangeTimeUs / 1e6) * 1e6;
    if (last === undefined) {
      this.#last.set(tick.product, { sequence: tick.sequence, high: timesOf(tick), before: undefined, low: undefined });
      return true;
    }
    const isNext = tick.sequence > last.sequence;
    const sinceHighUs = tick.exchangeTimeUs - last.high.exchangeTimeUs;
    last.sequence = tick.sequence;
    if (sinceHighUs >= 0) {
      this.#follow(tick, last.high);
      if (sinceHighUs > LEAP_US) last.before = last.high;
      last.high = timesOf(tick);
      last.low = undefined;
    } else if (isNext && (sinceHighUs < -LEAP_US || last.low !== undefined)) {
      // a time that was too high must not spoil all those until it is that late
      this.#follow(tick, last.low ?? last.before);
      if (last.low === undefined || tick.exchangeTimeUs >= last.low.exchangeTimeUs) last.low = timesOf(tick);
    }
    // any other comes late: it keeps its own time, and does not turn back the time of those after it
    return true;
  }

  /** Many trades share a microsecond, and whatever keys by product and time would keep only one of them. */
  #follow(tick: Tick, line: Times | undefined): void {
    if (this.#precision === "seconds" || line === undefined || tick.exchangeTimeUs < line.exchangeTimeUs) return;
    tick.recordTimeUs = Math.max(tick.exchangeTimeUs, line.recordTimeUs + 1);
  }
}

function timesOf({ exchangeTimeUs, recordTimeUs }: Tick): Times {
  return { exchangeTimeUs, recordTimeUs };
}
