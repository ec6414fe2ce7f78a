// Ticks to one Kafka topic, gaps to a second one. The only door to kafkajs 2.2.4, whose retries are switched off: what is
// sent again, and when, is the pipeline's matter. After a failure it starts with a fresh client.

import type kafkajs from "kafkajs";
import { SinkError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { type FeedEvent, type Gap, seriesOf, tickId, toGapRecord, toRecord } from "../record.ts";
import type { Sink } from "./sink.ts";

/** How to reach Kafka and what to write there. */
export interface KafkaOptions {
  /** `host:port` each. */
  readonly brokers: readonly string[];
  /** For ticks. */
  readonly topic: string;
  /** For gaps; empty: they go nowhere. */
  readonly gapsTopic: string;
  /** How we are called in the broker's logs. */
  readonly clientId: string;
  /** Of the record batches. */
  readonly compression: "none" | "gzip";
  /** Encrypt, with the system's certificate authorities. */
  readonly ssl: boolean;
  /** Log in with these; undefined: no login. */
  readonly sasl?: KafkaLogin;
  /** Log. */
  readonly log: Logger;
}

/** A login. */
export interface KafkaLogin {
  /** As the broker names it. */
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  /** User or API key. */
  readonly username: string;
  /** Password or API secret. */
  readonly password: string;
}

/** Until a broker answers the connect, ms; kafkajs's own 1 s is too short for a managed cluster. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Until the broker must have answered a request, ms. */
const REQUEST_TIMEOUT_MS = 30_000;

/** What kafkajs calls one message. */
type Message = kafkajs.Message;

/** The refusals that one of the records is to blame for. */
const RECORD_REFUSED = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_TIMESTAMP", "INVALID_RECORD"]);
/** The refusals that no retry changes. */
const NO_ENTRY = new Set([
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "INVALID_TOPIC_EXCEPTION",
]);

/** The error and its causes, outermost first: kafkajs says "not retriable" outside of a refused connection. */
function chainOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let each = error; each instanceof Error && chain.length < 10; each = each.cause) chain.push(each);
  return chain;
}

/** What a kafkajs error means for us. Exported for its test. */
export function sinkErrorOf(
  error: unknown,
  { brokers, topic }: { brokers: readonly string[]; topic: string },
): SinkError {
  const chain = chainOf(error);
  const innermost = chain.at(-1);
  const types = chain.map((each) => (each as { type?: unknown }).type);
  const is = (set: ReadonlySet<string>) => types.some((type) => typeof type === "string" && set.has(type));
  const where = brokers.join(",");
  const cause = { cause: error };
  if (is(RECORD_REFUSED)) return new SinkError("drop", `Kafka refuses a record: ${innermost?.message}`, cause);
  if (is(NO_ENTRY) || chain.some((each) => each.name === "KafkaJSSASLAuthenticationError")) {
    return new SinkError("fatal", `Kafka at ${where} refuses us (topic ${topic}): ${innermost?.message}`, cause);
  }
  if (is(new Set(["UNKNOWN_TOPIC_OR_PARTITION"]))) {
    const command = `kafka-topics.sh --bootstrap-server ${brokers[0]} --create --topic ${topic} --partitions 1`;
    return new SinkError("retry", `Kafka at ${where} has no topic ${topic}; create it with: ${command}`, cause);
  }
  return new SinkError("retry", `Kafka at ${where} cannot be used: ${innermost?.message ?? String(error)}`, cause);
}

/** The producer of one topic. A topic that is missing must not spoil the metadata of the other, so each has its own client. */
class TopicProducer {
  readonly #options: KafkaOptions;
  readonly #topic: string;
  #producer: kafkajs.Producer | undefined;
  readonly #closing = new Set<Promise<void>>();

  constructor(options: KafkaOptions, topic: string) {
    this.#options = options;
    this.#topic = topic;
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#producer !== undefined) return;
    const { brokers, clientId, ssl, sasl } = this.#options;
    // named imports of its values type-check and are missing at run time
    const { default: kafka } = await import("kafkajs");
    const producer = new kafka.Kafka({
      clientId,
      brokers: [...brokers],
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      retry: { retries: 0 },
      ssl,
      ...(sasl === undefined ? {} : { sasl: sasl as kafkajs.SASLOptions }),
      logCreator: () => (entry: kafkajs.LogEntry) => {
        this.#options.log.often("debug", "kafkajs", { namespace: entry.namespace, words: entry.log.message });
      },
    }).producer({
      createPartitioner: kafka.Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      maxInFlightRequests: 1,
    });
    this.#producer = producer;
    await this.#attempt(async () => {
      await producer.connect();
      // asks for the topic's metadata and sends nothing: a missing topic shows now
      await producer.send({ topic: this.#topic, messages: [] });
    }, signal);
  }

  async send(messages: Message[], signal: AbortSignal): Promise<void> {
    await this.connect(signal);
    const producer = this.#producer;
    if (producer === undefined) throw new SinkError("retry", "Kafka was disconnected meanwhile");
    const { default: kafka } = await import("kafkajs");
    const compression = this.#options.compression === "gzip"
      ? kafka.CompressionTypes.GZIP
      : kafka.CompressionTypes.None;
    await this.#attempt(async () => {
      await producer.send({ topic: this.#topic, acks: -1, compression, messages });
    }, signal);
  }

  async close(): Promise<void> {
    this.#discard();
    await Promise.all(this.#closing);
  }

  /** Runs one step under the signal; whatever fails, the next attempt has a fresh client, unless a record was to blame. */
  async #attempt(step: () => Promise<void>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([step(), aborted]);
    } catch (error) {
      if (signal.aborted) {
        this.#discard();
        throw signal.reason;
      }
      const sinkError = sinkErrorOf(error, { brokers: this.#options.brokers, topic: this.#topic });
      if (sinkError.kind !== "drop") this.#discard();
      throw sinkError;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #discard(): void {
    const closing = this.#producer?.disconnect().catch(() => {});
    this.#producer = undefined;
    if (closing === undefined) return;
    this.#closing.add(closing);
    closing.finally(() => this.#closing.delete(closing));
  }
}

/** Kafka. */
export class KafkaSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "kafka";
  readonly #ticks: TopicProducer;
  readonly #gaps: TopicProducer | undefined;

  constructor(options: KafkaOptions) {
    this.#ticks = new TopicProducer(options, options.topic);
    this.#gaps = options.gapsTopic === "" ? undefined : new TopicProducer(options, options.gapsTopic);
  }

  /** See {@link Sink.connect}: Kafka answers and has the topic for ticks. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#ticks.connect(signal);
  }

  /** See {@link Sink.write}. One request, acknowledged by all in-sync replicas. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    const messages: Message[] = [];
    for (const event of batch) {
      if (event.kind === "gap") continue;
      const headers: Record<string, string> = { id: tickId(event) };
      if (event.tradeId !== undefined) headers.trade = String(event.tradeId);
      messages.push({
        // one product, one partition: in order
        key: seriesOf(event.exchange, event.product),
        value: toRecord(event),
        headers,
        timestamp: String(Math.floor(event.exchangeTimeUs / 1000)),
      });
    }
    if (messages.length > 0) await this.#ticks.send(messages, signal);
  }

  /** See {@link Sink.writeGaps}. */
  async writeGaps(gaps: readonly Gap[], signal: AbortSignal): Promise<void> {
    const messages = gaps.map((gap) => ({ key: seriesOf(gap.exchange, gap.product), value: toGapRecord(gap) }));
    await this.#gaps?.send(messages, signal);
  }

  /** Disconnects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#ticks.close(), this.#gaps?.close()]);
  }
}
