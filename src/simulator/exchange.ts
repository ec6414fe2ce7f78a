// The simulated exchange: makes trades at their rate, with or without clients, and sends them to the clients subscribed.
// One timer of the server drives everything.

import { delistedText, heartbeatText, readTicker, tickerText } from "./coinbase.ts";
import type { Connection } from "./connection.ts";
import { createMarket, DEFAULT_PRODUCTS, type Market, type Product, timeText, type Trade } from "./market.ts";
import { Past, type Sample } from "./past.ts";
import { Recent } from "./recent.ts";
import { Player, type Recording } from "./recording.ts";
import { Switches } from "./switches.ts";

/** How often {@link Exchange.pump} must be called, ms. */
export const PUMP_MS = 10;
/** More in one turn would keep the sockets waiting; the rest follows in the next turn. */
const TRADES_PER_PUMP = 5000;
/** How many frames a recording at unlimited speed lets wait before it pauses. */
const UNPACED_BACKLOG_FRAMES = 2500;
const MAX_RECEIVED = 10_000;
const MAX_RECEIVED_CHARS = 16_384;

/** How the exchange behaves before any lever is pulled. */
export interface ExchangeOptions {
  /** Products listed; any other is answered by an error. Default eight products in USD, none beside a recording. */
  readonly products?: readonly string[];
  /** Seed of the price walks, a whole number: the same seed gives the same prices. Default 1. */
  readonly seed?: number;
  /** Trades per second of each product, also below 1. Default 1; with 0 only levers make trades. */
  readonly ticksPerSecond?: number;
  /** Interval of the samples on `ticker_batch`, which are sent only after a trade. Default 5000. */
  readonly batchMs?: number;
  /** Interval of the heartbeats. Default 1000. */
  readonly heartbeatMs?: number;
  /** How long a client may stay without a subscribe before its connection is closed. Default 5000. */
  readonly subscribeWithinMs?: number;
  /**
   * How long the market has already traded, ms; default 0. The exchange opens when the first client subscribes; between
   * the end of `past()` and that moment there are no trades.
   */
  readonly pastMs?: number;
  /** How many of the newest tickers are remembered, at least. Default a million. */
  readonly rememberTicks?: number;
  /** Recorded frames instead of walks; their products are listed beside `products`. */
  readonly recording?: Recording | undefined;
}

/** When and to whom a ticker was first sent. */
export interface Sending {
  readonly trade: Trade;
  /** ms since the epoch with a fraction, by the machine's clock, never shifted by a lever. */
  readonly at: number;
  readonly connection: number;
}

/** One message of a client. */
export interface ReceivedText {
  readonly connection: number;
  /** When it arrived, ms since the epoch. */
  readonly at: number;
  /** The message, cut after 16,384 characters. */
  readonly text: string;
}

interface Flood {
  readonly channels: readonly string[];
  readonly startedAt: number;
  readonly ms: number;
  readonly total: number;
  done: number;
}

/** Market, clients and switches of one simulator. */
export class Exchange {
  readonly market: Market;
  /** Each valid ticker that was sent, once. */
  readonly sent: Recent<Sending>;
  readonly received: Recent<ReceivedText> = new Recent(MAX_RECEIVED);
  /** Clients whose connection is not closed yet. */
  readonly clients: Set<Connection> = new Set();
  readonly player: Player | undefined;
  readonly switches: Switches = new Switches();
  readonly #ticksPerSecond: number;
  readonly #batchMs: number;
  readonly #heartbeatMs: number;
  readonly #subscribeWithinMs: number;
  /** Set until the exchange opens. */
  #past: Past | undefined;
  #floods: Flood[] = [];
  #turn = 0;
  #pumpedAt: number;
  #nextHeartbeat: number;
  #nextSample: number;
  #wallOffset: number;

  /** Every product starts with one trade, unless a recording brings its own. */
  constructor(options: ExchangeOptions) {
    const { seed = 1, ticksPerSecond = 1, batchMs = 5000, heartbeatMs = 1000, pastMs = 0, recording } = options;
    for (const [name, value, min] of [["batchMs", batchMs, PUMP_MS], ["pastMs", pastMs, 0]] as const) {
      if (!(value >= min)) throw new RangeError(`Cannot use ${name}: expected at least ${min}, got ${value}`);
    }
    if (pastMs > 0 && recording !== undefined) throw new RangeError("Cannot use pastMs: a recording has no past");
    this.#ticksPerSecond = ticksPerSecond;
    this.#batchMs = batchMs;
    this.#heartbeatMs = heartbeatMs;
    this.#subscribeWithinMs = options.subscribeWithinMs ?? 5000;
    this.sent = new Recent(options.rememberTicks ?? 1_000_000);
    const now = performance.now();
    this.#wallOffset = Date.now() - now;
    this.#pumpedAt = now;
    this.#nextHeartbeat = now + heartbeatMs;
    this.#nextSample = now + batchMs;
    this.player = recording === undefined ? undefined : new Player(recording, readTicker);
    const listed = options.products ?? (recording === undefined ? DEFAULT_PRODUCTS : []);
    const from = Date.now() - pastMs;
    this.market = createMarket([...listed, ...this.player?.products ?? []], seed, from, tickerText);
    if (pastMs > 0) this.#past = new Past(this.market, { ticksPerSecond, batchMs, from });
    else if (this.player === undefined) { for (const { id } of this.market.values()) this.trade(id); }
  }

