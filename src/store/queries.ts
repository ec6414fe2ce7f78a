// The queries, on one connection that writes nothing. The candles of one minute are the index of the ticks by time: each has the
// lowest and the highest sequence of its ticks, so the table of ticks needs no second index.

import type { DatabaseSync } from "node:sqlite";
import { candleOf, type CandleWindow, type Interval, intervalMs, markCandles, openTimeOf } from "../core/candle.ts";
import type { Gap, GapName, Tick } from "../core/record.ts";
import { COLUMNS, type PackedTicks, PRICE, RECEIVED, SEQUENCE, SIZE, TIME, unpackTicks } from "./packing.ts";
import { STORED_INTERVALS, type StoredInterval, WINDOW_COLUMNS, WindowMap, windowOfRow } from "./candle_table.ts";
import type { ProductKey, Range, StoredCandle, TimeRange } from "./reader.ts";
import { prepareRows, type Row, type RowStatement } from "./statements.ts";

/** What {@link Queries.since} found, in order of arrival. */
export interface Arrived {
  /** Without `open24h`. */
  readonly ticks: PackedTicks;
  /** Gaps as they were when they were written last. */
  readonly gaps: readonly Gap[];
  /** When each of the gaps was written, ms. */
  readonly gapsWritten: readonly number[];
}

/** A minute with ticks: when it starts (unix seconds), and the lowest and the highest sequence of its ticks. */
type Minute = [openTime: number, low: number, high: number];

/** The most rows that are read at once where there may be many. */
const PAGE = 4000;
/** Minutes that are looked up at first: most queries are about the newest few. */
const FIRST_PAGE = 32;
/** How much earlier than it arrived a tick may have happened, ms. */
const LATE_MS = 60_000;
/** So many older minutes without a result end the search for what arrived since then. */
const EMPTY_MINUTES = 3;

const LAST_SEQUENCE =
  "(SELECT last_sequence FROM candle_1m WHERE product = p.id AND origin = 'ticks' ORDER BY open_time DESC LIMIT 1)";
/** The columns of a packed tick behind the product. */
const TICK = "sequence, price, exchange_time_us, received_ms, record_shift_us, trade_id, size, buy";
const GAP =
  'SELECT exchange, p.product AS product, opened, from_time AS "from", to_time AS "to", reason, dropped, missed, ' +
  "written_ms AS written, p.id AS id FROM gap g JOIN product p ON p.id = g.product WHERE";

type GapRow = Omit<Gap, "kind" | "missed"> & { missed: number; written: number; id: number };

/** The queries of {@link StoreReader}, and those of the commands. */
export class Queries {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, RowStatement>();

