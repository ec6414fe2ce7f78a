// Kafka, Telegraf and InfluxDB connected as in the stack, with the stack's own telegraf.conf, for tests that count what arrives.

import { until } from "../integration/feed.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { telegrafMissing, TelegrafServer } from "../servers/telegraf.ts";

/** The stack's topic of ticks. */
export const TOPIC = "ticker_batch";
/** The stack's topic of gaps. */
export const GAPS_TOPIC = "feed_gaps";

/** Why the chain cannot run here and how to change that, in one sentence; undefined if it can. Never prompts. */
export function chainMissing(): string | undefined {
  return kafkaMissing() ?? influxMissing() ?? telegrafMissing();
}

/** All optional. */
export interface ChainOptions {
  /** Addresses of the producers' /metrics, by the number of the setting; undefined leaves a setting empty. */
  readonly metrics?: string | readonly (string | undefined)[];
}

/** The three servers. Disposing ends them all. */
export interface Chain extends AsyncDisposable {
  /** With both topics. */
  readonly kafka: KafkaServer;
  /** With the stack's bucket. */
  readonly influx: InfluxServer;
  /** Uses a token that may only write to that bucket. */
  readonly telegraf: TelegrafServer;
  /** Telegraf's token. */
  readonly token: string;
}

/** Starts all three and connects them. */
export async function startChain(options: ChainOptions = {}): Promise<Chain> {
  await using stack = new AsyncDisposableStack();
  const kafka = stack.use(await KafkaServer.start());
  await kafka.createTopics();
  const influx = stack.use(await InfluxServer.start());
  const token = await influx.createToken({ write: influx.bucket });
  const telegraf = stack.use(await TelegrafServer.start({ env: telegrafEnv(kafka, influx, options.metrics), token }));
  const all = stack.move();
  return { kafka, influx, telegraf, token, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Resolves when everything written to Kafka before the call is in InfluxDB. */
export async function settle(chain: Pick<Chain, "kafka" | "influx">, ms = 60_000): Promise<void> {
  // InfluxDB writes the shards of a request one after the other: when the first marker is visible, older shards may not be
  // written yet. Telegraf sends the second marker in a later request
  await passThrough(chain, ms);
  await passThrough(chain, ms);
}

/** Writes a record to each topic and waits until they have arrived. */
async function passThrough({ kafka, influx }: Pick<Chain, "kafka" | "influx">, ms: number): Promise<void> {
  const [product, seconds] = [`marker-${crypto.randomUUID()}`, Math.floor(Date.now() / 1000)];
  const gap = { exchange: "test", from: null, to: null, reason: "marker", dropped: 0, missed: false };
  await produce(kafka.broker, TOPIC, [JSON.stringify({ product, w_time: seconds, price: 1 })]);
  await produce(kafka.broker, GAPS_TOPIC, [JSON.stringify({ product, opened: seconds, ...gap })]);
  const flux = `from(bucket: "${influx.bucket}")
    |> range(start: -1h, stop: 1h)
    |> filter(fn: (r) => r.product == "${product}" and (r._field == "price" or r._field == "missed"))
    |> keep(columns: ["_field"])`;
  await until("the last record of each topic is in InfluxDB", async () => (await influx.query(flux)).length === 2, ms);
}

/** How many records Telegraf buffers because it could not write them yet, according to its log. */
export async function waiting(telegraf: TelegrafServer): Promise<number> {
  const [, number = "0"] =
    (await telegraf.log()).match(/.*\[outputs\.influxdb_v2::records\] Buffer fullness: (\d+) /s) ?? [];
  return Number(number);
}

/** The environment that telegraf.conf needs. */
export function telegrafEnv(
  kafka: KafkaServer,
  influx: InfluxServer,
  // no server listens there
  metrics: ChainOptions["metrics"] = "http://127.0.0.1:9/metrics",
): Record<string, string> {
  const [first, ...others] = typeof metrics === "string" ? [metrics] : metrics;
  return {
    KAFKA_BROKER_1: kafka.broker,
    KAFKA_BROKER_2: kafka.broker,
    KAFKA_BROKER_3: kafka.broker,
    INFLUX_URL: influx.url,
    INFLUX_ORG: influx.org,
    INFLUX_BUCKET: influx.bucket,
    // the stack sets unused ones to an empty string
    PRODUCER_METRICS: first ?? "",
    ...Object.fromEntries(
      Array.from({ length: 7 }, (_, i) => [`PRODUCER_METRICS_${i + 2}`, others[i] ?? ""]),
    ),
  };
}

/** A tutorial's telegraf.conf, with shorter intervals and kafka_version, which Kafka 4 requires. */
export function tutorialConfig(token: string): string {
  return `
[agent]
  interval = "1s"
  flush_interval = "1s"

[[inputs.kafka_consumer]]
  brokers = ["\${KAFKA_BROKER_1}"]
  topics = ["${TOPIC}"]
  kafka_version = "2.8.0"
  offset = "oldest"
  data_format = "json"
  tag_keys = ["product"]
  json_time_key = "w_time"
  json_time_format = "unix"

[[outputs.influxdb_v2]]
  urls = ["\${INFLUX_URL}"]
  token = "${token}"
  organization = "\${INFLUX_ORG}"
  bucket = "\${INFLUX_BUCKET}"
`;
}

/** A record as any other program could write it. */
export interface Raw {
  /** Null: a record without a value. */
  readonly value: string | Uint8Array | null;
  /** ms since the epoch; default now. */
  readonly timestamp?: number;
}

/** Writes records in order, in requests of up to 500 kB. Resolves when Kafka has acknowledged them. */
export async function produce(broker: string, topic: string, records: readonly (string | Raw)[]): Promise<void> {
  // imported here because kafkajs reads NODE_ENV when it is loaded, which a bare `deno test` does not permit
  const [{ Kafka, logLevel, Partitioners }, { Buffer }] = await Promise.all([
    import("kafkajs"),
    import("node:buffer"),
  ]);
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  try {
    let messages: { value: Uint8Array | null; timestamp?: string }[] = [];
    let bytes = 0;
    const send = async () => {
      // kafkajs's types do not allow null, although Kafka does
      if (messages.length > 0) await producer.send({ topic, messages: messages as { value: Buffer | null }[] });
      [messages, bytes] = [[], 0];
    };
    for (const record of records) {
      const { value, timestamp } = typeof record === "string" ? { value: record } as Raw : record;
      const buffer = value === null ? null : Buffer.from(value as string);
      const size = buffer?.length ?? 0;
      if (bytes + size > 500_000) await send();
      messages.push({ value: buffer, ...timestamp !== undefined && { timestamp: String(timestamp) } });
      bytes += size + 100;
    }
    await send();
  } finally {
    await producer.disconnect();
  }
}
