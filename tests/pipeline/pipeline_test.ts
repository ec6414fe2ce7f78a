import { assert, assertEquals, assertRejects, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { DrainError, RefusedError, SinkError } from "../../src/core/errors.ts";
import type { SinkStatus } from "../../src/pipeline/delivery.ts";
import { Pipeline, type PipelineOptions } from "../../src/pipeline/pipeline.ts";
import { type Gap, GapTimes, type Tick } from "../../src/core/record.ts";
import type { Sink } from "../../src/core/sink.ts";
import { Stats } from "../../src/core/stats.ts";
import { FakeClock, settle } from "../fakes/clock.ts";
import { makeGap } from "../fakes/events.ts";
import { Notebook } from "../fakes/log.ts";
import { FakeSink, FakeSinkWithGaps, stuck } from "../fakes/sink.ts";
import { FakeSource } from "../fakes/source.ts";
import { tickOf, ticksOf } from "../fakes/ticks.ts";

const away = () => {
  throw new SinkError("retry", "the broker is away");
};

/** A pipeline that runs under a clock in the test's hands. */
class Running implements AsyncDisposable {
  readonly clock = new FakeClock(1_000_000);
  readonly source = new FakeSource();
  readonly stats = new Stats();
  readonly log = new Notebook();
  readonly pipeline: Pipeline;
  readonly done: Promise<void>;
  readonly #stop = new AbortController();
  #over = false;

  constructor(sinks: readonly Sink[], options: Partial<PipelineOptions> = {}) {
    this.pipeline = new Pipeline({
      source: this.source,
      sinks,
      queueCapacity: 1000,
      maxBatch: 100,
      lingerMs: 0,
      startTimeoutMs: 0,
      drainMs: 8000,
      clock: this.clock,
      random: () => 0,
      log: this.log,
      stats: this.stats,
      gapTimes: new GapTimes(),
      ...options,
    });
    this.done = this.pipeline.run(this.#stop.signal).finally(() => this.#over = true);
    // a failure shows where the test awaits it
    this.done.catch(() => {});
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Asks it to stop. */
  stop(): void {
    this.#stop.abort(new DOMException("The test is over", "AbortError"));
  }

  /** Hands on these events and lets what follows from them happen. */
  async push(...events: Parameters<FakeSource["push"]>): Promise<void> {
    await settle();
    this.source.push(...events);
    await settle();
  }

  /** Lets time pass until it is over, and fails if that takes longer than it may. */
  async end(ms = 60_000): Promise<void> {
    this.stop();
    for (let passed = 0; passed < ms && !this.#over; passed += 250) await this.clock.advance(250);
    assert(this.#over, `it is not over after ${ms} ms`);
    await this.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end().catch(() => {});
    assertEquals(this.clock.sleeping, 0, "somebody still sleeps");
  }
}

/** The status of a sink without troubles. */
const IDLE: SinkStatus = {
  name: "fake",
  state: "ok",
  trouble: undefined,
  gapsTrouble: undefined,
  throttled: undefined,
  queueDepth: 0,
  queueCapacity: 1000,
};

Deno.test("Pipeline hands on what gathered, in order, at most maxBatch ticks at once", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink], { maxBatch: 4 });
  await running.push(...ticksOf("A", 10));
  await running.push(tickOf("B", 1));
  await running.end();
  assertEquals(sink.told, "A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 B1");
  assertEquals(sink.attempts.map(({ length }) => length), [4, 4, 2, 1]);
  const { sent, lost, dropped, failures } = running.stats.sink("fake");
  assertEquals([sent, lost, dropped, failures, sink.connects, sink.closes], [11, 0, 0, 0, 1, 1]);
  assertEquals(running.pipeline.status(), [{ ...IDLE, state: "closed" }]);
});

Deno.test("Pipeline keeps one batch in flight for each sink", async () => {
  const sink = new FakeSink();
  let inFlight = 0, most = 0;
  const release: (() => void)[] = [];
  sink.onWrite = async () => {
    most = Math.max(most, ++inFlight);
    await new Promise<void>((resolve) => release.push(resolve));
    inFlight--;
  };
  await using running = new Running([sink], { maxBatch: 2 });
  for (let i = 1; i <= 6; i++) await running.push(tickOf("A", i));
  for (let i = 0; i < 4; i++) {
    release.shift()?.();
    await settle();
  }
  await running.end();
  assertEquals([most, sink.told], [1, "A1 A2 A3 A4 A5 A6"]);
});

Deno.test("Pipeline waits lingerMs for a batch to fill", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink], { lingerMs: 50 });
  await running.push(tickOf("A", 1));
  await running.clock.advance(49);
  await running.push(tickOf("A", 2));
  assertEquals(sink.attempts.length, 0);
  await running.clock.advance(1);
  assertEquals(sink.told, "A1 A2");
});

