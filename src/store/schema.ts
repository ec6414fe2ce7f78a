// Tables, views, and the migrations that make them.

import type { DatabaseSync } from "node:sqlite";
import { foldTicks, STORED_INTERVALS } from "./candle_table.ts";

/** `feed` in ASCII: distinguishes our files from other SQLite databases. */
export const APPLICATION_ID = 0x66656564;

/** `feeb` in ASCII: backups of earlier versions have it in place of {@link APPLICATION_ID}. */
export const OLD_BACKUP_ID = 0x66656562;

/** Tables have singular names and are for the program; views have plural names and are for people. */
const FIRST = `
CREATE TABLE product (
  id         INTEGER PRIMARY KEY,
  exchange   TEXT NOT NULL,
  product    TEXT NOT NULL,
  open24h    REAL,                        -- the newest value
  ticks_from INTEGER NOT NULL DEFAULT 0,  -- unix seconds, a whole minute: older ticks are no longer kept
  cleaned_to INTEGER NOT NULL DEFAULT 0,  -- the same: older ticks have been deleted
  UNIQUE (exchange, product)
) STRICT;

CREATE TABLE tick (
  product          INTEGER NOT NULL,      -- product.id
  sequence         INTEGER NOT NULL,
  price            REAL NOT NULL,
  exchange_time_us INTEGER NOT NULL,      -- microseconds since the epoch
  received_ms      NUMERIC NOT NULL,      -- our clock, ms since the epoch
  record_shift_us  INTEGER NOT NULL,      -- w_time of the record minus exchange_time_us
  trade_id         INTEGER,
  size             REAL,
  buy              INTEGER,               -- 1: the taker bought, 0: the taker sold
  PRIMARY KEY (product, sequence)
) WITHOUT ROWID;

CREATE TABLE gap (
  product    INTEGER NOT NULL,            -- product.id
  opened     REAL NOT NULL,               -- unix seconds, like all times of a gap
  from_time  REAL,
  to_time    REAL,
  reason     TEXT NOT NULL,
  dropped    INTEGER NOT NULL,
  missed     INTEGER NOT NULL,
  written_ms INTEGER NOT NULL,            -- our clock, ms since the epoch
  PRIMARY KEY (product, opened)
) STRICT, WITHOUT ROWID;
CREATE INDEX gap_opened ON gap (opened);
CREATE INDEX gap_written ON gap (written_ms);
CREATE INDEX gap_open ON gap (product) WHERE to_time IS NULL;

-- our clock was set back from before_ms to after_ms
CREATE TABLE clock_step (
  before_ms REAL NOT NULL,
  after_ms  REAL NOT NULL
) STRICT;

CREATE VIEW prices AS
SELECT iif(exchange = 'coinbase', '', exchange || ':') || p.product AS product,
  strftime('%Y-%m-%d %H:%M:%f', exchange_time_us / 1e6, 'unixepoch') AS time, price, size,
  CASE buy WHEN 1 THEN 'buy' WHEN 0 THEN 'sell' END AS side, sequence, trade_id,
  (exchange_time_us + record_shift_us) / 1e6 AS w_time
FROM tick JOIN product p ON p.id = tick.product;

CREATE VIEW gaps AS
SELECT iif(exchange = 'coinbase', '', exchange || ':') || p.product AS product,
  strftime('%Y-%m-%d %H:%M:%f', opened, 'unixepoch') AS opened,
  strftime('%Y-%m-%d %H:%M:%f', from_time, 'unixepoch') AS "from",
  strftime('%Y-%m-%d %H:%M:%f', to_time, 'unixepoch') AS "to", reason, dropped, missed
FROM gap JOIN product p ON p.id = gap.product;
`;

function candleTable(length: string): string {
  return `
CREATE TABLE candle_${length} (
  product        INTEGER NOT NULL,        -- product.id
  open_time      INTEGER NOT NULL,        -- unix seconds
  origin         TEXT NOT NULL,           -- always ticks; exchange is reserved for candles of the exchange itself
  open           REAL NOT NULL,
  high           REAL NOT NULL,
  low            REAL NOT NULL,
  close          REAL NOT NULL,
  ticks          INTEGER NOT NULL,
  volume         TEXT,                    -- an exact decimal; null if a tick had no size
  first_us       INTEGER NOT NULL,        -- time of the tick of open, microseconds after open_time
  first_sequence INTEGER NOT NULL,
  last_us        INTEGER NOT NULL,        -- the same of the tick of close
  last_sequence  INTEGER NOT NULL,
  low_sequence   INTEGER NOT NULL,        -- the sequences of its ticks are between these two
  high_sequence  INTEGER NOT NULL,
  PRIMARY KEY (product, open_time, origin),
  CHECK (origin IN ('ticks', 'exchange'))
) STRICT, WITHOUT ROWID;`;
}

const CANDLES = STORED_INTERVALS.map(candleTable).join("\n") + `
CREATE VIEW candles AS
${
  STORED_INTERVALS.map((length) =>
    `SELECT iif(exchange = 'coinbase', '', exchange || ':') || p.product AS product, '${length}' AS interval,
  strftime('%Y-%m-%d %H:%M:%S', open_time, 'unixepoch') AS time, open, high, low, close, ticks,
  CAST(volume AS REAL) AS volume, origin
FROM candle_${length} c JOIN product p ON p.id = c.product`
  ).join("\nUNION ALL\n")
};
`;

/** Step `n` migrates version `n` to the next one. A new file takes all steps. Steps are never changed, only added. */
export const STEPS: readonly ((db: DatabaseSync) => void)[] = [
  (db) => db.exec(FIRST),
  (db) => {
    db.exec(CANDLES);
    foldTicks(db);
  },
];

/** The newest version, which this program writes. */
export const VERSION: number = STEPS.length;

/** The number that a pragma returns. */
export function pragma(db: DatabaseSync, name: string): number {
  return Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
}

/** Migrates the database to this version, each step in its own transaction. Returns the version that it had. */
export function migrate(db: DatabaseSync, version: number = VERSION): number {
  const found = pragma(db, "user_version");
  for (const [i, step] of STEPS.slice(0, version).entries()) {
    if (i < found) continue;
    db.exec("BEGIN IMMEDIATE");
    try {
      step(db);
      db.exec(`PRAGMA user_version = ${i + 1}`);
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
      db.exec("COMMIT");
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    }
  }
  return found;
}
