// What is read, synchronously, on one connection that writes nothing. The candles of one minute serve as the index of the ticks
// by time: each knows between which sequences its ticks lie, and so the table needs no second tree.

import type { DatabaseSync } from "node:sqlite";
import { type Candle, candleOf, type Interval, intervalMs, markCandles, openTimeOf, Volume } from "../core/candle.ts";
import type { Gap, GapName, GapReason, Tick } from "../core/record.ts";
import { COLUMNS, type PackedTicks, RECEIVED, SEQUENCE, TIME, unpackTicks } from "./packing.ts";
import { STORED_INTERVALS, type StoredInterval, WindowMap } from "./candle_table.ts";
import type { ProductKey, Range, StoredCandle } from "./reader.ts";
import { prepareRows, type Row, type RowStatement } from "./statements.ts";

/** What {@link Queries.since} found. */
export interface Arrived {
  /** In order of arrival. */
  readonly ticks: PackedTicks;
  /** In order of arrival. */
  readonly gaps: readonly Gap[];
  /** When each of the gaps was written, ms. */
  readonly gapsWritten: readonly number[];
}

/** Where the ticks of a minute are. */
interface Minute {
  /** Unix seconds. */
  readonly openTime: number;
  readonly ticks: number;
  readonly low: number;
  readonly high: number;
}

/** Read at once, of whatever. */
const PAGE = 4000;
/** Minutes that are looked up at first: most questions are about the newest few. */
const FIRST_PAGE = 32;
/** How much earlier than it arrived a tick may have happened, ms. */
const LATE_MS = 60_000;
const MINUTE_MS = intervalMs("1m");

const TICK = "product, sequence, price, exchange_time_us, received_ms, record_shift_us, trade_id, size, buy";
const GAP = "exchange, p.product, opened, from_time, to_time, reason, dropped, missed, written_ms, p.id";

/** The first start of a window that does not lie before this time, ms. */
function startFrom(time: number, interval: Interval): number {
  const openTime = openTimeOf(time, interval);
  return openTime < time ? openTime + intervalMs(interval) : openTime;
}

/** Unix seconds as whole microseconds. */
function toUs(seconds: number): number {
  return Math.round(seconds * 1e6);
}

/** Reads. */
export class Queries {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, RowStatement>();

