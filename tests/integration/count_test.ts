// The count must be able to fail: each way in which records can be wrong is found, and each way in which they are right is not.

import { assertEquals, assertThrows } from "@std/assert";
import type { KafkaRecord } from "../servers/kafka.ts";
import { assertAllDeclared, type Books, count, droppedBy } from "./count.ts";

const START = 1_700_000_000;

/** Trade number n of a product, n seconds after the start. */
function sentTick(n: number, product = "BTC-USD") {
  const time = `${new Date((START + n) * 1000).toISOString().slice(0, 19)}.250000Z`;
  return { id: `coinbase:${product}:${n}`, product, tradeId: 1000 + n, time };
}

function record(n: number, product = "BTC-USD", partition = 0): KafkaRecord {
  const value = JSON.stringify({ product, w_time: START + n + 0.25, price: 1 });
  const headers = { id: `coinbase:${product}:${n}`, trade: String(1000 + n) };
  return { partition, offset: 0, timestamp: 0, key: product, headers, value };
}

function gap(fields: Record<string, unknown>): KafkaRecord {
  const whole = {
    exchange: "coinbase",
    product: "BTC-USD",
    dropped: 0,
    missed: true,
    reason: "link-closed",
    ...fields,
  };
  return { partition: 0, offset: 0, timestamp: 0, key: "BTC-USD", headers: {}, value: JSON.stringify(whole) };
}

const numbers = (...list: number[]) => list;
const at = (n: number) => START + n + 0.25;

