// The one way in which tests count: what is stored (in Kafka, InfluxDB or the SQLite file) must be what the exchange sent,
// minus what the gap records declare. Shares no code with the program: it reads records and gaps as any other reader would.

import { assertEquals } from "@std/assert";
import type { SentTick as LedgerTick } from "../src/simulator/server.ts";
import type { KafkaRecord } from "./servers/kafka.ts";

/** A tick as the exchange sent it. */
export type SentTick = Pick<LedgerTick, "id" | "product" | "time" | "price" | "tradeId">;

/** A tick as it was found in one of the places where ticks are stored. */
export interface StoredTick {
  /** `coinbase:<product>:<sequence>`; undefined if the exchange never sent such a tick. */
  readonly id: string | undefined;
  readonly product: string;
  /** The record's time, whole microseconds since the epoch. */
  readonly timeUs: number;
  readonly price: number;
  /** Only where it is stored. */
  readonly tradeId?: number;
  /** Kafka's partition. If it is given, the order of the ticks is checked as well. */
  readonly partition?: number;
}

/** A gap record as it is stored. All times are unix seconds. */
export interface GapRecord {
  readonly exchange: string;
  readonly product: string;
  /** Identifies the gap within its product: a later record with the same value replaces an earlier one. */
  readonly opened: number;
  /** Null if unknown. */
  readonly from: number | null;
  /** Null if the gap was still open when the record was written. */
  readonly to: number | null;
  readonly reason: string;
  /** Ticks known to be lost. */
  readonly dropped: number;
  /** False: no tick is missing. */
  readonly missed: boolean;
}

/** A gap with both ends, as a reader interprets it. */
export interface ResolvedGap extends GapRecord {
  /** Minus infinity if nothing was stored before the gap. */
  readonly from: number;
  /** Infinity if the gap is still open. */
  readonly to: number;
}

/** What is compared. */
export interface CountInput {
  /** In the order of sending; copies of a tick are allowed. */
  readonly sent: readonly SentTick[];
  /** By partition and offset if it comes from Kafka. */
  readonly stored: readonly StoredTick[];
  /** In the order of writing. */
  readonly gaps: readonly GapRecord[];
  /** `ticker` (default): records keep the exchange's microsecond. `ticker_batch`: only its second. */
  readonly channel?: "ticker" | "ticker_batch";
}

/** The result. If everything is right, all lists are empty except `missing` and `gaps`. */
export interface Count {
  /** Different ticks sent. */
  readonly sent: number;
  /** Different ticks stored. */
  readonly stored: number;
  /** Records beyond the first of their tick, which at-least-once delivery allows. */
  readonly repeats: number;
  /** Ids sent and not stored. */
  readonly missing: readonly string[];
  /** Missing, and not covered by a gap. */
  readonly undeclared: readonly string[];
  /** Undeclared, and covered by a gap that says that nothing was missed. */
  readonly contradicted: readonly string[];
  /** Stored and never sent. */
  readonly neverSent: readonly string[];
  /** Stored with another product, price, trade id or time. */
  readonly altered: readonly string[];
  /** Stored after a tick that was sent later, or in another partition than the rest of the product. */
  readonly outOfOrder: readonly string[];
  /** Trades without a tick between two stored ones, and without a gap (`ticker` only, where every trade has a tick). */
  readonly skippedTrades: readonly SkippedTrades[];
  readonly gaps: readonly ResolvedGap[];
}

/** Consecutive trades of which the exchange sent no tick. */
export interface SkippedTrades {
  readonly product: string;
  readonly count: number;
  /** The trade id of the next stored tick. */
  readonly before: number;
}

/** How far a record's time may be after the exchange's: trades of the same microsecond take the next free ones. */
const SHIFT_US = 50;

