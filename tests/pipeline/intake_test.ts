import { assertEquals, assertThrows } from "@std/assert";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Tick } from "../../src/core/record.ts";
import { describeRejected, Intake, type IntakeOptions } from "../../src/pipeline/intake.ts";
import { Stats } from "../../src/core/stats.ts";

const RECEIVED = Date.UTC(2026, 9, 4, 8, 15, 1);

function setUp(options: Partial<IntakeOptions> = {}) {
  const stats = new Stats();
  const ticks: Tick[] = [], repeats: Tick[] = [];
  const intake = new Intake(
    { exchange: coinbase, channel: "ticker", products: undefined, maxFrameLength: 1000, stats, ...options },
    { onTick: (tick) => void ticks.push(tick), onRepeat: (tick) => void repeats.push(tick) },
  );
  return { stats, ticks, repeats, intake };
}

function frame(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    type: "ticker",
    sequence: 10,
    product_id: "BTC-USD",
    price: "61234.56",
    time: "2026-10-04T08:15:00.500000Z",
    ...fields,
  });
}

Deno.test("Intake hands on ticks in order, with the time their record bears", () => {
  const { intake, ticks, stats } = setUp();
  for (const sequence of [10, 12, 11]) intake.accept(frame({ sequence }), RECEIVED);
  assertEquals(ticks.map(({ sequence, recordTimeUs }) => [sequence, recordTimeUs % 1e6]), [
    [10, 500_000],
    [12, 500_001],
    [11, 500_002],
  ]);
  assertEquals([stats.frames, stats.received], [3, 3]);
});

Deno.test("Intake floors the time of records to seconds on ticker_batch", () => {
  const { intake, ticks } = setUp({ channel: "ticker_batch" });
  intake.accept(frame(), RECEIVED);
  assertEquals(ticks.map(({ recordTimeUs }) => recordTimeUs % 1e6), [0]);
});

Deno.test("Intake counts a repeat, tells of it, and does not hand it on", () => {
  const { intake, ticks, repeats, stats } = setUp();
  for (let i = 0; i < 3; i++) intake.accept(frame(), RECEIVED + 60_000 * i);
  assertEquals([ticks.length, repeats.length, stats.received, stats.repeated], [1, 2, 1, 2]);
  assertEquals(stats.arrival.sum, 0.5, "and its age says nothing about delays");
});

Deno.test("Intake ignores products that nobody asked for, and they repeat nothing", () => {
  const { intake, ticks, repeats, stats } = setUp({ products: new Set(["BTC-USD"]) });
  intake.accept(frame({ product_id: "ETH-USD" }), RECEIVED);
  intake.accept(frame({ product_id: "ETH-USD" }), RECEIVED);
  intake.accept(frame(), RECEIVED);
  assertEquals([ticks.map(({ product }) => product), repeats], [["BTC-USD"], []]);
  assertEquals([stats.ignored, stats.received, stats.repeated], [2, 1, 0]);
});

Deno.test("Intake rejects a frame above the limit unread, and takes one that just fits", () => {
  const { intake, ticks, stats } = setUp({ maxFrameLength: frame().length });
  intake.accept(frame({ sequence: 9 }) + "  ", RECEIVED);
  assertEquals([ticks.length, stats.rejected["too-large"]], [0, 1]);
  intake.accept(frame(), RECEIVED);
  assertEquals([ticks.length, stats.rejectedTotal], [1, 1]);
});

Deno.test("Intake counts a ticker that reports no trade by itself, and ignores that of a product nobody asked for", () => {
  const { intake, ticks, stats } = setUp({ products: new Set(["BTC-USD"]) });
  intake.accept(frame({ time: undefined }), RECEIVED);
  intake.accept(frame({ time: undefined, price: "0", sequence: undefined }), RECEIVED);
  intake.accept(frame({ time: undefined, product_id: "ETH-USD" }), RECEIVED);
  assertEquals([ticks, stats.withoutTrade, stats.ignored, stats.rejectedTotal, stats.frames], [[], 2, 1, 0, 3]);
});

const COUNTED: { name: string; text: string; field: "ignored" | "rejectedTotal" | undefined }[] = [
  { name: "a frame of another type as ignored", text: '{"type":"status","products":[]}', field: "ignored" },
  { name: "junk as rejected", text: "junk", field: "rejectedTotal" },
  { name: "a bad price as rejected", text: frame({ price: "0" }), field: "rejectedTotal" },
  {
    name: "a time far ahead of our clock as rejected",
    text: frame({ time: "2026-10-04T08:25:01.001Z" }),
    field: "rejectedTotal",
  },
  { name: "a heartbeat as neither", text: '{"type":"heartbeat","product_id":"BTC-USD"}', field: undefined },
  { name: "an acknowledgement as neither", text: '{"type":"subscriptions","channels":[]}', field: undefined },
  { name: "an error as neither", text: '{"type":"error","message":"no"}', field: undefined },
];
for (const { name, text, field } of COUNTED) {
  Deno.test(`Intake counts ${name}`, () => {
    const { intake, ticks, stats } = setUp();
    intake.accept(text, RECEIVED);
    assertEquals(ticks, []);
    assertEquals([stats.frames, stats.received, stats.repeated], [1, 0, 0]);
    assertEquals([stats.ignored, stats.rejectedTotal], [
      field === "ignored" ? 1 : 0,
      field === "rejectedTotal" ? 1 : 0,
    ]);
  });
}

Deno.test("Intake measures how long a tick took to arrive", () => {
  const { intake, stats } = setUp();
  intake.accept(frame({ sequence: 1 }), RECEIVED);
  intake.accept(frame({ sequence: 2 }), RECEIVED - 505);
  assertEquals(stats.arrival.sum, 0.5, "a clock that lags counts as no delay");
  assertEquals(stats.arrival.counts.reduce((sum, count) => sum + count), 2);
});

Deno.test("Intake.aheadMs() tells how far the exchange is ahead, of frames that hold a tick", () => {
  const { intake } = setUp();
  assertEquals(intake.aheadMs(frame(), RECEIVED - 3_600_500), 3_600_000);
  assertEquals(intake.aheadMs(frame({ price: "0" }), RECEIVED), undefined);
});

Deno.test("Intake refuses to be built for a channel the exchange has not", () => {
  assertThrows(() => setUp({ channel: "matches" }), TypeError, "No channel matches at coinbase");
});

Deno.test("describeRejected() names the reasons that happened, or 0", () => {
  const stats = new Stats();
  assertEquals(describeRejected(stats), "0");
  stats.rejected["bad-price"] = 1;
  stats.rejected["bad-json"] = 2;
  assertEquals(describeRejected(stats), "2 bad-json, 1 bad-price");
});
