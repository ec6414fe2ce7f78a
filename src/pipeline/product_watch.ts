// Watches one product of a feed: compares its heartbeats with its ticks, opens and closes its gap, and says when to subscribe
// to it again. Does no I/O.

import { backoffMs } from "../core/backoff.ts";
import { ageMs, type Gap, type GapReason, type Position, reachedUs, recordTime, type Tick } from "../core/record.ts";
import type { Heartbeat, TimePrecision } from "../exchanges/exchange.ts";
import type { RunContext } from "./context.ts";
import type { ProductNote, ProductState, ProductStatus } from "./source.ts";

/** Options of {@link ProductWatch}, the same for all products of a feed. */
export interface ProductWatchOptions extends Pick<RunContext, "clock" | "gapTimes" | "random"> {
  /** Name of the exchange, written to gaps. */
  readonly exchange: string;
  /** Precision of the channel's record times; `from` of a gap has the same. */
  readonly precision: TimePrecision;
  /** A product that should send something but is silent for this long counts as stalled, ms. */
  readonly staleAfterMs: number;
  /** Called with each gap when it opens (`isNew`), when its reason changes, and when it closes. */
  readonly onGap: (gap: Gap, isNew: boolean) => void;
  /** Called once per change of a product that a person should read in the log. */
  readonly onNews: (product: string, news: ProductNote | "accepted again") => void;
}

/** Without heartbeats, a product may be silent for this many times its usual spacing: by chance, one silence in 22,000 is longer. */
const SPACINGS = 10;
/** Spacings needed before the average is used; also the weight of past ones in the average. */
const ENOUGH_SPACINGS = 10;
/** A large order makes many trades at once: spacings below this are ignored, ms. */
const BURST_MS = 1000;
/** Each false alarm doubles the silence that is allowed without heartbeats, up to this factor. */
const MAX_PATIENCE = 64;
/** The servers of an exchange are not exactly in step: a heartbeat proves nothing about the last moments before it, us. */
const PROOF_MARGIN_US = 1e6;
/** Delays before subscribing again to a refused or silent product; this does not disturb other products. */
const SUBSCRIBE_AGAIN = { baseMs: 60_000, capMs: 3_600_000 };

/** Watches one product. All times are elapsed ms, except where the name says otherwise. */
export class ProductWatch {
  /** The exchange's own id. */
  readonly product: string;
  /** Why the exchange refuses it, in its words. */
  refused: string | undefined;
  /** A ticker arrived on this connection. */
  hasTicked = false;
  /** Any message of this product arrived on this connection. */
  isHeard = false;
  /** The exchange's acknowledgement on this connection does not list it. */
  isUnlisted = false;
  /** Since when it is stalled. */
  stalledAt: number | undefined;
  /** Since when its heartbeats report a newer trade than its ticks. */
  behindSince: number | undefined;

  readonly #options: ProductWatchOptions;
  #last: Position | undefined;
  /** When `#last` was traded; negative if that was before the program started. */
  #tradedAt: number | undefined;
  /** When `#last` arrived in this run. */
  #arrivedAt: number | undefined;
  #note: ProductNote | undefined;
  #gap: Gap | undefined;
  /** When it was last subscribed to, or answered with its previous tick. */
  #subscribedAt = 0;
  /** Subscribes without an answer, and when the next one is due. */
  #attempts = 0;
  #nextAttemptAt = 0;
  /** It was subscribed to, and its last trade has not arrived yet. */
  #isAwaited = false;
  /** Exchange time up to which a heartbeat proved that nothing is missing, us. */
  #provenUs = 0;
  /** When the exchange last proved that nothing newer than `#last` was traded. */
  #provenAt: number | undefined;
  /** The highest trade id in any heartbeat. */
  #newestTradeId = 0;
  /** When the last heartbeat arrived that could be compared with its ticks. */
  #heartbeatAt: number | undefined;
  // How often it ticks, used without heartbeats. Kept across connections.
  /** Arrival of the tick from which the next spacing is measured. */
  #spacedFrom: number | undefined;
  #spacingMs = 0;
  #spacings = 0;
  #patience = 1;

  /** The last tick is the one of an earlier run, if known. */
  constructor(product: string, last: Position | undefined, options: ProductWatchOptions) {
    this.product = product;
    this.#options = options;
    this.#last = last;
    const { clock } = options;
    if (last !== undefined) this.#tradedAt = clock.elapsed() - ageMs(last, clock.now());
  }

  /** A new connection is open, and the product is being subscribed to. */
  linkOpened(elapsed: number): void {
    this.#subscribedAt = elapsed;
    this.#nextAttemptAt = elapsed + (this.refused === undefined ? 0 : this.#pauseMs(this.#attempts - 1));
    this.#isAwaited = true;
    this.hasTicked = this.isHeard = this.isUnlisted = false;
    this.#provenAt =
      this.#heartbeatAt =
      this.behindSince =
      this.stalledAt =
      this.#spacedFrom =
        undefined;
  }

