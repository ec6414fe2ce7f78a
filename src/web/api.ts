// What can be asked of prices: /api/products, /api/ticks, /api/candles, /api/gaps. Asks the store a few things at a time, so
// that no crowd of readers holds up the writing. What arrives from now on is the stream's matter.

import { INTERVALS } from "../core/candle.ts";
import type { Clock } from "../core/clock.ts";
import { SinkError } from "../core/errors.ts";
import { ageMs, seriesOf, type Tick, toGapRecord, toRecord } from "../core/record.ts";
import type { LiveSink } from "./live.ts";
import type { ProductStatus, Source } from "../pipeline/source.ts";
import type { ProductKey, Range, StoredCandle, StoreReader } from "../store/reader.ts";
import { briefly, HttpError, json, jsonText, Parameters, refused, shown } from "./request.ts";

/** Rows that one answer holds when nobody says how many. */
export const DEFAULT_LIMIT = 500;
/** Most rows of one answer. */
export const MAX_LIMIT = 10_000;

/** Questions that the store is asked at the same time. */
const AT_ONCE = 4;
/** Questions that wait for their turn; beyond it they are refused. */
const WAITING = 64;

/** What the API is built from. */
export interface ApiOptions {
  /** What is followed, and how it is. */
  readonly source: Source;
  /** Lower-case name of the source's exchange, as its ticks bear it. */
  readonly exchange: string;
  /** What happened. */
  readonly store: StoreReader;
  /** What happens; without it there is no change over 24 hours. */
  readonly live: LiveSink | undefined;
  /** Time. */
  readonly clock: Clock;
}

/** A tick as readers of the API get it. */
export function tickText(tick: Tick, onStream = false): string {
  const { sequence, lastSize, side, open24h, receivedTime } = tick;
  // the record, and what else is known
  let text = `${toRecord(tick).slice(0, -1)},"time":${tick.exchangeTimeUs / 1e6},"sequence":${sequence}`;
  if (lastSize !== undefined) text += `,"size":${lastSize}`;
  if (side !== undefined) text += `,"side":"${side}"`;
  if (!onStream) return `${text}}`;
  if (open24h !== undefined) text += `,"open24h":${open24h}`;
  // a stream sends old ticks too, after a break: when one arrived tells how old it is
  return `${text},"received":${receivedTime / 1000}}`;
}

/** A candle as JSON; `head`: what comes before it. */
export function candleText(candle: StoredCandle, head: Readonly<Record<string, string>> = {}): string {
  const { openTime, open, high, low, close, ticks, volume, running, incomplete, lastSequence } = candle;
  // undefined is left out
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
    sequence: lastSequence,
  });
}

function list(items: readonly string[]): Response {
  return jsonText(`[${items.join(",")}]\n`);
}

/** The change since `open`, percent, four decimals. */
function changeOf(price: number, open: number): number {
  return Math.round((price - open) / open * 1e6) / 1e4;
}

/** Lets a few questions at a time through to the store, and tells in words when it cannot answer. */
export class StoreGate {
  #asking = 0;
  readonly #waiting: (() => void)[] = [];

  /** The answer; throws a {@link HttpError} with status 503 where there is none. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    if (this.#asking >= AT_ONCE) {
      if (this.#waiting.length >= WAITING) {
        throw new HttpError(503, "Cannot ask the store as too many are asking it: try again", { "retry-after": "1" });
      }
      // whoever is done hands on the place
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#asking++;
    }
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof SinkError)) throw error;
      throw new HttpError(503, `Cannot read the store: ${error.message}`, { "retry-after": "5" });
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#asking--;
      else next();
    }
  }
}

/** The questions. */
export class Api {
  readonly #options: ApiOptions;
  readonly #gate: StoreGate;
  #stored: Map<string, Tick> | undefined;
  /** When that was read, by both clocks, ms. */
  #storedAt = { now: 0, elapsed: 0 };

