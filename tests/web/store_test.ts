// The API and the stream on the real store, filled by the real pipeline.

import { assert, assertEquals } from "@std/assert";
import { systemClock as clock } from "../../src/core/clock.ts";
import { intervalMs, INTERVALS } from "../../src/core/candle.ts";
import { DEFAULT_EXCHANGE } from "../../src/exchanges/mod.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { GapTimes, type Tick } from "../../src/core/record.ts";
import { LiveSink } from "../../src/web/live.ts";
import { SqliteSink } from "../../src/store/sink.ts";
import { Stats } from "../../src/core/stats.ts";
import { Store } from "../../src/store/store.ts";
import { serve, type WebServer } from "../../src/web/server.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { Notebook } from "../fakes/log.ts";
import { Random } from "../fakes/random.ts";
import { FakeSource } from "../fakes/source.ts";
import { mayListen, until } from "../simulator/client.ts";
import { filesSkipped, temporaryFolder } from "../store/files.ts";
import { ask, liveProducts, Stream } from "./site.ts";
import { foldCandles } from "../fakes/candles.ts";

const PRODUCTS = ["BTC-USD", "ETH-USD", "SOL-USD"] as const;
const skipped = mayListen ? filesSkipped() : "needs --allow-net";

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: skipped === undefined ? name : `${name} [skipped: ${skipped}]`,
    ignore: skipped !== undefined,
    fn,
  });
}

/** The program from a source in the test's hands to its server, on a file. */
class Program implements AsyncDisposable {
  readonly source = new FakeSource();
  readonly store: Store;
  readonly live: LiveSink;
  readonly port: number;
  readonly log = new Notebook();
  readonly #server: WebServer;
  readonly #running: Promise<void>;
  readonly #stop = new AbortController();

  private constructor(store: Store, capacity: number) {
    this.store = store;
    this.live = new LiveSink({ clock, capacity });
    const stats = new Stats();
    const { source, live, log } = this;
    source.state = { ...source.state, products: liveProducts(...PRODUCTS) };
    const pipeline = new Pipeline({
      source,
      sinks: [live, new SqliteSink(store)],
      queueCapacity: 100_000,
      maxBatch: 2000,
      lingerMs: 0,
      startTimeoutMs: 0,
      drainMs: 5000,
      random: Math.random,
      gapTimes: new GapTimes(),
      clock,
      log,
      stats,
    });
    this.#server = serve({
      host: "127.0.0.1",
      port: 0,
      nextFreePort: false,
      allowedHosts: [],
      exchange: DEFAULT_EXCHANGE,
      clock,
      source,
      pipeline,
      stats,
      store,
      live,
      log,
    });
    this.port = this.#server.addr.port;
    this.#running = pipeline.run(this.#stop.signal);
  }

  static async start(file: string, capacity = 50): Promise<Program> {
    return new Program(await Store.open(file, { log: new Notebook() }), capacity);
  }

  async get(path: string): Promise<unknown[]> {
    const { status, json } = await ask(this.port, path);
    assertEquals(status, 200, `${path}: ${JSON.stringify(json)}`);
    return json;
  }

  stream(query: string): Promise<Stream> {
    return Stream.open(`http://127.0.0.1:${this.port}/api/stream${query}`, {});
  }

  /** Waits until the store has so many ticks of all products. */
  async stored(count: number): Promise<void> {
    let found = 0;
    const deadline = performance.now() + 10_000;
    do {
      found = 0;
      for (const product of PRODUCTS) {
        found += (await this.store.ticks({ exchange: "coinbase", product }, { limit: 100_000 })).length;
      }
      if (performance.now() > deadline) throw new Error(`${found} of ${count} ticks are in the store`);
    } while (found < count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    this.#stop.abort();
    await this.#running;
  }
}

/** Ticks of all products, which happened over the last minutes and have just arrived. */
class Market {
  readonly #random: Random;
  readonly all: Tick[] = [];

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  next(): Tick {
    const receivedTime = Date.now();
    const sequence = this.all.length + 1;
    const exchangeTimeUs = receivedTime * 1000 - this.#random.int(0, 10_000);
    const tick = makeTick({
      product: this.#random.pick(PRODUCTS),
      sequence,
      price: this.#random.int(1000, 9999) / 100,
      lastSize: this.#random.int(1, 1000) / 1e4,
      side: this.#random.pick(["buy", "sell"] as const),
      exchangeTimeUs,
      receivedTime,
      recordTimeUs: exchangeTimeUs,
    });
    this.all.push(tick);
    return tick;
  }
}

