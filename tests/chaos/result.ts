// Compares what the exchange sent with what Kafka, InfluxDB and the store hold, and with what is declared as missing. Reads
// all three as any other reader would; the rules of counting are in tests/count.ts.

import { DatabaseSync } from "node:sqlite";
import { intervalMs, openTimeOf } from "../../src/core/candle.ts";
import type { Logger } from "../../src/core/log.ts";
import { Store } from "../../src/store/store.ts";
import { GAPS_TOPIC, TOPIC } from "../chain/chain.ts";
import { readGaps, readPoints, readRejected } from "../chain/points.ts";
import {
  type Count,
  count,
  type GapRecord,
  gapsIn,
  microsecondsOf,
  type Point,
  type ResolvedGap,
  type SkippedTrades,
  type StoredTick,
  ticksIn,
} from "../count.ts";
import type { InfluxServer } from "../servers/influxdb.ts";
import type { KafkaRecord, KafkaServer } from "../servers/kafka.ts";
import type { KnownTick } from "./connection_proxy.ts";

/** A row of the store's table of ticks. */
export interface StoreTick {
  readonly product: string;
  readonly sequence: number;
  readonly price: number;
  /** Microseconds since the epoch. */
  readonly exchangeTimeUs: number;
  /** Microseconds since the epoch. */
  readonly recordTimeUs: number;
  /** ms since the epoch. */
  readonly receivedMs: number;
  readonly tradeId: number;
  readonly size: number | null;
}

/** Everything that is compared, read at one moment in which nothing is in flight. */
export interface Snapshot {
  /** In the order of sending. */
  readonly sent: readonly KnownTick[];
  /** By product: tickers of which only the first half arrived. */
  readonly cutTickers: ReadonlyMap<string, number>;
  /** Records of our ticks, by partition and offset. */
  readonly records: readonly KafkaRecord[];
  /** Records of our gaps, by partition and offset. */
  readonly gapRecords: readonly KafkaRecord[];
  /** InfluxDB. */
  readonly points: readonly Point[];
  /** InfluxDB. */
  readonly pointGaps: readonly GapRecord[];
  /** The store. */
  readonly ticks: readonly StoreTick[];
  /** The store. */
  readonly tickGaps: readonly GapRecord[];
  /** When it was read, microseconds since the epoch. */
  readonly nowUs: number;
}

/** The result for Kafka, InfluxDB or the store. */
export interface PlaceResult {
  /** Different ticks that were sent and are stored. */
  readonly stored: number;
  /** Sent, not stored, and declared. */
  readonly declared: number;
  /** Sent, not stored, and not declared. */
  readonly undeclared: number;
  /** Everything that is wrong, in words. */
  readonly wrong: readonly string[];
}

/** The result of one round, for the ticks sent in it. */
export interface RoundResult {
  /** Different ticks. */
  readonly sent: number;
  /** Those of them that the program must reject: times hours ahead. */
  readonly rejected: number;
  readonly kafka: PlaceResult;
  readonly influx: PlaceResult;
  readonly store: PlaceResult;
  /** Records in Kafka beyond the first of each tick. */
  readonly repeats: number;
  /** Trades without a tick and without a gap, although the connection was open. */
  readonly skippedTrades: readonly SkippedTrades[];
}

/** What a count takes into account. */
export interface CountOptions {
  /** Index of the round's first tick in `sent`. Earlier ticks are checked as well but not counted again. */
  readonly from: number;
  /** The cursor could not be written, so a restart declares more than was lost. */
  readonly staleCursor: boolean;
}

/** The program rejects ticks that are further ahead of our clock than this; the simulator's lever sends hours. */
const FUTURE_US = 3600e6;
/**
 * Of stored ticks, this much may be covered by a gap, ms of arrival: the cursor is written once a second, a batch is in
 * flight, and the exchange sends some ticks up to 5 s late.
 */
const EDGE_MS = 5000;
/** How far a record's time may be after the exchange's, s. */
const SHIFT_S = 50e-6;

