// Is the feed alive? Three signals, kept apart: the link (any frame), each product (its heartbeats against its ticks), the
// channel (all products at once). Knows what happened and what should be done; opens and closes the Gaps; does no I/O.

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

/** What a watch is built from. */
export interface WatchOptions {
  /** Name of the exchange, for gaps. */
  readonly exchange: string;
  /** All products asked for. */
  readonly products: readonly string[];
  /** Precision of the channel's record times. */
  readonly precision: TimePrecision;
  /** Whether each product was asked to have a heartbeat of its own. */
  readonly ownHeartbeats: boolean;
  /** How long nothing may come where something should, ms. */
  readonly staleAfterMs: number;
  /** Where an earlier run ended, if it is known. */
  readonly last?: readonly Position[] | undefined;
  /** Time. */
  readonly clock: Clock;
  /** Shared by all that open gaps. */
  readonly gapTimes: GapTimes;
  /** 0 included to 1 excluded, for the jitter of delays. */
  readonly random: () => number;
  /** Takes each gap when it opens (`isNew`), when its reason changes, and when it closes. */
  readonly emit: (gap: Gap, isNew: boolean) => void;
  /** Called once for each piece of news that a person should read. */
  readonly tell: (product: string, news: ProductNote | "accepted again") => void;
}

/** What should be done now. */
export interface Advice {
  /** Close the link and open a new one, for this reason. */
  readonly reconnect?: "link-silent" | "stalled" | "unanswered";
  /** Products to ask for again on this link. */
  readonly resubscribe: readonly string[];
}

interface Watched {
  readonly product: string;
  last?: Position;
  /** When `last` was traded, elapsed ms: below 0 before the program started. */
  tradedAt?: number;
  /** When `last` arrived in this run, elapsed ms. */
  arrivedAt?: number;
  refused?: string;
  note?: ProductNote;
  gap?: Gap;
  /** How often it was asked for since it was last heard, and when it is asked for again on this link, elapsed ms. */
  asks: number;
  askAt: number;
  /** Exchange time up to which a heartbeat showed that nothing is missing, us. */
  provenUs: number;
  /** The highest trade id in any heartbeat. */
  newestTradeId: number;
  // of this link, elapsed ms
  askedAt: number;
  /** Its last trade was asked for and has not come yet. */
  awaited: boolean;
  /** Whether a ticker of it came, and whether anything of it came. */
  ticked: boolean;
  heard: boolean;
  /** When the exchange last showed that nothing newer than `last` was traded. */
  provenAt: number | undefined;
  /** When its last heartbeat that could be compared with its ticks came. */
  heartbeatAt: number | undefined;
  /** Since when its heartbeats are ahead of its ticks. */
  aheadAt: number | undefined;
  stalledAt: number | undefined;
  /** When the tick came from which the next spacing counts. */
  countedAt: number | undefined;
  /** Usual time between its ticks, ms, where heartbeats do not tell; and how many were seen. */
  spacingMs: number;
  spacings: number;
  /** Doubles with each false alarm. */
  patience: number;
}

/** Where only its usual spacing tells, a product may be silent for so many times as long: chance makes ten once in 22,000. */
const SPACINGS = 10;
/** So many must have been seen before they mean anything; they are the weight of the past, too. */
const ENOUGH_SPACINGS = 10;
/** A large order is many trades at once: those tell nothing about the time until the next one, ms. */
const BURST_MS = 1000;
/** Two machines' parts of an exchange do not agree to the millisecond: what a heartbeat proves ends this long before it, us. */
const PROOF_MARGIN_US = 1e6;
/** Heartbeats come every second: without any frame for so long the link itself is in doubt, ms. */
const LINK_DOUBT_MS = 3000;
/** Reconnecting for a stalled product interrupts all others: the second time only after this, then twice as long, ... ms. */
const STALL_RECONNECT_MS = 30_000;
const STALL_RECONNECT_CAP_MS = 600_000;
/** A product that is refused or not heard is asked for again after so long; asking disturbs no other product. */
const ASK = { baseMs: 60_000, capMs: 3_600_000 };

/** The state of one feed. */
export class FeedWatch {
  readonly #options: WatchOptions;
  readonly #products = new Map<string, Watched>();
  #open = false;
  #openedAt = 0;
  #frameAt: number | undefined;
  #delayMs: number | undefined;
  /** A heartbeat came on this link, or was asked for once more. */
  #heartbeats = false;
  #stallReconnects = 0;
  #nextStallReconnectAt = 0;
  /** What the exchange says that it sends on this link; undefined before it has said so. */
  #listed: ReadonlySet<string> | undefined;

