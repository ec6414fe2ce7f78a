// What the simulator sent and received, for tests to compare with what arrived elsewhere. Bounded: the oldest entries
// are forgotten and counted.

/** A valid ticker that was sent to at least one client. */
export interface SentTick {
  /** `coinbase:<product>:<sequence>`: the same for each copy of the same ticker. */
  readonly id: string;
  /** The exchange's id of the product, such as `BTC-USD`. */
  readonly product: string;
  /** Position in the product's order book. */
  readonly sequence: number;
  /** The exchange's number of the trade. */
  readonly tradeId: number;
  /** Decimal text, exactly as sent. */
  readonly price: string;
  /** RFC 3339 text, exactly as sent. */
  readonly time: string;
  /** When it was sent: ms since the epoch with a fraction, by the machine's clock, never shifted by a lever. */
  readonly at: number;
  /** The connection that got it first. */
  readonly connection: number;
}

const CHUNK_ROWS = 65_536;

/** Columns instead of objects, because two million objects would cost too much memory and garbage collection. */
class Chunk {
  readonly product: string[] = [];
  readonly price: string[] = [];
  readonly time: string[] = [];
  readonly sequence: number[] = [];
  readonly tradeId: number[] = [];
  readonly at: number[] = [];
  readonly connection: number[] = [];

  row(index: number): SentTick {
    const product = this.product[index] ?? "";
    const sequence = this.sequence[index] ?? 0;
    return {
      id: `coinbase:${product}:${sequence}`,
      product,
      sequence,
      tradeId: this.tradeId[index] ?? 0,
      price: this.price[index] ?? "",
      time: this.time[index] ?? "",
      at: this.at[index] ?? 0,
      connection: this.connection[index] ?? 0,
    };
  }
}

/** The ticks sent, in order. Each has a number, from 0, that does not change when older ones are forgotten. */
export class Ledger {
  readonly #limit: number;
  #chunks: Chunk[] = [];
  #forgotten = 0;
  #count = 0;

  /** Keeps at least `limit` of the newest ticks. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many were sent since the start. */
  get count(): number {
    return this.#count;
  }

  /** How many of the oldest are forgotten. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Adds one tick. */
  add(tick: Omit<SentTick, "id">): void {
    let chunk = this.#chunks.at(-1);
    if (chunk === undefined || chunk.at.length >= CHUNK_ROWS) {
      this.#chunks.push(chunk = new Chunk());
      if (this.#count - this.#forgotten - CHUNK_ROWS >= this.#limit) {
        this.#chunks.shift();
        this.#forgotten += CHUNK_ROWS;
      }
    }
    chunk.product.push(tick.product);
    chunk.price.push(tick.price);
    chunk.time.push(tick.time);
    chunk.sequence.push(tick.sequence);
    chunk.tradeId.push(tick.tradeId);
    chunk.at.push(tick.at);
    chunk.connection.push(tick.connection);
    this.#count++;
  }

  /** The ticks from this number on that are not forgotten. */
  *since(number: number): Generator<SentTick> {
    for (let i = Math.max(number, this.#forgotten); i < this.#count; i++) {
      const at = i - this.#forgotten;
      const chunk = this.#chunks[Math.floor(at / CHUNK_ROWS)];
      // forgotten while the reader was waiting
      if (chunk === undefined || at < 0) continue;
      yield chunk.row(at % CHUNK_ROWS);
    }
  }
}

/** One message of a client. */
export interface ReceivedText {
  /** The number of the connection. */
  readonly connection: number;
  /** When it arrived, ms since the epoch. */
  readonly at: number;
  /** The message, cut after 16,384 characters. */
  readonly text: string;
}

/** A list that keeps its newest entries. */
export class Newest<T> {
  readonly #limit: number;
  #entries: T[] = [];

  /** Keeps at least `limit` entries, at most twice as many. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds one. */
  add(entry: T): void {
    this.#entries.push(entry);
    // halving now and then costs less than a shift each time
    if (this.#entries.length >= this.#limit * 2) this.#entries = this.#entries.slice(-this.#limit);
  }

  /** The entries, oldest first. */
  list(): readonly T[] {
    return this.#entries.slice();
  }
}
