// The path of a price. To follow it, read the files of this directory in this order:
//
//   source.ts            what a source of ticks is
//   websocket_source.ts  the source that follows an exchange: connects, subscribes, reconnects
//   socket.ts            one WebSocket connection; it runs in a worker thread, socket_worker.ts
//   intake.ts            frame -> checked ticks: decodes (src/exchanges/), ignores other products, counts
//   sequencer.ts         drops repeated ticks, and sets the time of each record
//   watch.ts             decides whether the feed is alive; opens and closes gaps
//   queue.ts             holds events for one sink; when it is full, drops the oldest ticks and declares a gap
//   delivery.ts          writes batches of a queue to its sink (Kafka, the store, stdout.ts), with retries
//   cursor.ts            a file with the last tick of each product that every sink has confirmed
//
// This file connects one source to all sinks, with a queue and a delivery for each. It decides when the source pauses, and in
// which order everything stops. replay.ts reads recorded frames from a file with the same intake.

import { waitAtMost } from "../core/abort.ts";
import { DrainError } from "../core/errors.ts";
import { Delivery, type DeliveryOptions, type SinkStatus } from "./delivery.ts";
import { type FeedEvent, type Position, reachedUs } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";
import type { Source } from "./source.ts";

/** Options of {@link Pipeline}. */
export interface PipelineOptions extends DeliveryOptions {
  /** Produces the events. */
  readonly source: Source;
  /** Receive every event; the pipeline closes them. */
  readonly sinks: readonly Sink[];
  /** How long queued events may still be written after the source has ended, ms. */
  readonly drainMs: number;
}

/** Longest pause of the source for a busy sink, ms: one slow sink must not hold up the others. */
const RELIEF_MS = 20;
/** Time that a sink has to close, ms. */
const CLOSE_MS = 1500;

/** Runs the whole path of a price, from the source to the sinks. */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #deliveries: readonly Delivery[];

  /** Uses the sinks only in `run()`. */
  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#deliveries = options.sinks.map((sink) => new Delivery(sink, options));
  }

  /** The status of each sink. */
  status(): SinkStatus[] {
    return this.#deliveries.map((delivery) => delivery.status());
  }

  /** For each product that all sinks have, the oldest of their newest ticks: everything up to it is in every sink. */
  positions(): Position[] {
    const [first, ...others] = this.#deliveries;
    return [...first?.positions ?? []].flatMap(([series, position]) => {
      let least: Position = position;
      for (const { positions } of others) {
        const other = positions.get(series);
        if (other === undefined) return [];
        if (reachedUs(other) < reachedUs(least)) least = other;
      }
      return [least];
    });
  }

  /**
   * Runs until the signal aborts or the source ends, then writes what is queued and closes the sinks. Rejects with the error
   * that ended it (RefusedError, SinkError, or a bug), or with a DrainError if ticks were left.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { source, drainMs, clock, log } = this.#options;
    const stop = new AbortController();
    const deadline = new AbortController();
    const failures: unknown[] = [];
    const fail = (error: unknown) => {
      failures.push(error);
      stop.abort(new DOMException("Stopped after a failure", "AbortError"));
    };
    const deliveries = this.#deliveries.map((delivery) =>
      delivery.run(deadline.signal, fail).catch((error) => {
        if (error !== deadline.signal.reason) fail(error);
      })
    );
    try {
      await source.run((event) => this.#push(event), () => this.#relief(), AbortSignal.any([signal, stop.signal]))
        .catch(fail);
      for (const delivery of this.#deliveries) delivery.queue.close();
      const over = new AbortController();
      const timer = clock.sleep(drainMs, over.signal).then(
        () => deadline.abort(new DOMException("The time to drain is over", "TimeoutError")),
        () => {},
      );
      await Promise.all(deliveries);
      over.abort();
      await timer;
    } finally {
      // a sink that does not close in time (its server hangs) is abandoned
      await waitAtMost(CLOSE_MS, Promise.all(this.#deliveries.map((delivery) => delivery.close())), clock);
    }
    let left = 0;
    for (const delivery of this.#deliveries) {
      left += delivery.left;
      delivery.stats.lost += delivery.left;
    }
    if (failures.length > 0) {
      if (left > 0) log.error("Ticks were left unsent", { left });
      throw failures[0];
    }
    if (left > 0) throw new DrainError(left, `${left} ticks could not be stored within ${drainMs} ms`);
  }

  #push(event: FeedEvent): void {
    for (const delivery of this.#deliveries) delivery.queue.push(event);
  }

  #relief(): Promise<void> | undefined {
    return this.#deliveries.find((delivery) => delivery.isBusy)?.queue.room(RELIEF_MS);
  }
}
