// The day before the demo: frames of the simulated exchange, decoded as live ones are, in batches.

import type { Tick } from "../core/record.ts";
import { Stats } from "../core/stats.ts";
import type { Exchange } from "../exchanges/exchange.ts";
import { Intake } from "../pipeline/intake.ts";
import type { Sample } from "../simulator/past.ts";

/** Ticks in one batch; a few more come where a sample ends. */
export const HISTORY_BATCH = 2000;

/**
 * The ticks of these samples, in order. Each batch is made when it is requested, so that no more than one is in memory.
 *
 * @param exchange whose frames they are: the one that the live feed reads
 * @param channel which of its channels: it decides the precision of the record times
 */
export function* readHistory(samples: Iterable<Sample>, exchange: Exchange, channel: string): Generator<Tick[]> {
  let batch: Tick[] = [];
  const stats = new Stats();
  const intake = new Intake(
    { exchange, channel, products: undefined, maxFrameLength: 4096, stats },
    { onTick: (tick) => batch.push(tick) },
  );
  for (const { at, trades } of samples) {
    for (const { text } of trades) intake.accept(text, at);
    if (batch.length < HISTORY_BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
  if (stats.rejectedTotal > 0) throw new TypeError(`Cannot decode ${stats.rejectedTotal} frames of the history`);
}
