// `deno task audit`: holds what Kafka was given in a range of time against what is stored, and says what is missing.

import { systemClock } from "../core/clock.ts";
import { readArguments } from "../config/arguments.ts";
import type { Environment } from "../config/setting.ts";
import { briefly } from "../checks/freshness.ts";
import { Influx, InfluxRefusal } from "../checks/influx.ts";
import { BEYOND_MEANS, beyondText, type GroupView, KafkaView, resetCommands } from "../kafka/admin.ts";
import { describeCheckSettings, type Places, readPlaces } from "../checks/places.ts";
import { type Asked, askedOf, decide, readStackFiles } from "../checks/probe.ts";
import { Trouble } from "../checks/stage.ts";
import { ConfigError, exitCodeFor, reasonOf, SinkError } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import { type Output, TIME_WISH, timeOf } from "../core/terminal.ts";
import { compare, coverageOf, overwritten, type Span, unseenTrades } from "../checks/compare.ts";
import { Gaps } from "../checks/gaps.ts";
import {
  type Book,
  countPoints,
  countRejected,
  readGapsTopic,
  readPoints,
  readTopic,
  StoreBooks,
  type TimeRange,
  type TopicBooks,
} from "../checks/read.ts";
import { type AuditReport, auditText, type ProductAudit } from "../checks/report.ts";
import { TimeList, type Times, timesOf } from "../checks/time_log.ts";
import { asksForHelp } from "./command.ts";

/** How `deno task audit` is used. */
export const AUDIT_USAGE = `Usage: deno task audit [options]

Reads the topic in a range of time and holds it against InfluxDB, and against the store where there is one: how many records
of each product, what is missing and nobody declared, what the gaps declare, which trades nobody was told of. Changes nothing.
Without Kafka it reads the store alone. Which servers: as for deno task doctor, with the same settings.

  --from TIME, --to TIME         from included, to excluded: unix seconds, a date as 2026-10-03 or 2026-10-03T21:00:00Z, or so
                                 long ago, as 90m, 6h, 2d. Default: the last hour; at most until 15 s ago, as records need time
  --product NAME[,NAME]          only these
  --stack, --embedded            look at the stack, or at the program and its store, whatever else runs
  --json                         one JSON object instead of words; where nothing can be said, with ok: false and error

Exit codes: 0 nothing is missing, 1 something is that nobody declared, or the range has no records and no gap says why, 2
arguments cannot be used, 4 a server cannot be read.
`;

/** What is younger may still be on its way, seconds. */
const SETTLED_SECONDS = 15;
const HOUR = 3600;
/** So many points that the topic has not are worth a word: a few may be somebody's own. */
const NOTEWORTHY_POINTS = 10;
/** A word while a long reading lasts, so often, ms. */
const PROGRESS_MS = 5000;

interface Wish extends TimeRange {
  readonly products: readonly string[] | undefined;
  readonly asked: Asked;
  readonly remarks: string[];
}

/**
 * `deno task audit`. Gives the exit code: 0 nothing is missing, 1 something is that nobody declared, or there is no data. Throws a
 * ConfigError for arguments and settings that cannot be used, a SinkError where a server cannot be read.
 *
 * @param dir the project's folder, where the stack has its files
 */
export async function runAudit(
  args: readonly string[],
  environment: Environment,
  output: Output,
  signal: AbortSignal,
  dir = ".",
): Promise<0 | 1> {
  if (asksForHelp(args)) {
    await output.write(`${AUDIT_USAGE}\n${describeCheckSettings()}`);
    return 0;
  }
  const asJson = args.includes("--json");
  let report: AuditReport;
  try {
    report = await reportOf(args, environment, output, signal, dir);
  } catch (error) {
    // who reads the answer may not see our last words
    if (asJson && !signal.aborted) {
      const failed: AuditFailure = {
        ok: false,
        error: reasonOf(error),
        exitCode: exitCodeFor(error),
      };
      await output.write(`${JSON.stringify(failed)}\n`);
    }
    throw error;
  }
  await output.write(asJson ? `${JSON.stringify(report)}\n` : auditText(report));
  return report.ok ? 0 : 1;
}

/** What `--json` prints where there is no report. */
export interface AuditFailure {
  /** Nothing is known. */
  readonly ok: false;
  /** The words that stand on stderr too. */
  readonly error: string;
  /** The exit code. */
  readonly exitCode: number;
}

