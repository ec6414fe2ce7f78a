import { assertEquals } from "@std/assert";
import { type Batch, StreamHub, type TabMessage } from "../../../src/web/page/hub.ts";
import { FakePageClock, FakeStreams } from "./page_clock.ts";
import { statusWith } from "./status.ts";

type Item<T> = T extends readonly (infer Each)[] ? Each : T;

interface FakeTab {
  readonly say: (message: TabMessage) => void;
  readonly got: Batch[];
  /** All of one kind that came. */
  all<K extends keyof Batch>(name: K): Item<NonNullable<Batch[K]>>[];
}

function scene() {
  const clock = new FakePageClock();
  const streams = new FakeStreams();
  const hub = new StreamHub({ open: streams.open, clock, random: () => 0.5 });
  const tab = (): FakeTab => {
    const got: Batch[] = [];
    const say = hub.attach((batch) => got.push(batch));
    return { say, got, all: (name) => got.map((batch) => batch[name] ?? []).flat() as never };
  };
  return { clock, streams, hub, tab, urls: () => streams.running.map(({ url }) => url) };
}

const tick = (product: string, sequence: number) => ({ product, sequence, price: sequence, time: sequence });
const WATCH = "api/stream?everyMs";
const CHART = "api/stream?product";

Deno.test("page hub: one stream for all lists, one for the products that are looked at, however many tabs", async () => {
  const { clock, tab, urls } = scene();
  const [first, second, third] = [tab(), tab(), tab()];
  first.say({ kind: "look", product: "BTC-USD" });
  second.say({ kind: "look", product: "kraken:BTC/USD" });
  third.say({ kind: "look", product: "BTC-USD" });
  await clock.advance(100);
  assertEquals(urls(), ["api/stream?everyMs=250", "api/stream?product=BTC-USD,kraken%3ABTC%2FUSD"]);
});

Deno.test("page hub: keys that run through a list open one stream, which goes on where the other stopped", async () => {
  const { clock, streams, tab, urls } = scene();
  const { say } = tab();
  say({ kind: "look", product: "A-USD" });
  await clock.advance(100);
  streams.at(CHART).tell("tick", tick("A-USD", 1), "41");
  for (const product of ["B-USD", "C-USD", "D-USD"]) say({ kind: "look", product });
  await clock.advance(100);
  assertEquals(streams.all.length, 3);
  assertEquals(urls()[1], "api/stream?product=D-USD&lastEventId=41");
});

Deno.test("page hub: a tab gets every tick of its product, and the newest of all, gathered", async () => {
  const { clock, streams, tab } = scene();
  const [first, second] = [tab(), tab()];
  first.say({ kind: "look", product: "A-USD" });
  second.say({ kind: "look", product: "B-USD" });
  await clock.advance(100);
  for (const sequence of [1, 2, 3]) streams.at(CHART).tell("tick", tick("A-USD", sequence));
  for (const sequence of [2, 3]) streams.at(WATCH).tell("tick", tick("A-USD", sequence));
  const before = first.got.length;
  await clock.advance(110);
  assertEquals(first.got.length, before + 1);
  assertEquals(first.all("ticks").map(({ sequence }) => sequence), [1, 2, 3]);
  assertEquals(second.all("ticks"), []);
  assertEquals(second.all("newest").map(({ sequence }) => sequence), [3]);
});

Deno.test("page hub: a tab that comes later is told how all stands", async () => {
  const { clock, streams, tab } = scene();
  tab().say({ kind: "look", product: "A-USD" });
  await clock.advance(100);
  const products = [{ product: "A-USD", state: "live" }, { product: "B-USD", state: "live" }];
  streams.at(WATCH).tell("status", { ...statusWith({ exchange: "Kraken" }), products });
  streams.at(WATCH).tell("status", { ...statusWith(), products: [{ product: "B-USD", state: "stalled" }] });
  await clock.advance(100);
  const late = tab();
  late.say({ kind: "look" });
  await clock.advance(100);
  assertEquals(late.all("status").map(({ exchange }) => exchange), ["Coinbase"]);
  assertEquals(late.all("states").map(({ product, state }) => `${product} ${state}`), ["A-USD live", "B-USD stalled"]);
  assertEquals(late.all("link").map(({ connected }) => connected), [true]);
});

Deno.test("page hub: where a stream may have left something out, tabs are told", async () => {
  const { clock, streams, tab } = scene();
  const each = tab();
  each.say({ kind: "look", product: "A-USD" });
  await clock.advance(100);
  streams.at(CHART).tell("status", {});
  await clock.advance(100);
  assertEquals(each.all("holes").length, 1, "it was opened");
  streams.at(CHART).tell("reset", { reason: "too much" });
  await clock.advance(100);
  assertEquals(each.all("holes").length, 2, "the server says so");
  streams.at(CHART).fail();
  await clock.advance(1000);
  streams.at(CHART).tell("status", {});
  await clock.advance(100);
  assertEquals(each.all("holes").length, 3, "it was opened again");
  streams.at(WATCH).tell("reset", { reason: "too much" });
  await clock.advance(100);
  assertEquals(each.all("again").length >= 1, true);
});

Deno.test("page hub: for a tab that nobody sees nothing gathers; seen again it is told how all stands", async () => {
  const { clock, streams, tab, urls } = scene();
  const [seen, other] = [tab(), tab()];
  seen.say({ kind: "look", product: "A-USD" });
  other.say({ kind: "look", product: "B-USD" });
  await clock.advance(100);
  other.say({ kind: "hidden" });
  await clock.advance(100);
  const before = other.got.length;
  assertEquals(urls()[1], "api/stream?product=A-USD");
  for (let i = 0; i < 100; i++) {
    streams.at(WATCH).tell("tick", tick("B-USD", i));
    await clock.advance(60);
  }
  assertEquals(other.got.length, before);
  streams.at(WATCH).tell("status", { ...statusWith(), products: [{ product: "B-USD", state: "quiet" }] });
  other.say({ kind: "look", product: "B-USD" });
  await clock.advance(100);
  assertEquals(other.all("states").at(-1)?.state, "quiet");
});

Deno.test("page hub: with nobody who looks, the streams end after a while, and begin with the next", async () => {
  const { clock, tab, urls, streams } = scene();
  const each = tab();
  each.say({ kind: "look", product: "A-USD" });
  await clock.advance(100);
  each.say({ kind: "hidden" });
  const alive = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      for (const stream of streams.running) stream.tell("status", {});
      await clock.advance(1000);
    }
  };
  await alive(15);
  assertEquals(urls().length > 0, true);
  await alive(60);
  assertEquals(urls(), []);
  each.say({ kind: "look", product: "A-USD" });
  await clock.advance(100);
  assertEquals(urls().length, 2);
});

Deno.test("page hub: a tab that is gone without a word is forgotten", async () => {
  const { clock, streams, tab, urls } = scene();
  const [stays, crashes] = [tab(), tab()];
  stays.say({ kind: "look", product: "A-USD" });
  crashes.say({ kind: "look", product: "B-USD" });
  for (let i = 0; i < 400; i++) {
    if (i % 30 === 0) stays.say({ kind: "here" });
    for (const stream of streams.running) stream.tell("status", {});
    await clock.advance(1000);
  }
  assertEquals(urls()[1]?.startsWith("api/stream?product=A-USD"), true, urls().join());
});
