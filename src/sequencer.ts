// Per product, what depends on the tick before: is this one a repeat, and which time does its record bear.

import type { Position, Tick } from "./record.ts";

/** `seconds`: floored to whole seconds. `microseconds`: exact, and strictly rising per product. */
export type TimePrecision = "seconds" | "microseconds";

interface Last {
  sequence: number;
  exchangeTimeUs: number;
  recordTimeUs: number;
}

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
      this.#last.set(product, { sequence, exchangeTimeUs, recordTimeUs });
    }
  }

  /**
   * False for a repeat: same product and sequence as that product's previous tick (each subscribe sends the last trade
   * again). Otherwise sets `recordTimeUs` and returns true; a lower sequence goes through.
   */
  admit(tick: Tick): boolean {
    const last = this.#last.get(tick.product);
    if (last?.sequence === tick.sequence) return false;
    if (this.#precision === "seconds") {
      tick.recordTimeUs = Math.floor(tick.exchangeTimeUs / 1e6) * 1e6;
    } else if (last !== undefined && tick.exchangeTimeUs >= last.exchangeTimeUs) {
      // many trades share a microsecond, and whatever keys by product and time would keep only one of them
      tick.recordTimeUs = Math.max(tick.exchangeTimeUs, last.recordTimeUs + 1);
    }
    if (last === undefined) {
      const { sequence, exchangeTimeUs, recordTimeUs } = tick;
      this.#last.set(tick.product, { sequence, exchangeTimeUs, recordTimeUs });
      return true;
    }
    last.sequence = tick.sequence;
    // a late tick keeps its own time and does not turn back the time of those after it
    if (tick.exchangeTimeUs >= last.exchangeTimeUs) {
      last.exchangeTimeUs = tick.exchangeTimeUs;
      last.recordTimeUs = tick.recordTimeUs;
    }
    return true;
  }
}
