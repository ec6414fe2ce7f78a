// Known data for the queries: prices of several products as Telegraf would have stored them, made from a seed.

import { type Tick } from "../../src/core/record.ts";
import type { TimePrecision } from "../../src/exchanges/exchange.ts";
import { Sequencer } from "../../src/pipeline/sequencer.ts";
import type { GapRecord } from "../count.ts";
import type { Random } from "../fakes/random.ts";

/** How the prices of one product come. */
export interface Walk {
  readonly product: string;
  readonly price: number;
  readonly precision: TimePrecision;
  /** Seconds since the epoch. */
  readonly from: number;
  readonly to: number;
  /** Mean distance of two ticks, seconds. */
  readonly every: number;
  /** Stretches without a tick, seconds since the epoch. */
  readonly holes?: readonly (readonly [from: number, to: number])[];
}

/** A seeded walk. Some ticks share their second, some their microsecond. */
export function walk(random: Random, { product, price, precision, from, to, every, holes = [] }: Walk): Tick[] {
  const sequencer = new Sequencer(precision);
  const ticks: Tick[] = [];
  const digits = price < 1 ? 8 : 2;
  let sequence = random.int(1, 1e6);
  let timeUs = from * 1e6;
  while (true) {
    timeUs += random.chance(0.05) ? 0 : Math.round(-Math.log(1 - random.next()) * every * 1e6);
    if (timeUs >= to * 1e6) return ticks;
    price *= 1 + (random.next() - 0.5) / 500;
    sequence += random.int(1, 9);
    if (holes.some(([from, to]) => timeUs >= from * 1e6 && timeUs < to * 1e6)) continue;
    const tick: Tick = {
      kind: "tick",
      exchange: "coinbase",
      product,
      sequence,
      price: Number(price.toFixed(digits)),
      exchangeTimeUs: timeUs,
      recordTimeUs: timeUs,
      receivedTime: timeUs / 1000,
    };
    if (sequencer.admit(tick)) ticks.push(tick);
  }
}

/**
 * The ticks as a store knows them that keys by product and record time: of several the last, and the record's time is all
 * there is.
 */
export function stored(ticks: readonly Tick[]): Tick[] {
  const byTime = new Map(ticks.map((tick) => [tick.recordTimeUs, tick]));
  return [...byTime.values()]
    .map((tick) => ({ ...tick, exchangeTimeUs: tick.recordTimeUs }))
    .sort((a, b) => a.exchangeTimeUs - b.exchangeTimeUs);
}

/** Line protocol, as telegraf.conf makes it of records. */
export function priceLines(ticks: readonly Tick[]): string {
  return ticks.map(({ product, price, recordTimeUs }) =>
    `kafka_consumer,product=${product.replace(/[ ,=]/g, "\\$&")} price=${price} ${recordTimeUs}000`
  ).join("\n");
}

/** A gap of the one exchange that these queries are tested with. */
export type StoredGap = Omit<GapRecord, "exchange">;

/** Line protocol, as telegraf.conf makes it of declared gaps: a null is a field that is not written. */
export function gapLine(gap: StoredGap): string {
  const fields = {
    exchange: '"coinbase"',
    reason: JSON.stringify(gap.reason),
    dropped: `${gap.dropped}i`,
    missed: gap.missed,
    from_known: gap.from !== null,
    to_known: gap.to !== null,
    from: gap.from,
    to: gap.to,
  };
  const written = Object.entries(fields).filter(([, value]) => value !== null).map(([name, value]) =>
    `${name}=${value}`
  );
  return `feed_gap,product=${gap.product} ${written} ${Math.round(gap.opened * 1e6)}000`;
}