  /** The connection has ended. */
  linkLost(reason: "link-closed" | "link-silent"): void {
    if (this.refused === undefined) this.openGap(reason);
    this.stalledAt = undefined;
  }

  /** A new tick arrived. Call it before the tick is emitted, so that a gap is closed before the tick that ends it. */
  tick(tick: Tick, arrivedAt: number): void {
    const last = this.#last;
    const isLate = last !== undefined && tick.exchangeTimeUs < reachedUs(last);
    // a late tick does not end a gap
    if (!isLate) this.#closeGap(recordTime(tick), true);

    const spacing = arrivedAt - (this.#spacedFrom ?? arrivedAt);
    if (this.#spacedFrom === undefined || spacing >= BURST_MS) this.#spacedFrom = arrivedAt;
    if (spacing >= BURST_MS) {
      this.#spacingMs += (spacing - this.#spacingMs) / Math.min(++this.#spacings, ENOUGH_SPACINGS);
    }
    this.#hear();
    // a late tick proves nothing about newer trades
    if (isLate && tick.sequence <= last.sequence) return;
    this.#last = tick;
    this.#arrivedAt = arrivedAt;
    this.#tradedAt = arrivedAt - ageMs(tick, tick.receivedTime);
    this.#isAwaited = false;
    this.behindSince = this.stalledAt = this.#provenAt = undefined;
  }

  /** The product's previous tick arrived again. If it is the reply to a subscribe, nothing was traded since. */
  repeat(tick: Tick, arrivedAt: number): void {
    this.#hear();
    // an unexpected copy, or one of a late tick, proves nothing about the present
    if (!this.#isAwaited || tick.sequence !== this.#last?.sequence) return;
    // neither does one that is older than the newest trade in a heartbeat
    if (tick.tradeId !== undefined && tick.tradeId < this.#newestTradeId) return;
    if (this.stalledAt !== undefined) {
      this.stalledAt = undefined;
      this.#patience = Math.min(MAX_PATIENCE, this.#patience * 2);
    }
    this.#isAwaited = false;
    this.#subscribedAt = this.#arrivedAt = this.#provenAt = arrivedAt;
    this.#closeGap(tick.receivedTime / 1000, false);
  }

  /**
   * A heartbeat. If its trade id is that of our last tick, nothing is missing; a lower id proves nothing.
   *
   * @param receivedTime wall clock at its arrival, ms
   */
  heartbeat({ lastTradeId, timeUs }: Heartbeat, receivedTime: number, arrivedAt: number): void {
    this.isHeard = true;
    const known = this.#last === undefined ? 0 : this.#last.tradeId;
    if (lastTradeId === undefined || known === undefined) return;
    // Coinbase has sent 0 for products that were traded
    if (lastTradeId < known || lastTradeId === 0) return;
    this.#heartbeatAt = arrivedAt;
    this.#newestTradeId = Math.max(this.#newestTradeId, lastTradeId);
    if (lastTradeId > known) {
      this.behindSince ??= arrivedAt;
      if (this.#note === "never traded") this.#note = undefined;
      return;
    }
    this.behindSince = undefined;
    this.#provenAt = arrivedAt;
    // without the exchange's time, unknown up to when: our clock may be ahead
    if (timeUs === undefined) return;
    this.#provenUs = Math.max(this.#provenUs, Math.min(timeUs, receivedTime * 1000) - PROOF_MARGIN_US);
  }

  /** A ticker says that the product was never traded. */
  neverTraded(): void {
    // we have a trade of this product
    if (this.#last !== undefined) return;
    this.#accept();
    this.isHeard = true;
    this.#setNote("never traded");
  }

  /** The exchange's list of subscribed products has arrived; undefined: it is empty. */
  acknowledged(isListed: boolean | undefined): void {
    this.isUnlisted = isListed === false && !this.hasTicked;
    if (isListed !== true) return;
    this.#accept();
    if (this.#note === "not subscribed") this.#note = undefined;
  }

  /** The exchange refuses this product. Returns false if that was already known. */
  refuse(words: string, elapsed: number): boolean {
    if (this.refused !== undefined) return false;
    this.refused = words;
    this.#nextAttemptAt = elapsed + this.#pauseMs(this.#attempts++);
    // an open gap continues with the new reason
    if (this.#gap !== undefined) this.#options.onGap(this.#gap = { ...this.#gap, reason: "refused" }, false);
    else this.openGap("refused");
    return true;
  }

  /** Opens a gap if the product has stalled. Returns whether to subscribe to it again now. */
  check(elapsed: number): boolean {
    const isAccepted = this.refused === undefined;
    if (isAccepted && this.stalledAt === undefined && this.#isStalled(elapsed)) {
      this.stalledAt = this.#nextAttemptAt = elapsed;
      this.#attempts = 0;
      this.openGap("stalled");
    }
    const isSilent = elapsed - this.#subscribedAt >= this.#options.staleAfterMs;
    if (isAccepted && isSilent && this.isUnlisted) this.#setNote("not subscribed");
    const isWanted = !isAccepted || this.stalledAt !== undefined || (isSilent && (!this.isHeard || this.isUnlisted));
    if (!isWanted || elapsed < this.#nextAttemptAt) return false;
    this.#subscribedAt = elapsed;
    this.#nextAttemptAt = elapsed + this.#pauseMs(this.#attempts++);
    this.#isAwaited = true;
    return true;
  }

  /** The status for people. */
  status(elapsed: number, isConnected: boolean): ProductStatus {
    const last = this.#last;
    return {
      product: this.product,
      state: this.#state(elapsed, isConnected),
      refused: this.refused,
      note: this.#note,
      price: last?.price,
      time: last && last.exchangeTimeUs / 1e6,
      ageSeconds: this.#tradedAt === undefined ? undefined : Math.round(elapsed - this.#tradedAt) / 1000,
      gap: this.#gap,
    };
  }

  #state(elapsed: number, isConnected: boolean): ProductState {
    if (this.refused !== undefined) return "refused";
    if (this.stalledAt !== undefined) return "stalled";
    const { staleAfterMs } = this.#options;
    if (this.#tradedAt === undefined || this.#arrivedAt === undefined) return "waiting";
    if (elapsed - this.#tradedAt < staleAfterMs) return "live";
    // a new connection alone is no answer
    if (this.#gap?.reason === "stalled") return "stalled";
    // "quiet" promises that nothing was traded since
    const isProven = this.#provenAt !== undefined && elapsed - this.#provenAt < staleAfterMs;
    return isConnected && isProven && this.#gap === undefined && this.behindSince === undefined ? "quiet" : "waiting";
  }

  #isStalled(elapsed: number): boolean {
    const { staleAfterMs } = this.#options;
    const silentMs = elapsed - Math.max(this.#arrivedAt ?? 0, this.#subscribedAt);
    if (silentMs < staleAfterMs) return false;
    if (this.#heartbeatAt !== undefined) {
      if (elapsed - this.#heartbeatAt < staleAfterMs) {
        return this.behindSince !== undefined && elapsed - this.behindSince >= staleAfterMs;
      }
      // its heartbeats stopped too: from now on its usual spacing decides
      this.#heartbeatAt = undefined;
      return true;
    }
    return this.#spacings >= ENOUGH_SPACINGS && silentMs >= this.#spacingMs * SPACINGS * this.#patience;
  }

  /** A ticker of this product arrived. */
  #hear(): void {
    this.#accept();
    this.#note = undefined;
    this.hasTicked = this.isHeard = true;
    this.isUnlisted = false;
    this.#attempts = 0;
  }

  #accept(): void {
    if (this.refused === undefined) return;
    this.refused = undefined;
    this.#options.onNews(this.product, "accepted again");
  }

  #setNote(note: ProductNote): void {
    if (this.#note === note) return;
    this.#note = note;
    this.#options.onNews(this.product, note);
  }

  /** The pause after this many unanswered subscribes, ms. */
  #pauseMs(attempts: number): number {
    return backoffMs(attempts, SUBSCRIBE_AGAIN, 0.5 + this.#options.random() / 2);
  }

  /** Opens a gap, unless one is open. It starts at the time up to which nothing is missing. */
  openGap(reason: GapReason): void {
    if (this.#gap !== undefined) return;
    const { exchange, clock, gapTimes, onGap } = this.#options;
    // a stalled product misses a trade that heartbeats reported, so they prove nothing
    const from = this.#knownUntil(reason === "stalled" ? 0 : this.#provenUs);
    this.#gap = gapTimes.openGap(clock.now(), { exchange, product: this.product, from, reason });
    onGap(this.#gap, true);
  }

  /** Up to when nothing is missing, unix seconds; null if unknown. */
  #knownUntil(provenUs: number): number | null {
    const last = this.#last;
    if (last === undefined) return null;
    const reached = reachedUs(last);
    const knownUs = Math.max(reached < last.exchangeTimeUs ? reached : last.recordTimeUs, provenUs);
    return this.#options.precision === "seconds" ? Math.floor(knownUs / 1e6) : knownUs / 1e6;
  }

  #closeGap(to: number, missed: boolean): void {
    const gap = this.#gap;
    if (gap === undefined) return;
    this.#gap = undefined;
    // clocks differ, and the exchange's may be set back, but a gap must not end before it begins
    const from = gap.from === null ? null : missed ? Math.min(gap.from, to) : gap.from;
    this.#options.onGap({ ...gap, from, to: Math.max(to, from ?? to), missed }, false);
  }
}
