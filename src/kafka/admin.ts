// Reads from Kafka without changing anything: topics, offsets, consumer groups, and records without joining a group.

import type kafkajs from "kafkajs";
import { unlessAborted } from "../core/abort.ts";
import { SinkError } from "../core/errors.ts";
import { KafkaClient, type KafkaConnection } from "./connection.ts";
import { sinkErrorOf, typesOf } from "./errors.ts";
import { type FetchedRecord, type InnerClient, innerClientOf } from "./kafkajs_internals.ts";

/** How doctor and audit reach Kafka. */
export type KafkaPlace = KafkaConnection;

/** A topic. */
export interface TopicView {
  /** For each partition its leader (-1: none), the number of replicas, and how many of them are in sync. */
  readonly partitions: readonly {
    readonly id: number;
    readonly leader: number;
    readonly copies: number;
    readonly inSync: number;
  }[];
  /** Its settings; undefined if we have no right to read them. */
  readonly config: Readonly<Record<string, string>> | undefined;
}

/** The offsets of a partition. */
export interface Bounds {
  /** From 0. */
  readonly partition: number;
  /** Offset of the oldest record. */
  readonly low: number;
  /** Offset after the newest record. */
  readonly high: number;
}

/** A partition in which the committed offset of a group is beyond the end: the group waits for a record that does not exist yet. */
export interface Beyond {
  /** From 0. */
  readonly partition: number;
  /** The committed offset: the next record that the group will read. */
  readonly place: number;
  /** Offset after the newest record. */
  readonly end: number;
}

/** Partitions in which the committed offset is beyond the end. The bounds must be newer than the committed offsets. */
export function beyondEnd(bounds: readonly Bounds[], committed: GroupView["committed"]): Beyond[] {
  return bounds.flatMap(({ partition, high }) => {
    const place = committed.get(partition);
    return place !== undefined && place > high ? [{ partition, place, end: high }] : [];
  });
}

/** `group telegraf waits at offset 5000 of partition 0 of ticker_batch, which ends at 300`: the first one, and how many more. */
export function beyondText(group: string, topic: string, beyond: readonly Beyond[]): string {
  const [first] = beyond;
  const others = beyond.length - 1;
  const more = others === 0
    ? ""
    : ` (and beyond the end of ${others} more ${others === 1 ? "partition" : "partitions"})`;
  return `group ${group} waits at offset ${first?.place} of partition ${first?.partition} of ${topic}, which ends at ` +
    `${first?.end}${more}`;
}

/** The cause and the consequence of such an offset; observed with Telegraf 1.39.3 on 29 November 2026. */
export const BEYOND_MEANS: string =
  "the topic was deleted and created again, or lost its newest records, but the group kept its offset. If Telegraf starts " +
  "after the topic has grown past that offset, it skips everything before it; until then no group member can commit an offset";

/** The commands that make these groups start at the oldest record. Telegraf must be stopped meanwhile. */
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

/** A consumer group and its offsets in one topic. */
export interface GroupView {
  /** Kafka's name of the state: `Stable`, `Empty`, `Dead`, `PreparingRebalance`, ... */
  readonly state: string;
  /** Number of consumers. */
  readonly members: number;
  /** The next record to read, by partition; undefined: nothing committed yet. */
  readonly committed: ReadonlyMap<number, number | undefined>;
}

/** A record in Kafka. */
export interface TopicRecord {
  /** From 0. */
  readonly partition: number;
  /** Within the partition. */
  readonly offset: number;
  /** ms since the epoch. */
  readonly timestamp: number;
  /** Null: a tombstone. */
  readonly value: Uint8Array | null;
  /** The last value of a header, if it occurs more than once. */
  header(name: string): string | undefined;
}

/** A range of offsets of one partition. */
export interface Stretch {
  /** From 0. */
  readonly partition: number;
  /** Included. */
  readonly from: number;
  /** Excluded. */
  readonly to: number;
}

