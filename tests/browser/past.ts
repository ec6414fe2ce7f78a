// A store with a past: what the exchange traded before the program was started, as the program would have stored it.

import { readHistory } from "../../src/demo/history.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Gap, GapReason, Tick } from "../../src/core/record.ts";
import type { Simulator } from "../../src/simulator/server.ts";
import { Store } from "../../src/store/store.ts";
import { silent } from "../integration/feed.ts";

/** A time in the past of which nothing was heard. */
export interface Interruption {
  /** When it began, ms before now. */
  readonly beforeMs: number;
  /** How long it lasted, ms. */
  readonly lengthMs: number;
  /** Why. */
  readonly reason: GapReason;
}

/** Writes the simulator's past into a new store, and declares what the interruptions left out. */
export async function storePast(
  path: string,
  simulator: Simulator,
  interruptions: readonly Interruption[] = [],
): Promise<void> {
  await using store = await Store.open(path, { log: silent });
  const never = new AbortController().signal;
  const now = Date.now();
  const times = interruptions.map(({ beforeMs, lengthMs, reason }) => {
    const from = now - beforeMs;
    return { from, to: from + lengthMs, reason, last: new Map<string, Tick>(), next: new Map<string, Tick>() };
  });
  for (const batch of readHistory(simulator.past(), coinbase, "ticker_batch")) {
    const heard = batch.filter((tick) => {
      const time = tick.exchangeTimeUs / 1000;
      for (const { from, to, last, next } of times) {
        if (time < from) last.set(tick.product, tick);
        else if (time < to) return false;
        else if (!next.has(tick.product)) next.set(tick.product, tick);
      }
      return true;
    });
    await store.write(heard, never);
  }
  const gaps = times.flatMap(({ from, reason, last, next }) =>
    simulator.products.map((product): Gap => ({
      kind: "gap",
      exchange: "coinbase",
      product,
      opened: from / 1000,
      from: (last.get(product)?.recordTimeUs ?? from * 1000) / 1e6,
      to: (next.get(product)?.recordTimeUs ?? from * 1000) / 1e6,
      reason,
      dropped: 0,
      missed: true,
    }))
  );
  await store.write(gaps, never);
}