/** Reads all three. Nothing may be in flight. */
export async function readSnapshot(
  { kafka, influx, storeFile, products, sent, cutTickers }:
    & { kafka: KafkaServer; influx: InfluxServer; storeFile: string }
    & { products: readonly string[]; sent: readonly KnownTick[]; cutTickers: ReadonlyMap<string, number> },
): Promise<Snapshot> {
  const records = (await kafka.read(TOPIC)).filter(({ headers }) => headers.id !== undefined);
  const gapRecords = (await kafka.read(GAPS_TOPIC)).filter(({ value }) => isOurGap(value));
  const points = await readPoints(influx, products);
  const pointGaps = (await readGaps(influx)).filter(({ exchange }) => exchange === "coinbase");
  const { ticks, gaps } = readStore(storeFile);
  const nowUs = Date.now() * 1000;
  return { sent, cutTickers, records, gapRecords, points, pointGaps, ticks, tickGaps: gaps, nowUs };
}

/** Compares. */
export function countRound(snapshot: Snapshot, options: CountOptions): RoundResult {
  const { sent } = snapshot;
  const isFuture = ({ time }: KnownTick) => Date.parse(time) * 1000 > snapshot.nowUs + FUTURE_US / 2;
  const ofRound = new Set(sent.slice(options.from).map(({ id }) => id));
  const rejected = sent.slice(options.from).filter(isFuture).length;

  const future = new Set(sent.filter(isFuture).map(({ id }) => id));
  // they were sent, so their trades are not skipped, and they must not be stored
  const countPlace = (stored: readonly StoredTick[], gaps: readonly GapRecord[]): Count => {
    const counted = count({ sent, stored, gaps });
    return {
      ...counted,
      missing: counted.missing.filter((id) => !future.has(id)),
      undeclared: counted.undeclared.filter((id) => !future.has(id)),
    };
  };
  const kafkaGaps = gapsIn(snapshot.gapRecords);
  const inKafka = countPlace(ticksIn(snapshot.records), kafkaGaps);
  const inStore = countPlace(snapshot.ticks.map(storedTickOf), snapshot.tickGaps);
  const inInflux = countPlace(identifyPoints(snapshot), snapshot.pointGaps);

  const kafkaWrong = [
    ...some("undeclared", inKafka.undeclared),
    ...some("in Kafka and never sent", inKafka.neverSent),
    ...some("out of order", inKafka.outOfOrder),
    ...some("altered", inKafka.altered),
    ...some("dropped according to a gap, but stored", overcounted(inKafka, sent)),
  ];
  const storeWrong = [
    ...some("undeclared", inStore.undeclared),
    ...some("in the store and never sent", inStore.neverSent),
    ...some("altered", inStore.altered),
    ...some("dropped according to a gap, but stored", overcounted(inStore, sent)),
  ];
  const influxWrong = [
    ...some("undeclared", inInflux.undeclared),
    ...some("in InfluxDB and not in Kafka", inInflux.neverSent),
    ...some("altered", inInflux.altered),
    ...some("gaps that differ from Kafka's", differingGaps(kafkaGaps, snapshot.pointGaps)),
  ];
  if (!options.staleCursor) {
    const excess = overdeclared(inKafka.gaps, inStore.gaps, snapshot);
    kafkaWrong.push(...some("declared as missing far beyond what is missing", excess));
  }

  const part = (missing: readonly string[], undeclared: readonly string[], wrong: string[]): PlaceResult => {
    const lost = missing.filter((id) => ofRound.has(id)).length;
    const silent = undeclared.filter((id) => ofRound.has(id)).length;
    return { stored: ofRound.size - rejected - lost, declared: lost - silent, undeclared: undeclared.length, wrong };
  };
  const skipped = [inKafka, inStore].flatMap((place) => skippedBeyond(place, snapshot.cutTickers));
  return {
    sent: ofRound.size,
    rejected,
    kafka: part(inKafka.missing, inKafka.undeclared, kafkaWrong),
    influx: part(inInflux.missing, inInflux.undeclared, influxWrong),
    store: part(inStore.missing, inStore.undeclared, storeWrong),
    repeats: inKafka.repeats,
    skippedTrades: [...new Map(skipped.map((each) => [keyOf(each), each])).values()],
  };
}

/** Identifies skipped trades across rounds. */
export function keyOf({ product, count, before }: SkippedTrades): string {
  return `${product}: ${count} trades before ${before}`;
}

/** How many unreadable records InfluxDB shows. */
export async function countRejected(influx: InfluxServer): Promise<number> {
  return (await readRejected(influx)).length;
}

