// The count must find everything that is wrong: a test that cannot fail proves nothing.

import { assertEquals, assertThrows } from "@std/assert";
import {
  assertAllDeclared,
  type Count,
  count,
  countByTime,
  type CountInput,
  droppedBy,
  type GapRecord,
  gapsIn,
  microsecondsOf,
  type Point,
  type SentTick,
  type StoredTick,
  ticksIn,
} from "./count.ts";

const START = 1_700_000_000;
/** What of the result must be empty. */
const FAULTS = ["undeclared", "contradicted", "neverSent", "altered", "outOfOrder", "skippedTrades"] as const;

type Faults = Partial<Record<typeof FAULTS[number], number>>;

function assertFaults(counted: Count, expected: Faults): void {
  const found = FAULTS.map((name) => [name, counted[name].length] as const).filter(([, length]) => length > 0);
  assertEquals(Object.fromEntries(found), { ...expected });
  if (found.length === 0) assertAllDeclared(counted);
  else assertThrows(() => assertAllDeclared(counted));
}

/** Trade number `n` of a product, `n` seconds after the start. */
function sentTick(n: number, product = "BTC-USD"): SentTick {
  const time = `${new Date((START + n) * 1000).toISOString().slice(0, 19)}.250000Z`;
  return { id: `coinbase:${product}:${n}`, product, tradeId: 1000 + n, time, price: String(100 + n) };
}

function record(n: number, changes: Partial<StoredTick> = {}): StoredTick {
  const product = changes.product ?? "BTC-USD";
  const timeUs = (START + n) * 1e6 + 250_000;
  return {
    id: `coinbase:${product}:${n}`,
    product,
    timeUs,
    price: 100 + n,
    tradeId: 1000 + n,
    partition: 0,
    ...changes,
  };
}

function gap(fields: Partial<GapRecord>): GapRecord {
  return {
    exchange: "coinbase",
    product: "BTC-USD",
    opened: START,
    from: null,
    to: null,
    dropped: 0,
    missed: true,
    reason: "link-closed",
    ...fields,
  };
}

const sent = (...numbers: number[]) => numbers.map((n) => sentTick(n));
const records = (...numbers: number[]) => numbers.map((n) => record(n));
const at = (n: number) => START + n + 0.25;

