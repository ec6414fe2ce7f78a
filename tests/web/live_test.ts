import { assertEquals } from "@std/assert";
import { type FeedEvent, type Tick, toRecord } from "../../src/core/record.ts";
import { LiveSink } from "../../src/web/live.ts";
import { sinkContract } from "../contracts/sink.ts";
import { FakeClock } from "../fakes/clock.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { forSeeds, Random } from "../fakes/random.ts";

const never = new AbortController().signal;

sinkContract("LiveSink", () => {
  // the contract's ticks arrive in the first minute of 1970
  const sink = new LiveSink({ clock: new FakeClock(0) });
  return Promise.resolve({
    sink,
    stored: () =>
      Promise.resolve(
        sink.after(0, ["BTC-USD"]).events.flatMap((event) => event.kind === "tick" ? [toRecord(event)] : []),
      ),
  });
});

/** Number `sequence`, received at this moment, happened at the same. */
function tickAt(receivedTime: number, sequence: number, product = "BTC-USD"): Tick {
  return makeTick({ product, sequence, receivedTime, exchangeTimeUs: receivedTime * 1000 });
}

/** `BTC-USD1 gap`. */
function told(events: readonly FeedEvent[]): string {
  return events.map((event) => event.kind === "tick" ? `${event.product}${event.sequence}` : "gap").join(" ");
}

Deno.test("LiveSink knows the newest tick of each product, whatever comes late", async () => {
  const sink = new LiveSink({ clock: new FakeClock(0) });
  assertEquals(sink.newest("BTC-USD"), undefined);
  const [first, late, same] = [tickAt(20, 2), tickAt(10, 1), { ...tickAt(20, 3), price: 7 }];
  await sink.write([first, late], never);
  assertEquals(sink.newest("BTC-USD"), first);
  await sink.write([same, tickAt(99, 9, "ETH-USD")], never);
  assertEquals(sink.newest("BTC-USD"), same);
  assertEquals(sink.newest("kraken:BTC/USD"), undefined);
  await sink.write([makeTick({ exchange: "kraken", product: "BTC/USD", sequence: 4 })], never);
  assertEquals(sink.newest("kraken:BTC/USD")?.sequence, 4);
});

Deno.test("LiveSink hands each event to those who listen to its product, in order, and says when it rests", async () => {
  const sink = new LiveSink({ clock: new FakeClock(0) });
  const heard: string[] = [];
  const end = sink.listen({
    take: (event, isNewest) => void heard.push(`${told([event])}${isNewest ? "" : " late"}`),
    rest: () => void heard.push("."),
  }, ["BTC-USD", "BTC-USD", "XRP-USD"]);
  await sink.write([tickAt(1, 1), tickAt(2, 1, "ETH-USD"), makeGap(), makeGap({ product: "ETH-USD" })], never);
  await sink.write([tickAt(9, 3), tickAt(8, 2), tickAt(10, 1, "XRP-USD")], never);
  end();
  end();
  await sink.write([tickAt(11, 4)], never);
  assertEquals(heard.join(" "), "BTC-USD1 gap . BTC-USD3 BTC-USD2 late XRP-USD1 .");
});

Deno.test("LiveSink.declare() hands a gap on at once, and keeps it for whoever comes back", () => {
  const sink = new LiveSink({ clock: new FakeClock(0) });
  const heard: string[] = [];
  sink.listen({ take: (event) => void heard.push(told([event])), rest: () => void heard.push(".") }, ["BTC-USD"]);
  sink.declare(makeGap());
  assertEquals(heard.join(" "), "gap .");
  assertEquals(told(sink.after(-1, ["BTC-USD"]).events), "gap");
});

Deno.test("LiveSink.after() gives what arrived after a moment, and says whether that is all", async () => {
  const sink = new LiveSink({ clock: new FakeClock(100), capacity: 4 });
  const after = (moment: number, ...series: string[]) => {
    const { events, isWhole, left } = sink.after(moment, series);
    return [told(events), isWhole, told(left)];
  };
  assertEquals(sink.after(99, ["BTC-USD"]).isWhole, false);
  assertEquals(after(100, "BTC-USD"), ["", true, ""]);
  const ticks = [101, 102, 102, 103, 104, 105].map((time, i) => tickAt(time, i, i === 4 ? "ETH-USD" : "BTC-USD"));
  await sink.write(ticks.slice(0, 4), never);
  assertEquals(after(101, "BTC-USD"), ["BTC-USD1 BTC-USD2 BTC-USD3", true, ""]);
  await sink.write(ticks.slice(4), never);
  // 101 and the first of 102 have left
  assertEquals(after(101, "BTC-USD"), ["BTC-USD2 BTC-USD3 BTC-USD5", false, "BTC-USD1"]);
  assertEquals(after(102, "ETH-USD", "BTC-USD"), ["BTC-USD3 ETH-USD4 BTC-USD5", true, ""]);
  assertEquals(after(101, "ETH-USD"), ["ETH-USD4", false, ""]);
});

