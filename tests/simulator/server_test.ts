import { assert, assertEquals, assertRejects } from "@std/assert";
import { acceptKey } from "../../src/simulator/socket.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { Client, mayListen, until } from "./client.ts";
import { productOf, tradeAt } from "./trades.ts";

const ignore = !mayListen;

Deno.test("acceptKey() returns what RFC 6455 has in its example", () => {
  assertEquals(acceptKey("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

Deno.test({
  name: "Simulator acknowledges, sends the last trades, and then each trade once",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 100 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD", "ETH-USD"], ["ticker"]);
    await until("there are 100 tickers", () => client.tickers().length >= 100);
    assertEquals(client.of("subscriptions"), [{
      type: "subscriptions",
      channels: [{ name: "ticker", product_ids: ["ETH-USD", "BTC-USD"], account_ids: null }],
    }]);
    for (const product of ["BTC-USD", "ETH-USD"]) {
      const ids = client.tickers(product).map(({ trade_id }) => Number(trade_id));
      assertEquals(ids, ids.map((_, i) => (ids[0] ?? 0) + i));
    }
  },
});

Deno.test({
  name: "Simulator.sent() has the ticks that arrived, with the same texts",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 50 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD", "SOL-USD"], ["ticker"]);
    await until("there are 60 tickers", () => client.tickers().length >= 60);
    const arrived = client.tickers();
    const sent = simulator.sent().slice(0, arrived.length);
    assertEquals(
      sent.map(({ product, sequence, tradeId, price, time }) => ({ product, sequence, tradeId, price, time })),
      arrived.map((ticker) => ({
        product: ticker.product_id,
        sequence: ticker.sequence,
        tradeId: ticker.trade_id,
        price: ticker.price,
        time: ticker.time,
      })),
    );
    for (const { id, product, sequence, at, connection } of sent) {
      assertEquals([id, connection], [`coinbase:${product}:${sequence}`, 1]);
      assert(Math.abs(at - Date.now()) < 60_000);
    }
    assertEquals(simulator.sent(5).slice(0, 1), simulator.sent().slice(5, 6));
    assert(simulator.sentCount >= arrived.length);
  },
});

Deno.test({
  name: "Simulator trades without clients, and sends the last trade to the next client",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 100, products: ["BTC-USD"] });
    await until("20 trades have happened", () => (simulator.traded()["BTC-USD"]?.count ?? 0) >= 20);
    assertEquals(simulator.sentCount, 0);
    simulator.levers.quiet("BTC-USD", true);
    const { sequence } = simulator.traded()["BTC-USD"] ?? {};
    await using first = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    await using second = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    await until("both have a ticker", () => first.tickers().length + second.tickers().length === 2);
    assertEquals([first.tickers()[0]?.sequence, second.tickers()[0]?.sequence], [sequence, sequence]);
    assertEquals(simulator.sent().map((tick) => [tick.sequence, tick.connection]), [[sequence, 1]]);
  },
});

Deno.test({
  name: "Simulator gives the same prices for the same seed",
  ignore,
  async fn() {
    const runs: string[][] = [];
    for (let run = 0; run < 2; run++) {
      await using simulator = await Simulator.start({ ticksPerSecond: 0, seed: 42, products: ["BTC-USD"] });
      await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
      simulator.levers.trade("BTC-USD", 50);
      await until("there are 51 tickers", () => client.tickers().length === 51);
      runs.push(client.tickers().map(({ price }) => String(price)));
    }
    assertEquals(runs[0], runs[1]);
  },
});

Deno.test({
  name: "Simulator keeps its rate over all products",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 200 });
    const started = performance.now();
    const trades = () => Object.values(simulator.traded()).reduce((sum, { count }) => sum + count, 0);
    const before = trades();
    await until("a second has passed", () => performance.now() - started >= 1000);
    const perSecond = (trades() - before) / ((performance.now() - started) / 1000);
    assert(perSecond > 1400 && perSecond < 1800, `${perSecond} instead of 1600`);
  },
});

Deno.test({
  name: "Simulator closes a client that does not subscribe in time, and not one that does",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ subscribeWithinMs: 200 });
    await using good = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    await using idle = await Client.open(simulator.url);
    await until("the idle one is closed", () => idle.closed !== undefined);
    assertEquals([idle.closed?.code, good.closed], [1008, undefined]);
  },
});

