import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { RefusedError } from "../../src/core/errors.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Exchange } from "../../src/exchanges/exchange.ts";
import { type FeedEvent, type Gap, GapTimes, recordTime, type Tick } from "../../src/core/record.ts";
import { Simulator } from "../../src/simulator/server.ts";
import type { SourceStatus } from "../../src/pipeline/source.ts";
import { WebSocketSource, type WebSocketSourceOptions } from "../../src/pipeline/websocket_source.ts";
import { Stats } from "../../src/core/stats.ts";
import { Notebook } from "../fakes/log.ts";
import { Random } from "../fakes/random.ts";
import { frame, mayConnect, Peer, TEXT, until, within } from "./peer.ts";

function test(name: string, fn: () => Promise<void>): void {
  const why = " [skipped: needs --allow-net and --allow-read]";
  Deno.test({ name: mayConnect ? name : `${name}${why}`, ignore: !mayConnect, fn });
}

/** Time that runs so many times as fast; the wall clock is the machine's, as the simulator's is. */
function fastClock(times: number): Clock {
  return {
    now: () => Date.now(),
    elapsed: () => performance.now() * times,
    sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
  };
}

const PRODUCTS = ["BTC-USD", "ETH-USD", "SOL-USD"];
/** A simulator whose time fits to a clock that runs ten times as fast. */
const BRISK = { products: PRODUCTS, ticksPerSecond: 50, heartbeatMs: 50, batchMs: 100 };

/** A source that runs, and what it said. */
class Running implements AsyncDisposable {
  readonly events: FeedEvent[] = [];
  readonly log = new Notebook();
  readonly stats = new Stats();
  readonly source: WebSocketSource;
  readonly done: Promise<void>;
  readonly #stop = new AbortController();

  constructor(url: string, options: Partial<WebSocketSourceOptions> = {}) {
    this.source = new WebSocketSource({
      exchange: coinbase,
      url,
      channel: "ticker",
      products: PRODUCTS,
      maxFrameBytes: 100_000,
      // 6 s of the machine's time: no test waits for it, and no busy machine stands still for so long
      staleAfterMs: 60_000,
      clock: fastClock(10),
      random: () => 0.5,
      log: this.log,
      stats: this.stats,
      gapTimes: new GapTimes(),
      ...options,
    });
    this.done = this.source.run((event) => this.events.push(event), () => undefined, this.#stop.signal);
    // where a failure is expected the test awaits it
    this.done.catch(() => {});
  }

  get ticks(): Tick[] {
    return this.events.filter((event) => event.kind === "tick");
  }

  /** Of one product or all. */
  gaps(product?: string): Gap[] {
    return this.events.filter((event) => event.kind === "gap").filter((gap) =>
      product === undefined || gap.product === product
    );
  }

  get status(): SourceStatus {
    return this.source.status();
  }

  /** Resolves when each of these products has had a tick from now on. */
  async ticksOf(...products: string[]): Promise<void> {
    const from = this.events.length;
    await until(`there are ticks of ${products}`, () => {
      const since = this.events.slice(from);
      return products.every((product) => since.some((event) => event.kind === "tick" && event.product === product));
    });
  }

  /** Resolves when it has stopped. */
  async stop(): Promise<void> {
    this.#stop.abort(new DOMException("The test is over", "AbortError"));
    await within("the source has stopped", this.done);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new DOMException("The test is over", "AbortError"));
    await within("the source has stopped", this.done.catch(() => {}));
  }
}

/** `reason closed|open` of each gap's last form, oldest first. */
function summary(gaps: readonly Gap[]): string[] {
  const last = new Map(gaps.map((gap) => [`${gap.product} ${gap.opened}`, gap]));
  return [...last.values()].map(({ reason, to }) => `${reason} ${to === null ? "open" : "closed"}`);
}

test("WebSocketSource hands on ticks in order, each gap's end before the tick that ends it", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url);
  await feed.ticksOf(...PRODUCTS);
  await until("there are 100 ticks", () => feed.ticks.length >= 100);
  await feed.stop();
  const sent = new Map(simulator.sent().map((tick) => [`${tick.product} ${tick.sequence}`, tick.price]));
  for (const product of PRODUCTS) {
    const own = feed.events.filter((event) => event.product === product);
    assertEquals(
      own.map((event) => event.kind === "tick" ? "tick" : `${event.reason} ${event.to === null ? "open" : "closed"}`)
        .filter((what, i, all) => what !== "tick" || all[i - 1] !== "tick"),
      ["restart open", "restart closed", "tick", "stopped open"],
    );
    const ticks = own.filter((event) => event.kind === "tick");
    assertEquals(own.find((event) => event.kind === "gap" && event.to !== null), {
      ...own[0] as Gap,
      to: recordTime(ticks[0] as Tick),
    });
    for (const [i, tick] of ticks.entries()) {
      assertEquals(Number(sent.get(`${product} ${tick.sequence}`)), tick.price);
      assert(i === 0 || tick.recordTimeUs > (ticks[i - 1] as Tick).recordTimeUs);
    }
  }
  assertEquals([feed.stats.received, feed.stats.gaps], [feed.ticks.length, 3]);
});

