// The day before the demo: frames of the simulated exchange, read as live ones are, and handed out in batches.

import type { Exchange } from "../exchanges/exchange.ts";
import type { Tick } from "../core/record.ts";
import type { Sample } from "../simulator/past.ts";
import { Intake } from "../pipeline/intake.ts";
import { Stats } from "../core/stats.ts";

/** Ticks in one batch; a few more come where a sample ends. */
export const HISTORY_BATCH = 2000;

/**
 * The ticks of these samples, in order. Each batch is made when it is asked for, so that no more than one is held.
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
  // made here and read here: a hole in it is a bug
  if (stats.rejectedTotal > 0) throw new TypeError(`${stats.rejectedTotal} frames of the history cannot be read`);
}
