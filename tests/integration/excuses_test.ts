// Causes that Kafka itself reports: a quota, and an advertised address that does not answer.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { KafkaSink } from "../../src/kafka/sink.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { freePorts } from "../servers/process.ts";
import { serverTest } from "../servers/test.ts";
import { recordLog, startLoggedFeed, until } from "./feed.ts";

const missing = kafkaMissing();

serverTest(
  missing,
  "KafkaSink names an advertised address that does not answer, also if the topic is missing",
  async () => {
    await using kafka = await KafkaServer.start({ listeners: { out: {} } });
    await kafka.createTopic("there");
    const nowhere = `127.0.0.1:${freePorts("nowhere").nowhere}`;
    await kafka.advertise("out", nowhere);
    await kafka.restart();
    const broker = kafka.listener("out");
    const { log } = recordLog();
    for (const topic of ["there", "missing"]) {
      await using sink = new KafkaSink({
        brokers: [broker],
        topic,
        gapsTopic: "",
        clientId: "test",
        compression: "none",
        ssl: false,
        log,
      });
      const error = await sink.connect(AbortSignal.timeout(20_000)).catch((error) => error);
      assertEquals(
        [error.kind, error.message],
        [
          "retry",
          `Kafka at ${broker} advertises ${nowhere}, which does not answer: Connection error: connect ECONNREFUSED ` +
          `${nowhere} (is that broker down? If not, its advertised.listeners must be an address that this program can reach)`,
        ],
      );
    }
    // if the address is right, the missing topic is named
    await kafka.advertise("out", broker);
    await kafka.restart();
    await using sink = new KafkaSink({
      brokers: [broker],
      topic: "missing",
      gapsTopic: "",
      clientId: "test",
      compression: "none",
      ssl: false,
      log,
    });
    const error = await sink.connect(AbortSignal.timeout(20_000)).catch((error) => error);
    assertStringIncludes(error.message, "has no topic missing; create it with: kafka-topics.sh");
  },
);

serverTest(missing, "KafkaSink reports a quota of Kafka in status and log, not a slow Kafka", async () => {
  await using kafka = await KafkaServer.start();
  const topics = await kafka.createTopics();
  await kafka.setProducerQuota(2000);
  await using simulator = await Simulator.start({ seed: 8, ticksPerSecond: 50 });
  await using feed = startLoggedFeed(simulator, kafka, {
    drainMs: 0,
    kafka: topics,
  });
  const { said } = feed;
  const status = () => feed.pipeline.status().find(({ name }) => name === "kafka");
  await until("the status reports the quota", () => status()?.throttled !== undefined);
  assertStringIncludes(status()?.throttled ?? "", "a Kafka quota limits how much we may send");
  await until("the write takes too long", () => status()?.state === "failing");
  const { trouble = "" } = status() ?? {};
  assert(/^it has not confirmed a write for \d+ s: a Kafka quota/.test(trouble), trouble);
  assert(said("warn", "Kafka throttles this client because of a quota").length > 0);
  assertEquals(said("warn", "Cannot write to kafka, trying again"), []);
  await feed.stop().catch(() => {});
});
