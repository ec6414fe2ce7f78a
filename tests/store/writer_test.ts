// The store without threads and files: what is written is what is read, in whatever order and batches it came.

import { assert, assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { INTERVALS, markCandles } from "../../src/core/candle.ts";
import { type FeedEvent, type Gap, seriesOf, type Tick } from "../../src/core/record.ts";
import { clean, type Retention } from "../../src/store/cleaner.ts";
import { pack, unpackTicks } from "../../src/store/packing.ts";
import { Queries } from "../../src/store/queries.ts";
import { migrate, pragma, STEPS, VERSION } from "../../src/store/schema.ts";
import { Writer, type WriterOptions } from "../../src/store/writer.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { forSeeds } from "../fakes/random.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { cut, KEYS, ofProduct, someTicks, withRepeats } from "./world.ts";
import { foldCandles } from "../fakes/candles.ts";

const ALL = { limit: 1_000_000 };
const BTC = KEYS[0];
const NOW = Date.UTC(2026, 9, 4);

function openMemory(options: Partial<WriterOptions> = {}) {
  const db = new DatabaseSync(":memory:");
  db.exec("PRAGMA auto_vacuum = INCREMENTAL");
  migrate(db);
  const writer = new Writer(db, { now: () => NOW, ...options });
  return {
    db,
    writer,
    queries: new Queries(db),
    write: (...events: FeedEvent[]) => writer.write(pack(events)),
    [Symbol.dispose]: () => db.close(),
  };
}

/** As the fold has them, without what only the store knows. */
function candlesOf(queries: Queries, key: typeof KEYS[number], interval: typeof INTERVALS[number]) {
  return queries.candles(key, interval, ALL, 0).map(({ lastSequence: _, ...candle }) => candle);
}

function assertSameAsFold(queries: Queries, ticks: readonly Tick[]) {
  for (const key of KEYS) {
    const own = ofProduct(ticks, key);
    assertEquals(unpackTicks(queries.ticks(key, ALL)), own);
    for (const interval of INTERVALS) {
      assertEquals(candlesOf(queries, key, interval), markCandles(foldCandles(own, interval), 0), `${interval}`);
    }
  }
  const last = new Map(KEYS.map((key) => [seriesOf(key.exchange, key.product), ofProduct(ticks, key).at(-1)]));
  const told = unpackTicks(queries.lastTicks());
  assertEquals(told.length, [...last.values()].filter((tick) => tick !== undefined).length);
  for (const tick of told) assertEquals(tick, last.get(seriesOf(tick.exchange, tick.product)));
}

Deno.test("the store's ticks and candles are those that came, in any order, any batches, with repeats", async () => {
  await forSeeds(25, (random) => {
    using store = openMemory();
    const ticks = someTicks(random);
    let stored = 0;
    for (const batch of cut(withRepeats(ticks, random), random)) {
      stored += store.write(...batch);
      if (random.chance(0.1)) store.writer.forget();
    }
    assertEquals(stored, ticks.length);
    assertSameAsFold(store.queries, ticks);
  });
});

Deno.test("a batch that fails leaves nothing behind, and the next one counts right", async () => {
  await forSeeds(10, (random) => {
    using store = openMemory();
    const ticks = someTicks(random);
    for (const batch of cut(ticks, random)) {
      if (random.chance(0.5)) {
        const bad = makeGap({ reason: null as unknown as Gap["reason"] });
        let failed = false;
        try {
          store.write(...batch, bad);
        } catch {
          failed = true;
        }
        assert(failed);
      }
      store.write(...batch);
    }
    assertSameAsFold(store.queries, ticks);
    assertEquals(store.queries.gaps(undefined, ALL), []);
  });
});

Deno.test("a price is the double that came, to the last bit", () => {
  using store = openMemory();
  const prices = [0.1 + 0.2, 61234.56, 4e-7, 1e-18, 5e-324, 1.7976931348623157e308, 123456789012345.67, 2 ** 53, 1 / 3];
  store.write(...prices.map((price, sequence) => makeTick({ price, sequence })));
  assertEquals(unpackTicks(store.queries.ticks(BTC, ALL)).map(({ price }) => price), prices);
});

Deno.test("of open24h the newest that came is kept, for the last tick", () => {
  using store = openMemory();
  store.write(
    makeTick({ sequence: 1, open24h: 5, exchangeTimeUs: 1e15 }),
    makeTick({ sequence: 2, exchangeTimeUs: 2e15 }),
  );
  assertEquals(unpackTicks(store.queries.lastTicks()), [makeTick({ sequence: 2, open24h: 5, exchangeTimeUs: 2e15 })]);
});

Deno.test("volumes are exact sums, for any size and any number", () => {
  using store = openMemory();
  const sizes = [0.1, 0.2, 1e-18, 123456789.12345678, 9e15, 0.3, 1e-12];
  store.write(...sizes.map((lastSize, sequence) => makeTick({ sequence, lastSize })));
  const row = store.db.prepare("SELECT volume FROM candle_1m").get();
  assertEquals(row?.volume, "9000000123456789.723456780001000001");
});

Deno.test("of a gap's records the later one stays, and gaps go by what they touch", () => {
  using store = openMemory();
  const open = makeGap({ opened: 100, from: 90 });
  const later = makeGap({ opened: 200, from: null, to: 210, product: "ETH-USD" });
  store.write(open, later);
  assertEquals(store.queries.gaps(undefined, ALL), [open, later]);
  const closed = { ...open, to: 150, dropped: 7, missed: false };
  store.write(closed);
  assertEquals(store.queries.gaps(BTC, ALL), [closed]);
  const opened = (from?: number, to?: number, limit = 10) =>
    store.queries.gaps(undefined, { from, to, limit }).map(({ opened }) => opened);
  assertEquals(opened(0, 90), []);
  assertEquals(opened(0, 91), [100]);
  assertEquals(opened(150), [100, 200]);
  assertEquals(opened(151), [200]);
  assertEquals(opened(211), []);
  assertEquals(opened(undefined, undefined, 1), [200]);
  assertEquals(opened(0, undefined, 1), [100]);
  assertEquals(store.queries.gaps({ exchange: "coinbase", product: "DOGE-USD" }, ALL), []);
});

Deno.test("gaps that an earlier run left open end with the restart gap of the next one", () => {
  using store = openMemory();
  store.write(
    makeGap({ opened: 100, from: 90, reason: "stopped" }),
    makeGap({ opened: 100, from: 80, reason: "stopped", product: "ETH-USD" }),
    makeGap({ opened: 50, from: 40, to: 45 }),
  );
  const again = new Writer(store.db, { now: () => NOW });
  const restart = makeGap({ opened: 300, from: 90, reason: "restart" });
  again.write(pack([restart, makeGap({ opened: 301, from: 95, reason: "queue-full" })]));
  assertEquals(store.queries.gaps(BTC, ALL).map(({ to }) => to), [45, null, null, null]);
  again.write(pack([{ ...restart, to: 310 }]));
  assertEquals(store.queries.gaps(BTC, ALL).map(({ to, missed }) => [to, missed]), [
    [45, true],
    [310, true],
    [310, true],
    [null, true],
  ]);
  // the other product is not back yet
  assertEquals(store.queries.gaps(KEYS[1], ALL).map(({ to }) => to), [null]);
  again.write(
    pack([makeGap({ opened: 302, from: 80, to: 320, missed: false, reason: "restart", product: "ETH-USD" })]),
  );
  assertEquals(store.queries.gaps(KEYS[1], ALL).map(({ to, missed }) => [to, missed]), [[320, false], [320, false]]);
});

Deno.test("a file that replaces a lost one declares what is missing before each product's first tick", () => {
  const declared: Gap[] = [];
  using store = openMemory({ replaces: true, onGap: (gap) => void declared.push(gap) });
  store.write(...ticksOf("BTC-USD", 3, 100), ...ticksOf("ETH-USD", 1, 500));
  store.write(...ticksOf("BTC-USD", 3, 200));
  const gaps = store.queries.gaps(undefined, ALL);
  assertEquals(declared, gaps, "each is reported once");
  assertEquals(gaps.map(({ product, from, to, reason, missed }) => [product, from, to, reason, missed]), [
    ["BTC-USD", null, 100, "store-failed", true],
    ["ETH-USD", null, 500, "store-failed", true],
  ]);
});

Deno.test("candles that a gap touches are incomplete", () => {
  using store = openMemory();
  store.write(...ticksOf("BTC-USD", 10, 58), makeGap({ from: 61, to: 62, opened: 61 }));
  const marks = (interval: "1s" | "5s" | "1m" | "1h") =>
    store.queries.candles(BTC, interval, ALL, 66_000).map(({ openTime, running, incomplete }) =>
      `${openTime / 1000}${running ? "r" : ""}${incomplete ? "i" : ""}`
    ).join(" ");
  assertEquals(marks("1s"), "58 59 60 61i 62i 63 64 65 66r 67r");
  assertEquals(marks("5s"), "55 60i 65r");
  assertEquals(marks("1m"), "0 60ri");
  assertEquals(marks("1h"), "0ri");
});

Deno.test("since() brings what arrived after a moment, in order of arrival; too much is undefined", () => {
  using store = openMemory();
  const ticks = [...ticksOf("BTC-USD", 300), ...ticksOf("ETH-USD", 200, 50)]
    .sort((a, b) => a.receivedTime - b.receivedTime);
  for (const tick of ticks) store.write(tick);
  const since = (receivedTime: number, limit = 1000) => {
    const arrived = store.queries.since([BTC, KEYS[1]], receivedTime, limit);
    return arrived === undefined ? undefined : unpackTicks(arrived.ticks);
  };
  for (const from of [0, 1000, 50_000, 123_456, 249_000, 249_001, 299_000, 300_000]) {
    assertEquals(since(from), ticks.filter(({ receivedTime }) => receivedTime >= from));
  }
  assertEquals(since(300_001), []);
  assertEquals(since(100_000, 200), undefined);
  assertEquals(store.queries.since([{ exchange: "coinbase", product: "DOGE-USD" }], 0, 10)?.ticks.ticks.length, 0);
});

Deno.test("since() makes no hole when our clock was set back, now or in between two runs", () => {
  using store = openMemory();
  const ticks = ticksOf("BTC-USD", 300);
  // an hour back after number 200: later ticks bear earlier arrivals
  const shifted = ticks.map((tick) =>
    tick.sequence <= 200 ? tick : { ...tick, receivedTime: tick.receivedTime - 3_600_000 }
  );
  for (const batch of [shifted.slice(0, 150), shifted.slice(150, 250), shifted.slice(250)]) store.write(...batch);
  const after = (sequence: number) => {
    const { receivedTime } = shifted[sequence - 1] as Tick;
    const arrived = unpackTicks(
      (store.queries.since([BTC], receivedTime, 1000) as NonNullable<ReturnType<Queries["since"]>>).ticks,
    );
    return new Set(arrived.map((tick) => tick.sequence));
  };
  for (const sequence of [10, 199, 200, 201, 299]) {
    const found = after(sequence);
    for (let later = sequence + 1; later <= 300; later++) assert(found.has(later), `${later} after ${sequence}`);
  }
});

Deno.test("since() brings gaps by when they were written", () => {
  let now = 1000;
  using store = openMemory({ now: () => now });
  store.write(makeGap({ opened: 1 }));
  now = 5000;
  store.write(makeGap({ opened: 2 }), ...ticksOf("BTC-USD", 9));
  assertEquals(store.queries.since([BTC], 5000, 100)?.gaps.map(({ opened }) => opened), [2]);
});

function cleanUp(db: DatabaseSync, retention: Retention, now: number, writer: Writer): void {
  for (const _ of clean(db, retention, now, () => writer.forget())) {
    // step by step
  }
}

const DAY_MS = 86_400_000;

Deno.test("cleaning takes what is too old and nothing else, and candles stay right whatever still comes", async () => {
  await forSeeds(15, (random) => {
    using store = openMemory();
    const ticks = someTicks(random);
    const now = Math.max(0, ...ticks.map(({ exchangeTimeUs }) => exchangeTimeUs)) / 1000 + random.int(0, DAY_MS);
    const ticksDays = random.pick([0.001, 0.01, 0.1, 1]);
    const half = random.int(0, ticks.length);
    for (const batch of cut(ticks.slice(0, half), random)) store.write(...batch);
    cleanUp(store.db, { ticksDays, candlesDays: 0 }, now, store.writer);
    const horizon = Math.floor((now - ticksDays * DAY_MS) / 60_000) * 60_000;
    const expected: Tick[] = [];
    for (const key of KEYS) {
      const before = ofProduct(ticks.slice(0, half), key);
      const newest = before.at(-1);
      const keep = newest === undefined
        ? 0
        : Math.min(horizon, Math.floor(newest.exchangeTimeUs / 60e6) * 60_000) * 1000;
      const kept = before.filter((tick) => tick.exchangeTimeUs >= keep);
      assertEquals(unpackTicks(store.queries.ticks(key, ALL)), kept);
      assertEquals(
        store.db.prepare(
          "SELECT count(*) AS n FROM tick JOIN product p ON p.id = tick.product WHERE p.exchange = ? " +
            "AND p.product = ?",
        ).get(key.exchange, key.product)?.n,
        kept.length,
      );
      expected.push(...before, ...ofProduct(ticks.slice(half), key).filter((tick) => tick.exchangeTimeUs >= keep));
    }
    // what is gone comes once more, among what is new
    for (const batch of cut(withRepeats(ticks, random), random)) store.write(...batch);
    for (const key of KEYS) {
      for (const interval of ["1m", "5m", "1h", "1d"] as const) {
        assertEquals(
          candlesOf(store.queries, key, interval),
          markCandles(foldCandles(ofProduct(expected, key), interval), 0),
          `${interval} of ${key.product}`,
        );
      }
    }
  });
});

Deno.test("candles and gaps go after their days, ticks never before theirs, and the newest of each product never", () => {
  using store = openMemory();
  const days = [1, 2, 10, 20, 21];
  const at = (day: number) => day * DAY_MS * 1000;
  store.write(
    ...days.map((day) => makeTick({ sequence: day, exchangeTimeUs: at(day) })),
    makeTick({ product: "OLD-USD", exchangeTimeUs: at(1) }),
  );
  store.write(...days.map((day) => makeGap({ opened: day * 86_400, to: day * 86_400 + 5 })), makeGap({ opened: 5 }));
  cleanUp(store.db, { ticksDays: 2, candlesDays: 12 }, 22 * DAY_MS + 3_600_000, store.writer);
  const left = (interval: "5s" | "1m" | "1h") =>
    store.queries.candles(BTC, interval, ALL, 0).map(({ openTime }) => openTime / DAY_MS);
  assertEquals(
    [left("5s"), left("1m"), left("1h")],
    [[20, 21], [20, 21], [20, 21]].map((some, i) => i === 0 ? [21] : some),
  );
  assertEquals(store.queries.gaps(BTC, ALL).map(({ opened }) => opened), [5, 20 * 86_400, 21 * 86_400]);
  assertEquals(unpackTicks(store.queries.lastTicks()).map(({ product }) => product), ["OLD-USD", "BTC-USD"]);
});

Deno.test("nothing is cleaned when all is to be kept", () => {
  using store = openMemory();
  store.write(...ticksOf("BTC-USD", 10));
  cleanUp(store.db, { ticksDays: 0, candlesDays: 1 }, NOW, store.writer);
  assertEquals(unpackTicks(store.queries.ticks(BTC, ALL)).length, 10);
});

Deno.test("a store of version 1, which had no candles, gets those of its ticks", async () => {
  await forSeeds(5, (random) => {
    using db = new DatabaseSync(":memory:");
    assertEquals(migrate(db, 1), 0);
    const ticks = withRepeats(someTicks(random), random);
    for (const [i, { exchange, product }] of KEYS.entries()) {
      db.prepare("INSERT INTO product (id, exchange, product) VALUES (?, ?, ?)").run(i, exchange, product);
      for (const tick of ofProduct(ticks, KEYS[i] as typeof KEYS[number])) {
        db.prepare("INSERT OR IGNORE INTO tick VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
          i,
          tick.sequence,
          tick.price,
          tick.exchangeTimeUs,
          tick.receivedTime,
          tick.recordTimeUs - tick.exchangeTimeUs,
          tick.tradeId ?? null,
          tick.lastSize ?? null,
          tick.side === undefined ? null : tick.side === "buy" ? 1 : 0,
        );
      }
    }
    assertEquals(migrate(db), 1);
    assertEquals([pragma(db, "user_version"), migrate(db)], [VERSION, VERSION]);
    const distinct = [
      ...new Map(ticks.map((tick) => [`${tick.exchange} ${tick.product} ${tick.sequence}`, tick])).values(),
    ];
    assertSameAsFold(new Queries(db), distinct);
    // and goes on as one that was new
    const writer = new Writer(db, { now: () => NOW });
    const more = makeTick({ sequence: 2e9, exchangeTimeUs: Date.UTC(2027, 1) * 1000 });
    writer.write(pack([more]));
    assertSameAsFold(new Queries(db), [...distinct, more]);
  });
});

Deno.test("a step of a migration that fails changes nothing", () => {
  using db = new DatabaseSync(":memory:");
  migrate(db, 1);
  db.exec("CREATE TABLE candle_1h (taken INTEGER)");
  let message = "";
  try {
    migrate(db);
  } catch (error) {
    message = error instanceof Error ? error.message : "";
  }
  assert(message.includes("candle_1h already exists"), message);
  assertEquals(pragma(db, "user_version"), 1);
  assertEquals(db.prepare("SELECT count(*) AS n FROM sqlite_master WHERE name = 'candle_1m'").get()?.n, 0);
  assertEquals(STEPS.length, VERSION);
});

Deno.test("the views are for people", () => {
  using store = openMemory();
  const time = Date.UTC(2026, 9, 3, 21, 0, 1, 250) * 1000;
  store.write(
    makeTick({ exchangeTimeUs: time, lastSize: 0.5, side: "buy", tradeId: 7 }),
    makeTick({ exchange: "kraken", product: "BTC/USD", exchangeTimeUs: time }),
    makeGap({ from: null, opened: time / 1e6 }),
  );
  assertEquals({ ...store.db.prepare("SELECT * FROM prices WHERE product = 'BTC-USD'").get() }, {
    product: "BTC-USD",
    time: "2026-10-03 21:00:01.250",
    price: 61234.56,
    size: 0.5,
    side: "buy",
    sequence: 1000,
    trade_id: 7,
    w_time: time / 1e6,
  });
  assertEquals({
    ...store.db.prepare("SELECT * FROM candles WHERE product = 'kraken:BTC/USD' AND interval = '1h'").get(),
  }, {
    product: "kraken:BTC/USD",
    interval: "1h",
    time: "2026-10-03 21:00:00",
    open: 61234.56,
    high: 61234.56,
    low: 61234.56,
    close: 61234.56,
    ticks: 1,
    volume: null,
    origin: "ticks",
  });
  assertEquals({ ...store.db.prepare('SELECT product, opened, "from", "to", reason FROM gaps').get() }, {
    product: "BTC-USD",
    opened: "2026-10-03 21:00:01.250",
    from: null,
    to: null,
    reason: "link-closed",
  });
});
