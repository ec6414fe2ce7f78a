// The candles and gaps of one product and interval, as the server has them: fetched page by page, and kept up to date by the stream,
// which sends whole candles.

import { backoffMs } from "../../core/backoff.ts";
import { type Interval, intervalMs } from "../../core/candle.ts";
import type { PageClock } from "./event_stream.ts";
import { blanksOf, type Region, regionsOf } from "./gap_regions.ts";
import { indexFrom } from "./search.ts";
import { candlesOf, gapsOf, type WireCandle, type WireCandleEvent, type WireGap } from "./wire.ts";

/** What {@link ChartData} uses. */
export interface ChartDataOptions {
  /** Whose candles. */
  readonly product: string;
  /** Their length. */
  readonly interval: Interval;
  /** Requests a path of the API; rejects with an error that `messageOf` understands. */
  readonly ask: (path: string, signal: AbortSignal) => Promise<unknown>;
  /** See `messageOf` of api.ts. */
  readonly messageOf: (error: unknown) => string;
  /** Called when something may have to be drawn. */
  readonly onChange: () => void;
  /** Time. */
  readonly clock: PageClock;
  /** How far the server's clock is ahead of ours, ms. */
  readonly serverAhead: () => number;
}

/** What to draw. */
export interface Drawing {
  /** Draw all candles: some came or went elsewhere than at the end. */
  readonly all: boolean;
  /** Otherwise these have changed or were added at the end, in order of time. */
  readonly changed: readonly WireCandle[];
  /** All candles. */
  readonly candles: readonly WireCandle[];
  /** The gaps to shade. */
  readonly regions: readonly Region[];
  /** Times without a candle that get a place on the axis, unix seconds. */
  blanks(): readonly number[];
}

/** Candles of one answer while the user scrolls back. */
const PAGE = 1000;
/** The largest `limit` of the API. */
const MAX_LIMIT = 10_000;
/** Candles that are kept; beyond it the oldest are forgotten. */
export const MAX_CANDLES = 20_000;
/** That many are forgotten at once, because the whole chart is drawn again each time. */
const FORGET = 1000;
/** So many of the newest candles are fetched again; older ones change only by events. */
const REFRESHED = 5000;
const RETRY = { baseMs: 1000, capMs: 10_000 };

/** Fetches at once, and follows until it is closed. */
export class ChartData {
  /** Whose candles. */
  readonly product: string;
  /** Their length. */
  readonly interval: Interval;
  readonly #options: ChartDataOptions;
  readonly #length: number;
  readonly #closed = new AbortController();
  /** In order of time. */
  #candles: WireCandle[] = [];
  /** By `opened`. */
  readonly #gaps = new Map<number, WireGap>();
  #trouble: string | undefined;
  #isLoaded = false;
  #hasAll = false;
  #isLoadingOlder = false;
  #isStale = false;
  #isRefreshing = false;
  #failures = 0;
  #cancelRetry = () => {};
  /** Requests under way, and the candles that the stream has sent since the first of them began. */
  #requests = 0;
  #newer: WireCandle[] = [];
  // what has to be drawn
  #all = true;
  readonly #changed = new Set<number>();
  #gapsChanged = false;
  #lastWindow = 0;

  /** See {@link ChartDataOptions}. */
  constructor(options: ChartDataOptions) {
    this.#options = options;
    this.product = options.product;
    this.interval = options.interval;
    this.#length = intervalMs(options.interval) / 1000;
    this.refresh();
  }

  /** Why the server's candles are not shown, as a text for the user. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** The server has answered once. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** The first candle is the oldest that is stored. */
  get hasAll(): boolean {
    return this.#hasAll;
  }

  /** In order of time. */
  get candles(): readonly WireCandle[] {
    return this.#candles;
  }

  /** Ends all requests. */
  close(): void {
    this.#closed.abort();
    this.#cancelRetry();
  }

