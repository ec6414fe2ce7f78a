// The one way in which the tests of the chain count: points in InfluxDB = ticks that the exchange sent, minus what the gaps in
// InfluxDB declare. Asks InfluxDB alone, by Flux; no ids are left there, so a tick is its product and time.

import { assertEquals } from "@std/assert";
import type { SentTick } from "../../src/simulator/server.ts";
import { type GapRecord, type KnownGap, knownGaps } from "../integration/count.ts";
import type { FluxRow } from "../servers/flux_csv.ts";
import type { InfluxServer } from "../servers/influxdb.ts";

/** A point of `kafka_consumer`. */
export interface Point {
  /** The tag. */
  readonly product: string;
  /** Whole microseconds since the epoch. */
  readonly timeUs: number;
  /** The field. */
  readonly price: number;
}

/** What is held against each other. */
export interface Books {
  /** What the simulator sent, in order. */
  readonly sent: readonly Pick<SentTick, "product" | "time" | "price">[];
  /** All points of those products. */
  readonly points: readonly Point[];
  /** What is in `feed_gap`. */
  readonly gaps: readonly GapRecord[];
  /** `ticker`: each tick has a microsecond of its own; `ticker_batch`: a second, and the last price of it. */
  readonly channel: "ticker" | "ticker_batch";
}

/** What came out. All lists are empty when everything is right, but `missing`, which the gaps declare. */
export interface Count {
  /** Different products and times that were sent. */
  readonly sent: number;
  /** Points. */
  readonly stored: number;
  /** Sent and not stored. */
  readonly missing: readonly string[];
  /** Those of them that no gap declares. */
  readonly undeclared: readonly string[];
  /** Stored and never sent. */
  readonly unknown: readonly string[];
  /** Stored with another price. */
  readonly altered: readonly string[];
}

/** How far a record's time may lie after the exchange's: trades that share a microsecond take the next free ones. */
const SHIFT_US = 50;

/** Counts. */
export function count({ sent, points, gaps, channel }: Books): Count {
  const wanted = channel === "ticker" ? sent.map(({ time, ...rest }) => ({ ...rest, timeUs: microseconds(time) })) : [
    // the last of a second is the one that stays
    ...new Map(sent.map(({ product, time, price }) => {
      const timeUs = Math.floor(microseconds(time) / 1e6) * 1e6;
      return [`${product} ${timeUs}`, { product, timeUs, price }];
    })).values(),
  ];
  const shift = channel === "ticker" ? SHIFT_US : 0;
  const stored = Map.groupBy(points, ({ product }) => product);
  for (const list of stored.values()) list.sort((a, b) => a.timeUs - b.timeUs);
  const records = gaps.map((gap) => ({ value: JSON.stringify(gap), ...EMPTY_RECORD }));
  const known = knownGaps(records, (product) => (stored.get(product) ?? []).map(({ timeUs }) => timeUs / 1e6));
  const declared = (product: string, timeUs: number) =>
    known.some((gap) => gap.missed && gap.product === product && touches(gap, timeUs, shift));

  const missing: string[] = [];
  const undeclared: string[] = [];
  const unknown: string[] = [];
  const altered: string[] = [];
  for (const [product, ticks] of Map.groupBy(wanted, ({ product }) => product)) {
    // stable: of one microsecond in the order of sending
    ticks.sort((a, b) => a.timeUs - b.timeUs);
    const have = stored.get(product) ?? [];
    stored.delete(product);
    let next = 0;
    for (const [i, { timeUs, price }] of ticks.entries()) {
      let point = have[next];
      while (point !== undefined && point.timeUs < timeUs) {
        unknown.push(`${product} ${point.timeUs}`);
        point = have[++next];
      }
      if (point !== undefined && point.timeUs <= timeUs + shift) {
        // a gap may have taken the first ticks of a microsecond: the point is that of one after them
        const { timeUs: at, price: found } = point;
        const isOfLater = channel === "ticker" && found !== Number(price) && declared(product, timeUs) &&
          ticks.slice(i + 1, i + 1 + shift).some((later) => later.timeUs <= at && Number(later.price) === found);
        if (isOfLater) {
          missing.push(`${product} ${timeUs}`);
          continue;
        }
        // a gap in a second may have taken its last prices
        const same = point.price === Number(price) || channel === "ticker_batch" && declared(product, timeUs);
        if (!same) altered.push(`${product} ${timeUs}: ${price} became ${point.price}`);
        next++;
        continue;
      }
      missing.push(`${product} ${timeUs}`);
      if (!declared(product, timeUs)) undeclared.push(`${product} ${timeUs}`);
    }
    unknown.push(...have.slice(next).map(({ timeUs }) => `${product} ${timeUs}`));
  }
  for (const [product, points] of stored) unknown.push(...points.map(({ timeUs }) => `${product} ${timeUs}`));
  return { sent: wanted.length, stored: points.length, missing, undeclared, unknown, altered };
}