// ---- retry

Deno.test("Pipeline writes the same batch again, in order, until it is stored", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink]);
  await running.push(tickOf("A", 0));
  sink.onWrite = away;
  await running.push(...ticksOf("A", 3));
  await running.push(...ticksOf("A", 2, 4));
  await running.clock.advance(30_000);
  const [status] = running.pipeline.status();
  assertEquals([status?.state, status?.trouble, status?.queueDepth], ["failing", "the broker is away", 2]);
  const again = sink.attempts.slice(1);
  assert(again.length >= 8 && again.length <= 40, `${again.length} attempts within 30 s`);
  for (const batch of again) assertStrictEquals(batch, again[0]);
  sink.onWrite = () => {};
  await running.clock.advance(5000);
  assertEquals(sink.told, "A0 A1 A2 A3 A4 A5");
  assertEquals(running.pipeline.status()[0], IDLE);
  assertEquals(running.stats.sink("fake").failures, again.length);
  // a person reads when it began and when it was over
  assertEquals(running.log.find("Cannot write to fake, trying again").length, 1);
  assertEquals(running.log.find("Writing to fake again").length, 1);
});

Deno.test("Pipeline asks a sink that is away at growing distances up to 5 s", async () => {
  const sink = new FakeSink();
  sink.onWrite = away;
  const times: number[] = [];
  await using running = new Running([sink], { random: () => 0.999999 });
  sink.onWrite = () => {
    times.push(running.clock.elapsed());
    away();
  };
  await running.push(tickOf("A", 1));
  await running.clock.advance(30_000);
  const pauses = times.slice(1).map((time, i) => Math.round(time - (times[i] ?? 0)));
  assertEquals(pauses.slice(0, 8), [250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
  sink.onWrite = () => {};
});

Deno.test("Pipeline drops the one record that a sink refuses, and declares it; the others arrive in order", async () => {
  for (const bad of [[1], [5], [8], [3, 4], [1, 2, 3, 4, 5, 6, 7, 8]]) {
    const sink = new FakeSink();
    await using running = new Running([sink]);
    await running.push();
    sink.onWrite = (batch) => {
      if (batch.some((event) => event.kind === "tick" && bad.includes(event.sequence))) {
        throw new SinkError("drop", "the record is too large");
      }
    };
    await running.push(...ticksOf("A", 8));
    await running.push(tickOf("A", 9));
    await running.end();
    const ticks = sink.stored.filter((event): event is Tick => event.kind === "tick");
    assertEquals(ticks.map(({ sequence }) => sequence), [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((n) => !bad.includes(n)));
    const gaps = sink.stored.filter((event): event is Gap => event.kind === "gap");
    assertEquals(
      gaps.map(({ product, from, to, reason, dropped, missed }) => [product, from, to, reason, dropped, missed]),
      bad.map((n) => ["A", n, n, "record-refused", 1, true]),
    );
    assertEquals(new Set(gaps.map(({ opened }) => opened)).size, bad.length);
    const { sent, lost } = running.stats.sink("fake");
    assertEquals([sent, lost, running.stats.gaps], [9 - bad.length, bad.length, bad.length]);
    assertStringIncludes(running.log.find("refuses a record").join(), `coinbase:A:${bad[0]}`);
  }
});

Deno.test("Pipeline sends the gap of a refused record the way that gaps go", async () => {
  const sink = new FakeSinkWithGaps();
  sink.onWrite = (batch) => {
    if (batch.some(({ kind, product }) => kind === "tick" && product === "B")) {
      throw new SinkError("drop", "the record is too large");
    }
  };
  await using running = new Running([sink]);
  await running.push(tickOf("A", 1), tickOf("B", 2), makeGap({ product: "C" }), tickOf("A", 3));
  await running.end();
  assertEquals(sink.told, "A1 A3");
  assertEquals(sink.gaps.map(({ product, reason }) => `${product} ${reason}`), ["C link-closed", "B record-refused"]);
  assertEquals(running.stats.sink("fake").gapsSent, 2);
});

Deno.test("Pipeline survives that a gap record is refused", async () => {
  const sink = new FakeSink();
  sink.onWrite = (batch) => {
    if (batch.some(({ kind }) => kind === "gap")) throw new SinkError("drop", "no gaps here");
  };
  await using running = new Running([sink]);
  await running.push(tickOf("A", 1), makeGap(), tickOf("A", 2));
  await running.end();
  assertEquals([sink.told, running.stats.sink("fake").lost], ["A1 A2", 0]);
});

Deno.test("Pipeline ends with the SinkError when a sink refuses for good, and lets the others finish", async () => {
  const [bad, good] = [new FakeSink("bad"), new FakeSink("good")];
  bad.onWrite = () => {
    throw new SinkError("fatal", "the login was refused");
  };
  await using running = new Running([bad, good]);
  await running.push(...ticksOf("A", 3));
  const error = await assertRejects(() => running.done, SinkError, "the login was refused");
  assertEquals([error.kind, good.told, running.source.isStopped], ["fatal", "A1 A2 A3", true]);
  assertEquals([bad.closes, good.closes, running.stats.sink("bad").lost], [1, 1, 3]);
});

Deno.test("Pipeline never tries a bug again", async () => {
  for (const where of ["onConnect", "onWrite"] as const) {
    const sink = new FakeSink();
    let calls = 0;
    sink[where] = () => {
      calls++;
      throw new TypeError("undefined is not a function");
    };
    await using running = new Running([sink]);
    await running.push(tickOf("A", 1));
    await assertRejects(() => running.done, TypeError, "undefined is not a function");
    assertEquals(calls, 1);
  }
});

// ---- the start

Deno.test("Pipeline waits for a sink that is away at the start, says so, and then delivers", async () => {
  const sink = new FakeSink();
  sink.onConnect = away;
  await using running = new Running([sink], { startTimeoutMs: 300_000 });
  await running.push(...ticksOf("A", 3));
  await running.clock.advance(290_000);
  const [status] = running.pipeline.status();
  assertEquals([status?.state, status?.trouble, status?.queueDepth], ["connecting", "the broker is away", 3]);
  assert(running.log.find("Waiting for fake").length > 29);
  sink.onConnect = () => {};
  await running.clock.advance(5000);
  assertEquals([sink.told, running.pipeline.status()[0]?.state], ["A1 A2 A3", "ok"]);
});

Deno.test("Pipeline gives up on a sink that is away at the start for startTimeoutMs", async () => {
  const sink = new FakeSink();
  sink.onConnect = away;
  await using running = new Running([sink], { startTimeoutMs: 10_000 });
  await running.push(...ticksOf("A", 3));
  await running.clock.advance(9000);
  assertEquals(running.isOver, false);
  await running.clock.advance(6000);
  const error = await assertRejects(() => running.done, SinkError, "the broker is away");
  assertEquals([error.kind, running.stats.sink("fake").lost, sink.closes], ["retry", 3, 1]);
});

Deno.test("Pipeline gives up when startTimeoutMs is over, and not a pause between two attempts later", async () => {
  const sink = new FakeSink();
  sink.onConnect = away;
  await using running = new Running([sink], { startTimeoutMs: 10_000 });
  await running.clock.advance(9_999);
  assertEquals(running.isOver, false);
  await running.clock.advance(1);
  await assertRejects(() => running.done, SinkError, "the broker is away");
});

Deno.test("Pipeline with startTimeoutMs 0 never gives up", async () => {
  const sink = new FakeSink();
  sink.onConnect = away;
  await using running = new Running([sink]);
  await running.clock.advance(3_600_000);
  assertEquals([running.isOver, sink.connects > 700], [false, true]);
  sink.onConnect = () => {};
});

Deno.test("Pipeline ends at once when a sink refuses for good at the start", async () => {
  const sink = new FakeSink();
  sink.onConnect = () => {
    throw new SinkError("fatal", "the login was refused");
  };
  await using running = new Running([sink]);
  await assertRejects(() => running.done, SinkError, "the login was refused");
  assertEquals(sink.connects, 1);
});

// ---- several sinks

Deno.test("Pipeline does not let a sink that is stuck hold up another", async () => {
  const [slow, fast] = [new FakeSink("slow"), new FakeSink("fast")];
  await using running = new Running([slow, fast], { queueCapacity: 10 });
  slow.onWrite = (_, signal) => stuck(signal);
  for (let i = 1; i <= 200; i++) {
    await running.push(tickOf("A", i));
    // as a source does between two reads
    const pause = running.source.relief();
    if (pause !== undefined) await running.clock.advance(20).then(() => pause);
  }
  assertEquals(fast.stored.length, 200);
  assertEquals(running.stats.sink("fast").dropped, 0);
  assertEquals(running.stats.sink("slow").dropped, 189);
  assertEquals(running.source.relief(), undefined);
});

Deno.test("Pipeline makes a source wait for a sink that is busy, and not for one that is away", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink], { queueCapacity: 10, maxBatch: 1 });
  await running.push(tickOf("A", 1));
  const release: (() => void)[] = [];
  sink.onWrite = () => new Promise<void>((resolve) => release.push(resolve));
  await running.push(...ticksOf("A", 6, 2));
  assertEquals(running.source.relief(), undefined);
  await running.push(tickOf("A", 8));
  const pause = running.source.relief();
  assert(pause !== undefined);
  let over = false;
  pause.then(() => over = true);
  release.shift()?.();
  await settle();
  assert(over, "it goes on once something was taken");
  await running.push(tickOf("A", 9));
  await running.clock.advance(1001);
  assertEquals(running.source.relief(), undefined);
  sink.onWrite = () => {};
  for (const resolve of release) resolve();
});

