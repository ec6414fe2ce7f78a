// Kafka, Telegraf and InfluxDB put together as the stack does it, with the stack's own telegraf.conf as it stands, for tests
// that count what arrives.

import { until } from "../integration/feed.ts";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { telegrafMissing, TelegrafServer } from "../servers/telegraf.ts";

/** The topics of the stack. */
export const TOPIC = "ticker_batch";
/** The topics of the stack. */
export const GAPS_TOPIC = "feed_gaps";

/** Why the chain cannot run here, in one sentence with the command that helps; undefined when it can. Never prompts. */
export function chainMissing(): string | undefined {
  return kafkaMissing() ?? influxMissing() ?? telegrafMissing();
}

/** How to start it; nothing is needed. */
export interface ChainOptions {
  /** The address of the producer's /metrics; of several those of all, undefined where a number is left out. */
  readonly metrics?: string | readonly (string | undefined)[];
}

/** The three servers, with topics and bucket. Disposing ends them all. */
export interface Chain extends AsyncDisposable {
  /** With both topics. */
  readonly kafka: KafkaServer;
  /** With the stack's bucket. */
  readonly influx: InfluxServer;
  /** With a token that may write to that bucket, and no more. */
  readonly telegraf: TelegrafServer;
  /** That token. */
  readonly token: string;
}

/** Starts all three. */
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

/** Resolves when all that was written to Kafka before is in InfluxDB. */
export async function settle(chain: Pick<Chain, "kafka" | "influx">, ms = 60_000): Promise<void> {
  // when the last record is seen, others of the same request may still be on their way into older shards; when one that was
  // sent after that is seen, that request is over
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

/** How many records Telegraf holds that it could not write yet, by its own log. */
export async function waiting(telegraf: TelegrafServer): Promise<number> {
  const [, number = "0"] =
    (await telegraf.log()).match(/.*\[outputs\.influxdb_v2::records\] Buffer fullness: (\d+) /s) ?? [];
  return Number(number);
}

/** What telegraf.conf wants to know. */
export function telegrafEnv(
  kafka: KafkaServer,
  influx: InfluxServer,
  // nobody listens there
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
    // empty as in the stack, where they are not set
    PRODUCER_METRICS: first ?? "",
    ...Object.fromEntries(
      Array.from({ length: 7 }, (_, i) => [`PRODUCER_METRICS_${i + 2}`, others[i] ?? ""]),
    ),
  };
}

/** A tutorial's telegraf.conf; kafka_version is the one line that Kafka 4 asks for, the times are shorter. */
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

/** A record as somebody else would write it: text, bytes, or none at all, perhaps with a time of its own, ms. */
export interface Raw {
  /** What stands in the record. */
  readonly value: string | Uint8Array | null;
  /** Default: the client's clock. */
  readonly timestamp?: number;
}

/** Writes records in order, one request for each 500 kB. Resolves when Kafka has them. */
export async function produce(broker: string, topic: string, records: readonly (string | Raw)[]): Promise<void> {
  // not at the top: in a bare `deno test` kafkajs fails for want of NODE_ENV
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
      // its types know no record without a value, which Kafka does
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
