import { assertEquals } from "@std/assert";
import { Random } from "../fakes/random.ts";
import { cutTickerOf, FrameReader, tickerOf } from "./connection_proxy.ts";

const encoder = new TextEncoder();
const HEAD = encoder.encode("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n");

/** An unmasked frame, as a server sends it. */
function frame(text: string, opcode = 1): Uint8Array {
  const body = encoder.encode(text);
  const length = body.length < 126
    ? [body.length]
    : body.length < 65_536
    ? [126, body.length >> 8, body.length & 255]
    : [127, 0, 0, 0, 0, body.length >> 24, (body.length >> 16) & 255, (body.length >> 8) & 255, body.length & 255];
  return Uint8Array.from([128 | opcode, ...length, ...body]);
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const TICKER =
  '{"type":"ticker","sequence":7,"product_id":"BTC-USD","price":"100.5","time":"2026-10-03T20:58:31.127510Z","trade_id":3}';

Deno.test("FrameReader reads the same texts from pieces of any size", () => {
  const texts = ["a", "b".repeat(200), "", "c".repeat(4000)];
  const bytes = join(
    HEAD,
    ...texts.map((text) => frame(text)),
    frame("ping", 9),
    frame("x".repeat(70_000)),
    frame("end"),
  );
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed);
    const read: string[] = [];
    const reader = new FrameReader((text) => read.push(text));
    for (let at = 0; at < bytes.length;) {
      const size = random.int(1, random.pick([3, 100, 20_000]));
      reader.push(bytes.subarray(at, at + size));
      at += size;
    }
    assertEquals(read, [...texts, "end"], `seed ${seed}`);
  }
});

Deno.test("FrameReader ignores a connection that the exchange refuses", () => {
  const read: string[] = [];
  const reader = new FrameReader((text) => read.push(text));
  reader.push(join(encoder.encode("HTTP/1.1 503 Service Unavailable\r\n\r\n"), frame("no")));
  assertEquals(read, []);
});

Deno.test("tickerOf() accepts complete tickers only", () => {
  assertEquals(tickerOf(TICKER)?.id, "coinbase:BTC-USD:7");
  for (const bad of ['"100.5"', '"0"', "100", "true"].slice(1)) {
    assertEquals(tickerOf(TICKER.replace('"100.5"', bad)), undefined, bad);
  }
  assertEquals(tickerOf(TICKER.slice(0, 80)), undefined);
  assertEquals(tickerOf('{"type":"heartbeat"}'), undefined);
});

Deno.test("cutTickerOf() returns the product of half a ticker", () => {
  assertEquals(cutTickerOf(TICKER.slice(0, 70)), "BTC-USD");
  for (const other of [TICKER, "not JSON", '{"type":"ticker","product_id":"BTC-USD","pri']) {
    assertEquals(cutTickerOf(other), undefined, other);
  }
});