const RECORD_CASES: {
  name: string;
  input: CountInput;
  faults?: Faults;
  missing?: number;
  repeats?: number;
}[] = [
  {
    name: "accepts that everything is stored",
    input: { sent: sent(1, 2, 3), stored: records(1, 2, 3), gaps: [] },
  },
  {
    name: "accepts repeated records",
    input: { sent: sent(1, 2), stored: records(1, 2, 1, 2), gaps: [] },
    repeats: 2,
  },
  {
    name: "counts copies sent by the exchange once",
    input: { sent: sent(1, 2, 1, 3), stored: records(1, 2), gaps: [gap({ from: at(3), to: null })] },
    missing: 1,
  },
  {
    name: "finds a missing tick",
    input: { sent: sent(1, 2, 3), stored: records(1, 3), gaps: [] },
    missing: 1,
    faults: { undeclared: 1 },
  },
  {
    name: "accepts a missing tick inside a gap",
    input: { sent: sent(1, 2, 3), stored: records(1, 3), gaps: [gap({ from: at(1), to: at(3) })] },
    missing: 1,
  },
  {
    name: "finds a missing tick before a gap",
    input: { sent: sent(1, 2, 3), stored: records(1, 3), gaps: [gap({ from: at(3), to: at(4) })] },
    missing: 1,
    faults: { undeclared: 1 },
  },
  {
    name: "finds a missing tick inside a gap of another product",
    input: {
      sent: sent(1, 2, 3),
      stored: records(1, 3),
      gaps: [gap({ product: "ETH-USD", from: at(1), to: at(3) })],
    },
    missing: 1,
    faults: { undeclared: 1 },
  },
  {
    name: "takes the later record of a gap that was written twice",
    input: {
      sent: sent(1, 2, 3, 4),
      stored: records(1, 4),
      gaps: [gap({ from: at(1), to: null }), gap({ from: at(1), to: at(2) })],
    },
    missing: 2,
    faults: { undeclared: 1 },
  },
  {
    name: "finds a missing tick inside a gap that says that nothing was missed",
    input: { sent: sent(1, 2, 3), stored: records(1, 3), gaps: [gap({ from: at(1), to: at(3), missed: false })] },
    missing: 1,
    faults: { undeclared: 1, contradicted: 1 },
  },
  {
    name: "extends an open gap to the end",
    input: { sent: sent(1, 2, 3), stored: records(1), gaps: [gap({ reason: "stopped", from: at(1), to: null })] },
    missing: 2,
  },
  {
    name: "ends an open gap at the next restart",
    input: {
      sent: sent(1, 2, 3, 4, 5),
      stored: records(1, 3, 5),
      gaps: [
        gap({ reason: "stopped", opened: START + 2, from: at(1), to: null }),
        gap({ reason: "restart", opened: START + 2.9, from: null, to: at(3) }),
      ],
    },
    missing: 2,
    faults: { undeclared: 1 },
  },
  {
    name: "begins a gap with an unknown start at the last record before it",
    input: {
      sent: sent(1, 2, 3, 4, 5),
      stored: records(1, 3, 5),
      gaps: [gap({ reason: "restart", opened: START + 5, from: null, to: at(5) })],
    },
    missing: 2,
    faults: { undeclared: 1 },
  },
  {
    name: "begins a gap with an unknown start at minus infinity at the very first start",
    input: {
      sent: sent(1, 2, 3),
      stored: records(3),
      gaps: [gap({ reason: "restart", from: null, to: at(3) })],
    },
    missing: 2,
  },
  {
    name: "finds a record that was never sent",
    input: { sent: sent(1, 3), stored: records(1, 2, 3), gaps: [] },
    // trade 2 is stored, but the exchange sent no tick of it
    faults: { neverSent: 1, skippedTrades: 1 },
  },
  {
    name: "finds another order than that of sending",
    input: { sent: sent(1, 2, 3), stored: records(1, 3, 2), gaps: [] },
    faults: { outOfOrder: 1 },
  },
  {
    name: "accepts the order of sending although the numbers do not rise",
    input: { sent: sent(1, 3, 2), stored: records(1, 3, 2), gaps: [] },
  },
  {
    name: "finds a product in two partitions",
    input: { sent: sent(1, 2), stored: [record(1), record(2, { partition: 1 })], gaps: [] },
    faults: { outOfOrder: 1 },
  },
  {
    name: "finds trades without a tick",
    input: { sent: sent(1, 4), stored: records(1, 4), gaps: [] },
    faults: { skippedTrades: 1 },
  },
  {
    name: "accepts trades without a tick inside a gap",
    input: { sent: sent(1, 4), stored: records(1, 4), gaps: [gap({ from: at(1), to: at(4) })] },
  },
  {
    name: "accepts trades without a tick on ticker_batch",
    input: {
      sent: sent(1, 4),
      stored: [1, 4].map((n) => record(n, { timeUs: (START + n) * 1e6 })),
      gaps: [],
      channel: "ticker_batch",
    },
  },
  ...([
    ["another price", { price: 7 }],
    ["another trade id", { tradeId: 7 }],
    ["an earlier time", { timeUs: (START + 2) * 1e6 }],
    ["a time 51 µs later", { timeUs: (START + 2) * 1e6 + 250_051 }],
    ["another product", { id: "coinbase:BTC-USD:2", product: "ETH-USD" }],
  ] as const).map(([what, changes]) => ({
    name: `finds ${what}`,
    input: { sent: sent(1, 2, 3), stored: [record(1), record(2, changes), record(3)], gaps: [] },
    faults: { altered: 1 },
  })),
  {
    name: "accepts a time 50 µs later",
    input: { sent: sent(1), stored: [record(1, { timeUs: (START + 1) * 1e6 + 250_050 })], gaps: [] },
  },
];