test("WebSocketSource takes data that comes before its subscriptions reply", async () => {
  await using simulator = await Simulator.start({ ...BRISK, ticksPerSecond: 0 });
  simulator.levers.dataFirst(true);
  await using feed = new Running(simulator.url, { channel: "ticker_batch" });
  await feed.ticksOf(...PRODUCTS);
  assertEquals(feed.log.lines.filter(({ level }) => level === "warn" || level === "error"), []);
});

// ---- the ends of a connection

for (
  const [what, pull, words] of [
    ["a clean close with 1000", (simulator) => void simulator.levers.hangUp(1000), "closed with code 1000"],
    ["a clean close with 1001", (simulator) => void simulator.levers.hangUp(1001), "closed with code 1001"],
    ["a close with 1012", (simulator) => void simulator.levers.hangUp(1012), "closed with code 1012"],
    ["a cut line", (simulator) => void simulator.levers.hangUp(1006), "closed with code 1006"],
    ["a cut in the middle of a frame", (simulator) => void simulator.levers.breakOff(), "closed with code 1006"],
  ] as [string, (simulator: Simulator) => void, string][]
) {
  test(`WebSocketSource reconnects after ${what}, with a gap for each product`, async () => {
    await using simulator = await Simulator.start(BRISK);
    await using feed = new Running(simulator.url);
    await feed.ticksOf(...PRODUCTS);
    pull(simulator);
    await until("it has reconnected", () => feed.stats.reconnects === 1);
    await feed.ticksOf(...PRODUCTS);
    for (const product of PRODUCTS) {
      assertEquals(summary(feed.gaps(product)), ["restart closed", "link-closed closed"]);
    }
    assertStringIncludes(feed.status.lastTrouble ?? "", words);
    assertEquals(feed.log.find("Connection to Coinbase ended").length, 1);
  });
}

test("WebSocketSource goes on trying while the upgrade is refused, and says so", async () => {
  await using simulator = await Simulator.start(BRISK);
  simulator.levers.refuseUpgrade(true, 503);
  await using feed = new Running(simulator.url, { unreachableHint: "try the simulator" });
  await until("it has tried thrice", () => feed.log.find("Cannot reach Coinbase").length >= 3);
  assertEquals(feed.status.link, "connecting");
  assertStringIncludes(feed.status.lastTrouble ?? "", "the upgrade was refused: 503");
  assert(feed.status.nextTrySeconds !== undefined || feed.log.find("503").length > 3);
  assertEquals(feed.log.find("try the simulator").length, 1);
  assertEquals(feed.status.hint, "try the simulator");
  simulator.levers.refuseUpgrade(false);
  await feed.ticksOf(...PRODUCTS);
  assertEquals(feed.status.hint, undefined);
  assertEquals([feed.status.link, feed.stats.reconnects, summary(feed.gaps("BTC-USD"))], [
    "open",
    0,
    ["restart closed"],
  ]);
});

test("WebSocketSource goes on trying while nobody listens", async () => {
  let url;
  {
    using peer = new Peer();
    url = peer.url;
  }
  await using feed = new Running(url);
  await until("it has tried thrice", () => feed.log.find("Cannot reach Coinbase").length >= 3);
  assertStringIncludes(feed.status.lastTrouble ?? "", "refused");
});

test("WebSocketSource reconnects when the exchange accepts and says nothing", async () => {
  await using simulator = await Simulator.start(BRISK);
  simulator.levers.mute(true);
  await using feed = new Running(simulator.url, { staleAfterMs: 2000 });
  await until("it has given up on the first link", () => simulator.connections().length >= 2);
  assertStringIncludes(feed.status.lastTrouble ?? "", "nothing came for 2 s");
  simulator.levers.mute(false);
  await feed.ticksOf(...PRODUCTS);
  assertEquals(summary(feed.gaps("BTC-USD")), ["restart closed"]);
});

test("WebSocketSource reconnects when an open link falls silent", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url, { staleAfterMs: 5000 });
  await feed.ticksOf(...PRODUCTS);
  simulator.levers.silent(true);
  await until("the link is given up", () => (feed.status.lastTrouble ?? "").includes("nothing came"));
  simulator.levers.silent(false);
  await feed.ticksOf(...PRODUCTS);
  for (const product of PRODUCTS) {
    assertEquals(summary(feed.gaps(product)), ["restart closed", "link-silent closed"]);
  }
});

test("WebSocketSource never connects or subscribes more than 8 times a second", async () => {
  await using simulator = await Simulator.start({ ...BRISK, heartbeatMs: 1000 });
  simulator.levers.hangUpAtOnce(true);
  // no delay at all between two attempts
  await using feed = new Running(simulator.url, { clock: systemClock, random: () => 0 });
  await until("it has tried for a while", () => simulator.connections().length >= 12);
  simulator.levers.hangUpAtOnce(false);
  await feed.ticksOf(...PRODUCTS);
  const times = [
    ...simulator.connections().map(({ openedAt }) => openedAt),
    ...simulator.received().map(({ at }) => at),
  ].sort((a, b) => a - b);
  for (const [i, time] of times.entries()) {
    const ninth = times[i + 8];
    // what leaves a second apart may arrive a little closer
    assert(ninth === undefined || ninth - time > 900, `9 requests within ${(ninth ?? 0) - time} ms`);
  }
  assert((times[8] ?? 0) - (times[0] ?? 0) < 3000, "it waits longer than it must");
});

