// What is missing, and who declared it: pure arithmetic on the times of one product. Where they come from is left to
// others.

import type { Times, TradeAt } from "./time_log.ts";

/** A gap that says that something may be missing, with both ends, unix seconds. */
export interface Span {
  /** Minus infinity: since ever. */
  readonly from: number;
  /** Infinity: it is still open. */
  readonly to: number;
  /** Why. */
  readonly reason: string;
}

/** Records next to one another that are missing. */
export interface Hole {
  /** When the first of them happened, unix seconds. */
  readonly from: number;
  /** And the last. */
  readonly to: number;
  /** How many. */
  readonly count: number;
}

/** Trades next to one another that no record tells of. */
export interface Unseen {
  /** The exchange's number of the first. */
  readonly firstTrade: number;
  /** And of the last. */
  readonly lastTrade: number;
  /** How many. */
  readonly count: number;
  /** When the record before them happened, unix seconds. */
  readonly from: number;
  /** And the one after them. */
  readonly to: number;
  /** A gap says that something may be missing there. */
  readonly declared: boolean;
}

/** Trades of one product at one time, of which InfluxDB keeps one. */
export interface Shared {
  /** When, unix seconds. */
  readonly at: number;
  /** The exchange's numbers of all of them, rising. */
  readonly trades: readonly number[];
}

/** What became of the records of one product at one place. */
export interface Compared {
  /** Records that are there too. */
  readonly there: number;
  /** Missing, and inside a declared gap. */
  readonly declared: number;
  /** Missing, and nobody said so. */
  readonly missing: number;
  /** Where these are, the first ones. */
  readonly holes: readonly Hole[];
  /** There, and no record. */
  readonly beyond: number;
}

/**
 * How far a record's time may lie after the exchange's: trades that share a microsecond take the next free ones,
 * seconds.
 */
const SHIFT_SECONDS = 50e-6;
/** Ranges that are kept of one product; all of them are counted. */
export const MOST_RANGES = 1000;

/** Whether a gap declares that what happened then may be missing. */
function covers(spans: readonly Span[], from: number, to: number): boolean {
  return spans.some((span) => span.from <= to + SHIFT_SECONDS && from <= span.to);
}

/** Holds the records (`wanted`) against what is at another place (`have`); both rising, microseconds. */
export function compare(wanted: Float64Array, have: Float64Array, spans: readonly Span[]): Compared {
  let there = 0, declared = 0, missing = 0, beyond = 0;
  const holes: { from: number; to: number; count: number }[] = [];
  let hole: { from: number; to: number; count: number } | undefined;
  let next = 0;
  for (const time of wanted) {
    while (next < have.length && (have[next] as number) < time) {
      beyond++;
      next++;
    }
    if (have[next] === time) {
      next++;
      there++;
      hole = undefined;
      continue;
    }
    const seconds = time / 1e6;
    if (covers(spans, seconds, seconds)) {
      declared++;
      continue;
    }
    missing++;
    if (hole === undefined) {
      hole = { from: seconds, to: seconds, count: 0 };
      if (holes.length < MOST_RANGES) holes.push(hole);
    }
    hole.to = seconds;
    hole.count++;
  }
  beyond += have.length - next;
  return { there, declared, missing, holes, beyond };
}

/** Price and price at one time: where time is the key, as in InfluxDB, only one of them is kept. */
export interface Overwritten {
  /** Trades that are not kept, and nobody said so. */
  readonly count: number;
  /** The same inside declared gaps. */
  readonly declared: number;
  /** Where those are that nobody declared, the first ones. */
  readonly shared: readonly Shared[];
}

/**
 * The trades whose time another trade of the product has.
 *
 * @param from looked at from here on, unix seconds
 */
