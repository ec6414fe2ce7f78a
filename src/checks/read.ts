// What the audit reads, each as a stream of times: the two topics, InfluxDB and the store. Holds no more than the logs
// of times.

import { SinkError } from "../core/errors.ts";
import { type Beyond, beyondEnd, type GroupView, type KafkaView } from "../kafka/admin.ts";
import type { Influx } from "./influx.ts";
import { priceOf } from "./kafka_stages.ts";
import { seriesOf } from "../core/record.ts";
import { openForReading } from "../store/database.ts";
import { Queries } from "../store/queries.ts";
import { closeQuietly, storeErrorOf } from "../store/store_error.ts";
import { gapOf, Gaps } from "./gaps.ts";
import { TimeList, TimeLog } from "./time_log.ts";

/** A range of `w_time`, unix seconds: `from` included, `to` excluded. */
export interface TimeRange {
  /** Included. */
  readonly from: number;
  /** Excluded. */
  readonly to: number;
}

/** The records of one product. */
export interface Book {
  /** Those that Telegraf has passed, or of which nobody knows. */
  readonly read: TimeLog;
  /** Those that it has not come to yet. */
  readonly waiting: TimeLog;
  /** Those just before and after the range that bear the number of a trade. */
  readonly around: TimeLog;
  /** Some of them bear a part of a second: it is the channel that tells of each trade. */
  hasFractions: boolean;
}

/** What the topic holds of the range. */
export interface TopicBooks {
  /** By product. */
  readonly books: Map<string, Book>;
  /** Records that are none of ours, and whoever reads the topic rejects. */
  readonly unreadable: number;
  /** What was before this time, unix seconds, Kafka has deleted, and it lies in the range; undefined: it has not. */
  readonly beginsAt?: number | undefined;
  /** The time of the first record in the range, unix seconds; undefined: there is none. */
  readonly firstAt?: number | undefined;
  /** Before the range the topic had no record, and Kafka has deleted none: it was made meanwhile. */
  readonly isNew: boolean;
  /** Partitions in which Telegraf's place lies beyond the end. */
  readonly beyond: readonly Beyond[];
}

/** A record is written after it happened: so much earlier the reading begins, ms, should clocks differ. */
const EARLY_MS = 600_000;
/** And it is written soon, though Kafka may be away for a while: so much later the reading ends, ms. */
const LATE_MS = 3_600_000;
/** Trades are told of in the order of their numbers, but for those that are so far apart in time, seconds. */
const AROUND_SECONDS = 60;

const decoder = new TextDecoder();

/** Adds one record to its product's book. */
function addTo(
  books: Map<string, Book>,
  product: string,
  timeUs: number,
  trade: number | undefined,
  shelf: "read" | "waiting" | "around",
): void {
  let book = books.get(product);
  if (book === undefined) {
    book = { read: new TimeLog(), waiting: new TimeLog(), around: new TimeLog(), hasFractions: false };
    books.set(product, book);
  }
  if (timeUs % 1e6 !== 0 && shelf !== "around") book.hasFractions = true;
  book[shelf].add(timeUs, trade);
}

/**
 * Reads the topic.
 *
 * @param group Telegraf's; undefined: nobody knows what it has read
 * @param onProgress told how many records were read
 */
