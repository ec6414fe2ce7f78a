// The sink of the open pages and streams: passes every event to its listeners at once, and keeps the newest tick of each product and
// the last events in memory. It never fails and never waits.

import { isBefore } from "../core/candle.ts";
import type { Clock } from "../core/clock.ts";
import { type FeedEvent, type Gap, seriesOf, type Tick } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";

/** Options of {@link LiveSink}. */
export interface LiveSinkOptions {
  /** Time. */
  readonly clock: Clock;
  /** Events that are kept for readers that connect again; default 32768 (at 20,000 ticks a second 1.6 s, about 15 MB). */
  readonly capacity?: number;
}

/** Receives events at once. */
export interface LiveListener {
  /**
   * Called with each event, in order. Must not throw.
   * @param isNewest false for a late tick: a later one of the same product arrived before it
   */
  take(event: FeedEvent, isNewest: boolean): void;
  /** Called after each batch, also if it had no event for this listener. */
  rest(): void;
}

/** Result of {@link LiveSink.after}. */
export interface Recent {
  /** The events that arrived after this time and are still in memory, in order. */
  readonly events: readonly FeedEvent[];
  /** No event that arrived after this time has left memory. */
  readonly isWhole: boolean;
  /** Of each requested series, the last tick that arrived after this time and has left memory. */
  readonly left: readonly Tick[];
}

/** One product. */
interface Series {
  newest: Tick | undefined;
  /** The last tick that has left the ring. */
  left: Tick | undefined;
  leftAt: number;
  readonly listeners: LiveListener[];
}

/** An event in memory. */
interface Kept {
  readonly event: FeedEvent;
  /** When it arrived, ms. */
  readonly at: number;
  readonly own: Series;
}

/** The clock was set back from `high` to `low`, so that it passes this range twice. */
interface SetBack {
  readonly low: number;
  readonly high: number;
}

const CAPACITY = 32_768;
/** If there are more, the two oldest are joined. */
const SET_BACKS = 32;

/** Keeps the last events, and passes each one to the listeners of its product. */
export class LiveSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "live";
  /** See {@link Sink.lingerMs}: prices are shown at once. */
  readonly lingerMs = 0;
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #series = new Map<string, Series>();
  readonly #listeners = new Set<LiveListener>();
  /** Open gaps that came by `declare()`, by series and `opened`. */
  readonly #openGaps = new Map<string, Gap>();
  /** Once it is full, the oldest event is the one at `#head`. */
  readonly #ring: Kept[] = [];
  #head = 0;
  /** Events that arrived up to this time may be missing from the ring. */
  #leftAt: number;
  /** Arrival of the last tick. */
  #lastAt: number;
  readonly #setBacks: SetBack[] = [];

  /** Empty at first. */
  constructor({ clock, capacity = CAPACITY }: LiveSinkOptions) {
    this.#clock = clock;
    this.#capacity = capacity;
    this.#lastAt = this.#leftAt = clock.now();
  }

  /** Always ready. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  /** See {@link Sink.write}. */
  write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    for (const event of batch) this.#take(event);
    for (const listener of this.#listeners) listener.rest();
    return Promise.resolve();
  }

  /** Passes on a gap that only another sink has, at once and outside of the batches. */
  declare(gap: Gap): void {
    const name = `${seriesOf(gap.exchange, gap.product)} ${gap.opened}`;
    if (gap.to === null) this.#openGaps.set(name, gap);
    else this.#openGaps.delete(name);
    this.#take(gap);
    for (const listener of this.#listeners) listener.rest();
  }

  /** Gaps that only another sink has and that are open now. */
  get openGaps(): readonly Gap[] {
    return [...this.#openGaps.values()];
  }

  /** Nothing is held open. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** The tick of this product with the highest exchange time (of several the one with the highest sequence). */
  newest(series: string): Tick | undefined {
    return this.#series.get(series)?.newest;
  }

  /** Every event that arrived up to this time (our wall clock, whole ms) was passed on. It goes back if the clock is set back. */
  get watermark(): number {
    return Math.ceil(this.#lastAt) - 1;
  }

  /** From now on the listener gets the events of these products. The function that is returned ends it. */
  listen(listener: LiveListener, series: Iterable<string>): () => void {
    const all = [...new Set(series)].map((each) => this.#find(each));
    for (const own of all) own.listeners.push(listener);
    this.#listeners.add(listener);
    return () => {
      if (!this.#listeners.delete(listener)) return;
      for (const { listeners } of all) listeners.splice(listeners.indexOf(listener), 1);
    };
  }

  /**
   * The time after which events must be sent again to a reader that has everything up to `watermark`. It is earlier than the
   * watermark if the clock passed that time twice; undefined if the watermark is in the future, because the clock was set back.
   */
  safeWatermark(watermark: number): number | undefined {
    const now = this.#clock.now();
    if (watermark > now) return undefined;
    let safe = watermark;
    // the earlier time may be in another such range
    for (let range; (range = this.#setBacks.find(({ low, high }) => safe >= low && safe <= high));) {
      safe = range.low - 1;
    }
    return safe;
  }

  /** The events of these products in memory that arrived after this {@link LiveSink.safeWatermark}. */
  after(watermark: number, series: readonly string[]): Recent {
    const wanted = new Set(series.map((each) => this.#find(each)));
    const inOrder = [...this.#ring.slice(this.#head), ...this.#ring.slice(0, this.#head)];
    const events = inOrder.filter(({ at, own }) => at > watermark && wanted.has(own)).map(({ event }) => event);
    const left = [...wanted].flatMap((own) => own.left !== undefined && own.leftAt > watermark ? [own.left] : []);
    return { events, isWhole: watermark >= this.#leftAt, left };
  }

  #take(event: FeedEvent): void {
    const own = this.#find(seriesOf(event.exchange, event.product));
    let at: number;
    let isNewest = true;
    if (event.kind === "tick") {
      at = event.receivedTime;
      if (at < this.#lastAt) this.#noteSetBack(at);
      this.#lastAt = at;
      isNewest = own.newest === undefined || !isOlder(event, own.newest);
      if (isNewest) own.newest = event;
    } else {
      at = this.#clock.now();
    }
    this.#keep({ event, at, own });
    for (const listener of own.listeners) listener.take(event, isNewest);
  }

  #find(series: string): Series {
    let own = this.#series.get(series);
    if (own === undefined) {
      this.#series.set(series, own = { newest: undefined, left: undefined, leftAt: -Infinity, listeners: [] });
    }
    return own;
  }

  #keep(kept: Kept): void {
    if (this.#ring.length < this.#capacity) {
      this.#ring.push(kept);
      return;
    }
    const { event, at, own } = this.#ring[this.#head] as Kept;
    if (at > this.#leftAt) this.#leftAt = at;
    if (event.kind === "tick") {
      own.left = event;
      own.leftAt = at;
    }
    this.#ring[this.#head] = kept;
    this.#head = (this.#head + 1) % this.#capacity;
  }

  #noteSetBack(low: number): void {
    this.#setBacks.push({ low, high: this.#lastAt });
    if (this.#setBacks.length <= SET_BACKS) return;
    const [first, second] = this.#setBacks.splice(0, 2) as [SetBack, SetBack];
    this.#setBacks.unshift({ low: Math.min(first.low, second.low), high: Math.max(first.high, second.high) });
  }
}

/** By exchange time, at the same time by sequence. */
export function isOlder(tick: Tick, than: Tick): boolean {
  return isBefore(tick.exchangeTimeUs, tick.sequence, than.exchangeTimeUs, than.sequence);
}