/** Counts how long the source waits before it tries again, and hardly waits. */
function hastyClock(delays: number[]): Clock {
  return {
    ...systemClock,
    sleep(ms, signal) {
      delays.push(ms);
      return systemClock.sleep(Math.min(ms, 2), signal);
    },
  };
}

for (const [what, atOnce] of [["hangs up at once", true], ["hangs up after the first tick", false]] as const) {
  test(`WebSocketSource waits longer and longer for an exchange that accepts and ${what}`, async () => {
    await using simulator = await Simulator.start({ ...BRISK, ticksPerSecond: 0 });
    simulator.levers.hangUpAtOnce(atOnce);
    const delays: number[] = [];
    await using _feed = new Running(simulator.url, { clock: hastyClock(delays), random: () => 0.999 });
    const doubling = [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map((bound) => bound * 0.999);
    let waits: number[] = [];
    await until("it has waited nine times", () => {
      if (!atOnce && simulator.sentCount > 0) simulator.levers.hangUp(1001);
      waits = delays.filter((ms) => doubling.includes(ms));
      return waits.length >= doubling.length;
    });
    assertEquals(waits.slice(0, doubling.length), doubling);
  });
}

test("WebSocketSource begins with short waits again after 10 s with ticks", async () => {
  await using simulator = await Simulator.start(BRISK);
  const delays: number[] = [];
  const clock = hastyClock(delays);
  let ahead = 0;
  await using feed = new Running(simulator.url, {
    clock: { ...clock, elapsed: () => performance.now() + ahead },
    staleAfterMs: 60_000,
    random: () => 0.999,
  });
  const waits = () => delays.filter((ms) => [249.75, 499.5, 999].includes(ms));
  for (let i = 0; i < 2; i++) {
    await feed.ticksOf("BTC-USD");
    simulator.levers.hangUp();
    await until("it waits", () => waits().length > i);
  }
  await feed.ticksOf("BTC-USD");
  ahead = 10_001;
  simulator.levers.hangUp();
  await until("it waits", () => waits().length === 3);
  assertEquals(waits(), [249.75, 499.5, 249.75]);
});

test("WebSocketSource declares each gap of unknown start, and counts it where older ticks are stored", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url, { stored: new Set(["BTC-USD"]) });
  await feed.ticksOf(...PRODUCTS);
  for (const product of PRODUCTS) {
    assertEquals(feed.gaps(product).map(({ reason, from }) => `${reason} ${from}`), ["restart null", "restart null"]);
  }
  assertEquals(feed.stats.gaps, 1);
});

// ---- refusals

test("WebSocketSource leaves out one refused product, and says so with the exchange's words", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url, { products: ["BTC-USD", "XRP-GBP", "ETH-USD"] });
  await feed.ticksOf("BTC-USD", "ETH-USD");
  const [, refused] = feed.status.products;
  assertEquals([refused?.state, refused?.refused], [
    "refused",
    "Failed to subscribe: XRP-GBP is not a valid product",
  ]);
  assertEquals(feed.log.find("XRP-GBP is not a valid product").length, 1);
  assertEquals(summary(feed.gaps("XRP-GBP")), ["refused open"]);
  assertEquals(feed.stats.gaps, 0);
  simulator.levers.hangUp();
  await until("it has reconnected", () => feed.stats.reconnects === 1);
  await feed.ticksOf("BTC-USD", "ETH-USD");
  await until("all are asked for", () => simulator.received().length === 3);
  const asked = simulator.received().slice(1).map(({ text }) => JSON.parse(text).product_ids);
  assertEquals(asked, [["BTC-USD", "ETH-USD"], ["XRP-GBP"]]);
});

test("WebSocketSource leaves out a product that is delisted while it runs", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url);
  await feed.ticksOf(...PRODUCTS);
  simulator.levers.wrongProductErrors("ETH-USD");
  await until("it is refused", () => feed.status.products[1]?.state === "refused");
  await feed.ticksOf("BTC-USD", "SOL-USD");
  assertEquals(summary(feed.gaps("ETH-USD")), ["restart closed", "refused open"]);
  assertEquals([feed.stats.gaps, feed.stats.reconnects], [1, 0]);
});

/** A simulator and a clock with which minutes pass in a second; 3 s of the source's time without a frame are 30 ms. */
const RAPID = { ...BRISK, heartbeatMs: 10 };
const RAPID_CLOCK = { clock: fastClock(100), staleAfterMs: 150_000 };