  /** The database must have the newest schema. */
  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** See {@link StoreReader.lastTicks}. */
  lastTicks(): PackedTicks {
    return this.#atOnce(() => {
      const products = this.#all<[number, string, string, number | null]>(
        "SELECT id, exchange, product, open24h FROM product",
      );
      const rows: Row[] = [];
      for (const [place, [id]] of products.entries()) {
        const [row] = this.#all(
          `SELECT ${TICK} FROM tick WHERE product = ?1 AND sequence = (SELECT last_sequence FROM candle_1m ` +
            "WHERE product = ?1 AND origin = 'ticks' ORDER BY open_time DESC LIMIT 1)",
          id,
        );
        if (row !== undefined) rows.push([place, ...row.slice(1)]);
      }
      rows.sort((a, b) => (a[TIME] as number) - (b[TIME] as number));
      return {
        series: products.flatMap(([, exchange, product]) => [exchange, product]),
        open24h: products.map(([, , , open24h]) => open24h ?? NaN),
        ticks: packRows(rows),
      };
    });
  }

  /** See {@link StoreReader.ticks}. */
  ticks(key: ProductKey, { from, to, limit }: Range): PackedTicks {
    return this.#atOnce(() => {
      const fromUs = from === undefined ? -Infinity : toUs(from);
      const untilUs = to === undefined ? Infinity : toUs(to);
      let rows: Row[] = [];
      for (
        const minutes of this.#minuteGroups(
          key,
          fromUs,
          untilUs,
          from !== undefined,
          () => limit - rows.length,
          Infinity,
        )
      ) {
        const more = this.#rowsOf(minutes, TICK, fromUs, untilUs).sort(byTime);
        rows = from === undefined ? more.concat(rows) : rows.concat(more);
      }
      const kept = from === undefined ? rows.slice(-limit) : rows.slice(0, limit);
      return pack(key, kept);
    });
  }

  /** See {@link StoreReader.candles}. */
  candles(key: ProductKey, interval: Interval, range: Range, now: number): StoredCandle[] {
    return this.#atOnce(() => {
      const id = this.#idOf(key);
      if (id === undefined) return [];
      const stored = STORED_INTERVALS.findLast((length) => intervalMs(length) <= intervalMs(interval));
      const candles = stored === undefined
        ? this.#candlesOfTicks(key, interval, range)
        : this.#candlesOfCandles(id, stored, interval, range);
      const [first] = candles;
      if (first === undefined) return [];
      const gaps = this.#gaps(
        "g.product = ? AND (to_time IS NULL OR to_time >= ?) AND (from_time IS NULL OR from_time < ?) ORDER BY opened",
        [id, first.openTime / 1000, ((candles.at(-1) as Candle).openTime + intervalMs(interval)) / 1000],
      );
      return markCandles(
        candles,
        now,
        gaps.flatMap(({ gap }) => {
          if (gap.from !== null) return [gap];
          if (gap.reason === "restart" && !this.#hasOlder(gap, key, id)) return [];
          return [{ ...gap, from: this.#startOf(gap, key, id, stored, interval) }];
        }),
      );
    });
  }

  /** See {@link StoreReader.gaps}. */
  gaps(key: ProductKey | undefined, { from, to, limit }: Range): Gap[] {
    return this.#atOnce(() => {
      const id = key === undefined ? undefined : this.#idOf(key);
      if (key !== undefined && id === undefined) return [];
      const [where, values] = touching(id, { from, to });
      const order = from === undefined ? "ORDER BY opened DESC, g.product DESC" : "ORDER BY opened, g.product";
      const gaps = this.#gaps(`${where} ${order} LIMIT ?`, [...values, limit]).map(({ gap }) => gap);
      return from === undefined ? gaps.reverse() : gaps;
    });
  }

  /** See {@link StoreReader.since}. */
  since(keys: readonly ProductKey[], receivedTime: number, limit: number): Arrived | undefined {
    return this.#atOnce(() => {
      const step = this.#db.prepare("SELECT min(after_ms) AS after FROM clock_step WHERE before_ms >= ?").get(
        receivedTime,
      );
      const since = Math.min(receivedTime, Number(step?.after ?? Infinity));
      const gaps: { gap: Gap; written: number }[] = [];
      const rows: Row[] = [];
      for (const [place, key] of keys.entries()) {
        const id = this.#idOf(key);
        if (id === undefined) continue;
        // the plus: by when they were written, not all of the product
        gaps.push(...this.#gaps("+g.product = ? AND written_ms >= ? LIMIT ?", [id, since, limit + 1]));
        let wanted = 3;
        for (const minutes of this.#minuteGroups(key, -Infinity, Infinity, false, () => wanted, 1)) {
          const found = this.#rowsOf(minutes, TICK, -Infinity, Infinity, { since, most: limit + 1 });
          for (const row of found) {
            row[0] = place;
            rows.push(row);
          }
          if (rows.length + gaps.length > limit) return undefined;
          const oldest = (minutes.minutes[0]?.openTime ?? 0) * 1000;
          // our clock and the exchange's may differ, so what was found counts more than the time
          wanted = found.length === 0 && oldest <= since - LATE_MS ? 0 : Math.min(wanted * 2, 1000);
        }
      }
      if (rows.length + gaps.length > limit) return undefined;
      rows.sort((a, b) =>
        (a[RECEIVED] as number) - (b[RECEIVED] as number) || (a[SEQUENCE] as number) - (b[SEQUENCE] as number)
      );
      gaps.sort((a, b) => a.written - b.written);
      return {
        ticks: {
          series: keys.flatMap(({ exchange, product }) => [exchange, product]),
          open24h: keys.map(() => NaN),
          ticks: packRows(rows),
        },
        gaps: gaps.map(({ gap }) => gap),
        gapsWritten: gaps.map(({ written }) => written),
      };
    });
  }

  /** All products that ever came. */
  products(): ProductKey[] {
    return this.#all<[string, string]>("SELECT exchange, product FROM product ORDER BY exchange, product")
      .map(([exchange, product]) => ({ exchange, product }));
  }

  /** All ticks of one product in a range, in order of time, a few thousand at a time; nothing is held between two pages. */
  *tickPages(key: ProductKey, { from, to }: Omit<Range, "limit">): Generator<Tick[]> {
    const fromUs = from === undefined ? -Infinity : toUs(from);
    const untilUs = to === undefined ? Infinity : toUs(to);
    for (const group of this.#minuteGroups(key, fromUs, untilUs, true, () => PAGE, Infinity)) {
      for (const minutes of partsOf(group.minutes)) {
        const rows = this.#rowsOf({ id: group.id, minutes }, TICK, fromUs, untilUs);
        yield unpackTicks(pack(key, rows.sort(byTime)));
      }
    }
  }

  /** The newest gaps' names by `opened`, the oldest first. */
  gapNames(limit: number): GapName[] {
    return this.#all<[string, string, number]>(
      "SELECT exchange, p.product, opened FROM gap g JOIN product p ON p.id = g.product ORDER BY opened DESC LIMIT ?",
      limit,
    ).reverse();
  }

  /** All gaps that touch a range, of one product or all, by `opened`. */
  *gapPages(key: ProductKey | undefined, range: Omit<Range, "limit">): Generator<Gap[]> {
    const id = key === undefined ? undefined : this.#idOf(key);
    if (key !== undefined && id === undefined) return;
    let after = [-Infinity, 0];
    while (true) {
      const [where, values] = touching(id, range);
      const page = this.#gaps(`${where} AND (opened, g.product) > (?, ?) ORDER BY opened, g.product LIMIT ?`, [
        ...values,
        ...after,
        PAGE,
      ]);
      yield page.map(({ gap }) => gap);
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = [last.gap.opened, last.id];
    }
  }

  /** One product's id, when it is known. */
  #idOf({ exchange, product }: ProductKey): number | undefined {
    return this.#prepare<[number]>("SELECT id FROM product WHERE exchange = ? AND product = ?").get(exchange, product)
      ?.[0];
  }

  /** All that is asked in it sees the same state of the file. */
  #atOnce<T>(fn: () => T): T {
    if (this.#db.isTransaction) return fn();
    this.#db.exec("BEGIN");
    try {
      return fn();
    } finally {
      if (this.#db.isTransaction) this.#db.exec("COMMIT");
    }
  }

  #prepare<T extends Row = Row>(sql: string): RowStatement<T> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, statement = prepareRows(this.#db, sql));
    return statement as RowStatement<T>;
  }

  #all<T extends Row = Row>(sql: string, ...values: number[]): T[] {
    return this.#prepare<T>(sql).all(...values);
  }

  #gaps(where: string, values: readonly number[]): { gap: Gap; written: number; id: number }[] {
    const sql = `SELECT ${GAP} FROM gap g JOIN product p ON p.id = g.product WHERE ${where}`;
    return this.#all<GapRow>(sql, ...values).map((row) => ({
      gap: {
        kind: "gap",
        exchange: row[0],
        product: row[1],
        opened: row[2],
        from: row[3],
        to: row[4],
        reason: row[5],
        dropped: row[6],
        missed: row[7] === 1,
      },
      written: row[8],
      id: row[9],
    }));
  }

  /**
   * Minutes of one product that may hold ticks of this range, in groups in order of time or back in time.
   *
   * @param wanted asked before each group: enough minutes for so many are in the next one; none: that was the last
   * @param most a minute with more ticks counts for so many
   */
  *#minuteGroups(
    key: ProductKey,
    fromUs: number,
    toUs: number,
    forward: boolean,
    wanted: () => number,
    most: number,
  ): Generator<{ id: number; minutes: Minute[] }> {
    const row = this.#prepare<[number, number]>("SELECT id, ticks_from FROM product WHERE exchange = ? AND product = ?")
      .get(key.exchange, key.product);
    if (row === undefined) return;
    const [id, keptFrom] = row;
    let from = Math.max(keptFrom, Math.floor(Math.max(fromUs, 0) / 60e6) * 60);
    let to = Number.isFinite(toUs) ? toUs / 1e6 : Number.MAX_SAFE_INTEGER;
    const sql =
      "SELECT open_time, ticks, low_sequence, high_sequence FROM candle_1m WHERE product = ? AND open_time >= ? " +
      `AND open_time < ? AND origin = 'ticks' ORDER BY open_time ${forward ? "" : "DESC"} LIMIT ?`;
    let page: [number, number, number, number][] = [];
    let isLast = false;
    let pageSize = FIRST_PAGE;
    for (let count = wanted(); count > 0; count = wanted()) {
      const minutes: Minute[] = [];
      for (let sum = 0; sum < count;) {
        if (page.length === 0) {
          if (isLast) break;
          page = this.#all<[number, number, number, number]>(sql, id, from, to, pageSize).reverse();
          isLast = page.length < pageSize;
          pageSize = Math.min(PAGE, pageSize * 4);
          const end = page[0]?.[0];
          if (typeof end === "number") forward ? from = end + 60 : to = end;
          continue;
        }
        const [openTime, ticks, low, high] = page.pop() as [number, number, number, number];
        minutes.push({ openTime, ticks, low, high });
        // of the minutes at the ends a part is outside
        if (openTime * 1e6 >= fromUs && (openTime + 60) * 1e6 <= toUs) sum += Math.min(ticks, most);
      }
      if (minutes.length === 0) return;
      yield { id, minutes: forward ? minutes : minutes.reverse() };
    }
  }

  /** The ticks of these minutes that lie in the range, by sequence; those that arrived since then, and hardly more than `most`. */
  #rowsOf(
    { id, minutes }: { id: number; minutes: readonly Minute[] },
    columns: string,
    fromUs: number,
    untilUs: number,
    arrived?: { readonly since: number; readonly most: number },
  ): Row[] {
    const first = minutes[0], last = minutes.at(-1);
    if (first === undefined || last === undefined) return [];
    const sql = `SELECT ${columns} FROM tick WHERE product = ? AND sequence BETWEEN ? AND ? ` +
      `AND exchange_time_us BETWEEN ? AND ?${arrived === undefined ? "" : " AND received_ms >= ? LIMIT ?"}`;
    const from = Math.max(fromUs, first.openTime * 1e6);
    const until = Math.min(untilUs, (last.openTime + 60) * 1e6) - 1;
    const more = arrived === undefined ? [] : [arrived.since, arrived.most];
    const parts = rangesOf(minutes).map(([low, high]) => this.#all(sql, id, low, high, from, until, ...more));
    return parts.length === 1 ? parts[0] as Row[] : parts.flat();
  }

  /** Whether anything of the product is older than a gap that does not know its start: without that it is the first start. */
  #hasOlder({ opened, to }: Gap, key: ProductKey, id: number): boolean {
    const time = Math.min(opened, to ?? Infinity);
    if (this.ticks(key, { to: time, limit: 1 }).ticks.length > 0) return true;
    // candles are kept longer than ticks
    const minute = openTimeOf(time * 1000, "1m") / 1000;
    return this.#all(
      "SELECT 1 FROM candle_1m WHERE product = ? AND open_time < ? AND origin = 'ticks' LIMIT 1",
      id,
      minute,
    ).length > 0;
  }

  /** As markCandles has it of all candles, of which only some are read: where the last one before a gap that knows no start begins. */
  #startOf(gap: Gap, key: ProductKey, id: number, stored: StoredInterval | undefined, interval: Interval): number {
    const time = openTimeOf(Math.min(gap.opened, gap.to ?? Infinity) * 1000, interval) / 1000;
    if (stored === undefined) {
      const { ticks } = this.ticks(key, { to: time, limit: 1 });
      return ticks.length === 0 ? -Infinity : openTimeOf((ticks[TIME] as number) / 1000, interval) / 1000;
    }
    const [last] = this.#all<[number | null]>(
      `SELECT max(open_time) FROM candle_${stored} WHERE product = ? AND open_time < ?`,
      id,
      time,
    );
    const openTime = last?.[0] ?? null;
    return openTime === null ? -Infinity : openTimeOf(openTime * 1000, interval) / 1000;
  }

  #candlesOfTicks(key: ProductKey, interval: Interval, { from, to, limit }: Range): Unmarked[] {
    const fromUs = from === undefined ? -Infinity : startFrom(from * 1000, interval) * 1000;
    const untilUs = to === undefined ? Infinity : startFrom(to * 1000, interval) * 1000;
    const windows = new WindowMap(interval);
    const perMinute = MINUTE_MS / intervalMs(interval);
    const forward = from !== undefined;
    for (
      const { id, minutes } of this.#minuteGroups(key, fromUs, untilUs, forward, () => limit - windows.size, perMinute)
    ) {
      for (const part of partsOf(minutes)) {
        const rows = this.#rowsOf({ id, minutes: part }, "sequence, price, exchange_time_us, size", fromUs, untilUs);
        for (const [sequence, price, exchangeTimeUs, size] of rows as [number, number, number, number | null][]) {
          windows.addTick({ sequence, price, exchangeTimeUs, lastSize: size ?? undefined });
        }
      }
    }
    const inOrder = [...windows.values()].sort((a, b) => a.openTime - b.openTime);
    const kept = forward ? inOrder.slice(0, limit) : inOrder.slice(-limit);
    return kept.map((window) => ({
      ...candleOf(window, interval),
      origin: "ticks",
      lastSequence: window.highSequence,
    }));
  }

  #candlesOfCandles(id: number, stored: StoredInterval, interval: Interval, { from, to, limit }: Range): Unmarked[] {
    const forward = from !== undefined;
    let start = from === undefined ? Number.MIN_SAFE_INTEGER : startFrom(from * 1000, interval) / 1000;
    let end = to === undefined ? Number.MAX_SAFE_INTEGER : startFrom(to * 1000, interval) / 1000;
    const sql =
      `SELECT open_time, open, high, low, close, ticks, volume, high_sequence, origin FROM candle_${stored} ` +
      `WHERE product = ? AND open_time >= ? AND open_time < ? ORDER BY open_time ${forward ? "" : "DESC"}, origin ` +
      `${forward ? "" : "DESC"} LIMIT ?`;
    const statement = this.#prepare<CandleRow>(sql);
    const most = limit * intervalMs(interval) / intervalMs(stored);
    const rows: CandleRow[] = [];
    const windows = new Set<number>();
    while (windows.size <= limit) {
      const count = Math.min(PAGE, most + 2);
      const page = statement.all(id, start, end, count);
      for (const row of page) {
        windows.add(openTimeOf(row[0] * 1000, interval));
        if (windows.size > limit) break;
        rows.push(row);
      }
      if (page.length < count) break;
      const last = (page.at(-1) as CandleRow)[0];
      // of the last moment there may be a second row: it is read again with that moment
      while (rows.at(-1)?.[0] === last) rows.pop();
      if (forward) start = last;
      else end = last + 1;
    }
    return mergeRows(forward ? rows : rows.reverse(), interval, interval !== stored);
  }
}