async function reportOf(
  args: readonly string[],
  environment: Environment,
  output: Output,
  signal: AbortSignal,
  dir: string,
): Promise<AuditReport> {
  const wish = readWish(args, systemClock.now() / 1000);
  const files = await readStackFiles(dir);
  const places = readPlaces(environment, files, await decide(environment, files, wish.asked, signal));
  try {
    return await audit(places, wish, output, signal);
  } catch (error) {
    // told in one sentence, with the exit code of a sink
    if (error instanceof Trouble) throw new SinkError("fatal", `${error.words}; ${error.cure}`);
    if (error instanceof InfluxRefusal) {
      throw new SinkError("fatal", `InfluxDB does not answer the audit: ${error.message}`);
    }
    throw error;
  }
}

/** As {@link timeOf}, and how long ago: `6h`. */
function momentOf(text: string, now: number): number {
  const [, count, unit] = /^-?(\d{1,6})([smhd])$/.exec(text) ?? [];
  return unit === undefined
    ? timeOf(text)
    : now - Number(count) * ({ s: 1, m: 60, h: HOUR, d: 24 * HOUR }[unit] ?? NaN);
}

function readWish(args: readonly string[], now: number): Wish {
  const given = readArguments(args, {
    values: ["--from", "--to", "--product"],
    flags: ["--json", "--stack", "--embedded"],
  });
  const { options, problems } = given;
  const asked = askedOf(given);
  const time = (name: string, usual: number) => {
    const text = options.get(name);
    const value = text === undefined ? usual : momentOf(text, now);
    if (Number.isNaN(value)) {
      problems.push(
        `Cannot use ${name} as it must be ${TIME_WISH}, or so long ago as 6h: current value is "${text}"`,
      );
    }
    return value;
  };
  const remarks: string[] = [];
  const latest = Math.floor(now - SETTLED_SECONDS);
  let to = time("--to", latest);
  // asked for by name, or left out: only the first needs a word
  if (to > latest) {
    to = latest;
    remarks.push(
      `looked at until ${isoOf(to)} only: what is younger than ${SETTLED_SECONDS} s may still be on its way`,
    );
  }
  const from = time("--from", to - HOUR);
  if (problems.length === 0 && from >= to) {
    problems.push(
      `Cannot use --from as it must be before --to, and that at most ${SETTLED_SECONDS} s ago: current values are "${
        isoOf(from)
      }" and "${isoOf(to)}"`,
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    from,
    to,
    products: options.get("--product")?.split(",").map((name) => name.trim()).filter((name) => name !== ""),
    asked,
    remarks,
  };
}

/** `2026-10-03T21:00:00Z`, with a fraction where there is one. */
function isoOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace(/\.000Z$/, "Z");
}

