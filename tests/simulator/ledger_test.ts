import { assertEquals } from "@std/assert";
import { Ledger, Newest } from "../../src/simulator/ledger.ts";

function fill(limit: number, count: number): Ledger {
  const ledger = new Ledger(limit);
  for (let i = 0; i < count; i++) {
    ledger.add({ product: "BTC-USD", sequence: i, tradeId: i, price: "1", time: "t", at: i, connection: 1 });
  }
  return ledger;
}

Deno.test("Ledger gives back what was added, under an id that names exchange, product and sequence", () => {
  const ledger = new Ledger(10);
  const tick = { product: "BTC-USD", sequence: 7, tradeId: 3, price: "1.50", time: "t", at: 5, connection: 2 };
  ledger.add(tick);
  assertEquals([...ledger.since(0)], [{ id: "coinbase:BTC-USD:7", ...tick }]);
});

Deno.test("Ledger forgets the oldest above its limit, counts them, and keeps the numbers of the others", () => {
  const ledger = fill(100_000, 400_000);
  const held = [...ledger.since(0)];
  assertEquals(ledger.count, 400_000);
  assertEquals(held.length, 400_000 - ledger.forgotten);
  assertEquals([held.length >= 100_000, held.length <= 100_000 + 2 * 65_536], [true, true]);
  assertEquals([held[0]?.sequence, held.at(-1)?.sequence], [ledger.forgotten, 399_999]);
  assertEquals([...ledger.since(399_998)].map(({ sequence }) => sequence), [399_998, 399_999]);
  assertEquals([...ledger.since(400_000)], []);
});

Deno.test("Newest keeps the newest", () => {
  const newest = new Newest<number>(3);
  for (let i = 0; i < 100; i++) newest.add(i);
  assertEquals(newest.list().slice(-3), [97, 98, 99]);
  assertEquals(newest.list().length < 6, true);
});
