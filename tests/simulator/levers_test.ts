import { assert, assertEquals, assertThrows } from "@std/assert";
import { INVALID_FRAMES } from "../../src/simulator/invalid_frames.ts";
import { Simulator, type SimulatorOptions } from "../../src/simulator/server.ts";
import { Client, mayListen, until } from "./client.ts";

/** A test with a simulator where trades happen by levers only, and a client on BTC-USD that has its last trade. */
function leverTest(
  name: string,
  options: SimulatorOptions & { channels?: string[]; products?: string[] },
  fn: (simulator: Simulator, client: Client) => Promise<void>,
): void {
  Deno.test({
    name: `levers.${name}`,
    ignore: !mayListen,
    async fn() {
      const { channels = ["ticker"], ...rest } = options;
      await using simulator = await Simulator.start({ ticksPerSecond: 0, heartbeatMs: 20, ...rest });
      await using client = await Client.subscribe(simulator.url, ["BTC-USD"], channels);
      const wanted = channels.some((channel) => channel.startsWith("ticker"));
      if (wanted) await until("the last trade is there", () => client.tickers().length > 0);
      await fn(simulator, client);
    },
  });
}

/** The close code of the client of Deno 2.9.6 when the connection broke; the standard says 1006. */
const BROKEN = 0;

const BOTH = { channels: ["ticker", "heartbeat"] };

/** Waits for so many more heartbeats: long enough for frames that must not arrive. */
async function beats(client: Client, count: number): Promise<void> {
  const wanted = client.of("heartbeat").length + count;
  await until(`${count} heartbeats have come`, () => client.of("heartbeat").length >= wanted);
}

for (const code of [undefined, 1000, 1001, 1012, 4000]) {
  leverTest(`hangUp(${code ?? ""}) closes with ${code ?? 1001} after what was sent`, {}, async (simulator, client) => {
    simulator.levers.trade("BTC-USD", 100);
    assertEquals(simulator.levers.hangUp(code), 1);
    await until("it is closed", () => client.closed !== undefined);
    assertEquals([client.closed?.code, client.tickers().length], [code ?? 1001, 101]);
    await until("the simulator knows", () => simulator.connections()[0]?.closed === (code ?? 1001));
  });
}

leverTest("hangUp(1006) cuts the connection without a Close", {}, async (simulator, client) => {
  assertEquals(simulator.levers.hangUp(1006), 1);
  await until("it is closed", () => client.closed !== undefined);
  assertEquals([client.closed?.code, simulator.connections()[0]?.closed], [BROKEN, 1006]);
});

leverTest(
  "silent() sends nothing and keeps the connection; what was not sent is never sent",
  BOTH,
  async (sim, client) => {
    sim.levers.silent(true);
    const before = sim.sentCount;
    assertEquals([sim.levers.trade("BTC-USD", 3), sim.levers.junk(), sim.levers.repeat()], [0, 0, 0]);
    const heard = client.frames.length;
    await using other = await Client.open(sim.url);
    other.send({ type: "subscribe", product_ids: ["BTC-USD"], channels: ["ticker"] });
    await until("the simulator has the other's subscribe", () => sim.received().length === 2);
    const started = performance.now();
    await until("some heartbeats' time has passed", () => performance.now() - started > 200);
    // a frame may have been on its way when the lever was pulled
    assert(client.frames.length <= heard + 1, `${client.frames.length - heard} frames came`);
    assertEquals([client.closed, other.frames, sim.sentCount], [undefined, [], before]);
    sim.levers.silent(false);
    assertEquals(sim.levers.trade("BTC-USD"), 2);
    await until("both hear again", () => client.tickers().length === 2 && other.tickers().length === 1);
  },
);

Deno.test({
  name: "levers.silent() leaves a client's Close unanswered until it is switched off",
  ignore: !mayListen,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    simulator.levers.silent(true);
    client.leave();
    const started = performance.now();
    await until("some time has passed", () => performance.now() - started > 200);
    assertEquals([client.closed, simulator.connections()[0]?.closed], [undefined, undefined]);
    simulator.levers.silent(false);
    await until("it is closed", () => client.closed !== undefined);
  },
});

