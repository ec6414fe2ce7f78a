// Statements whose rows are arrays, which take half the time of objects. The types of Deno 2.9 lack them.

import type { DatabaseSync, SQLInputValue } from "node:sqlite";

/** The values of a row, one per column. */
export type Row = (number | string | null)[];

/** A prepared statement. */
export interface RowStatement<T extends Row = Row> {
  /** All rows. */
  all(...values: SQLInputValue[]): T[];
  /** The first row. */
  get(...values: SQLInputValue[]): T | undefined;
}

/** Prepares a statement. */
export function prepareRows<T extends Row = Row>(db: DatabaseSync, sql: string): RowStatement<T> {
  const statement = db.prepare(sql) as unknown as RowStatement<T> & { setReturnArrays(enabled: boolean): void };
  statement.setReturnArrays(true);
  return statement;
}
