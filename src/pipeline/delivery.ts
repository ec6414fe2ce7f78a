// Delivers the events of one queue to one sink: batches, retries, rejected records, and gaps that are written separately.

import { backoffMs } from "../core/backoff.ts";
import { SinkError } from "../core/errors.ts";
import {
  type FeedEvent,
  type Gap,
  type Position,
  reachedUs,
  recordTime,
  seriesOf,
  type Tick,
  tickId,
} from "../core/record.ts";
import type { Sink } from "../core/sink.ts";
import type { SinkStats } from "../core/stats.ts";
import type { RunContext } from "./context.ts";
import { EventQueue } from "./queue.ts";

/** Options of {@link Delivery}. */
export interface DeliveryOptions extends RunContext {
  /** Capacity of each sink's queue, events. */
  readonly queueCapacity: number;
  /** Largest batch, events. */
  readonly maxBatch: number;
  /** How long a batch may wait for more events, ms. */
  readonly lingerMs: number;
  /** How long to wait for a sink at the start, ms; 0: for ever. */
  readonly startTimeoutMs: number;
}

/** `connecting`: not ready yet. `ok`: the last write was confirmed. `failing`: the last write failed and is retried. `closed`: after the last write. */
export type SinkState = "connecting" | "ok" | "failing" | "closed";

/** The status of one sink. */
export interface SinkStatus {
  /** Name of the sink: `kafka`. */
  readonly name: string;
  /** See {@link SinkState}. */
  readonly state: SinkState;
  /** Why it is not ok, in words. */
  readonly trouble?: string | undefined;
  /** Why its gap records cannot be written, if they are written separately. */
  readonly gapsTrouble?: string | undefined;
  /** Why its server slows it down at present (a quota); it may still keep up. */
  readonly throttled?: string | undefined;
  /** Events in the queue. */
  readonly queueDepth: number;
  /** Most events that the queue holds. */
  readonly queueCapacity: number;
}

const RETRY = { baseMs: 250, capMs: 5000 };
/** Gap records that may wait if they are written separately; beyond it they are merged. */
const GAPS_CAPACITY = 10_000;
/** A sink that confirmed a write this recently is busy, not away, ms. */
const BUSY_MS = 1000;
/** A sink is `failing` if one write takes longer than this, or a tick was dropped this recently, ms. */
const SLOW_MS = 5000;
/** At the end, gaps are given up after this many attempts. */
const LAST_GAP_ATTEMPTS = 4;
/** Interval of the log line while waiting for a sink, ms. */
const WAITING_MS = 10_000;
/** The last attempt to connect gets at least this long: a server that is away must have the time to say so, ms. */
const LAST_CONNECT_MS = 1000;

/** Owns the queue of one sink, and writes its events to the sink. */
export class Delivery {
  /** The sink to write to. */
  readonly sink: Sink;
  /** Events to write. The pipeline pushes to it, and closes it at the end. */
  readonly queue: EventQueue;
  /** What became of the events. */
  readonly stats: SinkStats;
  /** By series, the newest tick that is confirmed or given up for good, together with every tick and gap before it. */
  readonly positions: Map<string, Position>;
  /** The same for ticks confirmed while gaps are still unsent: an earlier gap may yet be lost, so these do not count yet. */
  readonly #ahead = new Map<string, Position>();
  /** Gaps that are written separately are still unsent. */
  #gapsAreUnsent = false;
  readonly #options: DeliveryOptions;
  readonly #gaps: EventQueue | undefined;
  #state: SinkState = "connecting";
  #trouble: string | undefined;
  #gapsTrouble: string | undefined;
  #inFlight = 0;
  /** Aborted once no tick is left: gaps still unsent get one last attempt. */
  readonly #ended = new AbortController();
  /** Aborted and replaced when the sink works again, so that waiting gaps are retried at once, before later ticks. */
  #back = new AbortController();
  #confirmedAt = -Infinity;
  #writingSince: number | undefined;
  #droppedAt = -Infinity;