Deno.test({
  name: "Simulator samples ticker_batch, and sends nothing for a product without a new trade",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0, batchMs: 50, heartbeatMs: 20 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD", "ETH-USD"], ["ticker_batch", "heartbeat"]);
    await until("both last trades are there", () => client.tickers().length === 2);
    simulator.levers.trade("BTC-USD", 10);
    await until("the sample is there", () => client.tickers("BTC-USD").length === 2);
    const beats = client.of("heartbeat").length;
    await until("three samples' time has passed", () => client.of("heartbeat").length > beats + 16);
    const last = simulator.traded()["BTC-USD"]?.sequence;
    assertEquals(client.tickers("BTC-USD").map(({ sequence }) => sequence).at(-1), last);
    assertEquals([client.tickers("BTC-USD").length, client.tickers("ETH-USD").length], [2, 1]);
    assertEquals(client.of("subscriptions")[0]?.channels, [
      { name: "ticker_1000", product_ids: ["ETH-USD", "BTC-USD"], account_ids: null },
      { name: "heartbeat", product_ids: ["ETH-USD", "BTC-USD"], account_ids: null },
    ]);
    assertEquals(Object.keys(simulator.connections()[0]?.subscribed ?? {}), ["ticker_batch", "heartbeat"]);
  },
});

Deno.test({
  name: "Simulator sends a heartbeat for each subscribed product, with its last trade",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0, heartbeatMs: 30 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD", "ETH-USD"], ["heartbeat"]);
    simulator.levers.trade("BTC-USD", 3);
    const { sequence, tradeId } = simulator.traded()["BTC-USD"] ?? {};
    await until("it names the trade", () => client.of("heartbeat").some((beat) => beat.last_trade_id === tradeId));
    const beat = client.of("heartbeat").find((beat) => beat.last_trade_id === tradeId);
    assertEquals(Object.keys(beat ?? {}), ["type", "last_trade_id", "product_id", "sequence", "time"]);
    assertEquals([beat?.product_id, beat?.sequence], ["BTC-USD", sequence]);
    assertEquals(new Set(client.of("heartbeat").map(({ product_id }) => product_id)).size, 2);
    assertEquals(client.tickers(), []);
  },
});

Deno.test({
  name: "Simulator stops sending what is unsubscribed, and remembers connections and their messages",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    const message = { type: "unsubscribe", channels: ["ticker"] };
    client.send(message);
    await until("it is acknowledged", () => client.of("subscriptions").length === 2);
    assertEquals(simulator.levers.trade("BTC-USD"), 0);
    assertEquals(simulator.received().map(({ connection }) => connection), [1, 1]);
    assertEquals(simulator.received()[1]?.text, JSON.stringify(message));
    assertEquals(simulator.connections().map(({ number, subscribed, closed }) => [number, subscribed, closed]), [
      [1, {}, undefined],
    ]);
    client.leave();
    await until("it has left", () => simulator.connections()[0]?.closed !== undefined);
    assert([1000, 1005].includes(simulator.connections()[0]?.closed ?? 0));
  },
});

Deno.test({
  name: "Simulator replays a recording from the first subscription on, byte for byte",
  ignore,
  async fn() {
    const [btc, eth] = [productOf("BTC-USD", 5, 0), productOf("ETH-USD", 5, 0)];
    const frames = Array.from({ length: 200 }, (_, i) => {
      return { at: i * 100, text: tradeAt(i % 3 === 0 ? eth : btc, 1_600_000_000_000_000 + i * 100_000).text };
    });
    await using simulator = await Simulator.start({ recording: { frames, speed: 100 } });
    assertEquals([simulator.products, simulator.sentCount], [["ETH-USD", "BTC-USD"], 0]);
    await using client = await Client.subscribe(simulator.url, ["BTC-USD", "ETH-USD", "SOL-USD"], ["ticker"]);
    await until("all are there", () => client.tickers().length === frames.length);
    assertEquals(client.frames.filter((text) => text.startsWith('{"type":"ticker"')), frames.map(({ text }) => text));
    assertEquals(client.of("error").map(({ reason }) => reason), ["SOL-USD is not a valid product"]);
    const { playback } = await (await fetch(simulator.httpUrl)).json();
    assertEquals(playback, { played: 200, total: 200 });
    assertEquals(simulator.sent().map(({ sequence }) => sequence).length, 200);
  },
});

Deno.test({
  name: "Simulator replays at unlimited speed without closing the client",
  ignore,
  async fn() {
    const product = productOf("BTC-USD", 5, 0);
    const frames = Array.from({ length: 30_000 }, (_, i) => ({ at: i, text: tradeAt(product, i).text }));
    await using simulator = await Simulator.start({ recording: { frames, speed: Infinity } });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    await until("all are there", () => client.frames.length === frames.length + 1, 30_000);
    assertEquals(client.closed, undefined);
  },
});

