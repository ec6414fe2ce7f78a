// `deno task export`: ticks, candles or gaps of the store as text, also while the program writes.

import { choiceOf, readArguments } from "../config/arguments.ts";
import { type Interval, intervalMs, INTERVALS } from "../core/candle.ts";
import { ConfigError, reasonOf, SinkError } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import { type Output, TIME_WISH, timeOf } from "../core/terminal.ts";
import { openForReading } from "../store/database.ts";
import { Queries } from "../store/queries.ts";
import type { ProductKey } from "../store/reader.ts";
import { closeQuietly, storeErrorOf } from "../store/store_error.ts";
import { asksForHelp } from "./command.ts";
import { storeFileOf } from "./store_file.ts";

const WHATS = ["ticks", "candles", "gaps"] as const;
const FORMATS = ["csv", "jsonl"] as const;

/** How `deno task export` is used. */
export const EXPORT_USAGE = `Usage: deno task export [options] > FILE

  --what ${WHATS.join("|")}       what to write; default ticks
  --product NAME[,NAME]          only these products, named as in records (BTC-USD, kraken:BTC/USD); default all
  --from TIME, --to TIME         from included, to excluded: unix seconds or a date (2026-10-03 or 2026-10-03T21:00:00Z)
  --interval ${INTERVALS.join("|")}
                                 interval of the candles; default 1m
  --format ${FORMATS.join("|")}             default csv
  --file FILE                    the store; default: the setting STORE_FILE
`;

/** Characters that are written at once. */
const CHUNK_CHARS = 65_536;
/** Candles that are read at once. */
const CANDLES_AT_ONCE = 5000;

type What = typeof WHATS[number];
type Format = typeof FORMATS[number];

interface ExportOptions {
  readonly file: string;
  readonly what: What;
  readonly format: Format;
  readonly interval: Interval;
  readonly products: readonly string[] | undefined;
  readonly from: number | undefined;
  readonly to: number | undefined;
}

function readExport(args: readonly string[], storeFile: string): ExportOptions {
  const names = ["--what", "--product", "--from", "--to", "--interval", "--format", "--file"];
  const given = readArguments(args, { values: names, takesWords: true });
  const { options, problems } = given;
  for (const word of given.words) problems.push(`Cannot use "${word}": expected only options (see --help)`);
  const time = (name: string) => {
    const text = options.get(name);
    if (text === undefined) return undefined;
    const value = timeOf(text);
    if (Number.isNaN(value)) {
      problems.push(
        `Cannot use ${name}: expected ${TIME_WISH}, got "${text}"`,
      );
    }
    return value;
  };
  const what = choiceOf(given, "--what", WHATS, "ticks");
  const format = choiceOf(given, "--format", FORMATS, "csv");
  const interval = choiceOf(given, "--interval", INTERVALS, "1m");
  if (what !== "candles" && options.has("--interval")) {
    problems.push(`Cannot use --interval: expected --what candles, got ${what}`);
  }
  const from = time("--from"), to = time("--to");
  if (from !== undefined && to !== undefined && from >= to) {
    problems.push(
      `Cannot use --to: expected a time after --from "${options.get("--from")}", got "${options.get("--to")}"`,
    );
  }
  const products = options.get("--product")?.split(",").filter((name) => name !== "");
  const file = storeFileOf(given, storeFile, "export");
  if (problems.length > 0) throw new ConfigError(problems);
  return { file, what, format, interval, products, from, to };
}

type Value = string | number | boolean | null | undefined;

