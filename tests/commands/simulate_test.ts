import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConfigError, exitCodeFor } from "../../src/core/errors.ts";
import { runSimulator } from "../../src/commands/simulate.ts";
import { DEFAULT_PRODUCTS } from "../../src/simulator/market.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { Client, mayListen, until } from "../simulator/client.ts";

for (
  const [args, problems] of [
    [["--port", "x"], ['Cannot use --port: expected 0 to 65535, got "x"']],
    [["--port", "65536"], ['Cannot use --port: expected 0 to 65535, got "65536"']],
    [["--port=-1"], ['Cannot use --port: expected 0 to 65535, got "-1"']],
    [["--port", "1e3"], ['Cannot use --port: expected 0 to 65535, got "1e3"']],
    [["--seed", "1.5"], ['Cannot use --seed: expected 0 to 4294967295, got "1.5"']],
    [["--rate", "10001"], ['Cannot use --rate: expected 0 to 10000, got "10001"']],
    [["--speed", "0", "--file", "f"], ['Cannot use --speed: expected 0.001 to 1000000, got "0"']],
    [["--speed", "2"], ["Cannot use --speed: expected --file, too"]],
    [["--products", "BTC-USD,btc-eur,ETH_USD"], [
      'Cannot use --products: expected product ids like BTC-USD, separated by commas, got "btc-eur,ETH_USD"',
    ]],
    [["--host"], ["Cannot use --host: expected a value, see --help"]],
    [["loud"], ['Cannot use "loud": there is no such option, see --help']],
    [["--loud", "--rate", "-3"], [
      "Cannot use --loud: there is no such option, see --help",
      'Cannot use --rate: expected 0 to 10000, got "-3"',
    ]],
  ] as const
) {
  Deno.test(`runSimulator(${JSON.stringify(args)}) rejects with exit code 2 and all problems`, async () => {
    const error = await assertRejects(() => runSimulator(args, AbortSignal.abort()), ConfigError);
    assertEquals([error.problems, exitCodeFor(error)], [[...problems], 2]);
  });
}

const here = import.meta.filename ?? "";
for (
  const [file, problem] of [
    [here, `expected ticker frames, one per line, got none in "${here}"`],
    [`${here}.none`, `expected a readable file, got "${here}.none" (No such file or directory`],
    [import.meta.dirname ?? "", `expected a readable file, got "${import.meta.dirname}" (`],
  ] as const
) {
  Deno.test({
    name: `runSimulator() refuses the --file ${file.slice(file.lastIndexOf("/"))}`,
    ignore: Deno.permissions.querySync({ name: "read", path: here }).state !== "granted",
    async fn() {
      const error = await assertRejects(() => runSimulator(["--file", file], AbortSignal.abort()), ConfigError);
      assertEquals(error.problems.length, 1);
      assert(error.problems[0]?.startsWith(`Cannot use --file: ${problem}`), error.problems[0]);
    },
  });
}

Deno.test("runSimulator() opens nothing if the signal has aborted before", async () => {
  await runSimulator(["--port", "0"], AbortSignal.abort());
});

Deno.test({
  name: "runSimulator() serves clients until the signal aborts",
  ignore: !mayListen,
  async fn() {
    const free = await Simulator.start();
    await free[Symbol.asyncDispose]();
    const stop = new AbortController();
    const running = runSimulator(["--port", String(free.port), "--rate", "50"], stop.signal);
    await isListening(free);
    const client = await Client.subscribe(free.url, ["BTC-USD"], ["ticker"]);
    await until("there are tickers", () => client.tickers().length > 5);
    stop.abort();
    await running;
    await client[Symbol.asyncDispose]();
    assertEquals(client.closed?.code, 1001);
  },
});

/** Waits until a simulator listens at this one's address. */
async function isListening({ httpUrl }: Simulator): Promise<void> {
  await until("it listens", () => fetch(httpUrl).then((response) => response.text()).then(() => true, () => false));
}

for (
  const [value, had] of [
    ["DOGE-USD, BTC-EUR", ["DOGE-USD", "BTC-EUR"]],
    ["", DEFAULT_PRODUCTS],
  ] as const
) {
  Deno.test({
    name: `runSimulator() lists ${had.join(", ")} for --products=${value}`,
    ignore: !mayListen,
    async fn() {
      const free = await Simulator.start();
      await free[Symbol.asyncDispose]();
      const stop = new AbortController();
      const running = runSimulator(["--port", String(free.port), `--products=${value}`], stop.signal);
      await isListening(free);
      const client = await Client.subscribe(free.url, [...had, "NO-USD"], ["ticker"]);
      await until("the last trades have arrived", () => had.every((product) => client.tickers(product).length > 0));
      stop.abort();
      await running;
      await client[Symbol.asyncDispose]();
      assertEquals(client.of("error").map(({ reason }) => reason), ["NO-USD is not a valid product"]);
    },
  });
}

Deno.test({
  name: "runSimulator() reports an address that is taken",
  ignore: !mayListen,
  async fn() {
    await using other = await Simulator.start();
    const error = await assertRejects(
      () => runSimulator(["--port", String(other.port)], new AbortController().signal),
      ConfigError,
    );
    assert(error.message.includes(`"127.0.0.1:${other.port}" (`), error.message);
  },
});