test("the API returns what the pipeline has stored: ticks, candles of every interval, gaps, products", async () => {
  await using folder = await temporaryFolder();
  await using program = await Program.start(`${folder.path}/prices.sqlite`);
  const random = new Random(1);
  const start = Math.floor(Date.now() / 3.6e6) * 3.6e9 - 3 * 3.6e9;
  const ticks = Array.from({ length: 600 }, (_, i) => {
    const exchangeTimeUs = start + i * 9_000_000 + random.int(0, 8_999_999);
    return makeTick({
      sequence: 100 + i,
      price: random.int(1000, 9999) / 100,
      lastSize: random.int(1, 1000) / 1e4,
      side: "sell",
      exchangeTimeUs,
      recordTimeUs: Math.floor(exchangeTimeUs / 1e6) * 1e6,
      receivedTime: Math.floor(exchangeTimeUs / 1000) + 20,
    });
  });
  const gap = makeGap({ opened: start / 1e6 + 300, from: start / 1e6 + 200, to: start / 1e6 + 400 });
  const open = makeGap({ product: "ETH-USD", opened: start / 1e6 + 500, from: null });
  program.source.push(...ticks.slice(0, 300), gap, open, ...ticks.slice(300));
  await program.stored(600);

  const wire = ticks.map(({ sequence, price, lastSize, exchangeTimeUs, recordTimeUs }) => ({
    product: "BTC-USD",
    w_time: recordTimeUs / 1e6,
    price,
    time: exchangeTimeUs / 1e6,
    sequence,
    size: lastSize,
    side: "sell",
  }));
  assertEquals(await program.get("/api/ticks?product=BTC-USD"), wire.slice(-500));
  assertEquals(await program.get("/api/ticks?product=BTC-USD&limit=10000"), wire);
  assertEquals(await program.get("/api/ticks?product=BTC-USD&limit=7"), wire.slice(-7));
  assertEquals(await program.get(`/api/ticks?product=BTC-USD&limit=7&from=${wire[50]?.time}`), wire.slice(50, 57));
  assertEquals(
    await program.get(`/api/ticks?product=BTC-USD&from=${wire[50]?.time}&to=${wire[60]?.time}`),
    wire.slice(50, 60),
  );
  assertEquals(await program.get("/api/ticks?product=ETH-USD"), []);

  for (const interval of INTERVALS) {
    const candles = await program.get(`/api/candles?product=BTC-USD&interval=${interval}&limit=10000`);
    const expected = foldCandles(ticks, interval).map(({ openTime, open, high, low, close, ticks: count, volume }) => ({
      time: openTime / 1000,
      open,
      high,
      low,
      close,
      ticks: count,
      volume,
      running: openTime + intervalMs(interval) > Date.now(),
      incomplete: openTime / 1000 <= start / 1e6 + 400 && start / 1e6 + 200 < (openTime + intervalMs(interval)) / 1000,
    }));
    // deno-lint-ignore no-explicit-any -- as the API tells it
    assertEquals(candles.map(({ sequence: _, ...candle }: any) => candle), expected, interval);
  }
  const { kind: _gap, ...gapRecord } = gap;
  const { kind: _open, ...openRecord } = open;
  assertEquals(await program.get("/api/gaps"), [gapRecord, openRecord]);
  assertEquals(await program.get("/api/gaps?product=ETH-USD"), [openRecord]);
  // the fake source tells no prices: they are the store's
  assertEquals((await program.get("/api/products") as { price?: number }[]).map(({ price }) => price), [
    ticks.at(-1)?.price,
    undefined,
    undefined,
  ]);
});

for (const query of ["", "product=ETH-USD,BTC-USD"]) {
  test(`readers of ?${query} who leave and come back at any moment miss no tick, and get none that was before their id`, async () => {
    await using folder = await temporaryFolder();
    // so small a memory that much of what is missed must come from the store
    await using program = await Program.start(`${folder.path}/prices.sqlite`, 2000);
    let asked = 0;
    const since = program.store.since.bind(program.store);
    program.store.since = (...args) => {
      asked++;
      return since(...args);
    };
    const market = new Market(7);
    const isWanted = ({ product }: Tick) => query === "" || query.includes(product);
    const everybody = Promise.withResolvers<void>();
    let ready = 0;
    const pushing = (async () => {
      await everybody.promise;
      const random = new Random(11);
      while (market.all.length < 10_000) {
        for (let i = random.int(0, 60); i > 0; i--) program.source.push(market.next());
        await new Promise((resolve) => setTimeout(resolve, random.int(0, 4)));
      }
    })();

    const read = async (seed: number) => {
      const chance = new Random(seed);
      const got = new Set<number>();
      const early: number[] = [];
      const resets: unknown[] = [];
      let lastEventId: string | undefined;
      const take = (stream: Stream) => {
        resets.push(...stream.data("reset"));
        for (const { sequence } of stream.data("tick")) {
          got.add(sequence);
          // what shares its millisecond with the id may come once more
          if ((market.all[sequence - 1]?.receivedTime ?? 0) < Number(lastEventId)) early.push(sequence);
        }
        lastEventId = stream.lastEventId ?? lastEventId;
      };
      /** Until so many have come in. */
      const pause = async (ticks: number) => {
        const end = Math.min(market.all.length + ticks, 10_000);
        await until(`${end} ticks came`, () => market.all.length >= end, 30_000);
      };
      let stream = await program.stream(`?${query}`);
      await stream.waits("status");
      if (++ready === 4) everybody.resolve();
      while (market.all.length < 9000) {
        await pause(chance.int(1, 1500));
        await stream[Symbol.asyncDispose]();
        take(stream);
        await pause(chance.int(0, 4000));
        stream = await program.stream(`?${query}&lastEventId=${lastEventId}`);
      }
      await pushing;
      const last = market.all.findLast(isWanted);
      const isLast = () => stream.data("tick").at(-1)?.sequence === last?.sequence || stream.data("reset").length > 0;
      await until("the last tick came, or word that it will not", isLast, 30_000);
      await stream[Symbol.asyncDispose]();
      take(stream);
      return { got, early, resets };
    };
    const readers = await Promise.all([1, 2, 3, 4].map(read));
    assert(asked > 3, `the store was asked ${asked} times`);
    const wanted = market.all.filter(isWanted);
    let whole = 0;
    for (const { got, early, resets } of readers) {
      assertEquals(early, []);
      // on a machine that is too busy a pause may last so long that a reset says so
      if (resets.length > 0) continue;
      whole++;
      assertEquals(wanted.filter(({ sequence }) => !got.has(sequence)).map(({ sequence }) => sequence), []);
    }
    assert(whole > 0, "no reader came through without a reset");
  });
}

