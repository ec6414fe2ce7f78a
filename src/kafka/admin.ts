// Looks into Kafka and changes nothing there: topics, offsets, groups, and records without a group of its own. Beside
// the sink the one door to kafkajs 2.2.4; reading without a group takes its inner client, as the library itself offers
// none.

import type kafkajs from "kafkajs";
import { unlessAborted } from "../core/abort.ts";
import { chainOf, SinkError } from "../core/errors.ts";
import { mendKafkajs } from "./kafkajs_fix.ts";
import { type Certificates, type KafkaLogin, sinkErrorOf } from "./sink.ts";
import { KafkaSockets } from "./sockets.ts";

/** Where Kafka is. */
export interface KafkaPlace {
  /** `host:port` each. */
  readonly brokers: readonly string[];
  /** Encrypt. */
  readonly ssl: boolean;
  /** For that; undefined: the well-known authorities. */
  readonly certificates?: Certificates | undefined;
  /** Undefined: no login. */
  readonly sasl?: KafkaLogin | undefined;
}

/** One topic. */
export interface TopicView {
  /** Each with its leader (-1: none) and how many copies there are and are up to date. */
  readonly partitions: readonly {
    readonly id: number;
    readonly leader: number;
    readonly copies: number;
    readonly inSync: number;
  }[];
  /** Its settings; undefined: we may not see them. */
  readonly config: Readonly<Record<string, string>> | undefined;
}

/** From where to where a partition has records: `low` included, `high` excluded. */
export interface Bounds {
  /** From 0. */
  readonly partition: number;
  /** The oldest record. */
  readonly low: number;
  /** After the newest one. */
  readonly high: number;
}

/** A partition in which a group stands beyond the end: it waits for a record that is not there. */
export interface Beyond {
  /** From 0. */
  readonly partition: number;
  /** The next record that the group wants. */
  readonly place: number;
  /** After the newest record that there is. */
  readonly end: number;
}

/** Partitions in which a group stands beyond the end. The bounds must be asked for after the places. */
export function beyondEnd(bounds: readonly Bounds[], committed: GroupView["committed"]): Beyond[] {
  return bounds.flatMap(({ partition, high }) => {
    const place = committed.get(partition);
    return place !== undefined && place > high ? [{ partition, place, end: high }] : [];
  });
}

/** `group telegraf waits at offset 5000 of partition 0 of ticker_batch, which ends at 300`, of all of them. */
export function beyondText(group: string, topic: string, beyond: readonly Beyond[]): string {
  const [first] = beyond;
  const others = beyond.length - 1;
  const more = others === 0 ? "" : `, and ${others} more ${others === 1 ? "partition is" : "partitions are"} so`;
  return `group ${group} waits at offset ${first?.place} of partition ${first?.partition} of ${topic}, which ends at ` +
    `${first?.end}${more}`;
}

/** Why, and what it means; tried with Telegraf 1.39.3 on 29 November 2026. */
export const BEYOND_MEANS: string =
  "the topic was deleted and made again, or lost its end, while the group kept its place: a Telegraf that starts once " +
  "the topic has grown past that place skips all that lies before it, and until then none can note how far it has read";

/** How to make these groups begin with the oldest record: each command is for a stopped Telegraf. */
export function resetCommands(
  places: readonly { readonly group: string; readonly topic: string }[],
  isStack: boolean,
): string {
  const script = isStack
    ? "docker compose exec broker /opt/kafka/bin/kafka-consumer-groups.sh --bootstrap-server broker:19092"
    : "kafka-consumer-groups.sh --bootstrap-server ...";
  const commands = places.map(({ group, topic }) =>
    `${script} --group ${group} --topic ${topic} --reset-offsets --to-earliest --execute`
  );
  return [isStack ? "docker compose stop telegraf" : "stop Telegraf", ...commands]
    .concat(isStack ? "deno task stack" : "start Telegraf").join("; ");
}

/** A consumer group and its place in a topic. */
export interface GroupView {
  /** As Kafka says: `Stable`, `Empty`, `Dead`, `PreparingRebalance`, ... */
  readonly state: string;
  /** How many read. */
  readonly members: number;
  /** The next record to read, by partition; undefined: it has no place yet. */
  readonly committed: ReadonlyMap<number, number | undefined>;
}

