import { assert, assertEquals } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { Client, mayListen, until } from "./client.ts";

const ignore = !mayListen;

async function pull(simulator: Simulator, name: string, body: string): Promise<[number, Record<string, unknown>]> {
  const response = await fetch(`${simulator.httpUrl}/levers/${name}`, { method: "POST", body });
  return [response.status, await response.json()];
}

Deno.test({
  name: "GET / returns the state and every lever",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0 });
    await using _client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    const response = await fetch(simulator.httpUrl);
    const state = await response.json() as Record<string, Record<string, unknown>>;
    assertEquals([response.status, response.headers.get("content-type")], [200, "application/json"]);
    assertEquals(Object.keys(state.levers ?? {}).sort(), Object.keys(simulator.levers).sort());
    assertEquals([state.url, state.sent], [simulator.url, 1] as unknown as Record<string, unknown>[]);
    assertEquals(JSON.stringify(state.connections).includes('"ticker":["BTC-USD"]'), true);
    assertEquals(state.levers?.refuseUpgrade, {
      does: "Answers new connections with this HTTP status (default 503) instead of a WebSocket.",
      takes: { on: "true or false", status: "a whole number from 400 to 599 (optional)" },
    });
  },
});

Deno.test({
  name: "GET /sent returns the sent ticks as JSON lines, from an index on",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    simulator.levers.trade("BTC-USD", 5000);
    await until("they are there", () => client.frames.length === 5002);
    for (const since of [0, 4990, 6000]) {
      const text = await (await fetch(`${simulator.httpUrl}/sent?since=${since}`)).text();
      const lines = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
      assertEquals(lines, simulator.sent().slice(since));
    }
    const bad = await fetch(`${simulator.httpUrl}/sent?since=-1`);
    assertEquals([bad.status, await bad.json()], [400, {
      error: 'Cannot use since: expected a whole number from 0, got "-1"',
    }]);
  },
});

Deno.test({
  name: "POST /levers/<name> pulls the lever and returns how many clients it reached",
  ignore,
  async fn() {
    await using simulator = await Simulator.start({ ticksPerSecond: 0 });
    await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
    assertEquals(await pull(simulator, "trade", '{"product":"BTC-USD","n":2,"price":"5.5"}'), [
      200,
      { lever: "trade", reached: 1 },
    ]);
    assertEquals(await pull(simulator, "junk", ""), [200, { lever: "junk", reached: 1 }]);
    assertEquals(await pull(simulator, "refuseAll", '{"on":true}'), [200, { lever: "refuseAll" }]);
    assertEquals(await pull(simulator, "hangUp", '{"code":4001}'), [200, { lever: "hangUp", reached: 1 }]);
    await until("it is closed", () => client.closed !== undefined);
    assertEquals([client.closed?.code, client.tickers().at(-1)?.price], [4001, "5.5"]);
  },
});

for (
  const [name, body, error] of [
    ["silent", "{}", 'expected "on" to be true or false, got nothing'],
    ["silent", '{"on":1}', 'expected "on" to be true or false, got 1'],
    ["hangUp", '{"code":12}', 'expected "code" to be a whole number from 1000 to 4999, got 12'],
    ["junk", '{"n":1.5}', 'expected "n" to be a whole number from 1 to 10000, got 1.5'],
    ["junk", '{"m":1}', 'expected only n, got "m"'],
    ["breakOff", '{"m":1}', 'expected no arguments, got "m"'],
    ["junk", "[]", "expected a JSON object, got []"],
    ["junk", "{", 'expected JSON in the body, got "{"'],
    ["huge", '{"bytes":1e12}', 'expected "bytes" to be a whole number from 0 to 67108864, got 1000000000000'],
    ["quiet", '{"product":"NO-USD","on":true}', 'expected "product" to be one of BTC-USD, got "NO-USD"'],
    ["trade", '{"price":"1e5"}', 'expected "price" to be a decimal number above zero, as text, got "1e5"'],
    ["late", '{"ms":null}', 'expected "ms" to be a number from 0 to 315360000000, got null'],
  ] as const
) {
  Deno.test({
    name: `POST /levers/${name} refuses ${body}`,
    ignore,
    async fn() {
      await using simulator = await Simulator.start({ products: ["BTC-USD"] });
      assertEquals(await pull(simulator, name, body), [400, { error: `Cannot pull ${name}: ${error}` }]);
    },
  });
}