/** Every candle of the store that differs from what its ticks give, in words. Computed independently of the program. */
export async function wrongCandles(storeFile: string, ticks: readonly StoreTick[]): Promise<string[]> {
  const wrong: string[] = [];
  await using store = new Store(storeFile, { log: SILENT });
  for (const [product, own] of Map.groupBy(ticks, (tick) => tick.product)) {
    const inOrder = own.toSorted((a, b) => a.exchangeTimeUs - b.exchangeTimeUs || a.sequence - b.sequence);
    for (const interval of ["1s", "1m", "15m", "1h", "1d"] as const) {
      const expected = [...Map.groupBy(inOrder, (tick) => openTimeOf(tick.exchangeTimeUs / 1000, interval))]
        .map(([openTime, list]) => {
          const prices = list.map(({ price }) => price);
          const volume = list.reduce((sum, { size }) => sum + BigInt(Math.round((size ?? NaN) * 1e8)), 0n);
          return [
            openTime,
            prices[0],
            prices.reduce((a, b) => Math.max(a, b)),
            prices.reduce((a, b) => Math.min(a, b)),
            prices.at(-1),
            list.length,
            Number(volume) / 1e8,
          ].join(" ");
        });
      const first = inOrder[0]?.exchangeTimeUs ?? 0, last = inOrder.at(-1)?.exchangeTimeUs ?? 0;
      const range = { from: first / 1e6 - intervalMs(interval) / 1000, to: last / 1e6 + 1, limit: 100_000 };
      const found = (await store.candles({ exchange: "coinbase", product }, interval, range, Date.now()))
        .map(({ openTime, open, high, low, close, ticks, volume }) =>
          [openTime, open, high, low, close, ticks, volume].join(" ")
        );
      const [want, have] = [new Set(expected), new Set(found)];
      for (const candle of expected) if (!have.has(candle)) wrong.push(`${product} ${interval} lacks ${candle}`);
      for (const candle of found) if (!want.has(candle)) wrong.push(`${product} ${interval} has ${candle}`);
    }
  }
  return wrong;
}

/** All ticks and gaps, read from the file directly. */
export function readStore(path: string): { ticks: StoreTick[]; gaps: GapRecord[] } {
  using db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  const ticks = db.prepare(
    "SELECT p.product, t.sequence, t.price, t.exchange_time_us, t.record_shift_us, t.received_ms, t.trade_id, t.size " +
      "FROM tick t JOIN product p ON p.id = t.product ORDER BY t.product, t.sequence",
  ).all().map((row) => ({
    product: String(row.product),
    sequence: Number(row.sequence),
    price: Number(row.price),
    exchangeTimeUs: Number(row.exchange_time_us),
    recordTimeUs: Number(row.exchange_time_us) + Number(row.record_shift_us),
    receivedMs: Number(row.received_ms),
    tradeId: Number(row.trade_id),
    size: row.size === null ? null : Number(row.size),
  }));
  const orNull = (value: unknown) => value === null ? null : Number(value);
  const gaps = db.prepare(
    "SELECT p.exchange, p.product, opened, from_time, to_time, reason, dropped, missed " +
      "FROM gap g JOIN product p ON p.id = g.product ORDER BY opened",
  ).all().map((row) => ({
    exchange: String(row.exchange),
    product: String(row.product),
    opened: Number(row.opened),
    from: orNull(row.from_time),
    to: orNull(row.to_time),
    reason: String(row.reason),
    dropped: Number(row.dropped),
    missed: Number(row.missed) === 1,
  }));
  return { ticks, gaps };
}

/** The points with the ids of the records that have the same product and time. A point without a record has none. */
function identifyPoints({ records, points }: Snapshot): StoredTick[] {
  const keyOf = ({ product, timeUs }: Pick<StoredTick, "product" | "timeUs">) => `${product} ${timeUs}`;
  const recordsAt = Map.groupBy(ticksIn(records), keyOf);
  return points.flatMap((point): StoredTick[] => {
    // several ticks may have one time if they arrived late; the point then has the price of the last one
    const at = (recordsAt.get(keyOf(point)) ?? []).map(({ id, product, timeUs, price }) => ({
      id,
      product,
      timeUs,
      price,
    }));
    const last = at.at(-1);
    return last === undefined
      ? [{ ...point, id: undefined }]
      : at.map((tick) => tick.id === last.id ? { ...tick, price: point.price } : tick);
  });
}