  /** Asks nothing yet. */
  constructor(options: ApiOptions, gate: StoreGate) {
    this.#options = options;
    this.#gate = gate;
  }

  /** The products that are followed, by the name that readers know, in the order of the settings. */
  series(): Map<string, ProductKey> {
    const { source, exchange } = this.#options;
    return new Map(source.status().products.map(({ product }) => [seriesOf(exchange, product), { exchange, product }]));
  }

  /** The one that was asked for; throws a {@link HttpError} with status 404 where it is not followed. */
  find(series: string, among = this.series()): ProductKey {
    const key = among.get(series);
    if (key !== undefined) return key;
    throw new HttpError(404, `Cannot find product ${shown(series)}: there are ${briefly([...among.keys()])}`);
  }

  /** `/api/products` */
  async products(search: URLSearchParams): Promise<Response> {
    new Parameters(search, []);
    const { source, exchange, live, clock } = this.#options;
    const { products, historyDone } = source.status();
    // without a price, or without what its ticks tell of yesterday: its last trade was heard in an earlier run
    const isStored = ({ product, price }: ProductStatus) =>
      price === undefined || live?.newest(seriesOf(exchange, product)) === undefined;
    if (products.some(isStored)) await this.#loadStored();
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
    // while the history is being made the store has later ticks the next time
    if (historyDone !== undefined) this.#stored = undefined;
    return json(rows);
  }

  /** `/api/ticks` */
  async ticks(search: URLSearchParams): Promise<Response> {
    const parameters = new Parameters(search, ["product", "from", "to", "limit"]);
    const range = rangeOf(parameters);
    const key = this.#product(parameters);
    const ticks = await this.#gate.ask(() => this.#options.store.ticks(key, range));
    return list(ticks.map((tick) => tickText(tick)));
  }

  /** `/api/candles` */
  async candles(search: URLSearchParams): Promise<Response> {
    const parameters = new Parameters(search, ["product", "interval", "from", "to", "limit"]);
    const interval = parameters.oneOf("interval", INTERVALS) ?? "1m";
    const range = rangeOf(parameters);
    const key = this.#product(parameters);
    const { store, clock } = this.#options;
    return list(
      (await this.#gate.ask(() => store.candles(key, interval, range, clock.now()))).map((candle) =>
        candleText(candle)
      ),
    );
  }

  /** `/api/gaps` */
  async gaps(search: URLSearchParams): Promise<Response> {
    const parameters = new Parameters(search, ["product", "from", "to", "limit"]);
    const range = rangeOf(parameters);
    const product = parameters.text("product");
    const key = product === undefined ? undefined : this.find(product);
    return list((await this.#gate.ask(() => this.#options.store.gaps(key, range))).map(toGapRecord));
  }

  #product(parameters: Parameters): ProductKey {
    const among = this.series();
    const series = parameters.text("product");
    if (series === undefined || series === "") {
      throw refused("product", `one of ${briefly([...among.keys()])}`, series ?? "");
    }
    return this.find(series, among);
  }

  /** What was the last before this start; it does not change, and prices are told without it too. */
  async #loadStored(): Promise<void> {
    if (this.#stored !== undefined) return;
    try {
      const ticks = await this.#gate.ask(() => this.#options.store.lastTicks());
      const { clock } = this.#options;
      this.#storedAt = { now: clock.now(), elapsed: clock.elapsed() };
      this.#stored = new Map(ticks.map((tick) => [seriesOf(tick.exchange, tick.product), tick]));
    } catch (error) {
      // the status page tells of the store
      if (!(error instanceof HttpError)) throw error;
    }
  }
}

function rangeOf(parameters: Parameters): Range {
  const from = parameters.seconds("from");
  const to = parameters.seconds("to");
  if (from !== undefined && to !== undefined && from > to) {
    throw refused("from", `at most to, which is ${to}`, String(from));
  }
  return { from, to, limit: parameters.whole("limit", 1, MAX_LIMIT) ?? DEFAULT_LIMIT };
}
