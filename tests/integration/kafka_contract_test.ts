// Runs the contract of all sinks for KafkaSink on a real Kafka.

import { KafkaSink } from "../../src/kafka/sink.ts";
import { sinkContract } from "../contracts/sink.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { silent } from "./feed.ts";

const missing = kafkaMissing();
let shared: KafkaServer | undefined;
let topics = 0;

if (missing === undefined) {
  // one for all cases, started outside of them because of their leak checks
  Deno.test.beforeAll(async () => {
    shared = await KafkaServer.start();
  });
  Deno.test.afterAll(async () => {
    await shared?.[Symbol.asyncDispose]();
  });
}

sinkContract("KafkaSink", async () => {
  const kafka = shared;
  if (kafka === undefined) throw new TypeError("No Kafka");
  const { topic, gapsTopic } = await kafka.createTopics(`contract_${++topics}`);
  return {
    sink: new KafkaSink({
      brokers: [kafka.broker],
      topic,
      gapsTopic,
      clientId: "test",
      compression: "none",
      ssl: false,
      log: silent,
    }),
    stored: async () => (await kafka.read(topic)).map(({ value }) => value),
    stall: () => Promise.resolve(kafka.pause()),
    cleanUp: () => Promise.resolve(kafka.resume()),
  };
}, { skipped: missing });
