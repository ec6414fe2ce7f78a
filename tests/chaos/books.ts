// What the exchange sent, held against what is in Kafka, in InfluxDB and in the store, and against what is declared as missing.
// Reads the three as anybody would; the rules of counting are those of tests/integration and tests/chain.

import { DatabaseSync } from "node:sqlite";
import { intervalMs, openTimeOf } from "../../src/core/candle.ts";
import type { Logger } from "../../src/core/log.ts";
import { Store } from "../../src/store/store.ts";
import { type Point, readGaps, readPoints, readRejected } from "../chain/count.ts";
import { GAPS_TOPIC, TOPIC } from "../chain/chain.ts";
import { type Count, count as countRecords, type GapRecord, type KnownGap } from "../integration/count.ts";
import type { InfluxServer } from "../servers/influxdb.ts";
import type { KafkaRecord, KafkaServer } from "../servers/kafka.ts";
import type { KnownTick } from "./link.ts";

/** A tick as it stands in the store. */
export interface StoredTick {
  /** As in the tick. */
  readonly product: string;
  /** As in the tick. */
  readonly sequence: number;
  /** As in the tick. */
  readonly price: number;
  /** Microseconds since the epoch. */
  readonly exchangeTimeUs: number;
  /** Microseconds since the epoch. */
  readonly recordTimeUs: number;
  /** ms since the epoch. */
  readonly receivedMs: number;
  /** As in the tick. */
  readonly tradeId: number;
  /** As in the tick. */
  readonly size: number | null;
}

/** What was read. */
export interface Books {
  /** What the exchange sent, in order. */
  readonly sent: readonly KnownTick[];
  /** By product: tickers that came cut in half. */
  readonly cutTickers: ReadonlyMap<string, number>;
  /** Records of ticks that are ours, by partition and offset. */
  readonly records: readonly KafkaRecord[];
  /** The same of gaps. */
  readonly gapRecords: readonly KafkaRecord[];
  /** In InfluxDB. */
  readonly points: readonly Point[];
  /** In InfluxDB. */
  readonly pointGaps: readonly GapRecord[];
  /** In the store. */
  readonly ticks: readonly StoredTick[];
  /** In the store. */
  readonly tickGaps: readonly GapRecord[];
  /** Now, microseconds since the epoch. */
  readonly nowUs: number;
}

/** What one of the three places has. */
export interface PlaceResult {
  /** Different ticks that were sent and are there. */
  readonly stored: number;
  /** Sent, not there, and declared. */
  readonly declared: number;
  /** Sent, not there, and not declared. */
  readonly undeclared: number;
  /** What is wrong, in words; none: all is right. */
  readonly wrong: readonly string[];
}

/** What came out, of the ticks of one round. */
export interface RoundResult {
  /** Different ticks. */
  readonly sent: number;
  /** Those of them that no program may take: half a message, or times hours ahead. */
  readonly rejected: number;
  /** See {@link PlaceResult}. */
  readonly kafka: PlaceResult;
  /** See {@link PlaceResult}. */
  readonly influx: PlaceResult;
  /** See {@link PlaceResult}. */
  readonly store: PlaceResult;
  /** Records in Kafka beyond the first of each tick. */
  readonly repeats: number;
  /** Trades of which the exchange told nobody although the line was open, and that no gap covers: `BTC-USD: 8 trades before 12`. */
  readonly untold: readonly string[];
}

/** What a count is to take into account. */
export interface CountOptions {
  /** The number of the round's first tick in `sent`; all before it are checked as well and not counted once more. */
  readonly from: number;
  /** The cursor could not be written, so that a restart declares more than was lost. */
  readonly staleCursor: boolean;
}

/** More than so far ahead of our clock a tick is rejected; the exchange's lever goes to hours. */
const FUTURE_US = 3600e6;
/**
 * How much a gap may cover that is stored, ms of arrival: the cursor is written once a second, a batch is under way, and the
 * exchange tells some ticks late by up to 5 s.
 */