  /** Writes only in `run()`. */
  constructor(sink: Sink, options: DeliveryOptions) {
    const { clock, gapTimes, queueCapacity } = options;
    this.sink = sink;
    this.#options = options;
    this.positions = new Map(options.last?.map((last) => [seriesOf(last.exchange, last.product), last]));
    this.stats = options.stats.sink(sink.name);
    this.queue = new EventQueue({
      capacity: queueCapacity,
      clock,
      gapTimes,
      dropReason: sink.dropReason,
      onDrop: () => this.#drop(),
      onGap: (gap, isNew) => this.#declare(gap, isNew),
    });
    if (sink.writeGaps !== undefined) this.#gaps = new EventQueue({ capacity: GAPS_CAPACITY, clock, gapTimes });
  }

  /** Ticks taken from the source and not confirmed. */
  get left(): number {
    return this.queue.ticks + this.#inFlight;
  }

  /** Whether the queue is more than half full although the sink works. */
  get isBusy(): boolean {
    return this.queue.depth * 2 > this.queue.capacity &&
      this.#options.clock.elapsed() - this.#confirmedAt < BUSY_MS;
  }

  /** The present status of the sink. */
  status(): SinkStatus {
    const { throttled } = this.sink;
    const slowness = this.#slowness();
    const trouble = this.#trouble ?? (throttled === undefined ? slowness : slowness && `${slowness}: ${throttled}`);
    return {
      name: this.sink.name,
      state: this.#state === "ok" && trouble !== undefined ? "failing" : this.#state,
      trouble,
      gapsTrouble: this.#gapsTrouble,
      throttled,
      queueDepth: this.queue.depth,
      queueCapacity: this.queue.capacity,
    };
  }

  /** What is wrong although no write has failed. */
  #slowness(): string | undefined {
    const elapsed = this.#options.clock.elapsed();
    if (elapsed - this.#droppedAt < SLOW_MS) return "its queue is full, the oldest ticks are dropped";
    const writing = elapsed - (this.#writingSince ?? elapsed);
    return writing < SLOW_MS ? undefined : `it has not confirmed a write for ${Math.round(writing / 1000)} s`;
  }

  /** A gap that only this sink has. */
  #declare(gap: Gap, isNew: boolean): void {
    if (isNew) this.#options.stats.gaps++;
    this.sink.onGap?.(gap);
  }

