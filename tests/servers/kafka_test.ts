// What the tests on a real Kafka rely on KafkaServer for.
import { assertEquals, assertRejects } from "@std/assert";
import type { Message, SASLOptions } from "kafkajs";
import { kafkaMissing, KafkaServer } from "./kafka.ts";
import { serverTest } from "./test.ts";

const missing = kafkaMissing();

async function produce(broker: string, topic: string, messages: Message[], sasl?: SASLOptions): Promise<void> {
  // imported here because kafkajs reads NODE_ENV when it is loaded, which a bare `deno test` does not permit
  const { Kafka, logLevel, Partitioners } = await import("kafkajs");
  const kafka = new Kafka({
    brokers: [broker],
    logLevel: logLevel.NOTHING,
    retry: { retries: 2 },
    ...sasl && { sasl },
  });
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  try {
    await producer.connect();
    await producer.send({ topic, messages });
  } finally {
    await producer.disconnect();
  }
}

const messages = [
  {
    key: "BTC-USD",
    value: '{"product":"BTC-USD"}',
    timestamp: "1700000000123",
    headers: { source: "a,b=c", "é": "ü:1" },
  },
  { key: "ETH-€", value: "Ξ 🚀 \u{feff}\u0000\u001f\\u0041 \u2028", timestamp: "1700000000124" },
  { key: null, value: 'two\nlines\r\n{"partition":0,"offset":9}\n', timestamp: "1700000000125" },
];
const records = messages.map(({ key, value, timestamp, headers = {} }, offset) => (
  { partition: 0, offset, timestamp: Number(timestamp), key, headers: { ...headers }, value }
));

serverTest(missing, "KafkaServer.read() returns what was produced, also after kill -9 and a restart", async () => {
  await using kafka = await KafkaServer.start();
  await kafka.createTopic("ticker");
  assertEquals(await kafka.read("ticker"), []);
  await produce(kafka.broker, "ticker", messages);
  assertEquals(await kafka.read("ticker"), records);

  const { broker, pid } = kafka;
  await kafka.kill();
  await assertRejects(() => Deno.connect({ port: Number(broker.split(":")[1]) }));
  await kafka.restart();
  assertEquals([kafka.broker === broker, kafka.pid === pid], [true, false]);
  assertEquals(await kafka.read("ticker"), records);
});

serverTest(missing, "KafkaServer.read() returns the same with either client, whole or by partition", async () => {
  await using kafka = await KafkaServer.start({ partitions: 3 });
  await kafka.createTopic("ticker", { config: { "max.message.bytes": "2000" } });
  await produce(kafka.broker, "ticker", messages.map((message, i) => ({ ...message, partition: 2 - i })));
  const expected = records.map((record) => ({ ...record, offset: 0, partition: 2 - record.offset })).reverse();
  // the first one uses kcat if it is installed
  for (const client of [{}, { client: "console" }] as const) {
    assertEquals(await kafka.read("ticker", client), expected);
    assertEquals(await kafka.read("ticker", { ...client, partition: 1 }), expected.slice(1, 2));
    await assertRejects(() => kafka.read("nowhere", client));
  }
  await assertRejects(() => produce(kafka.broker, "ticker", [{ value: "x".repeat(3000) }]), Error, "larger");
  await assertRejects(() => kafka.createTopic("ticker"), Error, "exists");
  await kafka.deleteTopic("ticker");
  await kafka.createTopic("ticker");
  assertEquals(await kafka.read("ticker"), []);
});

serverTest(missing, "KafkaServer refuses a wrong password and accepts the right one", async () => {
  const login = { username: "feed", password: 'p"ä\\ss' };
  // a new object each time, because kafkajs stores an authenticator with the first password in it
  const as = (password: string) => ({ mechanism: "plain" as const, username: login.username, password });
  await using kafka = await KafkaServer.start({ sasl: login });
  await kafka.createTopic("ticker");
  const broker = kafka.saslBroker ?? "";
  await assertRejects(() => produce(broker, "ticker", messages, as("guess")), Error, "Authentication failed");
  await assertRejects(() => produce(broker, "ticker", messages), Error, "Closed connection");
  assertEquals(await kafka.read("ticker"), []);
  await produce(broker, "ticker", messages, as(login.password));
  assertEquals(await kafka.read("ticker"), records);
});

serverTest(missing, "KafkaServer does not answer while paused, and can be ended in that state", async () => {
  const dataDir = await Deno.makeTempDir();
  try {
    {
      await using kafka = await KafkaServer.start({ dataDir });
      await kafka.createTopic("ticker");
      kafka.pause();
      const produced = produce(kafka.broker, "ticker", messages);
      const first = await Promise.race([
        produced.then(() => "produced"),
        new Promise((r) => setTimeout(r, 500, "waits")),
      ]);
      assertEquals(first, "waits");
      kafka.resume();
      await produced;
      kafka.pause();
    }
    await using kafka = await KafkaServer.start({ dataDir });
    assertEquals(await kafka.read("ticker"), records);
    kafka.pause();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

serverTest(missing, "KafkaServer.start() rejects with the broker's reason", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await assertRejects(() => KafkaServer.start({ port: taken.addr.port }), Error, "Address already in use");
  await assertRejects(() => KafkaServer.start({ properties: { "num.partitions": "none" } }), Error, "num.partitions");
});
