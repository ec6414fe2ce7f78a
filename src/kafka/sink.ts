// Ticks to one Kafka topic, gaps to a second one. The only door to kafkajs 2.2.4, whose retries are switched off: what is
// sent again, and when, is the pipeline's matter. After a failure it starts with a fresh client.

import type net from "node:net";
import type kafkajs from "kafkajs";
import { unlessAborted } from "../core/abort.ts";
import { systemClock } from "../core/clock.ts";
import { chainOf, SinkError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type FeedEvent, type Gap, seriesOf, tickId, toGapRecord, toRecord } from "../core/record.ts";
import { KafkaSockets } from "./sockets.ts";
import { mendKafkajs } from "./kafkajs_fix.ts";
import { bundle, type PlainMessage, speedUpKafkajs } from "./kafkajs_produce.ts";
import type { Sink } from "../core/sink.ts";

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
  /** How requests are written: `own` is much quicker, `kafkajs` leaves it to the library. The bytes are the same. Default own. */
  readonly encoder?: "own" | "kafkajs";
  /** Encrypt. */
  readonly ssl: boolean;
  /** For that; undefined: the well-known authorities, and none of ours. */
  readonly certificates?: Certificates | undefined;
  /** Log in with these; undefined: no login. */
  readonly sasl?: KafkaLogin | undefined;
  /** Until the broker must have answered a request, ms; default 30000, as Kafka's own clients have it. */
  readonly requestTimeoutMs?: number;
  /** Log. */
  readonly log: Logger;
  /** Told of each socket before it is connected. */
  readonly onSocket?: (socket: net.Socket) => void;
}

/** PEM each. */
export interface Certificates {
  /** Authorities to trust in the place of the well-known ones. */
  readonly ca?: string;
  /** Ours, where the broker asks for one. */
  readonly cert?: string;
  /** And its key. */
  readonly key?: string;
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
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 60_000;

/** A throttling is told for so long after its end, ms: the next answer may bring another. */
const THROTTLED_MS = 10_000;

/** As the protocol numbers them. */
const COMPRESSIONS: Readonly<Record<KafkaOptions["compression"], kafkajs.CompressionTypes>> = { none: 0, gzip: 1 };

/** The refusals that one of the records is to blame for. */
const RECORD_REFUSED = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_TIMESTAMP"]);
/** INVALID_RECORD, which kafkajs does not know. */
const RECORD_REFUSED_WORDS = "Unknown error code 87";
/** The refusals that no retry changes. */
const NO_ENTRY = new Set([
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "INVALID_TOPIC_EXCEPTION",
  // it asks for no login, and we want one
  "ILLEGAL_SASL_STATE",
]);

/** What was wrong with the broker's certificate, by the codes of OpenSSL, and what to do about it. */
const BAD_CERTIFICATES: readonly (readonly [code: RegExp, words: string])[] = [
  [
    /^(?:SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT.*|CERT_UNTRUSTED)$/,
    "shows a certificate of an authority that we do not know (KAFKA_SSL_CA can name it)",
  ],
  [/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/, "shows a certificate whose time is not now"],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, "shows a certificate for other names (KAFKA_BROKERS must have one of them)"],
  [/^CERT_|^ERR_TLS_CERT/, "shows a certificate that cannot be used"],
];
/** What a broker says that does not like ours: TLS's alerts by name. */
const OURS_REFUSED =
  /^received fatal alert: (?:BadCertificate|UnsupportedCertificate|CertificateRevoked|CertificateExpired|CertificateUnknown|CertificateRequired|UnknownCA|AccessDenied)|alert (?:bad|unsupported|unknown) cert|certificate (?:required|unknown|expired|revoked)$/;

/** kafkajs calls all that happens during a login a failed login, also that the broker died meanwhile. */
const LOGIN_INTERRUPTED = /: (?:Closed connection|Connection |Not connected|The client was left|Request .* timed out)/;

