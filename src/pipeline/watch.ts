// Decides whether the feed is alive, by three separate signals: the link (any frame), each product (product_watch.ts), and the
// channel (all products at once). Advises what to do. Does no I/O.

import type { Position, Tick } from "../core/record.ts";
import type { Heartbeat } from "../exchanges/exchange.ts";
import { ProductWatch, type ProductWatchOptions } from "./product_watch.ts";
import type { ProductStatus } from "./source.ts";

/** Options of {@link FeedWatch}. `staleAfterMs` is also the longest silence of the whole link. */
export interface WatchOptions extends ProductWatchOptions {
  /** All products that are subscribed to. */
  readonly products: readonly string[];
  /** Whether heartbeats were subscribed to for every product, not only for the first one. */
  readonly ownHeartbeats: boolean;
  /** The last tick of each product in an earlier run, if known. */
  readonly last?: readonly Position[] | undefined;
}

/** What the caller should do now. */
export interface Advice {
  /** Close the connection and open a new one, for this reason. */
  readonly reconnect?: "link-silent" | "stalled" | "unanswered";
  /** Products to subscribe to again on this connection. */
  readonly resubscribe: readonly string[];
}

/** Heartbeats arrive every second: without any frame for this long, the link is in doubt and products are not judged, ms. */
const LINK_DOUBT_MS = 3000;
/** If no heartbeat arrives for this long after connecting, another product is subscribed to for heartbeats, ms. */
const FIRST_HEARTBEAT_MS = 3000;
/** Reconnecting for a stalled product interrupts all others: the wait before the next time starts here and doubles, ms. */
const STALL_RECONNECT_MS = 30_000;
const STALL_RECONNECT_CAP_MS = 600_000;

/** Watches one feed. */
export class FeedWatch {
  /** When the last frame arrived, elapsed ms; undefined before the first. */
  frameAt: number | undefined;
  /** From the exchange's clock in the last heartbeat of this link to ours at its arrival, ms; undefined before the first. */
  delayMs: number | undefined;
  readonly #options: WatchOptions;
  readonly #products: ReadonlyMap<string, ProductWatch>;
  #open = false;
  #openedAt = 0;
  /** A heartbeat arrived on this link, or a second product was subscribed to for heartbeats. */
  #heartbeats = false;
  #stallReconnects = 0;
  #nextStallReconnectAt = 0;