/** A record as it stands in Kafka. */
export interface TopicRecord {
  /** From 0. */
  readonly partition: number;
  /** Within the partition. */
  readonly offset: number;
  /** ms since the epoch. */
  readonly timestamp: number;
  /** Null: none. */
  readonly value: Uint8Array | null;
  /** Of a name that stands there twice, the last. */
  header(name: string): string | undefined;
}

/** Records of several partitions, from `from` on, included, up to `to`, excluded. */
export interface Stretch {
  /** From 0. */
  readonly partition: number;
  /** Included. */
  readonly from: number;
  /** Excluded. */
  readonly to: number;
}

interface Fetched {
  readonly offset: string;
  readonly timestamp: string;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, Uint8Array | Uint8Array[] | undefined>>;
  readonly isControlRecord: boolean;
}

/** What is used of kafkajs's inner client. */
interface InnerCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, number[]>>;
  findBroker(wish: { nodeId: string }): Promise<{
    fetch(wish: unknown): Promise<{
      responses: readonly { partitions: readonly { partition: number; messages: readonly Fetched[] }[] }[];
    }>;
  }>;
}

/** Until a broker takes the connection, ms; a whole look takes longer. */
const CONNECT_MS = 3000;
/** Until a broker answers a request, ms. */
const REQUEST_MS = 10_000;
/** One answer of a partition, bytes: small enough that the garbage of many records does not pile up. */
const FETCH_BYTES = 262_144;
/** Answers without a record, though there should be some, before it counts as a failure. */
const EMPTY_ANSWERS = 5;
/** What Kafka says while nobody keeps the groups. */
const COORDINATOR_AWAY = new Set([
  "KafkaJSGroupCoordinatorNotFound",
  "GROUP_COORDINATOR_NOT_AVAILABLE",
  "GROUP_LOAD_IN_PROGRESS",
  "NOT_COORDINATOR_FOR_GROUP",
]);
/** How often a group is asked for meanwhile, and how far apart, ms. */
const GROUP_ATTEMPTS = 10, GROUP_WAIT_MS = 300;
/** Of `RESOURCE_TYPE` in kafkajs, which is missing at run time as a named import. */
const TOPIC_RESOURCE = 2;

const decoder = new TextDecoder();

/** A connection that only looks. Each question throws a SinkError with a sentence where it has no answer. */
export class KafkaView implements AsyncDisposable {
  readonly #place: KafkaPlace;
  readonly #sockets = new KafkaSockets();
  readonly #kafka: kafkajs.Kafka;
  readonly #admin: kafkajs.Admin;
  #cluster: InnerCluster | undefined;
  #isConnected = false;