/** A candle before its marks. */
type Unmarked = Omit<StoredCandle, "running" | "incomplete">;

/** Ticks that are read at once, about: what dies young costs little. */
const PART_TICKS = 3000;

/** The minutes in the same order, a few at a time. */
function* partsOf(minutes: readonly Minute[]): Generator<Minute[]> {
  let part: Minute[] = [];
  let ticks = 0;
  for (const minute of minutes) {
    if (part.length > 0 && ticks + minute.ticks > PART_TICKS) {
      yield part;
      part = [];
      ticks = 0;
    }
    part.push(minute);
    ticks += minute.ticks;
  }
  yield part;
}

type GapRow = [
  exchange: string,
  product: string,
  opened: number,
  from: number | null,
  to: number | null,
  reason: GapReason,
  dropped: number,
  missed: number,
  written: number,
  id: number,
];

/** What a gap must be to touch the range: as SQL, and its values. One that does not know its start begins where it was declared. */
function touching(id: number | undefined, { from, to }: Omit<Range, "limit">): [where: string, values: number[]] {
  const conditions = ["1"];
  const values: number[] = [];
  const add = (condition: string, value: number | undefined) => {
    if (value === undefined) return;
    conditions.push(condition);
    values.push(value);
  };
  add("g.product = ?", id);
  add("(to_time IS NULL OR to_time >= ?)", from);
  add("coalesce(from_time, min(opened, coalesce(to_time, opened))) < ?", to);
  return [conditions.join(" AND "), values];
}

