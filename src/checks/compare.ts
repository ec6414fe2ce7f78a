// What is missing and whether a gap declares it: pure arithmetic on the times of one product.

import { joined, type Times } from "./times.ts";

/** A gap in which something may be missing, from the record written for it; unix seconds, both ends included. */
export interface Span {
  /** Minus infinity: unknown. */
  readonly from: number;
  /** Infinity: the gap is still open. */
  readonly to: number;
  readonly reason: string;
}

/** Consecutive missing records. */
export interface Hole {
  /** Time of the first, unix seconds. */
  readonly from: number;
  /** Time of the last. */
  readonly to: number;
  readonly count: number;
}

/** Consecutive trades that no record names. */
export interface Unseen {
  /** The exchange's number of the first. */
  readonly firstTrade: number;
  /** And of the last. */
  readonly lastTrade: number;
  readonly count: number;
  /** Time of the record before them, unix seconds. */
  readonly from: number;
  /** Time of the record after them. */
  readonly to: number;
  /** Whether a gap covers them. */
  readonly declared: boolean;
}

/** Several trades of one product at the same time, of which InfluxDB keeps one. */
export interface Shared {
  readonly at: number;
  /** The exchange's numbers of all of them, rising. */
  readonly trades: readonly number[];
}

/** The records of one product compared with InfluxDB or a store. */
export interface Compared {
  /** Records that are stored. */
  readonly there: number;
  /** Records that are not stored, inside a declared gap. */
  readonly declared: number;
  /** Records that are not stored because Telegraf has not read them yet. */
  readonly waiting: number;
  /** All other records that are not stored. */
  readonly missing: number;
  /** Where those are missing: the first ranges. */
  readonly holes: readonly Hole[];
  /** Stored, but not a record. */
  readonly beyond: number;
}

/** A record's time may be later than the exchange's by this, because trades of one microsecond get the next free ones, seconds. */
const SHIFT_SECONDS = 50e-6;
/** Ranges that are listed for one product; all are counted. */
const MAX_RANGES = 1000;

/** Whether a gap declares that something may be missing between these times. */
function covers(spans: readonly Span[], from: number, to: number): boolean {
  return spans.some((span) => span.from <= to + SHIFT_SECONDS && from <= span.to);
}

/**
 * Compares the times of records with stored times. All are microseconds and rising.
 *
 * @param waiting times of those records that Telegraf has not read yet
 */
export function compare(
  records: Float64Array,
  stored: Float64Array,
  spans: readonly Span[],
  waiting: Float64Array = new Float64Array(0),
): Compared {
  let there = 0, declared = 0, missing = 0, waits = 0;
  const holes: { from: number; to: number; count: number }[] = [];
  let hole: typeof holes[number] | undefined;
  let nextStored = 0, nextWaiting = 0;
  for (const time of records) {
    while ((stored[nextStored] ?? Infinity) < time) nextStored++;
    while ((waiting[nextWaiting] ?? Infinity) < time) nextWaiting++;
    const seconds = time / 1e6;
    if (stored[nextStored] === time) {
      there++;
      hole = undefined;
    } else if (covers(spans, seconds, seconds)) declared++;
    else if (waiting[nextWaiting] === time) waits++;
    else {
      missing++;
      if (hole === undefined) {
        hole = { from: seconds, to: seconds, count: 0 };
        if (holes.length < MAX_RANGES) holes.push(hole);
      }
      hole.to = seconds;
      hole.count++;
    }
  }
  return { there, declared, waiting: waits, missing, holes, beyond: stored.length - there };
}

/** Trades that are not kept where the time is the key, as in InfluxDB, because another trade has the same time. */
export interface Overwritten {
  /** How many, outside of declared gaps. */
  readonly count: number;
  /** How many inside. */
  readonly declared: number;
  /** Where those of `count` are: the first times. */
  readonly shared: readonly Shared[];
}

/**
 * Whole seconds are those of ticker_batch, which sends the last price of an interval: there a later trade is meant to replace
 * an earlier one, and does not count.
 */
export function sharesTime({ timeUs }: { readonly timeUs: number }): boolean {
  return timeUs % 1e6 !== 0;
}

/** Finds them, from this time on (unix seconds). */
export function overwritten({ times, trades, others }: Times, spans: readonly Span[], from: number): Overwritten {
  let count = 0, declared = 0;
  const shared: { readonly at: number; readonly trades: number[] }[] = [];
  let next = 0, last: (typeof shared)[number] | undefined;
  for (const { timeUs, trade } of others.filter(sharesTime)) {
    const at = timeUs / 1e6;
    if (at < from) continue;
    if (covers(spans, at, at)) {
      declared++;
      continue;
    }
    count++;
    if (last?.at !== at) {
      while ((times[next] as number) < timeUs) next++;
      last = { at, trades: [trades[next] as number] };
      if (shared.length < MAX_RANGES) shared.push(last);
    }
    last.trades.push(trade);
  }
  return { count, declared, shared };
}

/**
 * The trades between the first and the last of these records that no record names.
 *
 * @param around records just before and after the range: records need not come in the order of their trades
 */
export function unseenTrades(
  own: Times,
  spans: readonly Span[],
  around: Times = { times: new Float64Array(0), trades: new Float64Array(0), others: [] },
): { count: number; ranges: Unseen[] } {
  const tradesOf = ({ trades, others }: Times) => [trades, Float64Array.from(others, ({ trade }) => trade)];
  const ownTrades = joined(tradesOf(own));
  let first = Infinity, last = -Infinity;
  for (const trade of ownTrades) {
    if (trade < first) first = trade;
    if (trade > last) last = trade;
  }
  const between = joined(tradesOf(around)).filter((trade) => trade > first && trade < last);
  // NaN comes last
  const sorted = joined([ownTrades, between]).slice().sort();
  let count = 0;
  const holes: { before: number; after: number }[] = [];
  for (let i = 1; i < sorted.length; i++) {
    const before = sorted[i - 1] as number, after = sorted[i] as number;
    if (!(after > before + 1)) continue;
    count += after - before - 1;
    if (holes.length < MAX_RANGES) holes.push({ before, after });
  }
  const times = timesOfTrades(new Set(holes.flatMap(({ before, after }) => [before, after])), own, around);
  const ranges = holes.map(({ before, after }) => {
    const from = times.get(before) ?? NaN, to = times.get(after) ?? NaN;
    return {
      firstTrade: before + 1,
      lastTrade: after - 1,
      count: after - before - 1,
      from,
      to,
      declared: covers(spans, Math.min(from, to), Math.max(from, to)),
    };
  });
  return { count, ranges };
}

/** Unix seconds of these trades. */
function timesOfTrades(wanted: ReadonlySet<number>, ...all: readonly Times[]): Map<number, number> {
  const found = new Map<number, number>();
  const add = (timeUs: number, trade: number) => wanted.has(trade) && found.set(trade, timeUs / 1e6);
  if (wanted.size === 0) return found;
  for (const { times, trades, others } of all) {
    trades.forEach((trade, at) => add(times[at] as number, trade));
    others.forEach(({ timeUs, trade }) => add(timeUs, trade));
  }
  return found;
}

/** The part of the range that lies in no gap, from 0 to 1. */
export function coverageOf(spans: readonly Span[], from: number, to: number): number {
  let end = from, covered = 0;
  for (const span of spans.toSorted((a, b) => a.from - b.from)) {
    const [begin, until] = [Math.max(end, span.from), Math.min(to, span.to)];
    if (until <= begin) continue;
    covered += until - begin;
    end = until;
  }
  return 1 - covered / (to - from);
}