leverTest("refuseUpgrade() answers new connections with a status", {}, async (simulator, client) => {
  simulator.levers.refuseUpgrade(true, 429);
  const refused = new Client(simulator.url);
  await until("it is refused", () => refused.closed !== undefined);
  const headers = {
    upgrade: "websocket",
    connection: "upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "x",
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const answer = await exchangeHttp(simulator, `GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n${head}\r\n`);
  assert(answer.startsWith("HTTP/1.1 429 "), answer);
  assertEquals([client.closed, simulator.connections().length], [undefined, 1]);
  simulator.levers.refuseUpgrade(false);
  await using again = await Client.open(simulator.url);
  assertEquals(again.closed, undefined);
});

Deno.test({
  name: "levers.mute() accepts new connections and never sends them anything",
  ignore: !mayListen,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 50, heartbeatMs: 20, subscribeWithinMs: 50 });
    simulator.levers.mute(true);
    const muted = await Client.open(simulator.url);
    simulator.levers.mute(false);
    muted.send({ type: "subscribe", product_ids: ["BTC-USD"], channels: ["ticker", "heartbeat"] });
    await using other = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker", "heartbeat"]);
    await beats(other, 10);
    assertEquals([muted.frames, muted.closed], [[], undefined]);
    assertEquals(simulator.received().length, 2);
    // not even a Close would be answered
    simulator.levers.hangUp(1006);
    await muted[Symbol.asyncDispose]();
  },
});

leverTest("hangUpAtOnce() opens and closes new connections", {}, async (simulator, client) => {
  simulator.levers.hangUpAtOnce(true);
  for (let i = 0; i < 3; i++) {
    await using next = await Client.open(simulator.url);
    await until("it is closed", () => next.closed !== undefined);
    assertEquals([next.closed?.code, next.frames], [1001, []]);
  }
  assertEquals(client.closed, undefined);
  simulator.levers.hangUpAtOnce(false);
  await using last = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
  assertEquals(last.closed, undefined);
});

leverTest("loseProduct() stops a product's tickers while its heartbeats name new trades", {
  ...BOTH,
  ticksPerSecond: 100,
}, async (simulator, client) => {
  simulator.levers.loseProduct("BTC-USD", true);
  await beats(client, 2);
  const tickers = client.tickers().length;
  const beat = client.of("heartbeat").at(-1);
  await beats(client, 5);
  assertEquals(client.tickers().length, tickers);
  assert(Number(client.of("heartbeat").at(-1)?.last_trade_id) > Number(beat?.last_trade_id));
  simulator.levers.loseProduct("BTC-USD", false);
  await until("tickers come again", () => client.tickers().length > tickers);
});

leverTest(
  "quiet() stops a product's trades: its heartbeats name the same trade",
  { ...BOTH, ticksPerSecond: 100 },
  async (sim, client) => {
    sim.levers.quiet("BTC-USD", true);
    await beats(client, 2);
    const tickers = client.tickers().length;
    const from = client.of("heartbeat").length;
    await beats(client, 5);
    const ids = client.of("heartbeat").slice(from).map(({ last_trade_id, sequence }) => `${last_trade_id} ${sequence}`);
    assertEquals([client.tickers().length, new Set(ids).size], [tickers, 1]);
    sim.levers.quiet("BTC-USD", false);
    await until("tickers come again", () => client.tickers().length > tickers);
  },
);

leverTest("trade() makes trades, at a price if one is given", {}, async (simulator, client) => {
  assertEquals(simulator.levers.trade(), 1);
  assertEquals(simulator.levers.trade("BTC-USD", 2, "12345.60"), 1);
  assertEquals(simulator.levers.trade("ETH-USD"), 0);
  await until("they are there", () => client.tickers().length === 4);
  assertEquals(client.tickers().slice(2).map(({ price }) => price), ["12345.60", "12345.60"]);
  assertEquals(simulator.sent().map(({ price }) => price).slice(2), ["12345.60", "12345.60"]);
});

leverTest("junk() sends text and binary frames that are not tickers", {}, async (simulator, client) => {
  const before = client.frames.length;
  assertEquals(simulator.levers.junk(INVALID_FRAMES.length + 1), 1);
  await until("they are there", () => client.frames.length === before + INVALID_FRAMES.length + 1);
  const told = (frame: string | Uint8Array) => typeof frame === "string" ? frame : `binary ${frame.length}`;
  assertEquals(client.frames.slice(before), [...INVALID_FRAMES, INVALID_FRAMES[0] ?? ""].map(told));
  assertEquals([client.closed, simulator.sentCount], [undefined, 1]);
});