export async function readTopic(
  view: KafkaView,
  topic: string,
  { from, to }: TimeRange,
  group: GroupView | undefined,
  onProgress: (records: number) => void,
  signal: AbortSignal,
): Promise<TopicBooks> {
  const bounds = await view.bounds(topic, signal);
  const starts = await view.offsetsAt(topic, Math.floor(from * 1000) - EARLY_MS, signal);
  const ends = await view.offsetsAt(topic, Math.ceil(to * 1000) + LATE_MS, signal);
  const stretches = bounds.map(({ partition, low, high }) => (
    { partition, from: Math.max(low, starts.get(partition) ?? low), to: Math.min(high, ends.get(partition) ?? high) }
  ));
  const [fromUs, toUs] = [Math.round(from * 1e6), Math.round(to * 1e6)];
  const books = new Map<string, Book>();
  // without a place it begins with the oldest record; a place beyond the end says nothing of what is there
  const next = new Map(
    bounds.map(({ partition, high }) => {
      const place = group?.committed.get(partition) ?? 0;
      return [partition, group === undefined ? Infinity : place > high ? 0 : place];
    }),
  );
  let unreadable = 0, records = 0;
  let first = Infinity, firstInside = Infinity;
  for await (const page of view.read(topic, stretches, signal)) {
    for (const record of page) {
      const found = priceOf(record);
      if (found === undefined) {
        if (record.timestamp >= from * 1000 && record.timestamp < to * 1000) unreadable++;
        continue;
      }
      const timeUs = Math.round(found.time * 1e6);
      first = Math.min(first, timeUs);
      const isInside = timeUs >= fromUs && timeUs < toUs;
      if (!isInside && (timeUs < fromUs - AROUND_SECONDS * 1e6 || timeUs >= toUs + AROUND_SECONDS * 1e6)) continue;
      const header = record.header("trade");
      const trade = header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
      if (isInside) {
        firstInside = Math.min(firstInside, timeUs);
        const isWaiting = record.offset >= (next.get(record.partition) ?? 0);
        addTo(books, found.product, timeUs, trade, isWaiting ? "waiting" : "read");
      } else if (trade !== undefined) addTo(books, found.product, timeUs, trade, "around");
    }
    onProgress(records += page.length);
  }
  const isCut = bounds.some(({ partition, low }) => low > 0 && (starts.get(partition) ?? low) <= low);
  const isWhole = bounds.every(({ partition, low }) => low === 0 && (starts.get(partition) ?? 0) === 0);
  return {
    books,
    unreadable,
    ...(isCut && first > fromUs && first < Infinity ? { beginsAt: first / 1e6 } : {}),
    ...(firstInside < Infinity ? { firstAt: firstInside / 1e6 } : {}),
    isNew: isWhole && first > fromUs,
    beyond: group === undefined ? [] : beyondEnd(bounds, group.committed),
  };
}

/** Reads all gaps there are: few, and one that was opened long ago may reach into the range. */
export async function readGapsTopic(view: KafkaView, topic: string, signal: AbortSignal): Promise<Gaps> {
  const gaps = new Gaps();
  const bounds = await view.bounds(topic, signal);
  const stretches = bounds.map(({ partition, low, high }) => ({ partition, from: low, to: high }));
  for await (const page of view.read(topic, stretches, signal)) {
    for (const { value } of page) {
      const gap = value === null ? undefined : gapOf(decoder.decode(value));
      if (gap !== undefined) gaps.add(gap);
    }
  }
  return gaps;
}

/** As Flux writes a time: to the microsecond. */
function fluxTime(us: number): string {
  const seconds = Math.floor(us / 1e6);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(us - seconds * 1e6).padStart(6, "0")}Z`;
}

/** `2026-10-03T20:58:31.12751Z` -> microseconds. Finer digits are cut off. */
function microseconds(text: string): number {
  const [, fraction = ""] = /\.(\d+)Z$/.exec(text) ?? [];
  return Date.parse(`${text.slice(0, 19)}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** Text of Flux, in quotes. */