const EDGE_MS = 5000;
/** A record's time may lie so far behind the exchange's, s. */
const SHIFT_S = 50e-6;

/** Reads all three. Nothing may be under way. */
export async function readBooks(
  { kafka, influx, storeFile, products, sent, cutTickers }:
    & { kafka: KafkaServer; influx: InfluxServer; storeFile: string }
    & { products: readonly string[]; sent: readonly KnownTick[]; cutTickers: ReadonlyMap<string, number> },
): Promise<Books> {
  const records = (await kafka.read(TOPIC)).filter(({ headers }) => headers.id !== undefined);
  const gapRecords = (await kafka.read(GAPS_TOPIC)).filter(({ value }) => isOurGap(value));
  const points = await readPoints(influx, products);
  const pointGaps = (await readGaps(influx)).filter(({ exchange }) => exchange === "coinbase");
  const { ticks, gaps } = readStore(storeFile);
  const nowUs = Date.now() * 1000;
  return { sent, cutTickers, records, gapRecords, points, pointGaps, ticks, tickGaps: gaps, nowUs };
}

/** Counts. */
export function settleBooks(books: Books, options: CountOptions): RoundResult {
  const { sent, gapRecords } = books;
  const isFuture = ({ time }: KnownTick) => Date.parse(time) * 1000 > books.nowUs + FUTURE_US / 2;
  const ofRound = new Set(sent.slice(options.from).map(({ id }) => id));
  const rejected = sent.slice(options.from).filter(isFuture).length;
  const withSequence = sent.map((tick) => ({ ...tick, sequence: Number(tick.id.split(":").at(-1)), at: 0 }));

  const future = new Set(sent.filter(isFuture).map(({ id }) => id));
  // they were told, so that their trades are no holes, and nobody misses them
  const withoutFuture = (count: Count): Count => ({
    ...count,
    missing: count.missing.filter((id) => !future.has(id)),
    undeclared: count.undeclared.filter((id) => !future.has(id)),
  });
  const inKafka = withoutFuture(countRecords({ sent: withSequence, records: books.records, gaps: gapRecords }));
  const storeRecords = books.ticks.toSorted((a, b) => a.receivedMs - b.receivedMs || a.sequence - b.sequence)
    .map((tick, offset) => recordOf(tick, offset));
  const storeGaps = books.tickGaps.map((gap, offset) => ({ ...EMPTY, offset, value: JSON.stringify(gap) }));
  const inStore = withoutFuture(countRecords({ sent: withSequence, records: storeRecords, gaps: storeGaps }));
  const { arrived, unknown, altered } = comparePoints(books.records, books.points);
  const influxGaps = books.pointGaps.map((gap, offset) => ({ ...EMPTY, offset, value: JSON.stringify(gap) }));
  const inInflux = withoutFuture(countRecords({ sent: withSequence, records: arrived, gaps: influxGaps }));

  const kafkaWrong = [
    ...some("undeclared", inKafka.undeclared),
    ...some("in Kafka and never sent", inKafka.unknown),
    ...some("out of order", inKafka.disordered),
    ...some("with another price or time", alteredRecords(books.records, sent)),
    ...some("dropped, says a gap, and yet there", overcounted(inKafka, withSequence)),
  ];
  const storeWrong = [
    ...some("undeclared", inStore.undeclared),
    ...some("in the store and never sent", inStore.unknown),
    ...some("dropped, says a gap, and yet there", overcounted(inStore, withSequence)),
  ];
  const influxWrong = [
    ...some("undeclared", inInflux.undeclared),
    ...some("in InfluxDB and not in Kafka", unknown),
    ...some("with another price", altered),
    ...some("gaps that differ from Kafka's", differingGaps(gapRecords, books.pointGaps)),
  ];
  if (!options.staleCursor) {
    const excess = overdeclared(inKafka.gaps, inStore.gaps, books);
    kafkaWrong.push(...some("declared as missing far beyond what is missing", excess));
  }

  const part = (missing: readonly string[], undeclared: readonly string[], wrong: string[]): PlaceResult => {
    const lost = missing.filter((id) => ofRound.has(id)).length;
    const silent = undeclared.filter((id) => ofRound.has(id)).length;
    return { stored: ofRound.size - rejected - lost, declared: lost - silent, undeclared: undeclared.length, wrong };
  };
  return {
    sent: ofRound.size,
    rejected,
    kafka: part(inKafka.missing, inKafka.undeclared, kafkaWrong),
    influx: part(inInflux.missing, inInflux.undeclared, influxWrong),
    store: part(inStore.missing, inStore.undeclared, storeWrong),
    repeats: inKafka.repeats,
    untold: [...new Set([inKafka, inStore].flatMap((place) => holesBeyond(place, books.cutTickers)))],
  };
}

