// Numbered ticks: tick n of a product has the time n seconds and the price n.

import type { Tick } from "../../src/core/record.ts";
import { makeTick } from "./events.ts";

/** Tick number `sequence` of this product. */
export function tickOf(product: string, sequence: number): Tick {
  return makeTick({
    product,
    sequence,
    price: sequence,
    exchangeTimeUs: sequence * 1e6,
    recordTimeUs: sequence * 1e6,
    receivedTime: sequence * 1000,
  });
}

/** `count` ticks of one product, beginning with number `first`. */
export function ticksOf(product: string, count: number, first = 1): Tick[] {
  return Array.from({ length: count }, (_, i) => tickOf(product, first + i));
}
