// The contract of every exchange. A new exchange runs these cases with one line in its test.

import { assert, assertEquals, fail } from "@std/assert";
import type { Decoded, Exchange } from "../../src/exchanges/exchange.ts";
import { REJECT_REASONS, type Tick } from "../../src/core/record.ts";
import { Random } from "../fakes/random.ts";

const JUNK = [
  ...[
    "",
    " ",
    "\n",
    "x",
    "{",
    "[",
    "}",
    '"',
    "null",
    "true",
    "0",
    "-0",
    "1e999",
    '""',
    '"ticker"',
    "[]",
    "[[]]",
    "{}",
    "{}{}",
  ],
  ...["\ufeff{}", "\0", "\ud800", '{"type":null}', '{"type":5}', '{"type":{}}', '{"type":""}', '{"type":"__proto__"}'],
  ...['{"__proto__":{"type":"ticker"}}', '{"constructor":5,"toString":null}', '{"event":null}', '[0,null,"ticker",{}]'],
  ...[
    "[".repeat(100_000),
    `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`,
    "9".repeat(100_000),
    `"${"x".repeat(500_000)}"`,
  ],
];

/** Fails unless the tick satisfies everything that {@link Tick} promises. */
export function assertValidTick(tick: Tick, exchange: Exchange, receivedTime: number): void {
  const { product, sequence, price, exchangeTimeUs, recordTimeUs } = tick;
  // a single assertion, because this also runs a million times
  const optional = [tick.lastSize, tick.open24h, tick.volume24h, tick.bid, tick.ask];
  const valid = tick.kind === "tick" && tick.exchange === exchange.name &&
    typeof product === "string" && exchange.productPattern.test(product) &&
    Number.isSafeInteger(sequence) && sequence >= 0 &&
    typeof price === "number" && Number.isFinite(price) && price > 0 &&
    Number.isSafeInteger(exchangeTimeUs) && exchangeTimeUs >= 0 && exchangeTimeUs / 1000 <= receivedTime + 600_000 &&
    tick.receivedTime === receivedTime && recordTimeUs === exchangeTimeUs &&
    (tick.tradeId === undefined || (Number.isSafeInteger(tick.tradeId) && tick.tradeId >= 0)) &&
    (tick.side === undefined || tick.side === "buy" || tick.side === "sell") &&
    optional.every((value) =>
      value === undefined || (typeof value === "number" && Number.isFinite(value) && value >= 0)
    );
  if (!valid) fail(`invalid tick ${JSON.stringify(tick)}`);
}

function assertValid(decoded: Decoded, exchange: Exchange, receivedTime: number): void {
  for (const tick of decoded.ticks) assertValidTick(tick, exchange, receivedTime);
  for (const reason of decoded.rejected) assert(REJECT_REASONS.includes(reason), `unknown reason ${reason}`);
  const { heartbeat, subscribed, refused } = decoded;
  if (heartbeat !== undefined) {
    const { product, lastTradeId = 0, timeUs = 0 } = heartbeat;
    assert(exchange.productPattern.test(product), "a heartbeat names a product");
    assert(Number.isSafeInteger(lastTradeId) && lastTradeId >= 0, "a heartbeat's trade id is a count");
    assert(Number.isSafeInteger(timeUs) && timeUs >= 0, "a heartbeat's time is whole us since 1970");
  }
  for (const product of subscribed ?? []) assert(typeof product === "string", "subscribed products are texts");
  if (refused !== undefined) {
    assert(refused.words !== "", "a refusal comes with the exchange's words");
    assert(["product", "channel", "login", "other"].includes(refused.kind), `unknown kind ${refused.kind}`);
    if (refused.kind === "product") assert(exchange.productPattern.test(refused.product), "the refused product is one");
    if (refused.kind === "channel") assert(refused.channel !== "", "a refused channel has a name");
  }
}

/**
 * Defines the tests.
 *
 * @param frames captured ones or shaped like those, one per line; some contain ticks
 */
