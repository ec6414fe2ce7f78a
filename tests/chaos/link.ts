// The line between the exchange and the program: it can be cut, held, slowed and spoilt, and it reads along what the exchange
// says, so that what was on its way is known even of an exchange that was killed.

import type { SentTick } from "../../src/simulator/server.ts";
import type { Random } from "../fakes/random.ts";
import { writeAll } from "../../src/core/write_all.ts";
import { Line } from "../servers/line.ts";
import { sleep } from "../servers/process.ts";

/** `cut`: whoever comes is hung up on. `held`: nothing moves in either direction, and nothing is lost. `slow`: 20 kB/s. `junk`: now and then bytes that belong to no frame. `half`: now and then the end in the middle of a frame. */
export type LineState = "whole" | "cut" | "held" | "slow" | "junk" | "half";

/** What the count needs to know of a tick. */
export type KnownTick = Pick<SentTick, "id" | "product" | "tradeId" | "price" | "time">;

const SLOW_BYTES_PER_S = 20_000;
const SLOW_CHUNK = 2048;
/** Between two strikes of `junk` and `half`, ms. */
const STRIKE_MS = 2500;
/** Longer frames are no tickers, bytes. */
const LONGEST_TICKER = 4096;

const decoder = new TextDecoder();

/** Takes a server's side of a WebSocket connection apart. Whatever it does not understand ends its interest. */
export class FrameReader {
  readonly #take: (text: string) => void;
  #rest = new Uint8Array(0);
  #state: "head" | "frames" | "blind" = "head";
  #skip = 0;

  /** Each text frame goes to `take`. */
  constructor(take: (text: string) => void) {
    this.#take = take;
  }

  /** The next bytes, however they are cut. */
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

/** A valid ticker as the exchange means it; undefined for anything else. */
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

/** The product of a ticker of which only the beginning came. */
export function cutTickerOf(text: string): string | undefined {
  if (text.endsWith("}")) return undefined;
  return /^\{"type":"ticker","sequence":\d+,"product_id":"([^"]+)","price":"\d/.exec(text)?.[1];
}

/** Accepts connections and hands their bytes on to the exchange. */
export class Link extends Line {
  /** By product: tickers of which half came, in a whole frame. The program must reject them. */
  readonly cutTickers = new Map<string, number>();
  protected override readonly target: number;
  #passed: KnownTick[] = [];
  readonly #random: Random;
  readonly #reads: boolean;
  #state: LineState = "whole";
  #changed = Promise.withResolvers<void>();
  #struckAt = -Infinity;

  /** Listens on a free port. Reads along where somebody will ask. */
  constructor(target: number, random: Random, reads = true) {
    super();
    this.#reads = reads;
    this.target = target;
    this.#random = random;
  }

  /** How it behaves; counts for open connections at once. */
  set state(state: LineState) {
    this.#state = state;
    if (state === "cut") this.cut();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Valid tickers that were on the line since the last call, in their order; copies too. */
  take(): KnownTick[] {
    const passed = this.#passed;
    this.#passed = [];
    return passed;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    // whoever is held is let go
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
        // whoever is held here keeps what it has read
        while (this.#state === "held") await this.#changed.promise;
        const strikes = mayBeSpoilt && (this.#state === "junk" || this.#state === "half") &&
          performance.now() - this.#struckAt >= STRIKE_MS;
        if (strikes) this.#struckAt = performance.now();
        if (strikes && this.#state === "junk") {
          await writeAll(to, Uint8Array.from({ length: this.#random.int(1, 64) }, () => this.#random.int(0, 255)));
        }
        if (strikes && this.#state === "half") {
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
      // the end of a line, which is what this is for
    }
  }
}
