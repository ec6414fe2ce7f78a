// Per product, what depends on the tick before: is this one a repeat, and which time does its record bear.

import type { Position, Tick } from "../core/record.ts";
import type { TimePrecision } from "../exchanges/exchange.ts";

/** Numbers beside one another, since it changes with each tick. All times are whole microseconds; NaN: none. */
interface Last {
  /** Of the tick before. */
  sequence: number;
  /** Of the tick with the highest time. */
  highUs: number;
  /** And what its record bears. */
  highRecordUs: number;
  /** The highest before time made its last leap. */
  beforeUs: number;
  /** And what its record bears. */
  beforeRecordUs: number;
  /** Where time goes on after it has leapt back. */
  lowUs: number;
  /** And what its record bears. */
  lowRecordUs: number;
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
    for (const position of last) this.#last.set(position.product, firstOf(position));
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
      this.#last.set(tick.product, firstOf(tick));
      return true;
    }
    const isNext = tick.sequence > last.sequence;
    last.sequence = tick.sequence;
    const us = tick.exchangeTimeUs;
    const sinceHighUs = us - last.highUs;
    if (sinceHighUs >= 0) {
      this.#follow(tick, last.highUs, last.highRecordUs);
      if (sinceHighUs > LEAP_US) {
        last.beforeUs = last.highUs;
        last.beforeRecordUs = last.highRecordUs;
      }
      last.highUs = us;
      last.highRecordUs = tick.recordTimeUs;
      last.lowUs = NaN;
    } else if (isNext && (sinceHighUs < -LEAP_US || !Number.isNaN(last.lowUs))) {
      // a time that was too high must not spoil all those until it is that late
      const isFirst = Number.isNaN(last.lowUs);
      if (isFirst) this.#follow(tick, last.beforeUs, last.beforeRecordUs);
      else this.#follow(tick, last.lowUs, last.lowRecordUs);
      if (isFirst || us >= last.lowUs) {
        last.lowUs = us;
        last.lowRecordUs = tick.recordTimeUs;
      }
    }
    // any other comes late: it keeps its own time, and does not turn back the time of those after it
    return true;
  }

  /** Many trades share a microsecond, and whatever keys by product and time would keep only one of them. */
  #follow(tick: Tick, us: number, recordUs: number): void {
    if (this.#precision === "microseconds" && tick.exchangeTimeUs >= us && recordUs >= tick.exchangeTimeUs) {
      tick.recordTimeUs = recordUs + 1;
    }
  }
}

function firstOf({ sequence, exchangeTimeUs, recordTimeUs }: Position): Last {
  return {
    sequence,
    highUs: exchangeTimeUs,
    highRecordUs: recordTimeUs,
    beforeUs: NaN,
    beforeRecordUs: NaN,
    lowUs: NaN,
    lowRecordUs: NaN,
  };
}