test("WebSocketSource asks again for a refused product, on the same connection, until it comes", async () => {
  await using simulator = await Simulator.start(RAPID);
  simulator.levers.wrongProductErrors("ETH-USD");
  await using feed = new Running(simulator.url, RAPID_CLOCK);
  await feed.ticksOf("BTC-USD", "SOL-USD");
  // each time it is refused again
  await until("it is asked for again twice", () => simulator.received().length >= 3);
  for (const { text } of simulator.received().slice(1)) assertEquals(JSON.parse(text).product_ids, ["ETH-USD"]);
  assertEquals(feed.status.products[1]?.state, "refused");
  simulator.levers.wrongProductErrors("ETH-USD", false);
  await feed.ticksOf(...PRODUCTS);
  assertEquals(feed.status.products[1]?.refused, undefined);
  assertEquals([feed.log.find("refuses a product").length, feed.log.find("accepts a product again").length], [1, 1]);
  assertEquals(summary(feed.gaps("ETH-USD")), ["refused closed"]);
  assertEquals(summary(feed.gaps("BTC-USD")), ["restart closed"]);
  assertEquals([feed.stats.reconnects, simulator.connections().length], [0, 1]);
});

test("WebSocketSource asks for a refused product on each new connection, apart from the others", async () => {
  await using simulator = await Simulator.start(BRISK);
  simulator.levers.refuseAll(true);
  simulator.levers.wrongProductErrors("ETH-USD");
  await using feed = new Running(simulator.url);
  await feed.ticksOf("BTC-USD", "SOL-USD");
  simulator.levers.wrongProductErrors("ETH-USD", false);
  const before = simulator.received().length;
  simulator.levers.hangUp();
  await feed.ticksOf(...PRODUCTS);
  const asked = simulator.received().slice(before).map(({ text }) => JSON.parse(text).product_ids);
  assertEquals(asked, [["BTC-USD", "SOL-USD"], ["ETH-USD"]]);
});

test("WebSocketSource goes on when every product is refused after it had ticks", async () => {
  await using simulator = await Simulator.start(RAPID);
  await using feed = new Running(simulator.url, RAPID_CLOCK);
  await feed.ticksOf(...PRODUCTS);
  for (const product of PRODUCTS) simulator.levers.wrongProductErrors(product);
  await until("all are refused", () => feed.status.products.every(({ state }) => state === "refused"));
  await until("they are asked for again", () => simulator.received().length > PRODUCTS.length);
  for (const product of PRODUCTS) simulator.levers.wrongProductErrors(product, false);
  await feed.ticksOf(...PRODUCTS);
  for (const product of PRODUCTS) assertEquals(summary(feed.gaps(product)), ["restart closed", "refused closed"]);
});

for (
  const [what, error] of [
    ["the channel", { message: "Failed to subscribe", reason: "ticker is not a valid channel" }],
    ["the login", { message: "Authentication Failed" }],
  ] as const
) {
  test(`WebSocketSource goes on when ${what} is refused on a later connection`, async () => {
    using peer = new Peer();
    await using feed = new Running(peer.url);
    const first = await within("it connects", peer.upgrade());
    await first.frame();
    const time = new Date().toISOString();
    const ticker = { type: "ticker", product_id: "BTC-USD", sequence: 7, price: "5", time, trade_id: 3 };
    await first.send(frame(TEXT, JSON.stringify(ticker)));
    await until("there is a tick", () => feed.ticks.length === 1);
    first[Symbol.dispose]();
    const second = await within("it connects again", peer.upgrade());
    await second.frame();
    await second.send(frame(TEXT, JSON.stringify({ type: "error", ...error })));
    await until("it is told", () => feed.log.find("answers with an error").length === 1);
    second[Symbol.dispose]();
    await within("it connects again", peer.upgrade());
  });
}

test("WebSocketSource ends with RefusedError when all products are refused", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url, { products: ["XRP-GBP", "YFI-USD"] });
  const error = await within("it ends", assertRejects(() => feed.done, RefusedError, "Coinbase refuses every product"));
  assertStringIncludes(error.message, "is not a valid product");
  assertEquals(summary(feed.gaps()), ["refused open", "refused open"]);
  // it was our own decision to hang up
  assertEquals(feed.log.find("Connection to Coinbase ended"), []);
});

test("WebSocketSource ends with RefusedError when the exchange does not know the channel", async () => {
  await using simulator = await Simulator.start(BRISK);
  const exchange: Exchange = {
    ...coinbase,
    channels: { nonsense: { precision: "seconds", meaning: "nothing" } },
  };
  await using feed = new Running(simulator.url, { exchange, channel: "nonsense" });
  await within(
    "it ends",
    assertRejects(() => feed.done, RefusedError, "refuses the channel nonsense: Failed to subscribe: nonsense is not"),
  );
});

test("WebSocketSource survives that one bad product refuses the whole subscribe", async () => {
  await using simulator = await Simulator.start(BRISK);
  simulator.levers.refuseAll(true);
  const products = ["BTC-USD", "XRP-GBP", "ETH-USD", "YFI-USD"];
  await using feed = new Running(simulator.url, { products });
  await feed.ticksOf("BTC-USD", "ETH-USD");
  assertEquals(feed.status.products.map(({ state }) => state), ["live", "refused", "live", "refused"]);
  assertEquals(simulator.connections().length, 1);
});