for (const interval of ["1s", "15s", "1h"] as const) {
  test(`candles of ${interval} on the stream are those of /api/candles, also after late ticks, at most 0.5 s after a tick`, async () => {
    await using folder = await temporaryFolder();
    await using program = await Program.start(`${folder.path}/prices.sqlite`);
    const random = new Random(5);
    await using stream = await program.stream(`?everyMs=250&candles=BTC-USD:${interval}`);
    await stream.waits("status");
    const start = Date.now();
    for (let sequence = 1; sequence <= 300; sequence++) {
      const late = random.chance(0.1) ? random.int(0, 200_000) : 0;
      const exchangeTimeUs = (Date.now() - late) * 1000;
      const price = random.int(1000, 9999) / 100;
      program.source.push(makeTick({ sequence, price, lastSize: 0.1, exchangeTimeUs, receivedTime: Date.now() }));
      if (random.chance(0.3)) await new Promise((resolve) => setTimeout(resolve, random.int(0, 30)));
    }
    await program.stored(300);
    const path = `/api/candles?product=BTC-USD&interval=${interval}&from=${
      Math.floor(start / 1000) - 10_000
    }&limit=10000`;
    // deno-lint-ignore no-explicit-any -- as the API tells it
    const stored = (await program.get(path)).map(({ running: _, ...candle }: any) => candle);
    const streamed = () => {
      const newest = new Map(
        stream.data("candle").map(({ product: _, interval: __, running: ___, ...candle }) => [
          candle.time,
          candle,
        ]),
      );
      return [...newest.values()].sort((a, b) => a.time - b.time);
    };
    await until("all ticks are in candles of the stream", () => {
      return streamed().reduce((sum, { ticks }) => sum + ticks, 0) === 300;
    });
    assertEquals(streamed(), stored);
    // from the arrival of a tick until its candle is here
    const waits = [];
    for (let sequence = 301; sequence <= 305; sequence++) {
      const since = performance.now();
      program.source.push(makeTick({ sequence, exchangeTimeUs: Date.now() * 1000, receivedTime: Date.now() }));
      await until("its candle comes", () => stream.data("candle").at(-1)?.sequence === sequence);
      waits.push(performance.now() - since);
    }
    assert(Math.min(...waits) < 500, waits.join());
  });
}

test("a program that was started anew gives what was missed before, out of its file", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/prices.sqlite`;
  const market = new Market(3);
  let lastEventId: string | undefined;
  {
    await using program = await Program.start(file);
    {
      await using stream = await program.stream("");
      await stream.waits("status");
      program.source.push(market.next(), market.next());
      await stream.waits("tick", 2);
      lastEventId = stream.lastEventId;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    program.source.push(...Array.from({ length: 200 }, () => market.next()), makeGap({ opened: Date.now() / 1000 }));
  }
  await using program = await Program.start(file);
  await using stream = await program.stream(`?lastEventId=${lastEventId}`);
  await stream.waits("gap");
  program.source.push(market.next());
  await stream.waits("tick", 203 - 2);
  await until("the last one came", () => stream.data("tick").some(({ sequence }) => sequence === 203));
  const sequences = new Set(stream.data("tick").map(({ sequence }) => sequence));
  assertEquals(Array.from({ length: 201 }, (_, i) => i + 3).filter((sequence) => !sequences.has(sequence)), []);
});

test("a store whose file is gone is told in words, and the stream goes on", async () => {
  await using folder = await temporaryFolder();
  await using program = await Program.start(`${folder.path}/prices.sqlite`);
  await program.store.close();
  const { status, json } = await ask(program.port, "/api/ticks?product=BTC-USD");
  assertEquals([status, json], [503, { error: "Cannot read the store: The store is closed" }]);
  await using stream = await program.stream("?lastEventId=5");
  await stream.hears("reset");
  await program.live.write([new Market(1).next()], new AbortController().signal);
  await stream.waits("tick");
});
