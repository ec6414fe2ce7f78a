import { assert, assertEquals, assertLess } from "@std/assert";
import type { Clock } from "../../src/core/clock.ts";
import type { Gap, Position, Tick } from "../../src/core/record.ts";
import { GapTimes } from "../../src/core/record.ts";
import { type Advice, FeedWatch, type WatchOptions } from "../../src/pipeline/watch.ts";

/** Both clocks, moved by hand; hours pass in no time, as the watch never sleeps. */
class HandClock implements Clock {
  #wall = Date.UTC(2026, 9, 3, 21);
  #elapsed = 0;
  now(): number {
    return this.#wall;
  }
  elapsed(): number {
    return this.#elapsed;
  }
  sleep(): Promise<void> {
    throw new TypeError("The watch does not wait");
  }
  advance(ms: number): void {
    this.#wall += ms;
    this.#elapsed += ms;
  }
  /** Somebody sets the wall clock. */
  jump(ms: number): void {
    this.#wall += ms;
  }
}

/** An exchange in a few lines, its clock equal to ours: what it trades, what it tells, and what the watch makes of it. */
class Story {
  readonly clock = new HandClock();
  readonly gaps: Gap[] = [];
  readonly news: string[] = [];
  /** When (elapsed seconds) what was advised. */
  readonly advice: { at: number; reconnect?: string; resubscribe?: string }[] = [];
  readonly watch: FeedWatch;
  /** Products that are neither told nor answered for. */
  readonly lost = new Set<string>();
  /** Products without heartbeats. */
  readonly beatless = new Set<string>();
  /** Whether heartbeats bear trade ids. */
  idsInHeartbeats = true;
  /** What heartbeats say instead of the last trade's id, as Coinbase did in 2020. */
  falseId: number | undefined;
  /** After so many reconnects nothing is lost any more. */
  healsAfter = Infinity;
  /** Whether advice is followed. */
  obedient = true;
  readonly #products: readonly string[];
  readonly #trades = new Map<string, { id: number; timeUs: number }>();
  readonly #told = new Map<string, number>();

  constructor(products: readonly string[], options: Partial<WatchOptions> = {}) {
    this.#products = products;
    this.watch = new FeedWatch({
      exchange: "coinbase",
      products,
      precision: "seconds",
      ownHeartbeats: true,
      staleAfterMs: 15_000,
      clock: this.clock,
      gapTimes: new GapTimes(),
      random: () => 0.5,
      onGap: (gap) => this.gaps.push(gap),
      onNews: (product, news) => this.news.push(`${product} ${news}`),
      ...options,
    });
  }

  /** Seconds since the story began. */
  get at(): number {
    return this.clock.elapsed() / 1000;
  }

  /** The exchange's clock, unix seconds. */
  get now(): number {
    return this.clock.now() / 1000;
  }

