// Each lever of the demo with the real feed: it has the effect it promises, and the feed recovers.

import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import { systemClock } from "../../src/core/clock.ts";
import { FLOOD_RATE, LeverPanel, SLOW_MS } from "../../src/demo/levers.ts";
import { SlowDisk } from "../../src/demo/slow_disk.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { mayListen, until } from "../simulator/client.ts";
import { type Lesson, type LessonOptions, mayDemo, PRODUCTS, skipped, startLesson } from "./lesson.ts";
import { foldCandles } from "../fakes/candles.ts";

const [ETH = "", , SOL = ""] = PRODUCTS;

/** A test with a feed that runs well. */
function leverTest(name: string, options: LessonOptions, fn: (lesson: Lesson) => Promise<void>): void {
  Deno.test({
    name: `the demo's lever ${name}${skipped}`,
    ignore: !mayDemo,
    async fn() {
      await using lesson = await startLesson(options);
      await until("all products are live", () => isWell(lesson));
      await fn(lesson);
    },
  });
}

function isWell({ source, lane }: Lesson, products = PRODUCTS): boolean {
  const status = source.status();
  const live = status.products.filter(({ state, gap }) => state === "live" && gap === undefined);
  return status.link === "open" && live.length >= products.length && lane().state === "ok";
}

/** Waits until the feed is as it was before. */
async function heals(lesson: Lesson, products = PRODUCTS): Promise<void> {
  await until("all is well again", () => isWell(lesson, products), 30_000);
  const { received } = lesson.stats;
  await until("ticks are stored again", () => lesson.counts.sent + lesson.counts.dropped > received, 30_000);
}

leverTest(
  "hangUp ends the connection; the feed tries until it is accepted again, and the gap is declared",
  {},
  async (lesson) => {
    assertEquals(await lesson.pull("hangUp"), { reached: 1, awaySeconds: 2.5 });
    await until("it waits for its next try", () => lesson.source.status().nextTrySeconds !== undefined);
    const { link, lastTrouble } = lesson.source.status();
    assertEquals([link, lastTrouble], ["connecting", "closed with code 1001"]);
    await until("it was refused", () => lesson.log.find("Cannot reach Coinbase").length >= 2);
    await heals(lesson);
    assertEquals(lesson.stats.reconnects, 1);
    const gaps = lesson.gaps().filter(({ reason, to }) => reason === "link-closed" && to !== null);
    assertEquals(
      gaps.map(({ product, missed }) => `${product} ${missed}`).sort(),
      PRODUCTS.map((p) => `${p} true`).sort(),
    );
    for (const { from, to } of gaps) assertGreater((to ?? 0) - (from ?? 0), 2);
  },
);

leverTest("silence sends nothing on an open connection until it is switched off", {}, async (lesson) => {
  assertEquals(lesson.lever("silence")?.on, false);
  assertEquals(await lesson.pull("silence", { on: true }), { on: true });
  assertEquals(lesson.lever("silence")?.on, true);
  await until("the link is silent", () => lesson.source.status().link === "silent");
  await until("the gap is declared", () => lesson.gaps().some(({ reason }) => reason === "link-silent"));
  assertEquals(lesson.source.status().lastTrouble, "nothing came for 1.5 s");
  assertEquals(await lesson.pull("silence", { on: false }), { on: false });
  await heals(lesson);
  assertEquals(lesson.lever("silence")?.on, false);
});

leverTest("loseProduct stops one product, which is stalled while the others stay live", {}, async (lesson) => {
  assertEquals(lesson.lever("loseProduct")?.title, `${ETH} stops`);
  assertEquals(await lesson.pull("loseProduct", { on: true }), { on: true, product: ETH });
  await until("it is stalled", () => lesson.product(ETH).state === "stalled");
  assertEquals(lesson.product(SOL).state, "live");
  await until("the gap is declared", () => lesson.gaps().some(({ reason }) => reason === "stalled"));
  assertEquals(lesson.gaps().filter(({ reason }) => reason === "stalled").map(({ product }) => product), [ETH]);
  await lesson.pull("loseProduct", { on: false });
  await heals(lesson);
});

leverTest("wrongProduct has the last product refused for good, and the others continue", {}, async (lesson) => {
  assertEquals(await lesson.pull("wrongProduct"), { reached: 1, product: SOL });
  await until("it is refused", () => lesson.product(SOL).state === "refused");
  assertEquals(lesson.product(SOL).refused, `Failed to subscribe: ${SOL} is delisted`);
  await heals(lesson, PRODUCTS.slice(0, 2));
  // once more is harmless
  await lesson.pull("wrongProduct");
  await heals(lesson, PRODUCTS.slice(0, 2));
  assertEquals(lesson.stats.reconnects, 0);
});

