// The stored candles of one length. Each row is a complete window of src/core/candle.ts, so later ticks can be added to it.

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
 * The lengths that are stored, shortest first. All others are made from the next shorter one, and 1s from ticks. Candles of 5s are
 * deleted with their ticks. Without them, 500 candles of 30s would be made from 1.5 million ticks at 100 ticks a second.
 */
export const STORED_INTERVALS = ["5s", "1m", "1h"] as const;

/** One of {@link STORED_INTERVALS}. */
export type StoredInterval = typeof STORED_INTERVALS[number];

/** The columns that {@link windowOfRow} expects, in this order. */
export const WINDOW_COLUMNS: string =
  "open_time, open, high, low, close, ticks, volume, first_us, first_sequence, last_us, " +
  "last_sequence, low_sequence, high_sequence";

/** The window of a row. */
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

/** Windows of one product by their `openTime`. */
export class WindowMap extends Map<number, CandleWindow> {
  readonly #interval: Interval;
  #last: CandleWindow | undefined;
  /** Start and end of the last window, microseconds. */
  #lastFromUs = 0;
  #lastToUs = 0;

  /** An empty map. */
  constructor(interval: Interval) {
    super();
    this.#interval = interval;
  }

  /** Adds a tick to its window. */
  addTick(tick: CandleTick): void {
    const { exchangeTimeUs } = tick;
    // nearly every tick belongs to the window of the tick before
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

  /** Merges a window of this length or shorter into its window. The caller must not use it afterwards. */
  addWindow(part: CandleWindow): void {
    const openTime = openTimeOf(part.openTime, this.#interval);
    const window = this.get(openTime);
    if (window !== undefined) mergeWindow(window, part);
    else this.set(openTime, part.openTime === openTime ? part : { ...part, openTime });
  }
}

/** How many windows of a product are cached: nearly every tick changes one of the newest. */
const CACHED_WINDOWS = 16;

/** The cache of one product. */
interface Cache {
  /** `openTime` of the newest stored window, ms; -Infinity if there is none. */
  newest: number;
  readonly windows: Map<number, CandleWindow>;
}

/** Writes the candles of one length. Nothing else may write to the table meanwhile. */
export class CandleTable {
  readonly #length: StoredInterval;
  readonly #put: StatementSync;
  readonly #get: RowStatement;
  readonly #newest: RowStatement;
  readonly #caches = new Map<number, Cache>();

  /** The table must exist. */
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

  /** Clears the cache after a rollback. */
  forget(): void {
    this.#caches.clear();
  }

  /** Merges windows of a product, of this length or shorter, into the stored ones. The caller must not use them afterwards. */
  merge(product: number, parts: Iterable<CandleWindow>): void {
    const cache = this.#cacheOf(product);
    const changed = new Set<CandleWindow>();
    for (const part of parts) {
      const openTime = openTimeOf(part.openTime, this.#length);
      let window = cache.windows.get(openTime) ?? this.#read(product, openTime, cache);
      if (window === undefined) {
        window = { ...part, openTime };
        cache.newest = Math.max(cache.newest, openTime);
      } else mergeWindow(window, part);
      cache.windows.set(openTime, window);
      changed.add(window);
    }
    for (const window of changed) this.#write(product, window);
    if (cache.windows.size > CACHED_WINDOWS) {
      const oldest = [...cache.windows.keys()].sort((a, b) => a - b).slice(0, -CACHED_WINDOWS / 2);
      for (const openTime of oldest) cache.windows.delete(openTime);
    }
  }

  #cacheOf(product: number): Cache {
    let cache = this.#caches.get(product);
    if (cache === undefined) {
      const [newest] = this.#newest.get(product) ?? [];
      cache = { newest: typeof newest === "number" ? newest * 1000 : -Infinity, windows: new Map() };
      this.#caches.set(product, cache);
    }
    return cache;
  }

  #read(product: number, openTime: number, cache: Cache): CandleWindow | undefined {
    if (openTime > cache.newest) return undefined;
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

/** Ticks that are read at once. */
const CHUNK = 10_000;

/** Makes the candles of all stored ticks. The tables of candles must be empty. */
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
