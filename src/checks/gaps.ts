// The declared gaps: the latest record of each, with both ends.

import type { GapRecord } from "../core/record.ts";
import type { Span } from "./compare.ts";

/** The latest record of each gap. */
export class Gaps {
  readonly #latest = new Map<string, GapRecord>();

  /** Adds records in the order of the topic. A closed gap is not opened again, in case partitions are read in another order. */
  add(gap: GapRecord): void {
    const id = `${gap.product} ${gap.opened}`;
    if (gap.to === null && this.#latest.get(id)?.to != null) return;
    this.#latest.set(id, gap);
  }

  products(): string[] {
    return [...new Set(Array.from(this.#latest.values(), ({ product }) => product))];
  }

  /**
   * The gaps of one product that touch the range and in which something may be missing, in order of time.
   *
   * @param lastBefore the time of the product's last record before a time; undefined: unknown
   */
  spans(
    product: string,
    range: { from: number; to: number },
    lastBefore: (time: number) => number | undefined,
  ): Span[] {
    const own = [...this.#latest.values()].filter((gap) => gap.product === product);
    return own.flatMap((gap, i) => {
      if (!gap.missed) return [];
      // A program that was killed could not close its gaps. The next one has data again from its start on, and declares that
      // as a gap with the reason "restart": the next in the topic, because `opened` falls if the clock is set back.
      const restart = gap.to === null ? own.slice(i + 1).find(({ reason }) => reason === "restart") : undefined;
      const to = gap.to ?? Math.max(gap.from ?? 0, restart?.opened ?? Infinity);
      const from = gap.from ?? lastBefore(to) ?? Math.min(gap.opened, to);
      return [{ from, to, reason: gap.reason }];
    }).filter((span) => span.from < range.to && span.to >= range.from).sort((a, b) => a.from - b.from);
  }
}