/** Compares ticks that were stored with their ids. */
export function count({ sent, stored, gaps, channel = "ticker" }: CountInput): Count {
  const positions = new Map<string, number>();
  const ticks: SentTick[] = [];
  for (const tick of sent) {
    if (positions.has(tick.id)) continue;
    positions.set(tick.id, ticks.length);
    ticks.push(tick);
  }
  const shiftUs = channel === "ticker" ? SHIFT_US : 0;
  const first = new Map<string, StoredTick>();
  const latest = new Map<string, { position: number; partition: number }>();
  const neverSent: string[] = [];
  const altered: string[] = [];
  const outOfOrder: string[] = [];
  for (const record of stored) {
    const id = record.id ?? `${record.product} ${record.timeUs}`;
    const position = positions.get(id);
    const isRepeat = first.has(id);
    if (record.partition !== undefined) {
      const before = latest.get(record.product);
      const isLate = !isRepeat && before !== undefined && position !== undefined && position < before.position;
      if (isLate || before !== undefined && before.partition !== record.partition) outOfOrder.push(id);
      if (!isRepeat) {
        latest.set(record.product, { position: position ?? before?.position ?? -1, partition: record.partition });
      }
    }
    const tick = position === undefined ? undefined : ticks[position];
    if (tick !== undefined && isAltered(record, tick, channel)) {
      altered.push(`${id}: ${tick.product} ${tick.price} ${tick.time} became ${JSON.stringify(record)}`);
    }
    if (isRepeat) continue;
    first.set(id, record);
    if (tick === undefined) neverSent.push(id);
  }

  const resolved = resolveGaps(gaps, stored);
  const isCovered = (product: string, fromUs: number, toUs: number, missed: boolean) =>
    resolved.some((gap) => gap.missed === missed && touches(gap, product, fromUs, toUs, shiftUs));
  const missing: string[] = [];
  const undeclared: string[] = [];
  const contradicted: string[] = [];
  for (const { id, product, time } of ticks) {
    if (first.has(id)) continue;
    missing.push(id);
    const timeUs = recordTimeOf(time, channel);
    if (isCovered(product, timeUs, timeUs, true)) continue;
    undeclared.push(id);
    if (isCovered(product, timeUs, timeUs, false)) contradicted.push(id);
  }
  return {
    sent: ticks.length,
    stored: first.size,
    repeats: stored.length - first.size,
    missing,
    undeclared,
    contradicted,
    neverSent,
    altered,
    outOfOrder,
    skippedTrades: channel === "ticker" ? skippedTrades() : [],
    gaps: resolved,
  };

  function skippedTrades(): SkippedTrades[] {
    const found: SkippedTrades[] = [];
    for (const [product, own] of Map.groupBy(ticks, (tick) => tick.product)) {
      const told = new Set(own.map(({ tradeId }) => tradeId));
      const inOrder = own.filter(({ id }) => first.has(id)).sort((a, b) => a.tradeId - b.tradeId);
      for (const [i, after] of inOrder.entries()) {
        const before = inOrder[i - 1];
        if (before === undefined) continue;
        let count = 0;
        for (let trade = before.tradeId + 1; trade < after.tradeId; trade++) if (!told.has(trade)) count++;
        const [fromUs = 0, toUs = 0] = [before, after].map(({ id }) => first.get(id)?.timeUs);
        if (count > 0 && !isCovered(product, fromUs, toUs, true)) found.push({ product, count, before: after.tradeId });
      }
    }
    return found;
  }
}

/** A point in InfluxDB, which stores no ids: a tick is recognised by its product, time and price. */
export type Point = Omit<StoredTick, "id" | "tradeId" | "partition">;

/** Compares points of InfluxDB. On `ticker_batch` a second has one point, with the last price of that second. */
export function countByTime(
  { sent, points, gaps, channel }: Omit<CountInput, "stored"> & { readonly points: readonly Point[] },
): Count {
  const shiftUs = channel === "ticker_batch" ? 0 : SHIFT_US;
  const resolved = resolveGaps(gaps, points);
  const isDeclared = (product: string, timeUs: number) =>
    resolved.some((gap) => gap.missed && touches(gap, product, timeUs, timeUs, shiftUs));
  const pointsOf = Map.groupBy(points, ({ product }) => product);
  const wanted: SentTick[] = [];
  const stored: StoredTick[] = [];
  for (const [product, own] of Map.groupBy(sent, (tick) => tick.product)) {
    const found = (pointsOf.get(product) ?? []).toSorted((a, b) => a.timeUs - b.timeUs);
    pointsOf.delete(product);
    const timed = own.map((tick) => ({ tick, timeUs: recordTimeOf(tick.time, channel) }));
    const ticks = channel === "ticker_batch" ? lastOfEachSecond(timed, found) : timed;
    // the sort is stable: ticks of the same microsecond stay in the order of sending
    ticks.sort((a, b) => a.timeUs - b.timeUs);
    wanted.push(...ticks.map(({ tick }) => tick));
    let next = 0;
    for (const [i, { tick, timeUs }] of ticks.entries()) {
      for (; (found[next]?.timeUs ?? Infinity) < timeUs; next++) {
        stored.push({ ...found[next] as Point, id: undefined });
      }
      const point = found[next];
      if (point === undefined || point.timeUs > timeUs + shiftUs) continue;
      // if a gap took the first ticks of a microsecond, the point is that of a later tick
      const isOfLaterTick = point.price !== Number(tick.price) && isDeclared(product, timeUs) &&
        ticks.slice(i + 1, i + 1 + shiftUs).some((later) =>
          later.timeUs <= point.timeUs && Number(later.tick.price) === point.price
        );
      if (isOfLaterTick) continue;
      stored.push({ ...point, id: tick.id });
      next++;
    }
    stored.push(...found.slice(next).map((point) => ({ ...point, id: undefined })));
  }
  for (const rest of pointsOf.values()) stored.push(...rest.map((point) => ({ ...point, id: undefined })));
  return count({ sent: wanted, stored, gaps, ...channel !== undefined && { channel } });

  /** The tick whose price the point of its second must have: the last one, or the last that a gap left. */
  function lastOfEachSecond(ticks: readonly TimedTick[], points: readonly Point[]): TimedTick[] {
    const prices = new Map(points.map(({ timeUs, price }) => [timeUs, price]));
    return [...Map.groupBy(ticks, ({ timeUs }) => timeUs)].flatMap(([timeUs, list]) => {
      const price = prices.get(timeUs);
      const product = list[0]?.tick.product ?? "";
      const left = isDeclared(product, timeUs) && list.findLast(({ tick }) => Number(tick.price) === price);
      return left || list.slice(-1);
    });
  }
}