test("WebSocketSource tells a person of an error about nothing it asked for, and goes on", async () => {
  using peer = new Peer();
  await using feed = new Running(peer.url);
  const line = await within("it connects", peer.upgrade());
  await line.frame();
  const reply = { type: "subscriptions", channels: [{ name: "ticker", product_ids: PRODUCTS }] };
  await line.send(frame(TEXT, JSON.stringify(reply)));
  await line.send(frame(TEXT, `{"type":"error","message":"SLOW-DOWN please"}`));
  await line.send(frame(TEXT, `{"type":"error","message":"Oh","reason":"RATE-LIMIT exceeded"}`));
  await until("both are told", () => feed.log.find("answers with an error").length === 2);
  assertEquals(feed.log.find("Oh: RATE-LIMIT exceeded").length, 1);
  assertEquals(feed.status.products.map(({ state }) => state), ["waiting", "waiting", "waiting"]);
});

test("WebSocketSource subscribes one by one when an error does not say which product it means", async () => {
  using peer = new Peer();
  await using feed = new Running(peer.url);
  const line = await within("it connects", peer.upgrade());
  const asked = async () => JSON.parse(new TextDecoder().decode((await line.frame())?.payload)).product_ids;
  assertEquals(await asked(), PRODUCTS);
  await line.send(frame(TEXT, `{"type":"error","message":"Invalid product ID provided"}`));
  for (const product of PRODUCTS) assertEquals(await within("it asks again", asked()), [product]);
  assertEquals(feed.log.find("Invalid product ID provided").length, 1);
});

test("WebSocketSource does not go on asking an exchange that answers every subscribe with an error", async () => {
  using peer = new Peer();
  await using feed = new Running(peer.url);
  const line = await within("it connects", peer.upgrade());
  const error = frame(TEXT, `{"type":"error","message":"Service unavailable"}`);
  let asked = 0;
  const answering = (async () => {
    while (await line.frame() !== undefined) {
      asked++;
      await line.send(error);
    }
  })();
  await until("it has asked one by one", () => asked === 4);
  const since = performance.now();
  // ten times the time after which it would ask again
  await until("a while has passed", () => performance.now() - since > 1000);
  assertEquals([asked, feed.log.find("Service unavailable").length], [4, 4]);
  await feed.stop();
  await answering;
});

// ---- products

test("WebSocketSource asks again for a stalled product, and then reconnects", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url, { staleAfterMs: 5000 });
  await feed.ticksOf(...PRODUCTS);
  simulator.levers.loseProduct("ETH-USD", true);
  await until("it is asked for again", () => simulator.received().length === 2);
  assertEquals(JSON.parse(simulator.received()[1]?.text ?? "").product_ids, ["ETH-USD"]);
  assertEquals(feed.status.products.map(({ state }) => state), ["live", "stalled", "live"]);
  await until("it reconnects", () => feed.stats.reconnects === 1);
  const words = "no prices arrived for ETH-USD, although Coinbase reports trades in ETH-USD";
  assertStringIncludes(feed.status.lastTrouble ?? "", words);
  simulator.levers.loseProduct("ETH-USD", false);
  await feed.ticksOf(...PRODUCTS);
  assertEquals(summary(feed.gaps("ETH-USD")), ["restart closed", "stalled closed"]);
  assertEquals(summary(feed.gaps("BTC-USD")), ["restart closed", "link-closed closed"]);
});

test("WebSocketSource disturbs no product for one that was never traded, or is missing in the subscriptions", async () => {
  using peer = new Peer();
  await using feed = new Running(peer.url, { ...RAPID_CLOCK, products: [...PRODUCTS, "NEW-USD"] });
  const line = await within("it connects", peer.upgrade());
  await line.frame();
  const listed = ["BTC-USD", "SOL-USD", "NEW-USD"];
  const tell = (message: Record<string, unknown>) => line.send(frame(TEXT, JSON.stringify(message)));
  await tell({ type: "subscriptions", channels: [{ name: "ticker", product_ids: listed }] });
  // each subscribe brings the last trade, which it has not
  const never = { type: "ticker", product_id: "NEW-USD", price: "0", open_24h: "0", best_bid: "", side: "buy" };
  await tell(never);
  let sequence = 0;
  const end = new AbortController();
  const pump = (async () => {
    while (!end.signal.aborted) {
      const time = new Date().toISOString();
      for (const product_id of ["BTC-USD", "SOL-USD"]) {
        await tell({ type: "ticker", product_id, sequence: ++sequence, price: "5", time, trade_id: sequence });
      }
      await systemClock.sleep(5, end.signal).catch(() => {});
    }
  })();
  try {
    // a stalled product is cause for a reconnect before it is asked for a third time
    for (let i = 0; i < 3; i++) {
      const asked = JSON.parse(new TextDecoder().decode((await within("it asks again", line.frame()))?.payload));
      assertEquals(asked.product_ids, ["ETH-USD"]);
      await tell(never);
    }
  } finally {
    end.abort();
    await pump;
  }
  const notes = feed.status.products.map(({ state, note }) => note ?? state);
  assertEquals(notes, ["live", "not subscribed", "live", "never traded"]);
  assertEquals([feed.stats.reconnects, feed.stats.rejectedTotal, feed.status.link], [0, 0, "open"]);
  for (const product of ["BTC-USD", "SOL-USD"]) assertEquals(summary(feed.gaps(product)), ["restart closed"]);
  for (const product of ["ETH-USD", "NEW-USD"]) assertEquals(summary(feed.gaps(product)), ["restart open"]);
  assertEquals([feed.log.find("does not send a product").length, feed.log.find("never traded a product").length], [
    1,
    1,
  ]);
});