  /** Takes a candle of the stream, of any product and interval. It replaces the candle with the same time. */
  addCandle({ product, interval, ...candle }: WireCandleEvent): void {
    if (product !== this.product || interval !== this.interval) return;
    if (this.#requests > 0) this.#newer.push(candle);
    if (!this.#isLoaded) return;
    this.#put(candle);
    this.#options.onChange();
  }

  /** Takes a gap of the stream, of any product. */
  addGap(gap: WireGap): void {
    if (gap.product !== this.product) return;
    this.#keepGap(gap);
    this.#options.onChange();
  }

  /** Fetches the newest candles and the gaps again, once more if that is under way. */
  refresh(): void {
    this.#isStale = true;
    if (!this.#isRefreshing) void this.#refresh();
  }

  /** Fetches the page before the first candle, if there is one and it is not on its way. */
  async loadOlder(): Promise<void> {
    const first = this.#candles[0];
    if (!this.#isLoaded || this.#hasAll || this.#isLoadingOlder || first === undefined) return;
    if (this.#candles.length > MAX_CANDLES - PAGE) return;
    this.#isLoadingOlder = true;
    try {
      await this.#fetch(this.#askCandles({ to: first.time, limit: PAGE }), (older) => {
        if (older.length < PAGE) this.#hasAll = true;
        this.#candles = [...older, ...this.#candles.slice(indexFrom(this.#candles, first.time))];
      });
      this.#trouble = undefined;
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      this.#trouble = this.#options.messageOf(error);
    } finally {
      this.#isLoadingOlder = false;
    }
    this.#options.onChange();
  }

  /** What has to be drawn, if something changed since the last call. */
  draw(): Drawing | undefined {
    const now = this.#options.clock.now() + this.#options.serverAhead();
    this.#endCandles(now / 1000);
    const isOpen = [...this.#gaps.values()].some(({ to, missed }) => missed && to === null);
    // an open gap gets a new place on the axis for each window
    const window = Math.floor(now / 1000 / this.#length);
    const grows = isOpen && window !== this.#lastWindow;
    this.#lastWindow = window;
    if (!this.#all && this.#changed.size === 0 && !this.#gapsChanged && !isOpen) return undefined;
    const candles = this.#candles;
    const regions = regionsOf(this.#gaps.values(), candles, this.interval, now / 1000);
    const all = this.#all || this.#gapsChanged || grows;
    const changed = [...this.#changed].sort((a, b) => a - b).flatMap((time) => candles[indexFrom(candles, time)] ?? []);
    this.#all = this.#gapsChanged = false;
    this.#changed.clear();
    return { all, changed, candles, regions, blanks: () => blanksOf(regions, candles, this.interval) };
  }

  /** A candle ends with its window, without an event. */
  #endCandles(now: number): void {
    for (let i = this.#candles.length - 1; this.#candles[i]?.running; i--) {
      const candle = this.#candles[i] as WireCandle;
      if (candle.time + this.#length > now) continue;
      this.#candles[i] = { ...candle, running: false };
      this.#changed.add(candle.time);
    }
  }

  #put(candle: WireCandle): void {
    const place = indexFrom(this.#candles, candle.time);
    // the page that it belongs to will be fetched when the user scrolls back
    if (place === 0 && this.#candles.length > 0 && candle.time !== this.#candles[0]?.time && !this.#hasAll) return;
    const isThere = this.#candles[place]?.time === candle.time;
    if (!isThere && place < this.#candles.length) this.#all = true;
    this.#candles.splice(place, isThere ? 1 : 0, candle);
    this.#changed.add(candle.time);
    if (this.#candles.length <= MAX_CANDLES) return;
    this.#candles.splice(0, this.#candles.length - MAX_CANDLES + FORGET);
    this.#all = true;
    this.#hasAll = false;
  }

  #keepGap(gap: WireGap): void {
    // the stream may know of its end before the store does
    const before = this.#gaps.get(gap.opened);
    if (gap.to === null && before !== undefined && before.to !== null) return;
    this.#gaps.set(gap.opened, gap);
    this.#gapsChanged = true;
  }

  async #refresh(): Promise<void> {
    const { clock, messageOf, onChange } = this.#options;
    this.#cancelRetry();
    this.#isRefreshing = true;
    try {
      while (this.#isStale) {
        this.#isStale = false;
        await this.#load();
        this.#failures = 0;
        this.#trouble = undefined;
        this.#isLoaded = true;
        onChange();
      }
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      this.#trouble = messageOf(error);
      this.#isStale = true;
      this.#cancelRetry = clock.after(backoffMs(this.#failures++, RETRY, 1), () => void this.#refresh());
      onChange();
    } finally {
      this.#isRefreshing = false;
    }
  }

  async #load(): Promise<void> {
    const count = this.#candles.length;
    // with all candles loaded, a late tick may have made one before the first
    const from = this.#hasAll && count <= REFRESHED ? 0 : this.#candles[Math.max(0, count - REFRESHED)]?.time;
    const answers = async () => {
      const [candles, gaps] = await Promise.all([
        this.#askCandles(from === undefined ? { limit: PAGE } : { from, limit: MAX_LIMIT }),
        this.#ask("gaps", { limit: MAX_LIMIT }),
      ]);
      // there may be newer ones: what is drawn is too old to be continued
      const isTooOld = candles.length === MAX_LIMIT;
      return {
        from: isTooOld ? undefined : from,
        gaps,
        candles: isTooOld ? await this.#askCandles({ limit: PAGE }) : candles,
      };
    };
    await this.#fetch(answers(), ({ from, candles, gaps }) => {
      if (from === undefined) this.#hasAll = candles.length < PAGE;
      const older = from === undefined ? [] : this.#candles.slice(0, indexFrom(this.#candles, from));
      this.#candles = [...older, ...candles];
      for (const gap of gapsOf(gaps)) this.#keepGap(gap);
    });
  }

  /** Takes an answer. What the stream has sent meanwhile is newer. */
  async #fetch<T>(answer: Promise<T>, take: (answer: T) => void): Promise<void> {
    if (this.#requests++ === 0) this.#newer = [];
    try {
      take(await answer);
      this.#all = true;
      for (const candle of this.#newer) this.#put(candle);
    } finally {
      this.#requests--;
    }
  }

  async #askCandles(params: Readonly<Record<string, string | number>>): Promise<WireCandle[]> {
    return candlesOf(await this.#ask("candles", { interval: this.interval, ...params }));
  }

  #ask(what: string, params: Readonly<Record<string, string | number>>): Promise<unknown> {
    const query = new URLSearchParams({ product: this.product });
    for (const [name, value] of Object.entries(params)) query.set(name, String(value));
    return this.#options.ask(`api/${what}?${query}`, this.#closed.signal);
  }
}