interface TimedTick {
  readonly tick: SentTick;
  readonly timeUs: number;
}

/** Fails unless every tick is stored unaltered and in order, or declared as missing. */
export function assertAllDeclared(counted: Count): void {
  const { undeclared, contradicted, neverSent, altered, outOfOrder, skippedTrades } = counted;
  const lists = { undeclared, contradicted, neverSent, altered, outOfOrder, skippedTrades };
  const found = Object.entries(lists).filter(([, list]) => list.length > 0)
    .map(([name, list]) => `${list.length} ${name}: ${JSON.stringify(list.slice(0, 5))}`);
  assertEquals(found, []);
  assertEquals(counted.stored, counted.sent - counted.missing.length);
}

/** The sum of `dropped` over all gaps of one reason. */
export function droppedBy(counted: Count, reason: string): number {
  return counted.gaps.filter((gap) => gap.reason === reason).reduce((sum, { dropped }) => sum + dropped, 0);
}

/** Ticks out of the records of Kafka's topic. */
export function ticksIn(records: readonly KafkaRecord[]): StoredTick[] {
  return records.map(({ headers, value, partition }) => {
    const { product, w_time: time, price } = JSON.parse(value);
    const timeUs = Math.round(time * 1e6);
    const id = headers.id ?? `a record without an id: ${value}`;
    return { id, product, timeUs, price, tradeId: Number(headers.trade), partition };
  });
}

/** Gaps out of the records of Kafka's topic. */
export function gapsIn(records: readonly KafkaRecord[]): GapRecord[] {
  return records.map(({ value }) => JSON.parse(value));
}

/** RFC 3339 with six digits in microseconds since the epoch; `Date.parse` would drop three of them. */
export function microsecondsOf(time: string): number {
  const [, fraction = ""] = /\.(\d+)Z$/.exec(time) ?? [];
  return Date.parse(`${time.slice(0, 19)}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** The latest record of each gap, with both ends filled in as the README describes. */
function resolveGaps(gaps: readonly GapRecord[], stored: readonly Pick<StoredTick, "product" | "timeUs">[]) {
  const all = [...new Map(gaps.map((gap) => [`${gap.product} ${gap.opened}`, gap])).values()];
  const ticksOf = Map.groupBy(stored, ({ product }) => product);
  return all.map((gap): ResolvedGap => {
    const restarts = all.filter(({ product, reason, opened }) =>
      product === gap.product && reason === "restart" && opened > gap.opened
    );
    const to = gap.to ?? Math.min(Infinity, ...restarts.map(({ opened }) => opened));
    // without a known start, the gap begins at the last tick before it
    const from = gap.from ?? (ticksOf.get(gap.product) ?? []).reduce((last, { timeUs }) => {
      const time = timeUs / 1e6;
      return time < to ? Math.max(last, time) : last;
    }, -Infinity);
    return { ...gap, from, to };
  });
}

function touches(gap: ResolvedGap, product: string, fromUs: number, toUs: number, shiftUs: number): boolean {
  return gap.product === product && Math.round(gap.from * 1e6) <= toUs + shiftUs && fromUs <= Math.round(gap.to * 1e6);
}

function isAltered(record: StoredTick, sent: SentTick, channel: CountInput["channel"]): boolean {
  const shiftUs = record.timeUs - recordTimeOf(sent.time, channel);
  return record.product !== sent.product || record.price !== Number(sent.price) ||
    record.tradeId !== undefined && record.tradeId !== sent.tradeId ||
    shiftUs < 0 || shiftUs > (channel === "ticker_batch" ? 0 : SHIFT_US);
}

/** The time that the record should have. */
function recordTimeOf(time: string, channel: CountInput["channel"]): number {
  const timeUs = microsecondsOf(time);
  return channel === "ticker_batch" ? Math.floor(timeUs / 1e6) * 1e6 : timeUs;
}