async function audit(places: Places, wish: Wish, output: Output, signal: AbortSignal): Promise<AuditReport> {
  const { config, kafka: kafkaPlace, influx: influxPlace, storeFile, groups: [group] } = places;
  const { topic, gapsTopic } = config;
  const { from, to } = wish;
  const range = { from, to };
  const remarks = [...wish.remarks];
  const sources: string[] = [];
  if (kafkaPlace === undefined && storeFile === undefined) {
    throw new ConfigError([
      "Cannot audit as KAFKA_BROKERS or STORE_FILE must name what to read: neither is set, and neither stack nor program runs here",
    ]);
  }
  using store = storeFile === undefined ? undefined : openStore(storeFile, kafkaPlace === undefined, remarks);
  const influx = influxPlace === undefined ? undefined : new Influx(influxPlace);
  const bucket = influxPlace?.bucket ?? "";

  let books: Map<string, Book>;
  let found: TopicBooks | undefined;
  let gaps = new Gaps();
  let unreadable = 0;
  if (kafkaPlace !== undefined) {
    await using view = await KafkaView.open(kafkaPlace, AbortSignal.any([signal, AbortSignal.timeout(15_000)]));
    // before the ends of the topic are: what is read meanwhile must not look like a place beyond them
    const reader = influx === undefined ? undefined : await readerOf(view, group, topic, remarks, signal);
    let told = systemClock.elapsed();
    const progress = (records: number) => {
      if (systemClock.elapsed() - told < PROGRESS_MS) return;
      told = systemClock.elapsed();
      output.tell(`${records} records read\n`);
    };
    found = await readTopic(view, topic, range, reader, progress, signal);
    ({ books, unreadable } = found);
    if (found.beyond.length > 0) {
      const commands = resetCommands([{ group, topic }], places.form === "stack");
      remarks.push(
        `${beyondText(group, topic, found.beyond)}: ${BEYOND_MEANS}. Set it back: ${commands}`,
      );
    }
    sources.push(`topic ${topic} at ${kafkaPlace.brokers.join(",")}`);
    if (found.beginsAt !== undefined) {
      remarks.push(
        `the topic begins at ${isoOf(found.beginsAt)}: what was before it has been deleted, and cannot be compared`,
      );
    }
    if (gapsTopic === "" || await view.topic(gapsTopic, signal) === undefined) {
      remarks.push(`there is no topic ${gapsTopic || "for gaps"}: nothing is declared`);
    } else {
      gaps = await readGapsTopic(view, gapsTopic, signal);
    }
  } else if (store !== undefined) {
    books = store.books(range);
    gaps = store.gaps();
    remarks.push("there is no Kafka to hold the store against: only gaps and trades are checked");
  } else books = new Map();

  let compared = range;
  let rejected: number | undefined;
  if (influx !== undefined && influxPlace !== undefined) {
    sources.push(`InfluxDB bucket ${bucket} at ${influxPlace.url}`);
    compared = await notExpired(influx, range, remarks, signal);
    rejected = await countRejected(influx, bucket, compared, signal);
  }
  if (store !== undefined) sources.push(`store ${storeFile}`);
  const storeGaps = kafkaPlace === undefined ? undefined : store?.gaps();

  const followed = new Set(config.products.map((product) => seriesOf(config.exchange.name, product)));
  const names = [...new Set([...books.keys(), ...gaps.products().filter((name) => followed.has(name))])]
    .filter((name) => wish.products?.includes(name) ?? true).sort();
  const products: ProductAudit[] = [];
  for (const product of names) {
    signal.throwIfAborted();
    const book = books.get(product);
    const records = (book?.read.length ?? 0) + (book?.waiting.length ?? 0);
    const all = book === undefined ? timesOf() : timesOf(book.read, book.waiting);
    const lastBefore = (time: number) => lastTimeBefore(all.times, time);
    const spans = gaps.spans(product, range, lastBefore);
    // it had gaps, at another time
    if (records === 0 && spans.length === 0) continue;
    products.push({
      product,
      records,
      repeats: records - all.times.length - tradesOverwritten(all),
      ...(influx === undefined ? {} : {
        influx: await compareInflux(influx, bucket, product, compared, book, all, spans, signal),
      }),
      ...(store === undefined || storeGaps === undefined ? {} : (() => {
        const found = compareStore(store, product, range, all.times, [
          ...spans,
          ...storeGaps.spans(product, range, lastBefore),
        ]);
        return found === undefined ? {} : { store: found };
      })()),
      ...(book?.hasFractions === true ? { notSeen: unseenTrades(all, spans, book.around.sorted()) } : {}),
      gaps: spans,
      coverage: 100 * coverageOf(spans, from, to),
    });
    // its times are not needed any more
    books.delete(product);
  }
  const sum = (of: (each: ProductAudit) => number | undefined) =>
    products.reduce((total, each) => total + (of(each) ?? 0), 0);
  const totals = {
    records: sum(({ records }) => records),
    // one that both lack is told twice, as it is missing twice
    missing: sum(({ influx, store }) => (influx?.missing ?? 0) + (store?.missing ?? 0)),
    waiting: sum(({ influx }) => influx?.waiting),
    overwritten: sum(({ influx }) => influx?.overwritten),
    declared: sum(({ influx, store }) => (influx?.declared ?? 0) + (store?.declared ?? 0)),
    notSeen: sum(({ notSeen }) => notSeen?.count),
    coverage: products.length === 0 ? 0 : sum(({ coverage }) => coverage) / products.length,
  };
  const unknown = sum(({ store }) => store?.unknown);
  if (unknown > 0) {
    remarks.push(
      `${unknown} ticks of the store are not in the topic, and nobody declared it: Kafka lacks them, or the store is another program's`,
    );
  }
  if (influx !== undefined && found !== undefined) {
    const others = await countPoints(influx, bucket, compared, signal);
    for (const { product } of products) others.delete(product);
    const more = [...others].filter(([product]) => wish.products?.includes(product) ?? true);
    const beyond = more.reduce((total, [, count]) => total + count, sum(({ influx }) => influx?.beyond));
    if (beyond >= NOTEWORTHY_POINTS) remarks.push(beyondWords(beyond, topic, found, more.map(([product]) => product)));
  }
  // without a record the range is whole only where gaps declare all of it
  const isEmpty = totals.records === 0 && (products.length === 0 || totals.coverage > 0);
  return {
    ok: !isEmpty && totals.missing === 0 && totals.waiting === 0 && totals.overwritten === 0,
    from,
    to,
    sources,
    remarks,
    unreadable,
    ...(rejected === undefined ? {} : { rejected }),
    totals,
    products,
  };
}

