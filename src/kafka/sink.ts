// Writes ticks to one Kafka topic and gaps to another. kafkajs makes no retries: the pipeline decides what is sent again, and
// when. After a failure the next attempt uses a new client.

import type net from "node:net";
import type kafkajs from "kafkajs";
import { unlessAborted } from "../core/abort.ts";
import { systemClock } from "../core/clock.ts";
import { SinkError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type FeedEvent, type Gap, seriesOf, tickId, toGapRecord, toRecord } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";
import { KafkaClient, type KafkaConnection } from "./connection.ts";
import { sinkErrorOf } from "./errors.ts";
import { patchKafkajs } from "./kafkajs_internals.ts";
import { bundle, type PlainMessage } from "./produce_request.ts";

/** Options of {@link KafkaSink}. */
export interface KafkaOptions extends KafkaConnection {
  /** The topic for ticks. */
  readonly topic: string;
  /** The topic for gaps; empty: gaps are not written. */
  readonly gapsTopic: string;
  /** Our name in the broker's logs and quotas. */
  readonly clientId: string;
  /** Compression of the record batches. */
  readonly compression: "none" | "gzip";
  /** Who encodes requests: `own` is much faster, `kafkajs` leaves it to the library. The bytes are the same. Default own. */
  readonly encoder?: "own" | "kafkajs";
  /** How long a broker may take to answer a request, ms; default 30000, as in Kafka's own clients. */
  readonly requestTimeoutMs?: number;
  /** Receives warnings, and kafkajs's own lines as debug. */
  readonly log: Logger;
  /** Called with each socket before it is connected. */
  readonly onSocket?: (socket: net.Socket) => void;
}

/** How long a broker may take to accept a connection, ms; kafkajs's default of 1 s is too short for a managed cluster. */
const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 60_000;
/** The status reports throttling for this long after its end, ms: the next response may bring another one. */
const THROTTLED_MS = 10_000;

/** The numbers in the protocol. */
const COMPRESSIONS: Readonly<Record<KafkaOptions["compression"], kafkajs.CompressionTypes>> = { none: 0, gzip: 1 };

/** Called when a broker wants no request for this long, ms. */
type OnThrottle = (throttleMs: number) => void;

/** A kafkajs client with its producer. */
interface Connected {
  readonly client: KafkaClient;
  readonly producer: kafkajs.Producer;
}

/** Writes to one topic. Each topic has its own client, since a missing topic makes the metadata of all its topics fail. */
class TopicProducer {
  readonly #options: KafkaOptions;
  readonly #topic: string;
  readonly #onThrottle: OnThrottle;
  #connected: Connected | undefined;
  #clients = 0;
  #usesBundles = false;
  #hasConnected = false;
  readonly #closing = new Set<Promise<void>>();

  constructor(options: KafkaOptions, topic: string, onThrottle: OnThrottle) {
    this.#options = options;
    this.#topic = topic;
    this.#onThrottle = onThrottle;
  }

  async connect(signal: AbortSignal): Promise<kafkajs.Producer> {
    if (this.#connected !== undefined) return this.#connected.producer;
    const { client, producer } = this.#connected = await this.#createClient();
    await this.#attempt(async () => {
      await producer.connect();
      try {
        // requests the topic's metadata and sends nothing, so a missing topic is noticed now
        await producer.send({ topic: this.#topic, messages: [] });
      } catch (error) {
        // if no broker can be reached, nobody can create the topic: report that first
        if (!this.#hasConnected) await reach(client);
        throw error;
      }
      if (!this.#hasConnected) await reach(client, this.#topic);
    }, signal);
    this.#hasConnected = true;
    return producer;
  }

  async #createClient(): Promise<Connected> {
    const { brokers, encoder = "own", clientId, requestTimeoutMs = REQUEST_TIMEOUT_MS, log, onSocket } = this.#options;
    const problem = await patchKafkajs();
    this.#usesBundles = encoder === "own" && problem === undefined;
    if (encoder === "own" && problem !== undefined) {
      log.often("warn", "kafkajs encodes the requests to Kafka, which is slower", { why: problem });
    }
    // kafkajs would try the other brokers only in its own retries, and a new client starts with the first one again
    const first = this.#clients++ % brokers.length;
    const client = await KafkaClient.create(
      { ...this.#options, brokers: [...brokers.slice(first), ...brokers.slice(0, first)] },
      {
        clientId,
        connectionTimeout: Math.min(CONNECT_TIMEOUT_MS, requestTimeoutMs),
        requestTimeout: requestTimeoutMs,
        logCreator: () => ({ namespace, log: { message, throttleMs } }) => {
          if (typeof throttleMs === "number") this.#onThrottle(throttleMs);
          else log.often("debug", "kafkajs", { namespace, words: message });
        },
      },
      (socket) => {
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
        onSocket?.(socket);
      },
    );
    const { Partitioners } = (await import("kafkajs")).default;
    const producer = client.kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      maxInFlightRequests: 1,
    });
    return { client, producer };
  }

  async send(messages: PlainMessage[], signal: AbortSignal): Promise<void> {
    const producer = await this.connect(signal);
    const { compression, requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options;
    await this.#attempt(async () => {
      await producer.send({
        topic: this.#topic,
        acks: -1,
        timeout: requestTimeoutMs,
        compression: COMPRESSIONS[compression],
        messages: this.#usesBundles ? bundle(messages) : messages,
      });
    }, signal);
  }

