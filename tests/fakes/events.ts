// Valid ticks and gaps with default values.

import type { Gap, Tick } from "../../src/core/record.ts";

/** A valid tick with these changes. */
export function makeTick(fields: Partial<Tick> = {}): Tick {
  const exchangeTimeUs = fields.exchangeTimeUs ?? 1_791_061_111_127_510;
  return {
    kind: "tick",
    exchange: "coinbase",
    product: "BTC-USD",
    sequence: 1000,
    price: 61234.56,
    exchangeTimeUs,
    receivedTime: exchangeTimeUs / 1000 + 20,
    recordTimeUs: exchangeTimeUs,
    ...fields,
  };
}

/** An open gap with these changes. */
export function makeGap(fields: Partial<Gap> = {}): Gap {
  return {
    kind: "gap",
    exchange: "coinbase",
    product: "BTC-USD",
    opened: 1_791_061_115.25,
    from: 1_791_061_111,
    to: null,
    reason: "link-closed",
    dropped: 0,
    missed: true,
    ...fields,
  };
}
