import { assertEquals } from "@std/assert";
import { PipelineStatus, type Stage } from "../../../src/web/page/pipeline.ts";
import type { WireCounters, WireState, WireStatus } from "../../../src/web/page/wire.ts";
import { countersWith, statusWith } from "./status.ts";

const sink = { sent: 0, dropped: 0, lost: 0, gapsSent: 0, failures: 0 };
const SINK = { name: "sqlite", state: "ok", queueDepth: 0, queueCapacity: 1000 } as const;
const LIVE: WireState[] = [{ product: "BTC-USD", state: "live" }, { product: "ETH-USD", state: "live" }];

/** After these statuses, a second apart. */
function pipelineAfter(
  ...statuses: readonly (Partial<Omit<WireStatus, "counters">> & { counters?: Partial<WireCounters> })[]
) {
  const pipeline = new PipelineStatus();
  for (const [i, { counters, ...status }] of statuses.entries()) {
    pipeline.add(statusWith({ now: 1000 + i, sinks: [SINK], ...status, counters: countersWith(counters) }));
  }
  return pipeline;
}

function stages(pipeline: PipelineStatus, states: readonly WireState[] = LIVE): Record<string, Stage> {
  const picture = pipeline.picture(states);
  const all = [...picture?.common ?? [], ...picture?.branches.flat() ?? []];
  return Object.fromEntries(all.map((stage) => [stage.id, stage]));
}

function inTrouble(pipeline: PipelineStatus, states?: readonly WireState[]): string[] {
  return Object.values(stages(pipeline, states)).filter(({ level }) => level !== "good")
    .map(({ id, level, note, text }) => `${id} ${level}: ${note === "" ? text : note}`);
}

Deno.test("page pipeline: no status, no picture", () => assertEquals(new PipelineStatus().picture([]), undefined));

Deno.test("page pipeline: rates are those of the last five seconds", () => {
  const pipeline = pipelineAfter(...[0, 100, 110, 120, 130, 140, 150].map((received) => ({
    counters: { frames: received * 2, received, sinks: { sqlite: { ...sink, sent: received } } },
  })));
  const { socket, decode, "sink:sqlite": store } = stages(pipeline);
  assertEquals([socket?.text, decode?.text, store?.text], ["20 frames/s", "10 ticks/s", "10 ticks/s"]);
  assertEquals(inTrouble(pipeline), []);
});

Deno.test("page pipeline: while the program does not answer, all stages are unknown and there are no rates", () => {
  const pipeline = pipelineAfter(
    { delaySeconds: 0.01, counters: { frames: 10 } },
    { delaySeconds: 0.01, clockTrouble: "the clock is wrong", counters: { frames: 20 } },
  );
  assertEquals([stages(pipeline).exchange?.text, stages(pipeline).socket?.text], ["under 0.1 s away", "10 frames/s"]);
  const picture = pipeline.picture(LIVE, false);
  const all = [...picture?.common ?? [], ...picture?.branches.flat() ?? []];
  assertEquals(
    all.map(({ text, note, level, rate }) => [text, note, level, rate].join()),
    Array(5).fill("unknown,,good,0"),
  );
  assertEquals(all.map(({ title }) => title), ["Coinbase", "socket", "decode", "queue", "store"]);
  const [socket] = pipeline.numbers(false);
  assertEquals(socket?.rows.map(({ count, rate }) => [count, rate])[0], [20, undefined]);
});

Deno.test("page pipeline: counters that start over with the program give no nonsense", () => {
  const pipeline = pipelineAfter(
    { counters: { frames: 5000, received: 4000 } },
    { counters: { frames: 10, received: 8 } },
    { counters: { frames: 20, received: 16 } },
  );
  assertEquals(stages(pipeline).decode?.text, "8 ticks/s");
});

const TROUBLES: [name: string, pipeline: PipelineStatus, states: WireState[] | undefined, told: string[]][] = [
  [
    "a connection that is gone",
    pipelineAfter({ link: "connecting", nextTrySeconds: 3.2, lastTrouble: "closed with 1001" }),
    undefined,
    ["socket bad: closed with 1001"],
  ],
  ["silence", pipelineAfter({ link: "silent", lastFrameSeconds: 6 }), undefined, [
    "exchange bad: sends nothing",
    "socket warn: silent for 6 s",
  ]],
  [
    "a product that stops",
    pipelineAfter({}),
    [{ product: "BTC-USD", state: "stalled" }, { product: "ETH-USD", state: "live" }],
    ["exchange warn: BTC-USD stalled"],
  ],
  [
    "a refused product",
    pipelineAfter({}),
    [{ product: "BTC-USD", state: "live" }, { product: "ETH-USD", state: "refused" }],
    ["exchange warn: refuses ETH-USD"],
  ],
  [
    "junk",
    pipelineAfter({}, { counters: { rejected: { "bad-json": 3, "bad-price": 1 } } }),
    undefined,
    ["decode bad: rejected: 3 bad-json, 1 bad-price"],
  ],
  ["repeats", pipelineAfter({}, { counters: { repeated: 50 } }), undefined, ["decode warn: 50 repeated"]],
  [
    "a queue that fills",
    pipelineAfter({ sinks: [{ ...SINK, queueDepth: 600 }] }),
    undefined,
    ["queue:sqlite warn: filling up"],
  ],
  [
    "a queue that is full",
    pipelineAfter({}, {
      sinks: [{ ...SINK, state: "failing", trouble: "its queue is full", queueDepth: 1000 }],
      counters: { sinks: { sqlite: { ...sink, dropped: 1234 } } },
    }),
    undefined,
    ["queue:sqlite bad: full: 1,234 ticks dropped", "sink:sqlite bad: its queue is full"],
  ],
  ["a new connection", pipelineAfter({}, { counters: { reconnects: 1 } }), undefined, ["socket warn: reconnected"]],
];
for (const [name, pipeline, states, told] of TROUBLES) {
  Deno.test(`page pipeline: ${name} lights up ${told.join(" and ")}`, () =>
    assertEquals(inTrouble(pipeline, states), told));
}

Deno.test("page pipeline: a trouble of one moment is shown for five seconds", () => {
  const counters = { rejected: { "bad-json": 31 } };
  const after = (seconds: number) => pipelineAfter({}, ...Array.from({ length: seconds }, () => ({ counters })));
  assertEquals(inTrouble(after(5)), ["decode bad: rejected: 31 bad-json"]);
  assertEquals(inTrouble(after(6)), []);
});

Deno.test("page pipeline: the numbers hold each stage, reasons where there are any, and each sink by its name", () => {
  const status = statusWith({
    sinks: [SINK, { ...SINK, name: "live" }],
    counters: countersWith({ rejected: { "bad-json": 2, "bad-price": 0 }, sinks: { sqlite: { ...sink, sent: 7 } } }),
  });
  const pipeline = new PipelineStatus();
  pipeline.add(status);
  const groups = pipeline.numbers();
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
  assertEquals(store?.rows[1], {
    title: "stored",
    meaning: "Ticks acknowledged.",
    count: 7,
    rate: 0,
    isTrouble: false,
  });
});
