// The bounded ring between a source and one sink. Pushing never waits; the consumer takes batches. When the ring is full, the
// oldest tick is dropped, counted, and declared in a gap. Gaps are never dropped, only merged per product.

import { unlessAborted } from "../core/abort.ts";
import { type FeedEvent, type Gap, type GapReason, recordTime, seriesOf, type Tick } from "../core/record.ts";
import type { RunContext } from "./context.ts";

/** Options of {@link EventQueue}. */
export interface QueueOptions extends Pick<RunContext, "clock" | "gapTimes"> {
  /** Most events in the ring. */
  readonly capacity: number;
  /** Reason in the gaps of dropped ticks; default `queue-full`. */
  readonly dropReason?: GapReason | undefined;
  /** Called for every dropped tick. */
  readonly onDrop?: (tick: Tick) => void;
  /** Called at once with every version of a gap of dropped ticks (`isNew`: the first one); `take()` returns it later. */
  readonly onGap?: (gap: Gap, isNew: boolean) => void;
}

/** Limits of one batch. */
export interface BatchLimits {
  /** Most events from the ring in one batch; merged gaps are added to it. */
  readonly maxBatch: number;
  /** How long a batch may wait for more events, ms; 0: not at all. */
  readonly lingerMs: number;
}

/** The dropped ticks of one product, until their closed gap has been returned by `take()`. */
interface Shed {
  /** The gap as it was opened. */
  readonly gap: Gap;
  /** Earliest and latest time of the dropped ticks, unix seconds. */
  from: number;
  latest: number;
  dropped: number;
  /** Time of the first tick taken after the last drop, unix seconds. */
  to: number | undefined;
  /** When its open version was last returned by `take()`, elapsed ms. */
  returnedAt: number | undefined;
}

/** While the ring stays full, the growing gap of a product is returned at most once in this time, ms. */
const REPEAT_MS = 1000;

/** Merges two closed gaps; the result has the identity of the first. */
function merge(gap: Gap, other: Gap): Gap {
  return {
    ...gap,
    from: gap.from === null || other.from === null ? null : Math.min(gap.from, other.from),
    to: Math.max(gap.to ?? 0, other.to ?? 0),
    dropped: gap.dropped + other.dropped,
    missed: gap.missed || other.missed,
  };
}

function identityOf({ exchange, product, opened }: Gap): string {
  return `${exchange}:${product} ${opened}`;
}

/** The queue of one sink. */
export class EventQueue {
  readonly #ring: (FeedEvent | undefined)[];
  readonly #options: QueueOptions;
  #head = 0;
  #size = 0;
  #ticks = 0;
  #closed = false;
  /** Wakes the consumer when the ring has this many events, or is closed. */
  #wake = () => {};
  #wakeSize = 0;
  /** Aborted when the consumer takes something. */
  #room = new AbortController();
  // both by series
  readonly #shed = new Map<string, Shed>();
  readonly #kept = new Map<string, Gap[]>();
  /** Identities of gaps whose open version was returned: their closed version must keep the identity. */
  readonly #openReturned = new Set<string>();

  /** Starts empty. */
  constructor(options: QueueOptions) {
    this.#options = options;
    this.#ring = new Array(options.capacity);
  }

  /** Events in the ring. */
  get depth(): number {
    return this.#size;
  }

  /** Ticks in the ring. */
  get ticks(): number {
    return this.#ticks;
  }

  /** Most events the ring holds. */
  get capacity(): number {
    return this.#options.capacity;
  }