/** How long a broker may take to accept a connection, ms. */
const CONNECT_MS = 3000;
/** How long a broker may take to answer a request, ms. */
const REQUEST_MS = 10_000;
/** Most bytes of a partition in one response: small, so that the garbage of many records does not pile up. */
const FETCH_BYTES = 262_144;
/** This many responses without a record, although there should be some, count as a failure. */
const EMPTY_ANSWERS = 5;
/** Kafka's errors while no broker manages the groups. */
const COORDINATOR_AWAY = new Set([
  "KafkaJSGroupCoordinatorNotFound",
  "GROUP_COORDINATOR_NOT_AVAILABLE",
  "GROUP_LOAD_IN_PROGRESS",
  "NOT_COORDINATOR_FOR_GROUP",
]);
/** Attempts to read a group meanwhile, and the pause between them, ms. */
const GROUP_ATTEMPTS = 10, GROUP_WAIT_MS = 300;
/** A value of `RESOURCE_TYPE` in kafkajs, whose named imports are missing at run time. */
const TOPIC_RESOURCE = 2;

const decoder = new TextDecoder();

/** A connection to Kafka that only reads. All methods throw a SinkError whose message says why there is no answer. */
export class KafkaView implements AsyncDisposable {
  readonly #connection: KafkaConnection;
  readonly #client: KafkaClient;
  readonly #admin: kafkajs.Admin;
  #inner: InnerClient | undefined;
  #isConnected = false;

  private constructor(connection: KafkaConnection, client: KafkaClient) {
    this.#connection = connection;
    this.#client = client;
    this.#admin = client.kafka.admin();
  }

