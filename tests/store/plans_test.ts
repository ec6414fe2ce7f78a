// The query plans of all statements: none may take longer because the store is larger.

import { assert, assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { clean } from "../../src/store/cleaner.ts";
import { openDatabase } from "../../src/store/database.ts";
import { pack } from "../../src/store/packing.ts";
import { Queries } from "../../src/store/queries.ts";
import { Writer } from "../../src/store/writer.ts";
import { makeGap } from "../fakes/events.ts";
import { Notebook } from "../fakes/log.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { filesSkipped, temporaryFolder } from "./files.ts";

const skipped = filesSkipped();
const DAY_MS = 86_400_000;

/** All statements that are prepared or run by `use`. */
function statementsOf(use: () => void): Set<string> {
  const statements = new Set<string>();
  const prototype = DatabaseSync.prototype;
  const { prepare, exec } = prototype;
  prototype.prepare = function (sql, ...more) {
    statements.add(sql);
    return prepare.call(this, sql, ...more);
  };
  prototype.exec = function (sql) {
    statements.add(sql);
    return exec.call(this, sql);
  };
  try {
    use();
  } finally {
    Object.assign(prototype, { prepare, exec });
  }
  return statements;
}

/** One life of a store: made, opened again, written to, asked and cleaned. */
function live(path: string): void {
  for (const run of [0, 1]) {
    const { db, close } = openDatabase(path, { log: new Notebook(), now: Date.now });
    const writer = new Writer(db, { now: () => DAY_MS });
    const first = 1 + 5000 * run;
    writer.write(pack([...ticksOf("BTC-USD", 3000, first), ...ticksOf("ETH-USD", 10, first), makeGap({ to: null })]));
    // late, our clock set back, and what an earlier run has left open
    const restart = makeGap({ opened: 1e9 + run, reason: "restart", from: 1, to: 1e9 + run });
    writer.write(pack([...ticksOf("BTC-USD", 3, first - 10), restart]));
    const queries = new Queries(db);
    const key = { exchange: "coinbase", product: "BTC-USD" };
    queries.lastTicks();
    queries.gapNames(10);
    queries.since([key], 1000, 100_000);
    for (const range of [{}, { from: 60 }, { to: 3000 }, { from: 60, to: 3000 }]) {
      for (const interval of ["1s", "5s", "15m", "1d"] as const) {
        queries.candles(key, interval, { ...range, limit: 10 }, DAY_MS);
      }
      queries.ticks(key, { ...range, limit: 10 });
      for (const only of [key, undefined]) {
        queries.gaps(only, { ...range, limit: 10 });
        Array.from(queries.gapPages(only, range));
      }
      Array.from(queries.tickPages(key, range));
    }
    Array.from(clean(db, { ticksDays: 0.01, candlesDays: 0.02 }, DAY_MS, () => {}));
    close();
  }
}

/** Steps that read a table of ticks or candles without an equality on its key, or sort what they have read. */
function slowSteps(db: DatabaseSync, sql: string): string[] {
  const tables = /\b(?:tick|candle_\w+)\b(?: (?:AS )?(?!WHERE|ON|SET|ORDER|JOIN|GROUP)(\w+))?/gi;
  const names = [...sql.matchAll(tables)].map(([table, alias]) => alias ?? table);
  const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all().map(({ detail }) => String(detail));
  return plan.filter((step) => {
    const [, name = ""] = /^(?:SCAN|SEARCH) (\w+)/.exec(step) ?? [];
    return names.includes(name) ? !/\(product=\?/.test(step) : names.length > 0 && step.includes("TEMP B-TREE");
  });
}

Deno.test({
  name: `no statement of the store reads all ticks or all candles, or sorts them${
    skipped === undefined ? "" : ` [skipped: ${skipped}]`
  }`,
  ignore: skipped !== undefined,
  async fn() {
    await using folder = await temporaryFolder();
    const path = `${folder.path}/prices.sqlite`;
    const statements = [...statementsOf(() => live(path))]
      .filter((sql) => /^(?:SELECT|INSERT|REPLACE|UPDATE|DELETE)\b/.test(sql));
    using db = new DatabaseSync(path);
    const slow = statements.flatMap((sql) => slowSteps(db, sql).map((step) => `${step}: ${sql}`));
    assertEquals(slow, []);
    // what is looked for is found, and the statements were seen
    assert(statements.length > 30, String(statements.length));
    for (
      const sql of [
        "SELECT max(t.received_ms) FROM product p JOIN tick t ON t.product = p.id AND t.sequence = 1",
        "SELECT * FROM tick ORDER BY price",
        "SELECT product, max(open_time) FROM candle_1m GROUP BY product",
      ]
    ) assert(slowSteps(db, sql).length > 0, sql);
  },
});
