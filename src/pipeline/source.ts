// What a source is to the pipeline, and what it can tell of itself.

import type { FeedEvent, Gap } from "../core/record.ts";

/** `connecting`: no connection, or nothing came on it yet. `open`: connected and frames come. `silent`: connected, and nothing came for a while. */
export type LinkState = "connecting" | "open" | "silent";

/**
 * `live`: its last trade is younger than `STALE_AFTER_MS`. `quiet`: it is older, and the exchange has just shown that nothing
 * was traded since. `waiting`: no tick yet in this run, or nothing shows whether there was a trade. `stalled`: heartbeats tell
 * of a trade that did not come, or they stopped, or nothing comes any more although ticks came steadily. `refused`: the
 * exchange said no.
 */
export type ProductState = "waiting" | "live" | "quiet" | "stalled" | "refused";

/** Why there is no tick of a product, as far as the exchange says it. */
export type ProductNote = "never traded" | "not subscribed";

/** One product as a person wants to see it. */
export interface ProductStatus {
  /** The exchange's id. */
  readonly product: string;
  /** See {@link ProductState}. */
  readonly state: ProductState;
  /** Why the exchange refused it, in its words. */
  readonly refused?: string;
  /** See {@link ProductNote}. */
  readonly note?: ProductNote;
  /** Last price, quote currency. */
  readonly price?: number;
  /** Exchange time of that price, unix seconds. */
  readonly time?: number;
  /** Age of its last trade, seconds: how old it was when it arrived, plus the time since. Never negative. */
  readonly ageSeconds?: number;
  /** The gap that is open now. */
  readonly gap?: Gap;
}

/** What a source tells of itself. */
export interface SourceStatus {
  /** As a person writes it. */
  readonly exchange: string;
  /** Where it connects to. */
  readonly url: string;
  /** Which channel it reads. */
  readonly channel: string;
  /** See {@link LinkState}. */
  readonly link: LinkState;
  /** Since the last frame arrived on this connection or an earlier one, seconds; undefined before the first. */
  readonly lastFrameSeconds?: number;
  /** How long the exchange's last heartbeat was on its way by both clocks, seconds; undefined before the first. */
  readonly delaySeconds?: number;
  /** Until the next try, seconds, while there is no connection. */
  readonly nextTrySeconds?: number;
  /** What a person can do while the exchange was never reached in this run. */
  readonly hint?: string;
  /** Why the last connection ended. */
  readonly lastTrouble?: string;
  /** All ticks are refused, since the local clock is wrong: by how much. */
  readonly clockTrouble?: string;
  /** How much of the demo's history is made, 0 to 1, while it is being made. */
  readonly historyDone?: number;
  /** All products that were asked for. */
  readonly products: readonly ProductStatus[];
}

/** Where events come from. */
export interface Source {
  /**
   * Hands on events until the signal aborts (then it resolves, all its resources closed) or the source ends by itself.
   * Rejects with a RefusedError where going on makes no sense.
   *
   * @param emit takes one event, in order; never waits
   * @param relief resolves once the sinks have room; undefined while they have: a source that can be paused waits for it
   */
  run(emit: (event: FeedEvent) => void, relief: () => Promise<void> | undefined, signal: AbortSignal): Promise<void>;
  /** As it stands now. */
  status(): SourceStatus;
}
