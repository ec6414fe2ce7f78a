import { assert, assertEquals, assertMatch } from "@std/assert";
import { decimalText, DEFAULT_PRODUCTS, timeText } from "../../src/simulator/market.ts";
import { productOf, tradeAt } from "./trades.ts";

const NOW_MS = Date.UTC(2026, 9, 3, 20, 58, 31);

function prices(seed: number): string[] {
  const product = productOf("BTC-USD", seed, NOW_MS);
  return Array.from({ length: 200 }, (_, i) => tradeAt(product, i).price);
}

Deno.test("Product has the same prices for the same seed", () => {
  assertEquals(prices(7), prices(7));
  assert(prices(7).join() !== prices(8).join());
});

Deno.test("Product has the same prices however many trades an order has", () => {
  const product = productOf("BTC-USD", 7, NOW_MS);
  const walked: string[] = [];
  product.advance(1_000_000, 1, (afterMs) => Math.floor(afterMs * 1000), ({ price }) => walked.push(price));
  assertEquals(walked.slice(0, 200), prices(7));
});

Deno.test("Product.advance() makes trades at the given rate, and none at a rate of 0", () => {
  const product = productOf("BTC-USD", 7, NOW_MS);
  for (let i = 0; i < 1000; i++) product.advance(10, 50, () => i);
  assert(product.traded >= 498 && product.traded <= 502, `${product.traded} trades in 10 s`);
  const idle = productOf("BTC-USD", 7, NOW_MS);
  idle.advance(10_000, 0, () => 0);
  assertEquals([idle.traded, idle.last], [0, undefined]);
});

Deno.test("tickerText() writes a ticker with the 17 fields of Coinbase, in their order", () => {
  const { text } = tradeAt(productOf("BTC-USD", 1, NOW_MS), NOW_MS * 1000 + 127_510);
  const ticker = JSON.parse(text) as Record<string, unknown>;
  assertEquals(
    Object.keys(ticker).join(" "),
    "type sequence product_id price open_24h volume_24h low_24h high_24h volume_30d best_bid best_bid_size best_ask " +
      "best_ask_size side time trade_id last_size",
  );
  for (const [key, value] of Object.entries(ticker)) {
    const wish = key === "sequence" || key === "trade_id" ? "number" : "string";
    assertEquals(typeof value, wish, key);
  }
  for (const key of ["price", "open_24h", "low_24h", "high_24h", "best_bid", "best_ask"]) {
    assertMatch(String(ticker[key]), /^\d+(\.\d+)?$/, key);
  }
  for (const key of ["volume_24h", "volume_30d", "best_bid_size", "best_ask_size", "last_size"]) {
    assertMatch(String(ticker[key]), /^\d+\.\d{8}$/, key);
  }
  assertEquals(ticker.time, "2026-10-03T20:58:31.127510Z");
  assertMatch(String(ticker.side), /^(buy|sell)$/);
  assert(text.length > 350 && text.length < 440, `unlike the recordings: ${text.length} bytes`);
});

Deno.test("Product numbers trades as Coinbase does: trade_id by one, sequence by two or three", () => {
  const product = productOf("ETH-USD", 3, NOW_MS);
  let last = tradeAt(product, 0);
  const steps = new Set<number>();
  for (let i = 1; i < 1000; i++) {
    const next = tradeAt(product, i);
    assertEquals(next.tradeId, last.tradeId + 1);
    steps.add(next.sequence - last.sequence);
    last = next;
  }
  assertEquals([...steps].sort(), [2, 3]);
});

Deno.test("Product numbers continue above those of an earlier run", () => {
  const first = productOf("ETH-USD", 3, NOW_MS);
  for (let i = 0; i < 1000; i++) first.trade(i);
  const second = tradeAt(productOf("ETH-USD", 3, NOW_MS + 1000), 0);
  const { sequence = 0, tradeId = 0 } = first.last ?? {};
  assert(second.sequence > sequence && second.tradeId > tradeId);
});

Deno.test("Product prices stay above zero, and lie between the best bid and ask", () => {
  for (const id of [...DEFAULT_PRODUCTS, "NEW-EUR"]) {
    const product = productOf(id, 11, NOW_MS);
    const start = Number(tradeAt(product, 0).price);
    for (let i = 1; i < 20_000; i++) {
      const trade = tradeAt(product, i);
      const { price, best_bid, best_ask, side, low_24h, high_24h } = JSON.parse(trade.text) as Record<string, string>;
      const value = Number(price);
      assert(value > start / 3 && value < start * 3, `${id} at ${price}`);
      assert(Number(best_bid) < Number(best_ask), trade.text);
      assertEquals(Number(side === "buy" ? best_ask : best_bid), value);
      assert(Number(low_24h) <= value && value <= Number(high_24h), trade.text);
    }
  }
});

Deno.test("Product times rise, except within one order, whose trades share a time", () => {
  const product = productOf("SOL-USD", 1, NOW_MS);
  const first = tradeAt(product, 5_000_000);
  assertEquals(tradeAt(product, 5_000_100, { isSameOrder: true }).time, first.time);
  assertEquals(tradeAt(product, 4_000_000).time, timeText(5_000_001));
  assertEquals(tradeAt(product, 1_000_000, { isWrongTime: true }).time, timeText(1_000_000));
  assertEquals(tradeAt(product, 5_000_010).time, timeText(5_000_010));
  product.rewind();
  assertEquals(tradeAt(product, 2_000_000).time, timeText(2_000_000));
});

for (
  const [units, decimals, cut, text] of [
    [123_450, 3, false, "123.450"],
    [123_450, 3, true, "123.45"],
    [123_000, 3, true, "123"],
    [1, 8, false, "0.00000001"],
    [0, 2, true, "0"],
    [5, 0, false, "5"],
  ] as const
) {
  Deno.test(`decimalText(${units}, ${decimals}, ${cut}) is ${text}`, () => {
    assertEquals(decimalText(units, decimals, cut), text);
  });
}
