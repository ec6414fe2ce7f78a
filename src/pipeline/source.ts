// The interface between a source of ticks and the pipeline, and the status of a source.

import type { FeedEvent, Gap } from "../core/record.ts";

/** `connecting`: no connection, or no frame on it yet. `open`: frames arrive. `silent`: connected, but no frame for `STALE_AFTER_MS`. */
export type LinkState = "connecting" | "open" | "silent";

/**
 * `live`: its last trade is younger than `STALE_AFTER_MS`. `quiet`: it is older, and the exchange has just proved that nothing
 * was traded since. `waiting`: no tick yet in this run, or unknown whether there was a newer trade. `stalled`: heartbeats report
 * a trade that did not arrive, or heartbeats stopped, or ticks stopped that used to be steady. `refused`: the exchange refuses
 * the product.
 */
export type ProductState = "waiting" | "live" | "quiet" | "stalled" | "refused";

/** Why there is no tick of a product, if the exchange gives a reason. */
export type ProductNote = "never traded" | "not subscribed";

/** The state of one product, for people. */
export interface ProductStatus {
  /** Under the exchange's own id. */
  readonly product: string;
  /** See {@link ProductState}. */
  readonly state: ProductState;
  /** Why the exchange refused it, in its words. */
  readonly refused?: string | undefined;
  /** See {@link ProductNote}. */
  readonly note?: ProductNote | undefined;
  /** Price of its last trade, quote currency. */
  readonly price?: number | undefined;
  /** Exchange time of that price, unix seconds. */
  readonly time?: number | undefined;
  /** Age of its last trade, seconds: its age on arrival plus the time since then. Never negative. */
  readonly ageSeconds?: number | undefined;
  /** The gap that is open now. */
  readonly gap?: Gap | undefined;
}

/** The status of a source. */
export interface SourceStatus {
  /** Title of the exchange: `Coinbase`. */
  readonly exchange: string;
  /** Address that it connects to, without a login or query. */
  readonly url: string;
  /** The channel that it reads. */
  readonly channel: string;
  /** See {@link LinkState}. */
  readonly link: LinkState;
  /** Time since the last frame on this connection or an earlier one, seconds; undefined before the first. */
  readonly lastFrameSeconds?: number | undefined;
  /** Delay of the last heartbeat, seconds: our clock at its arrival minus the exchange's time in it; undefined before the first. */
  readonly delaySeconds?: number | undefined;
  /** Time until the next connection attempt, seconds; undefined while connected. */
  readonly nextTrySeconds?: number | undefined;
  /** What a person can do, while the exchange has not been reached in this run. */
  readonly hint?: string | undefined;
  /** Why the last connection ended. */
  readonly lastTrouble?: string | undefined;
  /** Set while all ticks are rejected because the local clock is wrong: by how much, in words. */
  readonly clockTrouble?: string | undefined;
  /** Progress of the demo's history, 0 to 1, while it is being written. */
  readonly historyDone?: number | undefined;
  /** All products that it subscribes to. */
  readonly products: readonly ProductStatus[];
}

/** Produces events. */
export interface Source {
  /**
   * Emits events until the signal aborts or the source has no more, closes its resources, and resolves. Rejects with a
   * RefusedError if the exchange refuses everything.
   *
   * @param emit takes the next event; synchronous
   * @param relief returns undefined while the sinks have room; otherwise a promise that resolves when they do (backpressure)
   */
  run(emit: (event: FeedEvent) => void, relief: () => Promise<void> | undefined, signal: AbortSignal): Promise<void>;
  /** The present status. */
  status(): SourceStatus;
}
