// Decides whether the feed is alive, by three separate signals: the link (any frame), each product (its heartbeats compared
// with its ticks), and the channel (all products at once). Opens and closes gaps, and advises what to do. Does no I/O.

import { backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import type { Heartbeat, TimePrecision } from "../exchanges/exchange.ts";
import {
  ageMs,
  type Gap,
  type GapReason,
  GapTimes,
  type Position,
  reachedUs,
  recordTime,
  type Tick,
} from "../core/record.ts";
import type { ProductNote, ProductState, ProductStatus } from "./source.ts";

/** Options of {@link FeedWatch}. */
export interface WatchOptions {
  /** Name of the exchange, written to gaps. */
  readonly exchange: string;
  /** All products that are subscribed to. */
  readonly products: readonly string[];
  /** Precision of the channel's record times; `from` of a gap has the same. */
  readonly precision: TimePrecision;
  /** Whether heartbeats were subscribed to for every product, not only for the first one. */
  readonly ownHeartbeats: boolean;
  /** A link or product that should send something but is silent for this long counts as dead, ms. */
  readonly staleAfterMs: number;
  /** The last tick of each product in an earlier run, if known. */
  readonly last?: readonly Position[] | undefined;
  /** Wall clock and monotonic clock; this class never sleeps. */
  readonly clock: Clock;
  /** Gives `opened` to new gaps; one instance for the whole program. */
  readonly gapTimes: GapTimes;
  /** Returns 0 (included) to 1 (excluded), for the jitter of delays. */
  readonly random: () => number;
  /** Called with each gap when it opens (`isNew`), when its reason changes, and when it closes. */
  readonly emit: (gap: Gap, isNew: boolean) => void;
  /** Called once per change of a product that a person should read in the log. */
  readonly tell: (product: string, news: ProductNote | "accepted again") => void;
}

/** What the caller should do now. */
export interface Advice {
  /** Close the connection and open a new one, for this reason. */
  readonly reconnect?: "link-silent" | "stalled" | "unanswered";
  /** Products to subscribe to again on this connection. */
  readonly resubscribe: readonly string[];
}

interface Watched {
  readonly product: string;
  last?: Position;
  /** When `last` was traded, elapsed ms; negative if before the program started. */
  tradedAt?: number;
  /** When `last` arrived in this run, elapsed ms. */
  arrivedAt?: number;
  refused?: string;
  note?: ProductNote;
  gap?: Gap;
  /** How often it was subscribed to since its last message, and when the next attempt on this link is due (elapsed ms). */
  asks: number;
  askAt: number;
  /** Exchange time up to which a heartbeat proved that nothing is missing, us. */
  provenUs: number;
  /** The highest trade id in any heartbeat. */
  newestTradeId: number;
  // the rest is reset with each link, except where noted; times are elapsed ms
  askedAt: number;
  /** It was subscribed to, and its last trade has not arrived yet. */
  awaited: boolean;
  /** Whether a ticker arrived (`ticked`), and whether any message of this product arrived (`heard`). */
  ticked: boolean;
  heard: boolean;
  /** When the exchange last proved that nothing newer than `last` was traded. */
  provenAt: number | undefined;
  /** When the last heartbeat arrived that could be compared with its ticks. */
  heartbeatAt: number | undefined;
  /** Since when its heartbeats report a newer trade than its ticks. */
  aheadAt: number | undefined;
  stalledAt: number | undefined;
  /** Arrival of the tick from which the next spacing is measured. */
  countedAt: number | undefined;
  /** Usual time between its ticks (ms), and from how many spacings; used without heartbeats. Kept across links. */
  spacingMs: number;
  spacings: number;
  /** Multiplies the allowed silence; doubles with each false alarm. Kept across links. */
  patience: number;
}

/** Without heartbeats, a product may be silent for this many times its usual spacing: by chance, one silence in 22,000 is longer. */
const SPACINGS = 10;
/** Spacings needed before the average is used; also the weight of past ones in the average. */
const ENOUGH_SPACINGS = 10;
/** A large order makes many trades at once: spacings below this are ignored, ms. */
const BURST_MS = 1000;
/** The servers of an exchange are not exactly in step: a heartbeat proves nothing about the last moments before it, us. */
const PROOF_MARGIN_US = 1e6;
/** Heartbeats arrive every second: without any frame for this long, the link is in doubt and products are not judged, ms. */
const LINK_DOUBT_MS = 3000;
/** Reconnecting for a stalled product interrupts all others: the wait before the next time starts here and doubles, ms. */
const STALL_RECONNECT_MS = 30_000;
const STALL_RECONNECT_CAP_MS = 600_000;
/** Delays before subscribing again to a refused or silent product; this does not disturb other products. */
const ASK = { baseMs: 60_000, capMs: 3_600_000 };

/** Watches one feed. */
export class FeedWatch {
  readonly #options: WatchOptions;
  readonly #products = new Map<string, Watched>();
  #open = false;
  #openedAt = 0;
  #frameAt: number | undefined;
  #delayMs: number | undefined;
  /** A heartbeat arrived on this link, or a second product was subscribed to for heartbeats. */
  #heartbeats = false;
  #stallReconnects = 0;
  #nextStallReconnectAt = 0;
  /** Products subscribed on this link according to the exchange; undefined before its acknowledgement. */
  #listed: ReadonlySet<string> | undefined;

  /** Opens no gaps before `start()`. */
  constructor(options: WatchOptions) {
    this.#options = options;
    const { clock } = options;
    const last = new Map(options.last?.map((position) => [position.product, position]));
    for (const product of options.products) {
      const position = last.get(product);
      this.#products.set(product, {
        product,
        ...(position === undefined ? {} : { last: position, tradedAt: clock.elapsed() - ageMs(position, clock.now()) }),
        provenUs: 0,
        newestTradeId: 0,
        asks: 0,
        askAt: 0,
        askedAt: 0,
        awaited: false,
        ticked: false,
        heard: false,
        provenAt: undefined,
        heartbeatAt: undefined,
        aheadAt: undefined,
        stalledAt: undefined,
        countedAt: undefined,
        spacingMs: 0,
        spacings: 0,
        patience: 1,
      });
    }
  }

  /** Products the exchange did not refuse. */
  accepted(): string[] {
    return [...this.#products.values()].filter((w) => w.refused === undefined).map((w) => w.product);
  }

  /** Elapsed ms of the last frame, if there was one. */
  get frameAt(): number | undefined {
    return this.#frameAt;
  }

  /** From the exchange's clock in the last heartbeat of this link to ours at its arrival, ms; undefined before the first. */
  get delayMs(): number | undefined {
    return this.#delayMs;
  }

  /** The program starts: opens a `restart` gap for each product, because what happened since the last run is unknown. */
  start(): void {
    for (const watched of this.#products.values()) this.#openGap(watched, "restart");
  }

  /** The program stops: opens a `stopped` gap for each product. */
  stop(): void {
    for (const watched of this.#products.values()) {
      if (watched.refused === undefined) this.#openGap(watched, "stopped");
    }
  }

  /** A new connection is open, and all products are being subscribed to. */
  linkOpened(): void {
    const elapsed = this.#options.clock.elapsed();
    this.#open = true;
    this.#openedAt = elapsed;
    this.#heartbeats = false;
    this.#listed = undefined;
    for (const watched of this.#products.values()) {
      watched.askedAt = elapsed;
      watched.askAt = watched.refused === undefined ? elapsed : elapsed + this.#pauseMs(watched.asks - 1);
      watched.awaited = true;
      watched.ticked = watched.heard = false;
      watched.provenAt =
        watched.heartbeatAt =
        watched.aheadAt =
        watched.stalledAt =
        watched.countedAt =
          undefined;
    }
  }

  /** The connection has ended. */
  linkLost(reason: "link-closed" | "link-silent"): void {
    this.#open = false;
    this.#delayMs = undefined;
    for (const watched of this.#products.values()) {
      if (watched.refused === undefined) this.#openGap(watched, reason);
      watched.stalledAt = undefined;
    }
  }

  /** Any frame arrived, at this elapsed ms. Call it before the methods below, which use this time for the content of the frame. */
  frame(at = this.#options.clock.elapsed()): void {
    this.#frameAt = at;
  }

  /** Arrival of the current frame, elapsed ms. */
  get #arrival(): number {
    return this.#frameAt ?? this.#options.clock.elapsed();
  }

  /** A new tick. Call it before the tick is emitted, so that a gap is closed before the tick that ends it. */
  tick(tick: Tick): void {
    const watched = this.#products.get(tick.product);
    if (watched === undefined) return;
    const { last, gap } = watched;
    const isLate = last !== undefined && tick.exchangeTimeUs < reachedUs(last);
    // a late tick does not end a gap
    if (gap !== undefined && !isLate) this.#closeGap(watched, gap, recordTime(tick), true);

    const elapsed = this.#arrival;
    const spacing = elapsed - (watched.countedAt ?? elapsed);
    if (watched.countedAt === undefined || spacing >= BURST_MS) watched.countedAt = elapsed;
    if (spacing >= BURST_MS) {
      watched.spacingMs += (spacing - watched.spacingMs) / Math.min(++watched.spacings, ENOUGH_SPACINGS);
    }
    this.#hear(watched);
    // a late tick proves nothing about newer trades
    if (isLate && tick.sequence <= last.sequence) return;
    if (watched.stalledAt !== undefined) this.#stallReconnects = 0;
    watched.last = tick;
    watched.arrivedAt = elapsed;
    watched.tradedAt = elapsed - ageMs(tick, tick.receivedTime);
    watched.awaited = false;
    watched.aheadAt = watched.stalledAt = watched.provenAt = undefined;
  }

  /** The product's previous tick arrived again. If it is the reply to a subscribe, nothing was traded since. */
  repeat(tick: Tick): void {
    const watched = this.#products.get(tick.product);
    if (watched === undefined) return;
    this.#hear(watched);
    // an unexpected copy, or one of a late tick, proves nothing about the present
    if (!watched.awaited || tick.sequence !== watched.last?.sequence) return;
    // neither does one that is older than the newest trade in a heartbeat
    if (tick.tradeId !== undefined && tick.tradeId < watched.newestTradeId) return;
    if (watched.stalledAt !== undefined) {
      watched.stalledAt = undefined;
      watched.patience = Math.min(64, watched.patience * 2);
    }
    const elapsed = this.#arrival;
    watched.awaited = false;
    watched.askedAt = watched.arrivedAt = watched.provenAt = elapsed;
    if (watched.gap !== undefined) this.#closeGap(watched, watched.gap, tick.receivedTime / 1000, false);
  }

  /** A heartbeat. If its trade id is that of our last tick, nothing is missing; a lower id proves nothing. */
  heartbeat(heartbeat: Heartbeat, receivedTime: number): void {
    this.#heartbeats = true;
    if (heartbeat.timeUs !== undefined) this.#delayMs = Math.max(0, receivedTime - heartbeat.timeUs / 1000);
    const watched = this.#products.get(heartbeat.product);
    if (watched === undefined) return;
    watched.heard = true;
    const { lastTradeId, timeUs } = heartbeat;
    const { last } = watched;
    const known = last === undefined ? 0 : last.tradeId;
    if (lastTradeId === undefined || known === undefined) return;
    // Coinbase has sent 0 for products that were traded
    if (lastTradeId < known || lastTradeId === 0) return;
    const elapsed = watched.heartbeatAt = this.#arrival;
    watched.newestTradeId = Math.max(watched.newestTradeId, lastTradeId);
    if (lastTradeId > known) {
      watched.aheadAt ??= elapsed;
      if (watched.note === "never traded") delete watched.note;
      return;
    }
    watched.aheadAt = undefined;
    watched.provenAt = elapsed;
    // without the exchange's time, unknown up to when: our clock may be ahead
    if (timeUs === undefined) return;
    watched.provenUs = Math.max(watched.provenUs, Math.min(timeUs, receivedTime * 1000) - PROOF_MARGIN_US);
  }

  /** A ticker says that the product was never traded. */
  neverTraded(product: string): void {
    const watched = this.#products.get(product);
    // we have a trade of this product
    if (watched === undefined || watched.last !== undefined) return;
    this.#accept(watched);
    watched.heard = true;
    this.#note(watched, "never traded");
  }

  /** The exchange lists all products that are subscribed now. */
  subscribed(products: readonly string[]): void {
    this.#listed = new Set(products);
    for (const product of products) {
      const watched = this.#products.get(product);
      if (watched === undefined) continue;
      this.#accept(watched);
      if (watched.note === "not subscribed") delete watched.note;
    }
  }

  /** A ticker of this product arrived. */
  #hear(watched: Watched): void {
    this.#accept(watched);
    if (watched.note !== undefined) delete watched.note;
    watched.ticked = watched.heard = true;
    watched.asks = 0;
  }

  #accept(watched: Watched): void {
    if (watched.refused === undefined) return;
    delete watched.refused;
    this.#options.tell(watched.product, "accepted again");
  }

  #note(watched: Watched, note: ProductNote): void {
    if (watched.note === note) return;
    watched.note = note;
    this.#options.tell(watched.product, note);
  }

  /** The pause after the next ask; each one is longer. */
  #askDelayMs(watched: Watched): number {
    return this.#pauseMs(watched.asks++);
  }

  #pauseMs(asks: number): number {
    return backoffMs(asks, ASK, 0.5 + this.#options.random() / 2);
  }

  /** The exchange refuses this product. Returns false if that was already known. */
  refuse(product: string, words: string): boolean {
    const watched = this.#products.get(product);
    if (watched === undefined || watched.refused !== undefined) return false;
    watched.refused = words;
    watched.askAt = this.#options.clock.elapsed() + this.#askDelayMs(watched);
    // an open gap continues with the new reason
    if (watched.gap !== undefined) this.#options.emit(watched.gap = { ...watched.gap, reason: "refused" }, false);
    else this.#openGap(watched, "refused");
    return true;
  }

  /** Opens gaps for stalled products, and returns what to do. Call it about once a second. */
  check(): Advice {
    const { clock, staleAfterMs } = this.#options;
    const elapsed = clock.elapsed();
    if (!this.#open) return { resubscribe: [] };
    const silentMs = elapsed - Math.max(this.#frameAt ?? 0, this.#openedAt);
    if (silentMs >= staleAfterMs) return { reconnect: "link-silent", resubscribe: [] };
    // without any frame the link is in doubt, so single products are not judged
    if (silentMs >= Math.min(LINK_DOUBT_MS, staleAfterMs / 2)) return { resubscribe: [] };
    const asked: string[] = [];
    const accepted = [...this.#products.values()].filter(({ refused }) => refused === undefined);
    for (const watched of this.#products.values()) {
      if (watched.refused === undefined && watched.stalledAt === undefined && this.#isStalled(watched, elapsed)) {
        watched.stalledAt = watched.askAt = elapsed;
        watched.asks = 0;
        this.#openGap(watched, "stalled");
      }
      const isSilent = elapsed - watched.askedAt >= staleAfterMs;
      const isUnlisted = this.#isUnlisted(watched);
      if (watched.refused === undefined && isSilent && isUnlisted) this.#note(watched, "not subscribed");
      const isWanted = watched.refused !== undefined || watched.stalledAt !== undefined ||
        (isSilent && (!watched.heard || isUnlisted));
      if (!isWanted || elapsed < watched.askAt) continue;
      watched.askedAt = elapsed;
      watched.askAt = elapsed + this.#askDelayMs(watched);
      watched.awaited = true;
      asked.push(watched.product);
    }
    const reconnect = this.#reconnectFor(accepted, elapsed);
    if (reconnect !== undefined && elapsed >= this.#nextStallReconnectAt) {
      // the last reconnect was long ago: start again with the shortest wait
      if (elapsed - this.#nextStallReconnectAt >= STALL_RECONNECT_CAP_MS) this.#stallReconnects = 0;
      const wait = Math.min(STALL_RECONNECT_CAP_MS, STALL_RECONNECT_MS * 2 ** Math.min(this.#stallReconnects++, 10));
      this.#nextStallReconnectAt = elapsed + wait;
      return { reconnect, resubscribe: [] };
    }
    if (!this.#options.ownHeartbeats && !this.#heartbeats && elapsed - this.#openedAt >= 3000) {
      // with many products only the first one has heartbeats, and the exchange may not know it: use one that ticks
      const ticking = accepted.find(({ ticked }) => ticked);
      if (ticking !== undefined) {
        if (!asked.includes(ticking.product)) asked.push(ticking.product);
        this.#heartbeats = true;
      }
    }
    return { resubscribe: asked };
  }

  /** Why to reconnect; undefined if that would cost the other products more than it helps. */
  #reconnectFor(accepted: readonly Watched[], elapsed: number): Advice["reconnect"] {
    const { staleAfterMs } = this.#options;
    if (accepted.length === 0) return undefined;
    if (accepted.every(({ heard }) => !heard)) {
      return elapsed - this.#openedAt >= 2 * staleAfterMs ? "unanswered" : undefined;
    }
    if (accepted.every(({ stalledAt }) => stalledAt !== undefined)) return "stalled";
    // a product that sent nothing at all on this link is only subscribed to again
    const isOverdue = accepted.some((watched) =>
      watched.stalledAt !== undefined && elapsed - watched.stalledAt >= staleAfterMs && watched.heard &&
      !this.#isUnlisted(watched)
    );
    return isOverdue ? "stalled" : undefined;
  }

  /** Whether it is missing in the acknowledgement of the exchange, and no ticker of it arrived on this link. */
  #isUnlisted({ product, ticked }: Watched): boolean {
    return !ticked && this.#listed !== undefined && this.#listed.size > 0 && !this.#listed.has(product);
  }

  /** The stalled products, and whether a heartbeat reported a trade that did not arrive. */
  stalled(): { readonly product: string; readonly isTraded: boolean }[] {
    return [...this.#products.values()].filter(({ stalledAt }) => stalledAt !== undefined)
      .map(({ product, aheadAt }) => ({ product, isTraded: aheadAt !== undefined }));
  }

  /** The state of each product, in the order of the options. */
  status(): ProductStatus[] {
    const elapsed = this.#options.clock.elapsed();
    return [...this.#products.values()].map((watched) => {
      const { product, last, tradedAt, refused, note, gap } = watched;
      return {
        product,
        state: this.#stateOf(watched, elapsed),
        ...(refused === undefined ? {} : { refused }),
        ...(note === undefined ? {} : { note }),
        ...(last === undefined ? {} : { price: last.price, time: last.exchangeTimeUs / 1e6 }),
        ...(tradedAt === undefined ? {} : { ageSeconds: Math.round(elapsed - tradedAt) / 1000 }),
        ...(gap === undefined ? {} : { gap }),
      };
    });
  }

  #stateOf(watched: Watched, elapsed: number): ProductState {
    if (watched.refused !== undefined) return "refused";
    if (watched.stalledAt !== undefined) return "stalled";
    const { tradedAt, arrivedAt, provenAt, aheadAt, gap } = watched;
    const { staleAfterMs } = this.#options;
    if (tradedAt === undefined || arrivedAt === undefined) return "waiting";
    if (elapsed - tradedAt < staleAfterMs) return "live";
    // a new link alone is no answer
    if (gap?.reason === "stalled") return "stalled";
    // "quiet" promises that nothing was traded since
    const isProven = provenAt !== undefined && elapsed - provenAt < staleAfterMs;
    return this.#open && isProven && gap === undefined && aheadAt === undefined ? "quiet" : "waiting";
  }

  #isStalled(watched: Watched, elapsed: number): boolean {
    const { staleAfterMs } = this.#options;
    const silentMs = elapsed - Math.max(watched.arrivedAt ?? 0, watched.askedAt);
    if (silentMs < staleAfterMs) return false;
    if (watched.heartbeatAt !== undefined) {
      if (elapsed - watched.heartbeatAt < staleAfterMs) {
        return watched.aheadAt !== undefined && elapsed - watched.aheadAt >= staleAfterMs;
      }
      // its heartbeats stopped too: from now on its usual spacing decides
      watched.heartbeatAt = undefined;
      return true;
    }
    return watched.spacings >= ENOUGH_SPACINGS && silentMs >= watched.spacingMs * SPACINGS * watched.patience;
  }

  /** Up to when nothing of this product is missing, unix seconds; null if unknown. Frames of other products prove nothing. */
  #knownUntil({ last }: Watched, provenUs: number): number | null {
    if (last === undefined) return null;
    const ownUs = reachedUs(last);
    const knownUs = Math.max(ownUs < last.exchangeTimeUs ? ownUs : last.recordTimeUs, provenUs);
    return this.#options.precision === "seconds" ? Math.floor(knownUs / 1e6) : knownUs / 1e6;
  }

  #openGap(watched: Watched, reason: GapReason): void {
    if (watched.gap !== undefined) return;
    const { exchange, clock, gapTimes } = this.#options;
    watched.gap = {
      kind: "gap",
      exchange,
      product: watched.product,
      opened: gapTimes.next(clock.now(), exchange, watched.product),
      // a stalled product misses a trade that heartbeats reported, so they prove nothing
      from: this.#knownUntil(watched, reason === "stalled" ? 0 : watched.provenUs),
      to: null,
      reason,
      dropped: 0,
      missed: true,
    };
    this.#options.emit(watched.gap, true);
  }

  #closeGap(watched: Watched, gap: Gap, to: number, missed: boolean): void {
    delete watched.gap;
    // clocks differ, and the exchange's may be set back, but a gap must not end before it begins
    const from = gap.from === null ? null : missed ? Math.min(gap.from, to) : gap.from;
    this.#options.emit({ ...gap, from, to: Math.max(to, from ?? to), missed }, false);
  }
}