export function exchangeContract(exchange: Exchange, frames: string): void {
  const { name } = exchange;
  const captured = frames.trim().split("\n");
  const receivedTime = Date.UTC(2026, 11, 31);

  Deno.test(`${name} has a lower-case name, an encrypted address, and channels`, () => {
    assert(/^[a-z][a-z0-9]*$/.test(name));
    assertEquals(new URL(exchange.url).protocol, "wss:");
    assert(Object.keys(exchange.channels).length > 0);
    for (const { meaning } of Object.values(exchange.channels)) assert(meaning.length > 0);
  });

  Deno.test(`${name}.decode() finds valid ticks of this exchange in captured frames`, () => {
    let ticks = 0;
    for (const frame of captured) {
      const decoded = exchange.decode(frame, receivedTime);
      assertValid(decoded, exchange, receivedTime);
      ticks += decoded.ticks.length;
    }
    assert(ticks > 0);
  });

  Deno.test(`${name}.decode() returns products that need no escaping in JSON and keys`, () => {
    for (const frame of captured) {
      for (const { product } of exchange.decode(frame, receivedTime).ticks) {
        assertEquals(JSON.stringify(product), `"${product}"`);
        assert(/^[\x21-\x7e]+$/.test(product));
      }
    }
  });

  Deno.test(`${name}.decode() returns the same result for the same frame and time, whatever it decoded in between`, () => {
    const first = captured.map((frame) => exchange.decode(frame, receivedTime));
    const again = captured.toReversed().map((frame) => exchange.decode(frame, receivedTime)).toReversed();
    assertEquals(again, first);
  });

  Deno.test(`${name}.decode() returns new ticks, whose record time may be set`, () => {
    for (const frame of captured) {
      const one = exchange.decode(frame, receivedTime), other = exchange.decode(frame, receivedTime);
      for (const tick of one.ticks) tick.recordTimeUs++;
      assert(other.ticks.every((tick) => tick.recordTimeUs === tick.exchangeTimeUs));
    }
  });

  Deno.test(`${name}.decode() uses the frame's own time if the time of arrival is unknown`, () => {
    for (const frame of captured) {
      for (const tick of exchange.decode(frame).ticks) assertValidTick(tick, exchange, tick.exchangeTimeUs / 1000);
    }
  });

  Deno.test(`${name}.decode() rejects a tick more than 10 minutes ahead of our clock`, () => {
    for (const frame of captured) {
      for (const { exchangeTimeUs } of exchange.decode(frame).ticks) {
        assertEquals(exchange.decode(frame, exchangeTimeUs / 1000 - 600_001).ticks, []);
        assertEquals(exchange.decode(frame, exchangeTimeUs / 1000 - 600_000).rejected, []);
      }
    }
  });

  Deno.test(`${name}.decode() rejects or ignores junk, and never throws`, () => {
    for (const frame of JUNK) {
      const decoded = exchange.decode(frame, receivedTime);
      assertValid(decoded, exchange, receivedTime);
      assertEquals(decoded.ticks, []);
    }
  });

  Deno.test(`${name}.decode() does not throw at captured frames that are cut off or changed in one place`, () => {
    const random = new Random(20261004);
    for (const frame of captured) {
      for (let cut = 0; cut < frame.length; cut += random.int(1, 7)) {
        assertEquals(exchange.decode(frame.slice(0, cut), receivedTime).ticks, [], "half a frame is no tick");
        const changed = frame.slice(0, cut) + random.pick('{}[]",:0-9.eE\\ntu \u0660') + frame.slice(cut + 1);
        assertValid(exchange.decode(changed, receivedTime), exchange, receivedTime);
      }
    }
  });

  for (const channel of Object.keys(exchange.channels)) {
    for (const count of [1, 8, exchange.maxHeartbeats + 1, 500]) {
      Deno.test(`${name}.subscribe() to ${channel} requests all of ${count} products in JSON frames`, () => {
        const products = Array.from({ length: count }, (_, i) => `P${i}Q-USD`);
        const frames = exchange.subscribe(products, channel);
        for (const frame of frames) assertEquals(typeof JSON.parse(frame), "object");
        const text = frames.join("\n");
        assertEquals(products.filter((product) => !text.includes(`"${product}"`)), []);
        assertEquals(exchange.subscribe(products, channel), frames, "the same question each time");
        // "Message too big", and at most 8 messages a second
        assert(frames.every((frame) => frame.length < 4096) && frames.length <= 8);
      });
    }
  }
}