Deno.test("Pipeline tells the sink what its full queue had to drop", async () => {
  const sink = new FakeSink();
  sink.onConnect = away;
  await using running = new Running([sink], { queueCapacity: 10 });
  await running.push(...ticksOf("A", 25));
  assertEquals(running.stats.sink("fake").dropped, 15);
  sink.onConnect = () => {};
  await running.clock.advance(5000);
  await running.push(tickOf("A", 26));
  await running.end();
  const ticks = sink.stored.filter((event) => event.kind === "tick");
  assertEquals(ticks.map((tick) => (tick as Tick).sequence), [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26]);
  const gap = sink.stored.findLast((event): event is Gap => event.kind === "gap");
  assertEquals([gap?.reason, gap?.from, gap?.dropped, (gap?.to ?? 0) >= 15], ["queue-full", 1, 15, true]);
});

Deno.test("Pipeline calls a sink's onGap at once with what it drops or refuses, also while a write hangs", async () => {
  const told: Gap[] = [];
  const sink = Object.assign(new FakeSink(), { onGap: (gap: Gap) => void told.push(gap) });
  const other = new FakeSink("other");
  await using running = new Running([sink, other], { queueCapacity: 10 });
  sink.onWrite = (_, signal) => stuck(signal);
  await running.push(tickOf("A", 1));
  for (let i = 2; i <= 12; i++) await running.push(tickOf("A", i));
  const seen = () => told.map(({ reason, from, to, dropped }) => [reason, from, to, dropped]);
  assertEquals(seen(), [["queue-full", 2, null, 1]]);
  assertEquals(running.stats.gaps, 1);
  assertEquals(other.stored.filter(({ kind }) => kind === "gap"), [], "the other sink lacks nothing");
});

