// The whole pipeline with real parts: frames on a socket -> the pipeline -> a real Kafka, read by a client that shares no code
// with ours.

import { assert, assertEquals } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { serverTest } from "../servers/test.ts";
import { startFeed, until } from "./feed.ts";

const missing = kafkaMissing();

serverTest(
  missing,
  "the pipeline writes records to Kafka with exact bytes, key, order and the exchange's time",
  async () => {
    await using kafka = await KafkaServer.start();
    await kafka.createTopics(undefined, { partitions: 3 });
    await using simulator = await Simulator.start({ seed: 7, ticksPerSecond: 20 });
    await using feed = startFeed({ url: simulator.url, broker: kafka.broker, channel: "ticker" });
    await until("500 ticks are acknowledged", () => (feed.stats.sinks.get("kafka")?.sent ?? 0) >= 500);
    await feed.stop();

    const sent = new Map(simulator.sent().map((tick) => [tick.id, tick]));
    const records = await kafka.read("ticker_batch");
    assertEquals(records.length, feed.stats.received);
    const last = new Map<string, number>();
    const partitions = new Map<string, number>();
    for (const record of records) {
      const tick = sent.get(record.headers.id ?? "");
      assert(tick !== undefined, `${record.headers.id} was never sent`);
      const { w_time, ...rest } = JSON.parse(record.value);
      assertEquals(record.value, `{"product":"${tick.product}","w_time":${w_time},"price":${Number(tick.price)}}`);
      assertEquals(rest, { product: tick.product, price: Number(tick.price) });
      assertEquals(record.key, tick.product);
      assertEquals(record.headers.trade, String(tick.tradeId));
      assertEquals(record.timestamp, Date.parse(tick.time));
      // strictly rising per product, and within a few microseconds of the exchange's own time
      assert(w_time > (last.get(tick.product) ?? 0), `${record.headers.id} does not come after the one before`);
      assert(w_time - Math.floor(Date.parse(tick.time) / 1000) < 1.001);
      last.set(tick.product, w_time);
      assertEquals(partitions.get(tick.product) ?? record.partition, record.partition);
      partitions.set(tick.product, record.partition);
    }
    const gaps = (await kafka.read("feed_gaps")).map((record) => JSON.parse(record.value));
    assertEquals(new Set(gaps.map((gap) => gap.reason)), new Set(["restart", "stopped"]));
    assertEquals(gaps.filter((gap) => gap.reason === "restart" && gap.to !== null).length, 8);
  },
);
