// The one way in which all integration tests count: ids in Kafka = ids that the exchange sent, minus what gaps declare; at least
// once, in order. Shares no code with the program: it reads the two topics as any other reader would.

import { assertEquals } from "@std/assert";
import type { SentTick } from "../../src/simulator/server.ts";
import type { KafkaRecord } from "../servers/kafka.ts";

/** A gap as it stands in its topic. */
export interface GapRecord {
  /** The exchange's name. */
  readonly exchange: string;
  /** As in the records of ticks. */
  readonly product: string;
  /** Unix seconds, as all times here. */
  readonly opened: number;
  /** Null: nobody knows. */
  readonly from: number | null;
  /** Null: it was open when this was written. */
  readonly to: number | null;
  /** Why. */
  readonly reason: string;
  /** Ticks known to be lost. */
  readonly dropped: number;
  /** False: nothing is missing. */
  readonly missed: boolean;
}

/** A gap with both ends, as a reader understands it. */
export interface KnownGap extends GapRecord {
  /** Minus infinity: since ever. */
  readonly from: number;
  /** Infinity: it is still open. */
  readonly to: number;
}

/** What is held against each other. */
export interface Books {
  /** What the simulator sent, in order. */
  readonly sent: readonly Pick<SentTick, "id" | "product" | "time" | "tradeId">[];
  /** The topic for ticks, by partition and offset. */
  readonly records: readonly KafkaRecord[];
  /** The topic for gaps, by partition and offset. */
  readonly gaps: readonly KafkaRecord[];
  /** Which channel it was; default `ticker`. */
  readonly channel?: "ticker" | "ticker_batch";
}

/** What came out. All lists are empty when everything is right, but `missing`, which the gaps declare. */
export interface Count {
  /** Different ids in Kafka. */
  readonly stored: number;
  /** Records beyond the first of their id: at least once allows them. */
  readonly repeats: number;
  /** Sent and not in Kafka. */
  readonly missing: readonly string[];
  /** Those of them that no gap declares. */
  readonly undeclared: readonly string[];
  /** Undeclared, and inside a gap that says that nothing was missed. */
  readonly contradicted: readonly string[];
  /** In Kafka and never sent. */
  readonly unknown: readonly string[];
  /** Their first record comes after that of a tick that was sent later, or stands in another partition. */
  readonly disordered: readonly string[];
  /** Trades nobody was told of, between two that are in Kafka, and no gap there (`ticker` only, which tells of each trade). */
  readonly silentHoles: readonly string[];
  /** All gaps. */
  readonly gaps: readonly KnownGap[];
}

/** How far a record's time may lie after the exchange's: trades that share a microsecond take the next free ones. */
const SHIFT_SECONDS = 50e-6;

/** The later record of each gap, with ends. */
export function knownGaps(gaps: readonly KafkaRecord[], timesOf: (product: string) => readonly number[]): KnownGap[] {
  const latest = new Map<string, GapRecord>();
  for (const { value } of gaps) {
    const gap: GapRecord = JSON.parse(value);
    latest.set(`${gap.product} ${gap.opened}`, gap);
  }
  const all = [...latest.values()];
  return all.map((gap) => {
    const nextStarts = all.filter((other) =>
      other.product === gap.product && other.reason === "restart" && other.opened > gap.opened
    ).map((other) => other.opened);
    const to = gap.to ?? Math.min(Infinity, ...nextStarts);
    const from = gap.from ??
      timesOf(gap.product).reduce((last, time) => time < to ? Math.max(last, time) : last, -Infinity);
    return { ...gap, from, to };
  });
}

