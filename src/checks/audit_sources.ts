// What the audit reads: the two topics, InfluxDB and the store. Only times and trades are kept.

import { SinkError } from "../core/errors.ts";
import { parseGapRecord, parseRecord, seriesOf, type Tick } from "../core/record.ts";
import { type Beyond, beyondEnd, type GroupView, type KafkaView } from "../kafka/admin.ts";
import { openForReading } from "../store/database.ts";
import { Queries } from "../store/queries.ts";
import type { ProductKey } from "../store/reader.ts";
import { closeQuietly, storeErrorOf } from "../store/store_error.ts";
import { Gaps } from "./gaps.ts";
import { fluxText, type Influx } from "./influx.ts";
import { NumberList, RecordTimes, sortedUnique } from "./times.ts";

/** A range of `w_time`, unix seconds. */
export interface TimeRange {
  /** Included. */
  readonly from: number;
  /** Excluded. */
  readonly to: number;
}

/** The records of one product. */
export class ProductRecords {
  /** Records that Telegraf has read, or of which that is unknown. */
  readonly read: RecordTimes = new RecordTimes();
  /** Records that Telegraf has not read yet. */
  readonly waiting: RecordTimes = new RecordTimes();
  /** Records with a trade just before and after the range. */
  readonly around: RecordTimes = new RecordTimes();
  /** Some times are no whole seconds, so they come from the channel that sends every trade. */
  hasFractions = false;

  add(timeUs: number, trade: number | undefined, isWaiting: boolean): void {
    if (timeUs % 1e6 !== 0) this.hasFractions = true;
    (isWaiting ? this.waiting : this.read).add(timeUs, trade);
  }
}

/** By product. */
export type Records = Map<string, ProductRecords>;

function recordsOf(records: Records, product: string): ProductRecords {
  const own = records.get(product) ?? new ProductRecords();
  records.set(product, own);
  return own;
}

/** What the topic contains. */
export interface TopicRecords {
  /** The records of the range. */
  readonly records: Records;
  /** How many records of the range Telegraf cannot read. */
  readonly unreadable: number;
  /** Kafka has deleted the records of the range before this time, unix seconds; undefined: it has not. */
  readonly beginsAt: number | undefined;
  /** The time of the first record in the range, unix seconds; undefined: there is none. */
  readonly firstAt: number | undefined;
  /** The topic had no record before the range, although Kafka has deleted none: it was created meanwhile. */
  readonly isNew: boolean;
  /** Partitions in which Telegraf's offset is beyond the end. */
  readonly beyond: readonly Beyond[];
}

/** A record is written after its trade. Reading begins this much earlier, because clocks may differ, ms. */
const EARLY_MS = 600_000;
/** A record is written soon, unless Kafka is down. Reading ends this much later, ms. */
const LATE_MS = 3_600_000;
/** Records need not come in the order of their trades, but are not further apart than this, us. */
const AROUND_US = 60e6;

/**
 * Reads the topic.
 *
 * @param group Telegraf's; undefined: unknown, so that no record counts as waiting
 * @param onProgress receives the number of records read so far
 */
export async function readTopic(
  view: KafkaView,
  topic: string,
  { from, to }: TimeRange,
  group: GroupView | undefined,
  onProgress: (records: number) => void,
  signal: AbortSignal,
): Promise<TopicRecords> {
  const bounds = await view.bounds(topic, signal);
  const starts = await view.offsetsAt(topic, Math.floor(from * 1000) - EARLY_MS, signal);
  const ends = await view.offsetsAt(topic, Math.ceil(to * 1000) + LATE_MS, signal);
  const stretches = bounds.map(({ partition, low, high }) => (
    { partition, from: Math.max(low, starts.get(partition) ?? low), to: Math.min(high, ends.get(partition) ?? high) }
  ));
  // without an offset the group begins with the oldest record; an offset beyond the end belongs to an earlier topic
  const next = new Map(bounds.map(({ partition, high }) => {
    const offset = group?.committed.get(partition) ?? 0;
    return [partition, group === undefined ? Infinity : offset > high ? 0 : offset];
  }));
  const [fromUs, toUs] = [Math.round(from * 1e6), Math.round(to * 1e6)];
  const records: Records = new Map();
  let unreadable = 0, count = 0;
  let first = Infinity, firstInRange = Infinity;
  for await (const page of view.read(topic, stretches, signal)) {
    for (const { value, timestamp, partition, offset, header } of page) {
      const record = parseRecord(value);
      if (record === undefined) {
        if (timestamp >= from * 1000 && timestamp < to * 1000) unreadable++;
        continue;
      }
      const timeUs = Math.round(record.time * 1e6);
      first = Math.min(first, timeUs);
      if (timeUs < fromUs - AROUND_US || timeUs >= toUs + AROUND_US) continue;
      const id = header("trade");
      const trade = id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : undefined;
      const own = recordsOf(records, record.product);
      if (timeUs >= fromUs && timeUs < toUs) {
        firstInRange = Math.min(firstInRange, timeUs);
        own.add(timeUs, trade, offset >= (next.get(partition) ?? 0));
      } else if (trade !== undefined) own.around.add(timeUs, trade);
    }
    onProgress(count += page.length);
  }
  const isCut = bounds.some(({ partition, low }) => low > 0 && (starts.get(partition) ?? low) <= low);
  const isWhole = bounds.every(({ partition, low }) => low === 0 && (starts.get(partition) ?? 0) === 0);
  return {
    records,
    unreadable,
    beginsAt: isCut && first > fromUs && first < Infinity ? first / 1e6 : undefined,
    firstAt: firstInRange < Infinity ? firstInRange / 1e6 : undefined,
    isNew: isWhole && first > fromUs,
    beyond: group === undefined ? [] : beyondEnd(bounds, group.committed),
  };
}

