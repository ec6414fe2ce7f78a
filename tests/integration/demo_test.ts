// The lever that cuts the connection to a real Kafka: everything arrives afterwards.

import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { SinkError } from "../../src/core/errors.ts";
import { BrokerConnections } from "../../src/demo/broker_connections.ts";
import { tickId } from "../../src/core/record.ts";
import { type KafkaOptions, KafkaSink } from "../../src/kafka/sink.ts";
import { Notebook } from "../fakes/log.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { serverTest } from "../servers/test.ts";
import { until } from "../simulator/client.ts";
import { mayDemo, startLesson } from "../demo/lesson.ts";

const missing = mayDemo ? kafkaMissing() : "needs --allow-net --allow-read --allow-write";
const never = new AbortController().signal;

function kafkaOptions(kafka: KafkaServer, onSocket: KafkaOptions["onSocket"]): KafkaOptions {
  return {
    brokers: [kafka.broker],
    topic: "ticker_batch",
    gapsTopic: "feed_gaps",
    clientId: "demo",
    compression: "none",
    ssl: false,
    log: new Notebook(),
    ...(onSocket === undefined ? {} : { onSocket }),
  };
}

serverTest(missing, "the demo's lever brokerAway cuts the connection to Kafka and restores it", async (t) => {
  await using kafka = await KafkaServer.start();
  await kafka.createTopics();

  await t.step("while it is cut, writing and connecting fail with retry; afterwards the sink goes on", async () => {
    const broker = new BrokerConnections();
    await using sink = new KafkaSink(kafkaOptions(kafka, broker.onSocket));
    await sink.connect(never);
    assertGreater(broker.set(true), 0);
    for (const attempt of [() => sink.write(ticksOf("X-USD", 1), never), () => sink.connect(never)]) {
      const error = await attempt().then(() => undefined, (error) => error);
      assertEquals([error instanceof SinkError, error?.kind], [true, "retry"]);
      assertMatch(error.message, /the demo has cut the connection to the broker|Closed connection/);
    }
    assertEquals([broker.isCut, broker.set(true), broker.set(false)], [true, 0, 0]);
    await sink.write(ticksOf("X-USD", 1), never);
  });

  await t.step("store and page go on, Kafka's queue fills, and afterwards everything arrives", async () => {
    await using lesson = await startLesson({
      hasKafka: true,
      sinks: (demo) => [new KafkaSink(kafkaOptions(kafka, demo.broker.onSocket))],
    });
    const { sent: before } = lesson.stats.sink("kafka");
    await until("Kafka has ticks", () => lesson.stats.sink("kafka").sent > before + 10);
    assertEquals(lesson.lever("brokerAway")?.on, false);
    assertMatch(JSON.stringify(await lesson.pull("brokerAway", { on: true })), /^\{"on":true,"sockets":[1-9]/);
    assertEquals(lesson.lever("brokerAway")?.on, true);
    await until("writing to Kafka fails", () => lesson.lane("kafka").state === "failing");
    await until("ticks wait for it", () => lesson.lane("kafka").queueDepth > 50);
    assertMatch(lesson.lane("kafka").trouble ?? "", /the demo has cut the connection to the broker/);
    assertEquals([lesson.lane().state, lesson.source.status().link], ["ok", "open"]);
    await lesson.pull("brokerAway", { on: false });
    await until(
      "Kafka is back",
      () => lesson.lane("kafka").state === "ok" && lesson.lane("kafka").queueDepth < 10,
      20_000,
    );
    // at the end, a connection that is still cut is restored
    await lesson.pull("brokerAway", { on: true });
    await until("ticks wait for it", () => lesson.lane("kafka").queueDepth > 5);
    await lesson.stop();
    const records = (await kafka.read("ticker_batch")).map(({ headers }) => headers["id"]);
    const stored = lesson.ticks().map(tickId);
    assertEquals(stored.filter((id) => !records.includes(id)), []);
    assertEquals(lesson.stats.sink("kafka").dropped, 0);
  });
});
