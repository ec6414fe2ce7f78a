import { assert, assertEquals, assertMatch } from "@std/assert";
import { decimalText, DEFAULT_PRODUCTS, Market, timeText } from "../../src/simulator/market.ts";

const NOW_MS = Date.UTC(2026, 9, 3, 20, 58, 31);

function prices(seed: number, products: readonly string[], product: string): string[] {
  const market = new Market(products, seed, NOW_MS);
  return Array.from({ length: 200 }, (_, i) => market.trade(product, i).price);
}

Deno.test("Market gives the same prices for the same seed", () => {
  assertEquals(prices(7, DEFAULT_PRODUCTS, "BTC-USD"), prices(7, ["BTC-USD"], "BTC-USD"));
  assert(prices(7, ["BTC-USD"], "BTC-USD").join() !== prices(8, ["BTC-USD"], "BTC-USD").join());
});

Deno.test("Market gives the same prices however trades are spread over takers", () => {
  const market = new Market(["BTC-USD"], 7, NOW_MS);
  const walked = Array.from({ length: 200 }, (_, i) => {
    market.crowd("BTC-USD");
    return market.trade("BTC-USD", i * 1000, i % 3 === 0).price;
  });
  assertEquals(walked, prices(7, ["BTC-USD"], "BTC-USD"));
});

Deno.test("Market writes a ticker with the 17 fields of Coinbase, in their order", () => {
  const { text } = new Market(["BTC-USD"], 1, NOW_MS).trade("BTC-USD", NOW_MS * 1000 + 127_510);
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

Deno.test("Market numbers trades as Coinbase does: trade_id by one, sequence by two or three", () => {
  const market = new Market(["ETH-USD"], 3, NOW_MS);
  let last = market.trade("ETH-USD", 0);
  const steps = new Set<number>();
  for (let i = 1; i < 1000; i++) {
    const next = market.trade("ETH-USD", i);
    assertEquals(next.tradeId, last.tradeId + 1);
    steps.add(next.sequence - last.sequence);
    last = next;
  }
  assertEquals([...steps].sort(), [2, 3]);
});

Deno.test("Market numbers go on above those of an earlier run", () => {
  const first = new Market(["ETH-USD"], 3, NOW_MS);
  for (let i = 0; i < 1000; i++) first.trade("ETH-USD", i);
  const second = new Market(["ETH-USD"], 3, NOW_MS + 1000).trade("ETH-USD", 0);
  const { sequence = 0, tradeId = 0 } = first.last("ETH-USD") ?? {};
  assert(second.sequence > sequence && second.tradeId > tradeId);
});

Deno.test("Market prices stay above zero, and the book stays around them", () => {
  for (const product of [...DEFAULT_PRODUCTS, "NEW-EUR"]) {
    const market = new Market([product], 11, NOW_MS);
    const start = Number(market.trade(product, 0).price);
    for (let i = 1; i < 20_000; i++) {
      const trade = market.trade(product, i);
      const { price, best_bid, best_ask, side, low_24h, high_24h } = JSON.parse(trade.text) as Record<string, string>;
      const value = Number(price);
      assert(value > start / 3 && value < start * 3, `${product} at ${price}`);
      assert(Number(best_bid) < Number(best_ask), trade.text);
      assertEquals(Number(side === "buy" ? best_ask : best_bid), value);
      assert(Number(low_24h) <= value && value <= Number(high_24h), trade.text);
    }
  }
});

Deno.test("Market times of a product rise, except for trades of one taker, which share theirs", () => {
  const market = new Market(["SOL-USD"], 1, NOW_MS);
  const first = market.trade("SOL-USD", 5_000_000);
  assertEquals(market.trade("SOL-USD", 5_000_100, true).time, first.time);
  assertEquals(market.trade("SOL-USD", 4_000_000).time, timeText(5_000_001));
  assertEquals(market.tradeAt("SOL-USD", 1_000_000).time, timeText(1_000_000));
  assertEquals(market.trade("SOL-USD", 5_000_010).time, timeText(5_000_010));
  market.rewind();
  assertEquals(market.trade("SOL-USD", 2_000_000).time, timeText(2_000_000));
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
