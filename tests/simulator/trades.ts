// Products and trades of the simulated market, for tests that need no server.

import { tickerText } from "../../src/simulator/coinbase.ts";
import { createMarket, type Market, Product, type Trade, type TradeOptions } from "../../src/simulator/market.ts";

/** A product whose tickers are written as Coinbase does. */
export function productOf(id: string, seed: number, startedAt: number): Product {
  return new Product(id, seed, startedAt, tickerText);
}

/** A market whose tickers are written as Coinbase does. */
export function marketOf(products: readonly string[], seed: number, startedAt: number): Market {
  return createMarket(products, seed, startedAt, tickerText);
}

/** Makes a trade at this microsecond and returns it. */
export function tradeAt(product: Product, timeUs: number, options?: TradeOptions): Trade {
  product.trade(timeUs, options);
  const { last } = product;
  if (last === undefined) throw new TypeError("there is no trade");
  return last;
}