function byTime(a: Row, b: Row): number {
  return (a[TIME] as number) - (b[TIME] as number) || (a[SEQUENCE] as number) - (b[SEQUENCE] as number);
}

type CandleRow = [
  openTime: number,
  open: number,
  high: number,
  low: number,
  close: number,
  ticks: number,
  volume: string | null,
  highSequence: number,
  origin: "ticks" | "exchange",
];

/**
 * Candles out of rows in order of time; the exchange's own candle stands before ours and counts in its place.
 *
 * @param isMerging several rows may make one candle
 */
function mergeRows(rows: readonly CandleRow[], interval: Interval, isMerging: boolean): Unmarked[] {
  const candles: { -readonly [K in Exclude<keyof StoredCandle, "running" | "incomplete">]: StoredCandle[K] }[] = [];
  let last: typeof candles[number] | undefined;
  let lastTime: number | undefined;
  let sum: Volume | undefined;
  for (const [time, open, high, low, close, ticks, volume, lastSequence, origin] of rows) {
    if (time === lastTime) continue;
    lastTime = time;
    const openTime = openTimeOf(time * 1000, interval);
    if (last?.openTime !== openTime) {
      if (last !== undefined && sum !== undefined) last.volume = sum.toNumber();
      sum = undefined;
      const size = volume === null ? undefined : Number(volume);
      last = { interval, openTime, open, high, low, close, ticks, volume: size, origin, lastSequence };
      candles.push(last);
      if (isMerging && volume !== null) sum = Volume.fromText(volume);
      continue;
    }
    if (high > last.high) last.high = high;
    if (low < last.low) last.low = low;
    last.close = close;
    last.ticks += ticks;
    if (volume === null) last.volume = sum = undefined;
    else if (sum !== undefined) sum = Volume.sum(sum, Volume.fromText(volume));
    if (lastSequence > last.lastSequence) last.lastSequence = lastSequence;
    if (origin === "exchange") last.origin = origin;
  }
  if (last !== undefined && sum !== undefined) last.volume = sum.toNumber();
  return candles;
}

