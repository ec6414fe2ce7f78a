// The trading floor: lets trades happen at their rate whether or not anybody listens, and tells the clients that want
// to know. One timer drives everything, so that closing the simulator has one thing to stop.

import type { Connection, House } from "./connection.ts";
import type { ReceivedText } from "./ledger.ts";
import { Ledger, Newest } from "./ledger.ts";
import type { Trade } from "./market.ts";
import { Market, timeText } from "./market.ts";
import { Past, type Sample } from "./past.ts";
import type { Listings } from "./protocol.ts";
import { errorText, heartbeatText } from "./protocol.ts";
import { Player } from "./recording.ts";
import type { Recording } from "./recording.ts";

/** How often the floor looks what is due. */
export const PUMP_MS = 10;
/** More in one turn would keep the sockets waiting; what is left over happens in the next turn. */
const TRADES_PER_PUMP = 5000;
const UNPACED_BACKLOG_BYTES = 1024 * 1024;
const RECEIVED_LIMIT = 10_000;
const RECEIVED_CHARS = 16_384;

/** What the floor needs to know; all of it checked by the simulator. */
export interface FloorOptions {
  /** Products that can be had. */
  readonly products: readonly string[];
  /** Seed of the walks. */
  readonly seed: number;
  /** Trades per second of each product. */
  readonly ticksPerSecond: number;
  /** Distance of the samples on `ticker_batch`. */
  readonly batchMs: number;
  /** Distance of the heartbeats. */
  readonly heartbeatMs: number;
  /** How long a client may stay without a subscribe. */
  readonly subscribeWithinMs: number;
  /** How long the market has traded before the floor opens. */
  readonly pastMs: number;
  /** How many tickers that left are remembered, at least. */
  readonly rememberTicks: number;
  /** Replaces the walks. */
  readonly recording?: Recording | undefined;
}

/** The switches behind the levers that stay on until they are taken back. */
export interface Switches {
  /** Nothing at all is sent. */
  silent: boolean;
  /** Status that answers each upgrade; none when upgrades are taken. */
  refuseUpgrade: number | undefined;
  /** New connections hear nothing. */
  mute: boolean;
  /** New connections are closed as soon as they are open. */
  hangUpAtOnce: boolean;
  /** One bad product refuses the whole subscribe. */
  refuseAll: boolean;
  /** The last trades go out before the `subscriptions` reply. */
  dataFirst: boolean;
  /** Heartbeats are sent. */
  heartbeats: boolean;
  /** How long each frame is held up. */
  delayMs: number;
  /** What is added to every time. */
  clockOffsetMs: number;
}

interface Flood {
  readonly batchToo: boolean;
  readonly startedAt: number;
  readonly ms: number;
  readonly total: number;
  done: number;
}

/** Market, clients and switches of one simulator. */
export class Floor implements House {
  /** The walks. */
  readonly market: Market;
  /** What left. */
  readonly ledger: Ledger;
  /** What came. */
  readonly received: Newest<ReceivedText> = new Newest(RECEIVED_LIMIT);
  /** Clients whose connection is not yet over. */
  readonly clients: Set<Connection> = new Set();
  /** The recording, if one is played. */
  readonly player: Player | undefined;
  /** Positions of the levers. */
  readonly switches: Switches = {
    silent: false,
    refuseUpgrade: undefined,
    mute: false,
    hangUpAtOnce: false,
    refuseAll: false,
    dataFirst: false,
    heartbeats: true,
    delayMs: 0,
    clockOffsetMs: 0,
  };
  /** Products without trades. */
  readonly quiet: Set<string> = new Set();
  /** Products whose trades nobody is told of. */
  readonly lost: Set<string> = new Set();
  readonly #delisted = new Set<string>();
  readonly #options: FloorOptions;
  readonly #owed = new Map<string, number>();
  /** Not yet over: the floor is still closed. */
  #past: Past | undefined;
  #floods: Flood[] = [];
  #turn = 0;
  #pumpedAt: number;
  #nextHeartbeat: number;
  #nextBatch: number;
  #wallOffset: number;

  /** Opens the floor: each product has had one trade, unless a recording will bring them. */
  constructor(options: FloorOptions) {
    this.#options = options;
    this.ledger = new Ledger(options.rememberTicks);
    const now = performance.now();
    this.#wallOffset = Date.now() - now;
    this.#pumpedAt = now;
    this.#nextHeartbeat = now + options.heartbeatMs;
    this.#nextBatch = now + options.batchMs;
    this.player = options.recording === undefined ? undefined : new Player(options.recording);
    const from = Date.now() - options.pastMs;
    this.market = new Market([...options.products, ...this.player?.products ?? []], options.seed, from);
    if (options.pastMs > 0) {
      this.#past = new Past(this.market, { ...options, from });
      return;
    }
    for (const product of this.market.products) {
      this.#owed.set(product, this.market.phase(product));
      if (this.player === undefined) this.market.trade(product, this.micros());
    }
  }