  private constructor({ default: kafka }: { default: typeof kafkajs }, place: KafkaPlace, brokers: readonly string[]) {
    this.#place = place;
    const { ssl, certificates, sasl } = place;
    this.#kafka = new kafka.Kafka({
      clientId: "doctor",
      brokers: brokers.map((broker) => this.#sockets.nameOf(broker)),
      connectionTimeout: CONNECT_MS,
      authenticationTimeout: CONNECT_MS,
      requestTimeout: REQUEST_MS,
      retry: { retries: 0 },
      ssl: ssl && certificates !== undefined ? { ...certificates } : ssl,
      // kafkajs writes into it
      ...(sasl === undefined ? {} : { sasl: { ...sasl } as kafkajs.SASLOptions }),
      socketFactory: this.#sockets.factory,
      logCreator: () => () => {},
    });
    this.#admin = this.#kafka.admin();
  }

  /** Connects to the first broker that answers and lets us in. Throws a SinkError that says why none did. */
  static async open(place: KafkaPlace, signal: AbortSignal): Promise<KafkaView> {
    await mendKafkajs();
    const kafka = await import("kafkajs");
    let failure: unknown = new SinkError("retry", "No broker is named");
    for (const [at, broker] of place.brokers.entries()) {
      signal.throwIfAborted();
      const view = new KafkaView(kafka, place, [broker, ...place.brokers.slice(0, at), ...place.brokers.slice(at + 1)]);
      try {
        await view.#ask("", async () => {
          await view.#admin.connect();
          // until it knows the brokers it finds none of them
          await view.#admin.describeCluster();
        }, signal);
        view.#isConnected = true;
        return view;
      } catch (error) {
        await view[Symbol.asyncDispose]();
        signal.throwIfAborted();
        failure = error;
        // another broker would say the same
        if (error instanceof SinkError && error.kind === "fatal") break;
      }
    }
    throw failure;
  }

  /** How many brokers there are. */
  async brokers(signal: AbortSignal): Promise<number> {
    return (await this.#ask("", () => this.#admin.describeCluster(), signal)).brokers.length;
  }

  /** A topic with its settings; undefined: there is none of that name. */
  async topic(name: string, signal: AbortSignal): Promise<TopicView | undefined> {
    const found = await this.#ask(name, async () => {
      try {
        return (await this.#admin.fetchTopicMetadata({ topics: [name] })).topics[0];
      } catch (error) {
        if (typesOf(error).includes("UNKNOWN_TOPIC_OR_PARTITION")) return undefined;
        throw error;
      }
    }, signal);
    if (found === undefined) return undefined;
    return {
      partitions: found.partitions.map(({ partitionId, leader, replicas, isr }) => (
        { id: partitionId, leader, copies: replicas.length, inSync: isr.length }
      )),
      config: await this.#config(name, signal),
    };
  }

  async #config(name: string, signal: AbortSignal): Promise<Record<string, string> | undefined> {
    return await this.#ask(name, async () => {
      try {
        const { resources } = await this.#admin.describeConfigs({
          includeSynonyms: false,
          resources: [{ type: TOPIC_RESOURCE, name }],
        });
        return Object.fromEntries(
          (resources[0]?.configEntries ?? []).map(({ configName, configValue }) => [configName, configValue]),
        );
      } catch (error) {
        if (typesOf(error).some((type) => /AUTHORIZATION/.test(type))) return undefined;
        throw error;
      }
    }, signal);
  }

  /** Of each partition. */
  async bounds(topic: string, signal: AbortSignal): Promise<Bounds[]> {
    const offsets = await this.#ask(topic, () => this.#admin.fetchTopicOffsets(topic), signal);
    return offsets.map(({ partition, low, high }) => ({ partition, low: Number(low), high: Number(high) }))
      .sort((a, b) => a.partition - b.partition);
  }

  /** By partition, the first record that is not older than this (ms); the end of the partition where there is none. */
  async offsetsAt(topic: string, ms: number, signal: AbortSignal): Promise<Map<number, number>> {
    const offsets = await this.#ask(topic, () => this.#admin.fetchTopicOffsetsByTimestamp(topic, ms), signal);
    return new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
  }

  /** A group; undefined: we may not see it. */
  async group(groupId: string, topic: string, signal: AbortSignal): Promise<GroupView | undefined> {
    return await this.#ask(topic, async () => {
      for (let attempt = 1;; attempt++) {
        try {
          const { groups: [group] } = await this.#admin.describeGroups([groupId]);
          const [offsets] = await this.#admin.fetchOffsets({ groupId, topics: [topic] });
          return {
            state: group?.state ?? "Dead",
            members: group?.members.length ?? 0,
            committed: new Map(
              (offsets?.partitions ?? []).map((
                { partition, offset },
              ) => [partition, Number(offset) < 0 ? undefined : Number(offset)]),
            ),
          };
        } catch (error) {
          const types = typesOf(error);
          if (types.includes("GROUP_AUTHORIZATION_FAILED")) return undefined;
          if (!types.some((type) => COORDINATOR_AWAY.has(type))) throw error;
          // where no group was ever asked for, Kafka makes the place for them now
          if (attempt === GROUP_ATTEMPTS) return { state: "Dead", members: 0, committed: new Map() };
          await new Promise((resolve) => setTimeout(resolve, GROUP_WAIT_MS));
        }
      }
    }, signal);
  }

  /** All records of these stretches, a few thousand at a time; each partition in its order. */
  async *read(topic: string, stretches: readonly Stretch[], signal: AbortSignal): AsyncGenerator<TopicRecord[]> {
    const cluster = await this.#ask(topic, () => this.#inner(topic), signal);
    const next = new Map<number, { from: number; readonly to: number; empty: number }>();
    for (const { partition, from, to } of stretches) if (from < to) next.set(partition, { from, to, empty: 0 });
    while (next.size > 0) {
      const leaders = cluster.findLeaderForPartitions(topic, [...next.keys()]);
      for (const [nodeId, partitions] of Object.entries(leaders)) {
        const answer = await this.#ask(topic, async () => {
          const broker = await cluster.findBroker({ nodeId });
          return await broker.fetch({
            replicaId: -1,
            isolationLevel: 1,
            maxWaitTime: 100,
            minBytes: 1,
            maxBytes: FETCH_BYTES * 4,
            topics: [{
              topic,
              partitions: partitions.map((partition) => (
                { partition, fetchOffset: String(next.get(partition)?.from ?? 0), maxBytes: FETCH_BYTES }
              )),
            }],
          });
        }, signal);
        for (const { partition, messages } of answer.responses.flatMap(({ partitions }) => partitions)) {
          const place = next.get(partition);
          if (place === undefined) continue;
          const records = recordsOf(partition, messages, place);
          const last = messages.at(-1);
          const reached = last === undefined ? place.from : Math.max(place.from, Number(last.offset) + 1);
          place.empty = reached > place.from ? 0 : place.empty + 1;
          place.from = reached;
          if (place.from >= place.to) next.delete(partition);
          else if (place.empty >= EMPTY_ANSWERS) {
            throw new SinkError(
              "retry",
              `Kafka gives no record of ${topic} from offset ${place.from} of partition ${partition} on`,
            );
          }
          if (records.length > 0) yield records;
        }
      }
    }
  }

  /** Lets go of Kafka, whatever it does. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#sockets.leave();
    await Promise.all([this.#admin.disconnect().catch(() => {}), this.#cluster?.disconnect().catch(() => {})]);
    await closed;
  }

  async #inner(topic: string): Promise<InnerCluster> {
    if (this.#cluster === undefined) {
      const create = Object.getOwnPropertySymbols(this.#kafka)
        .find(({ description }) => description === "private:Kafka:createCluster");
      const inner = create && (this.#kafka as unknown as Record<symbol, unknown>)[create];
      if (typeof inner !== "function") throw new TypeError("kafkajs is not 2.2.4, whose inner client this needs");
      this.#cluster = inner({ allowAutoTopicCreation: false, metadataMaxAge: 300_000 }) as InnerCluster;
      await this.#cluster.connect();
    }
    await this.#cluster.addTargetTopic(topic);
    return this.#cluster;
  }

  /** Runs one step under the signal. */
  async #ask<T>(topic: string, step: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      return await unlessAborted(step(), signal);
    } catch (error) {
      if (error instanceof SinkError || error instanceof TypeError) throw error;
      signal.throwIfAborted();
      throw sinkErrorOf(error, { ...this.#circumstances(), topic, hasConnected: this.#isConnected });
    }
  }

  #circumstances() {
    const { brokers, ssl, certificates, sasl } = this.#place;
    return { brokers, ssl, sasl, ...(certificates === undefined ? {} : { certificates }) };
  }
}

function recordsOf(
  partition: number,
  messages: readonly Fetched[],
  { from, to }: { readonly from: number; readonly to: number },
): TopicRecord[] {
  const records: TopicRecord[] = [];
  for (const { offset: text, timestamp, value, headers, isControlRecord } of messages) {
    const offset = Number(text);
    // a batch is given whole, though it begins before the place that was asked for
    if (offset < from || offset >= to || isControlRecord) continue;
    records.push({
      partition,
      offset,
      timestamp: Number(timestamp),
      value,
      header(name) {
        const found = headers[name];
        const bytes = Array.isArray(found) ? found.at(-1) : found;
        return bytes === undefined ? undefined : decoder.decode(bytes);
      },
    });
  }
  return records;
}

/** What Kafka calls the error and each of its causes; where it has no word for it, kafkajs's. */
function typesOf(error: unknown): string[] {
  return chainOf(error).map((each) => String((each as { type?: unknown }).type ?? each.name));
}