/** Reads all gaps: there are few, and an old one may reach into the range. */
export async function readGapsTopic(view: KafkaView, topic: string, signal: AbortSignal): Promise<Gaps> {
  const gaps = new Gaps();
  const bounds = await view.bounds(topic, signal);
  const stretches = bounds.map(({ partition, low, high }) => ({ partition, from: low, to: high }));
  for await (const page of view.read(topic, stretches, signal)) {
    for (const { value } of page) {
      const gap = parseGapRecord(value);
      if (gap !== undefined) gaps.add(gap);
    }
  }
  return gaps;
}

/** Flux that selects the points of a range and measurement. */
function pointsIn({ from, to }: TimeRange, measurement: string, field: string): string {
  return `|> range(start: ${fluxTime(from)}, stop: ${fluxTime(to)})
    |> filter(fn: (r) => r._measurement == "${measurement}" and r._field == "${field}")`;
}

/** Unix seconds as Flux writes them, to the microsecond. */
function fluxTime(seconds: number): string {
  const us = Math.round(seconds * 1e6), whole = Math.floor(us / 1e6);
  return `${new Date(whole * 1000).toISOString().slice(0, 19)}.${String(us - whole * 1e6).padStart(6, "0")}Z`;
}

/** `2026-10-03T20:58:31.12751Z` in microseconds. Finer digits are cut off. */
function microsecondsOf(text: string): number {
  const [, fraction = ""] = /\.(\d+)Z$/.exec(text) ?? [];
  return Date.parse(`${text.slice(0, 19)}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** The times of all points of one product, microseconds, rising. */
export async function readPoints(
  influx: Influx,
  product: string,
  range: TimeRange,
  signal: AbortSignal,
): Promise<Float64Array> {
  const response = await influx.query(
    `${pointsIn(range, "kafka_consumer", "price")}
    |> filter(fn: (r) => r.product == ${fluxText(product)}) |> keep(columns: ["_time"])`,
    signal,
  );
  const times = new NumberList();
  const take = (line: string) => {
    // `,_result,0,2026-10-03T20:58:31.12751Z`; before each table there are an empty line and one of column names
    const text = line.slice(line.lastIndexOf(",") + 1).trimEnd();
    if (/^\d{4}-\d\d-\d\dT.*Z$/.test(text)) times.push(microsecondsOf(text));
    else if (text !== "" && text !== "_time") {
      throw new SinkError("retry", `InfluxDB broke off its answer about ${product}: ${line.slice(0, 200)}`);
    }
  };
  let rest = "";
  for await (const chunk of (response.body ?? new ReadableStream<never>()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
  take(rest);
  return sortedUnique(times);
}

/** How many points InfluxDB has of each product. */
export async function countPoints(
  influx: Influx,
  range: TimeRange,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const rows = await influx.rows(
    `${pointsIn(range, "kafka_consumer", "price")} |> count() |> keep(columns: ["product", "_value"])`,
    signal,
  );
  return new Map(rows.map(({ product = "", _value: count }) => [product, Number(count)]));
}

/** How many records Telegraf has rejected, according to InfluxDB. */
export async function countRejected(influx: Influx, range: TimeRange, signal: AbortSignal): Promise<number> {
  const flux = `${pointsIn(range, "ticker_rejected", "reason")} |> count() |> group() |> sum()`;
  const [row] = await influx.rows(flux, signal);
  return Number(row?._value ?? 0);
}

/** The store, open for reading. */
export class StoredTicks implements Disposable {
  readonly #path: string;
  readonly #db: ReturnType<typeof openForReading>;
  readonly #queries: Queries;
  readonly #keys: ReadonlyMap<string, ProductKey>;

  /** Throws a SinkError if it cannot be read. */
  constructor(path: string) {
    this.#path = path;
    this.#db = openForReading(path);
    this.#queries = new Queries(this.#db);
    try {
      this.#keys = new Map(this.#queries.products().map((key) => [seriesOf(key.exchange, key.product), key]));
    } catch (error) {
      closeQuietly(this.#db);
      throw storeErrorOf(error, `read the store ${path}`);
    }
  }

  /** The time of the oldest tick, unix seconds; undefined: it has none. */
  beginsAt(product: string): number | undefined {
    for (const tick of this.#read(product, {})) return tick.recordTimeUs / 1e6;
    return undefined;
  }

  /** The ticks of one product in the range. */
  *ticks(product: string, { from, to }: TimeRange): Generator<Tick> {
    const [fromUs, toUs] = [Math.round(from * 1e6), Math.round(to * 1e6)];
    // they are found by the exchange's time, from which the record's differs by less than a second
    for (const tick of this.#read(product, { from: from - 1, to: to + 1 })) {
      if (tick.recordTimeUs >= fromUs && tick.recordTimeUs < toUs) yield tick;
    }
  }

  /** All ticks in the range as if they were records of a topic. */
  records(range: TimeRange): Records {
    const records: Records = new Map();
    for (const product of this.#keys.keys()) {
      for (const { recordTimeUs, tradeId } of this.ticks(product, range)) {
        recordsOf(records, product).add(recordTimeUs, tradeId, false);
      }
    }
    return records;
  }

  /** The gaps that the store has; its own failures are only declared here. */
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

  *#read(product: string, range: Partial<TimeRange>): Generator<Tick> {
    const key = this.#keys.get(product);
    if (key === undefined) return;
    try {
      for (const page of this.#queries.tickPages(key, range)) yield* page;
    } catch (error) {
      throw storeErrorOf(error, `read the store ${this.#path}`);
    }
  }

  [Symbol.dispose](): void {
    closeQuietly(this.#db);
  }
}
