// The chain as docker-compose.cluster.yml sets it up: two producers that share the products, three brokers, two Telegrafs in one
// group. One of each is killed while prices flow.

import { assertEquals, assertGreater } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { assertAllDeclared, countByTime } from "../count.ts";
import { sleep, tell, until } from "../integration/feed.ts";
import { Producer } from "../integration/producer.ts";
import { InfluxServer } from "../servers/influxdb.ts";
import { KafkaCluster } from "../servers/kafka.ts";
import { TelegrafServer } from "../servers/telegraf.ts";
import { programMissing, serverTest } from "../servers/test.ts";
import { chainMissing, GAPS_TOPIC, settle, telegrafEnv, TOPIC } from "./chain.ts";
import { pointCount, readGaps, readPoints } from "./points.ts";

const missing = chainMissing() ??
  programMissing();

const PARTITIONS = 6;
/** How long each one stays down. */
const AWAY_MS = 4000;

serverTest(
  missing,
  "two producers, three brokers and two Telegrafs lose nothing undeclared when one of each is killed",
  async () => {
    await using cluster = await KafkaCluster.start();
    const { any: kafka, servers, brokers } = cluster;
    for (const topic of [TOPIC, GAPS_TOPIC]) {
      await kafka.createTopic(topic, { partitions: PARTITIONS, replicas: 3, config: { "min.insync.replicas": "2" } });
    }
    await using influx = await InfluxServer.start();
    const token = await influx.createToken({ write: influx.bucket });
    const [one = "", two = "", three = ""] = brokers.split(",");
    const env = { ...telegrafEnv(kafka, influx), KAFKA_BROKER_1: one, KAFKA_BROKER_2: two, KAFKA_BROKER_3: three };
    await using first = await TelegrafServer.start({ env, token });
    await using _second = await TelegrafServer.start({ env, token });
    await using simulator = await Simulator.start({ seed: 41, ticksPerSecond: 15 });
    const folder = await Deno.makeTempDir();
    await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
    const producerOf = (shard: number) =>
      new Producer({
        COINBASE_WS_URL: simulator.url,
        KAFKA_BROKERS: brokers,
        SHARD: `${shard}/2`,
        CURSOR_FILE: `${folder}/cursor-${shard}.json`,
      });
    const more = async (n: number) => {
      const before = await pointCount(influx, simulator.products);
      await until(
        `${n} more points are stored`,
        async () => await pointCount(influx, simulator.products) >= before + n,
        60_000,
      );
    };
    /** The partitions of each member of the group, the largest share first. */
    const shares = async () => (await kafka.shares("telegraf", TOPIC)).sort((a, b) => b.length - a.length);

    await until("both Telegrafs read partitions", async () => (await shares()).length === 2, 60_000);
    const both = await shares();
    assertEquals(both.map((share) => share.length), [PARTITIONS / 2, PARTITIONS / 2]);
    assertEquals(both.flat().sort(), Array.from({ length: PARTITIONS }, (_, i) => i));

    await using other = producerOf(2);
    let producer = producerOf(1);
    try {
      await more(500);
      await servers[1]?.kill();
      await sleep(AWAY_MS);
      await servers[1]?.restart();
      await more(300);

      await first.kill();
      await until(
        "the other Telegraf reads all partitions",
        async () => (await shares())[0]?.length === PARTITIONS,
        60_000,
      );
      await more(300);
      await first.restart();
      await until("both read partitions again", async () => (await shares()).length === 2, 60_000);
      await more(300);

      await producer.end("SIGKILL");
      await sleep(AWAY_MS);
      producer = producerOf(1);
      await more(500);
      assertEquals(await producer.end("SIGTERM"), 0, producer.stderr);
      assertEquals(await other.end("SIGTERM"), 0, other.stderr);
    } finally {
      await producer[Symbol.asyncDispose]();
    }
    await settle({ kafka, influx });
    // settle() waits for a marker in one partition only
    const distinct = async (topic: string, time: string) =>
      new Set(
        (await kafka.read(topic)).map(({ value }) => JSON.parse(value)).map((one) => `${one.product} ${one[time]}`),
      );
    const [records, gapRecords] = [await distinct(TOPIC, "w_time"), await distinct(GAPS_TOPIC, "opened")];
    const products = [...new Set([...records].map((record) => record.replace(/ .*/, "")))];
    await until("all partitions are read", async () => await pointCount(influx, products) === records.size, 60_000);
    await until("all gaps are read", async () => (await readGaps(influx)).length === gapRecords.size, 60_000);

    const gaps = await readGaps(influx);
    const stored = await readPoints(influx, simulator.products);
    const counted = countByTime({ sent: simulator.sent(), points: stored, gaps });
    assertAllDeclared(counted);
    assertGreater(counted.stored, 1500);
    // each producer has declared gaps of its own products only
    const restarts = gaps.filter((gap) => gap.reason === "restart" && gap.to !== null);
    assertEquals(restarts.length, simulator.products.length + simulator.products.length / 2);
    // the last gap records have arrived as well, although their partitions have moved to other brokers meanwhile
    assertEquals(gaps.filter((gap) => gap.reason === "stopped").length, simulator.products.length);
    tell(`${counted.stored} points of ${counted.sent} ticks, ${counted.missing.length} declared as missing`);
  },
);
