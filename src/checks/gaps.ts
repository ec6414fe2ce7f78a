// Gaps as a reader of their topic understands them: of two records of one gap the later counts, and both ends are
// found.

import type { Span } from "./compare.ts";

/** A gap as it stands in its topic. */
export interface GapRecord {
  /** As records name it. */
  readonly product: string;
  /** Unix seconds, as all times here. */
  readonly opened: number;
  /** Null: nobody knows. */
  readonly from: number | null;
  /** Null: it was open when this was written. */
  readonly to: number | null;
  /** Why. */
  readonly reason: string;
  /** False: nothing is missing. */
  readonly missed: boolean;
}

/** Reads one; undefined: it is none. */
export function gapOf(text: string): GapRecord | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { product, opened, from = null, to = null, reason, missed } = Object(found) as Record<string, unknown>;
  const isTime = (value: unknown) => value === null || typeof value === "number";
  return typeof product === "string" && typeof opened === "number" && isTime(from) && isTime(to)
    ? {
      product,
      opened,
      from: from as number | null,
      to: to as number | null,
      reason: String(reason),
      missed: missed === true,
    }
    : undefined;
}

/** The later record of each gap. */
export class Gaps {
  readonly #latest = new Map<string, GapRecord>();

  /** In the order of the topic; one that has ended does not open again, should partitions be read in another order. */
  add(gap: GapRecord): void {
    const name = `${gap.product} ${gap.opened}`;
    if (gap.to === null && this.#latest.get(name)?.to != null) return;
    this.#latest.set(name, gap);
  }

  /** Products that have any. */
  products(): string[] {
    return [...new Set([...this.#latest.values()].map(({ product }) => product))];
  }

  /**
   * The gaps of one product that touch the range and in which something may be missing, in order.
   *
   * @param lastBefore the time of the product's last record before that moment; undefined: none is known
   */
  spans(
    product: string,
    range: { from: number; to: number },
    lastBefore: (time: number) => number | undefined,
  ): Span[] {
    const own = [...this.#latest.values()].filter((gap) => gap.product === product);
    return own.flatMap((gap, i) => {
      if (!gap.missed) return [];
      // a program that was ended could not say when its gaps ended: its successor has data again from its own restart on,
      // which is the next one in the topic: `opened` does not rise where a clock was set back
      const restart = gap.to === null ? own.slice(i + 1).find(({ reason }) => reason === "restart") : undefined;
      const to = gap.to ?? Math.max(gap.from ?? 0, restart?.opened ?? Infinity);
      const from = gap.from ?? lastBefore(to) ?? Math.min(gap.opened, to);
      return [{ from, to, reason: gap.reason }];
    }).filter((span) => span.from < range.to && span.to >= range.from).sort((a, b) => a.from - b.from);
  }
}
