// The thread that reads, so that a long query delays no write.

import { SinkError } from "../core/errors.ts";
import { openForReading } from "./database.ts";
import { packCandles } from "./packing.ts";
import { Queries } from "./queries.ts";
import { log, serve } from "./rpc.ts";
import { closeQuietly, isDamage, isLocked, storeErrorOf } from "./store_error.ts";

/** The file to read. */
export interface ReadSource {
  /** The file. */
  readonly path: string;
  /** How often this program has opened it for writing: after a change it is opened anew. Undefined if it only reads. */
  readonly generation: number | undefined;
}

/** Names of the queries. */
export const QUERIES = ["lastTicks", "ticks", "gaps", "gapNames", "since"] as const;
/** The queries that the reading thread answers. */
export type QueryName = typeof QUERIES[number];

/** See {@link Thread}: the methods of Queries, with the file as first argument. Ticks and candles are packed. */
export type ReaderMethods =
  & { [Q in QueryName]: (source: ReadSource, ...args: Parameters<Queries[Q]>) => ReturnType<Queries[Q]> }
  & {
    candles(source: ReadSource, ...args: Parameters<Queries["candles"]>): Float64Array;
    close(): void;
  };

let open: { db: ReturnType<typeof openForReading>; queries: Queries; generation: number | undefined } | undefined;

function close(): void {
  if (open !== undefined) closeQuietly(open.db);
  open = undefined;
}

function queriesOf({ path, generation }: ReadSource): Queries {
  if (open !== undefined && open.generation !== generation) close();
  if (open === undefined) {
    // until then it may be another file
    if (generation === 0) {
      throw new SinkError("retry", `Cannot read the store ${path}: this program could not open it yet`);
    }
    const db = openForReading(path, generation !== undefined);
    open = { db, queries: new Queries(db), generation };
  }
  return open.queries;
}

function run<T>(source: ReadSource, query: (queries: Queries) => T): T {
  const { path } = source;
  const queries = queriesOf(source);
  try {
    return query(queries);
  } catch (error) {
    if (!isLocked(error)) close();
    // writing continues in the parts that are not damaged
    if (isDamage(error)) log.error("A part of the store is damaged and cannot be read", { path });
    throw storeErrorOf(error, `read the store ${path}`);
  }
}

const queries = Object.fromEntries(QUERIES.map((name) => [
  name,
  (source: ReadSource, ...args: never[]) => run(source, (queries) => Reflect.apply(queries[name], queries, args)),
]));

serve({
  ...queries,
  candles: (source, ...args) => packCandles(run(source, (queries) => queries.candles(...args))),
  close,
} as ReaderMethods);
