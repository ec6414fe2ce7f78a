// What a chart shows of one product and interval: asks for its candles and gaps, page by page as one scrolls, and again
// whenever what is drawn may differ from what the server knows.

import { backoffMs } from "../../core/backoff.ts";
import { type Interval, intervalMs } from "../../core/candle.ts";
import { blanksOf, CandleBook, type Changes, MAX_CANDLES, type PageCandle, type Region, regionsOf } from "./candles.ts";
import type { PageClock } from "./link.ts";
import { candlesOf, gapsOf, type WireCandle, type WireGap, type WireTick } from "./wire.ts";

/** What a history is built from. */
export interface HistoryOptions {
  /** Whose candles. */
  readonly product: string;
  /** How long they are. */
  readonly interval: Interval;
  /** Asks the API: path to JSON. Rejects with what `trouble` understands. */
  readonly ask: (path: string, signal: AbortSignal) => Promise<unknown>;
  /** What went wrong, for people; throws on what is a bug. */
  readonly trouble: (error: unknown) => string;
  /** Something may have to be drawn. */
  readonly onChange: () => void;
  /** Time. */
  readonly clock: PageClock;
  /** What the server's clock is ahead of ours, ms. */
  readonly serverAhead: () => number;
}

/** What to draw. */
export interface Drawing extends Changes {
  /** All candles. */
  readonly candles: readonly PageCandle[];
  /** Shaded stretches. */
  readonly regions: readonly Region[];
  /** Empty places on the axis, unix seconds. */
  blanks(): readonly number[];
}

/** Candles in one answer while one scrolls. */
const PAGE = 1000;
/** The API's maximum. */
const MOST = 10_000;
/** Between two looks at what the server knows, ms. */
const REFRESH_MS = 60_000;
/** After a late tick or a gap, so long until it is asked: the store needs a moment too, ms. */
const DOUBT_MS = 1500;
/** Not more often than this, however many late ticks come, ms. */
const DOUBT_PAUSE_MS = 5000;
/** A tick that comes later than this after its time, and that we did not see, is found only when all is loaded anew. */
const LATE_SECONDS = 120;
const RETRY = { baseMs: 1000, capMs: 10_000 };
const MAX_GAPS = 5000;
const MAX_FRESH = 500;

/** One product, one interval, until it is closed. */
export class History {
  /** Whose candles. */
  readonly product: string;
  /** How long they are. */
  readonly interval: Interval;
  readonly #options: HistoryOptions;
  readonly #book: CandleBook;
  readonly #gaps = new Map<number, WireGap>();
  /** Those that came by the stream, which may be ahead of the store. */
  readonly #fresh = new Map<number, WireGap>();
  readonly #end = new AbortController();
  readonly #length: number;
  #trouble: string | undefined;
  #loaded = false;
  #noOlder = false;
  #loadingOlder = false;
  /** From here on candles may still change, unix seconds; undefined: all must be loaded. */
  #sure: number | undefined;
  #refreshing = false;
  /** The next answer may lack the newest ticks. */
  #onceMore = false;
  #attempt = 0;
  #cancel = () => {};
  #dueAt = Infinity;
  #refreshedAt = -Infinity;
  #gapsChanged = false;
  #lastWindow = 0;

  /** Loads the newest page at once. */
  constructor(options: HistoryOptions) {
    this.#options = options;
    this.product = options.product;
    this.interval = options.interval;
    this.#length = intervalMs(options.interval) / 1000;
    this.#book = new CandleBook(options.interval, this.#serverNow());
    this.#onceMore = true;
    void this.#refresh();
  }

  /** Why it does not show what it should, for people. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** The server has answered once. */
  get isLoaded(): boolean {
    return this.#loaded;
  }

  /** Nothing older is to be had. */
  get isWhole(): boolean {
    return this.#noOlder;
  }

  /** All candles that are known. */
  get candles(): readonly PageCandle[] {
    return this.#book.candles;
  }