/** What an error depends on besides itself. */
export interface Circumstances extends Pick<KafkaOptions, "brokers" | "topic" | "certificates"> {
  /** See {@link KafkaOptions.ssl}; default false. */
  readonly ssl?: boolean;
  /** See {@link KafkaOptions.sasl}. */
  readonly sasl?: KafkaLogin | undefined;
  /** Kafka has let us in before; default false. */
  readonly hasConnected?: boolean;
}

/** What a kafkajs error means for us. Exported for its test. */
export function sinkErrorOf(error: unknown, circumstances: Circumstances): SinkError {
  const { brokers, topic, hasConnected = false } = circumstances;
  const chain = chainOf(error);
  const innermost = chain.at(-1);
  const types = chain.map((each) => (each as { type?: unknown }).type);
  const is = (set: ReadonlySet<string>) => types.some((type) => typeof type === "string" && set.has(type));
  const where = brokers.join(",");
  const cause = { cause: error };
  const loginFailed = chain.find((each) => each.name === "KafkaJSSASLAuthenticationError");
  if (is(RECORD_REFUSED) || innermost?.message === RECORD_REFUSED_WORDS) {
    return new SinkError("drop", `Kafka refuses a record: ${innermost?.message}`, cause);
  }
  if (is(NO_ENTRY) || (loginFailed !== undefined && !LOGIN_INTERRUPTED.test(loginFailed.message))) {
    return new SinkError("fatal", `Kafka at ${where} refuses us (topic ${topic}): ${innermost?.message}`, cause);
  }
  const doubt = certificateTrouble(chain, circumstances);
  if (doubt !== undefined) {
    // at the start a person looks on; later it is the cluster's side that was changed, and will be mended there
    return new SinkError(hasConnected ? "retry" : "fatal", doubt, cause);
  }
  if (is(new Set(["UNKNOWN_TOPIC_OR_PARTITION"]))) {
    const command = `kafka-topics.sh --bootstrap-server ${brokers[0]} --create --topic ${topic} --partitions 1`;
    return new SinkError("retry", `Kafka at ${where} has no topic ${topic}; create it with: ${command}`, cause);
  }
  const words = innermost?.message ?? String(error);
  const named = chain.map((each) => (each as { broker?: unknown }).broker).find((broker) => typeof broker === "string");
  // kafkajs knows an IPv6 address by another name
  const own = brokers.map((broker) =>
    broker.replace(/^\[(.+)\]/, (_, address: string) => address.replaceAll(":", "-"))
  );
  if (!hasConnected && named !== undefined && !own.includes(named)) {
    const cure = "is that broker down? else its advertised.listeners must be an address that this program can reach";
    return new SinkError(
      "retry",
      `Kafka at ${where} advertises ${named}, which does not answer: ${words} (${cure})`,
      cause,
    );
  }
  const hint = hasConnected ? "" : hintFor(words, circumstances);
  return new SinkError("retry", `Kafka at ${where} cannot be used: ${words}${hint}`, cause);
}

/** A sentence, where the two sides do not take one another's certificates. */
function certificateTrouble(chain: readonly Error[], { brokers, certificates }: Circumstances): string | undefined {
  for (const each of chain.toReversed()) {
    const { code, broker } = each as { code?: unknown; broker?: unknown };
    const where = typeof broker === "string" ? broker : brokers.join(",");
    const words = each.message.replace(/^Connection error: /, "");
    const [, trouble] = typeof code === "string" ? BAD_CERTIFICATES.find(([bad]) => bad.test(code)) ?? [] : [];
    if (trouble !== undefined) return `Kafka at ${where} ${trouble}: ${words}`;
    if (!OURS_REFUSED.test(words)) continue;
    return certificates?.cert === undefined
      ? `Kafka at ${where} wants a certificate of ours (KAFKA_SSL_CERT and KAFKA_SSL_KEY): ${words}`
      : `Kafka at ${where} does not take our certificate (KAFKA_SSL_CERT): ${words}`;
  }
  return undefined;
}

/** What shows where nobody speaks TLS: it hangs up, or its answer is something else. */
const NO_TLS = /before secure TLS connection was established|InvalidContentType|wrong version number/;

