// The levers: everything that goes wrong with an exchange and the line to it, on demand.

import type { Connection } from "./connection.ts";
import type { Floor } from "./floor.ts";
import { hugeFrame, JUNK } from "./junk.ts";

/** What can be made to happen. Those that answer with a number tell how many sockets they have reached. */
export interface Levers {
  /**
   * Closes all connections with this code (default 1001). 1006 cuts the lines without a Close, as happens most in the
   * wild.
   */
  hangUp(code?: number): number;
  /**
   * Connections stay open and nothing at all is sent on them, no heartbeat and no answer, not even to a Ping or a
   * Close.
   */
  silent(on: boolean): void;
  /** New connections are answered with this status (default 503) instead of a WebSocket. */
  refuseUpgrade(on: boolean, status?: number): void;
  /** New connections are taken and hear nothing for as long as they live, even after a subscribe. */
  mute(on: boolean): void;
  /** New connections are taken and closed at once. */
  hangUpAtOnce(on: boolean): void;
  /** A stalled product: no tickers, while its trades go on and its heartbeats tell of them. */
  loseProduct(product: string, on: boolean): void;
  /** A product that nobody trades: no tickers, and each heartbeat with the same trade. */
  quiet(product: string, on: boolean): void;
  /** So many trades now (default 1), at this price if one is given; a product that somebody wants if none is named. */
  trade(product?: string, n?: number, price?: string): number;
  /** So many frames of junk (default 1): not JSON, cut, wrong types, arrays, numbers, binary. */
  junk(n?: number): number;
  /** One text frame of so many bytes. */
  huge(bytes: number): number;
  /** A new trade of which only half the ticker comes, in a whole frame. */
  cutOff(product?: string): number;
  /** Half a frame, and the line is dead (1006). */
  breakOff(): number;
  /** To each client the ticker that it got last, n times again (default 1). */
  repeat(n?: number): number;
  /** Two new trades of a product, the second told first. */
  outOfOrder(product?: string): number;
  /** A new trade whose time lies so far in the past. */
  late(ms: number, product?: string): number;
  /** A new trade whose time lies so far in the future. */
  future(ms: number, product?: string): number;
  /** `<product> is delisted` to all, and no subscribe to it is taken until it is listed again (`on` false; default true). */
  wrongProductErrors(product: string, on?: boolean): number;
  /** The behaviour of 2017: one bad product refuses the whole subscribe, with one error and no reply. */
  refuseAll(on: boolean): void;
  /** The last trades go out before the `subscriptions` reply, as seen in 2021. */
  dataFirst(on: boolean): void;
  /** Holds up each frame for so long; 0 ends it. */
  slowDown(ms: number): void;
  /**
   * Extra ticks for so long, spread over the products that somebody gets on `ticker`. Answers with how many there
   * will be. With `batchToo` (default false) those on `ticker_batch` get each one at once, and not the samples alone.
   */
  flood(ticksPerSecond: number, ms: number, batchToo?: boolean): number;
  /** Heartbeats on or off. */
  heartbeats(on: boolean): void;
  /** Shifts the exchange's clock: all times that are sent. */
  clockOffset(ms: number): void;
}

/** Levers of this floor. */
export function createLevers(floor: Floor): Levers {
  const { switches } = floor;

  /** Calls for each client that hears; counts those that were reached. */
  function reach(act: (client: Connection) => boolean): number {
    let reached = 0;
    for (const client of floor.clients) {
      if (client.hears && act(client)) reached++;
    }
    return reached;
  }

  function put(set: Set<string>, product: string, on: boolean): void {
    if (!floor.market.has(product)) throw new RangeError(`Cannot find the product: current value is "${product}"`);
    if (on) set.add(product);
    else set.delete(product);
  }

  return {
    hangUp(code = 1001) {
      let reached = 0;
      for (const { socket } of floor.clients) {
        if (!socket.open) continue;
        socket.close(code);
        reached++;
      }
      return reached;
    },
    silent(on) {
      switches.silent = on;
      for (const client of floor.clients) client.socket.hush(on || client.muted);
    },
    refuseUpgrade(on, status = 503) {
      switches.refuseUpgrade = on ? status : undefined;
    },
    mute(on) {
      switches.mute = on;
    },
    hangUpAtOnce(on) {
      switches.hangUpAtOnce = on;
    },
    loseProduct(product, on) {
      put(floor.lost, product, on);
    },
    quiet(product, on) {
      put(floor.quiet, product, on);
    },
    trade(product = floor.wantedProduct(), n = 1, price) {
      let reached = 0;
      for (let i = 0; i < n; i++) reached = floor.publish(floor.market.trade(product, floor.micros(), false, price));
      return reached;
    },
    junk(n = 1) {
      return reach((client) => {
        for (let i = 0; i < n; i++) client.send(JUNK[i % JUNK.length] ?? "");
        return true;
      });
    },
    huge(bytes) {
      const frame = hugeFrame(bytes);
      return reach(({ socket }) => socket.sendBytes(frame, { text: true, exempt: true }));
    },
    cutOff(product = floor.wantedProduct()) {
      const { text } = floor.market.trade(product, floor.micros());
      const half = text.slice(0, text.length >> 1);
      const audience = floor.audience(product);
      return reach((client) => audience.includes(client) && client.send(half));
    },
    breakOff() {
      const text = floor.market.last(floor.wantedProduct())?.text ?? `{"type":"ticker"}`;
      return reach(({ socket }) => socket.breakOff(text));
    },
    repeat(n = 1) {
      return reach((client) => {
        const text = client.lastTicker;
        if (text === undefined) return false;
        for (let i = 0; i < n; i++) client.send(text);
        return true;
      });
    },
    outOfOrder(product = floor.wantedProduct()) {
      const first = floor.market.trade(product, floor.micros());
      const second = floor.market.trade(product, floor.micros());
      floor.publish(second, true);
      const reached = floor.publish(first, true);
      for (const { batched } of floor.audience(product)) {
        if (batched.has(product)) batched.set(product, second.sequence);
      }
      return reached;
    },
    late(ms, product = floor.wantedProduct()) {
      return floor.publish(floor.market.tradeAt(product, floor.micros() - Math.round(ms * 1000)), true);
    },
    future(ms, product = floor.wantedProduct()) {
      return floor.publish(floor.market.tradeAt(product, floor.micros() + Math.round(ms * 1000)), true);
    },
    wrongProductErrors(product, on = true) {
      return on ? floor.delist(product) : floor.list(product);
    },
    refuseAll(on) {
      switches.refuseAll = on;
    },
    dataFirst(on) {
      switches.dataFirst = on;
    },
    slowDown(ms) {
      switches.delayMs = ms;
    },
    flood(ticksPerSecond, ms, batchToo) {
      return floor.flood(ticksPerSecond, ms, batchToo);
    },
    heartbeats(on) {
      switches.heartbeats = on;
    },
    clockOffset(ms) {
      switches.clockOffsetMs = ms;
      floor.market.rewind();
    },
  };
}
