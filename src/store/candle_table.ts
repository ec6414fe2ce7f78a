// The stored candles of one length: each row is a window of src/core/candle.ts, whole, so that the fold can go on from it.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  type CandleTick,
  type CandleWindow,
  growWindow,
  type Interval,
  intervalMs,
  mergeWindow,
  openTimeOf,
  Volume,
  windowOf,
} from "../core/candle.ts";
import { prepareRows, type Row, type RowStatement } from "./statements.ts";

/**
 * The lengths that are stored, shortest first; all others are made of the next shorter one, and 1s of ticks. Those of 5s go with
 * the ticks: of a product that ticks 100 times a second, a chart of 500 candles of 30s would be made of 1.5 million ticks.
 */
export const STORED_INTERVALS = ["5s", "1m", "1h"] as const;

/** One of {@link STORED_INTERVALS}. */
export type StoredInterval = typeof STORED_INTERVALS[number];

/** What {@link windowOfRow} takes, in its order. */
export const WINDOW_COLUMNS: string =
  "open_time, open, high, low, close, ticks, volume, first_us, first_sequence, last_us, " +
  "last_sequence, low_sequence, high_sequence";

/** The window that stands in a row. */
export function windowOfRow(row: Row): CandleWindow {
  const openTime = (row[0] as number) * 1000;
  return {
    openTime,
    open: row[1] as number,
    high: row[2] as number,
    low: row[3] as number,
    close: row[4] as number,
    ticks: row[5] as number,
    volume: row[6] === null ? undefined : Volume.fromText(row[6] as string),
    firstTimeUs: openTime * 1000 + (row[7] as number),
    firstSequence: row[8] as number,
    lastTimeUs: openTime * 1000 + (row[9] as number),
    lastSequence: row[10] as number,
    lowSequence: row[11] as number,
    highSequence: row[12] as number,
  };
}

/** Windows of one product by their `openTime`, filled from its ticks. */
export class WindowMap extends Map<number, CandleWindow> {
  readonly #interval: Interval;
  #last: CandleWindow | undefined;
  /** Of the last one, microseconds. */
  #lastFromUs = 0;
  #lastToUs = 0;

  /** Holds none yet. */
  constructor(interval: Interval) {
    super();
    this.#interval = interval;
  }

