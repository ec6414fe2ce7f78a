// Kafka is down, killed or frozen while prices flow. Afterwards it has what the exchange sent, minus what is declared.

import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertRejects } from "@std/assert";
import { DrainError } from "../../src/core/errors.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { droppedBy } from "../count.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { serverTest } from "../servers/test.ts";
import { audit, type Feed, recordLog, sleep, startFeed, startLoggedFeed, tell, until } from "./feed.ts";

const missing = kafkaMissing();

/** The broker is restarted within the step, which the leak checks of a step would report. The test around it checks as well. */
const BROKER_CHANGES = { sanitizeOps: false, sanitizeResources: false };

/** Waits until everything received so far is acknowledged, dropped or lost. */
async function settled({ stats, kafka }: Feed, ms = 60_000): Promise<void> {
  const received = stats.received;
  await until(
    `${received} ticks are acknowledged or dropped`,
    () => kafka.sent + kafka.dropped + kafka.lost >= received,
    ms,
  );
}

serverTest(missing, "the feed loses nothing undeclared when its broker fails while prices flow", async (t) => {
  await using kafka = await KafkaServer.start();

  await t.step({
    name: "down at the start: the feed waits, logs that, and later delivers everything since its start",
    ...BROKER_CHANGES,
    async fn() {
      const topics = await kafka.createTopics("late", { partitions: 3 });
      await kafka.stop();
      await using simulator = await Simulator.start({ seed: 9, ticksPerSecond: 10 });
      await using feed = startLoggedFeed(simulator, kafka, {
        kafka: topics,
      });
      const { said } = feed;
      await until("200 ticks wait", () => feed.stats.received >= 200);
      const [status] = feed.pipeline.status();
      assertEquals(status?.state, "connecting");
      assertEquals(feed.kafka.sent, 0);
      const [waiting] = said("warn", "Waiting for kafka");
      assertMatch(
        String(waiting?.fields.why),
        new RegExp(`^Kafka at ${kafka.broker} cannot be used: .*ECONNREFUSED`),
      );
      await kafka.restart();
      await settled(feed);
      assertEquals(said("info", "Ready to write to kafka").length, 1);
      await feed.stop();
      const counted = await audit(simulator, kafka, topics);
      assertEquals([feed.kafka.dropped, feed.kafka.lost], [0, 0]);
      assertEquals(counted.stored, feed.stats.received);
      tell(`${counted.stored} stored, ${counted.repeats} repeats`);
    },
  });

  await t.step({
    name:
      "killed until a small queue has dropped 500 ticks: it counts and declares them, and a large one drops nothing",
    ...BROKER_CHANGES,
    async fn() {
      const [whole, small, batch] = [
        await kafka.createTopics("killed", { partitions: 3 }),
        await kafka.createTopics("full", { partitions: 3 }),
        await kafka.createTopics("sampled", { partitions: 3 }),
      ];
      await using fast = await Simulator.start({ seed: 1, ticksPerSecond: 15 });
      await using sampled = await Simulator.start({ seed: 2, ticksPerSecond: 5, batchMs: 200 });
      const { log, said } = recordLog();
      const shared = { broker: kafka.broker, channel: "ticker" };
      await using feed = startFeed({ ...shared, url: fast.url, log, kafka: whole });
      await using fullFeed = startFeed({ ...shared, url: fast.url, queueCapacity: 500, kafka: small });
      await using batchFeed = startFeed({ ...shared, url: sampled.url, channel: "ticker_batch", kafka: batch });
      const feeds = [feed, fullFeed, batchFeed];
      await until("all feeds have written", () => feeds.every(({ kafka }) => kafka.sent >= 100));
      await kafka.kill();
      await until("the small queue is full", () => fullFeed.kafka.dropped > 500);
      await kafka.restart();
      for (const each of feeds) await settled(each);
      for (const each of feeds) await each.stop();

      const counted = await audit(fast, kafka, whole);
      assertEquals([feed.kafka.dropped, feed.kafka.lost], [0, 0]);
      assertEquals(counted.stored, feed.stats.received);
      assertEquals(feed.kafka.sent, feed.stats.received);
      assertEquals(said("warn", "Cannot write to kafka, trying again").length, 1);
      assertEquals(said("info", "Writing to kafka again").length, 1);
      tell(`killed: ${counted.stored} stored, ${counted.repeats} repeats, ${feed.kafka.failures} failed attempts`);

      const sampledCount = await audit(sampled, kafka, { ...batch, channel: "ticker_batch" });
      assertEquals(sampledCount.stored, batchFeed.stats.received);
      tell(`ticker_batch: ${sampledCount.stored} stored, ${sampledCount.repeats} repeats`);

      const fullCount = await audit(fast, kafka, small);
      const { received } = fullFeed.stats;
      assertGreater(fullFeed.kafka.dropped, 500);
      assertEquals(droppedBy(fullCount, "queue-full"), fullFeed.kafka.dropped);
      assertEquals(fullFeed.kafka.sent + fullFeed.kafka.dropped, received);
      // the batch in flight when the broker was killed may be stored although it was not acknowledged; it was sent again
      assertEquals(fullCount.stored, received - fullFeed.kafka.dropped);
      tell(`small queue: ${received} received, ${fullFeed.kafka.dropped} dropped and declared`);
    },
  });

  await t.step("frozen for longer than a request may take: everything arrives at least once, in order", async () => {
    const topics = await kafka.createTopics("frozen", { partitions: 3 });
    await using simulator = await Simulator.start({ seed: 8, ticksPerSecond: 15 });
    await using feed = startFeed({
      url: simulator.url,
      broker: kafka.broker,
      channel: "ticker",
      kafka: { ...topics, requestTimeoutMs: 3000 },
    });
    await until("300 ticks are acknowledged", () => feed.kafka.sent >= 300);
    kafka.pause();
    try {
      await until("a request has timed out", () => feed.kafka.failures > 0, 20_000);
      await sleep(5000);
    } finally {
      kafka.resume();
    }
    await settled(feed);
    await feed.stop();
    const counted = await audit(simulator, kafka, topics);
    assertEquals([feed.kafka.dropped, feed.kafka.lost], [0, 0]);
    assertEquals(counted.stored, feed.stats.received);
    // the frozen broker may still execute the request that timed out, which makes the repeats
    tell(`frozen: ${counted.stored} stored, ${counted.repeats} repeats, ${feed.kafka.failures} failed attempts`);
  });

  await t.step(
    "stopped while the broker is frozen: the feed ends in time and reports how many ticks are left",
    async () => {
      const topics = await kafka.createTopics("stuck", { partitions: 3 });
      await using simulator = await Simulator.start({ seed: 10, ticksPerSecond: 15 });
      const options = { url: simulator.url, broker: kafka.broker, channel: "ticker", drainMs: 2000, kafka: topics };
      let left = 0, received = 0;
      {
        await using feed = startFeed(options);
        await until("300 ticks are acknowledged", () => feed.kafka.sent >= 300);
        kafka.pause();
        try {
          const { sent } = feed.kafka;
          await until("50 ticks wait", () => feed.stats.received - sent >= 50);
          const since = performance.now();
          const error = await assertRejects(() => feed.stop(), DrainError);
          const took = performance.now() - since;
          assertLess(took, 7500);
          left = error.left;
          received = feed.stats.received;
          assertEquals(left, received - feed.kafka.sent);
          assertEquals(feed.kafka.lost, left);
          tell(`stopped in ${Math.round(took)} ms with ${left} left`);
        } finally {
          kafka.resume();
        }
      }
      // the next run's restart gap declares the ticks that were left
      await using next = startFeed(options);
      await until("100 more are acknowledged", () => next.kafka.sent >= 100);
      await next.stop();
      const counted = await audit(simulator, kafka, topics);
      assert(counted.stored >= received - left + next.stats.received);
    },
  );
});
