import { assertEquals } from "@std/assert";
import { numbersOf, Road, type Stage } from "../../../src/web/page/road.ts";
import type { WireCounters, WireState, WireStatus } from "../../../src/web/page/wire.ts";
import { countersWith, statusWith } from "./status.ts";

const sink = { sent: 0, dropped: 0, lost: 0, gapsSent: 0, failures: 0 };
const lane = { name: "sqlite", state: "ok", queueDepth: 0, queueCapacity: 1000 } as const;
const LIVE: WireState[] = [{ product: "BTC-USD", state: "live" }, { product: "ETH-USD", state: "live" }];

/** A road that saw these statuses, a second apart. */
function roadAfter(
  ...statuses: readonly (Partial<Omit<WireStatus, "counters">> & { counters?: Partial<WireCounters> })[]
) {
  const road = new Road();
  for (const [i, { counters, ...status }] of statuses.entries()) {
    road.add(statusWith({ now: 1000 + i, sinks: [lane], ...status, counters: countersWith(counters) }));
  }
  return road;
}

function stages(road: Road, states: readonly WireState[] = LIVE): Record<string, Stage> {
  const picture = road.picture(states);
  const all = [...picture?.common ?? [], ...(picture?.lanes ?? []).flatMap(({ queue, sink }) => [queue, sink])];
  return Object.fromEntries(all.map((stage) => [stage.id, stage]));
}

function inTrouble(road: Road, states?: readonly WireState[]): string[] {
  return Object.values(stages(road, states)).filter(({ level }) => level !== "good")
    .map(({ id, level, note, text }) => `${id} ${level}: ${note === "" ? text : note}`);
}

Deno.test("page road: no status, no picture", () => assertEquals(new Road().picture([]), undefined));

Deno.test("page road: rates are those of the last five seconds", () => {
  const road = roadAfter(...[0, 100, 110, 120, 130, 140, 150].map((received) => ({
    counters: { frames: received * 2, received, sinks: { sqlite: { ...sink, sent: received } } },
  })));
  const { socket, decode, "sink:sqlite": store } = stages(road);
  assertEquals([socket?.text, decode?.text, store?.text], ["20 frames/s", "10 ticks/s", "10 ticks/s"]);
  assertEquals(inTrouble(road), []);
});

Deno.test("page road: while the program does not answer, nothing is told of now", () => {
  const road = roadAfter(
    { delaySeconds: 0.01, counters: { frames: 10 } },
    { delaySeconds: 0.01, clockTrouble: "the clock is wrong", counters: { frames: 20 } },
  );
  assertEquals([stages(road).exchange?.text, stages(road).socket?.text], ["under 0.1 s away", "10 frames/s"]);
  const picture = road.picture(LIVE, false);
  const all = [...picture?.common ?? [], ...(picture?.lanes ?? []).flatMap(({ queue, sink }) => [queue, sink])];
  assertEquals(
    all.map(({ text, note, level, rate }) => [text, note, level, rate].join()),
    Array(5).fill("unknown,,good,0"),
  );
  assertEquals(all.map(({ title }) => title), ["Coinbase", "socket", "decode", "queue", "store"]);
  const [socket] = numbersOf(statusWith({ counters: countersWith({ frames: 20 }) }), road, false);
  assertEquals(socket?.rows.map(({ count, rate }) => [count, rate])[0], [20, undefined]);
});

Deno.test("page road: counters that start over with the program give no nonsense", () => {
  const road = roadAfter(
    { counters: { frames: 5000, received: 4000 } },
    { counters: { frames: 10, received: 8 } },
    { counters: { frames: 20, received: 16 } },
  );
  assertEquals(stages(road).decode?.text, "8 ticks/s");
});

const TROUBLES: [name: string, road: Road, states: WireState[] | undefined, told: string[]][] = [
  [
    "a connection that is gone",
    roadAfter({ link: "connecting", nextTrySeconds: 3.2, lastTrouble: "closed with 1001" }),
    undefined,
    ["socket bad: closed with 1001"],
  ],
  ["silence", roadAfter({ link: "silent", lastFrameSeconds: 6 }), undefined, [
    "exchange bad: says nothing",
    "socket warn: silent for 6 s",
  ]],
  [
    "a product that stops",
    roadAfter({}),
    [{ product: "BTC-USD", state: "stalled" }, { product: "ETH-USD", state: "live" }],
    ["exchange warn: BTC-USD stalled"],
  ],
  [
    "a refused product",
    roadAfter({}),
    [{ product: "BTC-USD", state: "live" }, { product: "ETH-USD", state: "refused" }],
    ["exchange warn: refuses ETH-USD"],
  ],
  [
    "junk",
    roadAfter({}, { counters: { rejected: { "bad-json": 3, "bad-price": 1 } } }),
    undefined,
    ["decode bad: rejected: 3 bad-json, 1 bad-price"],
  ],
  ["repeats", roadAfter({}, { counters: { repeated: 50 } }), undefined, ["decode warn: 50 repeated, already known"]],
  [
    "a queue that fills",
    roadAfter({ sinks: [{ ...lane, queueDepth: 600 }] }),
    undefined,
    ["queue:sqlite warn: filling up"],
  ],
  [
    "a queue that is full",
    roadAfter({}, {
      sinks: [{ ...lane, state: "failing", trouble: "its queue is full", queueDepth: 1000 }],
      counters: { sinks: { sqlite: { ...sink, dropped: 1234 } } },
    }),
    undefined,
    ["queue:sqlite bad: full: 1,234 ticks dropped", "sink:sqlite bad: its queue is full"],
  ],
  ["a new connection", roadAfter({}, { counters: { reconnects: 1 } }), undefined, ["socket warn: connected again"]],
];
for (const [name, road, states, told] of TROUBLES) {
  Deno.test(`page road: ${name} lights up ${told.join(" and ")}`, () => assertEquals(inTrouble(road, states), told));
}

Deno.test("page road: what happened once is shown for some seconds, then forgotten", () => {
  const counters = { rejected: { "bad-json": 31 } };
  const after = (seconds: number) => roadAfter({}, ...Array.from({ length: seconds }, () => ({ counters })));
  assertEquals(inTrouble(after(6)), ["decode bad: rejected: 31 bad-json"]);
  assertEquals(inTrouble(after(8)), []);
});

Deno.test("page road: the numbers hold each stage, reasons where there are any, and each sink by its name", () => {
  const status = statusWith({
    sinks: [lane, { ...lane, name: "live" }],
    counters: countersWith({ rejected: { "bad-json": 2, "bad-price": 0 }, sinks: { sqlite: { ...sink, sent: 7 } } }),
  });
  const groups = numbersOf(status, new Road());
  assertEquals(groups.map(({ title }) => title), ["socket", "decode", "store", "open pages"]);
  const [, decode, store] = groups;
  assertEquals(decode?.rows.map(({ title, count }) => `${title} ${count}`), [
    "received 0",
    "rejected 2",
    "– bad-json 2",
    "repeated 0",
    "without a trade 0",
    "gaps 0",
  ]);
  assertEquals(store?.rows[1], { title: "stored", meaning: "Confirmed.", count: 7, rate: 0, isTrouble: false });
});
