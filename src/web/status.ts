// What /readyz, /api/status and the stream's `status` events say: whether the program is ready, why not, warnings, counters.

import type { Clock } from "../core/clock.ts";
import type { Stats } from "../core/stats.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { ProductStatus, Source } from "../pipeline/source.ts";
import type { LiveSink } from "./live.ts";

/** What the status is made from. */
export interface StatusOptions {
  readonly source: Source;
  readonly pipeline: Pick<Pipeline, "status">;
  /** The cursor, if there is one; `trouble`: why it cannot be written. */
  readonly cursor?: { readonly trouble: string | undefined } | undefined;
  readonly stats: Stats;
  /** For the open gaps of the store. */
  readonly live?: LiveSink | undefined;
  readonly clock: Clock;
}

/** The answer of `/readyz`. */
export interface Readiness {
  /** Frames arrive, and every sink accepts them. */
  readonly ready: boolean;
  readonly reasons: string[];
  /** What a person should know although prices arrive. */
  readonly warnings: string[];
}

/** Heartbeats that take longer show that every age is wrong, s. */
const LATE_SECONDS = 5;

function notReadyReasons({ source, pipeline }: StatusOptions): string[] {
  const { link, exchange, lastTrouble, clockTrouble, lastFrameSeconds, historyDone, products } = source.status();
  const reasons: string[] = [];
  if (historyDone !== undefined) reasons.push(`making a day of history, ${Math.floor(historyDone * 100)} %`);
  else if (link === "connecting") reasons.push(`no data from ${exchange}: ${lastTrouble ?? "connecting"}`);
  else if (link === "silent") reasons.push(`no data from ${exchange} for ${lastFrameSeconds} s`);
  if (clockTrouble !== undefined) reasons.push(clockTrouble);
  // a waiting product is no fault: perhaps nothing was traded
  const troubles = products.map(({ state, note }) => note === "not subscribed" ? note : state);
  if (troubles.every((trouble) => ["stalled", "refused", "not subscribed"].includes(trouble))) {
    reasons.push(`${exchange} sends no prices: all products are ${[...new Set(troubles)].join(" or ")}`);
  }
  for (const { name, state, trouble } of pipeline.status()) {
    if (state !== "ok") reasons.push(`${name} is ${state}: ${trouble ?? "no answer yet"}`);
  }
  return reasons;
}

function warningsOf({ source, pipeline, cursor }: StatusOptions, serverTrouble: string | undefined): string[] {
  const warnings: string[] = [];
  for (const { name, gapsTrouble, throttled } of pipeline.status()) {
    if (gapsTrouble !== undefined) warnings.push(`gap records do not reach ${name}: ${gapsTrouble}`);
    if (throttled !== undefined) warnings.push(`${name} is throttled: ${throttled}`);
  }
  const { exchange, delaySeconds = 0 } = source.status();
  if (delaySeconds > LATE_SECONDS) {
    const late = `heartbeats from ${exchange} arrive ${Math.round(delaySeconds)} s late`;
    warnings.push(`${late}, so all ages are too high: the local clock is ahead, or the connection is slow`);
  }
  if (cursor?.trouble !== undefined) warnings.push(`the cursor cannot be written: ${cursor.trouble}`);
  if (serverTrouble !== undefined) warnings.push(`the web server ${serverTrouble}`);
  return warnings;
}

/** Whether the program is ready. `serverTrouble`: what the web server failed to do, if anything: "could not ...". */
export function readinessOf(options: StatusOptions, serverTrouble: string | undefined): Readiness {
  const reasons = notReadyReasons(options);
  return { ready: reasons.length === 0, reasons, warnings: warningsOf(options, serverTrouble) };
}

/** The answer of `/api/status`. */
export function statusOf(
  options: StatusOptions & { readonly demo?: unknown },
  serverTrouble: string | undefined,
): { products: readonly ProductStatus[] } & Record<string, unknown> {
  const { source, pipeline, stats, demo, live, clock } = options;
  const status = source.status();
  const { arrival: _arrival, sinks, ...counters } = stats;
  const ofSinks = [...sinks].map(([name, { delay: _delay, ...counters }]) => [name, counters]);
  return {
    now: clock.now() / 1000,
    pid: Deno.pid,
    ...readinessOf(options, serverTrouble),
    demo: demo !== undefined,
    ...status,
    gaps: [...status.products.flatMap(({ gap }) => gap ?? []), ...live?.openGaps ?? []],
    sinks: pipeline.status(),
    counters: { ...counters, sinks: Object.fromEntries(ofSinks) },
  };
}
