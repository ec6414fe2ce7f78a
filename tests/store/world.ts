// Ticks and gaps as a bad day brings them, for the tests of the store, and what is true of them in the plainest way.

import type { Tick } from "../../src/core/record.ts";
import type { Random } from "../fakes/random.ts";

const START_US = Date.UTC(2026, 9, 3, 20) * 1000;

/** A product, as keys of the store. */
export const KEYS = [
  { exchange: "coinbase", product: "BTC-USD" },
  { exchange: "coinbase", product: "ETH-USD" },
  { exchange: "kraken", product: "BTC/USD" },
] as const;

/**
 * Ticks of all of {@link KEYS} in order of arrival, in which some come late, some twice, many in one microsecond; with pauses
 * of up to days, sizes with up to eight decimals and without any, and sequences that now and then begin anew.
 */
export function someTicks(random: Random, most = 400): Tick[] {
  const ticks: Tick[] = [];
  for (const { exchange, product } of KEYS) {
    let timeUs = START_US + random.int(0, 9e10);
    let sequence = random.int(0, 1e9);
    let cents = random.int(1, 1e7);
    const hasSizes = random.chance(0.8);
    for (let i = random.int(0, most); i > 0; i--) {
      timeUs += Math.floor(random.pick([0, 1, 5e5, 5e6, 5e6, 2e7, 6e7, 1e9]) * random.next());
      if (random.chance(0.01)) timeUs += random.int(0, 1e11);
      sequence = random.chance(0.005) ? random.int(0, 1000) : sequence + random.int(1, 50);
      cents = Math.max(1, cents + random.int(-500, 500));
      ticks.push({
        kind: "tick",
        exchange,
        product,
        sequence,
        price: random.chance(0.02) ? 4e-7 * cents : cents / 100,
        exchangeTimeUs: timeUs,
        receivedTime: Math.floor(timeUs / 1000) + random.int(0, 200),
        recordTimeUs: random.chance(0.5) ? timeUs : Math.floor(timeUs / 1e6) * 1e6,
        ...(random.chance(0.9) ? { tradeId: random.int(0, 1e9) } : {}),
        ...(hasSizes || random.chance(0.9) ? { lastSize: random.int(0, 1e9) / random.pick([1, 1e4, 1e8, 1e12]) } : {}),
        ...(random.chance(0.9) ? { side: random.pick(["buy", "sell"] as const) } : {}),
      });
    }
  }
  const late = new Map(
    ticks.map((tick) => [tick, tick.exchangeTimeUs + (random.chance(0.1) ? random.int(0, 3e8) : 0)]),
  );
  // the same number a second time is another story only for those who count by number
  const distinct = [
    ...new Map(ticks.map((tick) => [`${tick.exchange} ${tick.product} ${tick.sequence}`, tick])).values(),
  ];
  return distinct.sort((a, b) => (late.get(a) ?? 0) - (late.get(b) ?? 0));
}

/** The same, and some of them once more, at once or later. */
export function withRepeats(ticks: readonly Tick[], random: Random): Tick[] {
  return ticks.flatMap((tick, i) => {
    const again = random.chance(0.1) ? [tick] : [];
    return random.chance(0.05) ? [tick, ...again, ticks[random.int(0, i)] as Tick] : [tick, ...again];
  });
}

/** In batches of all sizes. */
export function* cut<T>(items: readonly T[], random: Random): Generator<T[]> {
  for (let i = 0; i < items.length;) {
    const size = random.pick([1, 2, 7, 63, 64, 65, 130, 500]);
    yield items.slice(i, i + size);
    i += size;
  }
}

/** Those of one product, by exchange time and sequence, as the store tells them. */
export function ofProduct(
  ticks: readonly Tick[],
  { exchange, product }: { exchange: string; product: string },
): Tick[] {
  return ticks.filter((tick) => tick.exchange === exchange && tick.product === product)
    .sort((a, b) => a.exchangeTimeUs - b.exchangeTimeUs || a.sequence - b.sequence);
}
