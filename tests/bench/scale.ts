// `deno task bench scale [TICKS a second] [SECONDS]`: the CPU seconds of each part of the chain per million records, with one
// broker and with three, for docs/scale.md. All parts share one machine, so this measures work, not speed.

import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { chainMissing, produce, telegrafEnv, TOPIC } from "../chain/chain.ts";
import { until } from "../integration/feed.ts";
import { Producer } from "../integration/producer.ts";
import { InfluxServer } from "../servers/influxdb.ts";
import { KafkaCluster, KafkaServer } from "../servers/kafka.ts";
import { TelegrafServer } from "../servers/telegraf.ts";
import { startFeeder } from "./feeder_process.ts";
import { endIfMissing, numberArgument, pause, say } from "./report.ts";
import { writtenBy } from "./telegraf_log.ts";
import { usageMissing, usageOf } from "./usage.ts";

endIfMissing(usageMissing() ?? chainMissing());
const RATE = numberArgument(0, "TICKS", 4000);
const SECONDS = numberArgument(1, "SECONDS", 20);
/** Warm-up of the JIT compilers, s. */
const WARM_SECONDS = 5;
const BACKLOG = 400_000;
const PARTITIONS = 6;
const LINGERS = [0, 100];

/** Runs `work`, which returns a number of records, and formats the CPU seconds of each part per million of them. */
async function costs(parts: Readonly<Record<string, readonly number[]>>, work: () => Promise<number>): Promise<string> {
  const used = async (pids: readonly number[]) =>
    (await Promise.all(pids.map(usageOf))).reduce((total, { cpu }) => total + cpu, 0);
  const look = () => Promise.all(Object.values(parts).map(used));
  const before = await look();
  const count = await work();
  const after = await look();
  return Object.keys(parts).map((name, index) =>
    `${name} ${(((after[index] ?? NaN) - (before[index] ?? NaN)) / count * 1e6).toFixed(1)}`
  ).join(", ");
}

/** How many ticks Kafka has acknowledged, according to the program's status. */
async function sentOf(producer: Producer): Promise<number> {
  const url = String(producer.said("Started")[0]?.status);
  const status = await (await fetch(url)).text();
  return Number(/"sent":(\d+)/.exec(status)?.[1] ?? NaN);
}

async function measureProducer(
  name: string,
  brokers: string,
  pids: readonly number[],
  feeder: number,
  lingerMs: number,
): Promise<void> {
  await using producer = new Producer({
    COINBASE_WS_URL: `ws://127.0.0.1:${feeder}/${RATE}`,
    KAFKA_BROKERS: brokers,
    KAFKA_LINGER_MS: String(lingerMs),
  });
  await producer.says("Ready to write to kafka");
  await pause(WARM_SECONDS);
  let rate = 0;
  const told = await costs({ producer: [producer.pid], "all brokers": pids }, async () => {
    const [before, since] = [await sentOf(producer), performance.now()];
    await pause(SECONDS);
    const count = await sentOf(producer) - before;
    rate = count / (performance.now() - since) * 1000;
    return count;
  });
  say(
    `${name}, linger ${lingerMs} ms, ${Math.round(rate)} of ${RATE} ticks/s acknowledged: ${told}  [CPU s per million]`,
  );
}

async function measureTelegrafs(kafka: KafkaServer, pids: readonly number[], count: number): Promise<void> {
  await using influx = await InfluxServer.start();
  const token = await influx.createToken({ write: influx.bucket });
  await using stack = new AsyncDisposableStack();
  // a new group begins with the oldest record of the topic
  const config = await Deno.makeTempFile({ suffix: ".conf" });
  const file = await Deno.readTextFile(new URL("../../telegraf/telegraf.conf", import.meta.url));
  await Deno.writeTextFile(config, file.replace('consumer_group = "telegraf"', `consumer_group = "telegraf-${count}"`));
  const telegrafs: TelegrafServer[] = [];
  for (let i = 0; i < count; i++) {
    telegrafs.push(stack.use(await TelegrafServer.start({ config, env: telegrafEnv(kafka, influx), token })));
  }
  const since = performance.now();
  const told = await costs(
    { Telegraf: telegrafs.map(({ pid }) => pid), InfluxDB: [influx.pid], "all brokers": pids },
    async () => {
      const written = async () => (await Promise.all(telegrafs.map(writtenBy))).reduce((sum, each) => sum + each, 0);
      await until("all is written", async () => await written() >= BACKLOG, 300_000);
      return BACKLOG;
    },
  );
  const seconds = (performance.now() - since) / 1000;
  const flux = `from(bucket: "${influx.bucket}") |> range(start: 0) |> filter(fn: (r) => r.product =~ /^SCALE-/)
    |> group() |> count()`;
  await until("all is stored", async () => Number((await influx.query(flux))[0]?._value ?? 0) >= BACKLOG);
  say(
    `${count} Telegraf, ${BACKLOG} records in ${seconds.toFixed(1)} s (start included): ${told}  [CPU s per million]`,
  );
  await Deno.remove(config);
}

async function fill(kafka: KafkaServer, replicas: number): Promise<void> {
  const config = { "min.insync.replicas": String(Math.ceil(replicas * 2 / 3)) };
  for (const topic of [TOPIC, "feed_gaps"]) {
    await kafka.createTopic(topic, { partitions: PARTITIONS, replicas, config });
  }
}

async function backlog(kafka: KafkaServer): Promise<void> {
  const start = Math.floor(Date.now() / 1000) - 3600;
  const records = Array.from(
    { length: BACKLOG },
    (_, i) => `{"product":"SCALE-${i % 16}","w_time":${start + Math.floor(i / 16) / 10},"price":${37000 + i % 1000}}`,
  );
  await produce(kafka.broker, TOPIC, records);
}

await patchKafkajs();
await using feeder = await startFeeder();
{
  await using kafka = await KafkaServer.start();
  await fill(kafka, 1);
  for (const lingerMs of LINGERS) {
    await measureProducer("one broker", kafka.broker, [kafka.pid], feeder.port, lingerMs);
  }
  await kafka.deleteTopic(TOPIC);
  await kafka.createTopic(TOPIC, { partitions: PARTITIONS });
  await backlog(kafka);
  await measureTelegrafs(kafka, [kafka.pid], 1);
  await measureTelegrafs(kafka, [kafka.pid], 2);
}
await using cluster = await KafkaCluster.start();
const pids = cluster.servers.map(({ pid }) => pid);
await fill(cluster.any, 3);
for (const lingerMs of LINGERS) {
  await measureProducer("three brokers, three copies", cluster.brokers, pids, feeder.port, lingerMs);
}