  /** Opens no gaps before `start()`. */
  constructor(options: WatchOptions) {
    this.#options = options;
    const last = new Map(options.last?.map((position) => [position.product, position]));
    this.#products = new Map(
      options.products.map((product) => [product, new ProductWatch(product, last.get(product), options)]),
    );
  }

  get #accepted(): ProductWatch[] {
    return [...this.#products.values()].filter(({ refused }) => refused === undefined);
  }

  /** Products the exchange did not refuse. */
  accepted(): string[] {
    return this.#accepted.map(({ product }) => product);
  }

  /** The program starts: opens a `restart` gap for each product, because what happened since the last run is unknown. */
  start(): void {
    for (const watched of this.#products.values()) watched.openGap("restart");
  }

  /** The program stops: opens a `stopped` gap for each product. */
  stop(): void {
    for (const watched of this.#accepted) watched.openGap("stopped");
  }

  /** A new connection is open, and all products are being subscribed to. */
  linkOpened(): void {
    this.#open = true;
    this.#openedAt = this.#options.clock.elapsed();
    this.#heartbeats = false;
    for (const watched of this.#products.values()) watched.linkOpened(this.#openedAt);
  }

  /** The connection has ended. */
  linkLost(reason: "link-closed" | "link-silent"): void {
    this.#open = false;
    this.delayMs = undefined;
    for (const watched of this.#products.values()) watched.linkLost(reason);
  }

  /** Any frame arrived, at this elapsed ms. Call it before the methods below, which use this time for the content of the frame. */
  frame(at = this.#options.clock.elapsed()): void {
    this.frameAt = at;
  }

  /** Arrival of the current frame, elapsed ms. */
  get #arrival(): number {
    return this.frameAt ?? this.#options.clock.elapsed();
  }

  /** A new tick. Call it before the tick is emitted, so that a gap is closed before the tick that ends it. */
  tick(tick: Tick): void {
    const watched = this.#products.get(tick.product);
    if (watched === undefined) return;
    const wasStalled = watched.stalledAt !== undefined;
    watched.tick(tick, this.#arrival);
    if (wasStalled && watched.stalledAt === undefined) this.#stallReconnects = 0;
  }

  /** The product's previous tick arrived again. */
  repeat(tick: Tick): void {
    this.#products.get(tick.product)?.repeat(tick, this.#arrival);
  }

  /**
   * A heartbeat.
   *
   * @param receivedTime wall clock at its arrival, ms
   */
  heartbeat(heartbeat: Heartbeat, receivedTime: number): void {
    this.#heartbeats = true;
    if (heartbeat.timeUs !== undefined) this.delayMs = Math.max(0, receivedTime - heartbeat.timeUs / 1000);
    this.#products.get(heartbeat.product)?.heartbeat(heartbeat, receivedTime, this.#arrival);
  }

  /** A ticker says that the product was never traded. */
  neverTraded(product: string): void {
    this.#products.get(product)?.neverTraded();
  }

  /** The exchange lists all products that are subscribed now. */
  subscribed(products: readonly string[]): void {
    const listed = new Set(products);
    for (const [product, watched] of this.#products) {
      watched.acknowledged(listed.size === 0 ? undefined : listed.has(product));
    }
  }

  /** The exchange refuses this product. Returns false if that was already known. */
  refuse(product: string, words: string): boolean {
    return this.#products.get(product)?.refuse(words, this.#options.clock.elapsed()) ?? false;
  }

  /** Opens gaps for stalled products, and returns what to do. Call it about once a second. */
  check(): Advice {
    const { clock, staleAfterMs } = this.#options;
    const elapsed = clock.elapsed();
    if (!this.#open) return { resubscribe: [] };
    const silentMs = elapsed - Math.max(this.frameAt ?? 0, this.#openedAt);
    if (silentMs >= staleAfterMs) return { reconnect: "link-silent", resubscribe: [] };
    // without any frame the link is in doubt, so single products are not judged
    if (silentMs >= Math.min(LINK_DOUBT_MS, staleAfterMs / 2)) return { resubscribe: [] };
    const resubscribe = [...this.#products.values()].filter((watched) => watched.check(elapsed))
      .map(({ product }) => product);
    const accepted = this.#accepted;
    const reconnect = this.#reconnectFor(accepted, elapsed);
    if (reconnect !== undefined && elapsed >= this.#nextStallReconnectAt) {
      // the last reconnect was long ago: start again with the shortest wait
      if (elapsed - this.#nextStallReconnectAt >= STALL_RECONNECT_CAP_MS) this.#stallReconnects = 0;
      const wait = Math.min(STALL_RECONNECT_CAP_MS, STALL_RECONNECT_MS * 2 ** Math.min(this.#stallReconnects++, 10));
      this.#nextStallReconnectAt = elapsed + wait;
      return { reconnect, resubscribe: [] };
    }
    if (!this.#options.ownHeartbeats && !this.#heartbeats && elapsed - this.#openedAt >= FIRST_HEARTBEAT_MS) {
      // with many products only the first one has heartbeats, and the exchange may not know it: use one that ticks
      const ticking = accepted.find(({ hasTicked }) => hasTicked);
      if (ticking !== undefined) {
        if (!resubscribe.includes(ticking.product)) resubscribe.push(ticking.product);
        this.#heartbeats = true;
      }
    }
    return { resubscribe };
  }

  /** Why to reconnect; undefined if that would cost the other products more than it helps. */
  #reconnectFor(accepted: readonly ProductWatch[], elapsed: number): Advice["reconnect"] {
    const { staleAfterMs } = this.#options;
    if (accepted.length === 0) return undefined;
    if (accepted.every(({ isHeard }) => !isHeard)) {
      return elapsed - this.#openedAt >= 2 * staleAfterMs ? "unanswered" : undefined;
    }
    if (accepted.every(({ stalledAt }) => stalledAt !== undefined)) return "stalled";
    // a product that sent nothing at all on this link is only subscribed to again
    const isOverdue = accepted.some(({ stalledAt, isHeard, isUnlisted }) =>
      stalledAt !== undefined && elapsed - stalledAt >= staleAfterMs && isHeard && !isUnlisted
    );
    return isOverdue ? "stalled" : undefined;
  }

  /** The stalled products, and whether a heartbeat reported a trade that did not arrive. */
  stalled(): { readonly product: string; readonly isTraded: boolean }[] {
    return [...this.#products.values()].filter(({ stalledAt }) => stalledAt !== undefined)
      .map(({ product, behindSince }) => ({ product, isTraded: behindSince !== undefined }));
  }

  /** The state of each product, in the order of the options. */
  status(): ProductStatus[] {
    const elapsed = this.#options.clock.elapsed();
    return [...this.#products.values()].map((watched) => watched.status(elapsed, this.#open));
  }
}
