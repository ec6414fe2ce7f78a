// Topics that are missing, deleted and created while prices flow.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { count, gapsIn, ticksIn } from "../count.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { serverTest } from "../servers/test.ts";
import { audit, startLoggedFeed, tell, until } from "./feed.ts";

const missing = kafkaMissing();

serverTest(missing, "the feed loses nothing when topics are missing, deleted and created again", async (t) => {
  await using kafka = await KafkaServer.start();

  await t.step("missing at the start: the log has the command to create it, and then everything arrives", async () => {
    await kafka.createTopic("first_gaps");
    await using simulator = await Simulator.start({ seed: 5, ticksPerSecond: 15 });
    await using feed = startLoggedFeed(simulator, kafka, {
      kafka: { topic: "first", gapsTopic: "first_gaps" },
    });
    const { said } = feed;
    await until("the log names the missing topic", () => said("warn", "Waiting for kafka").length > 0);
    const command = `kafka-topics.sh --bootstrap-server ${kafka.broker} --create --topic first --partitions 1`;
    assertEquals(
      said("warn", "Waiting for kafka")[0]?.fields.why,
      `Kafka at ${kafka.broker} has no topic first; create it with: ${command}`,
    );
    await until("200 ticks wait", () => feed.stats.received >= 200);
    // a metadata request must not create it
    await kafka.createTopic("first", { partitions: 3 });
    await until("250 ticks arrive", () => feed.kafka.sent >= 250);
    await feed.stop();
    const counted = await audit(simulator, kafka, { topic: "first", gapsTopic: "first_gaps" });
    assertEquals([feed.kafka.dropped, feed.kafka.lost], [0, 0]);
    assertEquals(counted.stored, feed.stats.received);
    tell(`${counted.stored} stored, ${counted.repeats} repeats`);
  });

  await t.step("deleted while running and created again with fewer partitions: the feed goes on", async () => {
    await kafka.createTopic("again", { partitions: 3 });
    await kafka.createTopic("again_gaps");
    // trades only by lever, because ticks acknowledged before the deletion are deleted with the topic
    await using simulator = await Simulator.start({ seed: 6, ticksPerSecond: 0 });
    await using feed = startLoggedFeed(simulator, kafka, {
      kafka: { topic: "again", gapsTopic: "again_gaps" },
    });
    const { said } = feed;
    const trade = (n: number) => {
      for (const product of simulator.products) simulator.levers.trade(product, n);
    };
    await until("the last trades are acknowledged", () => feed.kafka.sent === 8);
    trade(10);
    await until("88 are acknowledged", () => feed.kafka.sent === 88);
    const before = await kafka.read("again");
    await kafka.deleteTopic("again");
    trade(10);
    await until("the log reports it", () => said("warn", "Cannot write to kafka, trying again").length > 0);
    await until(
      "the log names the missing topic",
      () => said("warn", "Still cannot write to kafka").some(({ fields }) => String(fields.why).includes("--create")),
    );
    assertStringIncludes(feed.pipeline.status()[0]?.trouble ?? "", `has no topic again; create it with`);
    trade(10);
    await kafka.createTopic("again", { partitions: 1 });
    trade(10);
    await until("all are acknowledged", () => feed.kafka.sent === 8 + 4 * 80);
    await feed.stop();
    const after = await kafka.read("again");
    const gaps = gapsIn(await kafka.read("again_gaps"));
    const counted = count({ sent: simulator.sent(), gaps, stored: ticksIn(after) });
    const ids = (records: typeof after) => new Set(records.map(({ headers }) => headers.id));
    assertEquals(ids(before).size, 88);
    assertEquals(counted.stored, 3 * 80);
    assertEquals(counted.missing.length, 88);
    assert(counted.missing.every((id) => ids(before).has(id)));
    assertEquals([counted.outOfOrder, counted.neverSent, counted.altered], [[], [], []]);
  });

  await t.step(
    "the topic for gaps is missing: one warning, prices flow, and gaps arrive when it is created",
    async () => {
      await kafka.createTopic("alone");
      await using simulator = await Simulator.start({ seed: 7, ticksPerSecond: 15 });
      await using feed = startLoggedFeed(simulator, kafka, {
        kafka: { topic: "alone", gapsTopic: "alone_gaps" },
      });
      const { said } = feed;
      const warning = "Gap records do not reach kafka; ticks are not held up by this";
      await until("the log reports it", () => said("warn", warning).length > 0);
      const before = feed.kafka.sent;
      await until("prices flow", () => feed.kafka.sent >= before + 200);
      // causes another gap
      assertEquals(simulator.levers.hangUp(1001), 1);
      await until("it is connected again", () => feed.stats.reconnects === 1);
      const again = feed.kafka.sent;
      await until("prices flow again", () => feed.kafka.sent >= again + 100);
      assertEquals(said("warn", warning).length, 1);
      assertStringIncludes(String(said("warn", warning)[0]?.fields.why), "--create --topic alone_gaps");
      assertEquals(feed.kafka.gapsSent, 0);
      await kafka.createTopic("alone_gaps");
      await until("gaps arrive", () => feed.kafka.gapsSent > 0);
      await feed.stop();
      const counted = await audit(simulator, kafka, { topic: "alone", gapsTopic: "alone_gaps" });
      assertEquals(counted.stored, feed.stats.received);
      assertEquals(new Set(counted.gaps.map(({ reason }) => reason)), new Set(["restart", "link-closed", "stopped"]));
    },
  );

  await t.step("the topic for gaps is never created: stopping does not wait for it", async () => {
    await kafka.createTopic("never");
    await using simulator = await Simulator.start({ seed: 8, ticksPerSecond: 15 });
    await using feed = startLoggedFeed(simulator, kafka, {
      kafka: { topic: "never", gapsTopic: "never_gaps" },
    });
    const { said } = feed;
    await until("prices flow", () => feed.kafka.sent >= 100);
    await feed.stop();
    assertEquals(said("warn", "Gap records were left unsent to kafka").map(({ fields }) => fields.left), [24]);
    assertEquals((await kafka.read("never")).length, feed.stats.received);
  });
});