test("WebSocketSource gives no alarm for quiet products", async () => {
  await using simulator = await Simulator.start({ ...BRISK, ticksPerSecond: 0 });
  await using feed = new Running(simulator.url, { staleAfterMs: 5000 });
  await feed.ticksOf(...PRODUCTS);
  const since = performance.now();
  // three times as long as it takes to find a product stalled
  await until("a while has passed", () => performance.now() - since > 1500);
  assertEquals(feed.status.products.map(({ state }) => state), ["quiet", "quiet", "quiet"]);
  assertEquals([simulator.received().length, feed.stats.reconnects, feed.gaps().length], [1, 0, 6]);
});

test("WebSocketSource of a large list has one heartbeat, that of a product the exchange accepts", async () => {
  const products = Array.from({ length: 60 }, (_, i) => `P${i}-USD`);
  // the first one cannot be had
  await using simulator = await Simulator.start({ ...BRISK, products: products.slice(1), ticksPerSecond: 5 });
  await using feed = new Running(simulator.url, { products });
  await feed.ticksOf(...products.slice(1));
  await until("there is a heartbeat", () => (simulator.connections()[0]?.subscribed.heartbeat ?? []).length > 0);
  assertEquals(simulator.connections()[0]?.subscribed.heartbeat, ["P1-USD"]);
  assertEquals(simulator.connections()[0]?.subscribed.ticker?.length, 59);
});

// ---- bad frames and clocks

test("WebSocketSource counts junk, huge and cut-off frames and goes on", async () => {
  await using simulator = await Simulator.start(BRISK);
  await using feed = new Running(simulator.url, { maxFrameBytes: 10_000 });
  await feed.ticksOf(...PRODUCTS);
  simulator.levers.junk(31);
  simulator.levers.huge(200_000);
  simulator.levers.cutOff();
  simulator.levers.repeat(3);
  await feed.ticksOf(...PRODUCTS);
  const { rejected } = feed.stats;
  // ticks that were already on their way may come before the junk
  await until(
    "the huge frame and the repeats are counted",
    () => rejected["too-large"] > 0 && feed.stats.repeated >= 3,
  );
  await feed.ticksOf(...PRODUCTS);
  assertEquals([rejected["too-large"], feed.stats.repeated], [1, 3]);
  assert(rejected["bad-json"] >= 3 && rejected["bad-message"] >= 5, JSON.stringify(rejected));
  assert(rejected["bad-price"] >= 5 && rejected["bad-product"] >= 2, JSON.stringify(rejected));
  assertEquals(feed.stats.reconnects, 0);
  const lines = feed.log.find("Frame rejected");
  assert(lines.length > 0 && lines.every((line) => line.length < 1000), "whole payloads are logged");
});

/** Coinbase, if it put several messages into one frame as a list. */
const BUNDLED: Exchange = {
  ...coinbase,
  decode(text, receivedTime) {
    const parts = (JSON.parse(text) as unknown[]).map((part) => coinbase.decode(JSON.stringify(part), receivedTime));
    return {
      ...Object.assign({}, ...parts),
      ticks: parts.flatMap(({ ticks }) => ticks),
      rejected: parts.flatMap(({ rejected }) => rejected),
    };
  },
};

test("WebSocketSource reads all that a frame holds: ticks, a heartbeat, a refusal, subscriptions, a bad tick", async () => {
  using peer = new Peer();
  await using feed = new Running(peer.url, { exchange: BUNDLED });
  const line = await within("it connects", peer.upgrade());
  await line.frame();
  const time = new Date().toISOString();
  const ticker = { type: "ticker", product_id: "BTC-USD", sequence: 7, price: "5", time, trade_id: 3 };
  await line.send(frame(
    TEXT,
    JSON.stringify([
      ticker,
      { ...ticker, product_id: "SOL-USD", price: "-5" },
      { type: "heartbeat", product_id: "BTC-USD", last_trade_id: 3, time },
      { type: "subscriptions", channels: [{ name: "ticker", product_ids: ["BTC-USD", "SOL-USD"] }] },
      { type: "error", message: "Failed to subscribe", reason: "ETH-USD is delisted" },
    ]),
  ));
  await until("the tick is there", () => feed.ticks.length === 1);
  assertEquals(feed.status.products.map(({ state }) => state), ["live", "refused", "waiting"]);
  assert(feed.status.delaySeconds !== undefined, "the heartbeat is lost");
  assertEquals(feed.stats.rejected["bad-price"], 1);
  assertEquals([feed.log.find("Subscribed").length, feed.log.find("Frame rejected").length], [1, 1]);
});