function csvOf(value: Value): string {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The rows to write, a page at a time. All rows have the same names in the same order. */
function* rowsOf(
  queries: Queries,
  options: ExportOptions,
  keys: readonly ProductKey[],
  now: number,
): Generator<Record<string, Value>[]> {
  const { what, interval, from, to } = options;
  const range = { from, to };
  if (what === "gaps" && options.products === undefined) {
    for (const page of queries.gapPages(undefined, range)) yield page.map(gapRow);
    return;
  }
  for (const key of keys) {
    const product = seriesOf(key.exchange, key.product);
    switch (what) {
      case "ticks":
        for (const page of queries.tickPages(key, range)) {
          yield page.map((tick) => ({
            product,
            w_time: tick.recordTimeUs / 1e6,
            price: tick.price,
            time: tick.exchangeTimeUs / 1e6,
            sequence: tick.sequence,
            size: tick.lastSize,
            side: tick.side,
            trade: tick.tradeId,
            received: tick.receivedTime / 1000,
          }));
        }
        break;
      case "candles":
        for (let start = from ?? 0;;) {
          const page = queries.candles(key, interval, { from: start, to, limit: CANDLES_AT_ONCE }, now);
          yield page.map((candle) => ({
            product,
            interval,
            time: candle.openTime / 1000,
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            ticks: candle.ticks,
            volume: candle.volume,
            running: candle.running,
            incomplete: candle.incomplete,
          }));
          const last = page.at(-1);
          if (last === undefined || page.length < CANDLES_AT_ONCE) break;
          start = (last.openTime + intervalMs(interval)) / 1000;
        }
        break;
      case "gaps":
        for (const page of queries.gapPages(key, range)) yield page.map(gapRow);
        break;
    }
  }
}

function gapRow(gap: ReturnType<Queries["gaps"]>[number]): Record<string, Value> {
  const { exchange, product, opened, from, to, reason, dropped, missed } = gap;
  return { exchange, product: seriesOf(exchange, product), opened, from, to, reason, dropped, missed };
}

const HEADINGS: Readonly<Record<What, string>> = {
  ticks: "product,w_time,price,time,sequence,size,side,trade,received",
  candles: "product,interval,time,open,high,low,close,ticks,volume,running,incomplete",
  gaps: "exchange,product,opened,from,to,reason,dropped,missed",
};

/**
 * `deno task export`. Throws a ConfigError with all problems of the arguments, a SinkError if the store cannot be read or the text
 * cannot be written.
 *
 * @param storeFile the setting STORE_FILE
 * @param now wall clock, ms: whether a candle still runs
 */
export async function exportStore(
  args: readonly string[],
  storeFile: string,
  output: Output,
  now: number,
): Promise<void> {
  if (asksForHelp(args)) return await output.write(EXPORT_USAGE);
  const options = readExport(args, storeFile);
  const db = openForReading(options.file);
  try {
    const queries = new Queries(db);
    const keys = chooseProducts(queries.products(), options.products);
    const write = (text: string) =>
      output.write(text).catch((error) => {
        // the reader has seen enough (`... | head`)
        if (error instanceof Deno.errors.BrokenPipe || error instanceof TypeError) throw error;
        throw new SinkError("fatal", `Cannot write the export to stdout: ${reasonOf(error)}`, {
          cause: error,
        });
      });
    let text = options.format === "csv" ? `${HEADINGS[options.what]}\n` : "";
    for (const page of rowsOf(queries, options, keys, now)) {
      for (const row of page) {
        text += options.format === "csv" ? `${Object.values(row).map(csvOf).join(",")}\n` : `${JSON.stringify(row)}\n`;
        if (text.length < CHUNK_CHARS) continue;
        await write(text);
        text = "";
      }
    }
    if (text !== "") await write(text);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return;
    throw storeErrorOf(error, `export the store ${options.file}`);
  } finally {
    closeQuietly(db);
  }
}

function chooseProducts(known: readonly ProductKey[], wanted: readonly string[] | undefined): ProductKey[] {
  if (wanted === undefined) return [...known];
  const bySeries = new Map(known.map((key) => [seriesOf(key.exchange, key.product), key]));
  const unknown = wanted.filter((name) => !bySeries.has(name));
  if (unknown.length > 0) {
    const names = [...bySeries.keys()].slice(0, 20).join(", ");
    throw new ConfigError(
      unknown.map((name) =>
        `Cannot use --product: expected a product of the store (${names === "" ? "it has none" : names}), got "${name}"`
      ),
    );
  }
  return wanted.flatMap((name) => bySeries.get(name) ?? []);
}
