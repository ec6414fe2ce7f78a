// `deno task audit`: reads Kafka, InfluxDB and the store, and compares them product by product.

import { systemClock } from "../core/clock.ts";
import { ConfigError, SinkError } from "../core/errors.ts";
import { seriesOf } from "../core/record.ts";
import { BEYOND_MEANS, beyondText, type GroupView, KafkaView, resetCommands } from "../kafka/admin.ts";
import { type AuditReport, isoTime, type ProductAudit } from "./audit_report.ts";
import {
  countPoints,
  countRejected,
  type ProductRecords,
  readGapsTopic,
  readPoints,
  readTopic,
  type Records,
  StoredTicks,
  type TimeRange,
  type TopicRecords,
} from "./audit_sources.ts";
import { compare, coverageOf, overwritten, sharesTime, type Span, unseenTrades } from "./compare.ts";
import { briefly } from "./freshness.ts";
import { Gaps } from "./gaps.ts";
import { Influx } from "./influx.ts";
import type { Servers } from "./servers.ts";
import { NumberList, sortedUnique, type Times, timesOf } from "./times.ts";

/** From this number on, points that the topic does not have are mentioned: a few may have been written by hand. */
const MANY_POINTS = 10;
/** The longest time until Kafka accepts the connection, ms. */
const CONNECT_MS = 15_000;

/** What is compared with the records. */
interface Stored {
  readonly influx: Influx | undefined;
  /** The part of the range that InfluxDB has not deleted yet. */
  readonly influxRange: TimeRange;
  readonly store: StoredTicks | undefined;
  /** The store's own gaps; undefined: there is nothing to compare the store with. */
  readonly storeGaps: Gaps | undefined;
}

/** What was read of Kafka, or of the store alone. */
interface Read {
  readonly records: Records;
  readonly gaps: Gaps;
  /** Undefined: there is no Kafka. */
  readonly topic?: TopicRecords;
}

/**
 * Compares everything written to Kafka in this range with what is stored. Throws a ConfigError if there is nothing to read; a
 * SinkError, Problem or InfluxRefusal if a server cannot be read.
 *
 * @param only these products; undefined: all
 * @param remarks what already limits the answer, one sentence each
 * @param onProgress receives the number of records read so far
 */
export async function audit(
  servers: Servers,
  range: TimeRange,
  only: readonly string[] | undefined,
  remarks: string[],
  onProgress: (records: number) => void,
  signal: AbortSignal,
): Promise<AuditReport> {
  const { config, kafka, storeFile } = servers;
  if (kafka === undefined && storeFile === undefined) {
    throw new ConfigError([
      "Cannot audit: expected KAFKA_BROKERS or STORE_FILE to say what to read, but neither is set, and neither the stack nor " +
      "the program was found here",
    ]);
  }
  using store = storeFile === undefined ? undefined : openStore(storeFile, kafka === undefined, remarks);
  const influx = servers.influx && new Influx(servers.influx);
  const { records, gaps, topic } = kafka === undefined
    ? readStoreAlone(store, range, remarks)
    : await readKafka(kafka, servers, range, remarks, onProgress, signal);
  const stored: Stored = {
    influx,
    influxRange: influx === undefined ? range : await notExpired(influx, range, remarks, signal),
    store,
    storeGaps: kafka === undefined ? undefined : store?.gaps(),
  };
  const rejected = influx && await countRejected(influx, stored.influxRange, signal);

  const followed = new Set(config.products.map((product) => seriesOf(config.exchange.name, product)));
  const isWanted = (product: string) => only?.includes(product) ?? true;
  const names = new Set([...records.keys(), ...gaps.products().filter((product) => followed.has(product))]);
  const products: ProductAudit[] = [];
  for (const product of [...names].filter(isWanted).sort()) {
    signal.throwIfAborted();
    const found = await auditProduct(product, records.get(product), gaps, range, stored, signal);
    if (found !== undefined) products.push(found);
    // frees its memory
    records.delete(product);
  }
  const sum = (of: (each: ProductAudit) => number | undefined) =>
    products.reduce((total, each) => total + (of(each) ?? 0), 0);
  const totals = {
    records: sum(({ records }) => records),
    // a record that both lack counts twice
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
      `the store has ${unknown} ticks that are neither in the topic nor declared as missing: Kafka lost them, or the store ` +
        "belongs to another program",
    );
  }
  if (influx !== undefined && topic !== undefined) {
    const points = await countPoints(influx, stored.influxRange, signal);
    const others = [...points].filter(([product]) =>
      isWanted(product) && !products.some((each) => each.product === product)
    );
    const beyond = others.reduce((total, [, count]) => total + count, sum(({ influx }) => influx?.beyond));
    if (beyond >= MANY_POINTS) remarks.push(beyondRemark(beyond, config.topic, topic, others.map(([name]) => name)));
  }
  // a range without records is only complete if gaps declare all of it
  const isUnknown = totals.records === 0 && (products.length === 0 || totals.coverage > 0);
  return {
    ok: !isUnknown && totals.missing === 0 && totals.waiting === 0 && totals.overwritten === 0,
    ...range,
    sources: [
      ...kafka === undefined ? [] : [`topic ${config.topic} at ${kafka.brokers.join(",")}`],
      ...influx === undefined ? [] : [`InfluxDB bucket ${influx.server.bucket} at ${influx.server.url}`],
      ...store === undefined ? [] : [`store ${storeFile}`],
    ],
    remarks,
    unreadable: topic?.unreadable ?? 0,
    rejected,
    totals,
    products,
  };
}