const cases: {
  name: string;
  books: Books;
  wrong?: Partial<Record<string, number>>;
  missing?: number;
  repeats?: number;
}[] = [
  {
    name: "everything is there",
    books: {
      sent: numbers(1, 2, 3).map((n) => sentTick(n)),
      records: numbers(1, 2, 3).map((n) => record(n)),
      gaps: [],
    },
  },
  {
    name: "repeats are no fault",
    books: {
      sent: numbers(1, 2).map((n) => sentTick(n)),
      records: numbers(1, 2, 1, 2).map((n) => record(n)),
      gaps: [],
    },
    repeats: 2,
  },
  {
    name: "a missing tick",
    books: { sent: numbers(1, 2, 3).map((n) => sentTick(n)), records: numbers(1, 3).map((n) => record(n)), gaps: [] },
    missing: 1,
    wrong: { undeclared: 1 },
  },
  {
    name: "a missing tick in a gap",
    books: {
      sent: numbers(1, 2, 3).map((n) => sentTick(n)),
      records: numbers(1, 3).map((n) => record(n)),
      gaps: [gap({ opened: START + 2, from: at(1), to: at(3) })],
    },
    missing: 1,
  },
  {
    name: "a missing tick in a gap of another product",
    books: {
      sent: numbers(1, 2, 3).map((n) => sentTick(n)),
      records: numbers(1, 3).map((n) => record(n)),
      gaps: [gap({ product: "ETH-USD", opened: START + 2, from: at(1), to: at(3) })],
    },
    missing: 1,
    wrong: { undeclared: 1 },
  },
  {
    name: "of a gap written twice the later one counts",
    books: {
      sent: numbers(1, 2, 3, 4).map((n) => sentTick(n)),
      records: numbers(1, 4).map((n) => record(n)),
      gaps: [
        gap({ opened: START + 2, from: at(1), to: null }),
        gap({ opened: START + 2, from: at(1), to: at(2) }),
      ],
    },
    missing: 2,
    wrong: { undeclared: 1 },
  },
  {
    name: "a gap that says that nothing was missed, and something is",
    books: {
      sent: numbers(1, 2, 3).map((n) => sentTick(n)),
      records: numbers(1, 3).map((n) => record(n)),
      gaps: [gap({ opened: START + 2, from: at(1), to: at(3), missed: false })],
    },
    missing: 1,
    wrong: { undeclared: 1, contradicted: 1 },
  },
  {
    name: "an open gap reaches to the end",
    books: {
      sent: numbers(1, 2, 3).map((n) => sentTick(n)),
      records: numbers(1).map((n) => record(n)),
      gaps: [gap({ reason: "stopped", opened: START + 2, from: at(1), to: null })],
    },
    missing: 2,
  },
  {
    name: "an open gap ends at the next restart",
    books: {
      sent: numbers(1, 2, 3, 4, 5).map((n) => sentTick(n)),
      records: numbers(1, 3, 5).map((n) => record(n)),
      gaps: [
        gap({ reason: "stopped", opened: START + 2, from: at(1), to: null }),
        gap({ reason: "restart", opened: START + 2.9, from: null, to: at(3) }),
      ],
    },
    missing: 2,
    wrong: { undeclared: 1 },
  },
  {
    name: "a from that nobody knows counts from the product's last record before the gap",
    books: {
      sent: numbers(1, 2, 3, 4, 5).map((n) => sentTick(n)),
      records: numbers(1, 3, 5).map((n) => record(n)),
      gaps: [gap({ reason: "restart", opened: START + 5, from: null, to: at(5) })],
    },
    missing: 2,
    wrong: { undeclared: 1 },
  },
  {
    name: "a from that nobody knows, at the very first start",
    books: {
      sent: numbers(1, 2, 3).map((n) => sentTick(n)),
      records: numbers(3).map((n) => record(n)),
      gaps: [gap({ reason: "restart", opened: START, from: null, to: at(3) })],
    },
    missing: 2,
  },
  {
    name: "a record of a tick that was never sent",
    books: { sent: numbers(1, 3).map((n) => sentTick(n)), records: numbers(1, 2, 3).map((n) => record(n)), gaps: [] },
    wrong: { unknown: 1 },
  },
  {
    name: "another order than sent",
    books: {
      sent: numbers(1, 2, 3).map((n) => sentTick(n)),
      records: numbers(1, 3, 2).map((n) => record(n)),
      gaps: [],
    },
    wrong: { disordered: 1 },
  },
  {
    name: "the order that was sent, although it is none",
    books: {
      sent: numbers(1, 3, 2).map((n) => sentTick(n)),
      records: numbers(1, 3, 2).map((n) => record(n)),
      gaps: [],
    },
  },
  {
    name: "one product in two partitions",
    books: {
      sent: numbers(1, 2).map((n) => sentTick(n)),
      records: [record(1), record(2, "BTC-USD", 1)],
      gaps: [],
    },
    wrong: { disordered: 1 },
  },
  {
    name: "trades that nobody was told of",
    books: { sent: numbers(1, 4).map((n) => sentTick(n)), records: numbers(1, 4).map((n) => record(n)), gaps: [] },
    wrong: { silentHoles: 1 },
  },
  {
    name: "trades that nobody was told of, in a gap",
    books: {
      sent: numbers(1, 4).map((n) => sentTick(n)),
      records: numbers(1, 4).map((n) => record(n)),
      gaps: [gap({ opened: START + 2, from: at(1), to: at(4) })],
    },
  },
  {
    name: "trades that a sample leaves out",
    books: {
      sent: numbers(1, 4).map((n) => sentTick(n)),
      records: numbers(1, 4).map((n) => record(n)),
      gaps: [],
      channel: "ticker_batch",
    },
  },
];

for (const { name, books, wrong = {}, missing = 0, repeats = 0 } of cases) {
  Deno.test(`count(): ${name}`, () => {
    const counted = count(books);
    const { undeclared, contradicted, unknown, disordered, silentHoles } = counted;
    const lists = { undeclared, contradicted, unknown, disordered, silentHoles };
    assertEquals(
      Object.fromEntries(
        Object.entries(lists).filter(([, list]) => list.length > 0).map(([what, list]) => [what, list.length]),
      ),
      wrong as Record<string, number>,
    );
    assertEquals({ missing: counted.missing.length, repeats: counted.repeats }, { missing, repeats });
    if (Object.keys(wrong).length === 0) assertAllDeclared(counted);
    else assertThrows(() => assertAllDeclared(counted));
  });
}

Deno.test("droppedBy() adds up the last word of each gap of one reason", () => {
  const gaps = [
    gap({ reason: "queue-full", opened: START, from: at(1), to: null, dropped: 2 }),
    gap({ reason: "queue-full", opened: START, from: at(1), to: at(2), dropped: 5 }),
    gap({ reason: "queue-full", opened: START + 1, from: at(3), to: at(4), dropped: 1 }),
    gap({ reason: "record-refused", opened: START + 2, from: at(3), to: at(3), dropped: 1 }),
  ];
  assertEquals(droppedBy(count({ sent: [], records: [], gaps }), "queue-full"), 6);
});
