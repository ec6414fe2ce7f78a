// The candles of one product and interval as a page keeps them: what the server told, continued by the ticks that came
// since. Pure: who fetches, and when, is the history's matter.

import {
  type Candle,
  CandleFold,
  type Interval,
  intervalMs,
  mergeCandles,
  openTimeOf,
  Repeats,
} from "../../core/candle.ts";
import type { Tick } from "../../core/record.ts";
import type { WireCandle, WireGap, WireTick } from "./wire.ts";

/** A candle as it is drawn. */
export type PageCandle = Omit<WireCandle, "sequence">;

/** What has to be drawn anew. */
export interface Changes {
  /** Candles came or went elsewhere than at the end: all of them. */
  readonly all: boolean;
  /** Else those that changed or were added at the end, in order of time. */
  readonly changed: readonly PageCandle[];
}

/** So many candles are kept at most; beyond it the oldest go. */
export const MAX_CANDLES = 20_000;
/** So many at once are forgotten, since each time the whole chart is drawn anew. */
const FORGET = 1000;
/** So many ticks wait for the server's word; beyond it they become candles for good. */
const MAX_RECENT = 5000;
/** Windows of one product that recent ticks may lie in. */
const MAX_WINDOWS = 1000;

/** A store that has taken later ticks has taken one that is older than this, or never will, ms. */
const TAKEN_MS = 5000;

/** A tick off the wire, as the fold wants it; `receivedTime`: ms, of whatever clock. */
export function tickOf({ product, price, time, sequence, size }: WireTick, receivedTime = 0): Tick {
  const exchangeTimeUs = Math.round(time * 1e6);
  // readers know a product by one name, in which the exchange stands where it has to
  return {
    kind: "tick",
    exchange: "",
    product,
    sequence,
    price,
    exchangeTimeUs,
    receivedTime,
    recordTimeUs: exchangeTimeUs,
    lastSize: size,
  };
}

/** One product, one interval. */
export class CandleBook {
  /** Of all its candles. */
  readonly interval: Interval;
  readonly #lengthMs: number;
  /** By `time`. The server's, and their order. */
  #told: WireCandle[] = [];
  /** Ticks that are in no told candle, in order of arrival. */
  #recent: Tick[] = [];
  #fold: CandleFold;
  readonly #repeats = new Repeats(MAX_RECENT);
  #shown: PageCandle[] = [];
  #all = true;
  readonly #changed = new Set<number>();
  /** Of the ticks that came here, not of those that the server told: it may be ahead of the stream. */
  #lastSequence = -1;
  #lastTimeUs = -1;
  #doubt: number | undefined;
  /** The highest that the server told. */
  #toldSequence = -1;
  #now: number;
  #gaps: readonly WireGap[] = [];

  /**
   * Holds no candle yet.
   * @param now the server's clock, ms
   */
  constructor(interval: Interval, now: number) {
    this.interval = interval;
    this.#now = now;
    this.#lengthMs = intervalMs(interval);
    this.#fold = new CandleFold(interval, MAX_WINDOWS);
  }

  /** All candles, in order of time. */
  get candles(): readonly PageCandle[] {
    return this.#shown;
  }

  /** Many ticks wait for the server's word. */
  get isFull(): boolean {
    return this.#recent.length > MAX_RECENT / 2;
  }

  /**
   * Where a window starts, unix seconds, whose candle may be wrong: a tick came late, and whether the server's candle has
   * it cannot be seen. Undefined: none. Asking forgets it.
   */
  takeDoubt(): number | undefined {
    const doubt = this.#doubt;
    this.#doubt = undefined;
    return doubt;
  }