for (const { name, input, faults = {}, missing = 0, repeats = 0 } of RECORD_CASES) {
  Deno.test(`count() ${name}`, () => {
    const counted = count(input);
    assertFaults(counted, faults);
    assertEquals({ missing: counted.missing.length, repeats: counted.repeats }, { missing, repeats });
  });
}

/** A tick `ms` after the start; its trade ids follow one another. */
function ticksAt(...list: (number | [ms: number, price: number])[]): SentTick[] {
  return list.map((each, i) => {
    const [ms, price] = typeof each === "number" ? [each, 100 + each] : each;
    const time = new Date(START * 1000 + ms).toISOString().replace("Z", "000Z");
    return { id: `coinbase:BTC-USD:${i}`, product: "BTC-USD", tradeId: i, time, price: String(price) };
  });
}

function point(ms: number, changes: Partial<Point> & { micros?: number } = {}): Point {
  const { micros = 0, ...rest } = changes;
  return { product: "BTC-USD", timeUs: START * 1e6 + ms * 1000 + micros, price: 100 + ms, ...rest };
}

const gapAt = (from: number | null, to: number | null, missed = true) =>
  gap({ from: from === null ? null : START + from / 1000, to: to === null ? null : START + to / 1000, missed });

const POINT_CASES: {
  name: string;
  input: Parameters<typeof countByTime>[0];
  missing?: number;
  faults?: Faults;
}[] = [
  { name: "accepts that everything is stored", input: { sent: ticksAt(1, 2), points: [point(1), point(2)], gaps: [] } },
  {
    name: "finds a missing tick",
    input: { sent: ticksAt(1, 2, 3), points: [point(1), point(3)], gaps: [] },
    missing: 1,
    faults: { undeclared: 1 },
  },
  {
    name: "accepts a missing tick inside a gap",
    input: { sent: ticksAt(1, 2, 3), points: [point(1), point(3)], gaps: [gapAt(1, 3)] },
    missing: 1,
  },
  {
    name: "finds a missing tick outside a gap",
    input: { sent: ticksAt(1, 2, 3), points: [point(1), point(3)], gaps: [gapAt(3, 4)] },
    missing: 1,
    faults: { undeclared: 1 },
  },
  {
    name: "finds a missing tick inside a gap that says that nothing was missed",
    input: { sent: ticksAt(1, 2, 3), points: [point(1), point(3)], gaps: [gapAt(1, 3, false)] },
    missing: 1,
    faults: { undeclared: 1, contradicted: 1 },
  },
  {
    name: "begins a gap with an unknown start at the product's last point before it",
    input: { sent: ticksAt(1, 2, 5, 9), points: [point(2), point(9)], gaps: [gapAt(null, 9)] },
    missing: 2,
    faults: { undeclared: 1 },
  },
  {
    name: "does not take another product's point",
    input: { sent: ticksAt(1), points: [point(1, { product: "ETH-USD" })], gaps: [] },
    missing: 1,
    faults: { undeclared: 1, neverSent: 1 },
  },
  {
    name: "finds a point that was never sent",
    input: { sent: ticksAt(1, 3), points: [point(1), point(2), point(3)], gaps: [] },
    faults: { neverSent: 1 },
  },
  {
    name: "finds a point at the end that was never sent",
    input: { sent: ticksAt(1), points: [point(1), point(2)], gaps: [] },
    faults: { neverSent: 1 },
  },
  {
    name: "finds another price",
    input: { sent: ticksAt(1), points: [point(1, { price: 7 })], gaps: [] },
    faults: { altered: 1 },
  },
  {
    name: "accepts ticks of one microsecond at the next free ones",
    input: { sent: ticksAt(1, 1, 1), points: [point(1), point(1, { micros: 1 }), point(1, { micros: 2 })], gaps: [] },
  },
  {
    name: "finds ticks of one microsecond that share a point",
    input: { sent: ticksAt(1, 1), points: [point(1)], gaps: [] },
    missing: 1,
    faults: { undeclared: 1 },
  },
  {
    name: "accepts a gap that took the first of the ticks of one microsecond",
    input: { sent: ticksAt(1, [1, 7], 2), points: [point(1, { price: 7 }), point(2)], gaps: [gapAt(0, 1)] },
    missing: 1,
  },
  {
    name: "finds that the first of the ticks of one microsecond is missing without a gap",
    input: { sent: ticksAt(1, [1, 7], 2), points: [point(1, { price: 7 }), point(2)], gaps: [] },
    missing: 1,
    faults: { undeclared: 1, altered: 1 },
  },
  {
    name: "expects the last price of each second on ticker_batch",
    input: {
      sent: ticksAt(1, 900, 1100),
      points: [point(0, { price: 1000 }), point(1000, { price: 1200 })],
      gaps: [],
      channel: "ticker_batch",
    },
  },
  {
    name: "finds an earlier price of a second on ticker_batch",
    input: { sent: ticksAt(1, 900), points: [point(0, { price: 101 })], gaps: [], channel: "ticker_batch" },
    faults: { altered: 1 },
  },
  {
    name: "accepts an earlier price of a second on ticker_batch if a gap took the last one",
    input: {
      sent: ticksAt(1, 900),
      points: [point(0, { price: 101 })],
      gaps: [gapAt(0, null)],
      channel: "ticker_batch",
    },
  },
  {
    name: "finds a price on ticker_batch that was never sent, although a gap took the last one",
    input: { sent: ticksAt(1, 900), points: [point(0, { price: 5 })], gaps: [gapAt(0, null)], channel: "ticker_batch" },
    faults: { altered: 1 },
  },
  {
    name: "finds a missing second on ticker_batch",
    input: { sent: ticksAt(1, 1100), points: [point(0, { price: 101 })], gaps: [], channel: "ticker_batch" },
    missing: 1,
    faults: { undeclared: 1 },
  },
];

