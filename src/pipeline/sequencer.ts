// Recognises repeated ticks, and sets the time of each record. Both depend on the earlier ticks of the product.

import type { Position, Tick } from "../core/record.ts";
import type { TimePrecision } from "../exchanges/exchange.ts";

/** State of one product. It changes with every tick, so it is updated in place. Times are whole microseconds; NaN: none. */
interface Last {
  /** Sequence number of the previous tick. */
  sequence: number;
  /** Highest exchange time so far. */
  highUs: number;
  /** The record time of that tick. */
  highRecordUs: number;
  /** Highest exchange time before the last jump forward by more than LEAP_US. */
  beforeUs: number;
  /** The record time of that tick. */
  beforeRecordUs: number;
  /** Highest exchange time since it jumped back; NaN if it did not. */
  lowUs: number;
  /** The record time of that tick. */
  lowRecordUs: number;
}

/** If the sequence rose but the time fell by more than this, the earlier time was wrong (the exchange's clock was ahead), us. */
const LEAP_US = 1e6;

/** Processes the ticks of one source in order of arrival. */
export class Sequencer {
  readonly #precision: TimePrecision;
  readonly #last = new Map<string, Last>();

  /**
   * Starts with no ticks, or after the last ones of an earlier run.
   *
   * @param last the last tick of each product in an earlier run, if known
   */
  constructor(precision: TimePrecision, last: readonly Position[] = []) {
    this.#precision = precision;
    for (const position of last) this.#last.set(position.product, firstOf(position));
  }

  /**
   * Returns false for a repeat: a tick with the same sequence as the product's previous one (each subscribe sends the last
   * trade again). Otherwise sets `recordTimeUs` and returns true, even if the sequence is lower than the previous one.
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
      // the earlier time was too high: ticks until that time must not count as late
      const isFirst = Number.isNaN(last.lowUs);
      if (isFirst) this.#follow(tick, last.beforeUs, last.beforeRecordUs);
      else this.#follow(tick, last.lowUs, last.lowRecordUs);
      if (isFirst || us >= last.lowUs) {
        last.lowUs = us;
        last.lowRecordUs = tick.recordTimeUs;
      }
    }
    // any other tick is late: it keeps its own time, and later ticks are not affected
    return true;
  }

  /** Makes record times strictly rise: many trades share a microsecond, and a store that keys by time would keep only one. */
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