  /** Connects to the first broker that answers and accepts the login. Throws a SinkError that says why none did. */
  static async open(connection: KafkaConnection, signal: AbortSignal): Promise<KafkaView> {
    let failure: unknown = new SinkError("retry", "Cannot connect to Kafka: expected at least one broker, got none");
    for (const broker of connection.brokers) {
      signal.throwIfAborted();
      const brokers = [broker, ...connection.brokers.filter((other) => other !== broker)];
      const view = new KafkaView(
        connection,
        await KafkaClient.create({ ...connection, brokers }, {
          clientId: "doctor",
          connectionTimeout: CONNECT_MS,
          authenticationTimeout: CONNECT_MS,
          requestTimeout: REQUEST_MS,
          logCreator: () => () => {},
        }),
      );
      try {
        await view.#request("", async () => {
          await view.#admin.connect();
          // makes kafkajs learn the addresses of all brokers
          await view.#admin.describeCluster();
        }, signal);
        view.#isConnected = true;
        return view;
      } catch (error) {
        await view[Symbol.asyncDispose]();
        signal.throwIfAborted();
        failure = error;
        // the other brokers would say the same
        if (error instanceof SinkError && error.kind === "fatal") break;
      }
    }
    throw failure;
  }

  /** The number of brokers. */
  async brokers(signal: AbortSignal): Promise<number> {
    return (await this.#request("", () => this.#admin.describeCluster(), signal)).brokers.length;
  }

  /** A topic with its settings; undefined if it does not exist. */
  async topic(name: string, signal: AbortSignal): Promise<TopicView | undefined> {
    const found = await this.#request(name, async () => {
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
    return await this.#request(name, async () => {
      try {
        const { resources } = await this.#admin.describeConfigs({
          includeSynonyms: false,
          resources: [{ type: TOPIC_RESOURCE, name }],
        });
        return Object.fromEntries(
          (resources[0]?.configEntries ?? []).map(({ configName, configValue }) => [configName, configValue]),
        );
      } catch (error) {
        if (typesOf(error).some((type) => type.includes("AUTHORIZATION"))) return undefined;
        throw error;
      }
    }, signal);
  }

  /** The bounds of each partition, in order. */
  async bounds(topic: string, signal: AbortSignal): Promise<Bounds[]> {
    const offsets = await this.#request(topic, () => this.#admin.fetchTopicOffsets(topic), signal);
    return offsets.map(({ partition, low, high }) => ({ partition, low: Number(low), high: Number(high) }))
      .sort((a, b) => a.partition - b.partition);
  }

  /** By partition, the offset of the first record that is not older than this (ms); the end of the partition if there is none. */
  async offsetsAt(topic: string, ms: number, signal: AbortSignal): Promise<Map<number, number>> {
    const offsets = await this.#request(topic, () => this.#admin.fetchTopicOffsetsByTimestamp(topic, ms), signal);
    return new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
  }

  /** A consumer group; undefined if we have no right to see it. */
  async group(groupId: string, topic: string, signal: AbortSignal): Promise<GroupView | undefined> {
    return await this.#request(topic, async () => {
      for (let attempt = 1;; attempt++) {
        try {
          const { groups: [group] } = await this.#admin.describeGroups([groupId]);
          const [offsets] = await this.#admin.fetchOffsets({ groupId, topics: [topic] });
          return {
            state: group?.state ?? "Dead",
            members: group?.members.length ?? 0,
            committed: new Map(
              offsets?.partitions.map(({ partition, offset }) => {
                const next = Number(offset);
                return [partition, next < 0 ? undefined : next];
              }),
            ),
          };
        } catch (error) {
          const types = typesOf(error);
          if (types.includes("GROUP_AUTHORIZATION_FAILED")) return undefined;
          if (!types.some((type) => COORDINATOR_AWAY.has(type))) throw error;
          // the first request for a group makes Kafka create its topic for offsets, which takes a moment
          if (attempt === GROUP_ATTEMPTS) return { state: "Dead", members: 0, committed: new Map() };
          await new Promise((resolve) => setTimeout(resolve, GROUP_WAIT_MS));
        }
      }
    }, signal);
  }

  /** All records in these ranges, a few thousand at a time; each partition in order. */
  async *read(topic: string, ranges: readonly Stretch[], signal: AbortSignal): AsyncGenerator<TopicRecord[]> {
    const cluster = await this.#request(topic, () => this.#innerClient(topic), signal);
    const left = new Map<number, { from: number; readonly to: number; empty: number }>();
    for (const { partition, from, to } of ranges) if (from < to) left.set(partition, { from, to, empty: 0 });
    while (left.size > 0) {
      const leaders = cluster.findLeaderForPartitions(topic, [...left.keys()]);
      for (const [nodeId, partitions] of Object.entries(leaders)) {
        const { responses } = await this.#request(topic, async () => {
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
                { partition, fetchOffset: String(left.get(partition)?.from ?? 0), maxBytes: FETCH_BYTES }
              )),
            }],
          });
        }, signal);
        for (const { partition, messages } of responses.flatMap(({ partitions }) => partitions)) {
          const range = left.get(partition);
          if (range === undefined) continue;
          const records = recordsOf(partition, messages, range);
          const reached = Math.max(range.from, Number(messages.at(-1)?.offset ?? -1) + 1);
          range.empty = reached > range.from ? 0 : range.empty + 1;
          range.from = reached;
          if (range.from >= range.to) left.delete(partition);
          else if (range.empty >= EMPTY_ANSWERS) {
            throw new SinkError(
              "retry",
              `Kafka returned no records of ${topic} from offset ${range.from} of partition ${partition}`,
            );
          }
          if (records.length > 0) yield records;
        }
      }
    }
  }

  /** Disconnects, also while requests are on their way. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#client.close();
    await Promise.all([this.#admin.disconnect().catch(() => {}), this.#inner?.disconnect().catch(() => {})]);
    await closed;
  }

  async #innerClient(topic: string): Promise<InnerClient> {
    if (this.#inner === undefined) {
      this.#inner = innerClientOf(this.#client.kafka);
      await this.#inner.connect();
    }
    await this.#inner.addTargetTopic(topic);
    return this.#inner;
  }

  /** Runs one step until the signal aborts. */
  async #request<T>(topic: string, step: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      return await unlessAborted(step(), signal);
    } catch (error) {
      if (error instanceof SinkError || error instanceof TypeError) throw error;
      signal.throwIfAborted();
      throw sinkErrorOf(error, { ...this.#connection, topic, hasConnected: this.#isConnected });
    }
  }
}

function recordsOf(
  partition: number,
  messages: readonly FetchedRecord[],
  { from, to }: { readonly from: number; readonly to: number },
): TopicRecord[] {
  const records: TopicRecord[] = [];
  for (const { offset: text, timestamp, value, headers, isControlRecord } of messages) {
    const offset = Number(text);
    // Kafka returns whole batches, which may begin before the requested offset
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
