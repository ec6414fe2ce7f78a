// Writes ticks, candles and gaps, synchronously, on one connection.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Gap } from "../core/record.ts";
import { BUY, COLUMNS, type PackedBatch, PRICE, RECEIVED, SEQUENCE, SHIFT, SIZE, TIME, TRADE } from "./packing.ts";
import { CandleTable, STORED_INTERVALS, WindowMap } from "./candle_table.ts";

/** Options of {@link Writer}. */
export interface WriterOptions {
  /** Wall clock, ms. */
  readonly now: () => number;
  /** The file replaces one that was lost: with the first tick of each product, a gap declares that everything before it is missing. */
  readonly replaces?: boolean;
  /** Called with each gap that the writer declares, once it is committed. */
  readonly onGap?: (gap: Gap) => void;
}

/** What the writer remembers of a product. */
interface Product {
  readonly id: number;
  /** The highest sequence of its stored ticks; -1 if there are none. */
  maxSequence: number;
  /** Ticks before this time are no longer kept, microseconds. */
  readonly fromUs: number;
  open24h: number;
  /** Everything before its first tick is missing, and that is not declared yet. */
  undeclared: boolean;
}

/** Rows of the INSERT statements, most first: one statement with 64 rows takes half the time of 64 statements. */
const ROWS_AT_ONCE = [64, 8, 1] as const;

function insertOf(rows: number): string {
  const row = `(${Array(COLUMNS).fill("?").join(", ")})`;
  return `INSERT INTO tick (product, sequence, price, exchange_time_us, received_ms, record_shift_us, trade_id, size, buy) ` +
    `VALUES ${Array(rows).fill(row).join(", ")}`;
}

/** Runs the function in one transaction, which is rolled back if it throws. */
export function inTransaction<T>(db: DatabaseSync, fn: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = fn();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    try {
      if (db.isTransaction) db.exec("ROLLBACK");
    } catch {
      // the first error says why
    }
    throw error;
  }
}

/** Writes to a database. Nothing else may write to it meanwhile. */
export class Writer {
  readonly #db: DatabaseSync;
  readonly #options: WriterOptions;
  readonly #inserts: readonly { readonly rows: number; readonly statement: StatementSync }[];
  readonly #insertLate: StatementSync;
  readonly #findProduct: StatementSync;
  readonly #addProduct: StatementSync;
  readonly #maxSequence: StatementSync;
  readonly #setOpen24h: StatementSync;
  readonly #putGap: StatementSync;
  readonly #endGap: StatementSync;
  readonly #addClockStep: StatementSync;
  readonly #candles: readonly CandleTable[];
  readonly #products = new Map<string, Product>();
  /** `opened` of the gaps that an earlier run left open, by product id; read with the first gap. */
  #leftOpen: Map<number, number[]> | undefined;
  /** `receivedTime` of the last tick, ms. */
  #received: number | undefined;
  /** Rows to be inserted. */
  #values: (number | null)[] = [];
  /** Gaps that the writer has declared in the current transaction. */
  #declared: Gap[] = [];

