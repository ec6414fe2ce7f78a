// Connects one source to all sinks, with a lane (queue and delivery) for each sink. Decides when the source pauses, and the
// order of shutdown.

import { waitAtMost } from "../core/abort.ts";
import { DrainError } from "../core/errors.ts";
import { Lane, type LaneOptions, type SinkStatus } from "./lane.ts";
import { type FeedEvent, type Position, reachedUs } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";
import type { Source } from "./source.ts";

/** Options of {@link Pipeline}. */
export interface PipelineOptions extends LaneOptions {
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
  readonly #lanes: readonly Lane[];

  /** Uses the sinks only in `run()`. */
  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#lanes = options.sinks.map((sink) => new Lane(sink, options));
  }

  /** The status of each sink. */
  status(): SinkStatus[] {
    return this.#lanes.map((lane) => lane.status());
  }

  /** For each product that all sinks have, the oldest of their newest ticks: everything up to it is in every sink. */
  positions(): Position[] {
    const [first, ...others] = this.#lanes;
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
    const lanes = this.#lanes.map((lane) =>
      lane.run(deadline.signal, fail).catch((error) => {
        if (error !== deadline.signal.reason) fail(error);
      })
    );
    try {
      await source.run((event) => this.#push(event), () => this.#relief(), AbortSignal.any([signal, stop.signal]))
        .catch(fail);
      for (const lane of this.#lanes) lane.queue.close();
      const over = new AbortController();
      const timer = clock.sleep(drainMs, over.signal).then(
        () => deadline.abort(new DOMException("The time to drain is over", "TimeoutError")),
        () => {},
      );
      await Promise.all(lanes);
      over.abort();
      await timer;
    } finally {
      // a sink that does not close in time (its server hangs) is abandoned
      await waitAtMost(CLOSE_MS, Promise.all(this.#lanes.map((lane) => lane.close())), clock);
    }
    let left = 0;
    for (const lane of this.#lanes) {
      left += lane.left;
      lane.stats.lost += lane.left;
    }
    if (failures.length > 0) {
      if (left > 0) log.error("Ticks were left unsent", { left });
      throw failures[0];
    }
    if (left > 0) throw new DrainError(left, `${left} ticks could not be stored within ${drainMs} ms`);
  }

  #push(event: FeedEvent): void {
    for (const lane of this.#lanes) lane.queue.push(event);
  }

  #relief(): Promise<void> | undefined {
    return this.#lanes.find((lane) => lane.isBusy)?.queue.room(RELIEF_MS);
  }
}