Deno.test({
  name: "Simulator closes a client that does not read, and its memory does not grow",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0, products: ["BTC-USD"] });
    using conn = await Deno.connect({ port: Number(new URL(simulator.url).port), hostname: "127.0.0.1" });
    await handshake(conn);
    await conn.write(
      clientFrame(JSON.stringify({ type: "subscribe", product_ids: ["BTC-USD"], channels: ["ticker"] })),
    );
    await until("it is subscribed", () => simulator.sentCount === 1);
    simulator.levers.flood(1_000_000, 200);
    await until("it is closed", () => simulator.connections()[0]?.closed !== undefined);
    assertEquals(simulator.connections()[0]?.closed, 1008);
    // the simulator's own queue and the kernel's buffers
    assert(simulator.sentCount < 100_000, `${simulator.sentCount} ticks were taken`);
  },
});

for (
  const [what, frame, code] of [
    ["a frame that is not masked", new Uint8Array([0x81, 1, 65]), 1002],
    ["text that is not UTF-8", new Uint8Array([0x81, 0x81, 0, 0, 0, 0, 0xff]), 1007],
    ["a message that is too big", new Uint8Array([0x81, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]), 1009],
  ] as const
) {
  Deno.test({
    name: `Simulator closes with ${code} after ${what}`,
    ignore,
    async fn() {
      await using simulator = await Simulator.start({ ticksPerSecond: 0 });
      using conn = await Deno.connect({ port: simulator.port, hostname: "127.0.0.1" });
      await handshake(conn);
      await conn.write(frame);
      const answer = new Uint8Array(200);
      await conn.read(answer);
      assertEquals([answer[0], (answer[2] ?? 0) * 256 + (answer[3] ?? 0)], [0x88, code]);
    },
  });
}

Deno.test({
  name: "Simulator accepts a message in fragments, with a Ping between them",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0 });
    using conn = await Deno.connect({ port: simulator.port, hostname: "127.0.0.1" });
    await handshake(conn);
    const text = JSON.stringify({ type: "subscribe", product_ids: ["BTC-USD"], channels: ["heartbeat"] });
    const whole = [clientFrame(text.slice(0, 20), 0x01), clientFrame("hi", 0x89), clientFrame(text.slice(20), 0x80)];
    for (const byte of whole.flatMap((frame) => [...frame])) await conn.write(new Uint8Array([byte]));
    await until("it is subscribed", () => simulator.received().length === 1);
    assertEquals(simulator.received()[0]?.text, text);
    const answer = new Uint8Array(200);
    await conn.read(answer);
    assertEquals([...answer.subarray(0, 4)], [0x8a, 2, 104, 105]);
  },
});

Deno.test({
  name: "Simulator closes all clients with 1001 when it is disposed of, even twice, and frees the port",
  ignore,
  async fn() {
    const simulator = await Simulator.start({ ticksPerSecond: 100 });
    const client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    using half = await Deno.connect({ port: simulator.port, hostname: "127.0.0.1" });
    await half.write(new TextEncoder().encode("GET / HT"));
    const { port } = simulator;
    await Promise.all([simulator[Symbol.asyncDispose](), simulator[Symbol.asyncDispose]()]);
    await client[Symbol.asyncDispose]();
    assertEquals(client.closed?.code, 1001);
    await using again = await Simulator.start({ port });
    await assertRejects(() => Simulator.start({ port: again.port }), Error, "EADDRINUSE");
  },
});

for (
  const [what, options] of [
    ["batchMs", { batchMs: 0 }],
    ["pastMs", { pastMs: NaN }],
  ] as const
) {
  Deno.test(`Simulator.start() rejects a bad ${what} before it listens`, async () => {
    await assertRejects(() => Simulator.start(options), RangeError, what);
  });
}

async function handshake(conn: Deno.Conn): Promise<void> {
  const head = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  await conn.write(new TextEncoder().encode(head));
  const answer = new Uint8Array(1000);
  const count = await conn.read(answer) ?? 0;
  assert(new TextDecoder().decode(answer.subarray(0, count)).startsWith("HTTP/1.1 101 "));
}

/** A masked text frame, up to 65,535 bytes; the mask is not zero, so that unmasking is tested. */
function clientFrame(text: string, first = 0x81): Uint8Array<ArrayBuffer> {
  const payload = new TextEncoder().encode(text);
  const mask = [1, 2, 3, 4];
  const size = payload.length < 126 ? [payload.length | 0x80] : [126 | 0x80, payload.length >> 8, payload.length & 255];
  return new Uint8Array([first, ...size, ...mask, ...payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0))]);
}
