// The count of the chaos must find what is wrong: rounds that cannot fail prove nothing.

import { assertEquals, assertMatch } from "@std/assert";
import type { GapRecord } from "../integration/count.ts";
import { type Books, settleBooks } from "./books.ts";
import type { KnownTick } from "./link.ts";

const START_US = 1_700_000_000_000_000;
const PRODUCT = "BTC-USD";

/** The n-th tick, one each 100 ms. */
function tick(n: number): KnownTick {
  const time = new Date(START_US / 1000 + n * 100).toISOString().replace("Z", "000Z");
  return { id: `coinbase:${PRODUCT}:${n}`, product: PRODUCT, tradeId: n, price: String(100 + n), time };
}

function seconds(n: number): number {
  return START_US / 1e6 + n / 10;
}

function gap(from: number | null, to: number | null, rest: Partial<GapRecord> = {}): GapRecord {
  return {
    exchange: "coinbase",
    product: PRODUCT,
    opened: START_US / 1e6 + 1000,
    from: from === null ? null : seconds(from),
    to: to === null ? null : seconds(to),
    reason: "link-closed",
    dropped: 0,
    missed: true,
    ...rest,
  };
}

/** Hundred ticks of which these are missing in all three places, or in one alone. */
function books(missing: readonly number[], gaps: readonly GapRecord[], only?: "kafka" | "influx" | "store"): Books {
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  const kept = (place: string) => numbers.filter((n) => (only ?? place) !== place || !missing.includes(n));
  const record = { partition: 0, offset: 0, timestamp: 0, key: PRODUCT };
  return {
    sent: numbers.map(tick),
    cutTickers: new Map(),
    records: kept("kafka").map((n) => ({
      ...record,
      headers: { id: tick(n).id, trade: String(n) },
      value: JSON.stringify({ product: PRODUCT, w_time: seconds(n), price: 100 + n }),
    })),
    gapRecords: gaps.map((each) => ({ ...record, headers: {}, value: JSON.stringify(each) })),
    points: kept("influx").map((n) => ({ product: PRODUCT, timeUs: START_US + n * 100_000, price: 100 + n })),
    pointGaps: gaps,
    ticks: kept("store").map((n) => ({
      product: PRODUCT,
      sequence: n,
      price: 100 + n,
      exchangeTimeUs: START_US + n * 100_000,
      recordTimeUs: START_US + n * 100_000,
      receivedMs: START_US / 1000 + n * 100,
      tradeId: n,
      size: 1,
    })),
    tickGaps: gaps,
    nowUs: START_US + 100 * 100_000,
  };
}

const ALL = { from: 0, staleCursor: false };

/** What is wrong, by place. */
function wrong(result: ReturnType<typeof settleBooks>): Record<string, readonly string[]> {
  const found = { kafka: result.kafka.wrong, influx: result.influx.wrong, store: result.store.wrong };
  return Object.fromEntries(Object.entries(found).filter(([, list]) => list.length > 0));
}

Deno.test("settleBooks() finds nothing wrong where all is there, or what is missing is declared", () => {
  assertEquals(wrong(settleBooks(books([], []), ALL)), {});
  const result = settleBooks(books([5, 6], [gap(4, 7)]), ALL);
  assertEquals(wrong(result), {});
  assertEquals([result.sent, result.kafka.stored, result.kafka.declared, result.untold], [100, 98, 2, []]);
});

for (const place of ["kafka", "influx", "store"] as const) {
  Deno.test(`settleBooks() finds what is missing undeclared in one place: ${place}`, () => {
    const result = settleBooks(books([5], [], place), ALL);
    // what is in InfluxDB and not in Kafka came from nowhere
    assertEquals(Object.keys(wrong(result)), place === "kafka" ? ["kafka", "influx"] : [place]);
    assertMatch(wrong(result)[place]?.[0] ?? "", /^1 undeclared: /);
    assertEquals([result[place].stored, result[place].declared, result[place].undeclared], [99, 0, 1]);
  });
}