  /** Takes a tick. One that came before changes nothing. */
  add(wire: WireTick): void {
    const tick = tickOf(wire, this.#now);
    if (this.#repeats.seen(tick)) return;
    const time = openTimeOf(tick.exchangeTimeUs / 1000, this.interval) / 1000;
    const late = tick.sequence < this.#lastSequence || tick.exchangeTimeUs < this.#lastTimeUs;
    if (late) this.#doubt = Math.min(this.#doubt ?? time, time);
    this.#lastSequence = Math.max(this.#lastSequence, tick.sequence);
    this.#lastTimeUs = Math.max(this.#lastTimeUs, tick.exchangeTimeUs);
    const first = this.#told[0];
    if (first !== undefined && time < first.time) return;
    const told = this.#toldAt(time);
    if (told !== undefined && tick.sequence <= told.sequence) return;
    if (this.#fold.add(tick) === undefined) return;
    this.#recent.push(tick);
    this.#show(time);
    if (this.#recent.length > MAX_RECENT) this.#keepRecent();
    if (this.#shown.length > MAX_CANDLES) this.#forget();
  }

  /** The server's candles from a moment on, all of them: what it does not tell is not there. */
  tell(from: number, candles: readonly WireCandle[]): void {
    this.#told = [...this.#told.filter(({ time }) => time < from), ...candles];
    this.#toldSequence = candles.reduce((highest, { sequence }) => Math.max(highest, sequence), -1);
    this.#refold();
    this.#compare();
    if (this.#shown.length > MAX_CANDLES) this.#forget();
  }

  /** The server's candles before the first one. */
  tellOlder(candles: readonly WireCandle[]): void {
    const first = this.#told[0]?.time ?? Infinity;
    const older = candles.filter(({ time }) => time < first);
    if (older.length === 0) return;
    this.#told = [...older, ...this.#told];
    this.#shown = [
      ...older.map(({ time }) => this.#candleAt(time)),
      ...this.#shown.filter(({ time }) => time >= first),
    ];
    this.#all = true;
  }

  /** Gaps that the store may not have yet: candles that they touch are incomplete, whatever the server says. */
  mark(gaps: Iterable<WireGap>): void {
    this.#gaps = [...gaps].filter(({ missed }) => missed);
    this.#compare();
  }

  /** The time goes on, the server's clock, ms: what ran may be over. */
  settle(now: number): void {
    this.#now = now;
    for (let i = this.#shown.length - 1; i >= 0; i--) {
      const candle = this.#shown[i];
      if (candle === undefined || !candle.running) return;
      if (this.#runs(candle.time)) continue;
      this.#shown[i] = { ...candle, running: false };
      this.#changed.add(candle.time);
    }
  }

  /** What changed since the last call; undefined: nothing. */
  takeChanges(): Changes | undefined {
    if (!this.#all && this.#changed.size === 0) return undefined;
    const times = [...this.#changed].sort((a, b) => a - b);
    const changed = times.flatMap((time) => this.#shown[placeOf(this.#shown, time)] ?? []);
    const changes = { all: this.#all, changed };
    this.#all = false;
    this.#changed.clear();
    return changes;
  }

  #toldAt(time: number): WireCandle | undefined {
    const told = this.#told[placeOf(this.#told, time)];
    return told?.time === time ? told : undefined;
  }

  /** Puts the candle that starts at this time into those that are shown. */
  #show(time: number): void {
    const place = placeOf(this.#shown, time);
    const candle = this.#candleAt(time);
    const before = this.#shown[place];
    if (before?.time === time) {
      this.#shown[place] = candle;
    } else {
      if (place < this.#shown.length) this.#all = true;
      this.#shown.splice(place, 0, candle);
    }
    this.#changed.add(time);
  }

  #candleAt(time: number): PageCandle {
    const told = this.#toldAt(time);
    const live = this.#fold.candle(time * 1000);
    const running = this.#runs(time);
    const incomplete = told?.incomplete === true || this.#isTouched(time);
    if (live === undefined) return told === undefined ? blank(time) : { ...withoutSequence(told, running), incomplete };
    const [candle] = told === undefined ? [live] : mergeCandles([asCandle(told, this.interval), live], this.interval);
    const { open, high, low, close, ticks, volume } = candle ?? live;
    return {
      time,
      open,
      high,
      low,
      close,
      ticks,
      ...(volume === undefined ? {} : { volume }),
      running,
      incomplete,
    };
  }

  #isTouched(time: number): boolean {
    const end = time + this.#lengthMs / 1000;
    // what is shown may lag behind what was just told
    const first = Math.min(this.#told[0]?.time ?? Infinity, this.#shown[0]?.time ?? Infinity);
    return this.#gaps.some((gap) =>
      (gap.from ?? gap.opened) < end && (gap.to ?? Infinity) >= time &&
      !isFirstStart(gap, first + this.#lengthMs / 1000)
    );
  }

  #runs(time: number): boolean {
    return time * 1000 + this.#lengthMs > this.#now;
  }

  /** Folds what the server has not told yet. */
  #refold(): void {
    const first = this.#told[0];
    this.#fold = new CandleFold(this.interval, MAX_WINDOWS);
    this.#recent = this.#recent.filter((tick) => {
      const time = openTimeOf(tick.exchangeTimeUs / 1000, this.interval) / 1000;
      if (first !== undefined && time < first.time) return false;
      const told = this.#toldAt(time);
      if (told !== undefined && tick.sequence <= told.sequence) return false;
      if (tick.sequence < this.#toldSequence) {
        // later ones are stored and this one is not: lost with the program that was killed, unless it came late
        if (this.#now - tick.receivedTime < TAKEN_MS) this.#doubt = Math.min(this.#doubt ?? time, time);
        return false;
      }
      return this.#fold.add(tick) !== undefined;
    });
  }

  /** Shows what is known now, and finds out what that changes. */
  #compare(): void {
    const before = this.#shown;
    const times = new Set(this.#told.map(({ time }) => time));
    for (const { openTime } of this.#fold.candles()) times.add(openTime / 1000);
    this.#shown = [...times].sort((a, b) => a - b).map((time) => this.#candleAt(time));
    const start = this.#shown[0]?.time;
    if (before.length > this.#shown.length || before[0]?.time !== start) this.#all = true;
    for (const [i, candle] of this.#shown.entries()) {
      const old = before[i];
      if (old !== undefined && old.time !== candle.time) this.#all = true;
      if (old === undefined || !isSame(old, candle)) this.#changed.add(candle.time);
    }
  }

  /** The server does not answer, and ticks come and come: what they made stays, the ticks go. */
  #keepRecent(): void {
    const highest = new Map<number, number>();
    for (const tick of this.#recent) {
      const time = openTimeOf(tick.exchangeTimeUs / 1000, this.interval) / 1000;
      highest.set(time, Math.max(highest.get(time) ?? -1, tick.sequence));
    }
    const told = new Map(this.#told.map((candle) => [candle.time, candle]));
    for (const [time, sequence] of highest) told.set(time, { ...this.#candleAt(time), sequence });
    this.#told = [...told.values()].sort((a, b) => a.time - b.time);
    this.#recent = [];
    this.#fold = new CandleFold(this.interval, MAX_WINDOWS);
  }

  #forget(): void {
    const from = this.#shown[this.#shown.length - MAX_CANDLES + FORGET]?.time ?? 0;
    this.#told = this.#told.filter(({ time }) => time >= from);
    this.#shown = this.#shown.filter(({ time }) => time >= from);
    this.#all = true;
  }
}

/** Index of the first candle that does not start before this time. */
export function placeOf(candles: readonly { readonly time: number }[], time: number): number {
  const last = candles.at(-1);
  if (last === undefined || last.time < time) return candles.length;
  let low = 0;
  let high = candles.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((candles[middle]?.time ?? Infinity) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function asCandle({ time, open, high, low, close, ticks, volume }: WireCandle, interval: Interval): Candle {
  return { interval, openTime: time * 1000, open, high, low, close, ticks, volume };
}

function withoutSequence({ sequence: _, ...candle }: WireCandle, running: boolean): PageCandle {
  return { ...candle, running };
}

function blank(time: number): PageCandle {
  return { time, open: NaN, high: NaN, low: NaN, close: NaN, ticks: 0, running: false, incomplete: false };
}

function isSame(a: PageCandle, b: PageCandle): boolean {
  return a.time === b.time && a.open === b.open && a.high === b.high && a.low === b.low && a.close === b.close &&
    a.ticks === b.ticks && a.volume === b.volume && a.running === b.running && a.incomplete === b.incomplete;
}

/** A stretch of time without data, unix seconds, as it is shaded. */
export interface Region {
  /** Where the shade begins. */
  readonly from: number;
  /** Where it ends: for a gap that lasts, now. */
  readonly to: number;
  /** It lasts. */
  readonly open: boolean;
  /** The gap itself. */
  readonly gap: WireGap;
}

/** The first start ever: no candle was over before it (`end` is when the first one is), so nothing can be missing. */
function isFirstStart({ from, reason, opened, to }: WireGap, end: number): boolean {
  return from === null && reason === "restart" && end > Math.min(opened, to ?? Infinity);
}

/** The gaps that may have cost a tick, as they are shaded, by their start. Candles in order of time. */
export function regionsOf(
  gaps: Iterable<WireGap>,
  candles: readonly { readonly time: number }[],
  interval: Interval,
  now: number,
): Region[] {
  const first = candles[0]?.time ?? -Infinity;
  const length = intervalMs(interval) / 1000;
  const firstEnd = (candles[0]?.time ?? Infinity) + length;
  const regions: Region[] = [];
  for (const gap of gaps) {
    if (!gap.missed || isFirstStart(gap, firstEnd)) continue;
    const to = gap.to ?? now;
    // an unknown start is somewhere in the last candle that was over before it, or later
    const before = () => candles.findLast(({ time }) => time + length <= Math.min(gap.opened, to))?.time;
    const from = gap.from ?? before() ?? gap.opened;
    if (to >= first) regions.push({ from: Math.min(from, to), to, open: gap.to === null, gap });
  }
  return regions.sort((a, b) => a.from - b.from);
}

/** A gap gets so many empty places on the axis at most, however long it is. */
const MAX_BLANKS = 120;

/**
 * Starts of windows without a candle that the regions cover, in order of time: with a place on the axis each, a gap is as wide
 * as it lasted. Other windows without a candle get none: nothing was traded there.
 */
export function blanksOf(
  regions: readonly Region[],
  candles: readonly { readonly time: number }[],
  interval: Interval,
): number[] {
  const first = candles[0]?.time;
  if (first === undefined) return [];
  const length = intervalMs(interval) / 1000;
  const blanks = new Set<number>();
  for (const { from, to } of regions) {
    const start = openTimeOf(Math.max(from, first) * 1000, interval) / 1000;
    const count = Math.floor((to - start) / length) + 1;
    const step = Math.max(1, Math.ceil(count / MAX_BLANKS));
    for (let i = 0; i < count; i += step) {
      const time = start + i * length;
      if (candles[placeOf(candles, time)]?.time !== time) blanks.add(time);
    }
  }
  return [...blanks].sort((a, b) => a - b);
}
