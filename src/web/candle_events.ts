// The `candle` events of /api/stream: what a commit changed in the candles of one product and interval is read from the store once,
// for all streams that follow this series.

import { type Interval, openTimeOf } from "../core/candle.ts";
import type { Clock } from "../core/clock.ts";
import { type FeedEvent, seriesOf } from "../core/record.ts";
import type { ProductKey, StoreReader } from "../store/reader.ts";
import { candleText, type StoreGate } from "./api.ts";
import { HttpError } from "./request.ts";

/** Shortest time between two reads of one series, ms. */
const PAUSE_MS = 200;
/** Pause after the store could not be read, ms. */
const RETRY_MS = 1000;
/** Candles of one read. */
const READ_LIMIT = 500;

/** The candles of one product and interval. */
export interface CandleSeries {
  /** Whose candles. */
  readonly product: ProductKey;
  /** Their length. */
  readonly interval: Interval;
}

/** What {@link CandleEvents} uses. */
export interface CandleEventsOptions {
  /** Tells of commits, and has the candles. */
  readonly store: StoreReader;
  /** Limits how many reads of the store run at the same time. */
  readonly gate: StoreGate;
  /** Time. */
  readonly clock: Clock;
  /** Called for every event, with its name and its data as JSON. */
  readonly onEvent: (name: "candle" | "reset", data: string) => void;
  /** Called with an unexpected error. */
  readonly onBug: (error: unknown) => void;
}

/** Sends the changed candles of one series after each commit, until it is closed. */
export class CandleEvents {
  readonly #series: CandleSeries;
  readonly #options: CandleEventsOptions;
  /** Start of each window that a stored tick may have changed, ms. */
  readonly #changed = new Set<number>();
  #isGapStored = false;
  readonly #closed = new AbortController();
  readonly #unlisten: () => void;
  #sending: Promise<void> | undefined;

  /** Follows the store at once. */
  constructor(series: CandleSeries, options: CandleEventsOptions) {
    this.#series = series;
    this.#options = options;
    this.#unlisten = options.store.onCommit((batch) => this.#take(batch));
  }

  /** Resolves when nothing is being read any more. */
  async close(): Promise<void> {
    this.#unlisten();
    this.#closed.abort();
    await this.#sending;
  }

  #take(batch: readonly FeedEvent[]): void {
    const { product: { exchange, product }, interval } = this.#series;
    for (const event of batch) {
      if (event.product !== product || event.exchange !== exchange) continue;
      if (event.kind === "gap") this.#isGapStored = true;
      else this.#changed.add(openTimeOf(event.exchangeTimeUs / 1000, interval));
    }
    if (!this.#hasNews) return;
    this.#sending ??= this.#sendAll().catch(this.#options.onBug).finally(() => this.#sending = undefined);
  }

  get #hasNews(): boolean {
    return this.#isGapStored || this.#changed.size > 0;
  }

  async #sendAll(): Promise<void> {
    const { clock } = this.#options;
    while (this.#hasNews && !this.#closed.signal.aborted) {
      if (this.#isGapStored) this.#sendReset();
      const isRead = await this.#sendChanged();
      await clock.sleep(isRead ? PAUSE_MS : RETRY_MS, this.#closed.signal).catch(() => {});
    }
  }

  /** A gap may mark any number of candles, and its start may be unknown: the reader fetches them all again. */
  #sendReset(): void {
    this.#isGapStored = false;
    const { product: { exchange, product }, interval } = this.#series;
    const reason = "a stored gap may have changed which candles are incomplete";
    this.#options.onEvent("reset", JSON.stringify({ reason, product: seriesOf(exchange, product), interval }));
  }

  /** False if the store could not be read; the candles stay noted as changed. */
  async #sendChanged(): Promise<boolean> {
    const { store, gate, clock, onEvent } = this.#options;
    const { product, interval } = this.#series;
    const head = { product: seriesOf(product.exchange, product.product), interval };
    let times = [...this.#changed].sort((a, b) => a - b);
    this.#changed.clear();
    while (times.length > 0) {
      const [first = 0] = times;
      const last = times.at(-1) ?? first;
      const range = { from: first / 1000, to: (last + 1) / 1000, limit: READ_LIMIT };
      let candles;
      try {
        candles = await gate.run(() => store.candles(product, interval, range, clock.now()));
      } catch (error) {
        if (!(error instanceof HttpError)) throw error;
        for (const time of times) this.#changed.add(time);
        return false;
      }
      if (this.#closed.signal.aborted) return true;
      const wanted = new Set(times);
      for (const candle of candles) {
        if (wanted.has(candle.openTime)) onEvent("candle", candleText(candle, head));
      }
      const read = candles.length < READ_LIMIT ? Infinity : candles.at(-1)?.openTime ?? Infinity;
      times = times.filter((time) => time > read);
    }
    return true;
  }
}