export function overwritten({ times, trades, others }: Times, spans: readonly Span[], from: number): Overwritten {
  let count = 0, declared = 0;
  const shared: { readonly at: number; readonly trades: number[] }[] = [];
  let place = 0, last: (typeof shared)[number] | undefined;
  for (const { timeUs, trade } of others) {
    // whole seconds are those of ticker_batch, which tells the last price of a while: there a later one takes its place
    if (timeUs % 1e6 === 0 || timeUs < Math.round(from * 1e6)) continue;
    const at = timeUs / 1e6;
    if (covers(spans, at, at)) {
      declared++;
      continue;
    }
    count++;
    if (last?.at !== at) {
      while ((times[place] as number) < timeUs) place++;
      last = { at, trades: [trades[place] as number] };
      if (shared.length < MOST_RANGES) shared.push(last);
    }
    last.trades.push(trade);
  }
  return { count, declared, shared };
}

/** With further trades at one time, and those that are told of outside the range but lie between its own. */
function withAll({ times, trades, others }: Times, around: Times | undefined): Pick<Times, "times" | "trades"> {
  let first = Infinity, last = -Infinity;
  const stretch = (trade: number) => {
    if (trade < first) first = trade;
    if (trade > last) last = trade;
  };
  for (const trade of trades) stretch(trade);
  for (const { trade } of others) stretch(trade);
  const more: TradeAt[] = [...others];
  const add = (timeUs: number, trade: number) => trade > first && trade < last && more.push({ timeUs, trade });
  around?.times.forEach((timeUs, at) => add(timeUs, around.trades[at] as number));
  around?.others.forEach(({ timeUs, trade }) => add(timeUs, trade));
  if (more.length === 0) return { times, trades };
  const allTimes = new Float64Array(times.length + more.length), allTrades = new Float64Array(allTimes.length);
  allTimes.set(times);
  allTrades.set(trades);
  more.forEach(({ timeUs, trade }, at) => {
    allTimes[times.length + at] = timeUs;
    allTrades[times.length + at] = trade;
  });
  return { times: allTimes, trades: allTrades };
}

/**
 * The trades between the first and the last of these that no record tells of.
 *
 * @param around records just before and after the range: trades may be told of in another order than their numbers'
 */
export function unseenTrades(
  own: Times,
  spans: readonly Span[],
  around?: Times,
): { count: number; ranges: Unseen[] } {
  const { times, trades } = withAll(own, around);
  let order: Uint32Array<ArrayBuffer> | undefined;
  let last = NaN;
  for (const trade of trades) {
    // the numbers rise with time, as a rule
    if (trade < last) {
      order = Uint32Array.from(trades, (_, at) => at).filter((at) => !Number.isNaN(trades[at]))
        .sort((a, b) => (trades[a] as number) - (trades[b] as number));
      break;
    }
    if (!Number.isNaN(trade)) last = trade;
  }
  const ranges: Unseen[] = [];
  let count = 0;
  let before = -1;
  const size = order?.length ?? trades.length;
  for (let place = 0; place < size; place++) {
    const at = order?.[place] ?? place;
    const trade = trades[at] as number;
    if (Number.isNaN(trade)) continue;
    if (before >= 0) {
      const untold = trade - (trades[before] as number) - 1;
      if (untold > 0) {
        count += untold;
        const [from, to] = [(times[before] as number) / 1e6, (times[at] as number) / 1e6];
        if (ranges.length < MOST_RANGES) {
          ranges.push({
            firstTrade: trade - untold,
            lastTrade: trade - 1,
            count: untold,
            from,
            to,
            declared: covers(spans, Math.min(from, to), Math.max(from, to)),
          });
        }
      }
    }
    before = at;
  }
  return { count, ranges };
}

/** Seconds of the range that lie in none of the gaps, as a part of it. */
export function coverageOf(spans: readonly Span[], from: number, to: number): number {
  let until = from;
  let lacking = 0;
  for (const span of [...spans].sort((a, b) => a.from - b.from)) {
    const begin = Math.max(until, span.from), end = Math.min(to, span.to);
    if (end <= begin) continue;
    lacking += end - begin;
    until = end;
  }
  return 1 - lacking / (to - from);
}