/** A broker that hears the wrong language hangs up without a word. */
function hintFor(words: string, { ssl = false, sasl }: Circumstances): string {
  if (words === "Closed connection") {
    const wishes = [...ssl ? [] : ["KAFKA_SSL=true"], ...sasl === undefined ? ["a login (KAFKA_USERNAME)"] : []];
    return wishes.length === 0 ? "" : ` (does it want ${wishes.join(" or ")}?)`;
  }
  return ssl && NO_TLS.test(words) ? " (is it one for KAFKA_SSL=true?)" : "";
}

/** What a client tells besides its answers. */
interface ClientEvents {
  /** The broker wants nothing from us for so long, ms. */
  readonly onThrottle: (throttleMs: number) => void;
}

/** One kafkajs producer and the sockets under it, so that it can be left at any moment. */
class Client {
  readonly #kafka: kafkajs.Kafka;
  readonly #producer: kafkajs.Producer;
  readonly #sockets: KafkaSockets;

  constructor(
    { default: kafka }: { default: typeof kafkajs },
    options: KafkaOptions & ClientEvents,
    brokers: readonly string[],
  ) {
    const { clientId, ssl, certificates, sasl, log, requestTimeoutMs = REQUEST_TIMEOUT_MS } = options;
    this.#sockets = new KafkaSockets((socket) => {
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      options.onSocket?.(socket);
    });
    this.#kafka = new kafka.Kafka({
      clientId,
      brokers: brokers.map((broker) => this.#sockets.nameOf(broker)),
      connectionTimeout: Math.min(CONNECT_TIMEOUT_MS, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      retry: { retries: 0 },
      ssl: ssl && certificates !== undefined ? { ...certificates } : ssl,
      // kafkajs writes into it
      ...(sasl === undefined ? {} : { sasl: { ...sasl } as kafkajs.SASLOptions }),
      socketFactory: this.#sockets.factory,
      logCreator: () => (entry) => {
        const { message, throttleMs } = entry.log;
        if (typeof throttleMs === "number") options.onThrottle(throttleMs);
        else log.often("debug", "kafkajs", { namespace: entry.namespace, words: message });
      },
    });
    this.#producer = this.#kafka.producer({
      createPartitioner: kafka.Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      maxInFlightRequests: 1,
    });
  }

  async connect(): Promise<void> {
    await this.#producer.connect();
  }

  async send(record: kafkajs.ProducerRecord): Promise<void> {
    await this.#producer.send(record);
  }

  /** Whether brokers can be reached at the addresses that they advertise: the leaders of the topic, or any, without one. */
  async reach(topic?: string): Promise<void> {
    const admin = this.#kafka.admin();
    await admin.connect();
    try {
      await (topic === undefined ? admin.describeCluster() : admin.fetchTopicOffsets(topic));
    } finally {
      await admin.disconnect();
    }
  }

  /** Closes what is open. A request that is on its way fails now: kafkajs alone would wait for its answer before it lets go. */
  async leave(): Promise<void> {
    const closed = this.#sockets.leave();
    await this.#producer.disconnect();
    await closed;
  }
}

/** The producer of one topic. A topic that is missing must not spoil the metadata of the other, so each has its own client. */
class TopicProducer {
  readonly #options: KafkaOptions & ClientEvents;
  readonly #topic: string;
  #client: Client | undefined;
  #clients = 0;
  #isQuick = false;
  #hasConnected = false;
  readonly #leaving = new Set<Promise<void>>();

