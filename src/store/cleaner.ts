// Deletes what is too old, in steps so small that no write waits long for one.

import type { DatabaseSync } from "node:sqlite";
import { pragma } from "./schema.ts";
import { prepareRows } from "./statements.ts";
import { inTransaction } from "./writer.ts";

/** How long ticks, candles and gaps are kept. */
export interface Retention {
  /** Ticks, days; 0: for ever. */
  readonly ticksDays: number;
  /** Candles and gaps, days; 0: for ever. They are kept at least as long as the ticks, which are found through their candle. */
  readonly candlesDays: number;
}

const DAY_S = 86_400;
/** Rows that one step deletes, in about 1 ms. */
const ROWS = 250;
/** Pages that one step gives back to the file system. */
const PAGES = 64;
/** Free pages that stay in the file for new rows: this number, or this part of the file if that is more. */
const SPARE_PAGES = 256;
const SPARE_PART = 0.1;

/**
 * One round of cleaning. Each step is one transaction; the caller can do other work between two steps.
 *
 * @param onForget called when older ticks are no longer accepted: what the writer remembers of the products is out of date
 */
export function* clean(
  db: DatabaseSync,
  { ticksDays, candlesDays }: Retention,
  now: number,
  onForget: () => void,
): Generator<void> {
  if (ticksDays > 0) {
    // before anything is deleted: a repeat of a deleted tick must not be counted again
    const keepFrom = Math.floor((now / 1000 - ticksDays * DAY_S) / 60) * 60;
    const changed = db.prepare(
      // the minute of the newest tick stays, however old it is: the restart gap of the next start begins there
      "UPDATE product SET ticks_from = min(?1, newest) FROM (SELECT id AS of, (SELECT max(open_time) FROM candle_1m " +
        "WHERE product = p.id AND origin = 'ticks') AS newest FROM product p) WHERE of = id AND min(?1, newest) > ticks_from",
    ).run(keepFrom).changes;
    if (Number(changed) > 0) onForget();
    yield;
    yield* cleanTicks(db);
    db.prepare("DELETE FROM clock_step WHERE before_ms < ?").run(keepFrom * 1000);
    if (candlesDays > 0) yield* cleanCandles(db, Math.floor(now / 1000 - Math.max(candlesDays, ticksDays) * DAY_S));
  }
  yield* shrink(db);
}

function* cleanTicks(db: DatabaseSync): Generator<void> {
  const old = prepareRows<[sequence: number, openTime: number]>(
    db,
    "SELECT t.sequence, m.open_time FROM product p " +
      "CROSS JOIN candle_1m m ON m.product = p.id AND m.origin = 'ticks' " +
      "AND m.open_time >= p.cleaned_to AND m.open_time < p.ticks_from " +
      "CROSS JOIN tick t ON t.product = p.id AND t.sequence BETWEEN m.low_sequence AND m.high_sequence " +
      `AND t.exchange_time_us < (m.open_time + 60) * 1000000 WHERE p.id = ? ORDER BY m.open_time LIMIT ${ROWS}`,
  );
  const removeTicks = db.prepare(
    "DELETE FROM tick WHERE product = ? AND sequence BETWEEN ? AND ? AND exchange_time_us < ?",
  );
  const removeShort = db.prepare(
    "DELETE FROM candle_5s WHERE product = ?1 AND open_time >= (SELECT cleaned_to FROM product WHERE id = ?1) " +
      "AND open_time < ?2",
  );
  const setCleaned = db.prepare("UPDATE product SET cleaned_to = ? WHERE id = ?");
  const products = prepareRows<[number, number]>(
    db,
    "SELECT id, ticks_from FROM product WHERE cleaned_to < ticks_from",
  );
  for (const [id, ticksFrom] of products.all()) {
    let rows: [number, number][];
    do {
      rows = inTransaction(db, () => {
        const rows = old.all(id);
        const sequences = rows.map(([sequence]) => sequence);
        const lastMinute = rows.at(-1)?.[1] ?? ticksFrom;
        removeTicks.run(id, Math.min(...sequences), Math.max(...sequences), (lastMinute + 60) * 1e6);
        // the last minute may have more ticks
        const cleanedTo = rows.length < ROWS ? ticksFrom : lastMinute;
        removeShort.run(id, cleanedTo);
        setCleaned.run(cleanedTo, id);
        return rows;
      });
      yield;
    } while (rows.length === ROWS);
  }
}

function* cleanCandles(db: DatabaseSync, keepFrom: number): Generator<void> {
  const steps = [["candle_1m", 60], ["candle_1h", 3600]].map(([table, length]) =>
    db.prepare(
      `DELETE FROM ${table} WHERE (product, open_time, origin) IN (SELECT product, open_time, origin FROM ${table} ` +
        `WHERE product = ?1 AND open_time <= min(?2, (SELECT cleaned_to FROM product WHERE id = ?1)) - ${length} ` +
        `ORDER BY open_time LIMIT ${ROWS})`,
    )
  );
  for (const [id] of prepareRows<[number]>(db, "SELECT id FROM product").all()) {
    for (const step of steps) {
      while (Number(step.run(id, keepFrom).changes) === ROWS) yield;
    }
    yield;
  }
  const gaps = db.prepare(
    "DELETE FROM gap WHERE (product, opened) IN " +
      `(SELECT product, opened FROM gap WHERE opened < ?1 AND to_time < ?1 ORDER BY opened LIMIT ${ROWS})`,
  );
  while (Number(gaps.run(keepFrom).changes) === ROWS) yield;
}

/** Gives free pages back to the file system; the file becomes shorter with the next checkpoint. */
function* shrink(db: DatabaseSync): Generator<void> {
  const spare = Math.max(SPARE_PAGES, SPARE_PART * pragma(db, "page_count"));
  for (let free = pragma(db, "freelist_count"); free > spare; free -= PAGES) {
    // it frees one page per row that is read, and exec() reads only the first
    db.prepare(`PRAGMA incremental_vacuum(${Math.min(PAGES, Math.ceil(free - spare))})`).all();
    yield;
  }
}
