// The counters of the program. They are plain fields, because the hot path increments them. Log, status and metrics read them.

import { REJECT_REASONS, type RejectReason } from "./record.ts";

/** Upper bounds of the delay buckets, seconds. */
export const DELAY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** A histogram of delays. */
export class Delays {
  /** The count of each bucket of {@link DELAY_BUCKETS}, and of all longer delays; not cumulative. */
  readonly counts: number[] = new Array(DELAY_BUCKETS.length + 1).fill(0);
  /** Sum of all delays, seconds. */
  sum = 0;

  /** Adds one delay. A negative one (our clock is behind) counts as 0. */
  add(seconds: number): void {
    let bucket = 0;
    while (bucket < DELAY_BUCKETS.length && seconds > (DELAY_BUCKETS[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += Math.max(0, seconds);
  }
}

/** The counters of one sink. */
export class SinkStats {
  /** Ticks confirmed by the sink. */
  sent = 0;
  /** Ticks dropped because the queue was full. */
  dropped = 0;
  /** Ticks that were queued and never confirmed: the sink rejected them, or they were left at the end. */
  lost = 0;
  /** Gap records confirmed. */
  gapsSent = 0;
  /** Failed attempts to write a batch. */
  failures = 0;
  /** The time from the arrival of a tick to its confirmation. */
  readonly delay = new Delays();
}

/** All counters; they only rise. */
export class Stats {
  /** Frames from the socket, or lines of a file. */
  frames = 0;
  /** Frames of an unknown type, or of a product that was not subscribed to. */
  ignored = 0;
  /** Heartbeats, acknowledgements and refusals. */
  control = 0;
  /** Tickers without a trade: they have no time, or the product was never traded. */
  withoutTrade = 0;
  /** New ticks that passed every check. */
  received = 0;
  /** Ticks that were the product's previous tick again. */
  repeated = 0;
  /** Rejected frames and ticks by reason. */
  readonly rejected = Object.fromEntries(REJECT_REASONS.map((reason) => [reason, 0])) as Record<RejectReason, number>;
  /** Connections after the first one. */
  reconnects = 0;
  /** Gaps that were opened. A gap with an unknown start counts only if older ticks of the product are stored. */
  gaps = 0;
  /** The time from the trade, by the exchange's clock, to the arrival of its tick; without repeats, which are old trades. */
  readonly arrival = new Delays();
  /** The counters of each sink by its name. */
  readonly sinks = new Map<string, SinkStats>();

  /** The counters of one sink; the first call creates them. */
  sink(name: string): SinkStats {
    let stats = this.sinks.get(name);
    if (stats === undefined) this.sinks.set(name, stats = new SinkStats());
    return stats;
  }

  /** The sum over all reasons. */
  get rejectedTotal(): number {
    return Object.values(this.rejected).reduce((sum, count) => sum + count, 0);
  }
}
