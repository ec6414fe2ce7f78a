import { assertEquals } from "@std/assert";
import { queryOf, type Selection, selectionOf } from "../../../src/web/page/selection.ts";

const QUERIES: [query: string, selection: Selection][] = [
  ["", { product: undefined, interval: "1m", style: "candles" }],
  ["?product=BTC-USD&interval=5s&style=line", { product: "BTC-USD", interval: "5s", style: "line" }],
  ["?product=kraken%3ABTC%2FUSD", { product: "kraken:BTC/USD", interval: "1m", style: "candles" }],
  ["?product=&interval=7x&style=bars", { product: undefined, interval: "1m", style: "candles" }],
  ["?interval=constructor", { product: undefined, interval: "1m", style: "candles" }],
];
for (const [query, selection] of QUERIES) {
  Deno.test(`page selection: "${query}" is ${JSON.stringify(selection)}`, () => {
    assertEquals(selectionOf(query), selection);
  });
  Deno.test(`page selection: what "${query}" shows comes back out of its own query`, () => {
    assertEquals(selectionOf(queryOf(selection)), selection);
  });
}
