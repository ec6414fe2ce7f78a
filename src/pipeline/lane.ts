// One sink's way: its queue, batches, retries, refused records, and gaps that go a way of their own.

import { backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { SinkError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { EventQueue } from "./queue.ts";
import {
  type FeedEvent,
  type Gap,
  type GapTimes,
  type Position,
  reachedUs,
  recordTime,
  seriesOf,
  type Tick,
  tickId,
} from "../core/record.ts";
import type { Sink } from "../core/sink.ts";
import type { SinkStats, Stats } from "../core/stats.ts";

/** What a lane is built from. */
export interface LaneOptions {
  /** Events that each sink's queue holds. */
  readonly queueCapacity: number;
  /** Most ticks in one batch. */
  readonly maxBatch: number;
  /** How long a batch may wait to fill, ms. */
  readonly lingerMs: number;
  /** How long a sink may be away at the start, ms; 0: for ever. */
  readonly startTimeoutMs: number;
  /** Time. */
  readonly clock: Clock;
  /** 0 included to 1 excluded, for the jitter of delays. */
  readonly random: () => number;
  /** Log. */
  readonly log: Logger;
  /** Counters. */
  readonly stats: Stats;
  /** Shared by all that open gaps. */
  readonly gapTimes: GapTimes;
  /** Where an earlier run ended, if it is known. */
  readonly last?: readonly Position[] | undefined;
}

/** `connecting`: not ready yet. `ok`: the last write was confirmed. `failing`: it was not, and is tried again. `closed`: at the end. */
export type SinkState = "connecting" | "ok" | "failing" | "closed";

/** One sink as it stands. */
export interface SinkStatus {
  /** Its name. */
  readonly name: string;
  /** See {@link SinkState}. */
  readonly state: SinkState;
  /** Why it is not ok. */
  readonly trouble?: string;
  /** Why its gap records do not arrive, where they go a way of their own. */
  readonly gapsTrouble?: string;
  /** Why its server makes it wait, where that is so now (a quota); it may still keep up. */
  readonly throttled?: string;
  /** Events that wait. */
  readonly queueDepth: number;
  /** Events that may wait. */
  readonly queueCapacity: number;
}

const RETRY = { baseMs: 250, capMs: 5000 };
/** Gap records that may wait for a topic of their own; beyond it they are merged. */
const GAPS_CAPACITY = 10_000;
/** A sink that confirmed something so recently is busy, not away, ms. */
const BUSY_MS = 1000;
/** A write that takes longer, or a tick dropped so recently, and the sink is not well, ms. */
const SLOW_MS = 5000;
/** Gaps that were refused so often are not waited for at the end. */
const LAST_GAP_ATTEMPTS = 4;
/** While a sink is waited for, this is said so often, ms. */
const WAITING_MS = 10_000;

/** Delivers one queue to one sink. */
export class Lane {
  /** Where it delivers. */
  readonly sink: Sink;
  /** What waits; whoever has the lane pushes and closes it. */
  readonly queue: EventQueue;
  /** What became of it. */
  readonly stats: SinkStats;
  /** Of each series, the newest tick that was confirmed, or given up for good, and with it all that stood before it, gaps too. */
  readonly positions: Map<string, Position>;
  /** The same of ticks that were confirmed while gaps were under way: those may come from before them, and be lost yet. */
  readonly #ahead = new Map<string, Position>();
  /** Gaps that go a way of their own are under way. */
  #gapsAreDue = false;
  readonly #options: LaneOptions;
  readonly #gaps: EventQueue | undefined;
  #state: SinkState = "connecting";
  #trouble: string | undefined;
  #gapsTrouble: string | undefined;
  #inFlight = 0;
  /** Aborted once no tick is left: whoever still tries to send gaps tries a last time. */
  readonly #ended = new AbortController();
  /** Aborted, and replaced, when the sink is back: gaps that wait must not stay behind the ticks after them. */
  #back = new AbortController();
  #confirmedAt = -Infinity;
  #writingSince: number | undefined;
  #droppedAt = -Infinity;

  /** Nothing is written before `run()`. */
  constructor(sink: Sink, options: LaneOptions) {
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

  /** The queue is half full although the sink works. */
  get isBusy(): boolean {
    return this.queue.depth * 2 > this.queue.capacity &&
      this.#options.clock.elapsed() - this.#confirmedAt < BUSY_MS;
  }

  /** The sink as it stands. */
  status(): SinkStatus {
    const { throttled } = this.sink;
    const slowness = this.#slowness();
    const trouble = this.#trouble ?? (throttled === undefined ? slowness : slowness && `${slowness}: ${throttled}`);
    return {
      name: this.sink.name,
      state: this.#state === "ok" && trouble !== undefined ? "failing" : this.#state,
      ...(trouble === undefined ? {} : { trouble }),
      ...(this.#gapsTrouble === undefined ? {} : { gapsTrouble: this.#gapsTrouble }),
      ...(throttled === undefined ? {} : { throttled }),
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

  /** A gap of this sink alone: no other lane has it. */
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
   * Until the queue is closed and empty; rejects when the sink is lost for good, or with the deadline's reason.
   *
   * @param fail told of a bug in the delivery of gaps: the ticks are delivered all the same
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
        const own = this.#gaps === undefined ? batch : this.#withoutGaps(batch, this.#gaps);
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

  /** Whatever had to be stored is stored by now: a failure ends nothing. */
  async close(): Promise<void> {
    try {
      await this.sink[Symbol.asyncDispose]();
    } catch (error) {
      this.#options.log.warn(`${this.sink.name} did not close properly`, { error });
    }
  }

  /** False where the end came first and no tick waits for the sink. */
  async #connect(deadline: AbortSignal): Promise<boolean> {
    const { clock, log, startTimeoutMs } = this.#options;
    const since = clock.elapsed();
    const connected = new AbortController();
    const telling = this.#tellWaiting(since, AbortSignal.any([deadline, connected.signal]));
    try {
      for (let attempt = 0;; attempt++) {
        try {
          await this.sink.connect(deadline);
          this.#state = "ok";
          this.#trouble = undefined;
          log.info(`Ready to write to ${this.sink.name}`);
          return true;
        } catch (error) {
          if (!(error instanceof SinkError) || error.kind === "fatal") throw error;
          if (startTimeoutMs > 0 && clock.elapsed() - since >= startTimeoutMs) throw error;
          this.#trouble = error.message;
          if (attempt === 0) this.#sayWaiting(since);
          if (this.queue.isClosed && this.left === 0) return false;
        }
        // the last attempt is made when the time to start is over, and not a pause later
        await this.#pause(attempt, deadline, startTimeoutMs > 0 ? since + startTimeoutMs - clock.elapsed() : Infinity);
      }
    } finally {
      connected.abort();
      await telling;
    }
  }

  /** Also while one attempt hangs. */
  async #tellWaiting(since: number, signal: AbortSignal): Promise<void> {
    while (true) {
      await this.#options.clock.sleep(WAITING_MS, signal).catch(() => {});
      if (signal.aborted) return;
      this.#sayWaiting(since);
    }
  }

  #sayWaiting(since: number): void {
    const { clock, log } = this.#options;
    log.warn(`Waiting for ${this.sink.name}`, {
      why: this.#trouble ?? "no answer yet",
      seconds: Math.round((clock.elapsed() - since) / 1000),
      queued: this.queue.depth,
    });
  }

  /** The same batch until it is stored, except for records that the sink will never take. */
  async #deliver(batch: readonly FeedEvent[], deadline: AbortSignal): Promise<void> {
    const { log } = this.#options;
    if (batch.length === 0) return;
    for (let attempt = 0;; attempt++) {
      try {
        await this.#write(batch, deadline);
        this.#confirm(batch);
        return;
      } catch (error) {
        if (!(error instanceof SinkError) || error.kind === "fatal") throw error;
        this.stats.failures++;
        if (error.kind === "drop") return await this.#divide(batch, error, deadline);
        const told = { why: error.message, queued: this.queue.depth };
        if (this.#state === "ok") log.warn(`Cannot write to ${this.sink.name}, trying again`, told);
        else log.often("warn", `Still cannot write to ${this.sink.name}`, told);
        this.#state = "failing";
        this.#trouble = error.message;
      }
      await this.#pause(attempt, deadline);
    }
  }

  /** One attempt, and since when it lasts: any answer, a refusal too, ends it. */
  async #write(batch: readonly FeedEvent[], deadline: AbortSignal): Promise<void> {
    this.#writingSince = this.#options.clock.elapsed();
    try {
      await this.sink.write(batch, deadline);
    } finally {
      this.#writingSince = undefined;
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
        this.#reached(event);
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

  /** A late tick does not turn back how far its product has got. */
  #reached(tick: Tick): void {
    const series = seriesOf(tick.exchange, tick.product);
    const before = this.#ahead.get(series) ?? this.positions.get(series);
    if (before !== undefined && tick.exchangeTimeUs < reachedUs(before)) return;
    if (this.#gapsAreDue) this.#ahead.set(series, tick);
    else this.positions.set(series, tick);
  }

  #sendGap(gap: Gap, gaps: EventQueue): void {
    this.#gapsAreDue = true;
    gaps.push(gap);
  }

  /** All gaps so far have arrived: whoever goes on from a tick after them misses none. */
  #gapsArrived(): void {
    this.#gapsAreDue = false;
    for (const [series, position] of this.#ahead) this.positions.set(series, position);
    this.#ahead.clear();
  }

  /** One record spoils the whole batch: halves, until it stands alone. */
  async #divide(batch: readonly FeedEvent[], error: SinkError, deadline: AbortSignal): Promise<void> {
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
    this.#reached(event);
    log.often("error", `${this.sink.name} refuses a record, it is lost`, { why: error.message, id: tickId(event) });
    const gap: Gap = {
      kind: "gap",
      exchange: event.exchange,
      product: event.product,
      opened: gapTimes.next(clock.now(), event.exchange, event.product),
      from: recordTime(event),
      to: recordTime(event),
      reason: "record-refused",
      dropped: 1,
      missed: true,
    };
    this.#declare(gap, true);
    if (this.#gaps !== undefined) this.#sendGap(gap, this.#gaps);
    else await this.#deliver([gap], deadline);
  }

  #withoutGaps(batch: readonly FeedEvent[], gaps: EventQueue): FeedEvent[] {
    return batch.filter((event) => {
      if (event.kind === "gap") this.#sendGap(event, gaps);
      return event.kind === "tick";
    });
  }

  /** Gaps that go a way of their own. Their failures are told once, and never end anything. */
  async #deliverGaps(deadline: AbortSignal): Promise<void> {
    const { sink } = this;
    const { log } = this.#options;
    if (this.#gaps === undefined) return;
    let unsent = 0;
    try {
      for await (const batch of this.#gaps.batches({ maxBatch: 500, lingerMs: 0 }, deadline)) {
        unsent = batch.length;
        const wasWell = this.#gapsTrouble === undefined;
        for (let attempt = 1;; attempt++) {
          try {
            await sink.writeGaps?.(batch as Gap[], deadline);
            this.stats.gapsSent += batch.length;
            unsent = 0;
            if (this.#gaps.depth === 0) this.#gapsArrived();
            if (this.#gapsTrouble !== undefined) log.info(`Gap records reach ${sink.name} again`);
            this.#gapsTrouble = undefined;
            break;
          } catch (error) {
            if (!(error instanceof SinkError)) throw error;
            if (this.#gapsTrouble === undefined) {
              log.warn(`Gap records do not reach ${sink.name}; ticks are not held up by this`, { why: error.message });
            }
            this.#gapsTrouble = error.message;
            // nobody waits at the end for a topic that was missing all the time; but a partition that has moved is found again
            const isHopeless = !wasWell || error.kind === "fatal" || attempt >= LAST_GAP_ATTEMPTS;
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
    // half a delay at least: a sink that is away is not asked in a tight loop
    await clock.sleep(Math.max(0, Math.min(atMostMs, backoffMs(attempt, RETRY, 0.5 + random() / 2))), signal);
  }
}