test("WebSocketSource says that the local clock looks wrong, until it is right", async () => {
  await using simulator = await Simulator.start(BRISK);
  simulator.levers.clockOffset(3_600_000);
  for (const product of PRODUCTS) simulator.levers.trade(product);
  await using feed = new Running(simulator.url);
  await until("it is told", () => feed.log.find("the local clock looks wrong").length > 0);
  assertStringIncludes(feed.status.clockTrouble ?? "", "the local clock looks wrong: Coinbase is 3600 s ahead of it");
  assertEquals([feed.ticks.length, feed.log.lines.filter(({ level }) => level === "error").length > 0], [0, true]);
  assert(feed.stats.rejected["bad-time"] > 0);
  simulator.levers.clockOffset(0);
  await feed.ticksOf(...PRODUCTS);
  assertEquals(feed.status.clockTrouble, undefined);
});

test("WebSocketSource opens and counts gaps at the present time after the local clock was three days ahead", async () => {
  await using simulator = await Simulator.start(BRISK);
  let aheadMs = 3 * 86_400_000;
  await using feed = new Running(simulator.url, { clock: { ...fastClock(10), now: () => Date.now() + aheadMs } });
  const since = Date.now() / 1000;
  for (const reconnects of [1, 2]) {
    await feed.ticksOf(...PRODUCTS);
    simulator.levers.hangUp();
    await until("it has reconnected", () => feed.stats.reconnects === reconnects);
    aheadMs = 0;
  }
  await feed.ticksOf(...PRODUCTS);
  const opened = feed.gaps("BTC-USD").filter(({ to }) => to === null).map(({ opened }) => opened);
  const [restart = 0, first = 0, second = 0] = opened;
  assert(restart > since + 200_000 && first > since + 200_000, String(opened));
  assert(second >= since && second <= Date.now() / 1000, String(opened));
  // those of the first start are not counted
  assertEquals(feed.stats.gaps, 6);
});

// ---- stopping

test("WebSocketSource stops at once at any moment and leaves nothing behind", async () => {
  const random = new Random(4);
  for (let round = 0; round < 60; round++) {
    await using simulator = await Simulator.start(BRISK);
    const lever = random.pick(["none", "hangUpAtOnce", "mute", "refuseUpgrade", "silent", "refuseAll"] as const);
    if (lever === "silent") simulator.levers.silent(true);
    else if (lever !== "none") simulator.levers[lever](true);
    const products = lever === "refuseAll" ? ["BTC-USD", "NOT-USD"] : PRODUCTS;
    await using feed = new Running(simulator.url, { products, random: () => random.next() });
    await systemClock.sleep(random.next() * random.pick([0, 5, 40]), new AbortController().signal);
    const before = performance.now();
    await feed.stop();
    assertLess(performance.now() - before, 5000, `round ${round}, ${lever}`);
    const reasons = new Set(feed.gaps().filter(({ to }) => to === null).map(({ reason }) => reason));
    assert(["restart", "link-closed", "stopped", "refused"].some((reason) => reasons.has(reason as Gap["reason"])));
  }
});

test("WebSocketSource stops at once while a connect is not answered, and before it began", async () => {
  using peer = new Peer();
  await using feed = new Running(peer.url);
  const line = await within("it connects", peer.accept());
  await line.request();
  await feed.stop();
  await within("the line is closed", line.ended());

  await using early = new Running(peer.url);
  await early.stop();
  const stopped = new AbortController();
  stopped.abort();
  await early.source.run(() => {}, () => undefined, stopped.signal);
});

test("WebSocketSource stops at once while it waits for its turn to subscribe", async () => {
  using peer = new Peer();
  const products = Array.from({ length: 12 }, (_, i) => `P${i}-USD`);
  await using feed = new Running(peer.url, { clock: systemClock, products });
  const line = await within("it connects", peer.upgrade());
  await line.frame();
  await line.send(frame(TEXT, `{"type":"error","message":"Invalid product ID provided"}`));
  // one by one, which 8 a second do not allow
  for (let i = 0; i < 6; i++) await within("it asks again", line.frame());
  await feed.stop();
  await within("the line is closed", line.ended());
});

test("WebSocketSource stops while it waits between two attempts", async () => {
  await using simulator = await Simulator.start(BRISK);
  simulator.levers.refuseUpgrade(true);
  await using feed = new Running(simulator.url, { clock: systemClock, random: () => 0.999 });
  await until("it waits for long", () => (feed.status.nextTrySeconds ?? 0) > 3);
  const before = performance.now();
  await feed.stop();
  assertLess(performance.now() - before, 2500);
});