  /** Nothing is expected before `start()`. */
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

  /** The program starts: what happened since the last run is unknown. */
  start(): void {
    for (const watched of this.#products.values()) this.#openGap(watched, "restart");
  }

  /** The program was asked to stop: from here on data is missing. */
  stop(): void {
    for (const watched of this.#products.values()) {
      if (watched.refused === undefined) this.#openGap(watched, "stopped");
    }
  }

  /** A connection is open, and everything was asked for. */
  linkOpened(): void {
    const elapsed = this.#options.clock.elapsed();
    this.#open = true;
    this.#openedAt = elapsed;
    this.#heartbeats = false;
    this.#listed = undefined;
    for (const watched of this.#products.values()) {
      watched.askedAt = elapsed;
      watched.askAt = watched.refused === undefined ? elapsed : elapsed + this.#askDelayMs(watched);
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

  /** The connection is gone. */
  linkLost(reason: "link-closed" | "link-silent"): void {
    this.#open = false;
    this.#delayMs = undefined;
    for (const watched of this.#products.values()) {
      if (watched.refused === undefined) this.#openGap(watched, reason);
      watched.stalledAt = undefined;
    }
  }

  /** Any frame came, at this elapsed ms. What it says, told by the methods below, came at the same time. */
  frame(at = this.#options.clock.elapsed()): void {
    this.#frameAt = at;
  }

  /** When the frame came that is read now, elapsed ms. */
  get #arrival(): number {
    return this.#frameAt ?? this.#options.clock.elapsed();
  }

  /** A new tick; call it before the tick goes on the road, so that the end of a gap stands before it. */
  tick(tick: Tick): void {
    const watched = this.#products.get(tick.product);
    if (watched === undefined) return;
    const { last, gap } = watched;
    const isLate = last !== undefined && tick.exchangeTimeUs < reachedUs(last);
    // an old tick that comes late does not end a gap
    if (gap !== undefined && !isLate) this.#closeGap(watched, gap, recordTime(tick), true);

    const elapsed = this.#arrival;
    const spacing = elapsed - (watched.countedAt ?? elapsed);
    if (watched.countedAt === undefined || spacing >= BURST_MS) watched.countedAt = elapsed;
    if (spacing >= BURST_MS) {
      watched.spacingMs += (spacing - watched.spacingMs) / Math.min(++watched.spacings, ENOUGH_SPACINGS);
    }
    this.#hear(watched);
    // an old tick says nothing about the trades after it
    if (isLate && tick.sequence <= last.sequence) return;
    if (watched.stalledAt !== undefined) this.#stallReconnects = 0;
    watched.last = tick;
    watched.arrivedAt = elapsed;
    watched.tradedAt = elapsed - ageMs(tick, tick.receivedTime);
    watched.awaited = false;
    watched.aheadAt = watched.stalledAt = watched.provenAt = undefined;
  }

  /** The product's last tick once more. If it is the answer to a subscribe, nothing was traded since. */
  repeat(tick: Tick): void {
    const watched = this.#products.get(tick.product);
    if (watched === undefined) return;
    this.#hear(watched);
    // a copy that nobody asked for, or of a tick that came late, says nothing about now
    if (!watched.awaited || tick.sequence !== watched.last?.sequence) return;
    // nor does one that is older than what heartbeats have told of
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

  /** A heartbeat. With the id of the trade that we have it proves that nothing is missing; with a lower one it proves nothing. */
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
    // Coinbase has sent 0 for products that it traded
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
    // only the exchange's clock tells up to when: ours may be ahead of it
    if (timeUs === undefined) return;
    watched.provenUs = Math.max(watched.provenUs, Math.min(timeUs, receivedTime * 1000) - PROOF_MARGIN_US);
  }

  /** A ticker of a product that was never traded. */
  neverTraded(product: string): void {
    const watched = this.#products.get(product);
    // we have a trade of it
    if (watched === undefined || watched.last !== undefined) return;
    this.#accept(watched);
    watched.heard = true;
    this.#note(watched, "never traded");
  }

  /** The exchange says which products it now sends, all of them. */
  subscribed(products: readonly string[]): void {
    this.#listed = new Set(products);
    for (const product of products) {
      const watched = this.#products.get(product);
      if (watched === undefined) continue;
      this.#accept(watched);
      if (watched.note === "not subscribed") delete watched.note;
    }
  }

  /** A ticker of it came. */
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

  #askDelayMs(watched: Watched): number {
    return backoffMs(watched.asks++, ASK, 0.5 + this.#options.random() / 2);
  }

  /** The exchange does not give this product for now. True if it was not known before. */
  refuse(product: string, words: string): boolean {
    const watched = this.#products.get(product);
    if (watched === undefined || watched.refused !== undefined) return false;
    watched.refused = words;
    watched.askAt = this.#options.clock.elapsed() + this.#askDelayMs(watched);
    // the gap that is open goes on under its true name
    if (watched.gap !== undefined) this.#options.emit(watched.gap = { ...watched.gap, reason: "refused" }, false);
    else this.#openGap(watched, "refused");
    return true;
  }

  /** What should be done; ask about once a second. */
  check(): Advice {
    const { clock, staleAfterMs } = this.#options;
    const elapsed = clock.elapsed();
    if (!this.#open) return { resubscribe: [] };
    const silentMs = elapsed - Math.max(this.#frameAt ?? 0, this.#openedAt);
    if (silentMs >= staleAfterMs) return { reconnect: "link-silent", resubscribe: [] };
    // while nothing comes at all the link is the question, not its products
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
      // the last time is long ago: this is another story
      if (elapsed - this.#nextStallReconnectAt >= STALL_RECONNECT_CAP_MS) this.#stallReconnects = 0;
      const wait = Math.min(STALL_RECONNECT_CAP_MS, STALL_RECONNECT_MS * 2 ** Math.min(this.#stallReconnects++, 10));
      this.#nextStallReconnectAt = elapsed + wait;
      return { reconnect, resubscribe: [] };
    }
    if (!this.#options.ownHeartbeats && !this.#heartbeats && elapsed - this.#openedAt >= 3000) {
      // the product that was to beat for a large list is none the exchange knows: ask for one that ticks
      const ticking = accepted.find(({ ticked }) => ticked);
      if (ticking !== undefined) {
        if (!asked.includes(ticking.product)) asked.push(ticking.product);
        this.#heartbeats = true;
      }
    }
    return { resubscribe: asked };
  }

  /** Why a new link could help, where it costs the other products less than it may bring. */
  #reconnectFor(accepted: readonly Watched[], elapsed: number): Advice["reconnect"] {
    const { staleAfterMs } = this.#options;
    if (accepted.length === 0) return undefined;
    if (accepted.every(({ heard }) => !heard)) {
      return elapsed - this.#openedAt >= 2 * staleAfterMs ? "unanswered" : undefined;
    }
    if (accepted.every(({ stalledAt }) => stalledAt !== undefined)) return "stalled";
    // a product of which nothing came on this link either is asked for again, and disturbs no others
    const isOverdue = accepted.some((watched) =>
      watched.stalledAt !== undefined && elapsed - watched.stalledAt >= staleAfterMs && watched.heard &&
      !this.#isUnlisted(watched)
    );
    return isOverdue ? "stalled" : undefined;
  }

  /** Whether the exchange leaves it out of what it says it sends, and sends no ticker of it on this link. */
  #isUnlisted({ product, ticked }: Watched): boolean {
    return !ticked && this.#listed !== undefined && this.#listed.size > 0 && !this.#listed.has(product);
  }

  /** Products that are stalled, and whether heartbeats tell of a trade that did not come. */
  stalled(): { readonly product: string; readonly isTraded: boolean }[] {
    return [...this.#products.values()].filter(({ stalledAt }) => stalledAt !== undefined)
      .map(({ product, aheadAt }) => ({ product, isTraded: aheadAt !== undefined }));
  }

  /** Each product as it stands. */
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
    // quiet is a promise: nothing was traded since
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
      // its heartbeats have stopped as well: from now on its usual spacing has to do
      watched.heartbeatAt = undefined;
      return true;
    }
    return watched.spacings >= ENOUGH_SPACINGS && silentMs >= watched.spacingMs * SPACINGS * watched.patience;
  }

  /** Up to when nothing of this product is missing, unix seconds: other products' frames prove nothing about it. */
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
      // of one that is stalled heartbeats have told of a trade that did not come
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
    // clocks do not agree, and the exchange's may be set back: still no gap ends before it begins
    const from = gap.from === null ? null : missed ? Math.min(gap.from, to) : gap.from;
    this.#options.emit({ ...gap, from, to: Math.max(to, from ?? to), missed }, false);
  }
}