  /** The database must have the newest schema. */
  constructor(db: DatabaseSync, options: WriterOptions) {
    this.#db = db;
    this.#options = options;
    this.#inserts = ROWS_AT_ONCE.map((rows) => ({ rows, statement: db.prepare(insertOf(rows)) }));
    this.#insertLate = db.prepare(insertOf(1).replace("INSERT", "INSERT OR IGNORE"));
    this.#findProduct = db.prepare("SELECT id, ticks_from, open24h FROM product WHERE exchange = ? AND product = ?");
    this.#addProduct = db.prepare("INSERT INTO product (exchange, product) VALUES (?, ?)");
    this.#maxSequence = db.prepare("SELECT max(sequence) AS sequence FROM tick WHERE product = ?");
    this.#setOpen24h = db.prepare("UPDATE product SET open24h = ? WHERE id = ?");
    this.#putGap = db.prepare("REPLACE INTO gap VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    this.#endGap = db.prepare(
      "UPDATE gap SET to_time = max(coalesce(from_time, ?1), ?1), " +
        "missed = missed AND (?2 IS NULL OR coalesce(from_time < ?2, 1)), written_ms = ?3 " +
        "WHERE product = ?4 AND opened = ?5 AND to_time IS NULL",
    );
    this.#addClockStep = db.prepare("INSERT INTO clock_step VALUES (?, ?)");
    this.#candles = STORED_INTERVALS.map((length) => new CandleTable(db, length));
  }

  /** Stores the batch in one transaction. Returns how many ticks were new. Throws what SQLite throws; then nothing is stored. */
  write(batch: PackedBatch): number {
    const received = this.#received;
    this.#declared = [];
    try {
      const stored = inTransaction(this.#db, () => {
        const stored = this.#writeTicks(batch);
        for (const gap of batch.gaps) this.#writeGap(gap);
        return stored;
      });
      for (const gap of this.#declared) this.#options.onGap?.(gap);
      return stored;
    } catch (error) {
      this.forget();
      this.#received = received;
      throw error;
    }
  }

  /** Forgets what the writer remembers of the database, because it may have changed. */
  forget(): void {
    this.#products.clear();
    for (const table of this.#candles) table.forget();
    this.#leftOpen = undefined;
    this.#values = [];
  }

  #productOf(exchange: string, name: string): Product {
    const key = `${exchange}:${name}`;
    const known = this.#products.get(key);
    if (known !== undefined) return known;
    const row = this.#findProduct.get(exchange, name);
    const isNew = row === undefined;
    const id = isNew ? Number(this.#addProduct.run(exchange, name).lastInsertRowid) : Number(row.id);
    const product: Product = {
      id,
      maxSequence: Number(this.#maxSequence.get(id)?.sequence ?? -1),
      fromUs: Number(row?.ticks_from ?? 0) * 1e6,
      open24h: Number(row?.open24h ?? NaN),
      undeclared: isNew && this.#options.replaces === true,
    };
    this.#products.set(key, product);
    return product;
  }

  #writeTicks({ series, open24h, ticks }: PackedBatch): number {
    if (ticks.length === 0) return 0;
    const offsets: number[][] = open24h.map(() => []);
    let stepFrom = -Infinity, stepTo = Infinity;
    // of an earlier run, only the newest tick of each product is known
    let received = this.#received ??= this.#lastReceived();
    for (let at = 0; at < ticks.length; at += COLUMNS) {
      offsets[ticks[at] as number]?.push(at);
      const arrived = ticks[at + RECEIVED] as number;
      if (arrived < received) {
        stepFrom = Math.max(stepFrom, received);
        stepTo = Math.min(stepTo, arrived);
      }
      received = arrived;
    }
    this.#received = received;
    if (stepFrom > -Infinity) this.#addClockStep.run(stepFrom, stepTo);

    let stored = 0;
    for (const [index, own] of offsets.entries()) {
      const [exchange, name] = [series[2 * index] as string, series[2 * index + 1] as string];
      const product = this.#productOf(exchange, name);
      if (product.undeclared) this.#declareLoss(product, exchange, name, ticks, own[0] as number);
      stored += this.#writeProduct(product, ticks, own);
      const open = open24h[index] as number;
      if (!Number.isNaN(open) && open !== product.open24h) {
        this.#setOpen24h.run(open, product.id);
        product.open24h = open;
      }
    }
    this.#flush();
    return stored;
  }

  /** The ticks of one product, and what they change in its candles. */
  #writeProduct(product: Product, ticks: Float64Array, offsets: number[]): number {
    const sequenceAt = (at: number) => ticks[at + SEQUENCE] as number;
    let before = -1;
    for (const at of offsets) {
      if (sequenceAt(at) < before) {
        // a tick above the highest stored sequence is new without a look-up, so the lowest come first
        offsets.sort((a, b) => sequenceAt(a) - sequenceAt(b));
        break;
      }
      before = sequenceAt(at);
    }
    const windows = new WindowMap(STORED_INTERVALS[0]);
    let stored = 0;
    for (const at of offsets) {
      const exchangeTimeUs = ticks[at + TIME] as number;
      // it may have been stored and deleted
      if (exchangeTimeUs < product.fromUs) continue;
      const sequence = sequenceAt(at);
      if (sequence > product.maxSequence) {
        this.#insert(product.id, ticks, at);
        product.maxSequence = sequence;
      } else if (sequence === product.maxSequence || !this.#insertIfNew(product.id, ticks, at)) {
        continue;
      }
      const size = ticks[at + SIZE] as number;
      windows.addTick({
        sequence,
        price: ticks[at + PRICE] as number,
        exchangeTimeUs,
        lastSize: Number.isNaN(size) ? undefined : size,
      });
      stored++;
    }
    if (stored > 0) { for (const table of this.#candles) table.merge(product.id, windows.values()); }
    return stored;
  }

  #insert(product: number, ticks: Float64Array, at: number): void {
    const values = this.#values;
    const trade = ticks[at + TRADE] as number, size = ticks[at + SIZE] as number, buy = ticks[at + BUY] as number;
    values.push(
      product,
      ticks[at + SEQUENCE] as number,
      ticks[at + PRICE] as number,
      ticks[at + TIME] as number,
      ticks[at + RECEIVED] as number,
      ticks[at + SHIFT] as number,
      trade === trade ? trade : null,
      size === size ? size : null,
      buy === buy ? buy : null,
    );
    if (values.length === ROWS_AT_ONCE[0] * COLUMNS) this.#flush();
  }

  #flush(): void {
    let from = 0;
    for (const { rows, statement } of this.#inserts) {
      const count = rows * COLUMNS;
      while (this.#values.length - from >= count) {
        statement.run(
          ...(from === 0 && this.#values.length === count ? this.#values : this.#values.slice(from, from + count)),
        );
        from += count;
      }
    }
    this.#values = [];
  }

  #insertIfNew(product: number, ticks: Float64Array, at: number): boolean {
    const values = Array.from(ticks.subarray(at, at + COLUMNS), (value) => Number.isNaN(value) ? null : value);
    values[0] = product;
    return Number(this.#insertLate.run(...values).changes) === 1;
  }

  #declareLoss(product: Product, exchange: string, name: string, ticks: Float64Array, at: number): void {
    const now = this.#options.now();
    const to = ((ticks[at + TIME] as number) + (ticks[at + SHIFT] as number)) / 1e6;
    // half a millisecond: the pipeline gives no gap such a name
    const opened = (Math.floor(now) + 0.5) / 1000;
    const [reason, dropped, missed] = ["store-failed", 0, true] as const;
    this.#putGap.run(product.id, opened, null, to, reason, dropped, Number(missed), now);
    this.#declared.push({ kind: "gap", exchange, product: name, opened, from: null, to, reason, dropped, missed });
    product.undeclared = false;
  }

  #writeGap({ exchange, product: name, opened, from, to, reason, dropped, missed }: Gap): void {
    const { id } = this.#productOf(exchange, name);
    const now = this.#options.now();
    this.#leftOpen ??= this.#readLeftOpen();
    this.#putGap.run(id, opened, from, to, reason, dropped, missed ? 1 : 0, now);
    const leftOpen = this.#leftOpen.get(id);
    if (leftOpen === undefined) return;
    // a gap that this run writes is not one of the earlier run
    const others = leftOpen.filter((other) => other !== opened);
    this.#leftOpen.set(id, others);
    if (reason !== "restart" || to === null) return;
    // the earlier run could not write the end of its gaps: they end where this run has data again
    for (const other of others) this.#endGap.run(to, missed ? null : from, now, id, other);
    this.#leftOpen.delete(id);
  }

  #readLeftOpen(): Map<number, number[]> {
    const leftOpen = new Map<number, number[]>();
    for (const row of this.#db.prepare("SELECT product, opened FROM gap WHERE to_time IS NULL").all()) {
      const opened = leftOpen.get(Number(row.product)) ?? [];
      leftOpen.set(Number(row.product), [...opened, Number(row.opened)]);
    }
    return leftOpen;
  }

  #lastReceived(): number {
    const row = this.#db.prepare(
      // CROSS: otherwise SQLite reads all ticks and looks up the product of each
      "SELECT max(t.received_ms) AS received FROM product p CROSS JOIN tick t ON t.product = p.id AND t.sequence = " +
        "(SELECT last_sequence FROM candle_1m WHERE product = p.id AND origin = 'ticks' ORDER BY open_time DESC LIMIT 1)",
    ).get();
    return Number(row?.received ?? -Infinity);
  }
}
