// /api/stream: server-sent events. Streams with the same products and rhythm share each text. A reader that connects again gets what it
// missed from the store and the LiveSink's memory; a reader that is too slow is disconnected.

import { INTERVALS } from "../core/candle.ts";
import type { Clock } from "../core/clock.ts";
import { type FeedEvent, type Gap, seriesOf, type Tick, tickId, toGapRecord } from "../core/record.ts";
import { isOlder, type LiveListener, type LiveSink } from "./live.ts";
import type { ProductStatus } from "../pipeline/source.ts";
import type { ProductKey, StoreReader } from "../store/reader.ts";
import { type Api, type StoreGate, tickText } from "./api.ts";
import { CandleEvents, type CandleSeries } from "./candle_events.ts";
import { HttpError, readParameters, text, unusable, whole } from "./request.ts";

/** Most events of a backfill; if more were missed, a `reset` is sent instead. */
export const BACKFILL_LIMIT = 10_000;
/** Most open streams; more are refused. */
export const MAX_STREAMS = 100;
/** Series of candles that one stream can follow. */
export const MAX_CANDLE_SERIES = 50;
/** Most bytes that wait for a reader; if there are more, it is disconnected (`shed`). */
export const MAX_UNSENT = 1 << 20;

/** Without everyMs events are collected for this long, ms: nobody sees it, and it saves most of the writes. */
const COLLECT_MS = 25;
const MIN_EVERY_MS = 50;
const MAX_EVERY_MS = 10_000;
const STATUS_MS = 1000;
const COMMENT_MS = 15_000;
/** After this long the live events no longer repeat a backfill, ms. */
const REPEAT_MS = 10_000;
/** A backfill from the store may lack ticks that arrived later than this after their exchange time, ms. */
const LATE_MS = 60_000;
/** How long a browser waits before it connects again, ms. */
const RETRY_MS = 2000;

/** Ids are ms since the epoch; this one is far in the future. */
const MAX_ID = 999_999_999_999_999;
const TOO_MUCH = `more than ${BACKFILL_LIMIT} events were missed`;
const SHED_REASON = "this reader does not keep up: come again with Last-Event-ID";

/** The content of the status events. */
export interface StreamStatus {
  /** Each one is sent only when it has changed. */
  readonly products: readonly ProductStatus[];
  /** Everything else of `/api/status`. */
  readonly rest: Readonly<Record<string, unknown>>;
}

/** What {@link Streams} uses. */
export interface StreamOptions {
  /** Live events, and the last ones in memory. */
  readonly live: LiveSink;
  /** Older events, and candles. */
  readonly store: StoreReader;
  /** Knows the products. */
  readonly api: Api;
  /** Limits how many reads of the store run at the same time. */
  readonly gate: StoreGate;
  /** Lower-case name of the source's exchange. */
  readonly exchange: string;
  /** The present status. */
  readonly status: () => StreamStatus;
  /** Time. */
  readonly clock: Clock;
  /** Called with an unexpected error; its stream ends. */
  readonly onBug: (error: unknown) => void;
}

const encoder = new TextEncoder();
const COMMENT = encoder.encode(": still here\n\n");