Deno.test("Pipeline calls a sink's onGap with the gap of a record that it refuses", async () => {
  const told: Gap[] = [];
  const sink = Object.assign(new FakeSink(), { onGap: (gap: Gap) => void told.push(gap) });
  sink.onWrite = (batch) => {
    if (batch.some((event) => event.kind === "tick" && event.sequence === 2)) throw new SinkError("drop", "too large");
  };
  await using running = new Running([sink]);
  await running.push(...ticksOf("A", 3));
  assertEquals(told, sink.stored.filter((event): event is Gap => event.kind === "gap"));
  assertEquals(told.map(({ reason, dropped }) => [reason, dropped]), [["record-refused", 1]]);
  assertEquals(running.stats.gaps, 1);
});

// ---- gaps that go a way of their own

Deno.test("Pipeline never stops a tick for gaps that do not arrive, and warns once", async () => {
  const sink = new FakeSinkWithGaps();
  sink.onWriteGaps = () => {
    throw new SinkError("retry", "there is no topic feed_gaps");
  };
  await using running = new Running([sink]);
  for (let i = 1; i <= 5; i++) {
    await running.push(makeGap({ opened: i }), tickOf("A", i));
    await running.clock.advance(1000);
  }
  assertEquals([sink.told, running.stats.sink("fake").failures], ["A1 A2 A3 A4 A5", 0]);
  const [status] = running.pipeline.status();
  assertEquals([status?.state, status?.gapsTrouble], ["ok", "there is no topic feed_gaps"]);
  assertEquals(running.log.find("Gap records do not reach fake").length, 1);
  // and then they do, in order
  sink.onWriteGaps = () => {};
  await running.clock.advance(5000);
  assertEquals(sink.gaps.map(({ opened }) => opened), [1, 2, 3, 4, 5]);
  assertEquals([running.pipeline.status()[0]?.gapsTrouble, running.log.find("reach fake again").length], [
    undefined,
    1,
  ]);
});

