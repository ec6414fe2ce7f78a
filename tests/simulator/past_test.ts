// The time before the exchange opens: its samples, and that the live prices continue from there.

import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import type { Trade } from "../../src/simulator/market.ts";
import { Past, type Sample } from "../../src/simulator/past.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { Client, mayListen, until } from "./client.ts";
import { marketOf, productOf, tradeAt } from "./trades.ts";

const NOW = Date.UTC(2026, 9, 3, 20, 58, 31, 250);
const HOUR = 3_600_000;
const PRODUCTS = ["ETH-USD", "BTC-USD", "DOT-USD"];

/** All samples of a past of this length. */
function samplesOf(seed: number, ms: number, ticksPerSecond = 1, products: readonly string[] = PRODUCTS): Sample[] {
  const from = NOW - ms;
  const past = new Past(marketOf(products, seed, from), { from, ticksPerSecond, batchMs: 5000 });
  const samples: Sample[] = [];
  for (let sample = past.next(NOW); sample !== undefined; sample = past.next(NOW)) samples.push(sample);
  return samples;
}

function tradesOf(samples: readonly Sample[], product: string): Trade[] {
  return samples.flatMap(({ trades }) => trades.filter((trade) => trade.product === product));
}

Deno.test("Past makes the same samples for the same seed and time, and other prices for another seed", () => {
  assertEquals(samplesOf(3, HOUR), samplesOf(3, HOUR));
  const [same, other] = [samplesOf(3, HOUR), samplesOf(4, HOUR)].map((samples) => tradesOf(samples, "BTC-USD"));
  assert(same?.at(-1)?.price !== other?.at(-1)?.price);
});

Deno.test("Past makes the same prices of a product, whatever else is listed", () => {
  const alone = samplesOf(3, HOUR, 1, ["BTC-USD"]);
  assertEquals(
    tradesOf(samplesOf(3, HOUR), "BTC-USD").map(({ text }) => text),
    alone.map(({ trades }) => trades[0]?.text),
  );
});

Deno.test("Past begins with a trade of each product, followed by the last one of each 5 s", () => {
  const samples = samplesOf(3, HOUR);
  assertEquals(samples.map(({ at }) => at), Array.from({ length: 721 }, (_, i) => NOW - HOUR + i * 5000));
  for (const { at, trades } of samples) {
    assertEquals(trades.map(({ product }) => product).sort(), PRODUCTS.toSorted());
    const times = trades.map(({ time }) => Date.parse(time));
    assertEquals(times, times.toSorted());
    assert(at === NOW - HOUR || times.every((time) => time <= at && time > at - 5000), `${times} at ${at}`);
  }
  for (const product of PRODUCTS) {
    const trades = tradesOf(samples, product);
    for (const [i, trade] of trades.entries()) {
      const before = trades[i - 1];
      if (before === undefined) continue;
      const steps = trade.tradeId - before.tradeId;
      assert(steps >= 3 && steps <= 7, `${steps} trades in 5 s`);
      const rise = trade.sequence - before.sequence;
      assert(rise >= 2 * steps && rise <= 3 * steps, `${steps} trades raise the sequence by ${rise}`);
    }
  }
});

Deno.test("Past has no trade of a product in a sample if there was none", () => {
  const samples = samplesOf(3, HOUR, 0.05);
  const told = tradesOf(samples, "BTC-USD");
  // one taker in 20 s
  assert(told.length > 130 && told.length <= 181, `${told.length} samples`);
  assertEquals(new Set(told.map(({ sequence }) => sequence)).size, told.length);
  assertEquals(samplesOf(3, HOUR, 0).map(({ trades }) => trades.length), [3, ...Array.from({ length: 720 }, () => 0)]);
});

Deno.test("Past of a day ends with tickers whose open_24h is its first price", () => {
  const samples = samplesOf(6, 24 * HOUR, 0.2);
  for (const product of PRODUCTS) {
    const trades = tradesOf(samples, product);
    const { open_24h, low_24h, high_24h } = JSON.parse(trades.at(-1)?.text ?? "{}") as Record<string, string>;
    const prices = trades.map(({ price }) => Number(price));
    assertEquals(Number(open_24h), prices[0]);
    assert(Number(low_24h) <= Math.min(...prices) && Number(high_24h) >= Math.max(...prices));
  }
});