  /** Nothing at all is sent. */
  get silent(): boolean {
    return this.switches.silent;
  }

  /** How long each frame is held up. */
  get delayMs(): number {
    return this.switches.delayMs;
  }

  /** What clients may subscribe to. */
  get listings(): Listings {
    return {
      products: this.market.products,
      refuseAll: this.switches.refuseAll,
      refusal: (product) => {
        if (this.#delisted.has(product)) return `${product} is delisted`;
        return this.market.has(product) ? undefined : `${product} is not a valid product`;
      },
    };
  }

  /** The machine's clock: ms since the epoch with a fraction, and never ahead of `Date.now()` by a whole one. */
  wallMs(): number {
    const [mono, wall] = [performance.now(), Date.now()];
    // the fine clock stands still while a machine sleeps and is not set with the other one
    if (Math.abs(this.#wallOffset + mono - wall) > 2) this.#wallOffset = wall - mono;
    return this.#wallOffset + mono;
  }

  /** The exchange's clock in microseconds. */
  micros(): number {
    return Math.floor((this.wallMs() + this.switches.clockOffsetMs) * 1000);
  }

  /**
   * What clients on `ticker_batch` would have heard before the floor opens, and at the end the last trades of the present.
   * It opens when a client subscribes, after that or before; then the rest stays untold.
   */
  *past(): Generator<Sample> {
    while (this.#past !== undefined && !this.#past.isClosed) {
      yield this.#past.next(this.wallMs()) ?? this.#past.close(Math.floor(this.wallMs()));
    }
  }

  #open(past: Past): void {
    this.#past = undefined;
    const now = this.wallMs();
    const { owed, nextSample } = past.end(now);
    for (const [product, trades] of owed) this.#owed.set(product, trades);
    const elapsed = this.#pumpedAt = performance.now();
    this.#nextBatch = elapsed + nextSample - now;
    this.#nextHeartbeat = elapsed + this.#options.heartbeatMs;
  }

  /** Notes a ticker that was handed to a socket, the first time only. */
  left(trade: Trade, connection: number): void {
    if (trade.left) return;
    trade.left = true;
    const { product, sequence, tradeId, price, time } = trade;
    this.ledger.add({ product, sequence, tradeId, price, time, at: this.wallMs(), connection });
  }

  /** Takes one message of a client. */
  hear(client: Connection, text: string): void {
    const at = this.wallMs();
    this.received.add({ connection: client.number, at, text: text.slice(0, RECEIVED_CHARS) });
    if (client.muted) return;
    if (this.#past !== undefined) this.#open(this.#past);
    const answer = client.subscriptions.take(text, this.listings);
    client.asked ||= answer.asked;
    const replies = [...answer.errors, ...answer.reply === undefined ? [] : [answer.reply]];
    if (!this.switches.dataFirst) { for (const reply of replies) client.send(reply); }
    for (const { channel, product } of answer.granted) {
      if (channel !== "ticker" && channel !== "ticker_batch") continue;
      this.player?.start(performance.now());
      const last = this.market.last(product);
      if (last === undefined || this.lost.has(product)) continue;
      client.tell(last);
      if (channel === "ticker_batch") client.batched.set(product, last.sequence);
    }
    if (this.switches.dataFirst) { for (const reply of replies) client.send(reply); }
  }

  /**
   * Tells everybody on `ticker`; with `batchToo` those on `ticker_batch` at once as well. Returns how many were
   * reached.
   */
  publish(trade: Trade, batchToo = false): number {
    if (this.lost.has(trade.product)) return 0;
    let reached = 0;
    for (const client of this.clients) {
      const { subscriptions } = client;
      const wanted = subscriptions.has("ticker", trade.product);
      const sampled = batchToo && !wanted && subscriptions.has("ticker_batch", trade.product);
      if (sampled) client.batched.set(trade.product, trade.sequence);
      if ((wanted || sampled) && client.tell(trade)) reached++;
    }
    return reached;
  }

  /** The clients that want prices of this product, on either channel. */
  audience(product: string): Connection[] {
    return [...this.clients].filter(({ subscriptions }) =>
      subscriptions.has("ticker", product) || subscriptions.has("ticker_batch", product)
    );
  }

  /** The first product that anybody wants prices of; the first one listed when nobody wants any. */
  wantedProduct(): string {
    const { products } = this.market;
    return products.find((product) => this.audience(product).length > 0) ?? products[0] ?? "";
  }

  /**
   * Extra trades, spread over a time and over the products that somebody gets on `ticker`; with `batchToo` each is told on
   * `ticker_batch` as well.
   */
  flood(ticksPerSecond: number, ms: number, batchToo = false): number {
    const total = Math.round(ticksPerSecond * ms / 1000);
    this.#floods.push({ batchToo, startedAt: performance.now(), ms, total, done: 0 });
    return total;
  }

  /** Takes a product off the list and tells everybody. */
  delist(product: string): number {
    this.#delisted.add(product);
    let reached = 0;
    for (const client of this.clients) {
      client.subscriptions.forget(product);
      if (client.send(errorText("Failed to subscribe", `${product} is delisted`))) reached++;
    }
    return reached;
  }

  /** Puts a product back on the list; clients are not told, and must subscribe again. */
  list(product: string): number {
    this.#delisted.delete(product);
    return 0;
  }

  /** Does what is due. To be called every `PUMP_MS`; a late call catches up. */
  pump(): void {
    const now = performance.now();
    if (this.#past === undefined) this.#turnOver(now);
    const deadline = this.wallMs() - this.#options.subscribeWithinMs;
    for (const client of this.clients) {
      client.release(now);
      client.socket.tend(now);
      if (!client.asked && client.openedAt < deadline && client.hears) {
        client.socket.close(1008, "no subscribe in time");
      }
    }
  }

  #turnOver(now: number): void {
    // after a pause of the whole process the exchange has not saved its trades up for us
    const elapsed = Math.min(now - this.#pumpedAt, 1000);
    this.#pumpedAt = now;
    if (this.player !== undefined) this.#play(this.player, now);
    else this.#walk(elapsed);
    if (this.#floods.length > 0) this.#pour(now);
    if (now >= this.#nextHeartbeat) {
      this.#nextHeartbeat = Math.max(this.#nextHeartbeat + this.#options.heartbeatMs, now);
      if (this.switches.heartbeats) this.#beat();
    }
    if (now >= this.#nextBatch) {
      this.#nextBatch = Math.max(this.#nextBatch + this.#options.batchMs, now);
      this.#sample();
    }
  }

  #walk(elapsed: number): void {
    const { market, quiet } = this;
    for (const product of market.products) {
      if (quiet.has(product) || this.#delisted.has(product)) continue;
      let owed = (this.#owed.get(product) ?? 0) + elapsed * this.#options.ticksPerSecond / 1000;
      while (owed >= 1) {
        // a large order is several trades of one microsecond, paid for by the pause that follows
        const crowd = market.crowd(product);
        for (let i = 0; i < crowd; i++) this.publish(market.trade(product, this.micros(), i > 0));
        owed -= crowd;
      }
      this.#owed.set(product, owed);
    }
  }

  #play(player: Player, now: number): void {
    for (let i = 0; i < TRADES_PER_PUMP; i++) {
      if (this.#options.recording?.speed === Infinity && this.#backlog() > UNPACED_BACKLOG_BYTES) return;
      const trade = player.take(now, this.micros());
      if (trade === undefined) return;
      if (this.quiet.has(trade.product) || this.#delisted.has(trade.product)) continue;
      this.market.adopt(trade);
      this.publish(trade);
    }
  }

  #backlog(): number {
    let largest = 0;
    for (const { socket } of this.clients) largest = Math.max(largest, socket.queuedBytes);
    return largest;
  }

  #pour(now: number): void {
    const listed = this.market.products.filter((product) => !this.quiet.has(product) && !this.#delisted.has(product));
    const clients = [...this.clients];
    let room = TRADES_PER_PUMP;
    for (const flood of this.#floods) {
      const wanted = listed.filter((product) =>
        clients.some(({ subscriptions }) =>
          subscriptions.has("ticker", product) || flood.batchToo && subscriptions.has("ticker_batch", product)
        )
      );
      const products = wanted.length > 0 ? wanted : listed;
      const due = Math.floor(flood.total * Math.min(1, (now - flood.startedAt) / flood.ms)) - flood.done;
      const count = Math.min(due, room);
      for (let i = 0; i < count && products.length > 0; i++) {
        const product = products[this.#turn++ % products.length] ?? "";
        this.publish(this.market.trade(product, this.micros()), flood.batchToo);
      }
      flood.done += count;
      room -= count;
    }
    this.#floods = this.#floods.filter(({ done, total }) => done < total);
  }

  #beat(): void {
    const time = timeText(this.micros());
    for (const product of this.market.products) {
      if (this.#delisted.has(product)) continue;
      const last = this.market.last(product);
      let text: string | undefined;
      for (const client of this.clients) {
        if (!client.subscriptions.has("heartbeat", product)) continue;
        client.send(text ??= heartbeatText(product, last?.sequence ?? 0, last?.tradeId ?? 0, time));
      }
    }
  }

  #sample(): void {
    for (const product of this.market.products) {
      const last = this.market.last(product);
      if (last === undefined || this.lost.has(product)) continue;
      for (const client of this.clients) {
        if (!client.subscriptions.has("ticker_batch", product)) continue;
        if (client.batched.get(product) === last.sequence) continue;
        if (client.tell(last)) client.batched.set(product, last.sequence);
      }
    }
  }
}
