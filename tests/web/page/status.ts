// A status as the stream tells it, all well unless the test says otherwise.

import type { WireCounters, WireStatus } from "../../../src/web/page/wire.ts";

export function countersWith(counters: Partial<WireCounters> = {}): WireCounters {
  return {
    frames: 0,
    ignored: 0,
    control: 0,
    withoutTrade: 0,
    received: 0,
    rejected: { "bad-json": 0, "bad-price": 0 },
    repeated: 0,
    reconnects: 0,
    gaps: 0,
    sinks: {},
    ...counters,
  };
}

export function statusWith(status: Partial<WireStatus> = {}): WireStatus {
  return {
    now: 1_795_543_200,
    exchange: "Coinbase",
    url: "wss://ws-feed.exchange.coinbase.com",
    channel: "ticker",
    link: "open",
    ready: true,
    reasons: [],
    demo: false,
    sinks: [],
    counters: countersWith(),
    ...status,
  };
}
