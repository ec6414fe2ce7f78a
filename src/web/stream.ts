// /api/stream: server-sent events of ticks, gaps and status. Readers who want the same share one text; one who comes back gets what
// he missed out of store and memory; one who does not read is shed. What is live is the LiveSink's matter.

import { INTERVALS } from "../core/candle.ts";
import type { Clock } from "../core/clock.ts";
import { type FeedEvent, type Gap, seriesOf, type Tick, tickId, toGapRecord } from "../core/record.ts";
import { isOlder, type LiveListener, type LiveSink } from "./live.ts";
import type { ProductStatus } from "../pipeline/source.ts";
import type { ProductKey, StoreReader } from "../store/reader.ts";
import { type Api, type StoreGate, tickText } from "./api.ts";
import { CandleEvents, type CandleSeries } from "./candle_events.ts";
import { HttpError, readParameters, text, unusable, whole } from "./request.ts";

/** Events that a backfill may bring; beyond it there is a reset. */
export const BACKFILL_LIMIT = 10_000;
/** Streams that may be open; beyond it they are refused. */
export const MAX_STREAMS = 100;
/** Series of candles that one stream can follow. */
export const MAX_CANDLE_SERIES = 50;
/** Text that may wait for a reader, bytes; beyond it the reader is shed. */
export const MAX_UNSENT = 1 << 20;

/** Without everyMs ticks are gathered for so long, ms: nobody sees it, and it saves most of the writes. */
const GATHER_MS = 25;
/** The rhythms that can be asked for, ms. */
const MIN_EVERY_MS = 50;
const MAX_EVERY_MS = 10_000;
const STATUS_MS = 1000;
const COMMENT_MS = 15_000;
/** After so long no event of a backfill comes once more, ms. */
const KNOWN_MS = 10_000;
/** What the store leaves out of a backfill: ticks that came later than this, ms. */
const LATE_MS = 60_000;
/** What a browser waits before it comes again, ms. */
const RETRY_MS = 2000;

/** Largest id that a query may name: any later moment lies in the future anyway. */
const MAX_ID = 999_999_999_999_999;
const TOO_MUCH = `more than ${BACKFILL_LIMIT} events were missed`;
const SHED_REASON = "this reader does not keep up: come again with Last-Event-ID";

/** What the status events are made from. */
export interface StreamStatus {
  /** Told as products of their own, and only when they change. */
  readonly products: readonly ProductStatus[];
  /** Everything else of `/api/status`, as it stands there. */
  readonly rest: Readonly<Record<string, unknown>>;
}

/** What the streams are built from. */
export interface StreamOptions {
  /** Where what happens comes from. */
  readonly live: LiveSink;
  /** Where what was missed comes from. */
  readonly store: StoreReader;
  /** Which products there are. */
  readonly api: Api;
  /** The way to the store. */
  readonly gate: StoreGate;
  /** Lower-case name of the source's exchange. */
  readonly exchange: string;
  /** The program as it stands. */
  readonly status: () => StreamStatus;
  /** Time. */
  readonly clock: Clock;
  /** Told of what should not have happened; the stream in question ends. */
  readonly onBug: (error: unknown) => void;
}

const encoder = new TextEncoder();
const COMMENT = encoder.encode(": still here\n\n");
const NOTHING_TOLD: ReadonlyMap<string, string> = new Map();

