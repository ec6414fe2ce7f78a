// /api/products, /api/ticks, /api/candles and /api/gaps: what has happened, from the store. Only a few queries run at the
// same time, so that many readers cannot slow down writing. What happens from now on is sent by stream.ts.

import { INTERVALS } from "../core/candle.ts";
import type { Clock } from "../core/clock.ts";
import { SinkError } from "../core/errors.ts";
import { ageMs, seriesOf, type Tick, toGapRecord, toRecord } from "../core/record.ts";
import type { LiveSink } from "./live.ts";
import type { ProductStatus, Source } from "../pipeline/source.ts";
import type { ProductKey, Range, StoredCandle, StoreReader } from "../store/reader.ts";
import {
  briefly,
  HttpError,
  json,
  jsonText,
  oneOf,
  type Parameters,
  quoted,
  readParameters,
  seconds,
  text,
  unusable,
  whole,
} from "./request.ts";

const DEFAULT_LIMIT = 500;
const MAX_LIMIT = 10_000;
const RANGE = { from: seconds, to: seconds, limit: whole(1, MAX_LIMIT) };
const LIST = { product: text, ...RANGE };
const CANDLES = { product: text, interval: oneOf(INTERVALS), ...RANGE };

/** Queries that run in the store at the same time. */
const MAX_RUNNING = 4;
/** Queries that wait for their turn; beyond it they are refused. */
const MAX_WAITING = 64;

/** What the API is built from. */
export interface ApiOptions {
  readonly source: Source;
  /** Lower-case name of the source's exchange, as in its ticks. */
  readonly exchange: string;
  readonly store: StoreReader;
  /** The newest ticks; without it there is no change over 24 hours. */
  readonly live: LiveSink | undefined;
  /** For ages, and for which candle is still running. */
  readonly clock: Clock;
}

/** A tick as JSON: the fields of the record, then what else is known of it. */
export function tickText(tick: Tick, onStream = false): string {
  const { sequence, lastSize, side, open24h, receivedTime } = tick;
  let text = `${toRecord(tick).slice(0, -1)},"time":${tick.exchangeTimeUs / 1e6},"sequence":${sequence}`;
  if (lastSize !== undefined) text += `,"size":${lastSize}`;
  if (side !== undefined) text += `,"side":"${side}"`;
  if (!onStream) return `${text}}`;
  if (open24h !== undefined) text += `,"open24h":${open24h}`;
  // after a break a stream sends old ticks too: the time of arrival shows how old one is
  return `${text},"received":${receivedTime / 1000}}`;
}

/** A candle as JSON; `head`: what comes before it. */
export function candleText(candle: StoredCandle, head: Readonly<Record<string, string>> = {}): string {
  const { openTime, open, high, low, close, ticks, volume, running, incomplete, lastSequence } = candle;
  const sequence = lastSequence;
  // JSON.stringify() leaves out an undefined volume
  return JSON.stringify({
    ...head,
    time: openTime / 1000,
    open,
    high,
    low,
    close,
    ticks,
    volume,
    running,
    incomplete,
    sequence,
  });
}

function list(items: readonly string[]): Response {
  return jsonText(`[${items.join(",")}]\n`);
}

/** The change since `open`, percent, four decimals. */
function changeOf(price: number, open: number): number {
  return Math.round((price - open) / open * 1e6) / 1e4;
}