Deno.test("Pipeline does not wait at the end for gaps that do not arrive", async () => {
  const sink = new FakeSinkWithGaps();
  sink.onWriteGaps = () => {
    throw new SinkError("fatal", "the topic feed_gaps is forbidden");
  };
  await using running = new Running([sink]);
  await running.push(makeGap(), tickOf("A", 1));
  // the pauses are seconds long by now
  await running.clock.advance(20_000);
  const attempts = sink.gapAttempts;
  running.stop();
  await settle();
  await settle();
  assert(running.isOver, "it waits");
  await running.done;
  // one last attempt is made: they may have become possible meanwhile
  assertEquals([sink.told, sink.gapAttempts - attempts], ["A1", 1]);
  assertEquals(running.log.find("Gap records were left unsent").length, 1);
});

Deno.test("Pipeline makes a last attempt for gaps, the last one included", async () => {
  const sink = new FakeSinkWithGaps();
  sink.onWriteGaps = away;
  await using running = new Running([sink]);
  running.source.onStop = () => running.source.push(makeGap({ opened: 2, reason: "stopped" }));
  await running.push(makeGap({ opened: 1 }), tickOf("A", 1));
  await running.clock.advance(20_000);
  sink.onWriteGaps = () => {};
  running.stop();
  await running.done;
  assertEquals(sink.gaps.map(({ opened }) => opened), [1, 2]);
});

Deno.test("Pipeline tries once more at the end for gaps that always went well", async () => {
  const sink = new FakeSinkWithGaps();
  await using running = new Running([sink]);
  running.source.onStop = () => running.source.push(makeGap({ opened: 2, reason: "stopped" }));
  await running.push(makeGap({ opened: 1 }), tickOf("A", 1));
  sink.onWriteGaps = () => {
    if (sink.gapAttempts < 4) throw new SinkError("retry", "the leader of the partition has moved");
  };
  running.stop();
  await running.clock.advance(2000);
  await running.done;
  assertEquals([sink.gaps.map(({ opened }) => opened), sink.gapAttempts], [[1, 2], 4]);
  assertEquals(running.log.find("Gap records were left unsent"), []);
});

