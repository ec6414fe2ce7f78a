// Where batches end up: the promises that the pipeline relies on, and nothing else. A new sink is one file beside this.

import type { FeedEvent, Gap, GapReason } from "./record.ts";

/** A place that stores ticks. */
export interface Sink extends AsyncDisposable {
  /** As it stands in counters, logs and labels of metrics: lower case, one word. */
  readonly name: string;
  /** How long a batch may wait to fill, ms, where it is not for the pipeline to say. */
  readonly lingerMs?: number;
  /** What is declared when its queue overflows, where another word says it better than `queue-full`. */
  readonly dropReason?: GapReason;
  /** Why its server makes it wait, where that is so now; it may still keep up. */
  readonly throttled?: string | undefined;
  /** One attempt to be ready; harmless when it is. Rejects with a SinkError. The signal bounds the attempt. */
  connect(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the whole batch is stored; connects again where needed. Rejects with a SinkError: after `retry` the same
   * batch is written again (some of it may then be stored twice), after `drop` in smaller parts until one record is left.
   * The signal bounds the attempt, not the life of the connection.
   */
  write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void>;
  /**
   * Where gaps go a way of their own: they are then left out of `write()`, and their failures never hold up a tick. Without
   * it `write()` gets them, in order among the ticks.
   */
  writeGaps?(gaps: readonly Gap[], signal: AbortSignal): Promise<void>;
  /** Called at once with each gap of this sink alone (ticks dropped from its queue, refused records), before it is written. */
  onGap?(gap: Gap): void;
}