test("WebSocketSource stops at once under a flood", async () => {
  await using simulator = await Simulator.start({ ...BRISK, ticksPerSecond: 0 });
  await using feed = new Running(simulator.url);
  await feed.ticksOf("BTC-USD");
  simulator.levers.flood(10_000, 60_000);
  await until("the flood is here", () => feed.stats.received > 1000);
  const before = performance.now();
  await feed.stop();
  assertLess(performance.now() - before, 10_000);
});

// ---- bugs must come out, and nothing else

test("WebSocketSource rejects with what the taker of its events throws", async () => {
  await using simulator = await Simulator.start(BRISK);
  const feed = new Running(simulator.url);
  await feed.stop();
  let events = 0;
  const run = feed.source.run(
    () => {
      if (++events > 10) throw new TypeError("a bug in the taker");
    },
    () => undefined,
    new AbortController().signal,
  );
  await within("it ends", assertRejects(() => run, TypeError, "a bug in the taker"));
});

test("WebSocketSource rejects with a fault of its own watch, and leaves no promise behind", async () => {
  await using simulator = await Simulator.start(BRISK);
  let broken = false;
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => broken ? Promise.reject(new TypeError("a bug in the clock")) : systemClock.sleep(ms, signal),
  };
  await using feed = new Running(simulator.url, { clock });
  await feed.ticksOf(...PRODUCTS);
  broken = true;
  await within("it ends", assertRejects(() => feed.done, TypeError, "a bug in the clock"));
});

// ---- what was missed is declared

for (const seed of [1, 2, 3]) {
  test(`WebSocketSource declares each trade it missed in a gap of its product, whatever happens (seed ${seed})`, async () => {
    const random = new Random(seed);
    await using simulator = await Simulator.start({ ...BRISK, ticksPerSecond: 0, heartbeatMs: 30 });
    await using feed = new Running(simulator.url, { random: () => random.next(), staleAfterMs: 2000 });
    const { levers } = simulator;
    /** All that was traded since the source ran, and when: unix seconds. */
    const trades: { product: string; tradeId: number; after: number; before: number }[] = [];
    const trade = () => {
      for (const product of PRODUCTS) {
        if (!random.chance(0.6)) continue;
        const after = Date.now() / 1000 - 0.001;
        levers.trade(product);
        trades.push({
          product,
          tradeId: simulator.traded()[product]?.tradeId ?? 0,
          after,
          before: Date.now() / 1000 + 0.001,
        });
      }
    };
    const pass = async (ms: number) => {
      for (const end = performance.now() + ms; performance.now() < end;) {
        trade();
        await systemClock.sleep(3, new AbortController().signal);
      }
    };
    await pass(100);
    for (let i = 0; i < 8; i++) {
      const what = random.pick(["hangUp", "cut", "breakOff", "silent", "refuse", "mute", "lose", "atOnce"]);
      const product = random.pick(PRODUCTS);
      if (what === "hangUp") levers.hangUp(random.pick([1000, 1001, 1012]));
      else if (what === "cut") levers.hangUp(1006);
      else if (what === "breakOff") levers.breakOff();
      else if (what === "silent") levers.silent(true);
      else if (what === "refuse") levers.refuseUpgrade(true), levers.hangUp();
      else if (what === "mute") levers.mute(true), levers.hangUp(1006);
      else if (what === "lose") levers.loseProduct(product, true);
      else levers.hangUpAtOnce(true), levers.hangUp();
      // what an exchange leaves out on an open link is found after the time in which a link or product counts as stale
      await pass(what === "lose" || what === "silent" ? 800 : random.pick([20, 150, 400]));
      levers.silent(false);
      levers.refuseUpgrade(false);
      levers.mute(false);
      levers.hangUpAtOnce(false);
      levers.loseProduct(product, false);
      await pass(random.pick([5, 200]));
    }
    // all products tick again
    const from = feed.events.length;
    await until("all products tick again", () => {
      trade();
      const since = feed.events.slice(from);
      return PRODUCTS.every((product) => since.some((event) => event.kind === "tick" && event.product === product));
    });
    levers.silent(true);
    trade();
    await feed.stop();

    const arrived = new Set(feed.ticks.map(({ product, tradeId }) => `${product} ${tradeId}`));
    assertEquals(arrived.size, feed.ticks.length, "a tick went out twice");
    const last = new Map(feed.gaps().map((gap) => [`${gap.product} ${gap.opened}`, gap]));
    let missed = 0;
    for (const { product, tradeId, after, before } of trades) {
      if (arrived.has(`${product} ${tradeId}`)) continue;
      missed++;
      const gap = [...last.values()].find((gap) =>
        gap.product === product && gap.missed && (gap.from === null || gap.from <= before) &&
        (gap.to === null || gap.to >= after)
      );
      assert(
        gap !== undefined,
        `trade ${tradeId} of ${product} at ${after} is in no gap: ${summary(feed.gaps(product))}`,
      );
    }
    assert(missed > 0 && arrived.size > 0, `${missed} missed, ${arrived.size} arrived: the story is too dull`);
    // and no more is declared than must be: what is open at the end is open since the last link
    const open = [...last.values()].filter(({ to }) => to === null);
    assertEquals(open.map(({ product }) => product).sort(), [...PRODUCTS].sort());
  });
}