Deno.test("LiveSink keeps a gap for whoever asks from the moment at which it came", async () => {
  const clock = new FakeClock(100);
  const sink = new LiveSink({ clock });
  await sink.write([tickAt(101, 1)], never);
  await clock.advance(50);
  await sink.write([makeGap()], never);
  assertEquals(told(sink.after(140, ["BTC-USD"]).events), "gap");
  assertEquals(told(sink.after(150, ["BTC-USD"]).events), "");
});

Deno.test("LiveSink's watermark leaves out the millisecond that may not be over, and goes back with the clock", async () => {
  const sink = new LiveSink({ clock: new FakeClock(100) });
  assertEquals(sink.watermark, 99);
  await sink.write([tickAt(200, 1)], never);
  assertEquals(sink.watermark, 199);
  await sink.write([tickAt(200.25, 2)], never);
  assertEquals(sink.watermark, 200);
  await sink.write([tickAt(150, 3), makeGap()], never);
  assertEquals(sink.watermark, 149);
});

Deno.test("LiveSink.safeWatermark() goes back to before a stretch of time that was passed twice", async () => {
  const clock = new FakeClock(1000);
  const sink = new LiveSink({ clock });
  assertEquals([sink.safeWatermark(1000), sink.safeWatermark(1001)], [1000, undefined]);
  await clock.advance(1000);
  await sink.write([tickAt(2000, 1)], never);
  clock.jump(-700);
  // nobody has told the sink yet, but what was sent now lies in the future
  assertEquals(sink.safeWatermark(1999), undefined);
  await sink.write([tickAt(1300, 2)], never);
  await clock.advance(1000);
  // from 1300 to 2000 nobody knows which time it was
  assertEquals([1299, 1300, 1700, 2000, 2001].map((each) => sink.safeWatermark(each)), [1299, 1299, 1299, 1299, 2001]);
  // once more, into the middle of it: one leads to the other
  clock.jump(-600);
  await sink.write([tickAt(2250, 3), tickAt(1700, 4)], never);
  await clock.advance(1000);
  assertEquals([1200, 1299, 1800, 2100, 2250, 2251].map((each) => sink.safeWatermark(each)), [
    1200,
    1299,
    1299,
    1299,
    1299,
    2251,
  ]);
});

Deno.test("LiveSink.safeWatermark() goes on to a later stretch that reaches further back", async () => {
  const clock = new FakeClock(900);
  const sink = new LiveSink({ clock });
  await clock.advance(5000);
  await sink.write([2000, 1500, 1600, 1000, 3000].map((time, i) => tickAt(time, i)), never);
  assertEquals([990, 1200, 1550, 1800, 2001].map((each) => sink.safeWatermark(each)), [990, 999, 999, 999, 2001]);
});

/** A clock that somebody sets back now and then, and what arrives meanwhile. */
async function wander(random: Random, sink: LiveSink, clock: FakeClock): Promise<{ ticks: Tick[]; marks: number[] }> {
  const ticks: Tick[] = [];
  const marks: number[] = [];
  for (let i = 0; i < 60; i++) {
    await clock.advance(random.int(0, 40));
    if (random.chance(0.1)) clock.jump(-random.int(1, 400));
    const tick = tickAt(clock.now(), i);
    await sink.write([tick], never);
    ticks.push(tick);
    marks.push(sink.watermark);
  }
  return { ticks, marks };
}

Deno.test("LiveSink: whoever comes back with any watermark gets all that came after it, whatever the clock does", async () => {
  await forSeeds(12, async (random) => {
    const clock = new FakeClock(10_000);
    const sink = new LiveSink({ clock });
    const { ticks, marks } = await wander(random, sink, clock);
    for (const [i, mark] of marks.entries()) {
      const safe = sink.safeWatermark(mark);
      // a reset is an honest answer
      if (safe === undefined) continue;
      const { events, isWhole } = sink.after(safe, ["BTC-USD"]);
      const given = new Set(events);
      // what came before the sink's start is the store's matter
      if (isWhole) assertEquals(ticks.slice(i + 1).filter((tick) => !given.has(tick)), [], `after ${mark}`);
    }
  });
});

Deno.test("LiveSink: no number of set clocks takes more than a bound, and none is forgotten", async () => {
  const clock = new FakeClock(1e6);
  const sink = new LiveSink({ clock });
  for (let i = 0; i < 200; i++) {
    await clock.advance(1000);
    await sink.write([tickAt(clock.now(), i)], never);
    clock.jump(-10);
    await sink.write([tickAt(clock.now(), i)], never);
  }
  await clock.advance(1000);
  // the first of all
  const safe = sink.safeWatermark(1e6 + 995);
  assertEquals(safe !== undefined && safe < 1e6 + 990, true, String(safe));
});