Deno.test("Pipeline does not try for ever at the end for gaps that always went well", async () => {
  const sink = new FakeSinkWithGaps();
  await using running = new Running([sink]);
  running.source.onStop = () => running.source.push(makeGap({ reason: "stopped" }));
  await running.push(tickOf("A", 1));
  sink.onWriteGaps = away;
  running.stop();
  await running.clock.advance(2000);
  assert(running.isOver, "it waits");
  await running.done;
  assertEquals([sink.gapAttempts, running.log.find("Gap records were left unsent").length], [4, 1]);
});

Deno.test("Pipeline does not wait longer than drainMs for gaps that are stuck", async () => {
  const sink = new FakeSinkWithGaps();
  sink.onWriteGaps = (_, signal) => stuck(signal);
  await using running = new Running([sink]);
  await running.push(makeGap(), tickOf("A", 1));
  running.stop();
  await running.clock.advance(8000);
  assertEquals([running.isOver, sink.told], [true, "A1"]);
  await running.done;
});

Deno.test("Pipeline ends with a bug in writeGaps(), and stores the ticks all the same", async () => {
  const sink = new FakeSinkWithGaps();
  sink.onWriteGaps = () => {
    throw new TypeError("undefined is not a function");
  };
  await using running = new Running([sink]);
  await running.push(tickOf("A", 1), makeGap(), tickOf("A", 2));
  await assertRejects(() => running.done, TypeError, "undefined is not a function");
  assertEquals([sink.told, sink.gapAttempts], ["A1 A2", 1]);
});

// ---- the end

Deno.test("Pipeline stores what is left after the source has stopped, its last words included", async () => {
  const sink = new FakeSink();
  sink.onWrite = away;
  await using running = new Running([sink]);
  running.source.onStop = () => running.source.push(tickOf("A", 4), makeGap({ reason: "stopped" }));
  await running.push(...ticksOf("A", 3));
  running.stop();
  await running.clock.advance(4000);
  assertEquals(running.isOver, false);
  sink.onWrite = () => {};
  await running.clock.advance(3900);
  await running.done;
  assertEquals(sink.told, "A1 A2 A3 A4 gap");
});

Deno.test("Pipeline ends with DrainError and the number of ticks left when drainMs is over", async () => {
  const [gone, good] = [new FakeSink("gone"), new FakeSink("good")];
  await using running = new Running([gone, good], { maxBatch: 4, drainMs: 2000 });
  await running.push(...ticksOf("A", 2));
  gone.onWrite = (_, signal) => stuck(signal);
  await running.push(...ticksOf("A", 9, 3), makeGap());
  running.stop();
  await running.clock.advance(1999);
  assertEquals(running.isOver, false);
  await running.clock.advance(1);
  const error = await assertRejects(() => running.done, DrainError, "9 ticks could not be stored within 2000 ms");
  assertEquals([error.left, running.stats.sink("gone").lost, running.stats.sink("good").lost], [9, 9, 0]);
  assertEquals(good.stored.length, 12);
});

Deno.test("Pipeline counts what is left of a batch of which a part was stored", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink], { drainMs: 1000 });
  await running.push();
  sink.onWrite = (batch) => {
    const has = (n: number) => batch.some((event) => event.kind === "tick" && event.sequence === n);
    if (batch.length > 1 && has(1)) throw new SinkError("drop", "too large");
    if (has(1)) throw new SinkError("drop", "too large");
    if (has(3)) away();
  };
  await running.push(...ticksOf("A", 4));
  running.stop();
  await running.clock.advance(1000);
  const error = await assertRejects(() => running.done, DrainError);
  // 1 is refused, 2 is stored, 3 and 4 are left
  const { sent, lost } = running.stats.sink("fake");
  assertEquals([error.left, sent, lost, sink.told], [2, 1, 3, "gap A2"]);
});

