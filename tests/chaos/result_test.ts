// countRound() must find everything that is wrong: rounds that cannot fail prove nothing.

import { assertEquals, assertMatch } from "@std/assert";
import type { GapRecord } from "../count.ts";
import { countRound, type Snapshot } from "./result.ts";
import type { KnownTick } from "./connection_proxy.ts";

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

/** A hundred ticks. Some are missing in all three places, or only in one. */
function snapshotWithout(
  missing: readonly number[],
  gaps: readonly GapRecord[],
  only?: "kafka" | "influx" | "store",
): Snapshot {
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
function wrong(result: ReturnType<typeof countRound>): Record<string, readonly string[]> {
  const found = { kafka: result.kafka.wrong, influx: result.influx.wrong, store: result.store.wrong };
  return Object.fromEntries(Object.entries(found).filter(([, list]) => list.length > 0));
}

Deno.test("countRound() accepts that everything is stored, or declared as missing", () => {
  assertEquals(wrong(countRound(snapshotWithout([], []), ALL)), {});
  const result = countRound(snapshotWithout([5, 6], [gap(4, 7)]), ALL);
  assertEquals(wrong(result), {});
  assertEquals([result.sent, result.kafka.stored, result.kafka.declared, result.skippedTrades], [100, 98, 2, []]);
});

for (const place of ["kafka", "influx", "store"] as const) {
  Deno.test(`countRound() finds a tick that is missing undeclared only in ${place}`, () => {
    const result = countRound(snapshotWithout([5], [], place), ALL);
    // a point without a record in Kafka is an error as well
    assertEquals(Object.keys(wrong(result)), place === "kafka" ? ["kafka", "influx"] : [place]);
    assertMatch(wrong(result)[place]?.[0] ?? "", /^1 undeclared: /);
    assertEquals([result[place].stored, result[place].declared, result[place].undeclared], [99, 0, 1]);
  });
}

Deno.test("countRound() finds missing ticks outside a gap, or inside one that says that nothing was missed", () => {
  assertEquals(countRound(snapshotWithout([5, 6], [gap(4, 5)]), ALL).kafka.undeclared, 1);
  assertEquals(countRound(snapshotWithout([5], [gap(4, 6, { missed: false })]), ALL).store.undeclared, 1);
});

Deno.test("countRound() finds a gap that declares far more than is missing", () => {
  const result = countRound(snapshotWithout([], [gap(1, 99)]), ALL);
  assertMatch(result.kafka.wrong[0] ?? "", /^2 declared as missing far beyond what is missing: /);
  assertEquals(wrong(countRound(snapshotWithout([], [gap(1, 99)]), { ...ALL, staleCursor: true })), {});
  // the cursor is written once a second
  assertEquals(wrong(countRound(snapshotWithout([], [gap(1, 20)]), ALL)), {});
});

Deno.test("countRound() finds a gap that declares more dropped ticks than are missing", () => {
  const dropped = (n: number) => gap(4, 8, { reason: "queue-full", dropped: n });
  assertEquals(wrong(countRound(snapshotWithout([5, 6], [dropped(2)]), ALL)), {});
  assertMatch(
    countRound(snapshotWithout([5, 6], [dropped(3)]), ALL).kafka.wrong[0] ?? "",
    /but stored: .*3 dropped, 2 missing/,
  );
});

Deno.test("countRound() finds altered prices, times and products, and points that were never sent", () => {
  const one = snapshotWithout([], []);
  const points = one.points.map((point, n) => n === 7 ? { ...point, price: 1 } : point);
  assertMatch(
    countRound({ ...one, points }, ALL).influx.wrong[0] ?? "",
    /^1 altered: coinbase:BTC-USD:7: BTC-USD 107 .* became /,
  );
  const more = [...one.points, { product: PRODUCT, timeUs: START_US + 1, price: 1 }];
  assertMatch(countRound({ ...one, points: more }, ALL).influx.wrong[0] ?? "", /^1 in InfluxDB and not in Kafka: /);
  for (const value of [{ price: 1 }, { w_time: seconds(7) + 0.001 }, { product: "ETH-USD" }]) {
    const records = one.records.map((record, n) =>
      n === 7 ? { ...record, value: JSON.stringify({ ...JSON.parse(record.value), ...value }) } : record
    );
    assertMatch(countRound({ ...one, records }, ALL).kafka.wrong.join("; "), /1 altered: /);
  }
});

Deno.test("countRound() finds gaps that differ between Kafka and InfluxDB", () => {
  const one = snapshotWithout([5], [gap(4, 7)]);
  const result = countRound({ ...one, pointGaps: [gap(4, 8)] }, ALL);
  assertMatch(result.influx.wrong[0] ?? "", /^2 gaps that differ/);
});

Deno.test("countRound() reports skipped trades, minus those of half a message", () => {
  const { sent, ...rest } = snapshotWithout([5, 6, 7], []);
  const skipping = { ...rest, sent: sent.filter((_, n) => ![5, 6, 7].includes(n)) };
  assertEquals(countRound(skipping, ALL).skippedTrades, [{ product: PRODUCT, count: 3, before: 8 }]);
  assertEquals(countRound({ ...skipping, cutTickers: new Map([[PRODUCT, 3]]) }, ALL).skippedTrades, []);
  assertEquals(wrong(countRound(skipping, ALL)), {});
});

Deno.test("countRound() counts ticks with a future time as rejected, and only ticks of the round", () => {
  const one = snapshotWithout([99], []);
  const future = { ...tick(99), time: "2099-01-01T00:00:00.000000Z" };
  const result = countRound({ ...one, sent: [...one.sent.slice(0, 99), future] }, { ...ALL, from: 90 });
  assertEquals(wrong(result), {});
  assertEquals([result.sent, result.rejected, result.kafka.stored], [10, 1, 9]);
});