function block(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n`;
}

/** Events as text; the last one has the id. */
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

/** An open gap may be sent again with other values: each form of it has its own id. */
function eventId(event: FeedEvent): string {
  return event.kind === "tick" ? tickId(event) : `${gapId(event)} ${toGapRecord(event)}`;
}

/** Recognises events that a reader already has, and open forms of gaps that it knows to be closed. */
class Known {
  readonly #ids = new Set<string>();

  add(event: FeedEvent): void {
    this.#ids.add(eventId(event));
    if (event.kind === "gap" && event.to !== null) this.#ids.add(gapId(event));
  }

  has(event: FeedEvent): boolean {
    return this.#ids.has(eventId(event)) || (event.kind === "gap" && event.to === null && this.#ids.has(gapId(event)));
  }
}

/** What a merged stream would have sent: the newest tick of each product in each period of `everyMs`, and all gaps, in order. */
export function mergeTicks(events: readonly FeedEvent[], everyMs: number): FeedEvent[] {
  const merged = new Merged();
  let period: number | undefined;
  const out: FeedEvent[] = [];
  for (const event of events) {
    if (event.kind === "tick") {
      const ownPeriod = Math.floor(event.receivedTime / everyMs);
      if (ownPeriod !== period) out.push(...merged.take());
      period = ownPeriod;
    }
    merged.add(event);
  }
  return [...out, ...merged.take()];
}

/** Collects events, and keeps only the newest tick of each product between two gaps. */
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

/** One open stream, and the bounded queue of what its reader has not read yet. */
class Reader {
  readonly body: ReadableStream<Uint8Array>;
  /** The product states that were sent last, as JSON by series. */
  sentStates: ReadonlyMap<string, string> = new Map();
  /** Events of the backfill, which may come again as live events until this watermark, or this time (elapsed ms). */
  known: { readonly events: Known; readonly until: number; readonly elapsed: number } | undefined;
  group: Group | undefined;
  readonly #chunks: Uint8Array[] = [];
  #unsent = 0;
  /** A backfill may be larger than the bound. */
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

  get isEnded(): boolean {
    return this.#ended;
  }

  /** Queues a chunk, or disconnects the reader if too much is waiting. */
  send(chunk: Uint8Array): void {
    if (this.#ended) return;
    if (this.#unsent <= MAX_UNSENT) this.#allowance = 0;
    if (this.#unsent + chunk.length > MAX_UNSENT + this.#allowance) return this.#shed();
    this.#push(chunk);
  }

  /** Queues a chunk of any length. */
  sendBackfill(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.#allowance = chunk.length;
    this.#push(chunk);
  }

  /** Ends the stream after what is queued. */
  end(): void {
    this.#ended = true;
    this.#signal();
    this.#onGone(this);
  }

  /** What is queued is dropped: the reader gets it when it connects again. */
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

/** Sends live events to all readers with the same products and rhythm. */
class Group implements LiveListener {
  readonly key: string;
  readonly everyMs: number | undefined;
  readonly series: readonly string[];
  readonly readers = new Set<Reader>();
  readonly #live: LiveSink;
  readonly #clock: Clock;
  readonly #merged = new Merged();
  #all: FeedEvent[] = [];
  /** The last flush was less than the rhythm ago. */
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

  /** All events that have arrived were sent. */
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

  async close(): Promise<void> {
    this.#unlisten();
    this.#over.abort();
    await this.#waiting;
  }

  #flushAndRest(): void {
    this.flush();
    this.#resting = true;
    this.#waiting = this.#clock.sleep(this.everyMs ?? COLLECT_MS, this.#over.signal).then(() => {
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

/** What a reader has subscribed to. */
interface Subscription {
  readonly everyMs: number | undefined;
  /** By series. */
  readonly products: ReadonlyMap<string, ProductKey>;
}

/** A status event, with and without an id. */
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
  /** Running tasks; none of them rejects. */
  readonly #tasks = new Set<Promise<void>>();
  #open = 0;
  #closed = false;
  /** Ends the sending of statuses. */
  #statuses: AbortController | undefined;

  /** No stream is open at first. */
  constructor(options: StreamOptions) {
    this.#options = options;
  }

  /**
   * Opens a stream. Throws a {@link HttpError} if that is not possible.
   *
   * @param completed settles when the connection is done with the response, for whatever reason
   */
  open(request: Request, search: URLSearchParams, completed: Promise<void>): Response {
    const { product, everyMs, candles: wanted, lastEventId: asked } = readParameters(search, {
      product: text,
      everyMs: whole(MIN_EVERY_MS, MAX_EVERY_MS),
      candles: text,
      lastEventId: whole(0, MAX_ID),
    });
    const subscription: Subscription = { everyMs, products: this.#wanted(product) };
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
      // a reader that was disconnected counts until its connection is closed
      this.#open--;
      reader.end();
    };
    completed.then(ended, ended);
    this.#readers.add(reader);
    if (this.#statuses === undefined) this.#run(this.#sendStatuses((this.#statuses = new AbortController()).signal));

    // before the first event: what is stored later is sent, what was stored before can be fetched
    for (const [key, series] of candles) this.#joinCandles(reader, key, series);

    // no header is refused, because a browser would not try again after an error status
    const header = request.headers.get("last-event-id");
    const lastEventId = header === null || header === ""
      ? asked
      : /^\d{1,15}$/.test(header)
      ? Number(header)
      : Infinity;
    if (lastEventId === undefined) {
      this.#sendFirstStatus(reader, true);
      this.#join(reader, subscription);
      this.#sendNewest(reader, subscription);
    } else {
      this.#sendFirstStatus(reader, false);
      this.#run(
        this.#resume(reader, subscription, lastEventId).catch((error) => {
          reader.end();
          throw error;
        }),
      );
    }
    return new Response(reader.body, { headers });
  }

  /** Sends what is queued, ends all streams, and resolves when no task is running. */
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
    const expected = `at most ${MAX_CANDLE_SERIES} pairs like BTC-USD:1m, separated by commas, with ${
      INTERVALS.join(", ")
    }`;
    const all = this.#options.api.series();
    const wanted = new Map(
      text.split(",").map((key): [string, CandleSeries] => {
        // a product may be called kraken:BTC/USD
        const colon = key.lastIndexOf(":");
        const interval = INTERVALS.find((each) => each === key.slice(colon + 1));
        if (colon < 0 || interval === undefined) throw unusable("candles", expected, text);
        return [key, { product: this.#options.api.find(key.slice(0, colon), all), interval }];
      }),
    );
    if (wanted.size > MAX_CANDLE_SERIES) throw unusable("candles", expected, text);
    return wanted;
  }

  /** Runs a task that rejects only because of a bug. */
  #run(task: Promise<void>): void {
    const settled = task.catch(this.#options.onBug).then(() => void this.#tasks.delete(settled));
    this.#tasks.add(settled);
  }

  /** From now on the reader gets live events. */
  #join(reader: Reader, { everyMs, products }: Subscription): void {
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
    this.#statuses?.abort();
    this.#statuses = undefined;
  }

  /** A merged stream begins with the newest prices. */
  #sendNewest(reader: Reader, { everyMs, products }: Subscription): void {
    if (everyMs === undefined) return;
    const { live } = this.#options;
    const ticks = [...products.keys()].flatMap((series) => live.newest(series) ?? []);
    if (ticks.length > 0) this.#sendBackfill(reader, ticks, ticks);
  }

  /**
   * Sends events before the first live ones.
   *
   * @param known left out of the live events that follow
   */
  #sendBackfill(reader: Reader, events: readonly FeedEvent[], known: readonly FeedEvent[]): void {
    const { live, clock } = this.#options;
    reader.sendBackfill(encoder.encode(textOf(events, live.watermark)));
    const noted = new Known();
    let until = -Infinity;
    for (const event of known) {
      noted.add(event);
      if (event.kind === "tick" && event.receivedTime > until) until = event.receivedTime;
    }
    reader.known = { events: noted, until, elapsed: clock.elapsed() + REPEAT_MS };
  }

  /** Sends what the reader has missed, then live events. */
  async #resume(reader: Reader, subscription: Subscription, lastEventId: number): Promise<void> {
    const missedNow = await this.#missed(subscription, lastEventId);
    if (reader.isEnded) return;
    // in one go: an event that arrives between the two would be missing
    const missed = missedNow();
    this.#join(reader, subscription);
    if (typeof missed !== "string") {
      const events = subscription.everyMs === undefined ? missed : mergeTicks(missed, subscription.everyMs);
      if (events.length === 0) return;
      if (events.length <= BACKFILL_LIMIT) return this.#sendBackfill(reader, events, missed);
    }
    const reason = typeof missed === "string" ? missed : TOO_MUCH;
    const id = `id: ${this.#options.live.watermark}\n`;
    reader.send(encoder.encode(`${block("reset", JSON.stringify({ reason }))}${id}\n`));
    this.#sendNewest(reader, subscription);
  }

  /** Reads the store if necessary. The function that it returns gives all events after this moment, or why that is not possible. */
  async #missed({ products }: Subscription, lastEventId: number): Promise<() => readonly FeedEvent[] | string> {
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

  /** The retry delay, and the status with all products. */
  #sendFirstStatus(reader: Reader, withId: boolean): void {
    const now = this.#statusNow();
    const texts = this.#statusTexts(now, reader.sentStates);
    reader.send(encoder.encode(`retry: ${RETRY_MS}\n\n`));
    reader.send(withId ? texts.withId : texts.plain);
    reader.sentStates = now.states;
  }

  /** Runs as long as there are readers. */
  async #sendStatuses(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let commentAt = clock.elapsed() + COMMENT_MS;
    while (true) {
      await clock.sleep(STATUS_MS, signal).catch(() => {});
      if (signal.aborted) return;
      this.#sendStatus();
      if (clock.elapsed() < commentAt) continue;
      commentAt = clock.elapsed() + COMMENT_MS;
      for (const reader of this.#readers) reader.send(COMMENT);
    }
  }

  #sendStatus(): void {
    const now = this.#statusNow();
    // nearly all readers got the same states last
    const texts = new Map<ReadonlyMap<string, string>, StatusTexts>();
    for (const reader of this.#readers) {
      let text = texts.get(reader.sentStates);
      if (text === undefined) texts.set(reader.sentStates, text = this.#statusTexts(now, reader.sentStates));
      // an id means that everything up to it was sent
      reader.send(reader.group?.isIdle ? text.withId : text.plain);
      reader.sentStates = now.states;
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
    sent: ReadonlyMap<string, string>,
  ): StatusTexts {
    const news = [...states].filter(([series, state]) => sent.get(series) !== state).map(([, state]) => state);
    const text = block("status", `${rest.slice(0, -1)},"products":[${news.join(",")}]}`);
    return {
      withId: encoder.encode(`${text}id: ${this.#options.live.watermark}\n\n`),
      plain: encoder.encode(`${text}\n`),
    };
  }
}
