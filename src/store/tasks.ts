// `deno task export` and `deno task backup`: what stands in the store, as text or as a copy, also while the program writes.

import { backup } from "node:sqlite";
import { type Interval, intervalMs, INTERVALS } from "../core/candle.ts";
import { choiceOf, readArguments } from "../config/arguments.ts";
import { ConfigError, reasonOf, SinkError } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import { type Output, TIME_WISH, timeOf, wrongPath } from "../core/terminal.ts";
import { causeOf, closeQuietly, isDamage, openForReading, storeErrorOf } from "./database.ts";
import { kindOf, markBackup, SQLITE_SUFFIXES } from "./header.ts";
import { Queries } from "./queries.ts";
import type { ProductKey } from "./reader.ts";

const WHATS = ["ticks", "candles", "gaps"] as const;
const FORMATS = ["csv", "jsonl"] as const;

/** How `deno task export` is used. */
export const EXPORT_USAGE = `Usage: deno task export [options] > FILE

  --what ${WHATS.join("|")}       what to write; default ticks
  --product NAME[,NAME]          only these, as records name them (BTC-USD, kraken:BTC/USD); default all
  --from TIME, --to TIME         from included, to excluded: unix seconds, or a date as 2026-10-03 or 2026-10-03T21:00:00Z
  --interval ${INTERVALS.join("|")}
                                 of candles; default 1m
  --format ${FORMATS.join("|")}             default csv
  --file FILE                    the store; default the setting STORE_FILE
`;

/** How `deno task backup` is used. */
export const BACKUP_USAGE = `Usage: deno task backup [options] FILE

Writes a copy of the store to FILE, whole and of one moment, also while the program runs. To go back to it: stop the program, put
the copy where the store was (cp FILE data/prices.sqlite), and start the program before anybody else opens it. The copy bears a
mark: by it the program knows that what an earlier run left beside the store (-wal, -shm) is not of this file, and removes that.

  --overwrite                    FILE may be there already, as a regular file: no device, no link, no running store
  --file FILE                    the store; default the setting STORE_FILE
`;

/** Text that is written at once. */
const CHUNK_CHARS = 65_536;
/** Candles that are read at once. */
const CANDLES_AT_ONCE = 5000;

type What = typeof WHATS[number];
type Format = typeof FORMATS[number];

