// Three real brokers as in docker-compose.cluster.yml: three replicas, of which two must be in sync. Each broker is killed once
// while prices flow; then two at once, so that writing is impossible.

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import type { Logger } from "../../src/core/log.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { KafkaCluster, kafkaMissing } from "../servers/kafka.ts";
import { programMissing, serverTest } from "../servers/test.ts";
import { audit, recordLog, sleep, startFeed, tell, until } from "./feed.ts";
import { Producer } from "./producer.ts";

const missing = kafkaMissing() ??
  programMissing();

/** How long a broker stays down: longer than the others need to notice (3 s). */
const AWAY_MS = 5000;

serverTest(missing, "the program survives the loss of brokers of a cluster", async (t) => {
  await using cluster = await KafkaCluster.start();
  const { any: kafka, servers } = cluster;
  await using simulator = await Simulator.start({ seed: 31, ticksPerSecond: 15 });
  const more = async (count: number) => {
    const before = simulator.sentCount;
    await until(`${count} more ticks are sent`, () => simulator.sentCount >= before + count);
  };
  const topics = (name: string, replicas: number) =>
    kafka.createTopics(name, { partitions: 3, replicas, config: { "min.insync.replicas": "2" } });

  const startOn = (names: { topic: string; gapsTopic: string }, log: Logger) =>
    startFeed({
      url: simulator.url,
      broker: "",
      channel: "ticker",
      log,
      kafka: { brokers: cluster.brokers.split(","), ...names, requestTimeoutMs: 5000 },
    });

  await t.step("each of three killed in turn while prices flow: nothing is lost undeclared", async () => {
    const { topic, gapsTopic } = await topics("one-of-three", 3);
    await using producer = new Producer({
      COINBASE_WS_URL: simulator.url,
      KAFKA_BROKERS: cluster.brokers,
      KAFKA_TOPIC: topic,
      KAFKA_GAPS_TOPIC: gapsTopic,
    });
    await producer.says("Ready to write to kafka");
    for (const server of servers) {
      await more(200);
      await server.kill();
      await sleep(AWAY_MS);
      await server.restart();
    }
    await more(300);
    assertEquals(await producer.end("SIGTERM"), 0, producer.stderr);
    const counted = await audit(simulator, kafka, { topic, gapsTopic });
    const [stopped] = producer.said("Stopped");
    assertEquals(counted.stored, Number(stopped?.received));
    // the queue held the ticks meanwhile
    assertEquals(counted.gaps.filter(({ reason }) => reason !== "restart" && reason !== "stopped"), []);
    // the last gap records have arrived as well, although their partition has moved to another broker meanwhile
    assertEquals(counted.gaps.filter(({ reason }) => reason === "stopped").length, simulator.products.length);
    tell(
      `${counted.stored} stored, ${counted.repeats} repeats, ${
        producer.said("Writing to kafka again").length
      } times away`,
    );
  });

  await t.step("one of two required replicas down: Kafka refuses, the log says so, and writing recovers", async () => {
    const names = await topics("two-of-two", 2);
    const { log, said } = recordLog();
    await using feed = startOn(names, log);
    await until("it writes", () => feed.kafka.sent > 100);
    const [first] = servers;
    await first?.kill();
    const refusals = () =>
      [...said("warn", "Cannot write to kafka, trying again"), ...said("warn", "Still cannot write to kafka")]
        .map(({ fields }) => String(fields.why));
    await until("Kafka refuses", () => refusals().some((why) => /fewer in-sync replicas/.test(why)));
    const before = feed.kafka.sent;
    await more(100);
    assertEquals(feed.kafka.sent, before);
    await first?.restart();
    await until("it writes again", () => feed.kafka.sent > before + 200);
    await feed.stop();
    const counted = await audit(simulator, kafka, names);
    assertEquals(counted.stored, feed.stats.received);
    tell(`${counted.stored} stored, ${counted.repeats} repeats`);
  });

  await t.step("two of three down: nothing counts as stored until one is back, then everything arrives", async () => {
    const names = await topics("two-gone", 3);
    const { log, said } = recordLog();
    await using feed = startOn(names, log);
    await until("it writes", () => feed.kafka.sent > 100);
    const [first, second] = servers;
    await Promise.all([first?.kill(), second?.kill()]);
    await until("writing fails", () => said("warn", "Cannot write to kafka, trying again").length > 0);
    const before = feed.kafka.sent;
    await more(300);
    assertEquals(feed.kafka.sent, before);
    assertMatch(String(said("warn", "Cannot write to kafka, trying again")[0]?.fields.why), /^Kafka at /);
    assert(feed.pipeline.status()[0]?.state === "failing");
    await first?.restart();
    await until("it writes again with two of three brokers", () => feed.kafka.sent > before + 300, 60_000);
    await second?.restart();
    await more(100);
    await feed.stop();
    const counted = await audit(simulator, kafka, names);
    assertEquals(counted.stored, feed.stats.received);
    assertGreater(counted.stored, 500);
    tell(`${counted.stored} stored, ${counted.repeats} repeats`);
  });
});