/** Skipped trades, minus the tickers of which only the first half arrived. */
function skippedBeyond({ skippedTrades }: Count, cutTickers: ReadonlyMap<string, number>): SkippedTrades[] {
  const left = new Map(cutTickers);
  return skippedTrades.filter(({ product, count }) => {
    const rest = (left.get(product) ?? 0) - count;
    if (rest < 0) return true;
    left.set(product, rest);
    return false;
  });
}

/** Gaps that declare more dropped ticks than are missing in them. */
function overcounted({ gaps, missing }: Count, sent: readonly KnownTick[]): string[] {
  const lost = new Set(missing);
  const times = Map.groupBy(sent.filter(({ id }) => lost.has(id)), ({ product }) => product);
  return gaps.filter(({ dropped }) => dropped > 0).flatMap(({ product, from, to, dropped, reason }) => {
    const inside = (times.get(product) ?? []).filter(({ time }) => {
      const seconds = microsecondsOf(time) / 1e6;
      return from <= seconds + SHIFT_S && seconds <= to;
    }).length;
    return inside >= dropped ? [] : [`${product} ${reason} ${from}-${to}: ${dropped} dropped, ${inside} missing`];
  });
}

/**
 * Gaps that cover ticks which both Kafka and the store hold, over more than {@link EDGE_MS}. (A gap of one place only, as after
 * a full queue, is compared with its own number of dropped ticks, and may include ticks that were stored meanwhile.)
 */
function overdeclared(
  kafka: readonly ResolvedGap[],
  store: readonly ResolvedGap[],
  { records, ticks }: Snapshot,
): string[] {
  const inKafka = new Set(records.map(({ headers }) => headers.id));
  const both = Map.groupBy(ticks.filter((tick) => inKafka.has(idOf(tick))), ({ product }) => product);
  const isOfAll = (gap: ResolvedGap) => gap.missed && gap.reason !== "queue-full" && gap.reason !== "store-failed";
  return [...kafka, ...store].filter(isOfAll).flatMap(({ product, opened, reason, from, to }) => {
    const arrivals = (both.get(product) ?? []).filter(({ recordTimeUs }) =>
      from < recordTimeUs / 1e6 - SHIFT_S && recordTimeUs / 1e6 + SHIFT_S < to
    ).map(({ receivedMs }) => receivedMs);
    if (arrivals.length === 0) return [];
    const first = arrivals.reduce((a, b) => Math.min(a, b)), last = arrivals.reduce((a, b) => Math.max(a, b));
    if (last - first <= EDGE_MS) return [];
    return [`${product} ${reason} opened ${opened}, ${from}-${to}: ${arrivals.length} ticks in ${last - first} ms`];
  });
}

/** InfluxDB must have the latest record of each gap in Kafka, and no other gaps. */
function differingGaps(records: readonly GapRecord[], points: readonly GapRecord[]): string[] {
  const plain = ({ product, opened, from, to, reason, dropped, missed }: GapRecord) =>
    [product, opened, from, to, reason, dropped, missed].join(" ");
  const latest = new Map(records.map((gap) => [`${gap.product} ${gap.opened}`, plain(gap)]));
  const wanted = new Set(latest.values());
  const found = new Set(points.map(plain));
  return [
    ...[...wanted.difference(found)].map((gap) => `lacks ${gap}`),
    ...[...found.difference(wanted)].map((gap) => `has ${gap}`),
  ];
}

function isOurGap(value: string): boolean {
  try {
    return JSON.parse(value).exchange === "coinbase";
  } catch {
    return false;
  }
}

function idOf({ product, sequence }: StoreTick): string {
  return `coinbase:${product}:${sequence}`;
}

function storedTickOf(tick: StoreTick): StoredTick {
  const { product, recordTimeUs, price, tradeId } = tick;
  return { id: idOf(tick), product, timeUs: recordTimeUs, price, tradeId };
}

/** The first few, and how many there are. */
function some(what: string, list: readonly string[]): string[] {
  return list.length === 0 ? [] : [`${list.length} ${what}: ${list.slice(0, 4).join("; ")}`];
}

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {}, often() {} };
