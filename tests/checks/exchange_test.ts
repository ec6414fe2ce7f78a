// What the doctor says about an exchange that refuses the subscription.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { checkExchange } from "../../src/checks/exchange.ts";
import { Problem } from "../../src/checks/stage.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Exchange } from "../../src/exchanges/exchange.ts";
import { Simulator } from "../../src/simulator/server.ts";
import "../fakes/checked_worker.ts";

const may = (["net", "read"] as const).every((name) => Deno.permissions.querySync({ name }).state === "granted");

for (
  const [channel, cause] of [
    ["nonsense", "the exchange does not have this channel"],
    ["level2", "the channel needs a login"],
  ] as const
) {
  Deno.test({
    name: `checkExchange() says that the channel ${channel} is refused, and lists the channels that exist${
      may ? "" : " [skipped: needs --allow-net --allow-read]"
    }`,
    ignore: !may,
    async fn() {
      await using simulator = await Simulator.start({ products: ["BTC-USD", "ETH-USD"] });
      // no heartbeats, so that nothing of the subscription is left
      const exchange: Exchange = {
        ...coinbase,
        subscribe: (products) => [
          JSON.stringify({ type: "subscribe", product_ids: products, channels: [channel] }),
        ],
      };
      const subscription = { exchange, feedUrl: simulator.url, channel, products: ["BTC-USD", "ETH-USD"] };
      const problem = await assertRejects(
        () => checkExchange(subscription, new Map(), AbortSignal.timeout(10_000)),
        Problem,
      );
      assertStringIncludes(problem.message, `Coinbase refuses the channel ${channel}: `);
      assertEquals(problem.cause, cause);
      assertEquals(problem.cure, "set COINBASE_CHANNEL to one of: ticker_batch, ticker");
    },
  });
}

Deno.test({
  name: `checkExchange() counts a product once that is refused on each channel${
    may ? "" : " [skipped: needs --allow-net --allow-read]"
  }`,
  ignore: !may,
  async fn() {
    await using simulator = await Simulator.start({ products: ["BTC-USD", "ETH-USD", "SOL-USD"] });
    const products = ["BTC-USD", "NOPE-USD", "ETH-USD", "SOL-USD"];
    const { state, words, facts } = await checkExchange(
      {
        exchange: coinbase,
        feedUrl: simulator.url,
        channel: "ticker",
        products,
      },
      new Map(),
      AbortSignal.timeout(10_000),
    );
    assertStringIncludes(words, "but refuses 1 of 4 products: NOPE-USD: Failed to subscribe");
    assertEquals([state, (facts?.refused as string[]).length], ["ok", 1]);
  },
});