/** Lets a few queries at a time through to the store, and turns its errors into answers. */
export class StoreGate {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** Runs one query. Throws an {@link HttpError} with status 503 if too many wait or the store cannot answer. */
  async run<T>(query: () => Promise<T>): Promise<T> {
    if (this.#running < MAX_RUNNING) {
      this.#running++;
    } else {
      if (this.#waiting.length >= MAX_WAITING) {
        throw new HttpError(503, "Cannot read the store: too many requests are waiting, try again", {
          "retry-after": "1",
        });
      }
      // a query that ends passes its turn on
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    try {
      return await query();
    } catch (error) {
      if (!(error instanceof SinkError)) throw error;
      throw new HttpError(503, `Cannot read the store: ${error.message}`, { "retry-after": "5" });
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

/** The routes that answer from the store. */
export class Api {
  readonly #options: ApiOptions;
  readonly #gate: StoreGate;
  /** The newest stored tick of each product, by series, as of the start. */
  #stored: Map<string, Tick> | undefined;
  /** When {@link #stored} was read, by both clocks, ms. */
  #storedAt = { now: 0, elapsed: 0 };

  constructor(options: ApiOptions, gate: StoreGate) {
    this.#options = options;
    this.#gate = gate;
  }

  /** All products by the name that clients use, in the order of the settings. */
  series(): Map<string, ProductKey> {
    const { source, exchange } = this.#options;
    return new Map(source.status().products.map(({ product }) => [seriesOf(exchange, product), { exchange, product }]));
  }

  /** One of them. Throws an {@link HttpError} with status 404 if there is no such product. */
  find(series: string, among = this.series()): ProductKey {
    const key = among.get(series);
    if (key !== undefined) return key;
    throw new HttpError(404, `Cannot find product ${quoted(series)}: there are ${briefly([...among.keys()])}`);
  }

  /** `/api/products` */
  async products(search: URLSearchParams): Promise<Response> {
    readParameters(search, {});
    const { source, exchange, live, clock } = this.#options;
    const { products, historyDone } = source.status();
    // this run has no tick of the product, or none that says what the price was a day ago: use the last run's
    const needsStored = ({ product, price }: ProductStatus) =>
      price === undefined || live?.newest(seriesOf(exchange, product)) === undefined;
    if (products.some(needsStored)) await this.#loadStored();
    const sinceMs = clock.elapsed() - this.#storedAt.elapsed;
    const rows = products.map(({ product, state, refused, note, price, time, ageSeconds }) => {
      const series = seriesOf(exchange, product);
      const stored = this.#stored?.get(series);
      const last = price === undefined ? stored : undefined;
      const open24h = (last ?? live?.newest(series) ?? stored)?.open24h;
      const shownPrice = price ?? last?.price;
      return {
        product: series,
        exchange,
        price: shownPrice,
        time: time ?? (last && last.exchangeTimeUs / 1e6),
        change24h: shownPrice === undefined || open24h === undefined ? undefined : changeOf(shownPrice, open24h),
        ageSeconds: ageSeconds ?? (last && Math.round(ageMs(last, this.#storedAt.now) + sinceMs) / 1000),
        state,
        refused,
        note,
      };
    });
    // while the demo writes its history, the store has newer ticks at the next request
    if (historyDone !== undefined) this.#stored = undefined;
    return json(rows);
  }

  /** `/api/ticks` */
  async ticks(search: URLSearchParams): Promise<Response> {
    const parameters = readParameters(search, LIST);
    const range = rangeOf(parameters);
    const key = this.#product(parameters.product);
    const ticks = await this.#gate.run(() => this.#options.store.ticks(key, range));
    return list(ticks.map((tick) => tickText(tick)));
  }

  /** `/api/candles` */
  async candles(search: URLSearchParams): Promise<Response> {
    const { interval = "1m", ...parameters } = readParameters(search, CANDLES);
    const range = rangeOf(parameters);
    const key = this.#product(parameters.product);
    const { store, clock } = this.#options;
    const candles = await this.#gate.run(() => store.candles(key, interval, range, clock.now()));
    return list(candles.map((candle) => candleText(candle)));
  }

  /** `/api/gaps` */
  async gaps(search: URLSearchParams): Promise<Response> {
    const parameters = readParameters(search, LIST);
    const range = rangeOf(parameters);
    const key = parameters.product === undefined ? undefined : this.find(parameters.product);
    return list((await this.#gate.run(() => this.#options.store.gaps(key, range))).map(toGapRecord));
  }

  #product(series = ""): ProductKey {
    const among = this.series();
    if (series === "") throw unusable("product", `one of ${briefly([...among.keys()])}`, series);
    return this.find(series, among);
  }

  async #loadStored(): Promise<void> {
    if (this.#stored !== undefined) return;
    try {
      const ticks = await this.#gate.run(() => this.#options.store.lastTicks());
      const { clock } = this.#options;
      this.#storedAt = { now: clock.now(), elapsed: clock.elapsed() };
      this.#stored = new Map(ticks.map((tick) => [seriesOf(tick.exchange, tick.product), tick]));
    } catch (error) {
      // the list is useful without it, and /api/status says what is wrong with the store
      if (!(error instanceof HttpError)) throw error;
    }
  }
}

function rangeOf({ from, to, limit = DEFAULT_LIMIT }: Parameters<typeof RANGE>): Range {
  if (from !== undefined && to !== undefined && from > to) {
    throw unusable("from", `at most to, which is ${to}`, String(from));
  }
  return { from, to, limit };
}