  async close(): Promise<void> {
    this.#disconnect();
    await Promise.all(this.#closing);
  }

  /** Runs one step. If it fails, except because of a record, the next attempt uses a new client. */
  async #attempt(step: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      signal.throwIfAborted();
      await unlessAborted(step(), signal);
    } catch (error) {
      const hasConnected = this.#hasConnected;
      const sinkError = sinkErrorOf(error, { ...this.#options, topic: this.#topic, hasConnected });
      if (signal.aborted || sinkError.kind !== "drop") this.#disconnect();
      throw signal.aborted ? signal.reason : sinkError;
    }
  }

  #disconnect(): void {
    if (this.#connected === undefined) return;
    const { client, producer } = this.#connected;
    this.#connected = undefined;
    // kafkajs waits for its requests, which fail as soon as the sockets are closed
    const closing = Promise.all([client.close(), producer.disconnect()]).then(() => {}, () => {})
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}

/** Checks that brokers can be reached at the addresses that they advertise: the leaders of the topic, or any broker. */
async function reach({ kafka }: KafkaClient, topic?: string): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    await (topic === undefined ? admin.describeCluster() : admin.fetchTopicOffsets(topic));
  } finally {
    await admin.disconnect();
  }
}

/** Splits what is too large for one request. Rejects if a single message is refused: the topic's limit may still be changed. */
async function sendInParts(producer: TopicProducer, messages: PlainMessage[], signal: AbortSignal): Promise<void> {
  try {
    await producer.send(messages, signal);
  } catch (error) {
    if (!(error instanceof SinkError) || error.kind !== "drop" || messages.length < 2) throw error;
    const middle = messages.length >> 1;
    await sendInParts(producer, messages.slice(0, middle), signal);
    await sendInParts(producer, messages.slice(middle), signal);
  }
}

/** Writes to Kafka. */
export class KafkaSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "kafka";
  readonly #options: KafkaOptions;
  readonly #ticks: TopicProducer;
  readonly #gaps: TopicProducer | undefined;
  #throttle: { readonly until: number; readonly ms: number } | undefined;

  /** Connects only in `connect()` and `write()`. */
  constructor(options: KafkaOptions) {
    this.#options = options;
    const onThrottle: OnThrottle = (ms) => this.#onThrottle(ms);
    this.#ticks = new TopicProducer(options, options.topic, onThrottle);
    this.#gaps = options.gapsTopic === "" ? undefined : new TopicProducer(options, options.gapsTopic, onThrottle);
  }

  /** See {@link Sink.throttled}. */
  get throttled(): string | undefined {
    if (this.#throttle === undefined || systemClock.elapsed() > this.#throttle.until + THROTTLED_MS) return undefined;
    const seconds = (this.#throttle.ms / 1000).toFixed(1);
    return `a Kafka quota limits how much we may send (the last response made us wait ${seconds} s)`;
  }

  #onThrottle(ms: number): void {
    this.#throttle = { until: systemClock.elapsed() + ms, ms };
    this.#options.log.often("warn", "Kafka throttles this client because of a quota", {
      waitMs: ms,
      clientId: this.#options.clientId,
    });
  }

  /** See {@link Sink.connect}. Resolves when Kafka answers and has the topic for ticks. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#ticks.connect(signal);
  }

  /** See {@link Sink.write}. Sends one request, which all in-sync replicas acknowledge. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    const messages: PlainMessage[] = [];
    for (const event of batch) {
      if (event.kind === "gap") continue;
      const headers: Record<string, string> = { id: tickId(event) };
      if (event.tradeId !== undefined) headers.trade = String(event.tradeId);
      messages.push({
        // keeps a product in one partition, and so in order
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
    const messages = gaps.map((gap) => ({
      key: seriesOf(gap.exchange, gap.product),
      value: toGapRecord(gap),
      headers: {},
      timestamp: String(Math.floor(gap.opened * 1000)),
    }));
    if (this.#gaps !== undefined) await sendInParts(this.#gaps, messages, signal);
  }

  /** Disconnects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#ticks.close(), this.#gaps?.close()]);
  }
}