/** Undefined, with a remark: it cannot be opened, but Kafka and InfluxDB can still be compared. */
function openStore(path: string, isNeeded: boolean, remarks: string[]): StoredTicks | undefined {
  try {
    return new StoredTicks(path);
  } catch (error) {
    if (isNeeded || !(error instanceof SinkError)) throw error;
    remarks.push(`the store is not compared: ${error.message}`);
    return undefined;
  }
}

function readStoreAlone(store: StoredTicks | undefined, range: TimeRange, remarks: string[]): Read {
  remarks.push("there is no Kafka to compare the store with: only gaps and trades are checked");
  return { records: store?.records(range) ?? new Map(), gaps: store?.gaps() ?? new Gaps() };
}

async function readKafka(
  kafka: NonNullable<Servers["kafka"]>,
  { config: { topic, gapsTopic }, groups, influx, form }: Servers,
  range: TimeRange,
  remarks: string[],
  onProgress: (records: number) => void,
  signal: AbortSignal,
): Promise<Read> {
  await using view = await KafkaView.open(kafka, AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]));
  // before the ends of the topic: otherwise what is read in between would look like an offset beyond the end
  const group = influx && await readGroup(view, groups.prices, topic, remarks, signal);
  const found = await readTopic(view, topic, range, group, onProgress, signal);
  if (found.beyond.length > 0) {
    const commands = resetCommands([{ group: groups.prices, topic }], form === "stack");
    remarks.push(`${beyondText(groups.prices, topic, found.beyond)}: ${BEYOND_MEANS}. Reset it: ${commands}`);
  }
  if (found.beginsAt !== undefined) {
    const begin = isoTime(found.beginsAt);
    remarks.push(`the topic begins at ${begin}: Kafka has deleted older records, and they cannot be compared`);
  }
  if (gapsTopic !== "" && await view.topic(gapsTopic, signal) !== undefined) {
    return { records: found.records, gaps: await readGapsTopic(view, gapsTopic, signal), topic: found };
  }
  remarks.push(`there is no topic ${gapsTopic || "for gaps"}: nothing is declared`);
  return { records: found.records, gaps: new Gaps(), topic: found };
}

/** Telegraf's group; undefined, with a remark: it is unknown what Telegraf has read. */
async function readGroup(
  view: KafkaView,
  name: string,
  topic: string,
  remarks: string[],
  signal: AbortSignal,
): Promise<GroupView | undefined> {
  const group = await view.group(name, topic, signal);
  if (group === undefined) {
    remarks.push(`group ${name} cannot be seen with this login: what Telegraf has not read yet counts as missing`);
    return undefined;
  }
  if (group.state !== "Dead" || [...group.committed.values()].some((offset) => offset !== undefined)) return group;
  remarks.push(
    `Kafka knows no group ${name}: Telegraf has never read here, reads with another group (TELEGRAF_GROUP), or was down for ` +
      "so long that Kafka has forgotten it. So what InfluxDB lacks counts as missing. Records that Kafka still has are not " +
      "lost: with this group Telegraf begins with the oldest one",
  );
  return undefined;
}