leverTest("junk is rejected with reasons, and no connection or tick is lost", {}, async (lesson) => {
  assertEquals(await lesson.pull("junk"), { reached: 1, frames: 31 });
  // what the lever promises is what is counted, and they add up
  const { teaches, watch } = lesson.lever("junk") ?? {};
  const [wrong = 0, unknown = 0, errors = 0] = Array.from(watch?.matchAll(/\d+/g) ?? [], ([digits]) => Number(digits));
  assertEquals([parseInt(teaches ?? ""), wrong + unknown + errors], [31, 31]);
  await until("it was rejected", () => lesson.stats.rejectedTotal + lesson.stats.ignored >= wrong + unknown);
  await heals(lesson);
  const { rejected, rejectedTotal, ignored, reconnects } = lesson.stats;
  assertEquals([rejectedTotal, ignored, reconnects], [wrong, unknown, 0]);
  assertEquals(lesson.log.find("answers with an error").length, errors);
  const reasons = Object.entries(rejected).filter(([, count]) => count > 0).map(([reason]) => reason);
  assertEquals(reasons, ["bad-json", "bad-message", "bad-product", "bad-price"]);
});

leverTest("repeats are counted and not stored", {}, async (lesson) => {
  const before = lesson.stats.repeated;
  assertEquals(await lesson.pull("repeats"), { reached: 1, frames: 50 });
  await until("they are counted", () => lesson.stats.repeated >= before + 50);
  await heals(lesson);
  assertEquals(lesson.stats.repeated, before + 50);
  const ids = lesson.ticks().map(({ product, sequence }) => `${product} ${sequence}`);
  assertEquals(new Set(ids).size, ids.length);
});

leverTest("outOfOrder sends trades in the wrong order and one late; candles do not show it", {
  pace: { ticksPerSecond: 0.2, heartbeatMs: 200 },
  staleAfterMs: 20_000,
}, async (lesson) => {
  const before = lesson.ticks().length;
  assertEquals(await lesson.pull("outOfOrder"), { reached: 1, trades: 7 });
  await until("they are stored", () => lesson.ticks().length >= before + 7);
  const late = lesson.ticks().filter(({ exchangeTimeUs, receivedTime }) =>
    receivedTime - exchangeTimeUs / 1000 > 50_000
  );
  assertEquals(late.map(({ product }) => product), [ETH]);
  for (const product of PRODUCTS) {
    const ticks = lesson.ticks().filter((tick) => tick.product === product && !late.includes(tick));
    const ids = ticks.map(({ tradeId }) => tradeId ?? 0);
    assert(ids.some((id, i) => id > (ids[i + 1] ?? Infinity)), `${product}: ${ids}`);
    // the later trade closes, although it came first
    const newest = ticks.toSorted((a, b) => b.sequence - a.sequence)[0];
    assertEquals(foldCandles(ticks, "1w").at(-1)?.close, newest?.price);
  }
});

leverTest("slowDisk makes only the store wait, and ends at once", {}, async (lesson) => {
  assertEquals(lesson.lever("slowDisk")?.on, false);
  await lesson.pull("slowDisk", { on: true });
  assertEquals(lesson.lever("slowDisk")?.on, true);
  await until("ticks queue up", () => lesson.lane().queueDepth > 100, 20_000);
  // a write that lasts so long is a lane in trouble
  await until("the lane says it", () => lesson.lane().state === "failing");
  assertLess(5, SLOW_MS / 1000);
  assertEquals(lesson.source.status().link, "open");
  await lesson.pull("slowDisk", { on: false });
  await until("the queue is empty", () => lesson.lane().queueDepth < 10, 5000);
  await heals(lesson);
  const { dropped, sent } = lesson.counts;
  assertEquals([dropped, lesson.stats.received - sent < 10], [0, true]);
});

for (const channel of ["ticker", "ticker_batch"]) {
  leverTest(`flood brings many times the usual rate on ${channel}, and ends after its time`, {
    channel,
    pace: { ticksPerSecond: 10, batchMs: 500 },
    // on a busy machine, heartbeats may wait behind the flood
    staleAfterMs: 20_000,
  }, async (lesson) => {
    const before = lesson.stats.received;
    assertEquals(await lesson.pull("flood"), { trades: FLOOD_RATE * 3, seconds: 3 });
    const since = performance.now();
    await until("most of it has come", () => lesson.stats.received - before >= FLOOD_RATE * 3, 60_000);
    assertGreater(performance.now() - since, 2700);
    await heals(lesson);
    assertEquals([lesson.stats.reconnects, lesson.counts.dropped], [0, 0]);
  });
}

