// The trading floor: makes trades at their rate, with or without clients, and sends them to the clients subscribed.
// One timer drives everything, so that closing the simulator has one thing to stop.

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

/** How often the floor checks what is due, ms. */
export const PUMP_MS = 10;
/** More in one turn would keep the sockets waiting; the rest follows in the next turn. */
const TRADES_PER_PUMP = 5000;
const UNPACED_BACKLOG_BYTES = 1024 * 1024;
const RECEIVED_LIMIT = 10_000;
const RECEIVED_CHARS = 16_384;

/** How the simulated exchange behaves before any lever is pulled. The simulator sets the defaults and checks the values. */
export interface FloorOptions {
  /** Products listed; any other is answered by an error. Default eight products in USD, none beside a recording. */
  readonly products: readonly string[];
  /** Seed of the price walks, a whole number: the same seed gives the same prices. Default 1. */
  readonly seed: number;
  /** Trades per second of each product, also below 1. Default 1; with 0 only levers make trades. */
  readonly ticksPerSecond: number;
  /** Interval of the samples on `ticker_batch`, which are sent only after a trade. Default 5000. */
  readonly batchMs: number;
  /** Interval of the heartbeats. Default 1000. */
  readonly heartbeatMs: number;
  /** How long a client may stay without a subscribe before its connection is closed. Default 5000. */
  readonly subscribeWithinMs: number;
  /**
   * How long the market has already traded, ms; default 0. The exchange opens when the first client subscribes; between
   * the end of `past()` and that moment there are no trades.
   */
  readonly pastMs: number;
  /** How many of the newest tickers `sent()` holds, at least. Default two million. */
  readonly rememberTicks: number;
  /** Recorded frames instead of walks; their products are listed beside `products`. */
  readonly recording?: Recording | undefined;
}

/** The state of the levers that stay on until they are switched off. */
export interface Switches {
  /** Nothing is sent. */
  silent: boolean;
  /** HTTP status that answers each upgrade; undefined while upgrades are accepted. */
  refuseUpgrade: number | undefined;
  /** New connections never receive anything. */
  mute: boolean;
  /** New connections are closed as soon as they are open. */
  hangUpAtOnce: boolean;
  /** One bad product makes the whole subscribe fail. */
  refuseAll: boolean;
  /** The last trades go out before the `subscriptions` reply. */
  dataFirst: boolean;
  /** Heartbeats are sent. */
  heartbeats: boolean;
  /** How long each frame is delayed, ms. */
  delayMs: number;
  /** Added to every time that is sent. */
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
  /** The tickers sent. */
  readonly ledger: Ledger;
  /** The messages received. */
  readonly received: Newest<ReceivedText> = new Newest(RECEIVED_LIMIT);
  /** Clients whose connection is not closed yet. */
  readonly clients: Set<Connection> = new Set();
  /** The recording, if one is played. */
  readonly player: Player | undefined;
  /** State of the levers. */
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
  /** Products whose trades are not sent to any client. */
  readonly lost: Set<string> = new Set();
  readonly #delisted = new Set<string>();
  readonly #options: FloorOptions;
  readonly #owed = new Map<string, number>();
  /** Set until the floor opens. */
  #past: Past | undefined;
  #floods: Flood[] = [];
  #turn = 0;
  #pumpedAt: number;
  #nextHeartbeat: number;
  #nextBatch: number;
  #wallOffset: number;

  /** Every product starts with one trade, unless a recording brings them. */
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

  /** The machine's clock: ms since the epoch with a fraction, less than 1 ms ahead of `Date.now()`. */
  wallMs(): number {
    const [mono, wall] = [performance.now(), Date.now()];
    // performance.now() stops while the machine sleeps, and is not adjusted with the wall clock
    if (Math.abs(this.#wallOffset + mono - wall) > 2) this.#wallOffset = wall - mono;
    return this.#wallOffset + mono;
  }

  /** The exchange's clock in microseconds. */
  micros(): number {
    return Math.floor((this.wallMs() + this.switches.clockOffsetMs) * 1000);
  }

  /**
   * What clients on `ticker_batch` would have received before the floor opened, up to now. The floor opens when a client
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
    const { owed, nextSample } = past.end(now);
    for (const [product, trades] of owed) this.#owed.set(product, trades);
    const elapsed = this.#pumpedAt = performance.now();
    this.#nextBatch = elapsed + nextSample - now;
    this.#nextHeartbeat = elapsed + this.#options.heartbeatMs;
  }

  /** Records a ticker the first time it is handed to a socket. */
  left(trade: Trade, connection: number): void {
    if (trade.left) return;
    trade.left = true;
    const { product, sequence, tradeId, price, time } = trade;
    this.ledger.add({ product, sequence, tradeId, price, time, at: this.wallMs(), connection });
  }

  /** Answers one message of a client. */
  hear(client: Connection, text: string): void {
    const at = this.wallMs();
    this.received.add({ connection: client.number, at, text: text.slice(0, RECEIVED_CHARS) });
    if (client.muted) return;
    if (this.#past !== undefined) this.#open(this.#past);
    const answer = client.subscriptions.take(text, this.listings);
    client.asked ||= answer.asked;
    const replies = [...answer.errors, ...answer.reply === undefined ? [] : [answer.reply]];
    const reply = () => replies.forEach((text) => client.send(text));
    if (!this.switches.dataFirst) reply();
    for (const { channel, product } of answer.granted) {
      if (channel !== "ticker" && channel !== "ticker_batch") continue;
      this.player?.start(performance.now());
      const last = this.market.last(product);
      if (last === undefined || this.lost.has(product)) continue;
      client.tell(last);
      if (channel === "ticker_batch") client.batched.set(product, last.sequence);
    }
    if (this.switches.dataFirst) reply();
  }

  /** Sends it to every client on `ticker`, and with `batchToo` to those on `ticker_batch`; returns how many got it. */
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

  /** The clients subscribed to this product's prices, on either channel. */
  audience(product: string): Connection[] {
    return [...this.clients].filter(({ subscriptions }) =>
      subscriptions.has("ticker", product) || subscriptions.has("ticker_batch", product)
    );
  }

  /** The first product with a subscriber; without one, the first product listed. */
  wantedProduct(): string {
    const { products } = this.market;
    return products.find((product) => this.audience(product).length > 0) ?? products[0] ?? "";
  }

  /**
   * Makes extra trades, spread over `ms` and over the products subscribed on `ticker`; with `batchToo` those on
   * `ticker_batch` count as well, and get every trade. Returns how many there will be.
   */
  flood(ticksPerSecond: number, ms: number, batchToo = false): number {
    const total = Math.round(ticksPerSecond * ms / 1000);
    this.#floods.push({ batchToo, startedAt: performance.now(), ms, total, done: 0 });
    return total;
  }

  /** Delists a product and sends the error to every client; returns how many got it. */
  delist(product: string): number {
    this.#delisted.add(product);
    let reached = 0;
    for (const client of this.clients) {
      client.subscriptions.forget(product);
      if (client.send(errorText("Failed to subscribe", `${product} is delisted`))) reached++;
    }
    return reached;
  }

  /** Lists a product again; clients get no message and must subscribe again. */
  list(product: string): void {
    this.#delisted.delete(product);
  }

  /** Does everything that is due. Call it every `PUMP_MS`; a late call catches up. */
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
    // a pause of the whole process is not made up for: a real exchange would have sent those trades then
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
        // a large order is several trades in one microsecond, followed by a longer pause
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
      const trade = player.take(now);
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
