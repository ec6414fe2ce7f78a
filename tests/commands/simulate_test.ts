import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConfigError, exitCodeFor } from "../../src/core/errors.ts";
import { runSimulator } from "../../src/commands/simulate.ts";
import { DEFAULT_PRODUCTS } from "../../src/simulator/market.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { Client, mayListen, until } from "../simulator/client.ts";

const NAMES = "--port, --host, --products, --seed, --rate, --file, --speed, --help";

for (
  const [args, problems] of [
    [["--port", "x"], ['Cannot use --port as it must be 0 to 65535: current value is "x"']],
    [["--port", "65536"], ['Cannot use --port as it must be 0 to 65535: current value is "65536"']],
    [["--port=-1"], ['Cannot use --port as it must be 0 to 65535: current value is "-1"']],
    [["--port", "1e3"], ['Cannot use --port as it must be 0 to 65535: current value is "1e3"']],
    [["--seed", "1.5"], ['Cannot use --seed as it must be 0 to 4294967295: current value is "1.5"']],
    [["--rate", "10001"], ['Cannot use --rate as it must be 0 to 10000: current value is "10001"']],
    [["--speed", "0", "--file", "f"], [
      'Cannot use --speed as it must be above 0, at most 1000000: current value is "0"',
    ]],
    [["--speed", "2"], ["Cannot use --speed as it must stand beside --file"]],
    [["--products", "BTC-USD,btc-eur,ETH_USD"], [
      'Cannot use --products as it must be product ids like BTC-USD, separated by commas: current value is "btc-eur"',
      'Cannot use --products as it must be product ids like BTC-USD, separated by commas: current value is "ETH_USD"',
    ]],
    [["--host"], ["Cannot use --host as it needs a value: see --help"]],
    [["loud"], [`Cannot use the argument as it must be one of ${NAMES}: current value is "loud"`]],
    [["--loud", "--rate", "-3"], [
      `Cannot use the argument as it must be one of ${NAMES}: current value is "--loud"`,
      'Cannot use --rate as it must be 0 to 10000: current value is "-3"',
    ]],
  ] as const
) {
  Deno.test(`runSimulator(${JSON.stringify(args)}) rejects with exit code 2 and names all problems`, async () => {
    const error = await assertRejects(() => runSimulator(args, AbortSignal.abort()), ConfigError);
    assertEquals([error.problems, exitCodeFor(error)], [[...problems], 2]);
  });
}

const here = import.meta.filename ?? "";
for (
  const [file, wish] of [
    [here, "hold ticker frames, one a line"],
    [`${here}.none`, "be a file that can be read"],
    [import.meta.dirname ?? "", "be a file that can be read"],
  ] as const
) {
  Deno.test({
    name: `runSimulator() refuses a --file that does not ${wish}: ${file.slice(file.lastIndexOf("/"))}`,
    ignore: Deno.permissions.querySync({ name: "read", path: here }).state !== "granted",
    async fn() {
      const error = await assertRejects(() => runSimulator(["--file", file], AbortSignal.abort()), ConfigError);
      assertEquals(error.problems, [`Cannot use --file as it must ${wish}: current value is ${JSON.stringify(file)}`]);
    },
  });
}

Deno.test("runSimulator() opens nothing when it is told to stop before", async () => {
  await runSimulator(["--port", "0"], AbortSignal.abort());
});

Deno.test({
  name: "runSimulator() serves clients until it is told to stop",
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
      await until("all have told their last trade", () => had.every((product) => client.tickers(product).length > 0));
      stop.abort();
      await running;
      await client[Symbol.asyncDispose]();
      assertEquals(client.of("error").map(({ reason }) => reason), ["NO-USD is not a valid product"]);
    },
  });
}

Deno.test({
  name: "runSimulator() says that an address is taken",
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
