// The interface between the pipeline and a place that stores events.

import type { FeedEvent, Gap, GapReason } from "./record.ts";

/** A place that stores events: Kafka, the store, stdout. */
export interface Sink extends AsyncDisposable {
  /** Name in counters, logs and metric labels: one word in lower case. */
  readonly name: string;
  /** How long a batch may wait for more events, ms; default the setting of the pipeline. */
  readonly lingerMs?: number;
  /** Reason in the gaps of ticks dropped from its queue; default `queue-full`. */
  readonly dropReason?: GapReason;
  /** Why its server slows it down at present (a quota); it may still keep up. */
  readonly throttled?: string | undefined;
  /** One attempt to connect; does nothing if connected. Rejects with a SinkError. The signal ends the attempt. */
  connect(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the whole batch is stored; reconnects if needed. Rejects with a SinkError. After `retry` the same batch is
   * written again, and some of it may then be stored twice. After `drop` it is written in smaller parts, until the rejected
   * record is alone. The signal ends the attempt, not the connection.
   */
  write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void>;
  /**
   * If present, gaps are written separately: `write()` gets only ticks, and a failure here does not delay them. Otherwise
   * `write()` gets ticks and gaps, in order.
   */
  writeGaps?(gaps: readonly Gap[], signal: AbortSignal): Promise<void>;
  /** Called with each gap that only this sink has (dropped ticks, rejected records), before it is written. */
  onGap?(gap: Gap): void;
}