Deno.test("Pipeline with drainMs 0 does not wait at all", async () => {
  const sink = new FakeSink();
  sink.onConnect = (signal) => stuck(signal);
  await using running = new Running([sink], { drainMs: 0 });
  await running.push(tickOf("A", 1));
  running.stop();
  await running.clock.advance(0);
  assertEquals((await assertRejects(() => running.done, DrainError)).left, 1);
});

Deno.test("Pipeline drains when the exchange refuses everything, and then says that", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink]);
  await running.push(...ticksOf("A", 3));
  running.source.onStop = () => running.source.push(makeGap({ reason: "refused" }));
  running.source.end(new RefusedError("Coinbase refuses every product"));
  await assertRejects(() => running.done, RefusedError, "Coinbase refuses every product");
  assertEquals([sink.told, sink.closes], ["A1 A2 A3 gap", 1]);
});

Deno.test("Pipeline ends when the source ends by itself", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink]);
  await running.push(...ticksOf("A", 3));
  running.source.end();
  await running.done;
  assertEquals(sink.told, "A1 A2 A3");
});

Deno.test("Pipeline says what ended it first, not what came of it", async () => {
  const sink = new FakeSink();
  sink.onWrite = away;
  await using running = new Running([sink], { drainMs: 1000 });
  await running.push(tickOf("A", 1));
  running.source.end(new RefusedError("Coinbase refuses every product"));
  await running.clock.advance(1000);
  await assertRejects(() => running.done, RefusedError);
  assertEquals(running.stats.sink("fake").lost, 1);
});

Deno.test("Pipeline leaves a sink behind that does not close, and survives one that fails to", async () => {
  const [hanging, failing, good] = [new FakeSink("hanging"), new FakeSink("failing"), new FakeSink("good")];
  hanging.onClose = () => new Promise(() => {});
  failing.onClose = () => {
    throw new Error("cannot close");
  };
  await using running = new Running([hanging, failing, good]);
  await running.push(tickOf("A", 1));
  running.stop();
  await running.clock.advance(1499);
  assertEquals([running.isOver, good.closes], [false, 1]);
  await running.clock.advance(1);
  await running.done;
  assertEquals(running.log.find("cannot close").length, 1);
});

Deno.test("Pipeline survives a sink that fails to close when it was going to tell of something worse", async () => {
  const sink = new FakeSink();
  sink.onClose = () => {
    throw new Error("cannot close");
  };
  await using running = new Running([sink]);
  await running.push(tickOf("A", 1));
  running.source.end(new RefusedError("Coinbase refuses every product"));
  await assertRejects(() => running.done, RefusedError);
});

Deno.test("Pipeline that is told to stop before it runs closes its sinks", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink]);
  running.stop();
  await running.done;
  assertEquals([sink.closes, running.isOver], [1, true]);
});

Deno.test("Pipeline calls a sink failing that has not confirmed a write for a while, until it has", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink]);
  await running.push();
  const { promise, resolve } = Promise.withResolvers<void>();
  sink.onWrite = () => promise;
  await running.push(...ticksOf("A", 1));
  await running.clock.advance(4000);
  assertEquals(running.pipeline.status()[0]?.state, "ok");
  await running.clock.advance(2000);
  const [status] = running.pipeline.status();
  assertEquals([status?.state, status?.trouble], ["failing", "it has not confirmed a write for 6 s"]);
  resolve();
  await settle();
  assertEquals(running.pipeline.status()[0]?.state, "ok");
});

Deno.test("Pipeline calls a sink well that has refused a record and has nothing more to write", async () => {
  const sink = new FakeSinkWithGaps();
  await using running = new Running([sink]);
  await running.push();
  sink.onWrite = () => {
    throw new SinkError("drop", "the record is too large");
  };
  await running.push(...ticksOf("A", 1));
  await running.clock.advance(60_000);
  assertEquals(running.pipeline.status()[0]?.state, "ok");
});