Deno.test("settleBooks() finds ticks that a gap does not reach, or that a gap says were not missed", () => {
  assertEquals(settleBooks(books([5, 6], [gap(4, 5)]), ALL).kafka.undeclared, 1);
  assertEquals(settleBooks(books([5], [gap(4, 6, { missed: false })]), ALL).store.undeclared, 1);
});

Deno.test("settleBooks() finds a gap that declares far more than is missing", () => {
  const result = settleBooks(books([], [gap(1, 99)]), ALL);
  assertMatch(result.kafka.wrong[0] ?? "", /^2 declared as missing far beyond what is missing: /);
  assertEquals(wrong(settleBooks(books([], [gap(1, 99)]), { ...ALL, staleCursor: true })), {});
  // the cursor is written once a second
  assertEquals(wrong(settleBooks(books([], [gap(1, 20)]), ALL)), {});
});

Deno.test("settleBooks() finds a gap that counts more dropped ticks than are missing", () => {
  const dropped = (n: number) => gap(4, 8, { reason: "queue-full", dropped: n });
  assertEquals(wrong(settleBooks(books([5, 6], [dropped(2)]), ALL)), {});
  assertMatch(settleBooks(books([5, 6], [dropped(3)]), ALL).kafka.wrong[0] ?? "", /yet there: .*3 dropped, 2 missing/);
});

Deno.test("settleBooks() finds prices and times that were changed on the way, and points of nobody", () => {
  const one = books([], []);
  const points = one.points.map((point, n) => n === 7 ? { ...point, price: 1 } : point);
  assertMatch(settleBooks({ ...one, points }, ALL).influx.wrong[0] ?? "", /^1 with another price: .*: 107 became 1$/);
  const more = [...one.points, { product: PRODUCT, timeUs: START_US + 1, price: 1 }];
  assertMatch(settleBooks({ ...one, points: more }, ALL).influx.wrong[0] ?? "", /^1 in InfluxDB and not in Kafka: /);
  for (const value of [{ price: 1 }, { w_time: seconds(7) + 0.001 }, { product: "ETH-USD" }]) {
    const records = one.records.map((record, n) =>
      n === 7 ? { ...record, value: JSON.stringify({ ...JSON.parse(record.value), ...value }) } : record
    );
    assertMatch(settleBooks({ ...one, records }, ALL).kafka.wrong.join("; "), /1 with another price or time: /);
  }
});

Deno.test("settleBooks() finds gaps that differ between Kafka and InfluxDB", () => {
  const one = books([5], [gap(4, 7)]);
  const result = settleBooks({ ...one, pointGaps: [gap(4, 8)] }, ALL);
  assertMatch(result.influx.wrong[0] ?? "", /^2 gaps that differ/);
});

Deno.test("settleBooks() tells of trades that the exchange told nobody of, less those of half a message", () => {
  const { sent, ...rest } = books([5, 6, 7], []);
  const told = { ...rest, sent: sent.filter((_, n) => ![5, 6, 7].includes(n)) };
  assertEquals(settleBooks(told, ALL).untold, ["BTC-USD: 3 trades before 8"]);
  assertEquals(settleBooks({ ...told, cutTickers: new Map([[PRODUCT, 3]]) }, ALL).untold, []);
  assertEquals(wrong(settleBooks(told, ALL)), {});
});

Deno.test("settleBooks() counts ticks from the future as rejected, and only those of the round", () => {
  const one = books([99], []);
  const future = { ...tick(99), time: "2099-01-01T00:00:00.000000Z" };
  const result = settleBooks({ ...one, sent: [...one.sent.slice(0, 99), future] }, { ...ALL, from: 90 });
  assertEquals(wrong(result), {});
  assertEquals([result.sent, result.rejected, result.kafka.stored], [10, 1, 9]);
});
