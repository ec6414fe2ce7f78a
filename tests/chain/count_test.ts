// The count of the chain must find what is wrong: a test that cannot fail proves nothing.

import { assertEquals, assertThrows } from "@std/assert";
import { assertAllDeclared, type Books, type Count, count } from "./count.ts";

const START_US = 1_700_000_000_000_000;

function sent(ms: number, product = "BTC-USD", micros = 0): Books["sent"][number] {
  const time = new Date(START_US / 1000 + ms).toISOString().replace("Z", `${String(micros).padStart(3, "0")}Z`);
  return { product, time, price: String(100 + ms) };
}

function point(ms: number, product = "BTC-USD", micros = 0): Books["points"][number] {
  return { product, timeUs: START_US + ms * 1000 + micros, price: 100 + ms };
}

function gap(fromMs: number | null, toMs: number | null, missed = true): Books["gaps"][number] {
  const seconds = (ms: number) => START_US / 1e6 + ms / 1000;
  const [from, to] = [fromMs === null ? null : seconds(fromMs), toMs === null ? null : seconds(toMs)];
  return { exchange: "coinbase", product: "BTC-USD", opened: 1, from, to, reason: "link-closed", dropped: 0, missed };
}

interface Case {
  name: string;
  books: Books;
  missing?: number;
  wrong?: Partial<Record<keyof Count, number>>;
}

const ticker = { gaps: [], channel: "ticker" } as const;
const batch = { gaps: [], channel: "ticker_batch" } as const;

const cases: Case[] = [
  { name: "all is there", books: { ...ticker, sent: [sent(1), sent(2)], points: [point(1), point(2)] } },
  {
    name: "a tick is missing",
    books: { ...ticker, sent: [sent(1), sent(2), sent(3)], points: [point(1), point(3)] },
    missing: 1,
    wrong: { undeclared: 1 },
  },
  {
    name: "a missing tick is declared",
    books: { ...ticker, sent: [sent(1), sent(2), sent(3)], points: [point(1), point(3)], gaps: [gap(1, 3)] },
    missing: 1,
  },
  {
    name: "a missing tick lies outside the gap",
    books: { ...ticker, sent: [sent(1), sent(2), sent(3)], points: [point(1), point(3)], gaps: [gap(3, 4)] },
    missing: 1,
    wrong: { undeclared: 1 },
  },
  {
    name: "a missing tick lies in a gap that says that nothing was missed",
    books: { ...ticker, sent: [sent(1), sent(2), sent(3)], points: [point(1), point(3)], gaps: [gap(1, 3, false)] },
    missing: 1,
    wrong: { undeclared: 1 },
  },
  {
    name: "a gap of which nobody knows the start counts from the product's last point",
    books: {
      ...ticker,
      sent: [sent(1), sent(2), sent(5), sent(9)],
      points: [point(2), point(9)],
      gaps: [gap(null, 9)],
    },
    missing: 2,
    wrong: { undeclared: 1 },
  },
  {
    name: "another product is no substitute",
    books: { ...ticker, sent: [sent(1)], points: [point(1, "ETH-USD")] },
    missing: 1,
    wrong: { undeclared: 1, unknown: 1 },
  },
  {
    name: "a point nobody sent",
    books: { ...ticker, sent: [sent(1), sent(3)], points: [point(1), point(2), point(3)] },
    wrong: { unknown: 1 },
  },
  {
    name: "a point nobody sent, at the end",
    books: { ...ticker, sent: [sent(1)], points: [point(1), point(2)] },
    wrong: { unknown: 1 },
  },
  {
    name: "another price",
    books: { ...ticker, sent: [sent(1)], points: [{ ...point(1), price: 7 }] },
    wrong: { altered: 1 },
  },
  {
    name: "ticks of one microsecond have points of their own, the next ones",
    books: {
      ...ticker,
      sent: [sent(1), sent(1), sent(1)],
      points: [point(1), point(1, "BTC-USD", 1), point(1, "BTC-USD", 2)],
    },
  },
  {
    name: "ticks of one microsecond must not share a point",
    books: { ...ticker, sent: [sent(1), sent(1)], points: [point(1)] },
    missing: 1,
    wrong: { undeclared: 1 },
  },
  {
    name: "of ticks of one microsecond a gap took the first",
    books: {
      ...ticker,
      sent: [sent(1), { ...sent(1), price: "7" }, sent(2)],
      points: [{ ...point(1), price: 7 }, point(2)],
      gaps: [gap(0, 1)],
    },
    missing: 1,
  },
  {
    name: "ticks of one microsecond, of which the first is missing and no gap says so",
    books: {
      ...ticker,
      sent: [sent(1), { ...sent(1), price: "7" }, sent(2)],
      points: [{ ...point(1), price: 7 }, point(2)],
    },
    missing: 1,
    wrong: { undeclared: 1, altered: 1 },
  },
  {
    name: "one point a second, with its last price",
    books: {
      ...batch,
      sent: [sent(1), sent(900), sent(1100)],
      points: [{ ...point(0), price: 1000 }, { ...point(1000), price: 1200 }],
    },
  },
  {
    name: "one point a second, with an earlier price",
    books: { ...batch, sent: [sent(1), sent(900)], points: [{ ...point(0), price: 101 }] },
    wrong: { altered: 1 },
  },
  {
    name: "one point a second, with an earlier price as a gap took the last",
    books: { ...batch, sent: [sent(1), sent(900)], points: [{ ...point(0), price: 101 }], gaps: [gap(0, null)] },
  },
  {
    name: "a second is missing",
    books: { ...batch, sent: [sent(1), sent(1100)], points: [{ ...point(0), price: 101 }] },
    missing: 1,
    wrong: { undeclared: 1 },
  },
];

for (const { name, books, missing = 0, wrong = {} } of cases) {
  Deno.test(`chain count(): ${name}`, () => {
    const counted = count(books);
    const { undeclared, unknown, altered } = counted;
    const found = Object.entries({ undeclared, unknown, altered }).filter(([, list]) => list.length > 0);
    assertEquals(Object.fromEntries(found.map(([what, list]) => [what, list.length])), { ...wrong });
    assertEquals(counted.missing.length, missing);
    if (Object.keys(wrong).length === 0) assertAllDeclared(counted);
    else assertThrows(() => assertAllDeclared(counted));
  });
}
