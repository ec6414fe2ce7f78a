import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../src/core/clock.ts";
import { SinkError } from "../../src/core/errors.ts";
import type { FeedEvent, Tick } from "../../src/core/record.ts";
import type { Candle } from "../../src/core/candle.ts";
import type { ProductKey, Range, StoredCandle, StoreReader } from "../../src/store/reader.ts";
import { BACKFILL_LIMIT, MAX_STREAMS, mergeTicks } from "../../src/web/stream.ts";
import { FakeClock, settle } from "../fakes/clock.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { mayListen, until } from "../simulator/client.ts";
import { liveProducts, Site, type SiteOptions, storeThat } from "./site.ts";

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: mayListen ? name : `${name} [skipped: needs --allow-net]`, ignore: !mayListen, fn });
}

const EMPTY = storeThat(() => Promise.resolve([]));

/** Number `sequence`, which has just arrived. */
function tick(product: string, sequence: number, receivedTime = Date.now()): Tick {
  const exchangeTimeUs = receivedTime * 1000;
  return makeTick({ product, sequence, receivedTime, exchangeTimeUs, recordTimeUs: exchangeTimeUs });
}

function open(options: SiteOptions = {}): Site {
  return new Site({ store: EMPTY, source: { products: liveProducts("BTC-USD", "ETH-USD", "SOL-USD") }, ...options });
}

/** A store that knows these events in order of arrival, and what it was asked. */
function storeOf(events: readonly FeedEvent[], asked: unknown[] = []): StoreReader {
  return {
    ...EMPTY,
    since: (products: readonly ProductKey[], receivedTime: number, limit: number) => {
      asked.push([products.map(({ product }) => product).join(), receivedTime, limit]);
      const found = events.filter((event) =>
        (event.kind === "gap" || event.receivedTime > receivedTime) &&
        products.some(({ product }) => product === event.product)
      );
      return Promise.resolve(found.length > limit ? undefined : found);
    },
  };
}

// ---- what comes

test("a stream begins with how things are, then brings every tick and gap", async () => {
  await using web = open({
    source: {
      products: [
        { product: "BTC-USD", state: "live" },
        { product: "NEW-USD", state: "waiting", note: "never traded" },
        { product: "XRP-GBP", state: "refused", refused: "delisted" },
      ],
    },
  });
  await using stream = await web.stream();
  assertEquals(stream.response.status, 200);
  assertEquals(stream.response.headers.get("content-type"), "text/event-stream");
  assertEquals(stream.response.headers.get("cache-control"), "no-store");
  await stream.waits("status");
  assertEquals(stream.retry, 2000);
  const { json } = await web.ask("/api/status");
  const status = stream.events[0]?.data;
  assertEquals(stream.events[0]?.event, "status");
  assertEquals({ ...status, now: json.now, products: json.products }, json);
  assertEquals(status.products, [
    { product: "BTC-USD", state: "live" },
    { product: "NEW-USD", state: "waiting", note: "never traded" },
    { product: "XRP-GBP", state: "refused", refused: "delisted" },
  ]);
  const first = { ...tick("BTC-USD", 1), open24h: 5, lastSize: 0.5, side: "buy" as const };
  await web.push(first, makeGap(), makeGap({ to: 7, missed: false }));
  await web.push(tick("BTC-USD", 2));
  await stream.hears("BTC-USD1 gap-BTC-USD gap-BTC-USD-closed BTC-USD2");
  assertEquals(stream.data("tick")[0], {
    product: "BTC-USD",
    w_time: first.recordTimeUs / 1e6,
    price: first.price,
    time: first.exchangeTimeUs / 1e6,
    sequence: 1,
    size: 0.5,
    side: "buy",
    open24h: 5,
    received: first.receivedTime / 1000,
  });
  const { kind: _, ...gap } = makeGap();
  assertEquals(stream.data("gap")[0], gap);
  assertEquals(stream.lastEventId, String(web.live.watermark));
});

