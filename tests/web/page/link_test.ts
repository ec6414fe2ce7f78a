import { assert, assertEquals } from "@std/assert";
import { StreamLink } from "../../../src/web/page/link.ts";
import type { ServerLink } from "../../../src/web/page/truth.ts";
import { FakePageClock, FakeStreams } from "./page_clock.ts";

function scene(url = "/api/stream?everyMs=250", lastEventId = "") {
  const clock = new FakePageClock();
  const streams = new FakeStreams();
  const events: [name: string, data: unknown][] = [];
  const links: ServerLink[] = [];
  const link = new StreamLink({
    url,
    ...(lastEventId === "" ? {} : { lastEventId }),
    open: streams.open,
    onEvent: (name, data) => events.push([name, data]),
    onLink: (each) => links.push(each),
    clock,
    random: () => 0.5,
  });
  return { clock, streams, events, links, link };
}

Deno.test("page link: is connected with the first event, and hands events on", () => {
  const { streams, events, links } = scene();
  assertEquals(streams.all.map(({ url }) => url), ["/api/stream?everyMs=250"]);
  assertEquals(links, []);
  streams.at("/").tell("tick", { price: 1 });
  assertEquals(events, [["tick", { price: 1 }]]);
  assertEquals(links.map(({ connected }) => connected), [true]);
});

Deno.test("page link: lost, it comes again where it stopped, later each time, and says when", async () => {
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

Deno.test("page link: goes on from another's id, and adds it with the right sign", () => {
  assertEquals(scene("/api/stream", "5 6").streams.all[0]?.url, "/api/stream?lastEventId=5%206");
});

Deno.test("page link: without a word for ten seconds the line is dead", async () => {
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

Deno.test("page link: one that is never answered is tried again", async () => {
  const { clock, streams } = scene();
  await clock.advance(11_000);
  assertEquals([streams.all.length, streams.running.length], [2, 1]);
});

Deno.test("page link: after a sleep it comes again at once", async () => {
  const { clock, streams } = scene();
  streams.at("/").tell("status", {}, "3");
  clock.sleep(3_600_000);
  await clock.advance(1000);
  assertEquals(streams.running.map(({ url }) => url), ["/api/stream?everyMs=250&lastEventId=3"]);
});

Deno.test("page link: hurries when the network is back, and does nothing when it is connected or closed", async () => {
  const { clock, streams, link } = scene();
  streams.at("/").tell("status", {});
  link.hurry();
  assertEquals(streams.all.length, 1);
  streams.at("/").fail();
  link.hurry();
  assertEquals(streams.running.length, 1);
  await clock.advance(5000);
  assertEquals(streams.all.length, 2, "the try that was planned is off");
  link.close();
  link.hurry();
  await clock.advance(60_000);
  assertEquals(streams.running.length, 0);
});

Deno.test("page link: what a closed stream still says is not heard", () => {
  const { streams, events, link } = scene();
  const first = streams.at("/");
  link.close();
  first.tell("tick", {});
  first.fail();
  assert(events.length === 0 && streams.all.length === 1);
});
