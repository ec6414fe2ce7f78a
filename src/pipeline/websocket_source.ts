// Connects to one exchange, subscribes, and reconnects until it is stopped. Intake reads the frames; FeedWatch decides
// whether the feed is alive.

import { waitAtMost } from "../core/abort.ts";
import { backoffMs } from "../core/backoff.ts";
import { ConnectionError, RefusedError } from "../core/errors.ts";
import type { FeedEvent } from "../core/record.ts";
import { type Decoded, type Exchange, type Refusal, refusesChannel } from "../exchanges/exchange.ts";
import { MAX_AHEAD_MS } from "../exchanges/values.ts";
import type { RunContext } from "./context.ts";
import { Intake } from "./intake.ts";
import { type Closed, Socket } from "./socket.ts";
import type { Source, SourceStatus } from "./source.ts";
import { type Advice, FeedWatch } from "./watch.ts";

/** Options of {@link WebSocketSource}. */
export interface WebSocketSourceOptions extends RunContext {
  /** The exchange to read. */
  readonly exchange: Exchange;
  /** Address to connect to; default {@link Exchange.url}. */
  readonly url?: string;
  /** One of the exchange's channels. */
  readonly channel: string;
  /** Products to subscribe to, the exchange's own ids. */
  readonly products: readonly string[];
  /** Longer frames are rejected without being parsed, bytes. */
  readonly maxFrameBytes: number;
  /** A link or product that should send something but is silent for this long counts as dead, ms. */
  readonly staleAfterMs: number;
  /** Products that have ticks in the store. For other products, a gap with an unknown start is declared but not counted. */
  readonly stored?: ReadonlySet<string>;
  /** What a person can do if the exchange cannot be reached: logged once, and in the status until a connection succeeds. */
  readonly unreachableHint?: string;
}

const BACKOFF = { baseMs: 250, capMs: 30_000 };
/** The reconnect delay resets only after a connection with a tick lasted this long, in case the exchange accepts and hangs up, ms. */
const STEADY_MS = 10_000;
const HANDSHAKE_MS = 10_000;
const CHECK_MS = 500;
/** Connects and subscribes together: the lower of the two limits that Coinbase publishes. */
const REQUESTS_PER_SECOND = 8;
/** If no valid tick arrives for this long while ticks are rejected for their time, the local clock is suspected, ms. */
const ALL_REFUSED_MS = 5000;
/** After a refusal, the exchange must acknowledge the remaining products within this time, ms. */
const ACKNOWLEDGE_MS = 1000;

/** The live feed of one exchange. */
export class WebSocketSource implements Source {
  readonly #options: WebSocketSourceOptions;
  readonly #url: string;
  readonly #shownUrl: string;
  readonly #watch: FeedWatch;
  readonly #intake: Intake;
  readonly #requests: number[] = [];
  #emit: (event: FeedEvent) => void = () => {};
  #opened = 0;
  #openedAt = 0;
  #hinted = false;
  #lastTrouble: string | undefined;
  #clockTrouble: string | undefined;
  #nextTryAt: number | undefined;
  #refusal: RefusedError | undefined;
  #oneByOne = false;
  /** The exchange has accepted a subscription in this run, so no later refusal ends the program. */
  #everAccepted = false;
  // state of the current connection
  #socket: Socket | undefined;
  #ticked = false;
  #tickedAt = -Infinity;
  #acknowledged = false;
  /** When a product was refused, elapsed ms; the others are subscribed again if they are not acknowledged. */
  #refusedAt: number | undefined;