/** How many poisoned records InfluxDB shows. */
export async function countRejected(influx: InfluxServer): Promise<number> {
  return (await readRejected(influx)).length;
}

/** Each candle that the store gives and that is not the fold of its ticks, in words. The fold is this file's own. */
export async function wrongCandles(storeFile: string, ticks: readonly StoredTick[]): Promise<string[]> {
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
        .filter((candle) => candle.origin === "ticks")
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

/** All ticks and gaps, asked of the file itself. */
export function readStore(path: string): { ticks: StoredTick[]; gaps: GapRecord[] } {
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

/** Which records are in InfluxDB, as product, time and price say; there are no ids. Of two with one time the later one counts. */
function comparePoints(
  records: readonly KafkaRecord[],
  points: readonly Point[],
): { arrived: KafkaRecord[]; unknown: string[]; altered: string[] } {
  const keyOf = (product: string, timeUs: number) => `${product} ${timeUs}`;
  const wanted = new Map(records.map((record) => {
    const { product, w_time: time, price } = JSON.parse(record.value);
    return [keyOf(product, Math.round(time * 1e6)), { record, price }];
  }));
  const found = new Map(points.map(({ product, timeUs, price }) => [keyOf(product, timeUs), price]));
  const lacking = new Set([...wanted].filter(([key]) => !found.has(key)).map(([, { record }]) => record.headers.id));
  return {
    arrived: records.filter(({ headers }) => !lacking.has(headers.id)),
    unknown: [...found.keys()].filter((key) => !wanted.has(key)),
    altered: [...found].flatMap(([key, price]) => {
      const sent = wanted.get(key)?.price;
      return sent === undefined || sent === price ? [] : [`${key}: ${sent} became ${price}`];
    }),
  };
}

/** Records that do not say what the exchange said. */
function alteredRecords(records: readonly KafkaRecord[], sent: readonly KnownTick[]): string[] {
  const known = new Map(sent.map((tick) => [tick.id, tick]));
  return records.flatMap(({ headers: { id = "" }, value }) => {
    const tick = known.get(id);
    if (tick === undefined) return [];
    const { product, w_time: time, price } = JSON.parse(value);
    const shiftUs = Math.round(time * 1e6) - microseconds(tick.time);
    const isSame = product === tick.product && price === Number(tick.price) && 0 <= shiftUs && shiftUs <= SHIFT_S * 1e6;
    return isSame ? [] : [`${id} ${tick.price} ${tick.time}: ${value}`];
  });
}

/** Untold trades that no gap covers, less the tickers that came cut in half. */
function holesBeyond({ silentHoles }: Count, cutTickers: ReadonlyMap<string, number>): string[] {
  const left = new Map(cutTickers);
  return silentHoles.filter((hole) => {
    const [, product = "", trades] = /^(\S+): (\d+) trades/.exec(hole) ?? [];
    const rest = (left.get(product) ?? 0) - Number(trades);
    if (rest < 0) return true;
    left.set(product, rest);
    return false;
  });
}

/** Gaps that count more dropped ticks than are missing in them. */
function overcounted({ gaps, missing }: Count, sent: readonly KnownTick[]): string[] {
  const lost = new Set(missing);
  const times = Map.groupBy(sent.filter(({ id }) => lost.has(id)), ({ product }) => product);
  return gaps.filter(({ dropped }) => dropped > 0).flatMap(({ product, from, to, dropped, reason }) => {
    const inside = (times.get(product) ?? []).filter(({ time }) => {
      const seconds = microseconds(time) / 1e6;
      return from <= seconds + SHIFT_S && seconds <= to;
    }).length;
    return inside >= dropped ? [] : [`${product} ${reason} ${from}-${to}: ${dropped} dropped, ${inside} missing`];
  });
}

/**
 * Gaps inside which there are ticks that every place has, from more than a moment. (A gap of one place alone, as when its queue
 * was full, is held against its own number, and may span ticks that passed in between.)
 */
function overdeclared(kafka: readonly KnownGap[], store: readonly KnownGap[], { records, ticks }: Books): string[] {
  const inKafka = new Set(records.map(({ headers }) => headers.id));
  const both = Map.groupBy(
    ticks.filter(({ product, sequence }) => inKafka.has(`coinbase:${product}:${sequence}`)),
    ({ product }) => product,
  );
  const spans = (gap: KnownGap) => gap.missed && gap.reason !== "queue-full" && gap.reason !== "store-failed";
  return [...kafka, ...store].filter(spans).flatMap(({ product, opened, reason, from, to }) => {
    const arrivals = (both.get(product) ?? []).filter(({ recordTimeUs }) =>
      from < recordTimeUs / 1e6 - SHIFT_S && recordTimeUs / 1e6 + SHIFT_S < to
    ).map(({ receivedMs }) => receivedMs);
    if (arrivals.length === 0) return [];
    const first = arrivals.reduce((a, b) => Math.min(a, b)), last = arrivals.reduce((a, b) => Math.max(a, b));
    if (last - first <= EDGE_MS) return [];
    return [`${product} ${reason} opened ${opened}, ${from}-${to}: ${arrivals.length} ticks in ${last - first} ms`];
  });
}

/** The later record of each gap in Kafka must be what InfluxDB has. */
function differingGaps(gapRecords: readonly KafkaRecord[], points: readonly GapRecord[]): string[] {
  const plain = ({ product, opened, from, to, reason, dropped, missed }: GapRecord) =>
    [product, opened, from, to, reason, dropped, missed].join(" ");
  const latest = new Map<string, string>();
  for (const { value } of gapRecords) {
    const gap: GapRecord = JSON.parse(value);
    latest.set(`${gap.product} ${gap.opened}`, plain(gap));
  }
  const found = new Set(points.map(plain));
  const wanted = new Set(latest.values());
  return [
    ...[...wanted].filter((gap) => !found.has(gap)).map((gap) => `lacks ${gap}`),
    ...[...found].filter((gap) => !wanted.has(gap)).map((gap) => `has ${gap}`),
  ];
}

function isOurGap(value: string): boolean {
  try {
    return JSON.parse(value).exchange === "coinbase";
  } catch {
    return false;
  }
}

function recordOf({ product, sequence, recordTimeUs, tradeId }: StoredTick, offset: number): KafkaRecord {
  const headers = { id: `coinbase:${product}:${sequence}`, trade: String(tradeId) };
  return { ...EMPTY, offset, headers, value: JSON.stringify({ product, w_time: recordTimeUs / 1e6 }) };
}

/** The first few, with how many there are. */
function some(what: string, list: readonly string[]): string[] {
  return list.length === 0 ? [] : [`${list.length} ${what}: ${list.slice(0, 4).join("; ")}`];
}

function microseconds(time: string): number {
  return Date.parse(`${time.slice(0, 19)}Z`) * 1000 + Number(time.slice(20, 26));
}

const EMPTY = { partition: 0, offset: 0, timestamp: 0, key: null, headers: {} };
const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {}, often() {} };
