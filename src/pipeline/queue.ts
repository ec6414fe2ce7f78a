// The bounded ring between a source and one sink: pushing never waits, the consumer takes batches. When it is full the
// oldest tick goes, is counted, and becomes part of a Gap; gaps themselves are merged per product and never dropped.

import type { Clock } from "../core/clock.ts";
import { type FeedEvent, type Gap, type GapReason, GapTimes, recordTime, seriesOf, type Tick } from "../core/record.ts";

/** What a queue needs to be built. */
export interface QueueOptions {
  /** Most events it holds. */
  readonly capacity: number;
  /** Time for `opened` of its gaps. */
  readonly clock: Clock;
  /** Shared by all that open gaps, so that none has the `opened` of another. */
  readonly gapTimes: GapTimes;
  /** What the gaps of dropped ticks are called; default `queue-full`. */
  readonly dropReason?: GapReason | undefined;
  /** Told of each tick that is dropped. */
  readonly onDrop?: (tick: Tick) => void;
  /** Called at once with each gap of dropped ticks, in every form; `isNew` in its first. The readers of `take()` get it later. */
  readonly onGap?: (gap: Gap, isNew: boolean) => void;
}

/** How `batches()` cuts them. */
export interface BatchLimits {
  /** Most events of the ring in one batch; merged gaps come on top. */
  readonly maxBatch: number;
  /** How long a batch may wait to fill, ms; 0: what is there goes at once. */
  readonly lingerMs: number;
}

/** The ticks of one product that had to go, until their Gap has been handed out in its closed form. */
interface Shed {
  readonly first: Tick;
  readonly opened: number;
  /** Of all ticks dropped so far, unix seconds. */
  from: number;
  latest: number;
  dropped: number;
  /** The first tick that passed after the last drop, unix seconds. */
  to: number | undefined;
  /** When its open form was handed out, monotonic ms. */
  toldAt: number | undefined;
}

/** While the ring stays full a product's gap grows, and is told at most this often, ms. */
const RETELL_MS = 1000;

/** Two gaps that have ended as one, under the identity of the first. */
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

/** One sink's share of the road. */
export class EventQueue {
  readonly #ring: (FeedEvent | undefined)[];
  readonly #options: QueueOptions;
  #head = 0;
  #size = 0;
  #ticks = 0;
  #closed = false;
  #wake: (() => void) | undefined;
  readonly #room = new Set<AbortController>();
  // per series
  readonly #shed = new Map<string, Shed>();
  readonly #kept = new Map<string, Gap[]>();
  /** The gaps that readers know as open: their end must come under the same identity. */
  readonly #awaited = new Set<string>();

  /** An empty one. */
  constructor(options: QueueOptions) {
    this.#options = options;
    this.#ring = new Array(options.capacity);
  }

  /** Events in the ring; at most the capacity. */
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

  /** Whether nothing more will come. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Takes one event in. Never waits, never fails; costs the same when full. */
  push(event: FeedEvent): void {
    const { capacity } = this.#options;
    if (this.#size === capacity) this.#evict();
    const tail = this.#head + this.#size;
    this.#ring[tail < capacity ? tail : tail - capacity] = event;
    this.#size++;
    if (event.kind === "tick") this.#ticks++;
    this.#signal();
  }

  /** Nothing more will come: `batches()` ends once all is taken. */
  close(): void {
    this.#closed = true;
    this.#signal();
  }

  /** Resolves when the consumer has taken something, or after `ms`. */
  async room(ms: number): Promise<void> {
    const taken = new AbortController();
    this.#room.add(taken);
    await this.#options.clock.sleep(ms, taken.signal).catch(() => {});
    this.#room.delete(taken);
  }

  /** What has gathered, oldest first: merged gaps, then at most `max` events of the ring. The caller owns the array. */
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
      else this.#handOut(event);
      events[i] = event;
    }
    this.#size -= count;
    for (const waiting of this.#room) waiting.abort();
    const shed = this.#shed.size > 0 ? this.#shedBefore(events) : [];
    return kept.length + shed.length > 0 ? [...kept, ...shed, ...events] : events;
  }

  /** Batches as the consumer asks for them, until the queue is closed and empty; rejects with `signal.reason`. */
  async *batches(limits: BatchLimits, signal: AbortSignal): AsyncGenerator<FeedEvent[]> {
    while (true) {
      signal.throwIfAborted();
      if (this.#isEmpty()) {
        if (this.#closed) return;
        await this.#changed(signal);
        continue;
      }
      if (limits.lingerMs > 0) await this.#fill(limits, signal);
      yield this.take(limits.maxBatch);
    }
  }

  #isEmpty(): boolean {
    return this.#size === 0 && this.#kept.size === 0 && this.#shed.size === 0;
  }

