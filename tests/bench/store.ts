// `deno task bench store`: how fast the store writes and reads: the real sink with its threads, compared with bare node:sqlite with
// the same rows in the same tables. CPU times are printed as well, because they are comparable on a busy machine.

import process from "node:process";
import type { Logger } from "../../src/core/log.ts";
import type { Tick } from "../../src/core/record.ts";
import { SqliteSink } from "../../src/store/sink.ts";
import { openDatabase } from "../../src/store/database.ts";
import { Store } from "../../src/store/store.ts";
import { judge, median, say } from "./report.ts";
import { foldCandles } from "../fakes/candles.ts";

const PRODUCTS = ["BTC-USD", "ETH-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"];
const BATCH = 500;
const BATCHES = 600;
const ROUNDS = 5;
/** Ticks in a store that has run for weeks. */
const LARGE = 5_000_000;
const DAY_S = 86_400;
const START_US = Date.UTC(2026, 9, 3) * 1000;

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, often() {} };
const never = new AbortController().signal;
const folder = Deno.makeTempDirSync({ prefix: "store-bench-" });
const round = (value: number, digits = 1) => value.toFixed(digits);

/** CPU time of all threads, ms. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Tick number `i`. Prices have two decimals and sizes eight, like those of exchanges. */
function tickOf(i: number, timeUs: number, product = PRODUCTS[i % PRODUCTS.length] ?? ""): Tick {
  const wave = Math.imul(i, 2_654_435_761) >>> 0;
  return {
    kind: "tick",
    exchange: "coinbase",
    product,
    sequence: 50_000_000_000 + i * 3,
    price: (6_123_456 + wave % 5000) / 100,
    exchangeTimeUs: timeUs,
    receivedTime: Math.floor(timeUs / 1000) + 35,
    recordTimeUs: timeUs,
    tradeId: 700_000_000 + i,
    lastSize: (1 + wave % 10_000_000) / 1e8,
    side: wave % 2 === 0 ? "buy" : "sell",
    open24h: 60_000.5,
    volume24h: 12_345.678,
    bid: 61_234.5,
    ask: 61_234.6,
  };
}

/** 1000 ticks a second. */
const batches = Array.from(
  { length: BATCHES },
  (_, b) => Array.from({ length: BATCH }, (_, i) => tickOf(b * BATCH + i, START_US + (b * BATCH + i) * 1000)),
);

async function throughSink(path: string): Promise<{ rate: number; cpuUs: number }> {
  await using sink = new SqliteSink(new Store(path, { ticksDays: 0, log: silent }));
  await sink.connect(never);
  const before = performance.now();
  const cpuBefore = cpuMs();
  for (const batch of batches) await sink.write(batch, never);
  const cpuUs = (cpuMs() - cpuBefore) * 1000 / (BATCHES * BATCH);
  return { rate: BATCHES * BATCH / (performance.now() - before) * 1000, cpuUs };
}

/** Inserts the same rows one at a time, in one transaction per batch, and the final candles. */
function bare(path: string): number {
  const { db, close } = openDatabase(path, { log: silent, now: Date.now });
  for (const [i, product] of PRODUCTS.entries()) {
    db.prepare("INSERT INTO product (id, exchange, product) VALUES (?, 'coinbase', ?)").run(i + 1, product);
  }
  const insert = db.prepare("INSERT INTO tick VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const ids = new Map(PRODUCTS.map((product, i) => [product, i + 1]));
  const candles = (["1m", "1h"] as const).flatMap((interval) =>
    PRODUCTS.flatMap((product, i) =>
      foldCandles(batches.flat().filter((tick) => tick.product === product), interval)
        .map((candle) => ({ interval, id: i + 1, candle }))
    )
  );
  const before = performance.now();
  for (const batch of batches) {
    db.exec("BEGIN IMMEDIATE");
    for (const tick of batch) {
      const { product, sequence, price, exchangeTimeUs, receivedTime, recordTimeUs, tradeId, lastSize, side } = tick;
      insert.run(
        ids.get(product) ?? 0,
        sequence,
        price,
        exchangeTimeUs,
        receivedTime,
        recordTimeUs - exchangeTimeUs,
        tradeId ?? null,
        lastSize ?? null,
        side === "buy" ? 1 : 0,
      );
    }
    db.exec("COMMIT");
  }
  db.exec("BEGIN IMMEDIATE");
  for (const { interval, id, candle } of candles) {
    db.prepare(`INSERT INTO candle_${interval} VALUES (?, ?, 'ticks', ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0)`).run(
      id,
      candle.openTime / 1000,
      candle.open,
      candle.high,
      candle.low,
      candle.close,
      candle.ticks,
      String(candle.volume),
    );
  }
  db.exec("COMMIT");
  const rate = BATCHES * BATCH / (performance.now() - before) * 1000;
  close();
  return rate;
}

async function timed(what: string, limitMs: number, ask: () => Promise<readonly unknown[]>): Promise<void> {
  const took: number[] = [], worked: number[] = [];
  let count = 0;
  for (let i = 0; i < 9; i++) {
    const before = performance.now(), cpuBefore = cpuMs();
    count = (await ask()).length;
    took.push(performance.now() - before);
    worked.push(cpuMs() - cpuBefore);
  }
  judge(
    `store, ${what}`,
    median(took) < limitMs,
    `${round(median(took))} ms (${count} of them, ${round(Math.min(...took))} to ${round(Math.max(...took))} ms, the ` +
      `first ${round(took[0] ?? NaN)}, ${round(median(worked))} of processor)`,
    `under ${limitMs} ms`,
  );
}

/** The time from the start of a program to its first confirmed tick, ms, median of several starts. */
async function startMs(path: string): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = performance.now();
    await using store = await Store.open(path, { ticksDays: 0, log: silent });
    await store.lastTicks();
    await store.write([tickOf(1e9 + i, Date.now() * 1000)], never);
    took.push(performance.now() - before);
  }
  return median(took);
}

