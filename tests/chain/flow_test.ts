// The whole way of a tick on real servers: the Coinbase simulator -> the program -> Kafka -> Telegraf with the stack's own
// configuration -> InfluxDB, counted by Flux.

import { assertEquals, assertGreater } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { assertAllDeclared, countByTime } from "../count.ts";
import { startFeed, tell, until } from "../integration/feed.ts";
import { chainMissing, settle, startChain } from "./chain.ts";
import { pointCount, readGaps, readPoints } from "./points.ts";
import { serverTest } from "../servers/test.ts";

const missing = chainMissing();

serverTest(missing, "InfluxDB stores 20,000 ticks sent by the exchange", async (t) => {
  await using chain = await startChain();
  const { kafka, influx } = chain;

  await t.step("on ticker every tick has its own microsecond and its price", async () => {
    const since = performance.now();
    await using simulator = await Simulator.start({ seed: 5, ticksPerSecond: 20 });
    await using feed = startFeed({ url: simulator.url, broker: kafka.broker, channel: "ticker" });
    await until("the first tick is received", () => feed.stats.received > 0);
    const flood = simulator.levers.flood(5000, 4000);
    await until("20,000 ticks are confirmed", () => feed.kafka.sent >= Math.max(flood, 20_000), 60_000);
    await feed.stop();
    await settle(chain);

    const [points, gaps] = [await readPoints(influx, simulator.products), await readGaps(influx)];
    const counted = countByTime({ sent: simulator.sent(), points, gaps });
    assertAllDeclared(counted);
    assertEquals(await pointCount(influx, simulator.products), feed.stats.received);
    assertEquals(counted.stored, feed.stats.received);
    assertGreater(counted.stored, 20_000);
    // only ticks that were sent while the feed was stopping may be missing
    assertEquals(counted.missing.length, simulator.sentCount - feed.stats.received);
    tell(`${counted.stored} points of ${counted.sent} ticks in ${Math.round(performance.now() - since)} ms`);
  });

  await t.step(
    "on ticker_batch every product has one point per second, with the last price of that second",
    async () => {
      const since = performance.now();
      const products = Array.from({ length: 200 }, (_, i) => `B${i}-USD`);
      await using simulator = await Simulator.start({ seed: 6, products, ticksPerSecond: 40, batchMs: 50 });
      await using feed = startFeed({ url: simulator.url, broker: kafka.broker, products });
      await until("20,000 ticks are confirmed", () => feed.kafka.sent >= 20_000, 60_000);
      await feed.stop();
      await settle(chain);

      const [points, gaps] = [await readPoints(influx, products), await readGaps(influx)];
      const counted = countByTime({ sent: simulator.sent(), points, gaps, channel: "ticker_batch" });
      assertAllDeclared(counted);
      assertEquals(await pointCount(influx, products), counted.stored);
      assertGreater(counted.stored, products.length);
      tell(
        `${counted.stored} points of ${simulator.sentCount} ticks in ${counted.sent} seconds of products, ` +
          `${Math.round(performance.now() - since)} ms`,
      );
    },
  );
});