interface ExportWish {
  readonly file: string;
  readonly what: What;
  readonly format: Format;
  readonly interval: Interval;
  readonly products: readonly string[] | undefined;
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** The store that is meant; what is wrong with its path goes to `problems`. */
function storeOf(options: ReadonlyMap<string, string>, storeFile: string, problems: string[]): string {
  const file = options.get("--file");
  const problem = wrongPath(file === undefined ? "STORE_FILE" : "--file", file ?? storeFile);
  if (problem !== undefined) problems.push(problem);
  return file ?? storeFile;
}

function readExport(args: readonly string[], storeFile: string): ExportWish {
  const names = ["--what", "--product", "--from", "--to", "--interval", "--format", "--file"];
  const given = readArguments(args, { values: names, takesWords: true });
  const { options, problems } = given;
  for (const word of given.words) problems.push(`Cannot use "${word}" as export takes only options: see --help`);
  const time = (name: string) => {
    const text = options.get(name);
    if (text === undefined) return undefined;
    const value = timeOf(text);
    if (Number.isNaN(value)) {
      problems.push(
        `Cannot use ${name} as it must be ${TIME_WISH}: current value is "${text}"`,
      );
    }
    return value;
  };
  const what = choiceOf(given, "--what", WHATS, "ticks");
  const format = choiceOf(given, "--format", FORMATS, "csv");
  const interval = choiceOf(given, "--interval", INTERVALS, "1m");
  if (what !== "candles" && options.has("--interval")) {
    problems.push(`Cannot use --interval as only candles have one: --what is ${what}`);
  }
  const from = time("--from"), to = time("--to");
  if (from !== undefined && to !== undefined && from >= to) {
    problems.push(
      `Cannot use --to as it must be after --from: current values are "${options.get("--to")}" and "${
        options.get("--from")
      }"`,
    );
  }
  const products = options.get("--product")?.split(",").filter((name) => name !== "");
  const file = storeOf(options, storeFile, problems);
  if (file === "") problems.push('Cannot export as a store must be named by STORE_FILE or --file: current value is ""');
  if (problems.length > 0) throw new ConfigError(problems);
  return { file, what, format, interval, products, from, to };
}

type Value = string | number | boolean | null | undefined;

function csvOf(value: Value): string {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The lines of one product, or of all for gaps; each page is an array of rows with the same names in the same order. */
function* rowsOf(
  queries: Queries,
  wish: ExportWish,
  keys: readonly ProductKey[],
  now: number,
): Generator<Record<string, Value>[]> {
  const { what, interval, from, to } = wish;
  const range = { from, to };
  if (what === "gaps" && wish.products === undefined) {
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
            origin: candle.origin,
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
  candles: "product,interval,time,open,high,low,close,ticks,volume,running,incomplete,origin",
  gaps: "exchange,product,opened,from,to,reason,dropped,missed",
};

/**
 * `deno task export`. Throws a ConfigError with all that is wrong with the arguments, a SinkError where the store cannot be read
 * or the text not be written.
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
  if (args.includes("--help") || args.includes("-h")) return await output.write(EXPORT_USAGE);
  const wish = readExport(args, storeFile);
  const db = openForReading(wish.file);
  try {
    const queries = new Queries(db);
    const keys = chooseProducts(queries.products(), wish.products);
    const write = (text: string) =>
      output.write(text).catch((error) => {
        // whoever read has seen enough (`... | head`)
        if (error instanceof Deno.errors.BrokenPipe || error instanceof TypeError) throw error;
        throw new SinkError("fatal", `Cannot write the export to stdout: ${reasonOf(error)}`, {
          cause: error,
        });
      });
    let text = wish.format === "csv" ? `${HEADINGS[wish.what]}\n` : "";
    for (const page of rowsOf(queries, wish, keys, now)) {
      for (const row of page) {
        text += wish.format === "csv" ? `${Object.values(row).map(csvOf).join(",")}\n` : `${JSON.stringify(row)}\n`;
        if (text.length < CHUNK_CHARS) continue;
        await write(text);
        text = "";
      }
    }
    if (text !== "") await write(text);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return;
    throw storeErrorOf(error, wish.file, "export");
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
        `Cannot use --product as it must be in the store, which has ${
          names === "" ? "none" : names
        }: current value is "${name}"`
      ),
    );
  }
  return wanted.flatMap((name) => bySeries.get(name) ?? []);
}

/** `deno task backup FILE`. Throws as {@link exportStore} does. */
export async function backupStore(args: readonly string[], storeFile: string, output: Output): Promise<void> {
  if (args.includes("--help") || args.includes("-h")) return await output.write(BACKUP_USAGE);
  const { options, words: [to = "", ...more], problems } = readArguments(args, {
    values: ["--file"],
    flags: ["--overwrite"],
    takesWords: true,
  });
  const file = storeOf(options, storeFile, problems);
  if (to === "" || more.length > 0) {
    problems.push(`Cannot back up as one file to write to must be named: arguments are "${args.join(" ")}"`);
  } else {
    const problem = wrongPath("FILE", to) ?? await wrongTarget(to, file, options.has("--overwrite"));
    if (problem !== undefined) problems.push(problem);
  }
  if (file === "") {
    problems.push('Cannot back up as a store must be named by STORE_FILE or --file: current value is ""');
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const part = `${to}.part-${Deno.pid}`;
  const db = openForReading(file);
  try {
    // one state of the file for as long as it takes: a copy that starts over at each commit would never end
    readSource(db, file);
    // SQLite would say that it is unable to open it, the system says why
    (await Deno.open(part, { write: true, createNew: true }).catch((error) => {
      throw backupError(error, to);
    })).close();
    try {
      await backup(db, part, { rate: 1000 });
      markBackup(part);
      using copy = await Deno.open(part, { read: true, write: true });
      await copy.sync();
      await Deno.rename(part, to);
      const { size } = await copy.stat();
      output.tell(`${to}: ${(size / 1e6).toFixed(1)} MB\n`);
    } catch (error) {
      for (const suffix of ["", ...SQLITE_SUFFIXES]) await Deno.remove(part + suffix).catch(() => {});
      throw isDamage(error) ? storeErrorOf(error, file, "back up") : backupError(error, to);
    }
  } finally {
    closeQuietly(db);
  }
}

function readSource(db: ReturnType<typeof openForReading>, file: string): void {
  try {
    db.exec("BEGIN");
    db.prepare("SELECT count(*) FROM product").get();
  } catch (error) {
    throw storeErrorOf(error, file, "back up");
  }
}

/** Why nothing may be written there, in one sentence. */
async function wrongTarget(to: string, file: string, mayOverwrite: boolean): Promise<string | undefined> {
  // the program's own files, also where they are not there now: another program's lock is as good as ours
  const own = /(?:-wal|-shm|-journal|\.lock)$/i.exec(to)?.[0];
  if (own !== undefined) {
    return `Cannot back up to ${to} as its name must not end as that of a store's own files does: it ends in ${own}`;
  }
  const target = await lookAt(to);
  if (typeof target === "string") return target;
  if (to === file || await isSameFile(to, file)) return `Cannot back up to ${to} as it is the store itself`;
  if (target === undefined) return undefined;
  const what = kindOf(target);
  if (what !== undefined) {
    return `Cannot back up to ${to} as it must be a regular file, or not there yet: it is ${what}`;
  }
  if (!mayOverwrite) return `Cannot back up to ${to} as it is there already: --overwrite allows it`;
  if (await isInUse(to)) return `Cannot back up to ${to} as no program must be writing to it: one holds ${to}.lock`;
  return undefined;
}

/** What is there, itself and not what it leads to; undefined: nothing. A sentence where nothing can be. */
async function lookAt(path: string): Promise<Deno.FileInfo | string | undefined> {
  const folder = path.replace(/[^/\\]*$/, "") || ".";
  const refuse = (why: string) => `Cannot back up to ${path} as its folder must be there: ${folder} is ${why}`;
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotADirectory) return refuse("no folder");
    if (error instanceof Deno.errors.NotCapable) {
      return `Cannot back up to ${path} as it must be a place that can be used: ${reasonOf(error)}`;
    }
    if (!(error instanceof Deno.errors.NotFound)) throw backupError(error, path);
  }
  return await exists(folder) ? undefined : refuse("missing");
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    // what else is wrong with it, whoever writes there meets
    return !(error instanceof Deno.errors.NotFound);
  }
}

/** Whether another program has this file as its store. */
async function isInUse(path: string): Promise<boolean> {
  try {
    using lock = await Deno.open(`${path}.lock`, { read: true, write: true });
    return !await lock.tryLock(true);
  } catch {
    // there is none, or it is not ours to look at
    return false;
  }
}

/** Also under another name. */
async function isSameFile(path: string, other: string): Promise<boolean> {
  try {
    const a = await Deno.stat(path), b = await Deno.stat(other);
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    // one of them is missing, or cannot be looked at: the copy will tell
    return false;
  }
}

function backupError(error: unknown, to: string): unknown {
  if (error instanceof SinkError || error instanceof ConfigError || error instanceof TypeError) return error;
  const cause = causeOf(error);
  const words = cause === undefined ? `: ${reasonOf(error)}` : ` as ${cause}`;
  return new SinkError("fatal", `Cannot back up to ${to}${words}`, { cause: error });
}