Deno.test("Pipeline says in log and status that it drops ticks", async () => {
  const sink = new FakeSink();
  await using running = new Running([sink], { queueCapacity: 5, drainMs: 0 });
  await running.push();
  sink.onWrite = (_, signal) => stuck(signal);
  await running.push(...ticksOf("A", 1));
  await running.push(...ticksOf("A", 9, 2));
  const [status] = running.pipeline.status();
  assertEquals([status?.state, status?.trouble], ["failing", "its queue is full, the oldest ticks are dropped"]);
  assertEquals(running.log.find("is full, the oldest ticks are dropped").length, 1);
});

Deno.test("Pipeline lets a sink have a linger of its own", async () => {
  const prompt = Object.assign(new FakeSink("prompt"), { lingerMs: 0 });
  const usual = new FakeSink("usual");
  await using running = new Running([prompt, usual], { lingerMs: 400 });
  for (const tick of ticksOf("A-USD", 3)) await running.push(tick);
  assertEquals([prompt.attempts.length, usual.attempts.length], [3, 0]);
  await running.clock.advance(400);
  assertEquals([prompt.told, usual.told, usual.attempts.length], [prompt.told, prompt.told, 1]);
});

Deno.test("Pipeline knows how far each product has got in all sinks, and begins where an earlier run ended", async () => {
  const ready = new FakeSink("ready");
  const slow = new FakeSink("slow");
  const [a, b, c] = ["A-USD", "B-USD", "C-USD"].map((product) => ticksOf(product, 3)) as [Tick[], Tick[], Tick[]];
  const earlier = { ...tickOf("C-USD", 0), sequence: 99 };
  await using running = new Running([ready, slow], { last: [earlier] });
  const reached = () => running.pipeline.positions().map(({ product, sequence }) => [product, sequence]).sort();
  assertEquals(reached(), [["C-USD", 99]]);
  await running.push(...a);
  assertEquals(reached(), [["A-USD", a[2]?.sequence], ["C-USD", 99]]);
  slow.onWrite = away;
  await running.push(...b, ...c);
  // B has reached one sink only, and what follows it is known there alone
  assertEquals(reached(), [["A-USD", a[2]?.sequence], ["C-USD", 99]]);
  slow.onWrite = () => {};
  for (let i = 0; i < 40; i++) await running.clock.advance(250);
  assertEquals(reached(), [["A-USD", a[2]?.sequence], ["B-USD", b[2]?.sequence], ["C-USD", c[2]?.sequence]]);
});

Deno.test("Pipeline.positions() go on behind a tick from the future", async () => {
  const [ready, slow] = [new FakeSink("ready"), new FakeSink("slow")];
  await using running = new Running([ready, slow]);
  const at = (sequence: number, seconds: number) => ({
    ...tickOf("A-USD", sequence),
    exchangeTimeUs: seconds * 1e6,
    receivedTime: sequence * 1000,
  });
  await running.push(at(1, 1), at(2, 300));
  slow.onWrite = away;
  await running.push(at(3, 3));
  assertEquals(running.pipeline.positions().map(({ sequence }) => sequence), [2]);
  slow.onWrite = () => {};
  for (let i = 0; i < 40; i++) await running.clock.advance(250);
  assertEquals(running.pipeline.positions().map(({ sequence }) => sequence), [3]);
});

Deno.test("Pipeline.positions() do not pass a gap that is still on its way: whoever goes on from there tells it once more", async () => {
  const sink = new FakeSinkWithGaps();
  await using running = new Running([sink]);
  const reached = () => running.pipeline.positions().map(({ sequence }) => sequence);
  const [first, second, third, fourth] = ticksOf("A-USD", 4) as [Tick, Tick, Tick, Tick];
  await running.push(first);
  assertEquals(reached(), [first.sequence]);
  sink.onWriteGaps = away;
  await running.push(makeGap({ product: "A-USD" }), second);
  await running.push(third);
  // the ticks after it have arrived, and kill -9 would take the gap away
  assertEquals(sink.stored.length, 3);
  assertEquals(reached(), [first.sequence]);
  sink.onWriteGaps = () => {};
  for (let i = 0; i < 40; i++) await running.clock.advance(250);
  assertEquals(sink.gaps.length, 1);
  assertEquals(reached(), [third.sequence]);
  await running.push(fourth);
  assertEquals(reached(), [fourth.sequence]);
});
