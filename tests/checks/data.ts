// Known data in the real servers, in large numbers.

import type { Admin } from "kafkajs";
import type { Tick } from "../../src/core/record.ts";
import { KafkaSink } from "../../src/kafka/sink.ts";
import { makeTick } from "../fakes/events.ts";
import { silent } from "../integration/feed.ts";
import type { InfluxServer } from "../servers/influxdb.ts";

/** A record as the program would write it. */
export interface KnownTick {
  /** As records name it. */
  readonly product: string;
  /** Microseconds since the epoch. */
  readonly timeUs: number;
  /** The exchange's number. */
  readonly trade: number;
}

/** Records as our own sink writes them. Resolves when Kafka has them. */
export async function produceTicks(broker: string, topic: string, ticks: Iterable<KnownTick>): Promise<void> {
  await using sink = new KafkaSink({
    brokers: [broker],
    topic,
    gapsTopic: "",
    clientId: "test",
    compression: "none",
    ssl: false,
    log: silent,
  });
  const { signal } = new AbortController();
  let batch: Tick[] = [];
  for (const { product, timeUs, trade } of ticks) {
    batch.push(makeTick({ product, sequence: trade, exchangeTimeUs: timeUs, tradeId: trade, price: 1.5 }));
    if (batch.length < 5000) continue;
    await sink.write(batch, signal);
    batch = [];
  }
  if (batch.length > 0) await sink.write(batch, signal);
}

/** The points that Telegraf would make of them. */
export async function writePoints(influx: InfluxServer, ticks: Iterable<KnownTick>): Promise<void> {
  let lines: string[] = [];
  const send = async () => {
    if (lines.length > 0) await influx.write(lines.join("\n"));
    lines = [];
  };
  for (const { product, timeUs } of ticks) {
    lines.push(`kafka_consumer,product=${product} price=1.5 ${timeUs}000`);
    if (lines.length === 10_000) await send();
  }
  await send();
}

/** What an admin does with Kafka by hand. */
async function administer(broker: string, work: (admin: Admin) => Promise<unknown>): Promise<void> {
  // not at the top: in a bare `deno test` kafkajs fails for want of NODE_ENV
  const { Kafka, logLevel } = await import("kafkajs");
  const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Sets the offsets of a group without members in these partitions: each this far from the partition's end. */
export async function setPlaces(
  broker: string,
  groupId: string,
  topic: string,
  fromEnd: Readonly<Record<number, number>>,
): Promise<void> {
  await administer(broker, async (admin) => {
    const offsets = await admin.fetchTopicOffsets(topic);
    const partitions = Object.entries(fromEnd).map(([partition, difference]) => {
      const end = Number(offsets.find((each) => each.partition === Number(partition))?.high ?? 0);
      return { partition: Number(partition), offset: String(end + difference) };
    });
    await admin.setOffsets({ groupId, topic, partitions });
  });
}

/** Raises the number of partitions. */
export async function addPartitions(broker: string, topic: string, count: number): Promise<void> {
  await administer(broker, (admin) => admin.createPartitions({ topicPartitions: [{ topic, count }] }));
}