  #signal(): void {
    const wake = this.#wake;
    if (wake === undefined) return;
    this.#wake = undefined;
    wake();
  }

  async #changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#wake = resolve;
    try {
      await promise;
    } finally {
      this.#wake = undefined;
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Waits until the batch is full, the linger is over, or nothing more will come. */
  async #fill({ maxBatch, lingerMs }: BatchLimits, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const stop = AbortSignal.any([signal, over.signal]);
    const linger = this.#options.clock.sleep(lingerMs, stop).catch(() => {}).finally(() => over.abort());
    while (this.#size < maxBatch && !this.#closed && !stop.aborted) {
      await this.#changed(stop).catch(() => {});
    }
    over.abort();
    await linger;
    signal.throwIfAborted();
  }

  #evict(): void {
    const event = this.#ring[this.#head] as FeedEvent;
    this.#ring[this.#head] = undefined;
    if (++this.#head === this.#options.capacity) this.#head = 0;
    this.#size--;
    if (event.kind === "gap") return this.#keep(event);

    this.#ticks--;
    this.#options.onDrop?.(event);
    const series = seriesOf(event.exchange, event.product);
    const time = recordTime(event);
    const shed = this.#shed.get(series);
    if (shed === undefined) {
      const opened = this.#options.gapTimes.next(this.#options.clock.now(), event.exchange, event.product);
      const first = { first: event, opened, from: time, latest: time, dropped: 1, to: undefined, toldAt: undefined };
      this.#shed.set(series, first);
      this.#options.onGap?.(this.#gapOf(first, null), true);
    } else {
      shed.dropped++;
      if (time < shed.from) shed.from = time;
      if (time > shed.latest) shed.latest = time;
      shed.to = undefined;
    }
  }

  /**
   * A gap never goes. Its newer form replaces the older one; one that has ended gets no newer form, so those of a product that
   * have ended are merged. (Of those that last there are few: who opens them ends one before the next.)
   */
  #keep(gap: Gap): void {
    const series = seriesOf(gap.exchange, gap.product);
    const kept = (this.#kept.get(series) ?? []).filter(({ opened }) => opened !== gap.opened);
    const isAwaited = this.#awaited.has(identityOf(gap));
    const other = gap.to === null
      ? -1
      : kept.findIndex((other) => other.to !== null && !(isAwaited && this.#awaited.has(identityOf(other))));
    if (other < 0) kept.push(gap);
    else kept[other] = isAwaited ? merge(gap, kept[other] as Gap) : merge(kept[other] as Gap, gap);
    this.#kept.set(series, kept);
  }

  #takeKept(): Gap[] {
    const gaps = [...this.#kept.values()].flat();
    this.#kept.clear();
    for (const gap of gaps) this.#handOut(gap);
    return gaps;
  }

  #handOut(gap: Gap): void {
    if (gap.to === null) this.#awaited.add(identityOf(gap));
    else this.#awaited.delete(identityOf(gap));
  }

  /** The gaps of dropped ticks to hand out with these events, and what these events tell about them. */
  #shedBefore(events: readonly FeedEvent[]): Gap[] {
    const gaps: Gap[] = [];
    for (const event of events) {
      if (event.kind === "gap") continue;
      const shed = this.#shed.get(seriesOf(event.exchange, event.product));
      if (shed !== undefined) shed.to ??= Math.max(recordTime(event), shed.latest);
    }

    const elapsed = this.#options.clock.elapsed();
    const calm = this.#size * 2 < this.#options.capacity;
    for (const [series, shed] of this.#shed) {
      const mayTell = shed.toldAt === undefined || calm || elapsed - shed.toldAt >= RETELL_MS;
      // the last word, too, when the queue has run empty: no tick may ever come after it
      const done = shed.to !== undefined || this.#size === 0;
      if (!mayTell || (shed.toldAt !== undefined && !done)) continue;
      const closed = done && (calm || shed.toldAt !== undefined);
      const gap = this.#gapOf(shed, closed ? shed.to ?? shed.latest : null);
      gaps.push(gap);
      this.#options.onGap?.(gap, false);
      if (closed) this.#shed.delete(series);
      else shed.toldAt = elapsed;
    }
    return gaps;
  }

  #gapOf({ first, opened, from, dropped }: Shed, to: number | null): Gap {
    const { exchange, product } = first;
    const reason = this.#options.dropReason ?? "queue-full";
    return { kind: "gap", exchange, product, opened, from, to, reason, dropped, missed: true };
  }
}
