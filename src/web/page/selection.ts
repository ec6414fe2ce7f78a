// What the user looks at, and the URL that holds it. Pure.

import { type Interval, INTERVALS } from "../../core/candle.ts";

/** How the chart draws prices. */
export const STYLES = ["candles", "line"] as const;

/** One of {@link STYLES}. */
export type Style = typeof STYLES[number];

/** What the user looks at. */
export interface Selection {
  /** As in the API; undefined as long as no product is known. */
  readonly product: string | undefined;
  /** Length of the candles. */
  readonly interval: Interval;
  /** Candles, or a line through their closes. */
  readonly style: Style;
}

/** What is shown when nobody says otherwise. */
export const DEFAULT_SELECTION: Selection = { product: undefined, interval: "1m", style: "candles" };

/** What a query says; what it does not say, or says in words that are not known, is as in the default. */
export function selectionOf(query: string): Selection {
  const params = new URLSearchParams(query);
  const interval = INTERVALS.find((each) => each === params.get("interval"));
  const style = STYLES.find((each) => each === params.get("style"));
  return {
    product: params.get("product") || undefined,
    interval: interval ?? DEFAULT_SELECTION.interval,
    style: style ?? DEFAULT_SELECTION.style,
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