for (
  const [method, path, status] of [
    ["POST", "/levers/explode", 404],
    ["POST", "/levers/constructor", 404],
    ["POST", "/levers/__proto__", 404],
    ["GET", "/levers/junk", 405],
    ["POST", "/", 405],
    ["GET", "/else", 404],
  ] as const
) {
  Deno.test({
    name: `${method} ${path} returns ${status} and a reason`,
    ignore,
    async fn() {
      await using simulator = await Simulator.start();
      const response = await fetch(`${simulator.httpUrl}${path}`, { method });
      const { error } = await response.json() as { error: string };
      assertEquals([response.status, typeof error], [status, "string"]);
    },
  });
}

Deno.test({
  name: "POST /levers/explode returns the names of all levers",
  ignore,
  async fn() {
    await using simulator = await Simulator.start();
    const names = Object.keys(simulator.levers).join(", ");
    assertEquals(await pull(simulator, "explode", ""), [404, {
      error: `Cannot find the lever "explode": there are ${names}`,
    }]);
  },
});

async function raw(simulator: Simulator, request: string): Promise<string> {
  using conn = await Deno.connect({ port: simulator.port, hostname: "127.0.0.1" });
  await conn.write(new TextEncoder().encode(request));
  let answer = "";
  for await (const piece of conn.readable.pipeThrough(new TextDecoderStream())) answer += piece;
  return answer;
}

for (
  const [what, headers, status] of [
    ["an ordinary request", "Host: 127.0.0.1:1\r\n", 200],
    ["localhost", "Host: localhost:1\r\n", 200],
    ["an IPv6 address", "Host: [::1]:1\r\n", 200],
    ["its own origin", "Host: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:1\r\nSec-Fetch-Site: same-origin\r\n", 200],
    ["a name that may point anywhere", "Host: simulator.example\r\n", 403],
    ["a name that looks like an address", "Host: 127.0.0.1.example\r\n", 403],
    ["no Host", "", 400],
    ["a foreign origin", "Host: 127.0.0.1:1\r\nOrigin: https://example.com\r\n", 403],
    ["another port's origin", "Host: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:2\r\n", 403],
    ["a hidden origin", "Host: 127.0.0.1:1\r\nOrigin: null\r\n", 403],
    ["a page of the same site", "Host: 127.0.0.1:1\r\nSec-Fetch-Site: same-site\r\n", 403],
    ["a page of another site", "Host: 127.0.0.1:1\r\nSec-Fetch-Site: cross-site\r\n", 403],
    ["a head that is no head", "Host\r\n", 400],
  ] as const
) {
  Deno.test({
    name: `HTTP answers ${what} with ${status}, and only 200 pulls the lever`,
    ignore,
    async fn() {
      await using simulator = await Simulator.start();
      const answer = await raw(
        simulator,
        `POST /levers/wrongProductErrors HTTP/1.1\r\n${headers}Content-Length: 21\r\n\r\n{"product":"BTC-USD"}`,
      );
      assert(answer.startsWith(`HTTP/1.1 ${status} `), answer);
      await using client = await Client.subscribe(simulator.url, ["BTC-USD"], ["ticker"]);
      assertEquals(client.of("error").length, status === 200 ? 1 : 0);
    },
  });
}

for (
  const [what, rest, status] of [
    ["too long a body", "Content-Length: 9999999\r\n\r\n", 413],
    ["a body of unknown length", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413],
    ["a negative length", "Content-Length: -5\r\n\r\n", 400],
  ] as const
) {
  Deno.test({
    name: `HTTP refuses ${what}`,
    ignore,
    async fn() {
      await using simulator = await Simulator.start();
      const answer = await raw(simulator, `POST /levers/junk HTTP/1.1\r\nHost: localhost\r\n${rest}`);
      assert(answer.startsWith(`HTTP/1.1 ${status} `), answer);
    },
  });
}