/** The part of the range whose points the bucket has not deleted. */
async function notExpired(
  influx: Influx,
  range: TimeRange,
  remarks: string[],
  signal: AbortSignal,
): Promise<TimeRange> {
  const seconds = (await influx.bucket(signal))?.retentionRules?.[0]?.everySeconds ?? 0;
  // what expires within a minute may be gone when it is read
  const oldest = systemClock.now() / 1000 - seconds + 60;
  if (seconds === 0 || range.from >= oldest) return range;
  const from = Math.min(range.to, oldest);
  remarks.push(`InfluxDB keeps points for ${seconds / 3600} h: it is compared from ${isoTime(Math.ceil(from))} on`);
  return { from, to: range.to };
}

/** Undefined: in this range there is neither a record nor a gap. */
async function auditProduct(
  product: string,
  records: ProductRecords | undefined,
  gaps: Gaps,
  range: TimeRange,
  { influx, influxRange, store, storeGaps }: Stored,
  signal: AbortSignal,
): Promise<ProductAudit | undefined> {
  const all = records === undefined ? timesOf() : timesOf(records.read, records.waiting);
  const count = records === undefined ? 0 : records.read.times.values.length + records.waiting.times.values.length;
  const lastBefore = (time: number) => {
    const at = indexFrom(all.times, time);
    return at === 0 ? undefined : (all.times[at - 1] as number) / 1e6;
  };
  const spans = gaps.spans(product, range, lastBefore);
  if (count === 0 && spans.length === 0) return undefined;
  const waiting = records === undefined ? new Float64Array(0) : sortedUnique(records.waiting.times);
  return {
    product,
    records: count,
    repeats: count - all.times.length - all.others.filter(sharesTime).length,
    influx: influx && await compareInflux(influx, product, influxRange, all, waiting, spans, signal),
    store: store && storeGaps &&
      compareStore(store, product, range, all.times, [...spans, ...storeGaps.spans(product, range, lastBefore)]),
    notSeen: records?.hasFractions ? unseenTrades(all, spans, timesOf(records.around)) : undefined,
    gaps: spans,
    coverage: 100 * coverageOf(spans, range.from, range.to),
  };
}

async function compareInflux(
  influx: Influx,
  product: string,
  range: TimeRange,
  all: Times,
  waiting: Float64Array,
  spans: readonly Span[],
  signal: AbortSignal,
): Promise<ProductAudit["influx"]> {
  const points = await readPoints(influx, product, range, signal);
  const found = compare(all.times.subarray(indexFrom(all.times, range.from)), points, spans, waiting);
  const { count, declared, shared } = overwritten(all, spans, range.from);
  return { ...found, declared: found.declared + declared, overwritten: count, shared };
}

/** Undefined: the store has nothing of this product in the range. */
function compareStore(
  store: StoredTicks,
  product: string,
  range: TimeRange,
  times: Float64Array,
  spans: readonly Span[],
): ProductAudit["store"] {
  const begins = store.beginsAt(product);
  if (begins === undefined || begins >= range.to) return undefined;
  const from = Math.max(range.from, begins);
  const list = new NumberList();
  for (const { recordTimeUs } of store.ticks(product, { from, to: range.to })) list.push(recordTimeUs);
  const ticks = sortedUnique(list);
  const records = times.subarray(indexFrom(times, from));
  return { ...compare(records, ticks, spans), from, unknown: compare(ticks, records, spans).missing };
}

/** The index of the first of these rising times (us) that is not before a time (unix seconds). */
function indexFrom(times: Float64Array, seconds: number): number {
  const timeUs = Math.round(seconds * 1e6);
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) < timeUs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Why InfluxDB may have points that the topic does not have. */
function beyondRemark(
  count: number,
  topic: string,
  { firstAt, isNew, beginsAt }: TopicRecords,
  others: readonly string[],
): string {
  const since = firstAt === undefined ? "no records in it" : `records from ${isoTime(firstAt)} on`;
  const without = others.length === 0 ? "" : `, and none of ${briefly(others, 4)}`;
  const why = beginsAt !== undefined
    ? "Kafka has deleted its older records"
    : isNew || firstAt === undefined
    ? "it was deleted and made again, or is not the topic that Telegraf has read"
    : "another program writes to the bucket, or a part of the topic is gone";
  return `InfluxDB has ${count} points of this range that the topic ${topic} does not have (the topic has ${since}${without}): ` +
    `${why}. These points are not compared with anything`;
}