test("a stream brings the products that were asked for", async () => {
  await using web = open();
  await using two = await web.stream("?product=SOL-USD,BTC-USD,SOL-USD");
  await using one = await web.stream("?product=ETH-USD");
  await two.waits("status");
  await one.waits("status");
  await web.push(tick("BTC-USD", 1), tick("ETH-USD", 1), tick("SOL-USD", 1), makeGap({ product: "ETH-USD" }));
  await web.push(tick("ETH-USD", 2), tick("BTC-USD", 2));
  await two.hears("BTC-USD1 SOL-USD1 BTC-USD2");
  await one.hears("ETH-USD1 gap-ETH-USD ETH-USD2");
});

test("with everyMs the newest tick of each product comes, once per so many ms; gaps keep their places", async () => {
  const clock = new FakeClock();
  await using web = open({ clock });
  await using stream = await web.stream("?everyMs=1000");
  await stream.waits("status");
  const now = clock.now();
  await web.push(tick("BTC-USD", 1, now));
  await stream.hears("BTC-USD1");
  await web.push(tick("BTC-USD", 2, now), tick("ETH-USD", 1, now), tick("BTC-USD", 3, now));
  // a late one is not the newest
  await web.push({ ...tick("BTC-USD", 4, now), exchangeTimeUs: 5 });
  await web.push(makeGap({ product: "ETH-USD" }), tick("ETH-USD", 2, now), tick("ETH-USD", 3, now));
  await clock.advance(999);
  assertEquals(stream.told, "BTC-USD1");
  await clock.advance(1);
  await stream.hears("BTC-USD1 BTC-USD3 ETH-USD1 gap-ETH-USD ETH-USD3");
  await clock.advance(5000);
  await web.push(tick("SOL-USD", 1, now));
  await stream.hears("BTC-USD1 BTC-USD3 ETH-USD1 gap-ETH-USD ETH-USD3 SOL-USD1");
});

test("a merged stream begins with the newest tick of each product, once", async () => {
  await using web = open();
  await web.push(tick("BTC-USD", 1), tick("BTC-USD", 2), tick("ETH-USD", 7));
  await using stream = await web.stream("?everyMs=50&product=BTC-USD,ETH-USD");
  await stream.hears("BTC-USD2 ETH-USD7");
  await using second = await web.stream("?everyMs=50&product=BTC-USD,ETH-USD");
  await web.push(tick("BTC-USD", 3));
  await stream.hears("BTC-USD2 ETH-USD7 BTC-USD3");
  await second.hears("BTC-USD2 ETH-USD7 BTC-USD3");
});

Deno.test("mergeTicks() leaves what a merged stream would have brought", () => {
  const events = [
    tick("A", 1, 1000),
    tick("A", 2, 1010),
    tick("B", 1, 1020),
    tick("A", 3, 1090),
    tick("A", 4, 1100),
    makeGap({ product: "A" }),
    tick("A", 5, 1110),
    { ...tick("A", 6, 1120), exchangeTimeUs: 1 },
    tick("B", 2, 1150),
    tick("A", 7, 2000),
  ];
  const told = mergeTicks(events, 100).map((event) =>
    event.kind === "gap" ? "gap" : `${event.product}${event.sequence}`
  );
  assertEquals(told.join(" "), "A3 B1 A4 gap A5 B2 A7");
  assertEquals(mergeTicks([], 100), []);
});