  /** Ends it; nothing is asked any more. */
  close(): void {
    this.#end.abort();
    this.#cancel();
  }

  /** Takes ticks of the product, in order of arrival. */
  add(ticks: readonly WireTick[]): void {
    for (const tick of ticks) if (tick.product === this.product) this.#book.add(tick);
    this.#heedDoubt();
    if (this.#book.isFull) this.#refreshSoon();
    this.#options.onChange();
  }

  /** Takes gaps, of any product. */
  addGaps(gaps: readonly WireGap[]): void {
    const own = gaps.filter(({ product }) => product === this.product);
    if (own.length === 0) return;
    for (const gap of own) {
      this.#gaps.set(gap.opened, gap);
      this.#fresh.set(gap.opened, gap);
      this.#gapsChanged = true;
      // it may touch candles that were good
      if (this.#sure !== undefined && gap.from !== null) this.#sure = Math.min(this.#sure, this.#startOf(gap.from));
      this.#refreshSoon();
    }
    for (const [kept, most] of [[this.#gaps, MAX_GAPS], [this.#fresh, MAX_FRESH]] as const) {
      if (kept.size <= most) continue;
      for (const opened of [...kept.keys()].slice(0, most / 5)) kept.delete(opened);
    }
    this.#book.mark(this.#fresh.values());
  }

  /**
   * Asks the server now for all that may differ, and a moment later again: what came just before a stream was opened, the
   * store may not have yet.
   */
  refresh(): void {
    this.#onceMore = true;
    this.#schedule(0);
  }

  /** Loads the page before the first candle, unless it is loading or there is none. */
  async older(): Promise<void> {
    const first = this.#book.candles[0];
    if (!this.#loaded || this.#noOlder || this.#loadingOlder || first === undefined) return;
    if (this.#book.candles.length > MAX_CANDLES - PAGE) return;
    this.#loadingOlder = true;
    try {
      const candles = candlesOf(await this.#ask("candles", { interval: this.interval, to: first.time, limit: PAGE }));
      if (candles.length < PAGE) this.#noOlder = true;
      const from = candles[0]?.time;
      if (from !== undefined) {
        const gaps = gapsOf(await this.#ask("gaps", { from, to: first.time, limit: MOST }));
        this.#keepGaps(gaps);
        this.#book.tellOlder(candles);
      }
      this.#trouble = undefined;
    } catch (error) {
      if (this.#end.signal.aborted) return;
      this.#trouble = this.#options.trouble(error);
    } finally {
      this.#loadingOlder = false;
    }
    this.#options.onChange();
  }

  /** What to draw, if something changed since the last call. */
  draw(): Drawing | undefined {
    const now = this.#serverNow();
    this.#book.settle(now);
    const isOpen = [...this.#gaps.values()].some(({ to, missed }) => missed && to === null);
    // while a gap lasts, the axis goes on without candles
    const window = Math.floor(now / 1000 / this.#length);
    const grows = isOpen && window !== this.#lastWindow;
    this.#lastWindow = window;
    const changes = this.#book.takeChanges();
    if (changes === undefined && !this.#gapsChanged && !isOpen) return undefined;
    const candles = this.#book.candles;
    const regions = regionsOf(this.#gaps.values(), candles, this.interval, now / 1000);
    const all = (changes?.all ?? false) || this.#gapsChanged || grows;
    this.#gapsChanged = false;
    return {
      all,
      changed: changes?.changed ?? [],
      candles,
      regions,
      blanks: () => blanksOf(regions, candles, this.interval),
    };
  }

  #serverNow(): number {
    return this.#options.clock.now() + this.#options.serverAhead();
  }

  #startOf(time: number): number {
    const first = this.#book.candles[0]?.time ?? time;
    return Math.max(first, Math.floor(time / this.#length) * this.#length - this.#length);
  }

  #ask(what: string, params: Readonly<Record<string, string | number>>): Promise<unknown> {
    const query = new URLSearchParams({ product: this.product });
    for (const [name, value] of Object.entries(params)) query.set(name, String(value));
    return this.#options.ask(`api/${what}?${query}`, this.#end.signal);
  }

  #refreshSoon(): void {
    const pause = this.#refreshedAt + DOUBT_PAUSE_MS - this.#options.clock.now();
    this.#schedule(Math.max(DOUBT_MS, pause));
  }

  /** The earliest of what was asked for counts. */
  #schedule(ms: number): void {
    if (this.#end.signal.aborted) return;
    const { clock } = this.#options;
    const at = clock.now() + ms;
    if (at >= this.#dueAt) return;
    this.#dueAt = at;
    // what is being asked comes to its end first, and then looks here
    if (this.#refreshing) return;
    this.#cancel();
    this.#cancel = clock.after(ms, () => {
      this.#refresh();
    });
  }

  async #refresh(): Promise<void> {
    const { clock } = this.#options;
    this.#dueAt = Infinity;
    this.#refreshing = true;
    let next = REFRESH_MS;
    if (this.#onceMore) next = DOUBT_MS;
    this.#onceMore = false;
    try {
      await this.#bring();
      this.#attempt = 0;
      this.#trouble = undefined;
      this.#loaded = true;
    } catch (error) {
      if (this.#end.signal.aborted) return;
      this.#trouble = this.#options.trouble(error);
      next = backoffMs(this.#attempt++, RETRY, 1);
    } finally {
      this.#refreshing = false;
    }
    this.#refreshedAt = clock.now();
    const wanted = this.#dueAt - clock.now();
    this.#dueAt = Infinity;
    this.#schedule(Math.max(0, Math.min(next, wanted)));
    this.#options.onChange();
  }

  async #bring(): Promise<void> {
    let from = this.#sure;
    let candles: WireCandle[] = [];
    let gaps: WireGap[] = [];
    let gapsFrom = Infinity;
    const askGaps = async (since: number) => {
      gapsFrom = since;
      gaps = gapsOf(await this.#ask("gaps", { from: since, limit: MOST }));
    };
    if (from !== undefined) {
      candles = candlesOf(await this.#ask("candles", { interval: this.interval, from, limit: MOST }));
      // more than one answer holds: what is drawn is too old to be continued
      if (candles.length === MOST) from = undefined;
    }
    if (from === undefined) {
      // gaps are asked for beside the candles: as far back as these reach where none is missing
      const [told] = await Promise.all([
        this.#ask("candles", { interval: this.interval, limit: PAGE }),
        askGaps(Math.floor(this.#serverNow() / 1000) - PAGE * this.#length),
      ]);
      candles = candlesOf(told);
      this.#noOlder = candles.length < PAGE;
    }
    // one that was open may have ended before the candles that still change
    const open = [...this.#gaps.values()].filter(({ to }) => to === null).map(({ from, opened }) => from ?? opened);
    const since = Math.min(from ?? candles[0]?.time ?? gapsFrom, ...open);
    if (since < gapsFrom) await askGaps(since);
    this.#book.settle(this.#serverNow());
    this.#book.tell(from ?? -Infinity, candles);
    this.#keepGaps(gaps);
    // a late tick may still change the last ones
    const last = candles.at(-1)?.time;
    if (last !== undefined) this.#sure = last - Math.max(2 * this.#length, LATE_SECONDS);
    else this.#sure = from;
    this.#heedDoubt();
  }

  #heedDoubt(): void {
    const doubt = this.#book.takeDoubt();
    if (doubt === undefined) return;
    if (this.#sure !== undefined) this.#sure = Math.min(this.#sure, doubt);
    this.#refreshSoon();
  }

  #keepGaps(gaps: readonly WireGap[]): void {
    for (const gap of gaps) {
      const before = this.#gaps.get(gap.opened);
      // the stream may have told of its end before the store knew
      if (before !== undefined && before.to !== null) continue;
      if (before !== undefined && gap.to === null) continue;
      this.#gaps.set(gap.opened, gap);
      this.#gapsChanged = true;
    }
  }
}