/** Fails unless all is stored but what is declared, nothing else is there, and every price is the one that was sent. */
export function assertAllDeclared(counted: Count): void {
  const { undeclared, unknown, altered } = counted;
  const head = (list: readonly string[]) => [list.length, ...list.slice(0, 5)];
  assertEquals(
    { undeclared: head(undeclared), unknown: head(unknown), altered: head(altered) },
    { undeclared: [0], unknown: [0], altered: [0] },
  );
  assertEquals(counted.stored, counted.sent - counted.missing.length);
}

/** How many points InfluxDB itself counts, of these products. */
export async function countPoints(influx: InfluxServer, products: readonly string[]): Promise<number> {
  const [row] = await influx.query(`${pricesOf(influx, products)}
    |> count()
    |> group()
    |> sum()`);
  return Number(row?._value ?? 0);
}

/** All points of these products. */
export async function readPoints(influx: InfluxServer, products: readonly string[]): Promise<Point[]> {
  const rows = await influx.query(`${pricesOf(influx, products)}
    |> group()
    |> map(fn: (r) => ({ product: r.product, us: int(v: r._time) / 1000, rest: int(v: r._time) % 1000, price: r._value }))`);
  return rows.map(({ product, us, rest, price }) => {
    if (rest !== 0) throw new Error(`${product} ${us} has ${rest} ns more than its record`);
    return { product: String(product), timeUs: Number(us), price: Number(price) };
  });
}

/** All of `feed_gap`, back in the form of its records. */
export async function readGaps(influx: InfluxServer): Promise<GapRecord[]> {
  const rows = await influx.query(`${pivoted(influx, "feed_gap")}
    |> map(fn: (r) => ({ r with us: int(v: r._time) / 1000 }))`);
  return rows.map((row) => ({
    exchange: String(row.exchange),
    product: String(row.product),
    opened: Number(row.us) / 1e6,
    // null cannot replace a value there, so a field of its own says which it is
    from: row.from_known === true ? Number(row.from) : null,
    to: row.to_known === true ? Number(row.to) : null,
    reason: String(row.reason),
    dropped: Number(row.dropped),
    missed: row.missed === true,
  }));
}

/** What `ticker_rejected` shows of the last hour, by time. */
export async function readRejected(influx: InfluxServer): Promise<{ reason: string; record: string }[]> {
  const rows: FluxRow[] = await influx.query(pivoted(influx, "ticker_rejected", "start: -1h, stop: 1h"));
  return rows.map(({ reason, record }) => ({ reason: String(reason), record: String(record ?? "") }));
}

function pivoted(influx: InfluxServer, measurement: string, times = EVER): string {
  return `from(bucket: "${influx.bucket}")
    |> range(${times})
    |> filter(fn: (r) => r._measurement == "${measurement}")
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> group()
    |> sort(columns: ["_time"])`;
}

function pricesOf(influx: InfluxServer, products: readonly string[]): string {
  const names = products.map((name) => name.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|");
  return `from(bucket: "${influx.bucket}")
    |> range(${EVER})
    |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product =~ /^(${names})$/)`;
}

function touches(gap: KnownGap, timeUs: number, shift: number): boolean {
  return gap.from <= (timeUs + shift) / 1e6 && timeUs / 1e6 <= gap.to;
}

/** `2026-10-03T20:58:31.127510Z`, without the help of `Date.parse`, which knows no microseconds. */
function microseconds(time: string): number {
  const [, fraction = ""] = /\.(\d+)Z$/.exec(time) ?? [];
  return Date.parse(`${time.slice(0, 19)}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

const EVER = "start: 1970-01-01T00:00:00Z, stop: 2262-01-01T00:00:00Z";

const EMPTY_RECORD = { partition: 0, offset: 0, timestamp: 0, key: null, headers: {} };
