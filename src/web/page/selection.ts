// What the page shows, and the query of the URL that says so. Pure.

import { type Interval, INTERVALS } from "../../core/candle.ts";

/** How the chart draws prices. */
export const STYLES = ["candles", "line"] as const;

/** `line`: through the closes of the candles. */
export type Style = typeof STYLES[number];

/** What the page shows. */
export interface Selection {
  /** As in the API; undefined until the list of products is loaded. */
  readonly product: string | undefined;
  readonly interval: Interval;
  readonly style: Style;
}

/** The selection of a query. What is missing or unknown gets its default. */
export function selectionOf(query: string): Selection {
  const params = new URLSearchParams(query);
  return {
    product: params.get("product") || undefined,
    interval: INTERVALS.find((interval) => interval === params.get("interval")) ?? "1m",
    style: STYLES.find((style) => style === params.get("style")) ?? "candles",
  };
}

/** `?product=BTC-USD&interval=1m&style=candles`. */
export function queryOf({ product, interval, style }: Selection): string {
  const params = new URLSearchParams();
  if (product !== undefined) params.set("product", product);
  params.set("interval", interval);
  params.set("style", style);
  return `?${params}`;
}