test("status comes each second; of the products those whose state has changed, for each reader", async () => {
  const clock = new FakeClock();
  await using web = open({ clock });
  await using first = await web.stream();
  await first.waits("status");
  await clock.advance(500);
  web.products = [...liveProducts("BTC-USD", "ETH-USD"), { product: "SOL-USD", state: "stalled" }];
  await using second = await web.stream();
  await second.waits("status");
  // what only the second one was told is over before the first one would have been told
  web.products = liveProducts("BTC-USD", "ETH-USD", "SOL-USD");
  await clock.advance(500);
  await first.waits("status", 2);
  await second.waits("status", 2);
  await clock.advance(1000);
  await first.waits("status", 3);
  await second.waits("status", 3);
  const told = (stream: typeof first) => stream.data("status").map(({ products }) => products);
  const all = ["BTC-USD", "ETH-USD", "SOL-USD"].map((product) => ({ product, state: "live" }));
  assertEquals(told(first), [all, [], []]);
  assertEquals(told(second), [[...all.slice(0, 2), { product: "SOL-USD", state: "stalled" }], [all[2]], []]);
});

test("a comment comes every 15 seconds", async () => {
  const clock = new FakeClock();
  await using web = open({ clock });
  await using stream = await web.stream();
  await stream.waits("status");
  await clock.advance(31_000);
  await until("two comments came", () => stream.comments.length === 2);
  assertEquals(stream.comments, ["still here", "still here"]);
});

test("nothing runs on when nobody reads", async () => {
  const clock = new FakeClock();
  await using web = open({ clock });
  {
    await using stream = await web.stream("?everyMs=500");
    await using _other = await web.stream("?product=BTC-USD");
    await web.push(tick("BTC-USD", 1, clock.now()));
    await stream.hears("BTC-USD1");
    assert(clock.sleeping > 0);
  }
  await until("all sleepers are gone", () => clock.sleeping === 0);
  await web.push(tick("BTC-USD", 2, clock.now()));
  assertEquals(clock.sleeping, 0);
});

// ---- candles

/** A store in the test's hands. */
class FakeStore {
  readonly candles: StoredCandle[] = [];
  readonly reads: string[] = [];
  trouble: Error | undefined;
  readonly #listeners = new Set<(batch: readonly FeedEvent[]) => void>();

  get listeners(): number {
    return this.#listeners.size;
  }

  readonly reader: StoreReader = {
    ...EMPTY,
    onCommit: (listener) => {
      this.#listeners.add(listener);
      return () => void this.#listeners.delete(listener);
    },
    candles: ({ product }: ProductKey, interval: string, { from = 0, to = Infinity, limit }: Range) => {
      this.reads.push(`${product}:${interval}`);
      if (this.trouble !== undefined) return Promise.reject(this.trouble);
      const found = this.candles.filter(({ openTime }) => openTime >= from * 1000 && openTime < to * 1000);
      return Promise.resolve(found.slice(0, limit));
    },
  };