  constructor(options: KafkaOptions & ClientEvents, topic: string) {
    this.#options = options;
    this.#topic = topic;
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#client !== undefined) return;
    const { brokers, encoder = "own", log } = this.#options;
    await mendKafkajs();
    if (encoder === "own") {
      const problem = await speedUpKafkajs();
      this.#isQuick = problem === undefined;
      if (problem !== undefined) {
        log.often("warn", "Requests to Kafka are written by kafkajs, slowly", { why: problem });
      }
    }
    // named imports of its values type-check and are missing at run time
    const kafka = await import("kafkajs");
    // kafkajs would try the others only in retries of its own, and a fresh client begins with the first again
    const first = this.#clients++ % brokers.length;
    const client = new Client(kafka, this.#options, [...brokers.slice(first), ...brokers.slice(0, first)]);
    this.#client = client;
    await this.#attempt(async () => {
      await client.connect();
      try {
        // asks for the topic's metadata and sends nothing: a missing topic shows now
        await client.send({ topic: this.#topic, messages: [] });
      } catch (error) {
        // where no broker can be reached, nobody can create the topic either: that comes first
        if (!this.#hasConnected) await client.reach();
        throw error;
      }
      if (!this.#hasConnected) await client.reach(this.#topic);
    }, signal);
    this.#hasConnected = true;
  }

  async send(messages: PlainMessage[], signal: AbortSignal): Promise<void> {
    await this.connect(signal);
    const client = this.#client;
    if (client === undefined) throw new SinkError("retry", "Kafka was disconnected meanwhile");
    const { compression, requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options;
    await this.#attempt(async () => {
      await client.send({
        topic: this.#topic,
        acks: -1,
        timeout: requestTimeoutMs,
        compression: COMPRESSIONS[compression],
        messages: this.#isQuick ? bundle(messages) : messages,
      });
    }, signal);
  }

  async close(): Promise<void> {
    this.#leave();
    await Promise.all(this.#leaving);
  }

  /** Runs one step under the signal; whatever fails, the next attempt has a fresh client, unless a record was to blame. */
  async #attempt(step: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      signal.throwIfAborted();
      await unlessAborted(step(), signal);
    } catch (error) {
      if (signal.aborted) {
        this.#leave();
        throw signal.reason;
      }
      const sinkError = sinkErrorOf(error, {
        ...this.#options,
        topic: this.#topic,
        hasConnected: this.#hasConnected,
      });
      if (sinkError.kind !== "drop") this.#leave();
      throw sinkError;
    }
  }

  #leave(): void {
    const leaving = this.#client?.leave().catch(() => {});
    this.#client = undefined;
    if (leaving === undefined) return;
    this.#leaving.add(leaving);
    leaving.finally(() => this.#leaving.delete(leaving));
  }
}

/** Halves what is too large for one request. A single message that is refused rejects: a person may yet change the topic. */
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

/** Kafka. */
export class KafkaSink implements Sink {
  /** See {@link Sink.name}. */
  readonly name = "kafka";
  readonly #options: KafkaOptions;
  readonly #ticks: TopicProducer;
  readonly #gaps: TopicProducer | undefined;
  #throttle: { readonly until: number; readonly ms: number } | undefined;

  /** Connects only when asked to. */
  constructor(options: KafkaOptions) {
    this.#options = options;
    const own = { ...options, onThrottle: (ms: number) => this.#onThrottle(ms) };
    this.#ticks = new TopicProducer(own, options.topic);
    this.#gaps = options.gapsTopic === "" ? undefined : new TopicProducer(own, options.gapsTopic);
  }

  /** See {@link Sink.throttled}. */
  get throttled(): string | undefined {
    if (this.#throttle === undefined || systemClock.elapsed() > this.#throttle.until + THROTTLED_MS) return undefined;
    const seconds = (this.#throttle.ms / 1000).toFixed(1);
    return `a quota of Kafka lets us send less than we have (the last answer made us wait ${seconds} s)`;
  }

  #onThrottle(ms: number): void {
    this.#throttle = { until: systemClock.elapsed() + ms, ms };
    this.#options.log.often("warn", "Kafka throttles us by a quota", { waitMs: ms, clientId: this.#options.clientId });
  }

  /** See {@link Sink.connect}: Kafka answers and has the topic for ticks. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#ticks.connect(signal);
  }

  /** See {@link Sink.write}. One request, acknowledged by all in-sync replicas. */
  async write(batch: readonly FeedEvent[], signal: AbortSignal): Promise<void> {
    const messages: PlainMessage[] = [];
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