/** Telegraf's group; undefined, with a remark: nobody knows what it has read. */
async function readerOf(
  view: KafkaView,
  name: string,
  topic: string,
  remarks: string[],
  signal: AbortSignal,
): Promise<GroupView | undefined> {
  const group = await view.group(name, topic, signal);
  if (group === undefined) {
    remarks.push(`group ${name} is not ours to see: what Telegraf has not read yet counts as missing`);
    return undefined;
  }
  if (group.state !== "Dead" || [...group.committed.values()].some((place) => place !== undefined)) return group;
  remarks.push(
    `Kafka knows no group ${name}: Telegraf has never read here, reads as another group (TELEGRAF_GROUP), or was away ` +
      "for so long that Kafka has forgotten it. So what InfluxDB lacks counts as missing; what Kafka still has is not lost: a " +
      "Telegraf that comes under this name begins with the oldest record",
  );
  return undefined;
}

/** Why InfluxDB has more than the topic, as far as it can be seen. */
function beyondWords(
  count: number,
  topic: string,
  { firstAt, isNew, beginsAt }: TopicBooks,
  lacking: readonly string[],
): string {
  const since = firstAt === undefined ? "no record in it" : `records from ${isoOf(firstAt)} on`;
  const without = lacking.length === 0 ? "" : `, of ${briefly(lacking, 4)} none at all`;
  const why = beginsAt !== undefined
    ? "Kafka has deleted the others"
    : isNew || firstAt === undefined
    ? "it was deleted and made again, or is another topic than the one that was read"
    : "somebody else writes into the bucket, or a part of the topic is gone";
  return `InfluxDB has ${count} points of this range that the topic ${topic} does not have (it has ${since}${without})` +
    `: ${why}. They are held against nothing`;
}

/** A store that the settings do not name may be of another time, or away: then the answer is about the rest. */
function openStore(path: string, isNeeded: boolean, remarks: string[]): StoreBooks | undefined {
  try {
    return new StoreBooks(path);
  } catch (error) {
    if (isNeeded || !(error instanceof SinkError)) throw error;
    remarks.push(`the store is not compared: ${error.message}`);
    return undefined;
  }
}

/** The part of the range whose points the bucket has not deleted. */
async function notExpired(
  influx: Influx,
  range: TimeRange,
  remarks: string[],
  signal: AbortSignal,
): Promise<TimeRange> {
  const retention = await influx.retentionSeconds(signal) ?? 0;
  // what is just about to expire may be gone when it is asked for
  const oldest = systemClock.now() / 1000 - retention + 60;
  if (retention === 0 || range.from >= oldest) return range;
  const from = Math.min(range.to, oldest);
  remarks.push(`InfluxDB keeps points for ${retention / HOUR} h: compared from ${isoOf(Math.ceil(from))} on`);
  return { from, to: range.to };
}

function timesFrom(times: Float64Array, seconds: number): Float64Array {
  const first = times.findIndex((time) => time >= Math.round(seconds * 1e6));
  return first < 0 ? new Float64Array(0) : times.subarray(first);
}

function lastTimeBefore(times: Float64Array, seconds: number): number | undefined {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) < seconds * 1e6) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? undefined : (times[low - 1] as number) / 1e6;
}

/** Trades whose time another one has, declared or not. */
function tradesOverwritten(all: Times): number {
  const { count, declared } = overwritten(all, [], -Infinity);
  return count + declared;
}

async function compareInflux(
  influx: Influx,
  bucket: string,
  product: string,
  range: TimeRange,
  book: Book | undefined,
  all: Times,
  spans: readonly Span[],
  signal: AbortSignal,
): Promise<NonNullable<ProductAudit["influx"]>> {
  const points = await readPoints(influx, bucket, product, range, signal);
  const inRange = (times: Float64Array) => timesFrom(times, range.from);
  const { count, declared, shared } = overwritten(all, spans, range.from);
  const isWhole = book === undefined || book.waiting.length === 0;
  const found = compare(inRange(isWhole ? all.times : book.read.sorted().times), points, spans);
  const told = { ...found, declared: found.declared + declared, overwritten: count, shared };
  if (isWhole) return { ...told, waiting: 0 };
  // of what is not read yet some may be there all the same: written, and not yet noted by Telegraf
  const waiting = compare(inRange(book.waiting.sorted().times), points, spans);
  return {
    ...told,
    there: told.there + waiting.there,
    declared: told.declared + waiting.declared,
    beyond: told.beyond - waiting.there,
    waiting: waiting.missing,
  };
}

function compareStore(
  store: StoreBooks,
  product: string,
  range: TimeRange,
  times: Float64Array,
  spans: readonly Span[],
): ProductAudit["store"] {
  const begins = store.beginsAt(product);
  if (begins === undefined || begins >= range.to) return undefined;
  const from = Math.max(range.from, begins);
  const have = new TimeList();
  store.read(product, { from, to: range.to }, (timeUs) => have.add(timeUs));
  const ticks = have.sorted();
  const records = timesFrom(times, from);
  return { ...compare(records, ticks, spans), from, unknown: compare(ticks, records, spans).missing };
}