Deno.test("Product has the same last trade, whether or not the messages of earlier trades were written", () => {
  const [written, skipped] = [productOf("BTC-USD", 7, NOW), productOf("BTC-USD", 7, NOW)];
  for (let i = 0; i < 500; i++) {
    const trade = tradeAt(written, i * 1000, { isSameOrder: i % 3 === 0 });
    skipped.trade(i * 1000, { isSameOrder: i % 3 === 0 });
    if (i % 50 === 0) assertEquals(skipped.last, trade);
  }
  assertEquals([skipped.traded, skipped.last], [500, written.last]);
});

/** The numbers of a ticker that a client has heard. */
function numbersOf(ticker: Record<string, unknown> | undefined) {
  const { price, open_24h, sequence, trade_id } = ticker ?? {};
  return { price: Number(price), open: Number(open_24h), sequence: Number(sequence), tradeId: Number(trade_id) };
}

Deno.test("Past.close() makes an early last sample, and there are no trades after it", () => {
  const from = NOW - HOUR;
  const market = marketOf(PRODUCTS, 3, from);
  const past = new Past(market, { from, ticksPerSecond: 1, batchMs: 5000 });
  for (let sample = past.next(NOW); sample !== undefined; sample = past.next(NOW));
  const { at, trades } = past.close(NOW + 3300);
  assertEquals([at, past.isClosed], [NOW + 3300, true]);
  assertEquals(trades.map(({ product }) => product).sort(), PRODUCTS.toSorted());
  const traded = () => [...market.values()].map(({ traded }) => traded);
  const before = traded();
  assertEquals(past.end(NOW + 9000), NOW + 10_000);
  assertEquals(traded(), before);
  // the pause is not made up for: at one trade a second, an order is at most three trades
  for (const product of market.values()) product.advance(1000, 1, () => (NOW + 10_000) * 1000);
  for (const [i, count] of traded().entries()) assert(count - (before[i] ?? 0) <= 4, `${count} after ${before}`);
});

Deno.test({
  name: "Simulator continues live where its past has ended",
  ignore: !mayListen,
  async fn() {
    await using simulator = await Simulator.start({
      pastMs: 24 * HOUR,
      seed: 5,
      ticksPerSecond: 1,
      products: PRODUCTS,
    });
    const first = new Map<string, Trade>();
    const last = new Map<string, Trade>();
    let end = 0;
    for (const { at, trades } of simulator.past()) {
      end = at;
      for (const trade of trades) {
        if (!first.has(trade.product)) first.set(trade.product, trade);
        last.set(trade.product, trade);
      }
    }
    const late = Date.now() - end;
    assert(late >= 0 && late < 3000, `the last sample is ${late} ms old`);
    await using client = await Client.subscribe(simulator.url, PRODUCTS, ["ticker"]);
    await until(
      "each product has traded twice",
      () => PRODUCTS.every((product) => client.tickers(product).length >= 3),
    );
    for (const product of PRODUCTS) {
      const before = last.get(product);
      assert(before !== undefined);
      const [shown, next] = client.tickers(product).map(numbersOf);
      assert(shown !== undefined && next !== undefined);
      // nothing was traded since the last sample
      assertEquals([shown.tradeId, shown.sequence], [before.tradeId, before.sequence]);
      assertEquals(next.tradeId, shown.tradeId + 1);
      assertLess(Math.abs(next.price / Number(before.price) - 1), 0.005);
      // the price of 24 hours ago is the one in the past, to the minute
      assertLess(Math.abs(shown.open / Number(first.get(product)?.price) - 1), 0.005);
    }
  },
});

