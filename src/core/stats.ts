// The counters of the whole program: plain fields, since the hot path adds to them, and read by logs, status, metrics, tests.

import { REJECT_REASONS, type RejectReason } from "./record.ts";

/** Upper bounds of the delay buckets, seconds. */
export const DELAY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** How often each delay was seen. */
export class Delays {
  /** One count per bucket of {@link DELAY_BUCKETS}, and a last one for all that took longer; not cumulative. */
  readonly counts: number[] = new Array(DELAY_BUCKETS.length + 1).fill(0);
  /** Of all delays, seconds. */
  sum = 0;

  /** A negative delay (a clock that lags behind the exchange's) counts as 0. */
  add(seconds: number): void {
    let bucket = 0;
    while (bucket < DELAY_BUCKETS.length && seconds > (DELAY_BUCKETS[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += Math.max(0, seconds);
  }
}

/** What became of the events of one sink. */
export class SinkStats {
  /** Ticks confirmed by the sink. */
  sent = 0;
  /** Good ticks shed because the queue was full. */
  dropped = 0;
  /** Ticks taken and never confirmed: refused by the sink for their own sake, or left at the end. */
  lost = 0;
  /** Gap records confirmed. */
  gapsSent = 0;
  /** Failed attempts to write a batch. */
  failures = 0;
  /** From the arrival of a tick to its confirmation. */
  readonly delay = new Delays();
}

/** All counters; they only rise. */
export class Stats {
  /** Frames off the socket or lines of a file. */
  frames = 0;
  /** Frames that were not for us: types we do not know, products we did not ask for. */
  ignored = 0;
  /** Heartbeats, acknowledgements and refusals. */
  control = 0;
  /** Tickers that report no trade: without a time, or of a product that was never traded. */
  withoutTrade = 0;
  /** Ticks that passed every check and went on the road. */
  received = 0;
  /** That product's last tick once more. */
  repeated = 0;
  /** By reason. */
  readonly rejected = Object.fromEntries(REJECT_REASONS.map((reason) => [reason, 0])) as Record<RejectReason, number>;
  /** Connections that were opened after the first one. */
  reconnects = 0;
  /** Gaps that were opened; those of unknown start only where older ticks are stored. */
  gaps = 0;
  /** From the exchange's time of a tick to its arrival; repeats are left out, since they tell of old trades. */
  readonly arrival = new Delays();
  /** By the name of the sink. */
  readonly sinks = new Map<string, SinkStats>();

  /** The counters of one sink, made at the first call. */
  sink(name: string): SinkStats {
    let stats = this.sinks.get(name);
    if (stats === undefined) this.sinks.set(name, stats = new SinkStats());
    return stats;
  }

  /** Rejected frames of all reasons. */
  get rejectedTotal(): number {
    return Object.values(this.rejected).reduce((sum, count) => sum + count, 0);
  }
}
