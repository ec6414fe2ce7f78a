// kafka/init-kafka.sh as it is, on a real Kafka. Kafka's tools run from its jars; the images hold the same ones.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { KafkaCluster, kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { programsMissing, testUnless } from "./needs.ts";
import { runScript, type ScriptRun } from "./script.ts";

const SCRIPT = "kafka/init-kafka.sh";
const missing = kafkaMissing() ?? programsMissing("bash");

/** `kafka-topics` and `kafka-configs` as programs in a folder. */
async function makeTools(dir: string): Promise<void> {
  const cache = Deno.env.get("CACHE") || `${Deno.env.get("HOME")}/.cache/crypto-data-streaming`;
  const pom = await Deno.readTextFile("tests/servers/kafka/pom.xml");
  const [, version] = /<kafka\.version>(.*?)</.exec(pom) ?? [];
  for (
    const [name, main] of [["kafka-topics", "org.apache.kafka.tools.TopicCommand"], [
      "kafka-configs",
      "kafka.admin.ConfigCommand",
    ]]
  ) {
    const java = `exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '${cache}/kafka/libs-${version}/*'`;
    await Deno.writeTextFile(
      `${dir}/${name}`,
      `#!/bin/sh\n${java} -Dlog4j2.configurationFile='${dir}/log4j2.properties' ${main} "$@"\n`,
      { mode: 0o755 },
    );
  }
  await Deno.writeTextFile(`${dir}/log4j2.properties`, "status = off\nrootLogger.level = OFF\n");
}

/** A topic in short: partitions, copies, and the properties that somebody has set. By a client that starts faster. */
async function describe(broker: string, topic: string): Promise<string> {
  // not at the top: in a bare `deno test` kafkajs fails for want of NODE_ENV
  const { ConfigResourceTypes, Kafka, logLevel } = await import("kafkajs");
  const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const { topics: [found] } = await admin.fetchTopicMetadata({ topics: [topic] });
    const { resources: [resource] } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
    });
    const own = (resource?.configEntries ?? [])
      .filter(({ configSource }) => Number(configSource) === 1)
      .map(({ configName, configValue }) => `${configName}=${configValue}`);
    const partitions = found?.partitions ?? [];
    return [`${partitions.length} x ${partitions[0]?.replicas.length}`, ...own.sort()].join(" ");
  } finally {
    await admin.disconnect();
  }
}

testUnless(
  missing,
  "init-kafka.sh on three brokers creates topics as docker-compose.cluster.yml sets them",
  async () => {
    await using cluster = await KafkaCluster.start();
    const tools = await Deno.makeTempDir();
    try {
      await makeTools(tools);
      const wishes = { TOPIC_PARTITIONS: "6", TOPIC_REPLICATION: "3", TOPIC_MIN_ISR: "2" };
      const env = { PATH: `${tools}:${Deno.env.get("PATH")}`, KAFKA_BROKERS: cluster.brokers, ...wishes };
      const { code, text } = await runScript(SCRIPT, env);
      assertEquals(code, 0, text);
      for (const name of ["ticker_batch", "feed_gaps"]) {
        assertEquals(await describe(cluster.any.broker, name), "6 x 3 min.insync.replicas=2");
      }
    } finally {
      await Deno.remove(tools, { recursive: true });
    }
  },
);

testUnless(missing, "init-kafka.sh on a real Kafka", async () => {
  await using kafka = await KafkaServer.start();
  const tools = await Deno.makeTempDir();
  try {
    await makeTools(tools);
    const init = (env: Record<string, string> = {}): Promise<ScriptRun> =>
      runScript(SCRIPT, { PATH: `${tools}:${Deno.env.get("PATH")}`, KAFKA_BROKERS: kafka.broker, ...env });
    const topic = (name: string) => describe(kafka.broker, name);

    await kafka.createTopic("somebody-elses", { partitions: 2, config: { "retention.ms": "7200000" } });
    const first = await init();
    assertEquals(first.code, 0, first.text);
    assertMatch(first.text, /^Topics before: somebody-elses$/m);
    assertMatch(first.text, /^Topics after: feed_gaps somebody-elses ticker_batch$/m);
    assertEquals([await topic("ticker_batch"), await topic("feed_gaps")], ["1 x 1", "1 x 1"]);

    // again, and each time after that: what a variable sets, and nothing else
    const again = await init();
    assertEquals(again.code, 0, again.text);
    assertMatch(
      again.text,
      /^Topics before: feed_gaps somebody-elses ticker_batch\nTopics after: feed_gaps somebody-elses/,
    );
    assertEquals(await topic("ticker_batch"), "1 x 1");

    const more = await init({
      TOPIC_RETENTION_MS: "3600000",
      TOPIC_PARTITIONS: "3",
      TOPIC_MIN_ISR: "2",
      TOPIC_REPLICATION: "2",
    });
    assertEquals(more.code, 0, more.text);
    assertMatch(more.text, /^ticker_batch: 3 partitions instead of 1\./m);
    assertMatch(more.text, /^ticker_batch: keeps its 1 copies, because only a reassignment/m);
    assertEquals(await topic("ticker_batch"), "3 x 1 min.insync.replicas=2 retention.ms=3600000");
    assertEquals(await topic("feed_gaps"), "3 x 1 min.insync.replicas=2 retention.ms=3600000");

    const fewer = await init({ TOPIC_PARTITIONS: "2" });
    assertEquals(fewer.code, 0, fewer.text);
    assertMatch(fewer.text, /^feed_gaps: keeps its 3 partitions, because Kafka cannot remove any/m);
    assertEquals(await topic("somebody-elses"), "2 x 1 retention.ms=7200000");

    // one that somebody has deleted comes back with what the variables say
    await kafka.deleteTopic("feed_gaps");
    const back = await init({ TOPIC_RETENTION_MS: "-1", TOPIC_PARTITIONS: "2" });
    assertEquals(back.code, 0, back.text);
    assertEquals(await topic("feed_gaps"), "2 x 1 retention.ms=-1");
  } finally {
    await Deno.remove(tools, { recursive: true });
  }
});

for (
  const [name, value] of [
    ["TOPIC_PARTITIONS", "0"],
    ["TOPIC_PARTITIONS", "many"],
    ["TOPIC_REPLICATION", "1.5"],
    ["TOPIC_RETENTION_MS", "-2"],
    ["TOPIC_RETENTION_MS", "1; rm"],
    ["TOPIC_MIN_ISR", "0"],
  ] as const
) {
  testUnless(programsMissing("bash"), `init-kafka.sh refuses ${name}=${value} before it asks Kafka`, async () => {
    const { code, text } = await runScript(SCRIPT, { KAFKA_TOPICS: "false", KAFKA_CONFIGS: "false", [name]: value });
    assertEquals(code, 1);
    assert(text.startsWith(`init-kafka: Cannot use ${name}: expected a whole number, `), text);
    assert(text.endsWith(`got "${value}"\n`), text);
  });
}

testUnless(programsMissing("bash"), "init-kafka.sh says where it looked in vain", async () => {
  const away = await runScript(SCRIPT, { KAFKA_TOPICS: "false", KAFKA_CONFIGS: "false", KAFKA_BROKERS: "x:1" });
  assertEquals(away, { code: 1, text: "init-kafka: Cannot list the topics: Kafka at x:1 does not answer\n" });
  const none = await runScript(SCRIPT, {});
  assertMatch(none.text, /^init-kafka: Cannot find kafka-topics: expected it on the PATH/);
});