/** Where to look for the ticks of these minutes, which are in order of time: as few ranges as possible, none of which overlap. */
function rangesOf(minutes: readonly Minute[]): [low: number, high: number][] {
  const runs: [number, number][] = [];
  for (const { low, high } of minutes) {
    const last = runs.at(-1);
    // sequences rise with time, as a rule; where an exchange began anew, the table must not be read from end to end
    if (last !== undefined && high >= last[0] && low >= last[0]) last[1] = Math.max(last[1], high);
    else runs.push([low, high]);
  }
  const ranges: [number, number][] = [];
  for (const [low, high] of runs.sort((a, b) => a[0] - b[0])) {
    const last = ranges.at(-1);
    if (last !== undefined && low <= last[1]) last[1] = Math.max(last[1], high);
    else ranges.push([low, high]);
  }
  return ranges;
}

function packRows(rows: readonly Row[]): Float64Array<ArrayBuffer> {
  const packed = new Float64Array(rows.length * COLUMNS);
  let at = 0;
  for (const row of rows) {
    for (let column = 0; column < COLUMNS; column++) packed[at++] = (row[column] as number | null) ?? NaN;
  }
  return packed;
}

function pack({ exchange, product }: ProductKey, rows: readonly Row[]): PackedTicks {
  for (const row of rows) row[0] = 0;
  return { series: [exchange, product], open24h: [NaN], ticks: packRows(rows) };
}