export function fluxText(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&").replaceAll("${", "\\${")}"`;
}

/** Times of all points of one product, as they stream in. */
export async function readPoints(
  influx: Influx,
  bucket: string,
  product: string,
  { from, to }: TimeRange,
  signal: AbortSignal,
): Promise<Float64Array> {
  const [fromUs, toUs] = [Math.round(from * 1e6), Math.round(to * 1e6)];
  const flux = `from(bucket: ${fluxText(bucket)})
    |> range(start: ${fluxTime(fromUs)}, stop: ${fluxTime(toUs)})
    |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == ${
    fluxText(product)
  })
    |> keep(columns: ["_time"])`;
  const response = await influx.query(flux, signal);
  const times = new TimeList();
  let rest = "";
  const take = (line: string) => {
    // `,_result,0,2026-10-03T20:58:31.12751Z`; a line of names, and an empty one, stand before each table
    const text = line.slice(line.lastIndexOf(",") + 1).trimEnd();
    if (/^\d{4}-\d\d-\d\dT.*Z$/.test(text)) return times.add(microseconds(text));
    if (text === "" || text === "_time") return;
    throw new SinkError("retry", `InfluxDB broke off its answer about ${product}: ${line.slice(0, 200)}`);
  };
  for await (const chunk of (response.body ?? new ReadableStream<never>()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
  if (rest !== "") take(rest);
  return times.sorted();
}

/** How many points InfluxDB has of each product in this range. */
export async function countPoints(
  influx: Influx,
  bucket: string,
  { from, to }: TimeRange,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const rows = await influx.rows(
    `from(bucket: ${fluxText(bucket)})
    |> range(start: ${fluxTime(Math.round(from * 1e6))}, stop: ${fluxTime(Math.round(to * 1e6))})
    |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
    |> count() |> keep(columns: ["product", "_value"])`,
    signal,
  );
  return new Map(rows.map(({ product = "", _value: count }) => [product, Number(count)]));
}

/** What InfluxDB shows as rejected by Telegraf in this range. */
export async function countRejected(
  influx: Influx,
  bucket: string,
  { from, to }: TimeRange,
  signal: AbortSignal,
): Promise<number> {
  const rows = await influx.rows(
    `from(bucket: ${fluxText(bucket)})
    |> range(start: ${fluxTime(Math.round(from * 1e6))}, stop: ${fluxTime(Math.round(to * 1e6))})
    |> filter(fn: (r) => r._measurement == "ticker_rejected" and r._field == "reason")
    |> count() |> group() |> sum()`,
    signal,
  );
  return Number(rows[0]?._value ?? 0);
}

/** A store, open for as long as the audit lasts. */
export class StoreBooks implements Disposable {
  readonly #path: string;
  readonly #db: ReturnType<typeof openForReading>;
  readonly #queries: Queries;

  /** Throws a SinkError where it cannot be read. */
  constructor(path: string) {
    this.#path = path;
    this.#db = openForReading(path);
    this.#queries = new Queries(this.#db);
  }

  /** By the names of records. */
  products(): string[] {
    return this.#queries.products().map(({ exchange, product }) => seriesOf(exchange, product));
  }

  /** The oldest tick that it still has, unix seconds; undefined: none. */
  beginsAt(series: string): number | undefined {
    for (const page of this.#pages(series, {})) {
      const [first] = page;
      if (first !== undefined) return first.recordTimeUs / 1e6;
    }
    return undefined;
  }

  /** Hands on each tick of a product in the range: time (microseconds) and trade. */
  read(series: string, { from, to }: TimeRange, take: (timeUs: number, trade: number | undefined) => void): void {
    const [fromUs, toUs] = [Math.round(from * 1e6), Math.round(to * 1e6)];
    // a record may bear another time than its tick: whole seconds, or the next free microsecond
    for (const page of this.#pages(series, { from: from - 1, to: to + 1 })) {
      for (const { recordTimeUs, tradeId } of page) {
        if (recordTimeUs >= fromUs && recordTimeUs < toUs) take(recordTimeUs, tradeId);
      }
    }
  }

  /** All of it as books, where there is no topic. */
  books(range: TimeRange): Map<string, Book> {
    const books = new Map<string, Book>();
    for (const series of this.products()) {
      this.read(series, range, (timeUs, trade) => addTo(books, series, timeUs, trade, "read"));
    }
    return books;
  }

  /** Its own gaps: a store that could not write says so. */
  gaps(): Gaps {
    const gaps = new Gaps();
    try {
      for (const page of this.#queries.gapPages(undefined, {})) {
        for (const gap of page) gaps.add({ ...gap, product: seriesOf(gap.exchange, gap.product) });
      }
    } catch (error) {
      throw storeErrorOf(error, `read the store ${this.#path}`);
    }
    return gaps;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    closeQuietly(this.#db);
  }

  *#pages(series: string, range: Partial<TimeRange>) {
    const key = this.#queries.products().find(({ exchange, product }) => seriesOf(exchange, product) === series);
    if (key === undefined) return;
    try {
      yield* this.#queries.tickPages(key, range);
    } catch (error) {
      throw storeErrorOf(error, `read the store ${this.#path}`);
    }
  }
}