  /** The database must have the newest schema. */
  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** See {@link StoreReader.lastTicks}. */
  lastTicks(): PackedTicks {
    const rows = this.#all<[string, string, number | null, ...Row]>(
      // CROSS: otherwise SQLite reads all ticks and looks up the product of each
      `SELECT exchange, p.product, open24h, ${TICK} FROM product p CROSS JOIN tick t ON t.product = p.id AND ` +
        `t.sequence = ${LAST_SEQUENCE}`,
    );
    return {
      series: rows.flatMap(([exchange, product]) => [exchange, product]),
      open24h: rows.map(([, , open24h]) => open24h ?? NaN),
      ticks: packRows(rows.map(([, , , ...tick], place) => [place, ...tick]).sort(byTime)),
    };
  }

  /** See {@link StoreReader.ticks}. */
  ticks(key: ProductKey, { from, to, limit }: Range): PackedTicks {
    return this.#inOneState(() => {
      const isForward = from !== undefined;
      const pages: Row[][] = [];
      let count = 0;
      for (const { rows } of this.#ticksByMinute(this.#idOf(key), { from, to }, isForward)) {
        pages.push(rows.sort(byTime));
        count += rows.length;
        if (count >= limit) break;
      }
      return packTicks(key, isForward ? pages.flat().slice(0, limit) : pages.reverse().flat().slice(-limit));
    });
  }

  /** See {@link StoreReader.candles}. */
  candles(key: ProductKey, interval: Interval, range: Range, now: number): StoredCandle[] {
    return this.#inOneState(() => {
      const id = this.#idOf(key);
      const stored = STORED_INTERVALS.findLast((length) => intervalMs(length) <= intervalMs(interval));
      const windows = this.#windows(id, interval, stored, range);
      const first = windows[0], last = windows.at(-1);
      if (id === undefined || first === undefined || last === undefined) return [];
      const gaps = this.#gaps(
        "g.product = ? AND (to_time IS NULL OR to_time >= ?) AND (from_time IS NULL OR from_time < ?) ORDER BY opened",
        [id, first.openTime / 1000, (last.openTime + intervalMs(interval)) / 1000],
      ).map(gapOf).flatMap((gap) => {
        if (gap.from !== null) return [gap];
        if (gap.reason === "restart" && !this.#hasOlder(id, gap)) return [];
        return [{ ...gap, from: this.#timeBefore(key, id, gap, interval, stored) }];
      });
      const candles = windows.map((window) => ({
        ...candleOf(window, interval),
        lastSequence: window.highSequence,
      }));
      return markCandles(candles, now, gaps);
    });
  }

  /** See {@link StoreReader.gaps}. */
  gaps(key: ProductKey | undefined, { limit, ...range }: Range): Gap[] {
    const id = key === undefined ? undefined : this.#idOf(key);
    if (key !== undefined && id === undefined) return [];
    if (range.from !== undefined) return this.#gapPage(id, range, limit).map(gapOf);
    return this.#gapPage(id, range, limit, "DESC").map(gapOf).reverse();
  }

  /** See {@link StoreReader.since}. */
  since(keys: readonly ProductKey[], receivedTime: number, limit: number): Arrived | undefined {
    return this.#inOneState(() => {
      // where our clock was set back since then, later ticks have earlier times
      const setBackTo = this.#number("SELECT min(after_ms) FROM clock_step WHERE before_ms >= ?", receivedTime);
      const since = Math.min(receivedTime, setBackTo ?? Infinity);
      const gaps: GapRow[] = [];
      const rows: Row[] = [];
      for (const [place, key] of keys.entries()) {
        const id = this.#idOf(key);
        if (id === undefined) continue;
        // the plus makes SQLite use the index by written_ms
        gaps.push(...this.#gaps("+g.product = ? AND written_ms >= ? LIMIT ?", [id, since, limit + 1]));
        let empty = 0;
        for (const minute of this.#ticksByMinute(id, {}, false, { place, since, limit: limit + 1 })) {
          rows.push(...minute.rows);
          if (rows.length + gaps.length > limit) return undefined;
          // our clock and the exchange's may differ, so the time alone does not end the search
          empty = minute.rows.length === 0 && minute.openTime * 1000 <= since - LATE_MS ? empty + 1 : 0;
          if (empty === EMPTY_MINUTES) break;
        }
      }
      if (rows.length + gaps.length > limit) return undefined;
      rows.sort((a, b) =>
        numberAt(a, RECEIVED) - numberAt(b, RECEIVED) || numberAt(a, SEQUENCE) - numberAt(b, SEQUENCE)
      );
      gaps.sort((a, b) => a.written - b.written);
      return {
        ticks: {
          series: keys.flatMap(({ exchange, product }) => [exchange, product]),
          open24h: keys.map(() => NaN),
          ticks: packRows(rows),
        },
        gaps: gaps.map(gapOf),
        gapsWritten: gaps.map(({ written }) => written),
      };
    });
  }

  /** All products of which ticks or gaps were stored. */
  products(): ProductKey[] {
    return this.#all<[string, string]>("SELECT exchange, product FROM product ORDER BY exchange, product")
      .map(([exchange, product]) => ({ exchange, product }));
  }

  /** All ticks of one product in a range, in order of time, a minute at a time. No transaction is open between two pages. */
  *tickPages(key: ProductKey, range: TimeRange): Generator<Tick[]> {
    for (const { rows } of this.#ticksByMinute(this.#idOf(key), range, true)) {
      yield unpackTicks(packTicks(key, rows.sort(byTime)));
    }
  }

  /** The names of the newest gaps by `opened`, the oldest first. */
  gapNames(limit: number): GapName[] {
    return this.#all<[string, string, number]>(
      "SELECT exchange, p.product, opened FROM gap g JOIN product p ON p.id = g.product ORDER BY opened DESC LIMIT ?",
      limit,
    ).reverse();
  }

  /** All gaps that touch a range, of one product or all, by `opened`. No transaction is open between two pages. */
  *gapPages(key: ProductKey | undefined, range: TimeRange): Generator<Gap[]> {
    const id = key === undefined ? undefined : this.#idOf(key);
    if (key !== undefined && id === undefined) return;
    let page: GapRow[] = [];
    do {
      page = this.#gapPage(id, range, PAGE, "ASC", page.at(-1));
      yield page.map(gapOf);
    } while (page.length === PAGE);
  }

  #idOf({ exchange, product }: ProductKey): number | undefined {
    return this.#number("SELECT id FROM product WHERE exchange = ? AND product = ?", exchange, product);
  }

  /** Runs several queries on the same state of the file. */
  #inOneState<T>(fn: () => T): T {
    if (this.#db.isTransaction) return fn();
    this.#db.exec("BEGIN");
    try {
      return fn();
    } finally {
      if (this.#db.isTransaction) this.#db.exec("COMMIT");
    }
  }

  #all<T extends Row = Row>(sql: string, ...values: (number | string)[]): T[] {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, statement = prepareRows(this.#db, sql));
    return statement.all(...values) as T[];
  }

  /** The first value of the first row; undefined if there is none. */
  #number(sql: string, ...values: (number | string)[]): number | undefined {
    const value = this.#all(sql, ...values)[0]?.[0];
    return typeof value === "number" ? value : undefined;
  }

  #gaps(where: string, values: readonly (number | null)[]): GapRow[] {
    return this.#db.prepare(`${GAP} ${where}`).all(...values) as unknown as GapRow[];
  }

  /**
   * Gaps that touch the range, by `opened`. One without a start begins where it was declared.
   *
   * @param after the last gap of the page before
   */
  #gapPage(id: number | undefined, { from, to }: TimeRange, limit: number, order = "ASC", after?: GapRow): GapRow[] {
    return this.#gaps(
      `${id === undefined ? "?1 IS NULL" : "g.product = ?1"} AND (?2 IS NULL OR to_time IS NULL OR to_time >= ?2) ` +
        "AND (?3 IS NULL OR coalesce(from_time, min(opened, coalesce(to_time, opened))) < ?3) " +
        `AND (opened, g.product) > (?4, ?5) ORDER BY opened ${order}, g.product ${order} LIMIT ?6`,
      [id ?? null, from ?? null, to ?? null, after?.opened ?? -Infinity, after?.id ?? 0, limit],
    );
  }

  /** Minutes that may hold ticks of the range, in order of time or backwards. Those that are being deleted are left out. */
  *#minutes(id: number, { from, to }: TimeRange, isForward: boolean): Generator<Minute> {
    const keptFrom = this.#number("SELECT ticks_from FROM product WHERE id = ?", id);
    let start = Math.max(keptFrom ?? 0, Math.floor((from ?? 0) / 60) * 60);
    let end = to ?? Number.MAX_SAFE_INTEGER;
    const sql = "SELECT open_time, low_sequence, high_sequence FROM candle_1m WHERE product = ? AND open_time >= ? " +
      `AND open_time < ? AND origin = 'ticks' ORDER BY open_time ${isForward ? "ASC" : "DESC"} LIMIT ?`;
    for (let size = FIRST_PAGE;; size = Math.min(PAGE, size * 4)) {
      const page = this.#all<Minute>(sql, id, start, end, size);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < size) return;
      if (isForward) start = last[0] + 60;
      else end = last[0];
    }
  }

  /**
   * The ticks of each minute of the range, by sequence.
   *
   * @param only ticks that arrived at this time or later, at most so many per minute; `place` is their first column
   */
  *#ticksByMinute(
    id: number | undefined,
    range: TimeRange,
    isForward: boolean,
    { place, since, limit } = { place: 0, since: -Infinity, limit: -1 },
  ): Generator<{ openTime: number; rows: Row[] }> {
    if (id === undefined) return;
    const fromUs = toUs(range.from ?? -Infinity), untilUs = toUs(range.to ?? Infinity);
    const sql =
      `SELECT ?, ${TICK} FROM tick WHERE product = ? AND sequence BETWEEN ? AND ? AND exchange_time_us >= ? ` +
      "AND exchange_time_us < ? AND received_ms >= ? LIMIT ?";
    for (const [openTime, low, high] of this.#minutes(id, range, isForward)) {
      const from = Math.max(fromUs, openTime * 1e6), until = Math.min(untilUs, (openTime + 60) * 1e6);
      yield { openTime, rows: this.#all(sql, place, id, low, high, from, until, since, limit) };
    }
  }

  /** The windows that start in the range, in order of time, made of shorter candles or of ticks. */
  #windows(
    id: number | undefined,
    interval: Interval,
    stored: StoredInterval | undefined,
    { from, to, limit }: Range,
  ): CandleWindow[] {
    if (id === undefined) return [];
    const isForward = from !== undefined;
    const start = from === undefined ? undefined : startFrom(from, interval);
    const end = to === undefined ? undefined : startFrom(to, interval);
    const windows = new WindowMap(interval);
    if (stored === undefined) {
      for (const { rows } of this.#ticksByMinute(id, { from: start, to: end }, isForward)) {
        for (const row of rows) {
          windows.addTick({
            sequence: numberAt(row, SEQUENCE),
            price: numberAt(row, PRICE),
            exchangeTimeUs: numberAt(row, TIME),
            lastSize: row[SIZE] as number | null ?? undefined,
          });
        }
        if (windows.size >= limit) break;
      }
    } else {
      const rows = this.#all(
        `SELECT ${WINDOW_COLUMNS} FROM candle_${stored} WHERE product = ? AND open_time >= ? AND open_time < ? ` +
          `AND origin = 'ticks' ORDER BY open_time ${isForward ? "ASC" : "DESC"} LIMIT ?`,
        id,
        start ?? Number.MIN_SAFE_INTEGER,
        end ?? Number.MAX_SAFE_INTEGER,
        // so many hold at least `limit` whole windows
        limit * intervalMs(interval) / intervalMs(stored),
      );
      for (const row of rows) windows.addWindow(windowOfRow(row));
    }
    const inOrder = [...windows.values()].sort((a, b) => a.openTime - b.openTime);
    return isForward ? inOrder.slice(0, limit) : inOrder.slice(-limit);
  }

  /** Whether the product has ticks from before a gap without a start. If not, it is the very first start, and nothing is missing. */
  #hasOlder(id: number, gap: Gap): boolean {
    const oldestUs = this.#number(
      "SELECT open_time * 1000000 + first_us FROM candle_1m WHERE product = ? AND origin = 'ticks' ORDER BY open_time LIMIT 1",
      id,
    );
    return oldestUs !== undefined && oldestUs < endOfKnown(gap) * 1e6;
  }

  /**
   * A time (unix seconds) in the last candle that ended before a gap without a start, as markCandles() finds it if it is given all
   * candles; -Infinity if there is none.
   */
  #timeBefore(key: ProductKey, id: number, gap: Gap, interval: Interval, stored: StoredInterval | undefined): number {
    const end = openTimeOf(endOfKnown(gap) * 1000, interval) / 1000;
    if (stored === undefined) {
      const { ticks } = this.ticks(key, { to: end, limit: 1 });
      return ticks.length === 0 ? -Infinity : (ticks[TIME] as number) / 1e6;
    }
    const sql = `SELECT max(open_time) FROM candle_${stored} WHERE product = ? AND open_time < ?`;
    return this.#number(sql, id, end) ?? -Infinity;
  }
}