for (const { name, input, missing = 0, faults = {} } of POINT_CASES) {
  Deno.test(`countByTime() ${name}`, () => {
    const counted = countByTime(input);
    assertFaults(counted, faults);
    assertEquals(counted.missing.length, missing);
  });
}

Deno.test("droppedBy() adds up the last record of each gap of one reason", () => {
  const gaps = [
    gap({ reason: "queue-full", dropped: 2 }),
    gap({ reason: "queue-full", dropped: 5 }),
    gap({ reason: "queue-full", opened: START + 1, dropped: 1 }),
    gap({ reason: "record-refused", opened: START + 2, dropped: 1 }),
  ];
  assertEquals(droppedBy(count({ sent: [], stored: [], gaps }), "queue-full"), 6);
});

Deno.test("ticksIn() and gapsIn() read the records of Kafka", () => {
  const shared = { partition: 2, offset: 0, timestamp: 0, key: "BTC-USD" };
  const value = JSON.stringify({ product: "BTC-USD", w_time: START + 0.000_123, price: 1.5 });
  assertEquals(ticksIn([{ ...shared, headers: { id: "coinbase:BTC-USD:7", trade: "8" }, value }]), [
    { id: "coinbase:BTC-USD:7", product: "BTC-USD", timeUs: START * 1e6 + 123, price: 1.5, tradeId: 8, partition: 2 },
  ]);
  assertEquals(gapsIn([{ ...shared, headers: {}, value: JSON.stringify(gap({})) }]), [gap({})]);
});

Deno.test("microsecondsOf() keeps all six digits", () => {
  assertEquals(microsecondsOf("2023-11-14T22:13:20.000001Z"), START * 1e6 + 1);
  assertEquals(microsecondsOf("2023-11-14T22:13:20Z"), START * 1e6);
  assertEquals(microsecondsOf("2023-11-14T22:13:20.5Z"), START * 1e6 + 500_000);
});