  /** Connects only in `run()`. Throws a TypeError if the exchange does not have the channel. */
  constructor(options: WebSocketSourceOptions) {
    const { exchange, channel, products, clock, log, stats, last } = options;
    const about = exchange.channels[channel];
    if (about === undefined) throw new TypeError(`No channel ${channel} at ${exchange.name}`);
    this.#options = options;
    this.#url = options.url ?? exchange.url;
    const { protocol, host, pathname } = new URL(this.#url);
    // a login or key in the address must not appear in logs or the status page
    this.#shownUrl = `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
    this.#watch = new FeedWatch({
      ...options,
      exchange: exchange.name,
      precision: about.precision,
      ownHeartbeats: products.length <= exchange.maxHeartbeats,
      onNews: (product, news) => {
        if (news === "accepted again") log.info(`${exchange.title} accepts a product again`, { product });
        else if (news === "never traded") log.info(`${exchange.title} has never traded a product`, { product });
        else log.warn(`${exchange.title} does not send a product, the others go on`, { product, why: news });
      },
      onGap: (gap, isNew) => {
        // without older ticks this is probably the first start, and nothing was missed
        if (isNew && (gap.from !== null || options.stored?.has(gap.product) === true)) stats.gaps++;
        this.#emit(gap);
        if (gap.to === null || !gap.missed || gap.reason === "restart") return;
        const { product, reason, from, to } = gap;
        log.often("warn", "Ticks may be missing", { product, reason, from, to });
      },
    });
    this.#intake = new Intake(
      { exchange, channel, products: new Set(products), maxFrameLength: options.maxFrameBytes, last, stats },
      {
        onTick: (tick) => {
          this.#ticked = this.#everAccepted = true;
          this.#tickedAt = clock.elapsed();
          this.#clockTrouble = undefined;
          this.#watch.tick(tick);
          this.#emit(tick);
        },
        onRepeat: (tick) => {
          this.#ticked = this.#everAccepted = true;
          this.#watch.repeat(tick);
        },
      },
    );
  }

  /** See {@link Source.run}. */
  async run(
    emit: (event: FeedEvent) => void,
    relief: () => Promise<void> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, random } = this.#options;
    this.#emit = emit;
    this.#watch.start();
    let attempts = 0;
    try {
      while (!signal.aborted) {
        this.#ticked = false;
        await this.#connectOnce(relief, signal);
        if (this.#refusal !== undefined) throw this.#refusal;
        if (this.#ticked && clock.elapsed() - this.#openedAt >= STEADY_MS) attempts = 0;
        const delay = backoffMs(attempts++, BACKOFF, random());
        this.#nextTryAt = clock.elapsed() + delay;
        await clock.sleep(delay, signal);
      }
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
    } finally {
      this.#watch.stop();
    }
  }

  /** See {@link Source.status}. */
  status(): SourceStatus {
    const { exchange, channel, clock, staleAfterMs, unreachableHint } = this.#options;
    const elapsed = clock.elapsed();
    const { frameAt, delayMs } = this.#watch;
    const begun = this.#socket !== undefined && frameAt !== undefined && frameAt >= this.#openedAt;
    const silent = frameAt !== undefined && elapsed - frameAt >= staleAfterMs;
    const seconds = (ms: number) => Math.max(0, Math.round(ms)) / 1000;
    return {
      exchange: exchange.title,
      url: this.#shownUrl,
      channel,
      link: !begun ? "connecting" : silent ? "silent" : "open",
      lastFrameSeconds: frameAt === undefined ? undefined : seconds(elapsed - frameAt),
      delaySeconds: delayMs === undefined ? undefined : seconds(delayMs),
      nextTrySeconds: this.#nextTryAt === undefined ? undefined : seconds(this.#nextTryAt - elapsed),
      lastTrouble: this.#lastTrouble,
      hint: this.#hinted && this.#opened === 0 ? unreachableHint : undefined,
      clockTrouble: this.#clockTrouble,
      products: this.#watch.status(),
    };
  }

  /** One connection, from the attempt to its end. Rejects only when stopped or because of a bug. */
  async #connectOnce(relief: () => Promise<void> | undefined, signal: AbortSignal): Promise<void> {
    const { exchange, log, stats, maxFrameBytes, clock } = this.#options;
    await this.#waitForRateLimit(signal);
    this.#nextTryAt = undefined;
    let socket: Socket;
    try {
      const limits = { maxFrameLength: maxFrameBytes, handshakeMs: HANDSHAKE_MS };
      socket = await Socket.connect(this.#url, limits, signal);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#lastTrouble = error.message;
      log.often("warn", `Cannot reach ${exchange.title}, trying again`, { url: this.#shownUrl, error: error.message });
      if (this.#opened === 0 && !this.#hinted && this.#options.unreachableHint !== undefined) {
        this.#hinted = true;
        log.info(this.#options.unreachableHint);
      }
      return;
    }
    log.often("info", `Connected to ${exchange.title}`, { url: this.#shownUrl, channel: this.#options.channel });
    if (this.#opened++ > 0) stats.reconnects++;
    this.#openedAt = clock.elapsed();
    this.#socket = socket;
    this.#acknowledged = this.#oneByOne = false;
    this.#refusedAt = undefined;
    this.#watch.linkOpened();

    const over = new AbortController();
    const stop = AbortSignal.any([signal, over.signal]);
    const watching = this.#keepWatch(socket, stop).catch(async (error) => {
      if (error === stop.reason) return void await socket.close();
      socket.terminate();
      throw error;
    });
    let reason: "link-closed" | "link-silent" = "link-closed";
    try {
      const receiving = socket.receive({
        onFrame: (text, ageMs) => {
          this.#watch.frame(this.#arrival(ageMs));
          const receivedTime = Math.round(clock.now() - ageMs);
          const decoded = this.#intake.accept(text, receivedTime);
          this.#handleRest(text, decoded, receivedTime);
        },
        onOversize: (bytes, ageMs) => {
          this.#watch.frame(this.#arrival(ageMs));
          stats.frames++;
          stats.rejected["too-large"]++;
          log.often("warn", "Frame rejected", { reason: "too-large", bytes });
        },
        relief,
      }).finally(() => over.abort());
      const [closed, verdict] = await Promise.all([receiving, watching]);
      if (signal.aborted || this.#refusal !== undefined) return;
      if (verdict === "link-silent") reason = verdict;
      const why = this.#lastTrouble = this.#endReason(verdict, closed);
      log.often("warn", `Connection to ${exchange.title} ended`, { why });
    } finally {
      this.#socket = undefined;
      if (!signal.aborted) this.#watch.linkLost(reason);
    }
  }

  /** Subscribes, then checks twice a second whether the feed is alive. If not, closes the connection and returns the reason. */
  async #keepWatch(socket: Socket, signal: AbortSignal): Promise<Advice["reconnect"]> {
    const { products, staleAfterMs, clock, log } = this.#options;
    await this.#subscribe(socket, products, signal);
    while (true) {
      await clock.sleep(CHECK_MS, signal);
      // the process may have been busy or suspended: the watch must know every frame that has arrived
      await waitAtMost(staleAfterMs, socket.caughtUp(), clock, signal);
      const { reconnect, resubscribe } = this.#watch.check();
      if (reconnect !== undefined) {
        await socket.close();
        return reconnect;
      }
      if (resubscribe.length > 0) {
        log.often("warn", "Asking the exchange again for products", { products: resubscribe });
        await this.#subscribe(socket, resubscribe, signal);
      }
      if (this.#refusedAt !== undefined && clock.elapsed() - this.#refusedAt >= ACKNOWLEDGE_MS) {
        this.#refusedAt = undefined;
        // the exchange refused the whole message because of one product, as Coinbase did years ago
        if (!this.#acknowledged && !this.#ticked) await this.#subscribe(socket, this.#watch.accepted(), signal);
      }
    }
  }

  /** When the frame of this age arrived, elapsed ms. */
  #arrival(ageMs: number): number {
    // the first frame may arrive before we learn that the connection is open
    return Math.max(this.#openedAt, this.#options.clock.elapsed() - ageMs);
  }

  /** Why the connection ended: the verdict of the watch, or the peer closed it. */
  #endReason(verdict: Advice["reconnect"], { code, reason }: Closed): string {
    const { exchange: { title }, staleAfterMs } = this.#options;
    switch (verdict) {
      case "link-silent":
        return `nothing came for ${staleAfterMs / 1000} s`;
      case "unanswered":
        return `${title} sent nothing for any product`;
      case "stalled": {
        if (this.#clockTrouble !== undefined) return this.#clockTrouble;
        const stalled = this.#watch.stalled();
        const names = (of: typeof stalled) => of.map(({ product }) => product).join(", ");
        const traded = names(stalled.filter(({ isTraded }) => isTraded));
        return `no prices arrived for ${names(stalled)}${traded && `, although ${title} reports trades in ${traded}`}`;
      }
      default:
        return `closed with code ${code} ${reason}`.trim();
    }
  }

  async #subscribe(socket: Socket, products: readonly string[], signal: AbortSignal): Promise<void> {
    const { exchange, channel } = this.#options;
    // an exchange may refuse a whole message because of one product: each refused product gets a message of its own
    const accepted = new Set(this.#watch.accepted());
    const alone = products.filter((product) => this.#oneByOne || !accepted.has(product));
    const together = products.filter((product) => !alone.includes(product));
    const parts = [...together.length > 0 ? [together] : [], ...alone.map((product) => [product])];
    for (const frame of parts.flatMap((part) => exchange.subscribe(part, channel))) {
      await this.#waitForRateLimit(signal);
      socket.send(frame);
    }
  }

  /** Waits until the rate limit allows one more connect or subscribe. */
  async #waitForRateLimit(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    signal.throwIfAborted();
    const oldest = this.#requests[0];
    if (this.#requests.length === REQUESTS_PER_SECOND && oldest !== undefined) {
      const wait = oldest + 1000 - clock.elapsed();
      if (wait > 0) await clock.sleep(wait, signal);
      this.#requests.shift();
    }
    this.#requests.push(clock.elapsed());
  }

  /** Handles everything in a frame except its ticks. */
  #handleRest(text: string, decoded: Decoded, now: number): void {
    const { exchange, clock, log } = this.#options;
    const { heartbeat, subscribed, refused, rejected, withoutTrade } = decoded;
    if (heartbeat !== undefined) this.#watch.heartbeat(heartbeat, now);
    if (subscribed !== undefined) {
      if (subscribed.length > 0) this.#acknowledged = this.#everAccepted = true;
      this.#watch.subscribed(subscribed);
      log.debug("Subscribed", { products: subscribed });
    }
    if (withoutTrade !== undefined) {
      this.#everAccepted = true;
      if (withoutTrade.neverTraded) this.#watch.neverTraded(withoutTrade.product);
    }
    if (refused !== undefined) this.#refuse(refused);
    for (const reason of rejected) {
      log.often("warn", "Frame rejected", { reason, frame: text.slice(0, 200) });
      if (reason !== "bad-time" || clock.elapsed() - this.#tickedAt < ALL_REFUSED_MS) continue;
      const aheadMs = this.#intake.aheadMs(text, now) ?? 0;
      if (aheadMs <= MAX_AHEAD_MS) continue;
      this.#clockTrouble = `the local clock looks wrong: ${exchange.title} is ${
        Math.round(aheadMs / 1000)
      } s ahead of it`;
      log.often("error", "All ticks are refused: the local clock looks wrong", {
        localTime: new Date(now).toISOString(),
        exchangeAheadSeconds: Math.round(aheadMs / 1000),
      });
    }
  }

  #refuse(refusal: Refusal): void {
    const { exchange, channel, products, clock, log } = this.#options;
    const { words } = refusal;
    // "RATE-LIMIT exceeded" looks like a refused product: only subscribed products count
    if (refusal.kind === "product" && products.includes(refusal.product)) {
      const { product } = refusal;
      const isNew = this.#watch.refuse(product, words);
      if (this.#watch.accepted().length === 0 && !this.#everAccepted) {
        return this.#giveUp(`${exchange.title} refuses every product: ${words}`);
      }
      if (!isNew) return;
      this.#refusedAt = clock.elapsed();
      log.error(`${exchange.title} refuses a product, the others go on`, { product, words });
      return;
    }
    log.often("error", `${exchange.title} answers with an error`, { words });
    if (this.#acknowledged || this.#ticked) return;
    if (refusesChannel(refusal, channel)) {
      if (!this.#everAccepted) this.#giveUp(`${exchange.title} refuses the channel ${channel}: ${words}`);
    } else if (!this.#oneByOne) {
      // the error does not name the product: subscribe to them one by one
      this.#oneByOne = true;
      this.#refusedAt = clock.elapsed();
    }
  }

  #giveUp(words: string): void {
    this.#refusal = new RefusedError(words);
    this.#socket?.terminate();
  }
}
