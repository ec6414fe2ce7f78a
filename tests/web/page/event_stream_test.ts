import { assert, assertEquals } from "@std/assert";
import { EventStream } from "../../../src/web/page/event_stream.ts";
import type { ServerLink } from "../../../src/web/page/status_line.ts";
import { FakePageClock, FakeStreams } from "./page_clock.ts";

const URL = "/api/stream?everyMs=250";

function scene() {
  const clock = new FakePageClock();
  const streams = new FakeStreams();
  const events: [name: string, data: unknown][] = [];
  const links: ServerLink[] = [];
  const stream = new EventStream({
    open: streams.open,
    onEvent: (name, data) => events.push([name, data]),
    onOpen: () => events.push(["open", undefined]),
    onLink: (each) => links.push(each),
    clock,
    random: () => 0.5,
  });
  stream.open(URL);
  return { clock, streams, events, links, stream };
}

Deno.test("event stream: is connected with the first event, and hands events on", () => {
  const { streams, events, links } = scene();
  assertEquals(streams.all.map(({ url }) => url), ["/api/stream?everyMs=250"]);
  assertEquals(links, []);
  streams.at("/").tell("tick", { price: 1 });
  assertEquals(events, [["open", undefined], ["tick", { price: 1 }]]);
  assertEquals(links.map(({ connected }) => connected), [true]);
});

Deno.test("event stream: lost, it comes again where it stopped, later each time, and says when", async () => {
  const { clock, streams, links } = scene();
  streams.at("/").tell("status", {}, "17");
  streams.at("/").fail();
  const delays: number[] = [];
  for (let i = 0; i < 6; i++) {
    const { connected, nextTry = 0 } = links.at(-1) ?? {};
    assertEquals(connected, false);
    assertEquals(streams.running.length, 0);
    delays.push(nextTry - clock.now());
    await clock.advance(nextTry - clock.now());
    assertEquals(streams.running.map(({ url }) => url), ["/api/stream?everyMs=250&lastEventId=17"]);
    streams.at("/").fail();
  }
  assertEquals(delays, [375, 750, 1500, 3000, 3750, 3750]);
  await clock.advance(4000);
  streams.at("/").tell("status", {}, "18");
  streams.at("/").fail();
  assertEquals((links.at(-1)?.nextTry ?? 0) - clock.now(), 375, "after a good one it begins anew");
});

Deno.test("event stream: another address continues where the first one stopped, and is no break", () => {
  const { streams, events, links, stream } = scene();
  streams.at("/").tell("status", {}, "5 6");
  stream.open("/api/stream?everyMs=300");
  assertEquals(stream.isOpen, false);
  streams.at("/").tell("status", {});
  assertEquals(streams.running.map(({ url }) => url), ["/api/stream?everyMs=300&lastEventId=5%206"]);
  assertEquals(links.map(({ connected }) => connected), [true]);
  assertEquals(events.map(([name]) => name), ["open", "status", "open", "status"]);
});

Deno.test("event stream: closed and opened again, it begins anew", () => {
  const { streams, stream } = scene();
  streams.at("/").tell("status", {}, "5");
  stream.close();
  assertEquals([stream.link.connected, streams.running.length], [false, 0]);
  stream.open(URL);
  assertEquals(streams.running.map(({ url }) => url), [URL]);
});

Deno.test("event stream: without a word for ten seconds the line is dead", async () => {
  const { clock, streams, links } = scene();
  streams.at("/").tell("status", {});
  await clock.advance(8000);
  streams.at("/").tell("status", {});
  await clock.advance(9900);
  assertEquals([streams.running.length, links.at(-1)?.connected], [1, true]);
  const heard = clock.now() - 9900;
  await clock.advance(200);
  assertEquals([streams.all[0]?.closed, links.at(-1)?.connected, links.at(-1)?.since], [true, false, heard]);
});

Deno.test("event stream: one that is never answered is tried again", async () => {
  const { clock, streams } = scene();
  await clock.advance(11_000);
  assertEquals([streams.all.length, streams.running.length], [2, 1]);
});

Deno.test("event stream: after a sleep it comes again at once", async () => {
  const { clock, streams } = scene();
  streams.at("/").tell("status", {}, "3");
  clock.sleep(3_600_000);
  await clock.advance(1000);
  assertEquals(streams.running.map(({ url }) => url), ["/api/stream?everyMs=250&lastEventId=3"]);
});

Deno.test("event stream: tries at once when the network is back, and does nothing when it is connected or closed", async () => {
  const { clock, streams, stream } = scene();
  streams.at("/").tell("status", {});
  stream.retryNow();
  assertEquals(streams.all.length, 1);
  streams.at("/").fail();
  stream.retryNow();
  assertEquals(streams.running.length, 1);
  await clock.advance(5000);
  assertEquals(streams.all.length, 2, "the try that was planned is off");
  stream.close();
  stream.retryNow();
  await clock.advance(60_000);
  assertEquals(streams.running.length, 0);
});

Deno.test("event stream: what a closed stream still says is not heard", () => {
  const { streams, events, stream } = scene();
  const first = streams.at("/");
  stream.close();
  first.tell("tick", {});
  first.fail();
  assert(events.length === 0 && streams.all.length === 1);
});
