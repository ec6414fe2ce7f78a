// The history is what the feed would have read, and candles made from it are correct.

import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { HISTORY_BATCH, readHistory } from "../../src/demo/history.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Tick } from "../../src/core/record.ts";
import { second } from "../fakes/second_exchange.ts";
import { Past, type Sample } from "../../src/simulator/past.ts";
import { marketOf } from "../simulator/trades.ts";
import { foldCandles } from "../fakes/candles.ts";

const NOW = Date.UTC(2026, 9, 3, 20, 58, 31, 250);
const PRODUCTS = ["ETH-USD", "BTC-USD", "DOT-USD"];

function samplesOf(seed: number, hours: number): Sample[] {
  const from = NOW - hours * 3_600_000;
  const past = new Past(marketOf(PRODUCTS, seed, from), { from, ticksPerSecond: 1, batchMs: 5000 });
  const samples: Sample[] = [];
  for (let sample = past.next(NOW); sample !== undefined; sample = past.next(NOW)) samples.push(sample);
  return samples;
}

const samples = samplesOf(4, 2);

Deno.test("readHistory() returns what the exchange's decoder reads in each frame, with the times of the channel", () => {
  const frames = samples.flatMap(({ at, trades }) => trades.map(({ text }) => ({ at, text })));
  const decoded = frames.flatMap(({ at, text }) => coinbase.decode(text, at).ticks);
  assertEquals(decoded.length, 3 * 1441);
  const seconds = decoded.map((tick) => ({ ...tick, recordTimeUs: Math.floor(tick.exchangeTimeUs / 1e6) * 1e6 }));
  assertEquals([...readHistory(samples, coinbase, "ticker_batch")].flat(), seconds);
  const micros = [...readHistory(samples, coinbase, "ticker")].flat();
  assertEquals(micros.map(({ recordTimeUs }) => recordTimeUs), decoded.map(({ exchangeTimeUs }) => exchangeTimeUs));
});

Deno.test("readHistory() returns ticks of the exchange whose frames it reads", () => {
  const names = [...readHistory(samples, second, "ticker")].flat().map(({ exchange }) => exchange);
  assertEquals(new Set(names), new Set([second.name]));
});

Deno.test("readHistory() is the same for the same seed", () => {
  assertEquals([...readHistory(samplesOf(4, 1), coinbase, "ticker_batch")], [
    ...readHistory(samplesOf(4, 1), coinbase, "ticker_batch"),
  ]);
});

Deno.test("readHistory() makes each batch when it is requested, and no large one", () => {
  let taken = 0;
  const counted = function* () {
    for (const sample of samples) {
      taken++;
      yield sample;
    }
  };
  const batches = readHistory(counted(), coinbase, "ticker_batch");
  assertEquals(taken, 0);
  const first = batches.next().value as Tick[];
  assertLess(Math.abs(taken - HISTORY_BATCH / 3), 2);
  const sizes = [first, ...batches].map(({ length }) => length);
  assertEquals(sizes.reduce((sum, size) => sum + size), 3 * 1441);
  assert(sizes.every((size) => size < HISTORY_BATCH + 3), String(sizes));
});

Deno.test("candles of the history have the prices in its frames", () => {
  const ticks = [...readHistory(samples, coinbase, "ticker_batch")].flat().filter(({ product }) =>
    product === "BTC-USD"
  );
  const told = samples.flatMap(({ trades }) => trades.filter(({ product }) => product === "BTC-USD"));
  const candles = foldCandles(ticks, "15m");
  assertEquals(candles.length, 9);
  for (const candle of candles) {
    const inside = told.filter(({ time }) => Math.floor(Date.parse(time) / 900_000) * 900_000 === candle.openTime);
    const prices = inside.map(({ price }) => Number(price));
    assertEquals([candle.open, candle.high, candle.low, candle.close, candle.ticks], [
      prices[0],
      Math.max(...prices),
      Math.min(...prices),
      prices.at(-1),
      prices.length,
    ]);
  }
});

Deno.test("readHistory() does not pass over a frame that cannot be read", () => {
  const [sample] = samples;
  assert(sample?.trades[0] !== undefined);
  const broken = [{ ...sample, trades: [{ ...sample.trades[0], text: "{" }] }];
  assertThrows(() => [...readHistory(broken, coinbase, "ticker_batch")], TypeError, "1 frames");
});