try {
  const sinkRates: number[] = [], bareRates: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    bareRates.push(bare(`${folder}/bare${i}.sqlite`));
    const { rate, cpuUs } = await throughSink(`${folder}/sink${i}.sqlite`);
    sinkRates.push(rate);
    say(
      `     round ${i + 1}: bare ${Math.round(bareRates[i] ?? 0)} rows/s, sink ${
        Math.round(sinkRates[i] ?? 0)
      } ticks/s, ${round(cpuUs)} us of processor a tick`,
    );
  }
  const ratio = median(sinkRates.map((rate, i) => rate / (bareRates[i] ?? NaN)));
  const rate = median(sinkRates);
  judge("store, written through the sink", rate >= 100_000, `${Math.round(rate)} ticks/s`, "at least 100000 ticks/s");
  judge(
    "store, compared with bare inserts of the same rows",
    ratio >= 0.5,
    `${round(ratio, 2)} times`,
    "at least 0.5 times",
  );

  {
    await using store = new Store(`${folder}/day.sqlite`, { ticksDays: 0, log: silent });
    for (let second = 0; second < DAY_S; second += 60) {
      const ticks: Tick[] = [];
      for (let s = second; s < second + 60; s++) {
        for (const [p, product] of PRODUCTS.entries()) {
          ticks.push(tickOf(s * PRODUCTS.length + p, START_US + s * 1e6 + p * 37_000, product));
        }
      }
      await store.write(ticks, never);
    }
    const { size } = await Deno.stat(store.path);
    say(
      `     a day of ${PRODUCTS.length} products at 1/s: ${round(size / 1e6)} MB, ${
        round(size / DAY_S / PRODUCTS.length)
      } bytes a tick`,
    );
    const key = { exchange: "coinbase", product: "SOL-USD" };
    const now = START_US / 1000 + DAY_S * 1000;
    const range = { from: START_US / 1e6, to: START_US / 1e6 + DAY_S, limit: 20_000 };
    await timed("a day of 1m candles", 20, () => store.candles(key, "1m", range, now));
    await timed("a day of 5s candles", 80, () => store.candles(key, "5s", range, now));
    await timed("the newest 500 5s candles", 20, () => store.candles(key, "5s", { limit: 500 }, now));
    await timed(
      "the newest 10000 1s candles, out of ticks",
      80,
      () => store.candles(key, "1s", { limit: 10_000 }, now),
    );
    await timed("the newest 10000 ticks", 80, () => store.ticks(key, { limit: 10_000 }));
    await timed("each product's last tick", 20, () => store.lastTicks());
    const keys = PRODUCTS.map((product) => ({ exchange: "coinbase", product }));
    await timed(
      "what arrived in the last 5 minutes",
      80,
      async () => await store.since(keys, now - 300_000, 10_000) ?? [],
    );
  }
  {
    await using store = new Store(`${folder}/year.sqlite`, { ticksDays: 0, log: silent });
    for (let hour = 0; hour < 365 * 24; hour += 100) {
      const ticks: Tick[] = [];
      for (let h = hour; h < Math.min(hour + 100, 365 * 24); h++) {
        for (let i = 0; i < 3; i++) {
          ticks.push(tickOf(h * 3 + i, START_US + h * 3600e6 + i * 900e6, "BTC-USD"));
        }
      }
      await store.write(ticks, never);
    }
    const key = { exchange: "coinbase", product: "BTC-USD" };
    const now = START_US / 1000 + 365 * DAY_S * 1000;
    const range = { from: START_US / 1e6, limit: 10_000 };
    await timed("a year of 1h candles", 100, () => store.candles(key, "1h", range, now));
    await timed("a year of 1d candles", 100, () => store.candles(key, "1d", range, now));
  }
  {
    const path = `${folder}/large.sqlite`;
    {
      await using store = new Store(path, { ticksDays: 0, log: silent });
      for (let i = 0; i < LARGE; i += 4000) {
        const ticks = Array.from({ length: 4000 }, (_, k) => tickOf(i + k, START_US + (i + k) * 100_000));
        await store.write(ticks, never);
      }
    }
    const [empty, large] = [await startMs(`${folder}/empty.sqlite`), await startMs(path)];
    judge(
      "store, from the start to the first confirmed tick with 5 million ticks",
      large < 1000,
      `${round(large)} ms, ${round(large / empty)} times that of an empty store`,
      "under 1000 ms",
    );
  }
} finally {
  Deno.removeSync(folder, { recursive: true });
}