Deno.test({
  name: "Simulator continues the samples of its past at the same interval",
  ignore: !mayListen,
  async fn() {
    const options = { pastMs: 60_000, batchMs: 400, ticksPerSecond: 50, products: ["BTC-USD"] };
    await using simulator = await Simulator.start(options);
    // the last one is out of turn
    const ats = [...simulator.past()].map(({ at }) => at).slice(0, -1);
    await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker_batch"]);
    await until("three samples have come", () => client.tickers().length === 4);
    const told = simulator.sent().slice(1).map(({ at }) => at);
    for (const at of told) {
      const off = ((at - (ats.at(-1) ?? 0)) % 400 + 400) % 400;
      assert(off < 100, `${off} ms behind its time`);
    }
  },
});

Deno.test({
  name: "Simulator with a past trades nothing until a client subscribes, even if the past was not read to its end",
  ignore: !mayListen,
  async fn() {
    await using simulator = await Simulator.start({ pastMs: HOUR, ticksPerSecond: 100, products: ["BTC-USD"] });
    const past = simulator.past();
    past.next();
    past.next();
    const traded = () => simulator.traded()["BTC-USD"]?.count ?? 0;
    const before = traded();
    const started = performance.now();
    await until("some time has passed", () => performance.now() - started > 100);
    assertEquals(traded(), before);
    await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    await until("there are tickers", () => client.tickers().length > 5);
    assertGreater(traded(), 300_000);
    const ids = client.tickers().map(({ trade_id }) => Number(trade_id));
    assertEquals(ids, ids.map((_, i) => (ids[0] ?? 0) + i));
    assertEquals([past.next().done, [...simulator.past()]], [true, []]);
  },
});

Deno.test("Simulator.start() rejects a past with a recording, and a negative one", async () => {
  const recording = { frames: [], speed: 1 };
  await assertRejects(() => Simulator.start({ pastMs: 1000, recording }), RangeError, "recording");
  await assertRejects(() => Simulator.start({ pastMs: -1 }), RangeError, "pastMs");
});

/** Logarithms of the price's steps over this many samples. */
function stepsOf(samples: readonly Sample[], product: string, each: number): number[] {
  const prices = tradesOf(samples, product).map(({ price }) => Math.log(Number(price)));
  return prices.flatMap((price, i) => i >= each && i % each === 0 ? [price - (prices[i - each] ?? price)] : []);
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const [ma, mb] = [mean(a), mean(b)];
  const sum = (f: (i: number) => number) => a.reduce((total, _, i) => total + f(i), 0);
  const da = (i: number) => (a[i] ?? 0) - ma;
  const db = (i: number) => (b[i] ?? 0) - mb;
  return sum((i) => da(i) * db(i)) / Math.sqrt(sum((i) => da(i) ** 2) * sum((i) => db(i) ** 2));
}

Deno.test("Prices move as in real markets: calm and volatile times, products together, a few per cent a day", () => {
  const all = { together: 0, nerves: 0 };
  for (let seed = 1; seed <= 4; seed++) {
    const samples = samplesOf(seed, 24 * HOUR, 1, ["ETH-USD", "BTC-USD"]);
    const prices = tradesOf(samples, "BTC-USD").map(({ price }) => Number(price));
    const range = Math.max(...prices) / Math.min(...prices) - 1;
    assert(range > 0.01 && range < 0.25, `seed ${seed}: a range of ${range}`);
    const [btc, eth] = [stepsOf(samples, "BTC-USD", 60), stepsOf(samples, "ETH-USD", 60)];
    all.together += correlation(btc, eth) / 4;
    const nerves = btc.map(Math.abs);
    all.nerves += correlation(nerves.slice(1), nerves.slice(0, -1)) / 4;
    // nothing is a straight line: of the 5-minute steps no more than a dozen have one direction
    let run = 0;
    btc.forEach((step, i) => assertLess(run = step * (btc[i - 1] ?? 0) > 0 ? run + 1 : 0, 13));
  }
  assertGreater(all.together, 0.25);
  assertGreater(all.nerves, 0.1);
});

Deno.test("Products in other money start at about the same price", () => {
  const price = (id: string) => Number(tradeAt(productOf(id, 1, NOW), 0).price);
  assertLess(Math.abs(price("BTC-EUR") / price("BTC-USD") - 1), 0.01);
  assertLess(Math.abs(price("ETH-USDC") / price("ETH-USD") - 1), 0.01);
});
