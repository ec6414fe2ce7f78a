// The sink of the open pages: each product's newest tick, the last events in memory, and whoever listens. It stores nothing,
// never fails and never waits; what a listener makes of an event is left to the listener.

import { isBefore } from "../core/candle.ts";
import type { Clock } from "../core/clock.ts";
import { type FeedEvent, type Gap, seriesOf, type Tick } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";

/** What a live sink is built from. */
export interface LiveSinkOptions {
  /** Time. */
  readonly clock: Clock;
  /** Events that are kept for those who come back; default 32768, at 20,000 ticks a second more than a second and some 15 MB. */
  readonly capacity?: number;
}

/** Somebody who wants to know at once. */
export interface LiveListener {
  /**
   * One event, in order. Must neither wait nor throw.
   * @param isNewest false for a late tick: one of its product that happened later was there before it
   */
  take(event: FeedEvent, isNewest: boolean): void;
  /** No more for now: called after each batch that may have held something. */
  rest(): void;
}

/** What {@link LiveSink.after} found. */
export interface Recent {
  /** What arrived after the moment and is still in memory, in order. */
  readonly events: readonly FeedEvent[];
  /** Whether nothing that arrived after the moment has left memory. */
  readonly isWhole: boolean;
  /** Of each series that was asked for, the newest tick that arrived after the moment and has left memory. */
  readonly left: readonly Tick[];
}

/** One series. */
interface Line {
  newest: Tick | undefined;
  /** The last one that has left the ring. */
  left: Tick | undefined;
  leftAt: number;
  readonly listeners: LiveListener[];
}

/** A stretch of the wall clock that was passed twice: from `low` it went to `high`, and was set back to `low`. */
interface SetBack {
  readonly low: number;
  readonly high: number;
}

const CAPACITY = 32_768;
/** Beyond so many, the two oldest become one. */
const SET_BACKS = 32;

/** Keeps the last events, and hands each on to those who listen. */
export class LiveSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "live";
  /** See {@link Sink.lingerMs}: an open page waits for nothing. */
  readonly lingerMs = 0;
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #lines = new Map<string, Line>();
  readonly #listeners = new Set<LiveListener>();
  /** Declared gaps that are open, by series and `opened`. */
  readonly #openGaps = new Map<string, Gap>();
  // the ring: events, when each arrived, whose line it is
  readonly #events: FeedEvent[] = [];
  readonly #times: number[] = [];
  readonly #lineOf: Line[] = [];
  #head = 0;
  /** Up to here something may have left the ring, or was never in it. */
  #leftAt: number;
  /** Arrival of the last tick. */
  #lastAt: number;
  readonly #setBacks: SetBack[] = [];

  /** Remembers nothing of what was before. */
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

  /** Takes a gap that another sink alone has: it is handed on at once, beside the batches. */
  declare(gap: Gap): void {
    const name = `${seriesOf(gap.exchange, gap.product)} ${gap.opened}`;
    if (gap.to === null) this.#openGaps.set(name, gap);
    else this.#openGaps.delete(name);
    this.#take(gap);
    for (const listener of this.#listeners) listener.rest();
  }

  /** Gaps of another sink alone that are open now. */
  get openGaps(): readonly Gap[] {
    return [...this.#openGaps.values()];
  }

  /** Nothing is held open. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** Of this series the tick with the highest exchange time, of several the one with the highest sequence. */
  newest(series: string): Tick | undefined {
    return this.#lines.get(series)?.newest;
  }

  /**
   * Our wall clock, whole ms: all that arrived up to here has been handed on. Others may still arrive in the millisecond after
   * it. It goes back when the clock is set back.
   */
  get watermark(): number {
    return Math.ceil(this.#lastAt) - 1;
  }

  /** From now on this listener gets the events of these series; the function that is returned ends it. */
  listen(listener: LiveListener, series: Iterable<string>): () => void {
    const lines = [...new Set(series)].map((each) => this.#line(each));
    for (const line of lines) line.listeners.push(listener);
    this.#listeners.add(listener);
    return () => {
      if (!this.#listeners.delete(listener)) return;
      for (const { listeners } of lines) listeners.splice(listeners.indexOf(listener), 1);
    };
  }

  /**
   * The moment from which on everything must be given again to somebody who has all up to `watermark`: an earlier one where the
   * clock was set back and passes the same time twice. Undefined where the watermark lies in the future, since then nobody
   * knows what it means.
   */
  safeWatermark(watermark: number): number | undefined {
    const now = this.#clock.now();
    if (watermark > now) return undefined;
    let safe = watermark;
    // an earlier moment may lie in another stretch
    for (let stretch; (stretch = this.#setBacks.find(({ low, high }) => safe >= low && safe <= high));) {
      safe = stretch.low - 1;
    }
    return safe;
  }

  /** What is in memory of these series that arrived after this moment; give it a {@link LiveSink.safeWatermark}. */
  after(watermark: number, series: readonly string[]): Recent {
    const wanted = new Set(series.map((each) => this.#line(each)));
    const events: FeedEvent[] = [];
    const size = this.#events.length;
    for (let i = 0; i < size; i++) {
      const place = (this.#head + i) % size;
      if ((this.#times[place] as number) > watermark && wanted.has(this.#lineOf[place] as Line)) {
        events.push(this.#events[place] as FeedEvent);
      }
    }
    const left = [...wanted].flatMap((line) => line.left !== undefined && line.leftAt > watermark ? [line.left] : []);
    return { events, isWhole: watermark >= this.#leftAt, left };
  }

  #take(event: FeedEvent): void {
    const line = this.#line(seriesOf(event.exchange, event.product));
    let at: number;
    let isNewest = true;
    if (event.kind === "tick") {
      at = event.receivedTime;
      if (at < this.#lastAt) this.#noteSetBack(at);
      this.#lastAt = at;
      isNewest = line.newest === undefined || !isOlder(event, line.newest);
      if (isNewest) line.newest = event;
    } else {
      at = this.#clock.now();
    }
    this.#keep(event, at, line);
    for (const listener of line.listeners) listener.take(event, isNewest);
  }

  #line(series: string): Line {
    let line = this.#lines.get(series);
    if (line === undefined) {
      this.#lines.set(series, line = { newest: undefined, left: undefined, leftAt: -Infinity, listeners: [] });
    }
    return line;
  }

  #keep(event: FeedEvent, at: number, line: Line): void {
    const place = this.#head;
    if (this.#events.length < this.#capacity) {
      this.#events.push(event);
      this.#times.push(at);
      this.#lineOf.push(line);
      return;
    }
    const old = this.#events[place] as Tick | Gap;
    const oldAt = this.#times[place] as number;
    if (oldAt > this.#leftAt) this.#leftAt = oldAt;
    if (old.kind === "tick") {
      const oldLine = this.#lineOf[place] as Line;
      oldLine.left = old;
      oldLine.leftAt = oldAt;
    }
    this.#events[place] = event;
    this.#times[place] = at;
    this.#lineOf[place] = line;
    this.#head = place + 1 === this.#capacity ? 0 : place + 1;
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