function block(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n`;
}

/** Events as text; the last one bears the id. */
function textOf(events: readonly FeedEvent[], id: number): string {
  let text = "";
  const last = events.length - 1;
  for (let i = 0; i <= last; i++) {
    const event = events[i] as FeedEvent;
    text += event.kind === "tick" ? block("tick", tickText(event, true)) : block("gap", toGapRecord(event));
    text += i === last ? `id: ${id}\n\n` : "\n";
  }
  return text;
}

function gapId(gap: Gap): string {
  return `gap ${seriesOf(gap.exchange, gap.product)} ${gap.opened}`;
}

/**
 * What names an event for ever. A gap that lasts may be told again in a newer form: each form has a name of its own.
 */
function eventId(event: FeedEvent): string {
  return event.kind === "tick" ? tickId(event) : `${gapId(event)} ${toGapRecord(event)}`;
}

/** Events that a reader has, and need not get again: after a closed gap its open forms, too. */
class Known {
  readonly #ids = new Set<string>();

  /** Takes note of one. */
  add(event: FeedEvent): void {
    this.#ids.add(eventId(event));
    if (event.kind === "gap" && event.to !== null) this.#ids.add(gapId(event));
  }

  /** Whether it would tell nothing new. */
  has(event: FeedEvent): boolean {
    return this.#ids.has(eventId(event)) || (event.kind === "gap" && event.to === null && this.#ids.has(gapId(event)));
  }
}

/** What a merged stream would have brought: per product and stretch of `everyMs` the newest tick; all gaps, in their places. */
export function mergeTicks(events: readonly FeedEvent[], everyMs: number): FeedEvent[] {
  const merged = new Merged();
  let stretch: number | undefined;
  const out: FeedEvent[] = [];
  for (const event of events) {
    if (event.kind === "tick") {
      const own = Math.floor(event.receivedTime / everyMs);
      if (own !== stretch) out.push(...merged.take());
      stretch = own;
    }
    merged.add(event);
  }
  return [...out, ...merged.take()];
}

/** Gathers events so that of each product only the newest tick is left between two gaps. */
class Merged {
  #events: FeedEvent[] = [];
  readonly #places = new Map<string, number>();

  get size(): number {
    return this.#events.length;
  }

  add(event: FeedEvent): void {
    const series = seriesOf(event.exchange, event.product);
    // a tick must not move to the other side of a gap
    if (event.kind === "gap") this.#places.delete(series);
    const place = this.#places.get(series);
    if (place !== undefined) {
      if (!isOlder(event as Tick, this.#events[place] as Tick)) this.#events[place] = event;
      return;
    }
    if (event.kind === "tick") this.#places.set(series, this.#events.length);
    this.#events.push(event);
  }

  take(): FeedEvent[] {
    const events = this.#events;
    this.#events = [];
    this.#places.clear();
    return events;
  }
}

/** One open stream: what waits for its reader, never more than a bound. */
class Reader {
  readonly body: ReadableStream<Uint8Array>;
  /** States that were told, by series. */
  told: ReadonlyMap<string, string> = new Map();
  /** What came with the backfill and may come once more, and how long that is possible: a watermark, or elapsed ms. */
  known: { readonly events: Known; readonly until: number; readonly elapsed: number } | undefined;
  group: Group | undefined;
  readonly #chunks: Uint8Array[] = [];
  #unsent = 0;
  /** A backfill may be larger than the bound; nothing may be added to it until it is read. */
  #allowance = 0;
  #ended = false;
  #left = false;
  #wake: (() => void) | undefined;
  readonly #onGone: (reader: Reader) => void;

  constructor(onGone: (reader: Reader) => void) {
    this.#onGone = onGone;
    this.body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        while (this.#chunks.length === 0 && !this.#ended) await new Promise<void>((resolve) => this.#wake = resolve);
        const chunk = this.#chunks.shift();
        if (chunk === undefined) {
          // the reader may have left in the meantime
          if (!this.#left) controller.close();
          return;
        }
        this.#unsent -= chunk.length;
        if (!this.#left) controller.enqueue(chunk);
      },
      cancel: () => {
        this.#left = true;
        this.#leave();
      },
    }, { highWaterMark: 0 });
  }

  /** No more will be sent. */
  get isEnded(): boolean {
    return this.#ended;
  }

  /** Queues it, or sheds the reader. */
  send(chunk: Uint8Array): void {
    if (this.#ended) return;
    if (this.#unsent <= MAX_UNSENT) this.#allowance = 0;
    if (this.#unsent + chunk.length > MAX_UNSENT + this.#allowance) return this.#shed();
    this.#push(chunk);
  }

  /** Queues it, however long it is. */
  sendBackfill(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.#allowance = chunk.length;
    this.#push(chunk);
  }

  /** After what is queued. */
  end(): void {
    this.#ended = true;
    this.#signal();
    this.#onGone(this);
  }

  /** What waits is let go: it comes again with the reader. */
  #shed(): void {
    this.#chunks.length = 0;
    this.#unsent = 0;
    this.#push(encoder.encode(`${block("shed", JSON.stringify({ reason: SHED_REASON }))}\n`));
    this.end();
  }

  #leave(): void {
    this.#chunks.length = 0;
    this.end();
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#unsent += chunk.length;
    this.#signal();
  }

  #signal(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** Readers who want the same products in the same rhythm. */
class Group implements LiveListener {
  readonly key: string;
  readonly everyMs: number | undefined;
  readonly series: readonly string[];
  readonly readers = new Set<Reader>();
  readonly #live: LiveSink;
  readonly #clock: Clock;
  readonly #merged = new Merged();
  #all: FeedEvent[] = [];
  /** A flush was so recent that the next one has to wait. */
  #resting = false;
  readonly #over = new AbortController();
  readonly #unlisten: () => void;
  #waiting: Promise<void> = Promise.resolve();

  constructor(key: string, everyMs: number | undefined, series: readonly string[], live: LiveSink, clock: Clock) {
    this.key = key;
    this.everyMs = everyMs;
    this.series = series;
    this.#live = live;
    this.#clock = clock;
    this.#unlisten = live.listen(this, series);
  }

  /** Nothing waits to be sent: what has arrived has gone out. */
  get isIdle(): boolean {
    return this.#all.length === 0 && this.#merged.size === 0;
  }

  /** See {@link LiveListener.take}. */
  take(event: FeedEvent, isNewest: boolean): void {
    if (this.everyMs === undefined) this.#all.push(event);
    else if (isNewest) this.#merged.add(event);
  }

  /** See {@link LiveListener.rest}. */
  rest(): void {
    if (!this.#resting && !this.isIdle) this.#flushAndRest();
  }

  /** Sends what waits. */
  flush(): void {
    const events = this.everyMs === undefined ? this.#all : this.#merged.take();
    this.#all = [];
    if (events.length === 0) return;
    const id = this.#live.watermark;
    let shared: Uint8Array | undefined;
    for (const reader of this.readers) {
      if (reader.known === undefined) {
        reader.send(shared ??= encoder.encode(textOf(events, id)));
        continue;
      }
      const { known } = reader;
      const news = events.filter((event) => !known.events.has(event));
      if (news.length > 0) reader.send(encoder.encode(textOf(news, id)));
      if (id >= known.until || this.#clock.elapsed() >= known.elapsed) reader.known = undefined;
    }
  }

  /** Ends it; resolves when nothing of it sleeps any more. */
  async close(): Promise<void> {
    this.#unlisten();
    this.#over.abort();
    await this.#waiting;
  }

  #flushAndRest(): void {
    this.flush();
    this.#resting = true;
    this.#waiting = this.#clock.sleep(this.everyMs ?? GATHER_MS, this.#over.signal).then(() => {
      this.#resting = false;
      this.rest();
    }, () => {});
  }
}

/** The streams that follow one series of candles. */
interface CandleGroup {
  readonly events: CandleEvents;
  readonly readers: Set<Reader>;
}

/** What a reader asked for. */
interface Wish {
  readonly everyMs: number | undefined;
  /** By series. */
  readonly products: ReadonlyMap<string, ProductKey>;
}

/** A status event for those who were told the same before. */
interface StatusTexts {
  readonly withId: Uint8Array;
  readonly plain: Uint8Array;
}

/** All open streams. */
export class Streams {
  readonly #options: StreamOptions;
  readonly #groups = new Map<string, Group>();
  /** By product and interval as in the query. */
  readonly #candleGroups = new Map<string, CandleGroup>();
  readonly #readers = new Set<Reader>();
  /** What runs beside the requests; none of it rejects. */
  readonly #tasks = new Set<Promise<void>>();
  #open = 0;
  #closed = false;
  #telling: AbortController | undefined;

  /** None is open. */
  constructor(options: StreamOptions) {
    this.#options = options;
  }

  /**
   * Opens one. Throws a {@link HttpError} where that cannot be.
   *
   * @param completed settles when the connection has nothing more to do with it, however that came
   */
  open(request: Request, search: URLSearchParams, completed: Promise<void>): Response {
    const { product, everyMs, candles: wanted, lastEventId: asked } = readParameters(search, {
      product: text,
      everyMs: whole(MIN_EVERY_MS, MAX_EVERY_MS),
      candles: text,
      lastEventId: whole(0, MAX_ID),
    });
    const wish: Wish = { everyMs, products: this.#wanted(product) };
    const candles = this.#wantedCandles(wanted);
    const headers = { "content-type": "text/event-stream", "x-accel-buffering": "no" };
    if (request.method === "HEAD") return new Response(null, { headers });
    if (this.#closed || this.#open >= MAX_STREAMS) {
      const why = this.#closed ? "the program is stopping" : `${MAX_STREAMS} are open`;
      throw new HttpError(503, `Cannot open a stream: ${why}, try again later`, { "retry-after": "5" });
    }

    const reader = new Reader((gone) => this.#leave(gone));
    this.#open++;
    const ended = () => {
      // one who is shed and does not even hang up keeps his place until he does
      this.#open--;
      reader.end();
    };
    completed.then(ended, ended);
    this.#readers.add(reader);
    if (this.#telling === undefined) this.#run(this.#tell((this.#telling = new AbortController()).signal));

    // before the first event: what is stored later is sent, what was stored before can be fetched
    for (const [key, series] of candles) this.#joinCandles(reader, key, series);

    // a browser that is refused here would never come again, so that any header will do
    const header = request.headers.get("last-event-id");
    const lastEventId = header === null || header === ""
      ? asked
      : /^\d{1,15}$/.test(header)
      ? Number(header)
      : Infinity;
    if (lastEventId === undefined) {
      this.#greet(reader, true);
      this.#join(reader, wish);
      this.#sendNewest(reader, wish);
    } else {
      this.#greet(reader, false);
      this.#run(
        this.#resume(reader, wish, lastEventId).catch((error) => {
          reader.end();
          throw error;
        }),
      );
    }
    return new Response(reader.body, { headers });
  }

  /** Ends all streams once what waits in them is sent; resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const group of this.#groups.values()) group.flush();
    for (const reader of this.#readers) reader.end();
    await Promise.all(this.#tasks);
  }

  #wanted(product: string | undefined): ReadonlyMap<string, ProductKey> {
    const all = this.#options.api.series();
    if (product === undefined) return all;
    if (product === "") throw unusable("product", "products separated by commas", product);
    return new Map(product.split(",").map((series) => [series, this.#options.api.find(series, all)]));
  }

  /** By `BTC-USD:1m`. */
  #wantedCandles(text: string | undefined): ReadonlyMap<string, CandleSeries> {
    if (text === undefined) return new Map();
    const wish = `at most ${MAX_CANDLE_SERIES} pairs like BTC-USD:1m, separated by commas, with ${
      INTERVALS.join(", ")
    }`;
    const all = this.#options.api.series();
    const wanted = new Map(
      text.split(",").map((key): [string, CandleSeries] => {
        // a product may be called kraken:BTC/USD
        const colon = key.lastIndexOf(":");
        const interval = INTERVALS.find((each) => each === key.slice(colon + 1));
        if (colon < 0 || interval === undefined) throw unusable("candles", wish, text);
        return [key, { product: this.#options.api.find(key.slice(0, colon), all), interval }];
      }),
    );
    if (wanted.size > MAX_CANDLE_SERIES) throw unusable("candles", wish, text);
    return wanted;
  }

  /** Whatever it rejects with is a bug. */
  #run(task: Promise<void>): void {
    const settled = task.catch(this.#options.onBug).then(() => void this.#tasks.delete(settled));
    this.#tasks.add(settled);
  }

  /** From now on this reader gets what comes. */
  #join(reader: Reader, { everyMs, products }: Wish): void {
    const series = [...products.keys()];
    const key = `${everyMs} ${series.toSorted().join()}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new Group(key, everyMs, series, this.#options.live, this.#options.clock);
      this.#groups.set(key, group);
    }
    group.readers.add(reader);
    reader.group = group;
  }

  #joinCandles(reader: Reader, key: string, series: CandleSeries): void {
    let group = this.#candleGroups.get(key);
    if (group === undefined) {
      const { store, gate, clock, onBug } = this.#options;
      const readers = new Set<Reader>();
      const onEvent = (name: string, data: string) => {
        const chunk = encoder.encode(`${block(name, data)}\n`);
        for (const each of readers) each.send(chunk);
      };
      group = { readers, events: new CandleEvents(series, { store, gate, clock, onEvent, onBug }) };
      this.#candleGroups.set(key, group);
    }
    group.readers.add(reader);
  }

  #leaveCandles(reader: Reader): void {
    for (const [key, { readers, events }] of this.#candleGroups) {
      if (!readers.delete(reader) || readers.size > 0) continue;
      this.#candleGroups.delete(key);
      this.#run(events.close());
    }
  }

  #leave(reader: Reader): void {
    this.#leaveCandles(reader);
    const { group } = reader;
    reader.group = undefined;
    if (group?.readers.delete(reader) && group.readers.size === 0) {
      this.#groups.delete(group.key);
      this.#run(group.close());
    }
    if (!this.#readers.delete(reader) || this.#readers.size > 0) return;
    this.#telling?.abort();
    this.#telling = undefined;
  }

  /** A merged stream begins with prices, not with silence until the next ones. */
  #sendNewest(reader: Reader, { everyMs, products }: Wish): void {
    if (everyMs === undefined) return;
    const { live } = this.#options;
    const ticks = [...products.keys()].flatMap((series) => live.newest(series) ?? []);
    if (ticks.length > 0) this.#sendFirst(reader, ticks, ticks);
  }

  /**
   * Sends what comes before what the group brings.
   *
   * @param known what need not come once more with the group's next events
   */
  #sendFirst(reader: Reader, events: readonly FeedEvent[], known: readonly FeedEvent[]): void {
    const { live, clock } = this.#options;
    reader.sendBackfill(encoder.encode(textOf(events, live.watermark)));
    const noted = new Known();
    let until = -Infinity;
    for (const event of known) {
      noted.add(event);
      if (event.kind === "tick" && event.receivedTime > until) until = event.receivedTime;
    }
    reader.known = { events: noted, until, elapsed: clock.elapsed() + KNOWN_MS };
  }

  /** Sends what the reader has missed, then live events. */
  async #resume(reader: Reader, wish: Wish, lastEventId: number): Promise<void> {
    const missedNow = await this.#missed(wish, lastEventId);
    if (reader.isEnded) return;
    // in one go: an event that arrives between the two would be missing
    const missed = missedNow();
    this.#join(reader, wish);
    if (typeof missed !== "string") {
      const events = wish.everyMs === undefined ? missed : mergeTicks(missed, wish.everyMs);
      if (events.length === 0) return;
      if (events.length <= BACKFILL_LIMIT) return this.#sendFirst(reader, events, missed);
    }
    const reason = typeof missed === "string" ? missed : TOO_MUCH;
    const id = `id: ${this.#options.live.watermark}\n`;
    reader.send(encoder.encode(`${block("reset", JSON.stringify({ reason }))}${id}\n`));
    this.#sendNewest(reader, wish);
  }

  /** Reads the store if necessary. The function that it returns gives all events after this moment, or why that is not possible. */
  async #missed({ products }: Wish, lastEventId: number): Promise<() => readonly FeedEvent[] | string> {
    const { live, store, gate } = this.#options;
    const series = [...products.keys()];
    const from = live.safeWatermark(lastEventId);
    if (from === undefined) return () => "the clock was set back, or the id is none of ours";
    let stored: readonly FeedEvent[] | undefined = [];
    if (!live.after(from, series).isWhole) {
      try {
        stored = await gate.run(() => store.since([...products.values()], from, BACKFILL_LIMIT));
      } catch (error) {
        if (!(error instanceof HttpError)) throw error;
        const { message } = error;
        return () => message;
      }
    }
    return () => {
      const { events, isWhole, left } = live.after(from, series);
      if (isWhole) return events;
      if (stored === undefined) return TOO_MUCH;
      const known = new Known();
      for (const event of stored) known.add(event);
      const isLate = (tick: Tick) => tick.exchangeTimeUs / 1000 < from - LATE_MS;
      if (left.some((tick) => !known.has(tick) && !isLate(tick))) return "the store is too far behind";
      return [...stored, ...events.filter((event) => !known.has(event))];
    };
  }

  /** The first words: when to come again, and how things are. */
  #greet(reader: Reader, withId: boolean): void {
    const now = this.#statusNow();
    const texts = this.#statusTexts(now, NOTHING_TOLD);
    reader.send(encoder.encode(`retry: ${RETRY_MS}\n\n`));
    reader.send(withId ? texts.withId : texts.plain);
    reader.told = now.states;
  }

  /** As long as there are readers. */
  async #tell(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let commentAt = clock.elapsed() + COMMENT_MS;
    while (true) {
      await clock.sleep(STATUS_MS, signal).catch(() => {});
      if (signal.aborted) return;
      this.#tellStatus();
      if (clock.elapsed() < commentAt) continue;
      commentAt = clock.elapsed() + COMMENT_MS;
      for (const reader of this.#readers) reader.send(COMMENT);
    }
  }

  #tellStatus(): void {
    const now = this.#statusNow();
    // nearly all were told the same
    const texts = new Map<ReadonlyMap<string, string>, StatusTexts>();
    for (const reader of this.#readers) {
      let text = texts.get(reader.told);
      if (text === undefined) texts.set(reader.told, text = this.#statusTexts(now, reader.told));
      // an id says that all before it was sent
      reader.send(reader.group?.isIdle ? text.withId : text.plain);
      reader.told = now.states;
    }
  }

  #statusNow(): { rest: string; states: ReadonlyMap<string, string> } {
    const { status, exchange } = this.#options;
    const { products, rest } = status();
    const states = new Map(products.map(({ product, state, refused, note }) => {
      const series = seriesOf(exchange, product);
      return [series, JSON.stringify({ product: series, state, refused, note })];
    }));
    return { rest: JSON.stringify(rest), states };
  }

  #statusTexts(
    { rest, states }: { rest: string; states: ReadonlyMap<string, string> },
    told: ReadonlyMap<string, string>,
  ): StatusTexts {
    const news = [...states].filter(([series, state]) => told.get(series) !== state).map(([, state]) => state);
    const text = block("status", `${rest.slice(0, -1)},"products":[${news.join(",")}]}`);
    return {
      withId: encoder.encode(`${text}id: ${this.#options.live.watermark}\n\n`),
      plain: encoder.encode(`${text}\n`),
    };
  }
}