  #drop(): void {
    this.#droppedAt = this.#options.clock.elapsed();
    if (this.stats.dropped++ % 1000 > 0) return;
    this.#options.log.often("error", `The queue of ${this.sink.name} is full, the oldest ticks are dropped`, {
      dropped: this.stats.dropped,
    });
  }

  /**
   * Delivers until the queue is closed and empty. Rejects if the sink fails for good, or with the deadline's reason.
   *
   * @param fail called if a bug ends the delivery of gaps; ticks are still delivered
   */
  async run(deadline: AbortSignal, fail: (error: unknown) => void): Promise<void> {
    const gaps = this.#deliverGaps(deadline).catch(fail);
    try {
      const { maxBatch, log } = this.#options;
      const lingerMs = this.sink.lingerMs ?? this.#options.lingerMs;
      if (!await this.#connect(deadline)) {
        log.warn(`Gap records were left unsent to ${this.sink.name}`, { left: this.queue.depth, why: this.#trouble });
        return;
      }
      for await (const batch of this.queue.batches({ maxBatch, lingerMs }, deadline)) {
        const own = this.#gaps === undefined ? batch : this.#divertGaps(batch, this.#gaps);
        const ticks = own.filter((event) => event.kind === "tick").length;
        this.#inFlight = ticks;
        await this.#deliver(own, deadline);
        this.#inFlight = 0;
      }
      this.#state = "closed";
    } finally {
      this.#gaps?.close();
      this.#ended.abort();
      await gaps;
    }
  }

  /** Closes the sink. Everything is stored by now, so a failure is only logged. */
  async close(): Promise<void> {
    try {
      await this.sink[Symbol.asyncDispose]();
    } catch (error) {
      this.#options.log.warn(`${this.sink.name} did not close properly`, { error });
    }
  }

  /** Waits for the sink. Returns false if the queue was closed first and no tick is left. */
  async #connect(deadline: AbortSignal): Promise<boolean> {
    const { clock, log, startTimeoutMs } = this.#options;
    const since = clock.elapsed();
    const leftMs = () => startTimeoutMs > 0 ? since + startTimeoutMs - clock.elapsed() : Infinity;
    const connected = new AbortController();
    const logging = this.#keepLogging(since, AbortSignal.any([deadline, connected.signal]));
    try {
      for (let attempt = 0;; attempt++) {
        try {
          await this.#connectOnce(leftMs(), deadline);
          this.#state = "ok";
          this.#trouble = undefined;
          log.info(`Ready to write to ${this.sink.name}`);
          return true;
        } catch (error) {
          if (!(error instanceof SinkError) || error.kind === "fatal") throw error;
          if (leftMs() <= 0) throw error;
          this.#trouble = error.message;
          if (attempt === 0) this.#logWaiting(since);
          if (this.queue.isClosed && this.left === 0) return false;
        }
        // the last attempt is made when the start timeout ends, not a pause later
        await this.#pause(attempt, deadline, leftMs());
      }
    } finally {
      connected.abort();
      await logging;
    }
  }

  /** One attempt to connect, which may hang for as long as is left of the start timeout. */
  async #connectOnce(leftMs: number, deadline: AbortSignal): Promise<void> {
    if (leftMs === Infinity) return await this.sink.connect(deadline);
    const timeout = AbortSignal.timeout(Math.max(LAST_CONNECT_MS, Math.ceil(leftMs)));
    try {
      await this.sink.connect(AbortSignal.any([deadline, timeout]));
    } catch (error) {
      if (error !== timeout.reason) throw error;
      throw new SinkError(
        "retry",
        `No answer from ${this.sink.name} in time: is it frozen, or does something else listen at its address?`,
        { cause: error },
      );
    }
  }

  /** Repeats the log line, also while one attempt hangs. */
  async #keepLogging(since: number, signal: AbortSignal): Promise<void> {
    while (true) {
      await this.#options.clock.sleep(WAITING_MS, signal).catch(() => {});
      if (signal.aborted) return;
      this.#logWaiting(since);
    }
  }

  #logWaiting(since: number): void {
    const { clock, log } = this.#options;
    log.warn(`Waiting for ${this.sink.name}`, {
      why: this.#trouble ?? "no answer yet",
      seconds: Math.round((clock.elapsed() - since) / 1000),
      queued: this.queue.depth,
    });
  }

  /** Retries the batch until it is stored, except for records that the sink rejects for good. */
  async #deliver(batch: readonly FeedEvent[], deadline: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    if (batch.length === 0) return;
    for (let attempt = 0;; attempt++) {
      this.#writingSince = clock.elapsed();
      try {
        await this.sink.write(batch, deadline).finally(() => this.#writingSince = undefined);
        this.#confirm(batch);
        return;
      } catch (error) {
        if (!(error instanceof SinkError) || error.kind === "fatal") throw error;
        this.stats.failures++;
        if (error.kind === "drop") return await this.#split(batch, error, deadline);
        const details = { why: error.message, queued: this.queue.depth };
        if (this.#state === "ok") log.warn(`Cannot write to ${this.sink.name}, trying again`, details);
        else log.often("warn", `Still cannot write to ${this.sink.name}`, details);
        this.#state = "failing";
        this.#trouble = error.message;
      }
      await this.#pause(attempt, deadline);
    }
  }

  #confirm(batch: readonly FeedEvent[]): void {
    const { clock, log } = this.#options;
    const now = clock.now();
    for (const event of batch) {
      if (event.kind === "tick") {
        this.stats.sent++;
        this.#inFlight--;
        this.stats.delay.add((now - event.receivedTime) / 1000);
        this.#advance(event);
      } else {
        this.stats.gapsSent++;
      }
    }
    if (this.#state === "failing") {
      log.info(`Writing to ${this.sink.name} again`, { queued: this.queue.depth });
      this.#back.abort();
      this.#back = new AbortController();
    }
    this.#state = "ok";
    this.#trouble = undefined;
    this.#confirmedAt = clock.elapsed();
  }

  /** Notes the position of a product; a late tick does not set it back. */
  #advance(tick: Tick): void {
    const series = seriesOf(tick.exchange, tick.product);
    const before = this.#ahead.get(series) ?? this.positions.get(series);
    if (before !== undefined && tick.exchangeTimeUs < reachedUs(before)) return;
    if (this.#gapsAreUnsent) this.#ahead.set(series, tick);
    else this.positions.set(series, tick);
  }

  #sendGap(gap: Gap, gaps: EventQueue): void {
    this.#gapsAreUnsent = true;
    gaps.push(gap);
  }

  /** All gaps so far are stored, so the positions of the ticks after them count. */
  #onGapsSent(): void {
    this.#gapsAreUnsent = false;
    for (const [series, position] of this.#ahead) this.positions.set(series, position);
    this.#ahead.clear();
  }

  /** The sink rejects a batch because of one record: split the batch in half until that record is alone. */
  async #split(batch: readonly FeedEvent[], error: SinkError, deadline: AbortSignal): Promise<void> {
    if (batch.length > 1) {
      const middle = batch.length >> 1;
      await this.#deliver(batch.slice(0, middle), deadline);
      await this.#deliver(batch.slice(middle), deadline);
      return;
    }
    const [event] = batch;
    const { clock, gapTimes, log } = this.#options;
    if (event === undefined || event.kind === "gap") {
      log.error(`${this.sink.name} refuses a gap record`, { why: error.message, gap: event });
      return;
    }
    this.stats.lost++;
    this.#inFlight--;
    this.#advance(event);
    log.often("error", `${this.sink.name} refuses a record, it is lost`, { why: error.message, id: tickId(event) });
    const { exchange, product } = event;
    const time = recordTime(event);
    const opened = gapTimes.openGap(clock.now(), { exchange, product, from: time, reason: "record-refused" });
    const gap = { ...opened, to: time, dropped: 1 };
    this.#declare(gap, true);
    if (this.#gaps !== undefined) this.#sendGap(gap, this.#gaps);
    else await this.#deliver([gap], deadline);
  }

  #divertGaps(batch: readonly FeedEvent[], gaps: EventQueue): FeedEvent[] {
    return batch.filter((event) => {
      if (event.kind === "gap") this.#sendGap(event, gaps);
      return event.kind === "tick";
    });
  }

  /** Writes the gaps that are written separately. A failure is logged once and never stops the ticks. */
  async #deliverGaps(deadline: AbortSignal): Promise<void> {
    const { sink } = this;
    const { log } = this.#options;
    if (this.#gaps === undefined) return;
    let unsent = 0;
    try {
      for await (const batch of this.#gaps.batches({ maxBatch: 500, lingerMs: 0 }, deadline)) {
        unsent = batch.length;
        const worked = this.#gapsTrouble === undefined;
        for (let attempt = 1;; attempt++) {
          try {
            await sink.writeGaps?.(batch as Gap[], deadline);
            this.stats.gapsSent += batch.length;
            unsent = 0;
            if (this.#gaps.depth === 0) this.#onGapsSent();
            if (this.#gapsTrouble !== undefined) log.info(`Gap records reach ${sink.name} again`);
            this.#gapsTrouble = undefined;
            break;
          } catch (error) {
            if (!(error instanceof SinkError)) throw error;
            if (this.#gapsTrouble === undefined) {
              log.warn(`Gap records do not reach ${sink.name}; ticks are not held up by this`, { why: error.message });
            }
            this.#gapsTrouble = error.message;
            // at the end, do not wait for a topic that was missing all the time; but a partition that moved needs some attempts
            const isHopeless = !worked || error.kind === "fatal" || attempt >= LAST_GAP_ATTEMPTS;
            if (this.#gaps.isClosed && isHopeless) throw error;
          }
          const signals = [deadline, this.#back.signal, ...this.#gaps.isClosed ? [] : [this.#ended.signal]];
          await this.#pause(attempt - 1, AbortSignal.any(signals)).catch(() => deadline.throwIfAborted());
        }
      }
    } catch (error) {
      const left = unsent + this.#gaps.depth;
      if (left > 0) log.warn(`Gap records were left unsent to ${sink.name}`, { left, why: this.#gapsTrouble });
      if (!(error instanceof SinkError) && error !== deadline.reason) throw error;
    }
  }

  async #pause(attempt: number, signal: AbortSignal, atMostMs = Infinity): Promise<void> {
    const { clock, random } = this.#options;
    // at least half the delay, so that retries never become a tight loop
    await clock.sleep(Math.max(0, Math.min(atMostMs, backoffMs(attempt, RETRY, 0.5 + random() / 2))), signal);
  }
}