  /** The machine's clock: ms since the epoch with a fraction, less than 1 ms ahead of `Date.now()`. */
  wallMs(): number {
    const [mono, wall] = [performance.now(), Date.now()];
    // performance.now() stops while the machine sleeps, and is not adjusted with the wall clock
    if (Math.abs(this.#wallOffset + mono - wall) > 2) this.#wallOffset = wall - mono;
    return this.#wallOffset + mono;
  }

  /** The exchange's clock, us since the epoch. */
  timeUs(): number {
    return Math.floor((this.wallMs() + this.switches.clockOffsetMs) * 1000);
  }

  /** The product of that id, which must exist; without an id the first product with a subscriber, or the first of all. */
  product(id?: string): Product {
    const products = [...this.market.values()];
    const product = id === undefined
      ? products.find((product) => this.audience(product).length > 0) ?? products[0]
      : this.market.get(id);
    if (product === undefined) throw new RangeError(`Cannot trade "${id ?? ""}": there is no such product`);
    return product;
  }

  trade(id: string, options: { price?: string | undefined; offsetMs?: number } = {}): Trade {
    const { price, offsetMs = 0 } = options;
    const product = this.product(id);
    product.trade(this.timeUs() + Math.round(offsetMs * 1000), { price, isWrongTime: options.offsetMs !== undefined });
    return product.last as Trade;
  }

  /**
   * What clients on `ticker_batch` would have received before the exchange opened, up to now. It opens when a client
   * subscribes; if that happens before the end, the rest is left out.
   */
  *past(): Generator<Sample> {
    while (this.#past !== undefined && !this.#past.isClosed) {
      yield this.#past.next(this.wallMs()) ?? this.#past.close(Math.floor(this.wallMs()));
    }
  }

  #open(past: Past): void {
    this.#past = undefined;
    const now = this.wallMs();
    const nextSample = past.end(now);
    this.#pumpedAt = performance.now();
    this.#nextSample = this.#pumpedAt + nextSample - now;
    this.#nextHeartbeat = this.#pumpedAt + this.#heartbeatMs;
  }

  /** Remembers a ticker the first time it is handed to a socket. */
  noteSent(trade: Trade, connection: number): void {
    if (trade.wasSent) return;
    trade.wasSent = true;
    this.sent.add({ trade, at: this.wallMs(), connection });
  }

  hear(client: Connection, text: string): void {
    this.received.add({ connection: client.number, at: this.wallMs(), text: text.slice(0, MAX_RECEIVED_CHARS) });
    if (client.isMuted) return;
    if (this.#past !== undefined) this.#open(this.#past);
    const { market, switches } = this;
    const { frames, granted, isSubscribe } = client.subscriptions.answer(text, { market, ...switches });
    client.hasSubscribed ||= isSubscribe;
    if (!switches.dataFirst) frames.forEach((frame) => client.send(frame));
    for (const { channel, product: id } of granted) {
      if (channel !== "ticker" && channel !== "ticker_batch") continue;
      this.player?.start(performance.now());
      const { last, isPublished } = this.product(id);
      if (last === undefined || !isPublished) continue;
      client.sendTicker(last);
      if (channel === "ticker_batch") client.sampled.set(id, last.sequence);
    }
    if (switches.dataFirst) frames.forEach((frame) => client.send(frame));
  }

  /** Sends it to every client on `ticker`, and to those on `ticker_batch` if `batchToo`; returns how many got it. */
  publish(trade: Trade, batchToo = false): number {
    const product = this.product(trade.product);
    if (!product.isPublished) return 0;
    let reached = 0;
    for (const client of this.clients) {
      const isOnTicker = client.subscriptions.has("ticker", product.id);
      const isOnBatch = batchToo && !isOnTicker && client.subscriptions.has("ticker_batch", product.id);
      if (isOnBatch) client.sampled.set(product.id, trade.sequence);
      if ((isOnTicker || isOnBatch) && client.sendTicker(trade)) reached++;
    }
    return reached;
  }

  audience({ id }: Product, channels: readonly string[] = ["ticker", "ticker_batch"]): Connection[] {
    return [...this.clients].filter(({ subscriptions }) => channels.some((channel) => subscriptions.has(channel, id)));
  }

  /**
   * Makes extra trades, spread over `ms` and over the products subscribed on `ticker`; with `batchToo` those on
   * `ticker_batch` count as well, and get every trade. Returns how many there will be.
   */
  flood(ticksPerSecond: number, ms: number, batchToo = false): number {
    const channels = batchToo ? ["ticker", "ticker_batch"] : ["ticker"];
    const total = Math.round(ticksPerSecond * ms / 1000);
    this.#floods.push({ channels, startedAt: performance.now(), ms, total, done: 0 });
    return total;
  }

  /** Delists a product and sends the error to every client; returns how many got it. */
  delist(product: Product): number {
    product.isListed = false;
    for (const { subscriptions } of this.clients) subscriptions.forget(product.id);
    return [...this.clients].filter((client) => client.send(delistedText(product.id))).length;
  }

  /** Does everything that is due. Call it every {@link PUMP_MS}; a late call catches up. */
  pump(): void {
    const now = performance.now();
    if (this.#past === undefined) this.#trade(now);
    const deadline = this.wallMs() - this.#subscribeWithinMs;
    for (const client of this.clients) {
      client.sendDelayed(now);
      if (!client.hasSubscribed && client.openedAt < deadline && client.canReceive) {
        client.socket.close(1008, "no subscribe in time");
      }
    }
  }

  #trade(now: number): void {
    // a pause of the whole process is not made up for: a real exchange would have sent those trades then
    const elapsed = Math.min(now - this.#pumpedAt, 1000);
    this.#pumpedAt = now;
    if (this.player !== undefined) this.#play(this.player, now);
    else {
      for (const product of this.#trading()) {
        product.advance(elapsed, this.#ticksPerSecond, () => this.timeUs(), (trade) => this.publish(trade));
      }
    }
    if (this.#floods.length > 0) this.#tradeFloods(now);
    if (now >= this.#nextHeartbeat) {
      this.#nextHeartbeat = Math.max(this.#nextHeartbeat + this.#heartbeatMs, now);
      if (this.switches.heartbeats) this.#sendHeartbeats();
    }
    if (now >= this.#nextSample) {
      this.#nextSample = Math.max(this.#nextSample + this.#batchMs, now);
      this.#sendSamples();
    }
  }

  #trading(): Product[] {
    return [...this.market.values()].filter(({ isTrading, isListed }) => isTrading && isListed);
  }

  #play(player: Player, now: number): void {
    const isFull = () => [...this.clients].some(({ socket }) => socket.unsentFrames > UNPACED_BACKLOG_FRAMES);
    for (let i = 0; i < TRADES_PER_PUMP && !(player.isUnpaced && isFull()); i++) {
      const trade = player.take(now);
      if (trade === undefined) return;
      const product = this.product(trade.product);
      if (!product.isTrading || !product.isListed) continue;
      product.adopt(trade);
      this.publish(trade);
    }
  }

  #tradeFloods(now: number): void {
    const trading = this.#trading();
    let room = TRADES_PER_PUMP;
    for (const flood of this.#floods) {
      const wanted = trading.filter((product) => this.audience(product, flood.channels).length > 0);
      const products = wanted.length > 0 ? wanted : trading;
      const due = Math.floor(flood.total * Math.min(1, (now - flood.startedAt) / flood.ms)) - flood.done;
      const count = Math.min(due, room);
      for (let i = 0; i < count; i++) {
        const product = products[this.#turn++ % products.length];
        if (product === undefined) break;
        this.publish(this.trade(product.id), flood.channels.includes("ticker_batch"));
      }
      flood.done += count;
      room -= count;
    }
    this.#floods = this.#floods.filter(({ done, total }) => done < total);
  }

  #sendHeartbeats(): void {
    const time = timeText(this.timeUs());
    for (const product of this.market.values()) {
      if (!product.isListed) continue;
      for (const client of this.audience(product, ["heartbeat"])) {
        client.send(heartbeatText(product.id, product.last, time));
      }
    }
  }

  #sendSamples(): void {
    for (const product of this.market.values()) {
      const { id, last, isPublished } = product;
      if (last === undefined || !isPublished) continue;
      for (const client of this.audience(product, ["ticker_batch"])) {
        if (client.sampled.get(id) === last.sequence) continue;
        if (client.sendTicker(last)) client.sampled.set(id, last.sequence);
      }
    }
  }
}
