// Generated ticks, for tests of a sink or the pipeline without an exchange.

import type { FeedEvent, Tick } from "../../src/core/record.ts";
import type { Source, SourceStatus } from "../../src/pipeline/source.ts";
import type { SentTick } from "../count.ts";

/** A valid tick, `n` ms after the start of the test. */
export function makeTick(n: number, changes: Partial<Tick> = {}): Tick {
  const exchangeTimeUs = changes.exchangeTimeUs ?? (START_MS + n) * 1000;
  const product = `P${n % 3}-USD`;
  return {
    kind: "tick",
    exchange: "coinbase",
    product,
    sequence: n,
    price: 1 + n / 8,
    exchangeTimeUs,
    receivedTime: Date.now(),
    recordTimeUs: exchangeTimeUs,
    tradeId: Math.floor(n / 3),
    ...changes,
  };
}

const START_MS = Date.now();

/** The ticks as the simulator would list them. */
export function sentOf(ticks: readonly Tick[]): SentTick[] {
  return ticks.map(({ product, sequence, price, exchangeTimeUs, tradeId = 0 }) => {
    const micros = String(exchangeTimeUs % 1e6).padStart(6, "0");
    const time = `${new Date(Math.floor(exchangeTimeUs / 1e6) * 1000).toISOString().slice(0, 19)}.${micros}Z`;
    return { id: `coinbase:${product}:${sequence}`, product, time, tradeId, price: String(price) };
  });
}

/** Emits a list, then ends. */
export class ListSource implements Source {
  readonly #events: readonly FeedEvent[];

  constructor(events: readonly FeedEvent[]) {
    this.#events = events;
  }

  run(emit: (event: FeedEvent) => void): Promise<void> {
    for (const event of this.#events) emit(event);
    return Promise.resolve();
  }

  status(): SourceStatus {
    return { exchange: "list", url: "", channel: "ticker", link: "open", products: [] };
  }
}