/** Unix seconds as whole microseconds. */
function toUs(seconds: number): number {
  return Math.round(seconds * 1e6);
}

/** The first start of a window at this time or later; both in unix seconds. */
function startFrom(time: number, interval: Interval): number {
  const openTime = openTimeOf(time * 1000, interval);
  return (openTime < time * 1000 ? openTime + intervalMs(interval) : openTime) / 1000;
}

/** Until when a gap without a start was surely not open yet, unix seconds. */
function endOfKnown({ opened, to }: Gap): number {
  return Math.min(opened, to ?? Infinity);
}

function gapOf({ written: _written, id: _id, missed, ...gap }: GapRow): Gap {
  return { kind: "gap", ...gap, missed: missed === 1 };
}

function numberAt(row: Row, column: number): number {
  return row[column] as number;
}

function byTime(a: Row, b: Row): number {
  return numberAt(a, TIME) - numberAt(b, TIME) || numberAt(a, SEQUENCE) - numberAt(b, SEQUENCE);
}

function packRows(rows: readonly Row[]): Float64Array<ArrayBuffer> {
  const packed = new Float64Array(rows.length * COLUMNS);
  let at = 0;
  for (const row of rows) {
    for (let column = 0; column < COLUMNS; column++) packed[at++] = (row[column] as number | null) ?? NaN;
  }
  return packed;
}

function packTicks({ exchange, product }: ProductKey, rows: readonly Row[]): PackedTicks {
  return { series: [exchange, product], open24h: [NaN], ticks: packRows(rows) };
}