  commit(...batch: readonly FeedEvent[]): void {
    for (const listener of this.#listeners) listener(batch);
  }
}

function candle(openTime: number, price: number): StoredCandle {
  const prices: Omit<Candle, "openTime"> = {
    interval: "1s",
    open: price,
    high: price,
    low: price,
    close: price,
    ticks: 1,
    volume: 2,
  };
  return { ...prices, openTime, running: false, incomplete: false, lastSequence: 7 };
}

/** A tick that happened in the second from `openTime`. */
function tickOf(openTime: number, product = "BTC-USD"): Tick {
  return { ...tick(product, 1, openTime), exchangeTimeUs: openTime * 1000 + 999_999 };
}

test("after a commit the candles that it changed come, those of late ticks too, as in /api/candles", async () => {
  const clock = new FakeClock();
  const store = new FakeStore();
  await using web = open({ clock, store: store.reader });
  await using stream = await web.stream("?candles=BTC-USD:1s&product=ETH-USD");
  await stream.waits("status");
  const start = clock.now();
  for (let i = 0; i < 2000; i++) store.candles.push(candle(start + i * 1000, i));
  store.commit(tickOf(start + 1_999_000), tickOf(start + 3000), tickOf(start, "ETH-USD"));
  await stream.hears("candle candle");
  assertEquals(
    stream.data("candle"),
    [3, 1999].map((i) => ({
      product: "BTC-USD",
      interval: "1s",
      time: start / 1000 + i,
      open: i,
      high: i,
      low: i,
      close: i,
      ticks: 1,
      volume: 2,
      running: false,
      incomplete: false,
      sequence: 7,
    })),
  );
});

test("candles are read at most five times a second, once for all streams that follow them", async () => {
  const clock = new FakeClock();
  const store = new FakeStore();
  await using web = open({ clock, store: store.reader });
  await using first = await web.stream("?candles=BTC-USD:1s,ETH-USD:1m&product=SOL-USD");
  await using second = await web.stream("?candles=BTC-USD:1s&product=SOL-USD");
  await first.waits("status");
  await second.waits("status");
  const start = clock.now();
  store.candles.push(candle(start, 1));
  for (let i = 0; i < 100; i++) {
    store.commit(tickOf(start));
    await clock.advance(10);
  }
  await first.waits("candle", 5);
  assertEquals(store.reads, Array(store.reads.length).fill("BTC-USD:1s"));
  assert(store.reads.length <= 6, String(store.reads.length));
  await second.waits("candle", store.reads.length);
  assertEquals(first.data("candle"), second.data("candle"));
});

test("a candle that cannot be read is read again, whatever is stored meanwhile", async () => {
  const clock = new FakeClock();
  const store = new FakeStore();
  await using web = open({ clock, store: store.reader });
  await using stream = await web.stream("?candles=BTC-USD:1s&product=SOL-USD");
  await stream.waits("status");
  const start = clock.now();
  store.candles.push(candle(start, 1), candle(start + 1000, 2));
  store.trouble = new SinkError("retry", "the disk is full");
  store.commit(tickOf(start));
  await until("it was read", () => store.reads.length === 1);
  store.commit(tickOf(start + 1000));
  store.trouble = undefined;
  await clock.advance(1000);
  await stream.waits("candle", 2);
  assertEquals(stream.data("candle").map(({ close }) => close), [1, 2]);
});

test("a stored gap resets the candles of its product alone", async () => {
  const store = new FakeStore();
  await using web = open({ store: store.reader });
  await using stream = await web.stream("?candles=BTC-USD:1s,ETH-USD:5m&product=SOL-USD");
  await stream.waits("status");
  store.commit(makeGap({ product: "ETH-USD" }), makeGap({ product: "XRP-USD" }));
  await stream.hears("reset");
  const [{ product, interval }] = stream.data("reset");
  assertEquals([product, interval], ["ETH-USD", "5m"]);
});

test("of candles that nobody follows any more, none is read", async () => {
  const clock = new FakeClock();
  const store = new FakeStore();
  await using web = open({ clock, store: store.reader });
  {
    await using stream = await web.stream("?candles=BTC-USD:1s,BTC-USD:1m&product=SOL-USD");
    await stream.waits("status");
    assertEquals(store.listeners, 2);
    store.commit(tickOf(clock.now()));
    await until("both were read", () => store.reads.length === 2);
  }
  await until("all is over", () => store.listeners === 0 && clock.sleeping === 0);
});

test("a stream follows at most 50 series of candles, and none of a product that is not there", async () => {
  await using web = open();
  const intervals = ["1s", "5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"];
  const products = ["BTC-USD", "ETH-USD", "SOL-USD"];
  web.products = liveProducts(...products, "kraken:BTC/USD", "X-USD");
  const pairs = [...products, "X-USD", "kraken:BTC/USD"].flatMap((product) =>
    intervals.map((each) => `${product}:${each}`)
  );
  assertEquals((await web.ask(`/api/stream?candles=${pairs.slice(0, 51).join()}`)).status, 400);
  assertEquals((await web.ask("/api/stream?candles=NO-SUCH:1m")).status, 404);
});

// ---- who comes back

test("whoever comes back gets what came meanwhile, out of memory, and nothing twice", async () => {
  const asked: unknown[] = [];
  await using web = open({ store: storeOf([], asked) });
  let id: string | undefined;
  {
    await using stream = await web.stream();
    await stream.waits("status");
    await web.push(tick("BTC-USD", 1));
    await stream.hears("BTC-USD1");
    id = stream.lastEventId;
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  await web.push(tick("BTC-USD", 2), tick("ETH-USD", 1), makeGap(), tick("BTC-USD", 3));
  await using again = await web.stream("", { "Last-Event-ID": id ?? "" });
  await web.push(tick("BTC-USD", 4));
  // the last one comes once more, since others may have come in its millisecond
  await again.hears("BTC-USD1 BTC-USD2 ETH-USD1 gap-BTC-USD BTC-USD3 BTC-USD4");
  await using one = await web.stream(`?product=ETH-USD&lastEventId=${id}`);
  await one.hears("ETH-USD1");
  assertEquals(asked, []);
});

test("a reader who came before the first tick misses nothing either", async () => {
  await using web = open();
  let id: string | undefined;
  {
    await using stream = await web.stream();
    await stream.waits("status");
    id = stream.lastEventId;
  }
  await web.push(tick("BTC-USD", 1));
  await using again = await web.stream(`?lastEventId=${id}`);
  await again.hears("BTC-USD1");
});

test("an id moves on with the status, so that quiet products need no long backfill", async () => {
  const clock = new FakeClock();
  await using web = open({ clock });
  await using quiet = await web.stream("?product=SOL-USD");
  await quiet.waits("status");
  await clock.advance(700);
  await web.push(tick("BTC-USD", 1, clock.now()));
  await clock.advance(300);
  await quiet.waits("status", 2);
  assertEquals(quiet.lastEventId, String(clock.now() - 301));
});

test("the header of a browser that comes back counts more than the address it came with", async () => {
  await using web = open();
  const before = Date.now() - 1;
  await web.push(tick("BTC-USD", 1, Date.now()));
  await new Promise((resolve) => setTimeout(resolve, 10));
  const between = Date.now() - 1;
  await web.push(tick("BTC-USD", 2, Date.now()));
  await using stream = await web.stream(`?lastEventId=${before}`, { "Last-Event-ID": String(between) });
  await web.push(tick("BTC-USD", 3));
  await stream.hears("BTC-USD2 BTC-USD3");
});

test("what has left memory comes from the store, what the store does not have yet from memory, each once", async () => {
  const clock = new FakeClock();
  const start = clock.now();
  const ticks = Array.from({ length: 40 }, (_, i) => tick(i % 4 === 0 ? "ETH-USD" : "BTC-USD", i, start + i * 100));
  // memory holds the last 16, the store the first 30, and one that the live sink has not seen yet
  const ahead = tick("BTC-USD", 41, start + 4000);
  const asked: unknown[] = [];
  const stored = [...ticks.slice(0, 30), ahead];
  await using web = open({ clock, capacity: 16, store: storeOf(stored, asked) });
  await clock.advance(5000);
  await web.push(...ticks);
  await using stream = await web.stream(`?lastEventId=${start + 1000}&product=BTC-USD`);
  await stream.waits("tick", 23);
  assertEquals(asked, [["BTC-USD", start + 1000, BACKFILL_LIMIT]]);
  await web.push(ahead, tick("BTC-USD", 42, start + 4100));
  await stream.waits("tick", 24);
  const sequences = stream.data("tick").map(({ sequence }) => sequence);
  assertEquals(sequences.toSorted((a, b) => a - b), [
    ...ticks.slice(11).filter(({ product }) => product === "BTC-USD").map(({ sequence }) => sequence),
    41,
    42,
  ]);
});

test("ticks that come while the store is asked are neither lost nor brought twice", async () => {
  const start = Date.now() - 1000;
  const first = tick("BTC-USD", 1, start);
  const asked = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const stored: FeedEvent[] = [first];
  const store: StoreReader = {
    ...EMPTY,
    since: async () => {
      asked.resolve();
      await answered.promise;
      return stored;
    },
  };
  await using web = open({ store });
  await using stream = await web.stream(`?lastEventId=${start - 1}`);
  await asked.promise;
  const second = tick("BTC-USD", 2);
  await web.push(second);
  stored.push(second);
  await web.push(tick("BTC-USD", 3));
  answered.resolve();
  await stream.waits("tick", 3);
  await web.push(tick("BTC-USD", 4));
  await stream.hears("BTC-USD1 BTC-USD2 BTC-USD3 BTC-USD4");
});

test("of a gap that has ended in the store no older form comes after it", async () => {
  const start = Date.now() - 1000;
  const closed = makeGap({ opened: start / 1000, to: start / 1000 + 0.5 });
  await using web = open({ store: storeOf([closed]) });
  await web.push(makeGap({ opened: start / 1000 }));
  await using stream = await web.stream(`?lastEventId=${start - 1}`);
  await stream.hears("gap-BTC-USD-closed");
  // the live sink comes after
  await web.push(makeGap({ opened: start / 1000 }), closed, tick("BTC-USD", 1));
  await stream.hears("gap-BTC-USD-closed BTC-USD1");
});

for (
  const [what, options, id, reason] of [
    ["too much was missed", { store: storeThat(() => Promise.resolve(undefined)) }, () => 0, "more than 10000 events"],
    [
      "the store is away",
      { store: storeThat(() => Promise.reject(new SinkError("retry", "the disk is full"))) },
      () => 0,
      "Cannot read the store: the disk is full",
    ],
    [
      "the id lies in the future, as after a clock was set back",
      {},
      () => Date.now() + 60_000,
      "the clock was set back",
    ],
    ["the id is none", {}, () => "7;drop", "none of ours"],
  ] as [string, SiteOptions, () => string | number, string][]
) {
  test(`a reset stands in place of the backfill when ${what}, and the stream goes on`, async () => {
    await using web = open(options);
    await web.push(tick("ETH-USD", 1));
    await using stream = await web.stream("", { "Last-Event-ID": String(id()) });
    await stream.hears("reset");
    assertStringIncludes(stream.data("reset")[0].reason, reason);
    assertEquals(stream.lastEventId, String(web.live.watermark));
    await web.push(tick("BTC-USD", 1));
    await stream.hears("reset BTC-USD1");
    // a merged one knows the prices all the same
    await using merged = await web.stream("?everyMs=50", { "Last-Event-ID": String(id()) });
    await merged.waits("tick", 2);
    assertEquals(merged.told.split(" ").toSorted().join(" "), "BTC-USD1 ETH-USD1 reset");
  });
}

test("a reset comes when memory holds more than a stream may bring, unless merging leaves less", async () => {
  await using web = open();
  const start = Date.now() - 1000;
  await web.push(tick("ETH-USD", 1, start));
  await new Promise((resolve) => setTimeout(resolve, 5));
  const from = Date.now() - 2;
  await web.push(...Array.from({ length: BACKFILL_LIMIT + 1 }, (_, i) => tick("BTC-USD", i, from + 1)));
  await using stream = await web.stream(`?lastEventId=${from}`);
  await stream.hears("reset");
  await using merged = await web.stream(`?lastEventId=${from}&everyMs=1000`);
  await merged.hears(`BTC-USD${BACKFILL_LIMIT}`);
});

test("a reset comes when the store is so far behind that memory does not reach it", async () => {
  const clock = new FakeClock();
  const start = clock.now();
  const ticks = Array.from({ length: 40 }, (_, i) => tick("BTC-USD", i, start + i * 100));
  for (
    const [stored, told] of [[23, "reset"], [
      24,
      ticks.slice(1).map((each) => `BTC-USD${each.sequence}`).join(" "),
    ]]
  ) {
    await using web = open({ clock, capacity: 16, store: storeOf(ticks.slice(0, Number(stored))) });
    await clock.advance(5000);
    await web.push(...ticks);
    await using stream = await web.stream(`?lastEventId=${start}`);
    await stream.hears(String(told));
    if (told === "reset") assertStringIncludes(stream.data("reset")[0].reason, "too far behind");
    // of another product nothing is missing
    await using other = await web.stream(`?lastEventId=${start}&product=ETH-USD`);
    await web.push(tick("ETH-USD", 1, clock.now()));
    await other.hears("ETH-USD1");
    clock.jump(-5000);
  }
});

test("a clock that is set back makes no hole", async () => {
  const clock = new FakeClock();
  const stored: FeedEvent[] = [];
  await using web = open({ clock, store: storeOf(stored) });
  const push = async (sequence: number) => {
    const each = tick("BTC-USD", sequence, clock.now());
    stored.push(each);
    await web.push(each);
  };
  let id: string | undefined;
  await clock.advance(1000);
  {
    await using stream = await web.stream("?product=BTC-USD");
    await stream.waits("status");
    await push(1);
    await stream.hears("BTC-USD1");
    id = stream.lastEventId;
  }
  clock.jump(-800);
  for (let sequence = 2; sequence < 12; sequence++) {
    await push(sequence);
    await clock.advance(200);
  }
  // by now the clock has passed the id once more
  assert(clock.now() > Number(id));
  await using again = await web.stream(`?product=BTC-USD&lastEventId=${id}`);
  await again.waits("tick", 11);
  assertEquals(again.data("tick").map(({ sequence }) => sequence), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});

// ---- readers who behave badly

/** Opens a stream by hand, and does not read. */
async function deaf(web: Site, query = ""): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: web.port });
  await conn.write(
    new TextEncoder().encode(`GET /api/stream${query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
  );
  return conn;
}

/** The body of an answer that came in chunks. */
function bodyOf(answer: string): string {
  let rest = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  let body = "";
  while (true) {
    const end = rest.indexOf("\r\n");
    const length = Number.parseInt(rest.slice(0, end), 16);
    assert(length >= 0 && rest.length >= end + 4 + length, "the body ends in order");
    if (length === 0) return body;
    body += rest.slice(end + 2, end + 2 + length);
    rest = rest.slice(end + 4 + length);
  }
}

/** Some megabytes of ticks. */
async function flood(web: Site, megabytes: number): Promise<void> {
  const now = Date.now();
  for (let i = 0; i < megabytes * 10; i++) {
    await web.push(...Array.from({ length: 700 }, (_, j) => tick("BTC-USD", i * 700 + j, now)));
    await new Promise((resolve) => setTimeout(resolve, 26));
  }
}

test("a reader who does not read is shed, holds up nobody, and is told so if he reads at last", async () => {
  await using web = open();
  const conn = await deaf(web);
  await using other = await web.stream("?product=ETH-USD");
  await other.waits("status");
  const before = Deno.memoryUsage().rss;
  await flood(web, 9);
  await web.push(tick("ETH-USD", 1));
  await other.hears("ETH-USD1");
  assertLess(Deno.memoryUsage().rss - before, 150e6);
  const text = bodyOf(await new Response(conn.readable).text());
  assertStringIncludes(text.slice(-300), "event: shed\ndata: {");
  // what came is whole
  assertEquals(text.split("\n").filter((line) => /^data: /.test(line) && !line.endsWith("}")), []);
});

test("a reader who leaves in the middle leaves nothing behind", async () => {
  const clock = new FakeClock();
  await using web = open({ clock });
  const conns = await Promise.all(Array.from({ length: 20 }, (_, i) => deaf(web, i % 2 === 0 ? "" : "?everyMs=50")));
  for (const conn of conns) await conn.read(new Uint8Array(4096));
  assert(clock.sleeping > 0);
  await web.push(tick("BTC-USD", 1, clock.now()));
  for (const conn of conns) conn.close();
  await until("all are gone", () => clock.sleeping === 0);
});

test("a reader who leaves while his backfill is fetched leaves nothing behind", async () => {
  const answered = Promise.withResolvers<FeedEvent[]>();
  const asked = Promise.withResolvers<void>();
  const clock = new FakeClock();
  await using web = open({
    clock,
    store: storeThat(() => {
      asked.resolve();
      return answered.promise;
    }),
  });
  const conn = await deaf(web, "?lastEventId=5");
  await asked.promise;
  await conn.read(new Uint8Array(4096));
  conn.close();
  await until("the reader is gone", () => clock.sleeping === 0);
  answered.resolve([tick("BTC-USD", 1)]);
  await settle();
  assertEquals(clock.sleeping, 0);
});

test(`beyond ${MAX_STREAMS} streams the next one is refused, until one ends`, async () => {
  await using web = open();
  const conns = await Promise.all(Array.from({ length: MAX_STREAMS }, () => deaf(web)));
  for (const conn of conns) await conn.read(new Uint8Array(4096));
  const { status, json, headers } = await web.ask("/api/stream");
  assertEquals([status, json.error], [503, `Cannot open a stream: ${MAX_STREAMS} are open, try again later`]);
  assert(headers.has("retry-after"));
  assertEquals((await web.ask("/healthz")).status, 200);
  conns.pop()?.close();
  let stream;
  const deadline = performance.now() + 5000;
  do {
    await stream?.[Symbol.asyncDispose]();
    stream = await web.stream();
  } while (stream.response.status !== 200 && performance.now() < deadline);
  assertEquals(stream.response.status, 200);
  await stream[Symbol.asyncDispose]();
  for (const conn of conns) conn.close();
});

test("a large backfill is no reason to shed a reader, a bug of ours one to end his stream", async () => {
  const start = Date.now() - 10_000;
  const many = Array.from({ length: BACKFILL_LIMIT }, (_, i) => tick("BTC-USD", i, start + i / 2));
  {
    await using web = open({ store: storeOf(many) });
    await using stream = await web.stream(`?lastEventId=${start - 1}`);
    await stream.waits("tick", BACKFILL_LIMIT);
    await web.push(tick("BTC-USD", BACKFILL_LIMIT));
    await stream.waits("tick", BACKFILL_LIMIT + 1);
    assertEquals(stream.data("shed"), []);
  }
  await using web = open({ store: storeThat(() => Promise.reject(new TypeError("x is not a function"))) });
  await using stream = await web.stream(`?lastEventId=${start - 1}`);
  await stream.ends();
  assertEquals(web.log.find("x is not a function").length, 1);
});

// ---- the end

test("shutdown() ends streams after what waits in them, also those that nobody reads", async () => {
  const web = open();
  await using full = await web.stream();
  await using merged = await web.stream("?everyMs=10000");
  const conn = await deaf(web);
  await full.waits("status");
  await merged.waits("status");
  await web.push(tick("BTC-USD", 1));
  await merged.hears("BTC-USD1");
  await web.push(tick("BTC-USD", 2), tick("BTC-USD", 3));
  const before = systemClock.elapsed();
  await web.stop();
  assertLess(systemClock.elapsed() - before, 5000);
  await full.ends();
  await merged.ends();
  assertEquals([full.told, merged.told], ["BTC-USD1 BTC-USD2 BTC-USD3", "BTC-USD1 BTC-USD3"]);
  conn.close();
});

test("shutdown() does not wait for a reader whose stream is full", async () => {
  const web = open();
  const conn = await deaf(web);
  await flood(web, 8);
  const before = systemClock.elapsed();
  await web.stop();
  assertLess(systemClock.elapsed() - before, 5000);
  conn.close();
});
