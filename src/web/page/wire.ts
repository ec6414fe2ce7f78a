// The JSON that the API and the stream send, and the checks of the answers. docs/api.md explains each field.

import type { Interval } from "../../core/candle.ts";
import { ageMs, type Gap, type RejectReason } from "../../core/record.ts";
import type { SinkStatus } from "../../pipeline/delivery.ts";
import type { ProductStatus, SourceStatus } from "../../pipeline/source.ts";
import type { SinkStats, Stats } from "../../core/stats.ts";
import type { Lever } from "../demo_api.ts";

/** One of `/api/products`. The product has the name that records use: `BTC-USD`, `kraken:BTC/USD`. */
export interface ProductRow extends Omit<ProductStatus, "gap"> {
  /** Lower case. */
  readonly exchange: string;
  /** Since the price 24 hours ago, percent. */
  readonly change24h?: number;
}

/** One of `/api/ticks`, and the stream's event `tick`. */
export interface WireTick {
  /** As in {@link ProductRow}. */
  readonly product: string;
  /** Last traded price, quote currency. */
  readonly price: number;
  /** The exchange's time, unix seconds, up to six decimals. */
  readonly time: number;
  /** The exchange's number, per product. */
  readonly sequence: number;
  /** Size of the trade, base units. */
  readonly size?: number;
  /** In the stream: price 24 hours ago, quote currency. */
  readonly open24h?: number;
  /** In the stream: when it arrived, the server's clock, unix seconds. */
  readonly received?: number;
}

/** One of `/api/candles`. */
export interface WireCandle {
  /** Where it starts, unix seconds. */
  readonly time: number;
  /** First price. */
  readonly open: number;
  /** Highest price. */
  readonly high: number;
  /** Lowest price. */
  readonly low: number;
  /** Last price. */
  readonly close: number;
  /** How many ticks it was made from. */
  readonly ticks: number;
  /** Sum of their sizes, base units; absent where one has none. */
  readonly volume?: number;
  /** Its window is not over. */
  readonly running: boolean;
  /** Ticks of it are missing, or may be. */
  readonly incomplete: boolean;
  /** Highest sequence among its ticks. */
  readonly sequence: number;
}

/** The stream's event `candle`. */
export interface WireCandleEvent extends WireCandle {
  /** Whose candle. */
  readonly product: string;
  /** Its length. */
  readonly interval: Interval;
}

/** The stream's event `reset`. */
export interface WireReset {
  /** Only the candles of this product and interval must be fetched again; absent: everything. */
  readonly product?: string;
  /** See `product`. */
  readonly interval?: Interval;
}

/** One of `/api/gaps`, and the stream's event `gap`: the gap record. */
export type WireGap = Omit<Gap, "kind" | "exchange">;

/** The state of one product, in the stream's event `status`. */
export type WireState = Pick<ProductStatus, "product" | "state" | "refused" | "note">;

/** All counters. They only rise, and start at 0 with the program. */
export type WireCounters =
  & Readonly<Omit<Stats, "arrival" | "rejected" | "rejectedTotal" | "sink" | "sinks">>
  & {
    readonly rejected: Readonly<Partial<Record<RejectReason, number>>>;
    /** By the name of the sink. */
    readonly sinks: Readonly<Record<string, Omit<SinkStats, "delay">>>;
  };

/** `/api/status`, and the stream's event `status`. */
export interface WireStatus extends Omit<SourceStatus, "products"> {
  /** The server's clock, unix seconds. */
  readonly now: number;
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reasons: readonly string[];
  /** Prices are simulated. */
  readonly demo: boolean;
  readonly sinks: readonly SinkStatus[];
  readonly counters: WireCounters;
  /** In the stream: products whose state changed since the last event; at first all. */
  readonly products?: readonly WireState[];
}

/** How old a tick of the stream is by the server's clock (`now`, ms), ms: as the API counts it. */
export function ageOf({ time, received = time }: Pick<WireTick, "time" | "received">, now: number): number {
  return ageMs({ exchangeTimeUs: time * 1e6, receivedTime: received * 1000 }, now);
}

/** What came from the server is not what it should be: another program answers there, or another version. */
export class WireError extends Error {
  /** Tells it from other errors. */
  override name = "WireError";
}

/** Whether it is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A list whose members have these fields, each of the type that its example has. Throws a WireError: what is drawn wrongly
 * is worse than what is not drawn.
 */
function listOf<T>(value: unknown, what: string, examples: Readonly<Record<string, unknown>>): T[] {
  const fits = (each: unknown) =>
    isObject(each) && Object.entries(examples).every(([name, example]) => typeof each[name] === typeof example);
  if (Array.isArray(value) && value.every(fits)) return value as T[];
  throw new WireError(`Cannot use the server's ${what}: expected a list of objects that this page knows`);
}

/** Checks the answer of `/api/products`. */
export function productsOf(value: unknown): ProductRow[] {
  return listOf(value, "products", { product: "", state: "" });
}

/** Checks the answer of `/api/candles`. */
export function candlesOf(value: unknown): WireCandle[] {
  return listOf(value, "candles", { time: 0, open: 0, high: 0, low: 0, close: 0, ticks: 0, sequence: 0 });
}

/** Checks the answer of `/api/gaps`. */
export function gapsOf(value: unknown): WireGap[] {
  return listOf(value, "gaps", { product: "", opened: 0, reason: "", missed: true });
}

/** Checks the answer of `/api/demo`. */
export function leversOf(value: unknown): Lever[] {
  return listOf(isObject(value) ? value["levers"] : value, "levers", { name: "", title: "", teaches: "", watch: "" });
}