for (const bytes of [0, 10, 125, 126, 65_535, 65_536, 12 * 1024 * 1024]) {
  leverTest(`huge(${bytes}) sends one text frame of that size, and the connection goes on`, {}, async (sim, client) => {
    const before = client.frames.length;
    assertEquals(sim.levers.huge(bytes), 1);
    sim.levers.trade("BTC-USD");
    await until("the trade behind it is there", () => client.tickers().length === 2);
    assertEquals([client.frames[before]?.length, client.closed], [bytes, undefined]);
  });
}

leverTest("cutOff() sends half a ticker and never the whole one", {}, async (simulator, client) => {
  assertEquals(simulator.levers.cutOff(), 1);
  simulator.levers.trade("BTC-USD");
  await until("the next is there", () => client.tickers().length === 2);
  const half = client.frames.at(-2) ?? "";
  assert(half.startsWith(`{"type":"ticker","sequence":`) && !half.endsWith("}"), half);
  const [first, second] = client.tickers().map(({ trade_id }) => Number(trade_id));
  assertEquals([second, simulator.sentCount], [(first ?? 0) + 2, 2]);
});

leverTest("breakOff() cuts the connection in the middle of a frame", {}, async (simulator, client) => {
  const before = client.frames.length;
  assertEquals(simulator.levers.breakOff(), 1);
  await until("it is closed", () => client.closed !== undefined);
  assertEquals([client.closed?.code, client.frames.length], [BROKEN, before]);
});

leverTest("repeat() sends the last ticker again, and sent() has it once", {}, async (simulator, client) => {
  simulator.levers.trade("BTC-USD");
  assertEquals(simulator.levers.repeat(3), 1);
  await until("they are there", () => client.tickers().length === 5);
  assertEquals(new Set(client.frames.slice(-4)).size, 1);
  assertEquals(simulator.sentCount, 2);
});

for (const channel of ["ticker", "ticker_batch"]) {
  const options = { channels: [channel] };

  leverTest(`outOfOrder() swaps two tickers on ${channel}`, options, async (simulator, client) => {
    assertEquals(simulator.levers.outOfOrder(), 1);
    await until("they are there", () => client.tickers().length === 3);
    const [first = 0, second = 0, third = 0] = client.tickers().map(({ trade_id }) => Number(trade_id));
    assertEquals([second - first, third - first], [2, 1]);
    assertEquals(simulator.sent().map(({ tradeId }) => tradeId), [first, second, third]);
  });

  for (const [lever, sign] of [["late", -1], ["future", 1]] as const) {
    leverTest(
      `${lever}() sends a fresh ticker with a shifted time on ${channel}`,
      options,
      async (simulator, client) => {
        assertEquals(simulator.levers[lever](90_000), 1);
        simulator.levers.trade("BTC-USD");
        simulator.levers[lever](0);
        await until("the shifted one is there", () => client.tickers().length >= 3);
        const [before, shifted] = client.tickers();
        const shift = Date.parse(String(shifted?.time)) - Date.now();
        assert(Math.abs(shift - sign * 90_000) < 10_000, `shifted by ${shift} ms`);
        assert(Number(shifted?.sequence) > Number(before?.sequence));
        // the clock of the trades behind it is as before
        assert(Math.abs(Date.parse(String(client.tickers().at(-1)?.time)) - Date.now()) < 10_000);
      },
    );
  }
}

leverTest(
  "wrongProductErrors() delists a product for all clients, until it is listed again",
  {},
  async (simulator, client) => {
    assertEquals(simulator.levers.wrongProductErrors("BTC-USD"), 1);
    assertEquals(simulator.levers.trade("BTC-USD"), 0);
    await until("it is told", () => client.of("error").length === 1);
    const error = { type: "error", message: "Failed to subscribe", reason: "BTC-USD is delisted" };
    assertEquals(client.of("error"), [error]);
    await using other = await Client.subscribe(simulator.url, ["BTC-USD", "ETH-USD"], ["ticker"]);
    assertEquals(other.of("error"), [error]);
    assertEquals(simulator.connections().map(({ subscribed }) => subscribed), [{}, { ticker: ["ETH-USD"] }]);
    simulator.levers.wrongProductErrors("BTC-USD", false);
    await using third = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    assertEquals([third.of("error").length, third.tickers().length], [0, 1]);
  },
);