leverTest("flood and slowDisk together fill the queue: ticks are dropped, counted and declared, and it heals", {
  queueCapacity: 5000,
}, async (lesson) => {
  await lesson.pull("slowDisk", { on: true });
  await lesson.pull("flood");
  await until("ticks are dropped", () => lesson.counts.dropped > 1000, 30_000);
  await until("the lane says it", () => lesson.lane().trouble === "its queue is full, the oldest ticks are dropped");
  await lesson.pull("slowDisk", { on: false });
  await until("the gaps are closed", () => {
    const gaps = new Map(lesson.gaps().map((gap) => [`${gap.product} ${gap.opened}`, gap]));
    const full = [...gaps.values()].filter(({ reason }) => reason === "queue-full");
    return full.length > 0 && full.every(({ to }) => to !== null) &&
      full.reduce((sum, { dropped }) => sum + dropped, 0) === lesson.counts.dropped;
  }, 60_000);
  await heals(lesson);
});

leverTest("after lever, several at once, and all heal", {}, async (lesson) => {
  await lesson.pull("loseProduct", { on: true });
  await lesson.pull("slowDisk", { on: true });
  await lesson.pull("junk");
  await lesson.pull("silence", { on: true });
  await lesson.pull("hangUp");
  await lesson.pull("wrongProduct");
  assertEquals(lesson.demo.levers.list().filter(({ on }) => on).map(({ name }) => name), [
    "silence",
    "loseProduct",
    "slowDisk",
  ]);
  await until("the gap is declared", () => lesson.source.status().products.every(({ gap }) => gap !== undefined));
  for (const name of ["slowDisk", "silence", "loseProduct"]) await lesson.pull(name, { on: false });
  await until("the delisted one is refused", () => lesson.product(SOL).state === "refused", 30_000);
  await heals(lesson, PRODUCTS.slice(0, 2));
});

leverTest("that was left on does not delay the shutdown, and loses nothing", {}, async (lesson) => {
  await lesson.pull("slowDisk", { on: true });
  await until("ticks wait", () => lesson.stats.received > lesson.counts.sent + 10);
  await lesson.pull("silence", { on: true });
  const since = performance.now();
  await lesson.stop();
  assertLess(performance.now() - since, 5000);
  assertEquals([lesson.counts.sent, lesson.counts.lost], [lesson.stats.received, 0]);
});

/** The levers of a demo without Kafka. */
function panelOf(simulator: Simulator): LeverPanel {
  return new LeverPanel({ simulator, disk: new SlowDisk(systemClock), broker: undefined, isReady: () => true });
}

Deno.test({
  name: "LeverPanel.list() has the levers of this demo, with plain descriptions",
  ignore: !mayListen,
  async fn() {
    await using simulator = await Simulator.start({ products: PRODUCTS });
    await using single = await Simulator.start({ products: ["BTC-USD"] });
    using panel = panelOf(simulator);
    using small = panelOf(single);
    const names = (levers: LeverPanel) => levers.list().map(({ name }) => name).join(" ");
    assertEquals(names(panel), "hangUp silence loseProduct wrongProduct junk repeats outOfOrder slowDisk flood");
    // a feed that is refused everything would end the demo
    assertEquals(names(small), "hangUp silence loseProduct junk repeats outOfOrder slowDisk flood");
    assertEquals(await panel.pull("brokerAway", { on: true }), false);
    for (const { title, teaches, watch, kind, on } of panel.list()) {
      assertEquals(on, kind === "switch" ? false : undefined);
      assertLess(title.length, 20);
      for (const sentence of [teaches, watch]) {
        assert(/^[A-Z0-9][^\n]{40,320}\.$/.test(sentence) && !/\. [A-Z]/.test(sentence), sentence);
      }
    }
  },
});

for (
  const [name, args, message] of [
    ["silence", {}, 'Cannot pull silence: expected "on" to be true or false, got nothing'],
    ["silence", { on: 1 }, 'Cannot pull silence: expected "on" to be true or false, got 1'],
    ["silence", { on: true, more: 2 }, 'Cannot pull silence: expected only on, got "more"'],
    ["hangUp", { code: 1 }, 'Cannot pull hangUp: expected no arguments, got "code"'],
    ["hangUp", { on: true }, 'Cannot pull hangUp: expected no arguments, got "on"'],
    ["junk", [], "Cannot pull junk: expected a JSON object, got []"],
    ["junk", null, "Cannot pull junk: expected a JSON object, got null"],
  ] as const
) {
  Deno.test({
    name: `LeverPanel.pull(${name}, ${JSON.stringify(args)}) rejects and changes nothing`,
    ignore: !mayListen,
    async fn() {
      await using simulator = await Simulator.start({ products: PRODUCTS });
      using panel = panelOf(simulator);
      const error = await assertRejects(() => panel.pull(name, args), RangeError);
      assertEquals(error.message, message);
      assertEquals(panel.list().filter(({ on }) => on === true), []);
    },
  });
}

for (const name of ["explode", "constructor", "__proto__", ""]) {
  Deno.test({
    name: `LeverPanel.pull() returns false for the lever "${name}", which does not exist`,
    ignore: !mayListen,
    async fn() {
      await using simulator = await Simulator.start({ products: PRODUCTS });
      using panel = panelOf(simulator);
      assertEquals(await panel.pull(name, {}), false);
    },
  });
}