  /** Whether `close()` was called. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Adds one event. Never waits or fails, and costs the same when the ring is full. */
  push(event: FeedEvent): void {
    const { capacity } = this.#options;
    if (this.#size === capacity) this.#evict();
    const tail = this.#head + this.#size;
    this.#ring[tail < capacity ? tail : tail - capacity] = event;
    this.#size++;
    if (event.kind === "tick") this.#ticks++;
    if (this.#size >= this.#wakeSize) this.#wake();
  }

  /** No more events will be pushed: `batches()` ends when the queue is empty. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** Resolves when the consumer has taken something, or after `ms`. */
  async room(ms: number): Promise<void> {
    await this.#options.clock.sleep(ms, this.#room.signal).catch(() => {});
  }

  /** Removes and returns, oldest first, all merged gaps and at most `max` events of the ring. The caller owns the array. */
  take(max: number): FeedEvent[] {
    const { capacity } = this.#options;
    const kept = this.#kept.size > 0 ? this.#takeKept() : [];
    const count = Math.min(max, this.#size);
    const events: FeedEvent[] = new Array(count);
    for (let i = 0; i < count; i++) {
      const event = this.#ring[this.#head] as FeedEvent;
      this.#ring[this.#head] = undefined;
      if (++this.#head === capacity) this.#head = 0;
      if (event.kind === "tick") this.#ticks--;
      else this.#markReturned(event);
      events[i] = event;
    }
    this.#size -= count;
    this.#room.abort();
    this.#room = new AbortController();
    const shed = this.#shed.size > 0 ? this.#takeShed(events) : [];
    return kept.length + shed.length > 0 ? [...kept, ...shed, ...events] : events;
  }

  /** Yields batches until the queue is closed and empty; rejects with `signal.reason`. */
  async *batches(limits: BatchLimits, signal: AbortSignal): AsyncGenerator<FeedEvent[]> {
    while (true) {
      signal.throwIfAborted();
      if (this.#isEmpty()) {
        if (this.#closed) return;
        await this.#grown(1, signal);
        continue;
      }
      if (limits.lingerMs > 0) await this.#fill(limits, signal);
      yield this.take(limits.maxBatch);
    }
  }

  #isEmpty(): boolean {
    return this.#size === 0 && this.#kept.size === 0 && this.#shed.size === 0;
  }

  /** Resolves when the ring has this many events, or is closed. */
  #grown(size: number, signal: AbortSignal): Promise<void> {
    this.#wakeSize = size;
    return unlessAborted(new Promise((resolve) => this.#wake = resolve), signal);
  }

  /** Waits until the batch is full, the linger time is over, or the queue is closed. */
  async #fill({ maxBatch, lingerMs }: BatchLimits, signal: AbortSignal): Promise<void> {
    if (this.#size >= maxBatch || this.#closed) return;
    const over = new AbortController();
    const stop = AbortSignal.any([signal, over.signal]);
    try {
      await Promise.race([this.#options.clock.sleep(lingerMs, stop), this.#grown(maxBatch, stop)]);
    } finally {
      over.abort();
    }
  }

  #evict(): void {
    const event = this.#ring[this.#head] as FeedEvent;
    this.#ring[this.#head] = undefined;
    if (++this.#head === this.#options.capacity) this.#head = 0;
    this.#size--;
    if (event.kind === "gap") return this.#keep(event);

    this.#ticks--;
    this.#options.onDrop?.(event);
    const { exchange, product } = event;
    const series = seriesOf(exchange, product);
    const time = recordTime(event);
    const shed = this.#shed.get(series);
    if (shed === undefined) {
      const { clock, gapTimes, dropReason: reason = "queue-full" } = this.#options;
      const gap = { ...gapTimes.openGap(clock.now(), { exchange, product, from: time, reason }), dropped: 1 };
      this.#shed.set(series, { gap, from: time, latest: time, dropped: 1, to: undefined, returnedAt: undefined });
      this.#options.onGap?.(gap, true);
    } else {
      shed.dropped++;
      if (time < shed.from) shed.from = time;
      if (time > shed.latest) shed.latest = time;
      shed.to = undefined;
    }
  }

  /**
   * Keeps a gap that had to leave the ring. A newer version replaces the older one. Closed gaps of a product get no newer
   * version, so they are merged. Open ones are few: their source closes one before it opens the next.
   */
  #keep(gap: Gap): void {
    const series = seriesOf(gap.exchange, gap.product);
    const kept = (this.#kept.get(series) ?? []).filter(({ opened }) => opened !== gap.opened);
    const isOpenReturned = this.#openReturned.has(identityOf(gap));
    const other = gap.to === null
      ? -1
      : kept.findIndex((other) => other.to !== null && !(isOpenReturned && this.#openReturned.has(identityOf(other))));
    if (other < 0) kept.push(gap);
    else kept[other] = isOpenReturned ? merge(gap, kept[other] as Gap) : merge(kept[other] as Gap, gap);
    this.#kept.set(series, kept);
  }

  #takeKept(): Gap[] {
    const gaps = [...this.#kept.values()].flat();
    this.#kept.clear();
    for (const gap of gaps) this.#markReturned(gap);
    return gaps;
  }

  #markReturned(gap: Gap): void {
    if (gap.to === null) this.#openReturned.add(identityOf(gap));
    else this.#openReturned.delete(identityOf(gap));
  }

  /** Returns the gaps of dropped ticks that are due with these events. The first tick after a drop ends its gap. */
  #takeShed(events: readonly FeedEvent[]): Gap[] {
    const gaps: Gap[] = [];
    for (const event of events) {
      if (event.kind === "gap") continue;
      const shed = this.#shed.get(seriesOf(event.exchange, event.product));
      if (shed !== undefined) shed.to ??= Math.max(recordTime(event), shed.latest);
    }

    const elapsed = this.#options.clock.elapsed();
    const calm = this.#size * 2 < this.#options.capacity;
    for (const [series, shed] of this.#shed) {
      const isDue = shed.returnedAt === undefined || calm || elapsed - shed.returnedAt >= REPEAT_MS;
      // also when the queue is empty: perhaps no tick of this product follows
      const done = shed.to !== undefined || this.#size === 0;
      if (!isDue || (shed.returnedAt !== undefined && !done)) continue;
      const closed = done && (calm || shed.returnedAt !== undefined);
      const { from, dropped } = shed;
      const gap = { ...shed.gap, from, to: closed ? shed.to ?? shed.latest : null, dropped };
      gaps.push(gap);
      this.#options.onGap?.(gap, false);
      if (closed) this.#shed.delete(series);
      else shed.returnedAt = elapsed;
    }
    return gaps;
  }
}
