import { assertEquals } from "@std/assert";
import { type ServerLink, type StatusLine, statusLine } from "../../../src/web/page/status_line.ts";
import type { WireState, WireStatus } from "../../../src/web/page/wire.ts";
import { statusWith } from "./status.ts";

const NOW = Date.UTC(2026, 10, 24, 18);

interface Case {
  readonly status?: Partial<WireStatus> | null;
  readonly states?: readonly WireState[];
  readonly link?: Partial<ServerLink>;
  /** Since the status came, s. */
  readonly old?: number;
}

function told({ status = {}, states = [], link = {}, old = 0 }: Case): StatusLine {
  return statusLine({
    link: { connected: true, since: NOW - 60_000, ...link },
    status: status === null ? undefined : statusWith(status),
    statusAt: NOW - old * 1000,
    states,
    now: NOW,
  });
}

const live: WireState = { product: "BTC-USD", state: "live" };
const CASES: [level: string, text: string, given: Case][] = [
  ["good", "live, Coinbase 0.4 s away", { status: { delaySeconds: 0.42 } }],
  ["good", "live, Coinbase under 0.1 s away", { status: { delaySeconds: 0.01 } }],
  ["good", "live from Coinbase", {}],
  ["good", "live from Coinbase", { states: [live, { product: "ETH-USD", state: "quiet" }] }],
  [
    "bad",
    "no data from Coinbase for 12 s, next try in 4 s (the connection was refused)",
    {
      status: {
        link: "connecting",
        lastFrameSeconds: 12,
        nextTrySeconds: 4,
        lastTrouble: "the connection was refused",
      },
    },
  ],
  [
    "bad",
    "no data from Coinbase for 14 s, next try in 2 s",
    { status: { link: "connecting", lastFrameSeconds: 12, nextTrySeconds: 4 }, old: 2 },
  ],
  ["bad", "no data from Coinbase for 3 min, connecting", { status: { link: "connecting", lastFrameSeconds: 190 } }],
  ["warn", "connecting to Coinbase", { status: { link: "connecting" } }],
  ["warn", "making a day of history, 41 %", { status: { link: "connecting", historyDone: 0.419 } }],
  [
    "bad",
    "no data from Coinbase yet, next try in 1 s (no route)",
    { status: { link: "connecting", lastTrouble: "no route", nextTrySeconds: 0.3 } },
  ],
  ["bad", "no data from Coinbase for 7 s, although connected", { status: { link: "silent", lastFrameSeconds: 7 } }],
  ["bad", "the clock is wrong by 2 h", { status: { clockTrouble: "the clock is wrong by 2 h", delaySeconds: 1 } }],
  [
    "bad",
    "live from Coinbase; trouble with store: the disk is full",
    {
      status: {
        sinks: [{ name: "sqlite", state: "failing", trouble: "the disk is full", queueDepth: 9, queueCapacity: 10 }],
      },
    },
  ],
  [
    "bad",
    "live from Coinbase; Kafka is not ready yet: refused",
    {
      status: { sinks: [{ name: "kafka", state: "connecting", trouble: "refused", queueDepth: 9, queueCapacity: 10 }] },
    },
  ],
  ["bad", "connected, but Coinbase sends no prices", { states: [{ product: "BTC-USD", state: "stalled" }] }],
  [
    "warn",
    "live from Coinbase; Coinbase sends no more ticks of BTC-USD",
    { states: [{ product: "BTC-USD", state: "stalled" }, { product: "ETH-USD", state: "live" }] },
  ],
  [
    "warn",
    "live from Coinbase; Coinbase refused A-USD and 2 others",
    { states: [live, ...["A-USD", "B-USD", "C-USD"].map((product): WireState => ({ product, state: "refused" }))] },
  ],
  ["warn", "connecting to the program", { status: null, link: { connected: false, since: NOW - 1000 } }],
  ["bad", "the program does not answer, next try in 2 s", {
    status: null,
    link: { connected: false, since: NOW - 9000, nextTry: NOW + 1500 },
  }],
  ["bad", "the program closed the connection; reconnecting", { link: { connected: false, since: NOW - 500 } }],
  ["bad", "no answer from the program for 9 s, trying", { link: { connected: false, since: NOW - 9000 } }],
];
for (const [level, text, given] of CASES) {
  Deno.test(`page strip: ${level}, "${text}"`, () => {
    const line = told(given);
    assertEquals([line.level, line.text], [level, text]);
  });
}

Deno.test("page strip: numbers that change are the same kind of sentence, which is read out once", () => {
  const closed = (seconds: number) =>
    told({ status: { link: "connecting", lastFrameSeconds: seconds, nextTrySeconds: 3 } });
  assertEquals(closed(3).kind, closed(4).kind);
  assertEquals(closed(3).kind === told({}).kind, false);
});