  /** Starts, opens the link, and tells each product's last trade. */
  begin(): this {
    for (const product of this.#products) this.trade(product);
    this.watch.start();
    this.open();
    return this;
  }

  /** The link opens: each product's last trade is told. */
  open(): void {
    this.watch.linkOpened();
    for (const product of this.#products) this.tell(product);
  }

  /** The link breaks and opens again so many seconds later. */
  away(seconds: number, reason: "link-closed" | "link-silent" = "link-closed"): void {
    this.watch.linkLost(reason);
    this.clock.advance(seconds * 1000);
    this.open();
  }

  /** A trade that is not told yet. */
  trade(product: string, timeUs = this.clock.now() * 1000): void {
    this.#trades.set(product, { id: (this.#trades.get(product)?.id ?? 0) + 1, timeUs });
  }

  /** The product's last trade arrives. */
  tell(product: string): void {
    const trade = this.#trades.get(product);
    if (trade === undefined || this.lost.has(product)) return;
    const repeat = this.#told.get(product) === trade.id;
    this.#told.set(product, trade.id);
    this.arrive(product, trade.id, trade.timeUs, repeat);
  }

  /** Any ticker arrives. */
  arrive(product: string, id: number, timeUs: number, repeat = false): void {
    const recordTimeUs = Math.floor(timeUs / 1e6) * 1e6;
    const tick: Tick = {
      kind: "tick",
      exchange: "coinbase",
      product,
      sequence: id * 10,
      price: 1,
      tradeId: id,
      exchangeTimeUs: timeUs,
      recordTimeUs,
      receivedTime: this.clock.now(),
    };
    this.watch.frame();
    if (repeat) this.watch.repeat(tick);
    else this.watch.tick(tick);
  }

  /** All products that beat do. */
  beat(): void {
    for (const product of this.#products) {
      if (this.beatless.has(product)) continue;
      this.watch.frame();
      const id = this.falseId ?? this.#trades.get(product)?.id ?? 0;
      const timeUs = this.clock.now() * 1000;
      this.watch.heartbeat(
        this.idsInHeartbeats ? { product, lastTradeId: id, timeUs } : { product, timeUs },
        this.clock.now(),
      );
    }
  }

  /** Asks for advice, notes it, and follows it. */
  check(): Advice {
    const advice = this.watch.check();
    const { reconnect, resubscribe } = advice;
    if (reconnect !== undefined) this.advice.push({ at: this.at, reconnect });
    if (resubscribe.length > 0) this.advice.push({ at: this.at, resubscribe: resubscribe.join() });
    if (!this.obedient) return advice;
    for (const product of resubscribe) this.tell(product);
    if (reconnect !== undefined) {
      if (--this.healsAfter === 0) this.lost.clear();
      this.watch.linkLost(reconnect === "link-silent" ? reconnect : "link-closed");
      this.open();
    }
    return advice;
  }

  /** Lets time pass in steps; each time heartbeats come, `each` happens, and advice is asked for. */
  pass(seconds: number, { step = 1, each, beats = true }: {
    step?: number;
    each?: (second: number) => void;
    beats?: boolean;
  } = {}): void {
    for (let second = step; second <= seconds; second += step) {
      this.clock.advance(step * 1000);
      if (beats) this.beat();
      each?.(second);
      this.check();
    }
  }

  /** Trades and tells these products now. */
  live(...products: string[]): void {
    for (const product of products) {
      this.trade(product);
      this.tell(product);
    }
  }

  state(product: string): string | undefined {
    return this.watch.status().find((status) => status.product === product)?.state;
  }

  /** What was written since the start about this product: `reason from-to`, times relative to the start. */
  told(product: string): string[] {
    const start = Date.UTC(2026, 9, 3, 21) / 1000;
    const relative = (time: number | null) => time === null ? "?" : String(Math.round((time - start) * 1000) / 1000);
    return this.gaps.filter((gap) => gap.product === product).map(({ reason, from, to, missed }) =>
      `${reason} ${relative(from)}..${relative(to)}${missed ? "" : " nothing missed"}`
    );
  }
}

const STARTED = ["restart ?..?", "restart ?..0"];

// ---- quiet and stalled

Deno.test("FeedWatch gives no alarm for a quiet market, however long", () => {
  const story = new Story(["A", "B"]).begin();
  story.pass(6 * 3600, { step: 10 });
  assertEquals(story.advice, []);
  assertEquals([story.told("A"), story.told("B")], [STARTED, STARTED]);
  assertEquals([story.state("A"), story.state("B")], ["quiet", "quiet"]);
});

Deno.test("FeedWatch gives no alarm for a product that never traded", () => {
  const story = new Story(["A", "NEW"]);
  story.trade("A");
  story.watch.start();
  story.open();
  story.pass(3600, { step: 5, each: () => story.live("A") });
  assertEquals(story.advice, []);
  assertEquals([story.told("NEW"), story.state("NEW")], [["restart ?..?"], "waiting"]);
});

Deno.test("FeedWatch gives no alarm while prices are sampled: heartbeats are ahead for 5 s all the time", () => {
  const story = new Story(["A"]).begin();
  story.pass(600, {
    each(second) {
      story.trade("A");
      if (second % 5 === 0) story.tell("A");
    },
  });
  assertEquals([story.advice, story.told("A"), story.state("A")], [[], STARTED, "live"]);
});

for (const quietSeconds of [0, 3600]) {
  Deno.test(`FeedWatch takes a product for stalled 15 s after its heartbeats got ahead, ${quietSeconds} s of quiet before`, () => {
    const story = new Story(["A", "B"]).begin();
    story.pass(quietSeconds, { step: 5 });
    story.lost.add("A");
    story.trade("A");
    story.pass(15, { each: () => story.live("B") });
    assertEquals([story.advice, story.state("B")], [[], "live"]);
    story.pass(1, { each: () => story.live("B") });
    assertEquals(story.advice, [{ at: quietSeconds + 16, resubscribe: "A" }]);
    assertEquals([story.told("A"), story.told("B")], [[...STARTED, "stalled 0..?"], STARTED]);
    assertEquals(story.state("A"), "stalled");
  });
}

Deno.test("FeedWatch reconnects 15 s after asking a stalled product again was of no use", () => {
  const story = new Story(["A", "B"]).begin();
  story.lost.add("A");
  story.trade("A");
  story.pass(31, { each: () => story.live("B") });
  assertEquals(story.advice, [{ at: 16, resubscribe: "A" }, { at: 31, reconnect: "stalled" }]);
  // the gap of the stalled one goes on, the other one has a short one that ends with the next tick
  assertEquals(story.told("A"), [...STARTED, "stalled 0..?"]);
  assertEquals(story.told("B"), [...STARTED, "link-closed 31..?", "link-closed 31..31 nothing missed"]);
});

Deno.test("FeedWatch closes the gap of a stalled product when asking again helps", () => {
  const story = new Story(["A", "B"]).begin();
  story.lost.add("A");
  story.trade("A");
  story.pass(10, { each: () => story.live("B") });
  story.trade("A");
  story.obedient = false;
  story.pass(6, { each: () => story.live("B") });
  story.lost.clear();
  story.tell("A");
  assertEquals(story.told("A"), [...STARTED, "stalled 0..?", "stalled 0..10"]);
  story.pass(60, { each: () => story.live("A", "B") });
  assertEquals(story.advice, [{ at: 16, resubscribe: "A" }]);
});

Deno.test("FeedWatch reconnects for one broken product with growing pauses, so that it does not break the others", () => {
  const story = new Story(["A", "B"]).begin();
  story.lost.add("A");
  story.trade("A");
  story.pass(2 * 3600, { each: () => story.live("B") });
  const reconnects = story.advice.filter(({ reconnect }) => reconnect !== undefined).map(({ at }) => at);
  const pauses = reconnects.slice(1).map((at, i) => at - (reconnects[i] ?? 0));
  for (const [i, pause] of pauses.entries()) {
    const least = Math.min(600, 30 * 2 ** i);
    assert(pause >= least && pause <= least + 32, `pause ${i} was ${pause} s instead of ${least}`);
  }
  assertLess(reconnects.length, 20);
  // all the time one gap of A is open, and it is written once
  assertEquals(story.told("A"), [...STARTED, "stalled 0..?"]);
});

Deno.test("FeedWatch begins with short pauses again when the next stall comes much later", () => {
  const story = new Story(["A", "B"]).begin();
  const stall = () => {
    story.lost.add("A");
    story.trade("A");
    story.healsAfter = 3;
    story.pass(150, { each: () => story.live("B") });
    assertEquals(story.state("A"), "quiet");
    const times = story.advice.splice(0).filter(({ reconnect }) => reconnect !== undefined).map(({ at }) => at);
    return times.map((at) => at - (times[0] ?? 0));
  };
  const first = stall();
  assertEquals(first, [0, 31, 91]);
  story.pass(3600, { step: 5, each: () => story.live("A", "B") });
  story.advice.length = 0;
  assertEquals(stall(), first);
});

Deno.test("FeedWatch reconnects at once when all products are stalled", () => {
  const story = new Story(["A", "B"]).begin();
  story.lost.add("A").add("B");
  story.live("A", "B");
  story.pass(16);
  assertEquals(story.advice, [{ at: 16, reconnect: "stalled" }]);
  story.lost.clear();
  story.open();
  assertEquals(story.told("A"), [...STARTED, "stalled 0..?", "stalled 0..0"]);
});

Deno.test("FeedWatch still takes a product for stalled on the new link, until something comes of it", () => {
  const story = new Story(["A", "B"]).begin();
  story.lost.add("A");
  story.trade("A");
  story.pass(60, {
    each() {
      story.live("B");
      if (story.at > 17) assertEquals(story.state("A"), "stalled", `at ${story.at}`);
    },
  });
  assertEquals(story.advice.slice(0, 2), [{ at: 16, resubscribe: "A" }, { at: 31, reconnect: "stalled" }]);
  story.lost.clear();
  story.live("A");
  assertEquals(story.state("A"), "live");
});

Deno.test("FeedWatch does not count refused products when it asks whether all are stalled", () => {
  const story = new Story(["A", "B"]).begin();
  story.watch.refuse("B", "B is delisted");
  story.beatless.add("B");
  story.lost.add("A");
  story.trade("A");
  story.pass(16);
  assertEquals(story.advice, [{ at: 16, reconnect: "stalled" }]);
});

Deno.test("FeedWatch asks again for a product whose heartbeats stop, and believes the answer", () => {
  const story = new Story(["A", "B"]).begin();
  story.pass(10);
  story.beatless.add("A");
  story.pass(15, { each: () => story.live("B") });
  assertEquals(story.advice, [{ at: 25, resubscribe: "A" }]);
  // the answer was its last trade once more: nothing was missed, and that is no reason to reconnect
  assertEquals(story.told("A"), [...STARTED, "stalled 0..?", "stalled 0..25 nothing missed"]);
  story.pass(600, { step: 5, each: () => story.live("B") });
  assertEquals(story.advice.length, 1);
});

Deno.test("FeedWatch asks again and again for a product that never answers, and disturbs no other product for it", () => {
  const story = new Story(["A", "MUTE"]);
  story.beatless.add("MUTE");
  story.trade("A");
  story.watch.start();
  story.open();
  story.pass(4 * 3600, { each: () => story.live("A") });
  // 15 s, then 1, 2, 4 ... 60 minutes: a quarter less by the jitter
  const times = [15, 60, 150, 330, 690, 1410, 2850, 5550, 8250, 10_950, 13_650];
  assertEquals(story.advice, times.map((at) => ({ at, resubscribe: "MUTE" })));
  assertEquals([story.told("MUTE"), story.state("MUTE")], [["restart ?..?"], "waiting"]);
  assertEquals([story.told("A"), story.news], [STARTED, []]);
});

Deno.test("FeedWatch disturbs no product for one that was never traded, and tells of it once", () => {
  const story = new Story(["A", "NEW"]);
  story.beatless.add("NEW");
  story.trade("A");
  story.watch.start();
  story.open();
  story.watch.neverTraded("NEW");
  story.pass(3600, { step: 5, each: () => story.live("A") });
  story.away(1);
  story.watch.neverTraded("NEW");
  const note = () => story.watch.status()[1]?.note;
  assertEquals([story.advice, story.news, note(), story.state("NEW")], [
    [],
    ["NEW never traded"],
    "never traded",
    "waiting",
  ]);
  story.live("NEW");
  assertEquals([note(), story.state("NEW")], [undefined, "live"]);
  // of one whose trades we have it proves nothing
  story.watch.linkLost("link-closed");
  story.watch.linkOpened();
  story.watch.neverTraded("A");
  assertEquals([story.watch.status()[0]?.note, story.told("A").at(-1)?.startsWith("link-closed")], [undefined, true]);
});

Deno.test("FeedWatch asks again for a product that the exchange does not list, and disturbs no other for it", () => {
  const story = new Story(["A", "B", "C"]);
  story.beatless.add("C");
  for (const product of ["A", "B"]) story.trade(product);
  story.watch.start();
  story.open();
  story.watch.subscribed(["A", "B"]);
  const note = () => story.watch.status()[2]?.note;
  story.pass(14, { each: () => story.live("A", "B") });
  // a list of many products is subscribed in several messages: the first answer does not know them all
  assertEquals(note(), undefined);
  story.pass(3600, { each: () => story.live("A", "B") });
  assertEquals([note(), story.state("C"), story.news], ["not subscribed", "waiting", ["C not subscribed"]]);
  assertEquals(story.advice.filter(({ resubscribe }) => resubscribe !== "C"), []);
  assertEquals(story.advice.slice(0, 3).map(({ at }) => at), [15, 60, 150]);
  story.watch.subscribed(["A", "B", "C"]);
  assertEquals(note(), undefined);
});

Deno.test("FeedWatch reconnects when nothing comes of any product although there are frames", () => {
  const story = new Story(["A", "B"]);
  story.watch.start();
  story.watch.linkOpened();
  story.obedient = false;
  story.pass(31, { beats: false, each: () => story.watch.frame() });
  assertEquals(story.advice, [{ at: 15, resubscribe: "A,B" }, { at: 30, reconnect: "unanswered" }]);
});

Deno.test("FeedWatch reconnects once for a product that was live, as long as the new link brings nothing of it", () => {
  const story = largeStory("P0").begin();
  story.pass(300, { step: 5, each: () => story.live(...MANY) });
  story.lost.add("P9");
  story.pass(2 * 3600, { step: 5, each: () => story.live(...MANY) });
  const reconnects = story.advice.filter(({ reconnect }) => reconnect !== undefined);
  assertEquals(reconnects, [{ at: 365, reconnect: "stalled" }]);
  assertEquals([story.told("P9").slice(2), story.state("P9")], [["stalled 300..?"], "stalled"]);
  assert(story.advice.filter(({ resubscribe }) => resubscribe === "P9").length >= 6, "it is not asked for again");
});

Deno.test("FeedWatch asks again for a refused product with growing pauses, and takes it back when it is listed or ticks", () => {
  for (const how of ["listed", "ticks"]) {
    const story = new Story(["A", "B"]).begin();
    story.pass(10, { each: () => story.live("A", "B") });
    story.watch.refuse("B", "B is not a valid product");
    story.lost.add("B");
    story.beatless.add("B");
    story.pass(3600, {
      step: 5,
      each() {
        story.live("A");
        if (story.watch.refuse("B", "B is not a valid product")) story.news.push("twice");
      },
    });
    assertEquals(story.advice.map(({ at }) => at), [55, 145, 325, 685, 1405, 2845]);
    assertEquals([story.state("B"), story.told("B").slice(2), story.news], ["refused", ["refused 10..?"], []]);
    // a new link asks for all, and counts the time from there
    story.away(1);
    story.advice.length = 0;
    story.pass(2699, { each: () => story.live("A") });
    assertEquals(story.advice, []);
    story.pass(1, { each: () => story.live("A") });
    assertEquals(story.advice.map(({ resubscribe }) => resubscribe), ["B"]);

    story.lost.clear();
    if (how === "listed") {
      story.watch.subscribed(["A", "B"]);
      assertEquals([story.state("B"), story.told("B").length], ["waiting", 3]);
    }
    story.live("B");
    assertEquals([story.state("B"), story.news], ["live", ["B accepted again"]]);
    assertEquals(story.told("B").slice(3), [`refused 10..${Math.round(story.at)}`]);
  }
});

Deno.test("FeedWatch asks for a refused product after the same pause, however often the link breaks", () => {
  const story = new Story(["A", "B"]).begin();
  story.watch.refuse("B", "B is not a valid product");
  story.lost.add("B");
  story.beatless.add("B");
  for (let i = 0; i < 10; i++) story.away(1);
  const opened = story.at;
  story.pass(200, { each: () => story.live("A") });
  assertEquals(story.advice.map(({ at, resubscribe }) => [at - opened, resubscribe]), [[45, "B"], [135, "B"]]);
});

Deno.test("FeedWatch takes a product that only its heartbeats tell of for stalled", () => {
  const story = new Story(["A", "B"]);
  story.trade("A");
  story.trade("B");
  story.lost.add("B");
  story.watch.start();
  story.open();
  story.pass(16, { each: () => story.live("A") });
  assertEquals(story.advice, [{ at: 16, resubscribe: "B" }]);
});

Deno.test("FeedWatch goes by a product's usual spacing where heartbeats give no trade ids", () => {
  const story = new Story(["FAST", "SLOW"]).begin();
  story.idsInHeartbeats = false;
  story.pass(600, {
    step: 5,
    each(second) {
      story.live("FAST");
      if (second % 60 === 0) story.live("SLOW");
    },
  });
  assertEquals(story.advice, []);
  // ten times 5 s for the one; the other one may be silent for ten minutes
  story.pass(45, { step: 5 });
  assertEquals(story.advice, []);
  story.pass(5, { step: 5 });
  assertEquals(story.advice, [{ at: 650, resubscribe: "FAST" }]);
  // the answer repeats: a false alarm, so the next one is given twice the time
  assertEquals(story.told("FAST").slice(-2), ["stalled 600..?", "stalled 600..650 nothing missed"]);
  story.pass(95, { step: 5 });
  assertEquals(story.advice.length, 1);
  story.pass(5, { step: 5 });
  assertEquals(story.advice[1], { at: 750, resubscribe: "FAST" });
  assertEquals(story.told("SLOW"), STARTED);
});

Deno.test("FeedWatch does not take a burst of trades for a product's usual spacing, nor the first ones it sees", () => {
  const story = new Story(["BURSTS", "NEW"]).begin();
  story.idsInHeartbeats = false;
  // a large order each five minutes: many trades within a moment
  story.pass(4 * 3600, {
    step: 5,
    each(second) {
      if (second % 300 === 0) { for (let i = 0; i < 20; i++) story.live("BURSTS"); }
      if (second <= 20) story.live("NEW");
    },
  });
  assertEquals(story.advice, []);
});

// ---- what proves that nothing is missing

for (const falseId of [0, 1]) {
  Deno.test(`FeedWatch takes heartbeats with last_trade_id ${falseId}, below ours, for no proof of anything`, () => {
    const story = new Story(["A", "B"]).begin();
    story.pass(30, { each: () => story.live("A", "B") });
    story.falseId = falseId;
    story.pass(30, { each: () => story.live("A", "B") });
    assertEquals(story.advice, []);
    story.lost.add("A");
    story.obedient = false;
    const states: (string | undefined)[] = [];
    story.pass(60, {
      each() {
        story.live("A", "B");
        states.push(story.state("A"));
      },
    });
    assertEquals([...new Set(states)], ["live", "waiting", "stalled"]);
    assertEquals(story.told("A").slice(2), ["stalled 60..?"]);

    // the gap of a lost link begins at the last tick, too
    const other = new Story(["A"]).begin();
    other.pass(10, { each: () => other.live("A") });
    other.falseId = falseId;
    other.pass(10, { each: () => other.trade("A") });
    assertEquals(other.state("A"), "live");
    other.watch.linkLost("link-closed");
    assertEquals(other.told("A").at(-1), "link-closed 10..?");
  });
}

Deno.test("FeedWatch does not let a heartbeat with a lower id take back what one with a higher id told", () => {
  const story = new Story(["A", "B"]).begin();
  story.pass(5);
  story.trade("A");
  story.lost.add("A");
  story.pass(2, { each: () => story.live("B") });
  story.falseId = 0;
  story.beatless.add("B");
  story.pass(14, { each: () => story.live("B") });
  assertEquals(story.told("A").slice(2), ["stalled 0..?"]);
  // the exchange answers with the trade that we have: heartbeats told of a newer one
  story.arrive("A", 1, (story.now - 21) * 1e6, true);
  assertEquals([story.state("A"), story.told("A").length], ["stalled", 3]);
});

Deno.test("FeedWatch calls a product quiet only with proof of its own, and waiting without it", () => {
  const story = largeStory("P0").begin();
  story.pass(16, { each: () => story.live("P1") });
  assertEquals([story.state("P0"), story.state("P1"), story.state("P2")], ["quiet", "live", "waiting"]);
  // each subscribe brings the last trade again: that is proof for a while
  story.away(1);
  assertEquals(story.state("P2"), "quiet");
  story.pass(14, { each: () => story.live("P1") });
  assertEquals(story.state("P2"), "quiet");
  story.pass(1, { each: () => story.live("P1") });
  assertEquals(story.state("P2"), "waiting");
  // a second copy was not asked for: the exchange may send it at any time
  story.tell("P2");
  assertEquals(story.state("P2"), "waiting");
});

Deno.test("FeedWatch ends no gap with a copy of a tick that came late", () => {
  const story = new Story(["A"]).begin();
  story.pass(10);
  story.live("A");
  story.arrive("A", 1, story.clock.now() * 1000 - 5e6);
  story.watch.linkLost("link-closed");
  story.clock.advance(5000);
  story.watch.linkOpened();
  story.arrive("A", 1, story.clock.now() * 1000 - 10e6, true);
  assertEquals(story.told("A").at(-1), "link-closed 10..?");
});

Deno.test("FeedWatch takes a heartbeat without the exchange's time for no proof of a time", () => {
  const story = new Story(["A"]).begin();
  // our clock is an hour ahead: its time would hide an hour of losses
  story.clock.jump(3_600_000);
  story.pass(30, {
    beats: false,
    each() {
      story.watch.frame();
      story.watch.heartbeat({ product: "A", lastTradeId: 1 }, story.clock.now());
    },
  });
  assertEquals(story.state("A"), "quiet");
  story.watch.linkLost("link-closed");
  assertEquals(story.told("A").at(-1), "link-closed 0..?");
});

Deno.test("FeedWatch finds a product stalled of which only old ticks come", () => {
  const story = new Story(["A", "B"]).begin();
  story.pass(10, { each: () => story.live("A", "B") });
  story.lost.add("A");
  story.pass(17, {
    each() {
      story.live("A", "B");
      story.arrive("A", 2, story.clock.now() * 1000 - 60e6);
    },
  });
  assertEquals(story.told("A").slice(2), ["stalled 10..?"]);
});

// ---- ages

/** What the status says of a product. */
function ageOf(story: Story): [state: string | undefined, ageSeconds: number | undefined] {
  const [status] = story.watch.status();
  return [status?.state, status?.ageSeconds];
}

for (
  const [what, agoSeconds, atOnce] of [
    ["400 days ago", 34_560_000, ["waiting", 34_560_000]],
    ["14 s ago", 14, ["live", 14]],
    ["in the future of a clock that is 400 s behind", -400, ["live", 0]],
  ] as const
) {
  Deno.test(`FeedWatch tells the same age of a trade ${what} before and after a restart`, () => {
    const first = new Story(["A"]);
    first.trade("A", (first.now - agoSeconds) * 1e6);
    first.watch.start();
    first.open();
    assertEquals(ageOf(first), [...atOnce]);
    first.pass(20);
    assertEquals(ageOf(first), ["quiet", atOnce[1] + 20]);

    const exchangeTimeUs = (Date.UTC(2026, 9, 3, 21) / 1000 - agoSeconds) * 1e6;
    const [position] = EARLIER;
    const receivedTime = Date.UTC(2026, 9, 3, 21);
    const last = [
      { ...position, product: "A", exchangeTimeUs, recordTimeUs: exchangeTimeUs, receivedTime } as Position,
    ];
    const clock = new HandClock();
    clock.advance(20_000);
    const second = new Story(["A"], { last, clock });
    second.watch.start();
    assertEquals(ageOf(second), ["waiting", atOnce[1] + 20]);
    clock.advance(1000);
    second.watch.linkOpened();
    const tick = { ...last[0], kind: "tick", receivedTime: clock.now() } as Tick;
    second.watch.repeat(tick);
    assertEquals(ageOf(second)[1], atOnce[1] + 21);
  });
}

Deno.test("FeedWatch tells no negative age while the wall clock is set back, and no younger one", () => {
  const story = new Story(["A"]).begin();
  story.pass(20);
  story.clock.jump(-86_400_000);
  assertEquals(ageOf(story), ["quiet", 20]);
  story.pass(10);
  assertEquals(ageOf(story), ["quiet", 30]);
});

Deno.test("FeedWatch tells the age of the newest trade, not of an old one that comes late", () => {
  const story = new Story(["A"]).begin();
  story.pass(10);
  story.live("A");
  story.pass(2);
  story.arrive("A", 1, (story.now - 100) * 1e6);
  assertEquals(ageOf(story), ["live", 2]);
});

// ---- the link

Deno.test("FeedWatch finds the link silent 15 s after the last frame, whatever it was", () => {
  const story = new Story(["A"]).begin();
  story.obedient = false;
  // whether products are alive is another matter: these heartbeats do not tell
  story.idsInHeartbeats = false;
  story.pass(100);
  story.pass(10, { beats: false });
  story.watch.frame();
  story.pass(14, { beats: false });
  assertEquals(story.advice, []);
  story.pass(1, { beats: false });
  assertEquals(story.advice, [{ at: 125, reconnect: "link-silent" }]);
});

Deno.test("FeedWatch gives a new link 15 s for its first frame, and says nothing without a link", () => {
  const story = new Story(["A"]).begin();
  story.watch.linkLost("link-closed");
  story.pass(3600, { step: 10, beats: false });
  assertEquals(story.advice, []);
  story.obedient = false;
  story.watch.linkOpened();
  story.pass(14, { beats: false });
  assertEquals(story.advice, []);
  story.pass(1, { beats: false });
  assertEquals(story.advice, [{ at: 3615, reconnect: "link-silent" }]);
});

// ---- edges of gaps

Deno.test("FeedWatch opens a gap at the last tick, or later where a heartbeat shows that nothing was traded", () => {
  const story = new Story(["A", "B"]).begin();
  story.pass(100);
  story.trade("B");
  story.pass(3);
  story.watch.linkLost("link-silent");
  // a second is left for two machines of the exchange that do not agree; B was ahead since its trade at 100
  assertEquals(story.told("A").at(-1), "link-silent 102..?");
  assertEquals(story.told("B").at(-1), "link-silent 99..?");
});

Deno.test("FeedWatch without heartbeats opens a gap at the product's own last tick: other products prove nothing", () => {
  for (const precision of ["seconds", "microseconds"] as const) {
    const story = new Story(["A", "B"], { precision }).begin();
    story.clock.advance(70_250);
    story.live("B");
    story.watch.linkLost("link-closed");
    assertEquals(story.told("A").at(-1), "link-closed 0..?");
  }
});

Deno.test("FeedWatch blames no product while the whole link is silent", () => {
  const story = new Story(["A", "B"]).begin();
  story.pass(10);
  for (let ms = 500; ms < 15_000; ms += 500) {
    story.clock.advance(500);
    assertEquals(story.watch.check(), { resubscribe: [] });
  }
  story.clock.advance(500);
  assertEquals(story.watch.check(), { reconnect: "link-silent", resubscribe: [] });
});

Deno.test("FeedWatch calls no product quiet while nobody knows whether it was traded", () => {
  const story = new Story(["A"]).begin();
  const state = () => story.watch.status()[0]?.state;
  story.pass(20);
  assertEquals(state(), "quiet");
  story.watch.linkLost("link-closed");
  assertEquals(state(), "waiting");
});

Deno.test("FeedWatch never opens a gap before the last tick", () => {
  const story = new Story(["A"]).begin();
  story.pass(10, { each: () => story.live("A") });
  story.watch.linkLost("link-closed");
  assertEquals(story.told("A").at(-1), "link-closed 10..?");
});

Deno.test("FeedWatch closes a gap with the first tick after it", () => {
  const story = new Story(["A"]).begin();
  story.pass(10);
  story.watch.linkLost("link-closed");
  story.clock.advance(20_000);
  story.trade("A");
  story.clock.advance(20_000);
  story.open();
  assertEquals(story.told("A").slice(2), ["link-closed 9..?", "link-closed 9..30"]);
  const [opened, closed] = story.gaps.slice(2);
  assertEquals({ ...opened, to: closed?.to, missed: closed?.missed }, { ...closed });
});

Deno.test("FeedWatch closes a gap with the arrival of a repeat: nothing was missed", () => {
  const story = new Story(["A"]).begin();
  story.pass(10);
  story.away(20.5);
  assertEquals(story.told("A").slice(2), ["link-closed 9..?", "link-closed 9..30.5 nothing missed"]);
});

Deno.test("FeedWatch does not believe a repeat that is older than what heartbeats told of", () => {
  const story = new Story(["A"]).begin();
  story.pass(5);
  story.trade("A");
  story.pass(2);
  story.watch.linkLost("link-closed");
  story.watch.linkOpened();
  story.arrive("A", 1, story.clock.now() * 1000 - 7e6, true);
  assertEquals(story.told("A").at(-1), "link-closed 4..?");
  story.tell("A");
  assertEquals(story.told("A").at(-1), "link-closed 4..5");
});

Deno.test("FeedWatch does not close a gap with a tick that comes late", () => {
  for (const id of [1, 3]) {
    const story = new Story(["A"]).begin();
    story.pass(10);
    story.live("A");
    story.watch.linkLost("link-closed");
    story.clock.advance(30_000);
    story.watch.linkOpened();
    // from before the last one we had: of a lower number, or, oddly, of a higher one
    story.arrive("A", id, (story.now - 35) * 1e6);
    assertEquals(story.told("A").at(-1), "link-closed 10..?", `trade ${id}`);
    story.arrive("A", 4, story.now * 1e6);
    assertEquals(story.told("A").at(-1), "link-closed 10..40", `trade ${id}`);
  }
});

Deno.test("FeedWatch takes a tick from the future for no proof of the time up to it, and those after it for no late ones", () => {
  const story = new Story(["A"]).begin();
  story.pass(10);
  story.arrive("A", 20, (story.now + 300) * 1e6);
  story.clock.advance(2000);
  story.watch.linkLost("link-closed");
  assertEquals(story.told("A").at(-1), "link-closed 10..?");
  story.clock.advance(8000);
  story.watch.linkOpened();
  story.arrive("A", 21, story.now * 1e6);
  assertEquals(story.told("A").at(-1), "link-closed 10..20");
  // nor does it stay the newest
  story.watch.linkLost("link-closed");
  assertEquals(story.told("A").at(-1), "link-closed 20..?");
});

Deno.test("FeedWatch goes on when the exchange's clock is set back, and no gap ends before it begins", () => {
  const story = new Story(["A"]).begin();
  story.pass(10, { each: () => story.live("A") });
  story.watch.linkLost("link-closed");
  story.watch.linkOpened();
  const back = (story.now - 3600) * 1e6;
  story.arrive("A", 12, back);
  story.arrive("A", 13, back + 1e6);
  for (const { from, to } of story.gaps) assert(from === null || to === null || from <= to, `${from}..${to}`);
  const [last] = story.gaps.slice(-1);
  assert(last?.to !== null && last?.missed);
  story.watch.heartbeat({ product: "A", lastTradeId: 13, timeUs: back }, story.clock.now());
  story.clock.advance(14_000);
  story.watch.frame();
  assertEquals(story.watch.check(), { resubscribe: [] });
});

Deno.test("FeedWatch keeps one gap a product open, under its first reason", () => {
  const story = new Story(["A", "B"]).begin();
  story.lost.add("A");
  story.trade("A");
  story.pass(16, { each: () => story.live("B") });
  story.watch.linkLost("link-closed");
  story.watch.linkLost("link-silent");
  story.watch.linkOpened();
  story.watch.linkLost("link-closed");
  story.watch.stop();
  assertEquals(story.told("A"), [...STARTED, "stalled 0..?"]);
  assertEquals(story.told("B"), [...STARTED, "link-closed 16..?"]);
  const open = new Set<string>();
  for (const { product, to } of story.gaps) {
    if (to !== null) open.delete(product);
    else assert(!open.has(product)), open.add(product);
  }
});

Deno.test("FeedWatch starts with a gap for each product, from a time that nobody knows", () => {
  const story = new Story(["A", "B"]);
  story.watch.start();
  assertEquals(
    story.gaps.map(({ kind: _, ...gap }) => gap),
    ["A", "B"].map((product) => ({
      exchange: "coinbase",
      product,
      opened: Date.UTC(2026, 9, 3, 21) / 1000,
      from: null,
      to: null,
      reason: "restart" as const,
      dropped: 0,
      missed: true,
    })),
  );
  // a link that is lost before anything came is the same gap
  story.watch.linkOpened();
  story.watch.linkLost("link-closed");
  assertEquals(story.gaps.length, 2);
  assertEquals(story.watch.status().map(({ state, gap }) => [state, gap?.reason]), [
    ["waiting", "restart"],
    ["waiting", "restart"],
  ]);
});

/** Where an earlier run ended: 100 s before the story begins. */
const EARLIER: Position[] = ["A", "B"].map((product) => ({
  exchange: "coinbase",
  product,
  sequence: 10,
  price: 7,
  tradeId: 1,
  exchangeTimeUs: (Date.UTC(2026, 9, 3, 21) - 100_000) * 1000 + 250_000,
  receivedTime: Math.floor(((Date.UTC(2026, 9, 3, 21) - 100_000) * 1000 + 250_000) / 1000),
  recordTimeUs: (Date.UTC(2026, 9, 3, 21) - 100_000) * 1000,
}));

Deno.test("FeedWatch starts with a gap from where an earlier run ended, and shows its price until a newer one comes", () => {
  const story = new Story(["A", "B", "C"], { last: EARLIER });
  story.watch.start();
  assertEquals(story.watch.status().map(({ product, state, price }) => [product, state, price]), [
    ["A", "waiting", 7],
    ["B", "waiting", 7],
    ["C", "waiting", undefined],
  ]);
  story.clock.advance(5000);
  story.watch.linkOpened();
  story.arrive("A", 2, story.clock.now() * 1000);
  // nothing was traded while the program was away
  story.arrive("B", 1, EARLIER[1]?.exchangeTimeUs ?? 0, true);
  assertEquals(story.told("A"), ["restart -100..?", "restart -100..5"]);
  assertEquals(story.told("B"), ["restart -100..?", "restart -100..5 nothing missed"]);
  assertEquals(story.told("C"), ["restart ?..?"]);
  // the last trade once more says how it stands, and how old it is
  assertEquals(
    story.watch.status().map(({ product, state, price, ageSeconds }) => [product, state, price, ageSeconds]),
    [
      ["A", "live", 1, 0],
      ["B", "quiet", 7, 104.75],
      ["C", "waiting", undefined, undefined],
    ],
  );
});

Deno.test("FeedWatch calls a product live whose last trade of an earlier run is told again soon after it", () => {
  const [position] = EARLIER;
  const exchangeTimeUs = (Date.UTC(2026, 9, 3, 21) - 2000) * 1000;
  const receivedTime = exchangeTimeUs / 1000;
  const last = [{ ...position, product: "A", exchangeTimeUs, recordTimeUs: exchangeTimeUs, receivedTime } as Position];
  const story = new Story(["A"], { last });
  story.trade("A", exchangeTimeUs);
  story.watch.start();
  story.watch.linkOpened();
  story.arrive("A", 1, exchangeTimeUs, true);
  const now = () => story.watch.status().map(({ state, ageSeconds }) => [state, ageSeconds]);
  assertEquals(now(), [["live", 2]]);
  story.pass(15);
  assertEquals(now(), [["quiet", 17]]);
});

Deno.test("FeedWatch knows how far the exchange is away from its heartbeats, on each link anew", () => {
  const story = new Story(["A"]).begin();
  assertEquals(story.watch.delayMs, undefined);
  const beat = (ms: number) =>
    story.watch.heartbeat({ product: "A", timeUs: (story.clock.now() - ms) * 1000 }, story.clock.now());
  beat(400);
  assertEquals(story.watch.delayMs, 400);
  // a clock of ours that lags behind makes no time before the start
  beat(-3);
  assertEquals(story.watch.delayMs, 0);
  story.watch.linkLost("link-closed");
  assertEquals(story.watch.delayMs, undefined);
});

Deno.test("FeedWatch ends with a gap for each product that is not refused and has none", () => {
  const story = new Story(["A", "B", "C", "D"]).begin();
  story.watch.refuse("C", "C is delisted");
  story.lost.add("D");
  story.trade("D");
  story.pass(20, { each: () => story.live("A") });
  story.watch.stop();
  assertEquals(story.told("A").slice(2), ["stopped 20..?"]);
  assertEquals(story.told("B").slice(2), ["stopped 19..?"]);
  assertEquals(story.told("C").slice(2), ["refused 0..?"]);
  assertEquals(story.told("D").slice(2), ["stalled 0..?"]);
});

Deno.test("FeedWatch gives an open gap its true name when the product is refused", () => {
  const story = new Story(["A", "B", "C"]).begin();
  story.pass(10);
  story.watch.linkLost("link-closed");
  story.watch.linkOpened();
  assertEquals([story.watch.refuse("A", "A is delisted"), story.watch.refuse("A", "again")], [true, false]);
  assertEquals(story.watch.refuse("Z", "Z is not a valid product"), false);
  assertEquals(story.told("A").slice(2), ["link-closed 9..?", "refused 9..?"]);
  const [closed, refused] = story.gaps.filter(({ product }) => product === "A").slice(2);
  assertEquals(closed?.opened, refused?.opened);
  assertEquals(story.watch.accepted(), ["B", "C"]);
  const [status] = story.watch.status();
  assertEquals([status?.state, status?.refused, status?.gap], ["refused", "A is delisted", refused]);
  // it takes no part in what follows
  story.beatless.add("A");
  story.lost.add("A");
  story.pass(60, { each: () => story.live("B", "C") });
  story.away(5);
  assertEquals(story.advice.filter(({ resubscribe }) => resubscribe !== "A"), []);
  assertEquals(story.told("A").length, 4);
});

// ---- a large list

const MANY = Array.from({ length: 60 }, (_, i) => `P${i}`);

/** Only one product beats. */
function largeStory(beating: string | undefined): Story {
  const story = new Story(MANY, { ownHeartbeats: false });
  for (const product of MANY) if (product !== beating) story.beatless.add(product);
  return story;
}

Deno.test("FeedWatch of a large list is content with one heartbeat", () => {
  const story = largeStory("P0").begin();
  story.pass(60, { each: () => story.live(...MANY.slice(0, 30)) });
  assertEquals(story.advice, []);
  // nothing at all is traded: one heartbeat a second is all there is
  story.pass(10, {});
  assertEquals(story.advice, []);
});

Deno.test("FeedWatch of a large list asks a product that ticks for the heartbeat, when the first one is refused", () => {
  const story = largeStory(undefined);
  for (const product of MANY.slice(2)) story.trade(product);
  story.watch.start();
  story.watch.refuse("P0", "P0 is not a valid product");
  story.open();
  story.pass(10, { beats: false, each: () => story.live("P2", "P3") });
  assertEquals(story.advice, [{ at: 3, resubscribe: "P2" }]);
  assertEquals(story.watch.accepted()[0], "P1");
});

Deno.test("FeedWatch of a large list asks for the heartbeat as soon as any product ticks", () => {
  const story = largeStory(undefined);
  story.watch.start();
  story.watch.linkOpened();
  story.pass(8, { beats: false });
  assertEquals(story.advice, []);
  story.live("P7");
  story.pass(3, { beats: false });
  assertEquals(story.advice, [{ at: 9, resubscribe: "P7" }]);
});

// ---- clocks

Deno.test("FeedWatch goes by elapsed time while the wall clock jumps, and `opened` is the wall clock and unique", () => {
  const story = new Story(["A", "B"]).begin();
  // the last one lands in the very ms of the gaps before it
  const jumps = [3_600_000, -7_200_000, -1, 1, 259_200_000, -259_200_000, -21_000];
  const expected = [story.now, story.now];
  for (const jump of jumps) {
    story.clock.jump(jump);
    for (let second = 0; second < 20; second++) {
      story.clock.advance(1000);
      story.watch.frame();
      story.check();
    }
    expected.push(story.now, story.now);
    story.away(1);
  }
  // that moment was taken
  for (const at of [-2, -1]) expected[expected.length + at] = (expected.at(at) ?? 0) + 0.001;
  assertEquals(story.advice.filter(({ reconnect }) => reconnect !== undefined), []);
  const opened = story.gaps.filter(({ to }) => to === null);
  assertEquals(opened.map(({ opened }) => opened), expected);
  assertEquals(new Set(opened.map(({ product, opened }) => `${product} ${opened}`)).size, opened.length);
});

Deno.test("FeedWatch believes no heartbeat from the future", () => {
  const story = new Story(["A"]).begin();
  story.pass(10, { beats: false });
  story.watch.heartbeat({ product: "A", lastTradeId: 1, timeUs: (story.now + 500) * 1e6 }, story.clock.now());
  story.watch.linkLost("link-closed");
  assertEquals(story.told("A").at(-1), "link-closed 9..?");
});