leverTest("refuseAll() refuses a whole subscribe for one bad product", {}, async (simulator) => {
  simulator.levers.refuseAll(true);
  await using other = await Client.open(simulator.url);
  other.send({ type: "subscribe", product_ids: ["BTC-USD", "NO-USD"], channels: ["ticker"] });
  await until("it is refused", () => other.frames.length > 0);
  assertEquals(simulator.levers.trade("BTC-USD"), 1);
  other.send({ type: "subscribe", product_ids: ["BTC-USD"], channels: ["ticker"] });
  await until("it is acknowledged", () => other.of("subscriptions").length === 1);
  assertEquals(other.frames.slice(0, 2).map((text) => JSON.parse(text).type), ["error", "subscriptions"]);
});

leverTest("dataFirst() sends the last trades before the reply", {}, async (simulator) => {
  simulator.levers.dataFirst(true);
  await using other = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
  assertEquals(other.frames.map((text) => JSON.parse(text).type), ["ticker", "subscriptions"]);
});

leverTest(
  "slowDown() delays each frame and keeps the order, even when it ends",
  {},
  async (simulator, client) => {
    simulator.levers.slowDown(300);
    const started = performance.now();
    simulator.levers.trade("BTC-USD", 2);
    simulator.levers.slowDown(0);
    simulator.levers.trade("BTC-USD", 2);
    assertEquals(simulator.sentCount, 1, "held frames have not left");
    await until("they are there", () => client.tickers().length === 5);
    assert(performance.now() - started >= 290, `after ${performance.now() - started} ms`);
    const ids = client.tickers().map(({ trade_id }) => Number(trade_id));
    assertEquals(ids, ids.map((_, i) => (ids[0] ?? 0) + i));
  },
);

leverTest("flood() sends exactly so many extra ticks, of subscribed products", {}, async (simulator, client) => {
  assertEquals(simulator.levers.flood(20_000, 500), 10_000);
  await until("they are there", () => client.frames.length === 10_002);
  await until("all are in sent()", () => simulator.sentCount === 10_001);
  const arrived = client.tickers().map(({ product_id, sequence }) => `coinbase:${product_id}:${sequence}`);
  assertEquals(arrived, simulator.sent().map(({ id }) => id));
});

leverTest("heartbeats() switches them off and on", BOTH, async (simulator, client) => {
  await beats(client, 1);
  simulator.levers.heartbeats(false);
  const heard = client.of("heartbeat").length;
  const started = performance.now();
  await until("some heartbeats' time has passed", () => performance.now() - started > 200);
  assert(client.of("heartbeat").length <= heard + 1);
  simulator.levers.heartbeats(true);
  await beats(client, 2);
});

leverTest("clockOffset() shifts all times, forwards and backwards", BOTH, async (simulator, client) => {
  for (const offset of [3_600_000, -3_600_000, 0]) {
    simulator.levers.clockOffset(offset);
    const seen = client.tickers().length;
    simulator.levers.trade("BTC-USD");
    await until("the trade is there", () => client.tickers().length === seen + 1);
    await beats(client, 2);
    for (const message of [client.tickers().at(-1), client.of("heartbeat").at(-1)]) {
      const shift = Date.parse(String(message?.time)) - Date.now();
      assert(Math.abs(shift - offset) < 10_000, `${message?.type} is shifted by ${shift} ms`);
    }
    assert(Math.abs((simulator.sent().at(-1)?.at ?? 0) - Date.now()) < 10_000);
  }
});

Deno.test({
  name: "levers.quiet() and loseProduct() throw for an unknown product",
  ignore: !mayListen,
  async fn() {
    await using simulator = await Simulator.start();
    assertThrows(() => simulator.levers.quiet("NO-USD", true), RangeError, "NO-USD");
    assertThrows(() => simulator.levers.loseProduct("NO-USD", true), RangeError, "NO-USD");
  },
});

Deno.test({
  name: "levers.hangUp() throws for a code that it also refuses over HTTP",
  ignore: !mayListen,
  async fn() {
    await using simulator = await Simulator.start();
    const message = 'Cannot pull hangUp: expected "code" to be a whole number from 1000 to 4999, got 12';
    assertThrows(() => simulator.levers.hangUp(12), RangeError, message);
  },
});

async function exchangeHttp(simulator: Simulator, request: string): Promise<string> {
  using conn = await Deno.connect({ port: simulator.port, hostname: "127.0.0.1" });
  await conn.write(new TextEncoder().encode(request));
  let answer = "";
  for await (const piece of conn.readable.pipeThrough(new TextDecoderStream())) answer += piece;
  return answer;
}
