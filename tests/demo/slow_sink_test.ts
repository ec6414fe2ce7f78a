import { assertEquals, assertGreaterOrEqual, assertLess, assertRejects } from "@std/assert";
import { systemClock } from "../../src/core/clock.ts";
import { SlowSink } from "../../src/demo/slow_sink.ts";
import { toRecord } from "../../src/core/record.ts";
import { StdoutSink } from "../../src/pipeline/stdout.ts";
import { sinkContract } from "../contracts/sink.ts";
import { FakeClock, settle } from "../fakes/clock.ts";
import { makeGap } from "../fakes/events.ts";
import { FakeSink, FakeSinkWithGaps } from "../fakes/sink.ts";
import { ticksOf } from "../fakes/ticks.ts";

const never = new AbortController().signal;

for (const delayMs of [0, 5]) {
  sinkContract(`SlowSink that waits ${delayMs} ms before a StdoutSink`, () => {
    let text = "";
    const behind = new StdoutSink(() => {}, async (bytes) => {
      await null;
      text += new TextDecoder().decode(bytes);
      return bytes.length;
    });
    const sink = new SlowSink(behind, systemClock);
    sink.delayMs = delayMs;
    return Promise.resolve({
      sink,
      stored: () => Promise.resolve(text.split("\n").slice(0, -1)),
      stall: () => Promise.resolve(void (sink.delayMs = 3_600_000)),
    });
  });
}

sinkContract("SlowSink before a sink whose gaps go a way of their own", () => {
  const behind = new FakeSinkWithGaps();
  const sink = new SlowSink(behind, systemClock);
  return Promise.resolve({
    sink,
    stored: () => Promise.resolve(behind.stored.flatMap((event) => event.kind === "tick" ? [toRecord(event)] : [])),
    stall: () => Promise.resolve(void (sink.delayMs = 3_600_000)),
  });
});

/** A write through a sink that waits 1000 ms. */
function waitingWrite() {
  const clock = new FakeClock();
  const behind = new FakeSink("sqlite");
  const sink = new SlowSink(behind, clock);
  sink.delayMs = 1000;
  const writing = sink.write(ticksOf("BTC-USD", 1), never);
  return { clock, behind, sink, writing };
}

Deno.test("SlowSink has the name of the sink behind it, its word for drops, and its way for gaps", () => {
  const clock = new FakeClock();
  const plain = new SlowSink(new FakeSink("sqlite"), clock);
  assertEquals([plain.name, plain.dropReason, plain.writeGaps], ["sqlite", undefined, undefined]);
  const behind = Object.assign(new FakeSinkWithGaps(), { dropReason: "store-failed" as const });
  const other = new SlowSink(behind, clock);
  assertEquals([other.dropReason, typeof other.writeGaps], ["store-failed", "function"]);
});

Deno.test("SlowSink writes after its delay, and not before", async () => {
  const { clock, behind, writing } = waitingWrite();
  await clock.advance(999);
  assertEquals(behind.told, "");
  await clock.advance(1);
  await writing;
  assertEquals([behind.told, clock.sleeping], ["BTC-USD1", 0]);
});

Deno.test("SlowSink lets a write that waits go at once when it is slow no more", async () => {
  const { clock, behind, sink, writing } = waitingWrite();
  await clock.advance(10);
  sink.delayMs = 0;
  await settle();
  await writing;
  assertEquals([behind.told, clock.sleeping], ["BTC-USD1", 0]);
});

Deno.test("SlowSink counts the time that a write has waited already when its delay changes", async () => {
  const { clock, behind, sink, writing } = waitingWrite();
  await clock.advance(600);
  sink.delayMs = 800;
  await clock.advance(199);
  assertEquals(behind.told, "");
  await clock.advance(1);
  await writing;
  assertEquals(behind.told, "BTC-USD1");
});

Deno.test("SlowSink makes gaps wait as well, and rejects with what the sink behind it rejects", async () => {
  const clock = new FakeClock();
  const behind = new FakeSinkWithGaps();
  const sink = new SlowSink(behind, clock);
  sink.delayMs = 100;
  const writing = sink.writeGaps?.([makeGap()], never);
  await clock.advance(99);
  assertEquals(behind.gaps, []);
  await clock.advance(1);
  await writing;
  assertEquals(behind.gaps, [makeGap()]);
  sink.delayMs = 0;
  behind.onWrite = () => {
    throw new Error("no");
  };
  await assertRejects(() => sink.write(ticksOf("BTC-USD", 1), never), Error, "no");
});

Deno.test("SlowSink waits for real", async () => {
  const sink = new SlowSink(new FakeSink(), systemClock);
  sink.delayMs = 50;
  const since = performance.now();
  await sink.write(ticksOf("BTC-USD", 1), never);
  assertGreaterOrEqual(performance.now() - since, 49);
  assertLess(performance.now() - since, 5000);
});
