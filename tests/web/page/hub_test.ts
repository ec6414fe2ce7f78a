import { assertEquals } from "@std/assert";
import { type HubMessage, StreamHub, type WindowMessage } from "../../../src/web/page/hub.ts";
import { FakePageClock, FakeStreams } from "./page_clock.ts";
import { statusWith } from "./status.ts";

interface FakeWindow {
  readonly say: (message: WindowMessage) => void;
  readonly show: (product?: string) => void;
  readonly got: HubMessage[];
  /** The data of all events of this name. */
  // deno-lint-ignore no-explicit-any -- whatever it is, the test compares it
  events(name: string): any[];
  /** How often the stream was said to be open. */
  readonly opened: number;
}

function scene() {
  const clock = new FakePageClock();
  const streams = new FakeStreams();
  const hub = new StreamHub({ open: streams.open, clock, random: () => 0.5 });
  const window = (): FakeWindow => {
    const got: HubMessage[] = [];
    const say = hub.attach((message) => got.push(message));
    return {
      say,
      show: (product) => say({ kind: "show", product, interval: "1m" }),
      got,
      events: (name) => got.flatMap((message) => message.kind === "event" && message.name === name ? message.data : []),
      get opened() {
        return got.filter(({ kind }) => kind === "open").length;
      },
    };
  };
  return { clock, streams, window, urls: () => streams.running.map(({ url }) => url) };
}

const STREAM = "api/stream?everyMs=250";
const tick = (product: string, sequence: number) => ({ product, sequence, price: sequence, time: sequence });

Deno.test("page hub: one stream, with the candles of all visible windows", async () => {
  const { clock, window, urls } = scene();
  window().show("BTC-USD");
  window().say({ kind: "show", product: "kraken:BTC/USD", interval: "5s" });
  window().show("BTC-USD");
  window().show();
  await clock.advance(100);
  assertEquals(urls(), [`${STREAM}&candles=BTC-USD%3A1m,kraken%3ABTC%2FUSD%3A5s`]);
});

Deno.test("page hub: a list run through with the keys opens one stream, which continues where the other stopped", async () => {
  const { clock, streams, window, urls } = scene();
  const { show, got } = window();
  show("A-USD");
  await clock.advance(100);
  streams.at(STREAM).tell("tick", tick("A-USD", 1), "41");
  for (const product of ["B-USD", "C-USD", "D-USD"]) show(product);
  await clock.advance(100);
  assertEquals(streams.all.length, 2);
  assertEquals(urls(), [`${STREAM}&candles=D-USD%3A1m&lastEventId=41`]);
  assertEquals(
    got.flatMap((each) => each.kind === "link" ? each.link.connected : []),
    [false, true],
    "no break is shown",
  );
});

Deno.test("page hub: each event goes to all visible windows, and to no hidden one", async () => {
  const { clock, streams, window } = scene();
  const [first, second, hidden] = [window(), window(), window()];
  for (const each of [first, second, hidden]) each.show("A-USD");
  await clock.advance(100);
  hidden.say({ kind: "hide" });
  streams.at(STREAM).tell("tick", tick("A-USD", 1));
  streams.at(STREAM).tell("candle", { product: "A-USD" });
  for (const each of [first, second]) {
    assertEquals([each.events("tick"), each.events("candle")], [[tick("A-USD", 1)], [{ product: "A-USD" }]]);
  }
  assertEquals(hidden.got.length, 1);
});

Deno.test("page hub: windows are told when their candles begin to come, and must be fetched", async () => {
  const { clock, streams, window } = scene();
  const [first, second] = [window(), window()];
  first.show("A-USD");
  await clock.advance(100);
  assertEquals(first.opened, 0, "it is on its way");
  streams.at(STREAM).tell("status", statusWith());
  assertEquals(first.opened, 1, "it is open");
  second.show("A-USD");
  await clock.advance(100);
  assertEquals([first.opened, second.opened], [1, 1], "the same candles come already");
  second.say({ kind: "hide" });
  second.show("A-USD");
  await clock.advance(100);
  assertEquals([first.opened, second.opened], [1, 2], "hidden for a moment, it has missed some");
  second.show("B-USD");
  await clock.advance(100);
  streams.at(STREAM).tell("status", statusWith());
  assertEquals([first.opened, second.opened], [2, 3], "another connection");
  streams.at(STREAM).fail();
  await clock.advance(1000);
  streams.at(STREAM).tell("status", statusWith());
  assertEquals([first.opened, second.opened], [3, 4], "after a break");
});

Deno.test("page hub: a window that comes later receives the link and the status of all products", async () => {
  const { clock, streams, window } = scene();
  window().show("A-USD");
  await clock.advance(100);
  const products = [{ product: "A-USD", state: "live" }, { product: "B-USD", state: "live" }];
  streams.at(STREAM).tell("status", { ...statusWith({ exchange: "Kraken" }), products });
  streams.at(STREAM).tell("status", { ...statusWith(), products: [{ product: "B-USD", state: "stalled" }] });
  const late = window();
  late.show();
  const [link] = late.got;
  assertEquals(link?.kind === "link" && link.link.connected, true);
  assertEquals(late.events("status"), [
    { ...statusWith(), products: [{ product: "A-USD", state: "live" }, { product: "B-USD", state: "stalled" }] },
  ]);
});

Deno.test("page hub: without a visible window the stream ends after a while, and begins anew with the next", async () => {
  const { clock, window, urls, streams } = scene();
  const each = window();
  each.show("A-USD");
  await clock.advance(100);
  streams.at(STREAM).tell("status", statusWith(), "41");
  each.say({ kind: "hide" });
  for (let i = 0; i < 14; i++) {
    await clock.advance(1000);
    streams.at(STREAM).tell("status", statusWith(), "41");
  }
  await clock.advance(2000);
  assertEquals(urls(), []);
  each.show("A-USD");
  await clock.advance(100);
  assertEquals(urls(), [`${STREAM}&candles=A-USD%3A1m`]);
});

Deno.test("page hub: a window that is hidden while another one is shown does not end the stream", async () => {
  const { clock, window, streams } = scene();
  const [first, second] = [window(), window()];
  first.show("A-USD");
  await clock.advance(100);
  first.say({ kind: "hide" });
  await clock.advance(1000);
  second.show("A-USD");
  await clock.advance(100);
  assertEquals(streams.all.length, 1);
});
