// What the doctor says of an exchange that refuses what is asked for.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type LastTrades, lookAtExchange } from "../../src/checks/exchange.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { Exchange } from "../../src/exchanges/exchange.ts";
import { Simulator } from "../../src/simulator/server.ts";
import "../fakes/checked_worker.ts";

const may = (["net", "read"] as const).every((name) => Deno.permissions.querySync({ name }).state === "granted");

for (
  const [channel, cause] of [
    ["nonsense", "the exchange does not offer this channel"],
    ["level2", "the channel needs a login"],
  ] as const
) {
  Deno.test({
    name: `lookAtExchange() says that the channel ${channel} is refused, and names those that there are${
      may ? "" : " [skipped: needs --allow-net --allow-read]"
    }`,
    ignore: !may,
    async fn() {
      await using simulator = await Simulator.start({ products: ["BTC-USD", "ETH-USD"] });
      const trades: LastTrades = new Map();
      // no heartbeats, so that nothing of the subscription is left
      const exchange: Exchange = {
        ...coinbase,
        subscribe: (products) => [
          JSON.stringify({ type: "subscribe", product_ids: products, channels: [channel] }),
        ],
      };
      const finding = await lookAtExchange(
        {
          exchange,
          url: simulator.url,
          channel,
          products: ["BTC-USD", "ETH-USD"],
          now: Date.now,
          elapsed: () => performance.now(),
        },
        trades,
        AbortSignal.timeout(10_000),
      );
      assert(finding.state === "broken");
      assertStringIncludes(finding.words, `Coinbase refuses the channel ${channel}: `);
      assertEquals(finding.cause, cause);
      assertEquals(finding.cure, "set COINBASE_CHANNEL to one of: ticker_batch, ticker");
    },
  });
}

Deno.test({
  name: `lookAtExchange() counts a product once that is refused on each channel${
    may ? "" : " [skipped: needs --allow-net --allow-read]"
  }`,
  ignore: !may,
  async fn() {
    await using simulator = await Simulator.start({ products: ["BTC-USD", "ETH-USD", "SOL-USD"] });
    const products = ["BTC-USD", "NOPE-USD", "ETH-USD", "SOL-USD"];
    const { state, words, facts } = await lookAtExchange(
      {
        exchange: coinbase,
        url: simulator.url,
        channel: "ticker",
        products,
        now: Date.now,
        elapsed: () => performance.now(),
      },
      new Map(),
      AbortSignal.timeout(10_000),
    );
    assertStringIncludes(words, "and refuses 1 of 4 products: NOPE-USD: Failed to subscribe");
    assertEquals([state, (facts?.refused as string[]).length], ["ok", 1]);
  },
});