  /** Takes a tick into its window. */
  addTick(tick: CandleTick): void {
    const { exchangeTimeUs } = tick;
    // nearly every tick belongs where the one before it went
    if (this.#last !== undefined && exchangeTimeUs >= this.#lastFromUs && exchangeTimeUs < this.#lastToUs) {
      return growWindow(this.#last, tick);
    }
    const openTime = openTimeOf(exchangeTimeUs / 1000, this.#interval);
    this.#lastFromUs = openTime * 1000;
    this.#lastToUs = (openTime + intervalMs(this.#interval)) * 1000;
    this.#last = this.get(openTime);
    if (this.#last !== undefined) return growWindow(this.#last, tick);
    this.#last = windowOf(openTime, tick);
    this.set(openTime, this.#last);
  }

  /** Merges a shorter window, or one of the same length, into its window. */
  addWindow(part: CandleWindow): void {
    const openTime = openTimeOf(part.openTime, this.#interval);
    const window = this.get(openTime);
    if (window === undefined) this.set(openTime, { ...part, openTime });
    else mergeWindow(window, part);
  }
}

/** Windows of a product that were used lately: those that still change are nearly always among them. */
const CACHED_WINDOWS = 16;

/** A product's part of {@link CandleTable}. */
interface Kept {
  /** The newest that is stored, ms; -Infinity: none. */
  newest: number;
  readonly windows: Map<number, CandleWindow>;
}

/** Writes the candles of one length. Nobody else may while it is in use. */
export class CandleTable {
  readonly #length: StoredInterval;
  readonly #put: StatementSync;
  readonly #get: RowStatement;
  readonly #newest: RowStatement;
  readonly #kept = new Map<number, Kept>();

  /** The table must be there. */
  constructor(db: DatabaseSync, length: StoredInterval) {
    this.#length = length;
    this.#put = db.prepare(
      `REPLACE INTO candle_${length} (product, origin, ${WINDOW_COLUMNS}) ` +
        "VALUES (?, 'ticks', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#get = prepareRows(
      db,
      `SELECT ${WINDOW_COLUMNS} FROM candle_${length} WHERE product = ? AND open_time = ? AND origin = 'ticks'`,
    );
    this.#newest = prepareRows(db, `SELECT max(open_time) FROM candle_${length} WHERE product = ?`);
  }

  /** What was written since the last commit did not come to stay. */
  forget(): void {
    this.#kept.clear();
  }

  /** Takes these windows of a product, which may be shorter, into those that are stored. The caller leaves them alone from then on. */
  merge(product: number, parts: Iterable<CandleWindow>): void {
    const kept = this.#keptOf(product);
    const changed = new Set<CandleWindow>();
    for (const part of parts) {
      const openTime = openTimeOf(part.openTime, this.#length);
      let window = kept.windows.get(openTime) ?? this.#read(product, openTime, kept);
      if (window === undefined) {
        window = { ...part, openTime };
        kept.newest = Math.max(kept.newest, openTime);
      } else mergeWindow(window, part);
      kept.windows.set(openTime, window);
      changed.add(window);
    }
    for (const window of changed) this.#write(product, window);
    if (kept.windows.size > CACHED_WINDOWS) {
      const oldest = [...kept.windows.keys()].sort((a, b) => a - b).slice(0, -CACHED_WINDOWS / 2);
      for (const openTime of oldest) kept.windows.delete(openTime);
    }
  }

  #keptOf(product: number): Kept {
    let kept = this.#kept.get(product);
    if (kept === undefined) {
      const [newest] = this.#newest.get(product) ?? [];
      kept = { newest: typeof newest === "number" ? newest * 1000 : -Infinity, windows: new Map() };
      this.#kept.set(product, kept);
    }
    return kept;
  }

  #read(product: number, openTime: number, kept: Kept): CandleWindow | undefined {
    if (openTime > kept.newest) return undefined;
    const row = this.#get.get(product, openTime / 1000);
    return row === undefined ? undefined : windowOfRow(row);
  }

  #write(product: number, window: CandleWindow): void {
    const { openTime, open, high, low, close, ticks, volume } = window;
    const text = volume === undefined ? null : volume.toText();
    this.#put.run(
      product,
      openTime / 1000,
      open,
      high,
      low,
      close,
      ticks,
      text,
      window.firstTimeUs - openTime * 1000,
      window.firstSequence,
      window.lastTimeUs - openTime * 1000,
      window.lastSequence,
      window.lowSequence,
      window.highSequence,
    );
  }
}

/** How many ticks are read at once. */
const CHUNK = 10_000;

/** Makes the candles of all ticks that are stored; the tables of candles must be empty. */
export function foldTicks(db: DatabaseSync): void {
  const tables = STORED_INTERVALS.map((length) => new CandleTable(db, length));
  const read = prepareRows<[number, number, number, number | null]>(
    db,
    "SELECT sequence, price, exchange_time_us, size FROM tick WHERE product = ? AND sequence > ? ORDER BY sequence LIMIT ?",
  );
  for (const { id } of db.prepare("SELECT id FROM product").all()) {
    let after = -1;
    while (true) {
      const rows = read.all(Number(id), after, CHUNK);
      const windows = new WindowMap(STORED_INTERVALS[0]);
      for (const [sequence, price, exchangeTimeUs, size] of rows) {
        windows.addTick({ sequence, price, exchangeTimeUs, lastSize: size ?? undefined });
        after = sequence;
      }
      for (const table of tables) table.merge(Number(id), windows.values());
      if (rows.length < CHUNK) break;
    }
  }
}
