// The proxy between the exchange and the program: it can be cut, held, slowed and damaged. It also reads the frames of the
// exchange, so that the ticks in flight are known even if the exchange is killed.

import type { SentTick } from "../../src/simulator/server.ts";
import type { Random } from "../fakes/random.ts";
import { writeAll } from "../../src/core/write_all.ts";
import { Line } from "../servers/line.ts";
import { sleep } from "../servers/process.ts";

/**
 * `cut`: every connection is closed. `held`: nothing moves in either direction, and nothing is lost. `slow`: 20 kB/s. `junk`: now
 * and then bytes that belong to no frame. `half`: now and then the connection ends in the middle of a frame.
 */
export type ConnectionState = "whole" | "cut" | "held" | "slow" | "junk" | "half";

/** The fields of a tick that are counted. */
export type KnownTick = Pick<SentTick, "id" | "product" | "tradeId" | "price" | "time">;

const SLOW_BYTES_PER_S = 20_000;
const SLOW_CHUNK = 2048;
/** Interval of `junk` and `half`, ms. */
const DAMAGE_MS = 2500;
/** Longer frames are skipped, bytes. */
const LONGEST_TICKER = 4096;

const decoder = new TextDecoder();

/** Reads the server's side of a WebSocket connection. Ignores the rest of the connection if it is not as expected. */
export class FrameReader {
  readonly #take: (text: string) => void;
  #rest = new Uint8Array(0);
  #state: "head" | "frames" | "blind" = "head";
  #skip = 0;

  /** Calls `take` with each text frame. */
  constructor(take: (text: string) => void) {
    this.#take = take;
  }

  /** The next bytes, in pieces of any size. */
  push(bytes: Uint8Array): void {
    if (this.#state === "blind") return;
    if (this.#skip >= bytes.length) {
      this.#skip -= bytes.length;
      return;
    }
    const fresh = bytes.subarray(this.#skip);
    this.#skip = 0;
    const all = new Uint8Array(this.#rest.length + fresh.length);
    all.set(this.#rest);
    all.set(fresh, this.#rest.length);
    let at = 0;
    if (this.#state === "head") {
      const head = decoder.decode(all);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return void (this.#rest = all);
      this.#state = head.startsWith("HTTP/1.1 101") ? "frames" : "blind";
      at = end + 4;
    }
    while (this.#state === "frames" && all.length - at >= 2) {
      const view = new DataView(all.buffer, at);
      const short = view.getUint8(1);
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (all.length - at < header) break;
      const length = short < 126 ? short : short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
      if (length > LONGEST_TICKER) {
        at += header + length;
        continue;
      }
      if (all.length - at < header + length) break;
      if ((view.getUint8(0) & 15) === 1) this.#take(decoder.decode(all.subarray(at + header, at + header + length)));
      at += header + length;
    }
    this.#skip = Math.max(0, at - all.length);
    this.#rest = all.slice(Math.min(at, all.length));
  }
}

/** The tick of a valid ticker; undefined for any other text. */
export function tickerOf(text: string): KnownTick | undefined {
  if (!text.startsWith('{"type":"ticker"')) return undefined;
  try {
    const { sequence, product_id: product, price, time, trade_id: tradeId } = JSON.parse(text);
    const isTicker = Number.isInteger(sequence) && typeof product === "string" && typeof price === "string" &&
      /^\d+(\.\d+)?$/.test(price) &&
      Number(price) > 0 && Number.isInteger(tradeId) && /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z$/.test(time);
    return isTicker ? { id: `coinbase:${product}:${sequence}`, product, tradeId, price, time } : undefined;
  } catch {
    return undefined;
  }
}

/** The product of a ticker of which only the first part arrived. */
export function cutTickerOf(text: string): string | undefined {
  if (text.endsWith("}")) return undefined;
  return /^\{"type":"ticker","sequence":\d+,"product_id":"([^"]+)","price":"\d/.exec(text)?.[1];
}

/** Forwards connections to the exchange. */
export class ConnectionProxy extends Line {
  /** By product: complete frames with only the first half of a ticker. The program must reject them. */
  readonly cutTickers = new Map<string, number>();
  protected override readonly target: number;
  #passed: KnownTick[] = [];
  readonly #random: Random;
  readonly #reads: boolean;
  #state: ConnectionState = "whole";
  #changed = Promise.withResolvers<void>();
  #damagedAt = -Infinity;

  /** Listens on a free port. @param reads whether {@link take} will be used */
  constructor(target: number, random: Random, reads = true) {
    super();
    this.#reads = reads;
    this.target = target;
    this.#random = random;
  }

  /** Takes effect at once, also for open connections. */
  set state(state: ConnectionState) {
    this.#state = state;
    if (state === "cut") this.cut();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** The valid tickers forwarded since the last call, in order, including copies. */
  take(): KnownTick[] {
    const passed = this.#passed;
    this.#passed = [];
    return passed;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    // releases held connections
    this.state = "cut";
    await super[Symbol.asyncDispose]();
  }

  protected override admits(): boolean {
    return this.#state !== "cut";
  }

  protected override pass(client: Deno.Conn, exchange: Deno.Conn): [Promise<void>, Promise<void>] {
    const reader = new FrameReader((text) => this.#read(text));
    const see = this.#reads ? (bytes: Uint8Array) => reader.push(bytes) : () => {};
    return [this.#pump(client, exchange, () => {}), this.#pump(exchange, client, see, true)];
  }

  #read(text: string): void {
    const ticker = tickerOf(text);
    if (ticker !== undefined) return void this.#passed.push(ticker);
    const cut = cutTickerOf(text);
    if (cut !== undefined) this.cutTickers.set(cut, (this.cutTickers.get(cut) ?? 0) + 1);
  }

  async #pump(
    from: Deno.Conn,
    to: Deno.Conn,
    see: (bytes: Uint8Array) => void,
    mayBeSpoilt = false,
  ): Promise<void> {
    const buffer = new Uint8Array(65_536);
    try {
      for (let read = await from.read(buffer); read !== null; read = await from.read(buffer)) {
        let bytes = buffer.subarray(0, read);
        see(bytes);
        // bytes that were read before `held` are sent after it
        while (this.#state === "held") await this.#changed.promise;
        const isDue = mayBeSpoilt && (this.#state === "junk" || this.#state === "half") &&
          performance.now() - this.#damagedAt >= DAMAGE_MS;
        if (isDue) this.#damagedAt = performance.now();
        if (isDue && this.#state === "junk") {
          await writeAll(to, Uint8Array.from({ length: this.#random.int(1, 64) }, () => this.#random.int(0, 255)));
        }
        if (isDue && this.#state === "half") {
          bytes = bytes.subarray(0, bytes.length >> 1);
          await writeAll(to, bytes);
          return;
        }
        for (let at = 0; at < bytes.length;) {
          const slow = this.#state === "slow";
          const chunk = slow ? bytes.subarray(at, at + SLOW_CHUNK) : bytes.subarray(at);
          if (slow) await sleep(chunk.length * 1000 / SLOW_BYTES_PER_S);
          await writeAll(to, chunk);
          at += chunk.length;
        }
      }
    } catch {
      // a closed connection is expected here
    }
  }
}