/** Counts. */
export function count({ sent, records, gaps, channel = "ticker" }: Books): Count {
  const places = new Map(sent.map(({ id }, place) => [id, place]));
  const stored = new Map<string, { product: string; time: number; trade: number }>();
  const times = new Map<string, number[]>();
  const last = new Map<string, { place: number; partition: number }>();
  const unknown: string[] = [];
  const disordered: string[] = [];
  for (const { headers, value, partition } of records) {
    const id = headers.id ?? `a record without an id: ${value}`;
    const { product, w_time: time } = JSON.parse(value);
    const before = last.get(product);
    if (before !== undefined && before.partition !== partition) disordered.push(id);
    if (stored.has(id)) continue;
    const place = places.get(id);
    if (place === undefined) unknown.push(id);
    if (before !== undefined && place !== undefined && place < before.place) disordered.push(id);
    last.set(product, { place: place ?? before?.place ?? -1, partition });
    stored.set(id, { product, time, trade: Number(headers.trade) });
    const known = times.get(product);
    if (known === undefined) times.set(product, [time]);
    else known.push(time);
  }

  const known = knownGaps(gaps, (product) => times.get(product) ?? []);
  const shift = channel === "ticker" ? SHIFT_SECONDS : 0;
  const covering = (product: string, from: number, to: number, missed: boolean) =>
    known.some((gap) => gap.product === product && gap.missed === missed && gap.from <= to + shift && from <= gap.to);

  const missing: string[] = [];
  const undeclared: string[] = [];
  const contradicted: string[] = [];
  for (const { id, product, time } of sent) {
    if (stored.has(id)) continue;
    missing.push(id);
    const seconds = secondsOf(time, channel);
    if (covering(product, seconds, seconds, true)) continue;
    undeclared.push(id);
    if (covering(product, seconds, seconds, false)) contradicted.push(id);
  }
  return {
    stored: stored.size,
    repeats: records.length - stored.size,
    missing,
    undeclared,
    contradicted,
    unknown,
    disordered,
    silentHoles: channel === "ticker" ? holes() : [],
    gaps: known,
  };

  function holes(): string[] {
    const found: string[] = [];
    const told = new Map<string, Set<number>>();
    for (const { product, tradeId } of sent) {
      const trades = told.get(product);
      if (trades === undefined) told.set(product, new Set([tradeId]));
      else trades.add(tradeId);
    }
    const byTrade = [...stored.values()].sort((a, b) =>
      a.product < b.product ? -1 : a.product > b.product ? 1 : a.trade - b.trade
    );
    byTrade.forEach((after, index) => {
      const before = byTrade[index - 1];
      if (before?.product !== after.product) return;
      let untold = 0;
      for (let trade = before.trade + 1; trade < after.trade; trade++) {
        if (told.get(after.product)?.has(trade) !== true) untold++;
      }
      if (untold > 0 && !covering(after.product, before.time, after.time, true)) {
        found.push(`${after.product}: ${untold} trades before ${after.trade}`);
      }
    });
    return found;
  }
}

/** Fails unless everything that is not in Kafka is declared, nothing else is there, and the order is kept. */
export function assertAllDeclared(counted: Count): void {
  const { undeclared, contradicted, unknown, disordered, silentHoles } = counted;
  const head = (list: readonly string[]) => [list.length, ...list.slice(0, 5)];
  assertEquals(
    {
      undeclared: head(undeclared),
      contradicted: head(contradicted),
      unknown: head(unknown),
      disordered: head(disordered),
      silentHoles: head(silentHoles),
    },
    { undeclared: [0], contradicted: [0], unknown: [0], disordered: [0], silentHoles: [0] },
  );
}

/** The sum of what the gaps of one reason say was dropped. */
export function droppedBy(counted: Count, reason: string): number {
  return counted.gaps.filter((gap) => gap.reason === reason).reduce((sum, { dropped }) => sum + dropped, 0);
}

/** `2026-10-03T20:58:31.127510Z` as a record bears it, without the help of `Date.parse`, which knows no microseconds. */
function secondsOf(time: string, channel: "ticker" | "ticker_batch"): number {
  const whole = Date.parse(`${time.slice(0, 19)}Z`) / 1000;
  return channel === "ticker" ? Number(`${whole}${time.slice(19, -1)}`) : whole;
}
