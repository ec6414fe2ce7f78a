// The exchange hangs up while Kafka works: every trade is in Kafka or in a gap, including those without a connection.

import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { Random } from "../fakes/random.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { serverTest } from "../servers/test.ts";
import { audit, sleep, startFeed, tell, until } from "./feed.ts";

const missing = kafkaMissing();

serverTest(missing, "the feed loses nothing undeclared when the exchange hangs up ten times", async () => {
  await using kafka = await KafkaServer.start();
  const seed = 20261123;
  const random = new Random(seed);
  const [tickTopics, batchTopics] = [await kafka.createTopics("ticks"), await kafka.createTopics("batch")];
  await using ticking = await Simulator.start({ seed: 3, ticksPerSecond: 20 });
  await using sampling = await Simulator.start({ seed: 4, ticksPerSecond: 10, batchMs: 150 });
  // short delays, because the backoff is not tested here
  const shared = { broker: kafka.broker, random: () => 0.02 };
  await using ticker = startFeed({
    ...shared,
    url: ticking.url,
    channel: "ticker",
    kafka: tickTopics,
  });
  await using batch = startFeed({
    ...shared,
    url: sampling.url,
    channel: "ticker_batch",
    kafka: batchTopics,
  });
  await until("both feeds write", () => ticker.kafka.sent > 50 && batch.kafka.sent > 50);
  // 1006 closes the connection without a Close frame
  const codes = [1001, 1006, 1000, 1006, 1011, 1012, 1006, 1001, 1013, 1006];
  for (const code of codes) {
    await sleep(random.next() * 1500);
    await until("the first connection is closed", () => ticking.levers.hangUp(code) > 0);
    await until("the second connection is closed", () => sampling.levers.hangUp(code) > 0);
  }
  const [ticks, samples] = [ticker.kafka.sent, batch.kafka.sent];
  await until("both feeds go on", () => ticker.kafka.sent > ticks + 100 && batch.kafka.sent > samples + 100);
  await ticker.stop();
  await batch.stop();

  const [tickCount, batchCount] = [
    await audit(ticking, kafka, tickTopics),
    await audit(sampling, kafka, { ...batchTopics, channel: "ticker_batch" }),
  ];
  for (const [feed, counted] of [[ticker, tickCount], [batch, batchCount]] as const) {
    assertGreaterOrEqual(feed.stats.reconnects, 10, `seed ${seed}`);
    assertEquals([feed.kafka.dropped, feed.kafka.lost, counted.repeats], [0, 0, 0]);
    assertEquals(counted.stored, feed.stats.received);
    // one per product and hang-up, except if the next one came before the product's first price
    const closed = counted.gaps.filter((gap) => gap.reason === "link-closed");
    assertEquals(new Set(closed.map((gap) => gap.product)).size, 8);
    assert(closed.every((gap) => gap.to !== Infinity));
    tell(`${counted.stored} stored, ${counted.missing.length} missing and declared, ${closed.length} gaps`);
  }
  const traded = Object.values(ticking.traded()).reduce((sum, { count }) => sum + count, 0);
  tell(`${traded - ticking.sentCount} trades happened without a connection`);
});
