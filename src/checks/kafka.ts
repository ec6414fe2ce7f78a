// The stages in Kafka: the connection and login, the topics and their settings, the newest record of each product, and how far
// Telegraf has read.

import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { SinkError } from "../core/errors.ts";
import { parseRecord } from "../core/record.ts";
import {
  type Beyond,
  BEYOND_MEANS,
  beyondEnd,
  beyondText,
  type Bounds,
  type GroupView,
  type KafkaPlace,
  KafkaView,
  resetCommands,
  type TopicView,
} from "../kafka/admin.ts";
import { AHEAD_SECONDS, briefly, checkFreshness, type Expected, type Newest } from "./freshness.ts";
import { type Finding, ok, Problem } from "./stage.ts";

/**
 * Kafka answers and accepts the login.
 *
 * @param onOpen takes the connection, and closes it later
 */
export async function checkKafka(
  kafka: KafkaPlace,
  onOpen: (view: KafkaView) => void,
  signal: AbortSignal,
): Promise<Finding> {
  const since = systemClock.elapsed();
  try {
    const view = await KafkaView.open(kafka, signal);
    onOpen(view);
    const brokers = await view.brokers(signal);
    const login = kafka.sasl === undefined ? "without a login" : `logged in with ${kafka.sasl.mechanism}`;
    return ok(
      `${kafka.brokers.join(",")} answers after ${Math.round(systemClock.elapsed() - since)} ms, ${
        count(brokers, "broker")
      }, ${login}`,
      { brokers },
    );
  } catch (error) {
    if (!(error instanceof SinkError)) throw error;
    if (error.kind === "fatal") {
      throw new Problem(
        error.message,
        "Kafka is running but does not accept the login or the certificates",
        "correct KAFKA_USERNAME, KAFKA_PASSWORD, KAFKA_SASL_MECHANISM, KAFKA_SSL or KAFKA_SSL_CA; docs/managed-kafka.md",
      );
    }
    throw new Problem(
      error.message,
      "Kafka is not running, has another address, or advertises an address that cannot be reached from here",
      "start Kafka (the stack: deno task stack:status, deno task stack:logs broker); check KAFKA_BROKERS and the broker's " +
        "advertised.listeners",
    );
  }
}

/** The topics exist, and their settings lose no records. */
export async function checkTopics(view: KafkaView, names: readonly string[], signal: AbortSignal): Promise<Finding> {
  const brokers = await view.brokers(signal);
  const words: string[] = [];
  const remarks: string[] = [];
  const facts: Record<string, unknown> = {};
  for (const name of names) {
    const topic = await view.topic(name, signal);
    if (topic === undefined) {
      throw new Problem(
        `there is no topic ${name}`,
        "it was never created, or it was deleted; the broker does not create topics automatically",
        `the stack: deno task stack; otherwise kafka-topics.sh --bootstrap-server ... --create --topic ${name} --partitions 1`,
      );
    }
    refuseBadTopic(name, topic);
    facts[name] = topic;
    const copies = Math.min(...topic.partitions.map((each) => each.copies));
    words.push(
      `${name}: ${count(topic.partitions.length, "partition")}, ${count(copies, "copy", "copies")}, keeps ${
        keptFor(topic)
      }`,
    );
    if (topic.config === undefined) remarks.push(`the settings of ${name} cannot be read with this login`);
    const behind = topic.partitions.filter(({ inSync, copies }) => inSync < copies).length;
    if (behind > 0) remarks.push(`${count(behind, "partition")} of ${name} without all copies up to date`);
    const minInSync = minInSyncOf(topic);
    if (copies === 1 && brokers > 1) {
      remarks.push(`${name} has one copy on ${brokers} brokers: a failed disk loses records`);
    }
    if (copies > 1 && minInSync === copies) {
      remarks.push(`${name} accepts no records while any broker is down (min.insync.replicas ${minInSync})`);
    }
    if (copies > 1 && minInSync === 1) {
      remarks.push(`${name} acknowledges records that only one broker has (min.insync.replicas 1)`);
    }
  }
  return ok([...words, ...remarks].join("; "), facts);
}

const HOUR_MS = 3_600_000;

/** Throws a Problem if the topic takes no records or loses them. */
function refuseBadTopic(name: string, topic: TopicView): void {
  const { partitions, config } = topic;
  const alter = (setting: string) =>
    `kafka-configs.sh --bootstrap-server ... --alter --entity-type topics --entity-name ${name} --add-config ${setting}`;
  const leaderless = partitions.filter(({ leader }) => leader < 0);
  if (leaderless.length > 0) {
    throw new Problem(
      `${count(leaderless.length, "partition")} of ${name} without a leader`,
      "the brokers that have this partition are down",
      "start them; kafka-topics.sh --describe lists them",
    );
  }
  const minInSync = minInSyncOf(topic);
  const [first, ...others] = partitions.filter(({ inSync }) => inSync < minInSync);
  if (first !== undefined) {
    const isImpossible = minInSync > first.copies;
    throw new Problem(
      `${
        count(1 + others.length, "partition")
      } of ${name} with ${first.inSync} of ${first.copies} copies up to date, but ` +
        `min.insync.replicas is ${minInSync}`,
      isImpossible
        ? "the topic requires more copies than it has, so it accepts no records"
        : "brokers are down, and the topic accepts no records until they are back",
      isImpossible
        ? alter(`min.insync.replicas=${first.copies}`)
        : "start them; kafka-topics.sh --describe --under-min-isr-partitions lists the partitions",
    );
  }
  if (config?.["cleanup.policy"]?.includes("compact") === true) {
    throw new Problem(
      `${name} has cleanup.policy=${config["cleanup.policy"]}`,
      "Kafka keeps only the newest record of each product in it and deletes the others",
      alter("cleanup.policy=delete"),
    );
  }
  const retentionMs = Number(config?.["retention.ms"] ?? -1);
  if (retentionMs >= 0 && retentionMs < HOUR_MS) {
    throw new Problem(
      `${name} keeps records for ${secondsText(retentionMs / 1000)} (retention.ms ${retentionMs})`,
      "if Telegraf is down for longer, Kafka deletes records before Telegraf has read them",
      alter("retention.ms=604800000"),
    );
  }
}

function minInSyncOf({ config }: TopicView): number {
  return Number(config?.["min.insync.replicas"] ?? 1);
}

function keptFor({ config }: TopicView): string {
  const retentionMs = Number(config?.["retention.ms"] ?? NaN), bytes = Number(config?.["retention.bytes"] ?? -1);
  const time = Number.isNaN(retentionMs) ? "?" : retentionMs < 0 ? "forever" : secondsText(retentionMs / 1000);
  return bytes < 0 ? time : `${time} or ${bytes} bytes per partition`;
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Records that are read first from the end of the topic, over all partitions; and at most. */
const TAIL_RECORDS = 2000;
const MAX_TAIL_RECORDS = 60_000;

/**
 * The newest record of each product is not behind the exchange.
 *
 * @param newest receives the newest time of each product
 */
export async function checkRecords(
  view: KafkaView,
  topic: string,
  expected: Expected,
  newest: Map<string, number>,
  signal: AbortSignal,
): Promise<Finding> {
  return await checkFreshness(
    {
      name: topic,
      delayMs: 4000,
      read: () => readTail(view, topic, expected, signal),
      explain: (isEmpty) => ({
        cause: isEmpty
          ? "no producer has ever written to it, or Kafka has deleted all its records"
          : expected.latest.size === 0
          ? "no producer writes to it, or the exchange is down"
          : "the exchange has traded, but no producer has written it: it is stopped or disconnected, or follows other products",
        cure:
          "start the producer, or look at its log and /api/status (the stack: deno task stack:logs coinbase-producer)",
      }),
    },
    expected,
    signal,
    newest,
  );
}

async function readTail(
  view: KafkaView,
  topic: string,
  { products, now }: Expected,
  signal: AbortSignal,
): Promise<Newest> {
  const bounds = await view.bounds(topic, signal);
  const seconds = now() / 1000;
  const newest = new Map<string, number>();
  // any program may write any time to the topic: times in the future do not count
  const ahead = new Map<string, number>();
  let readFrom = Infinity;
  let to = bounds.map(({ high }) => high);
  for (let most = TAIL_RECORDS; most <= MAX_TAIL_RECORDS; most *= 6) {
    const stretches = bounds.map(({ partition, low, high }, i) => (
      { partition, from: Math.max(low, high - Math.ceil(most / bounds.length)), to: to[i] ?? high }
    ));
    for await (const records of view.read(topic, stretches, signal)) {
      for (const { value } of records) {
        const record = parseRecord(value);
        if (record === undefined) continue;
        readFrom = Math.min(readFrom, record.time);
        const times = record.time > seconds + AHEAD_SECONDS ? ahead : newest;
        times.set(record.product, Math.max(times.get(record.product) ?? -Infinity, record.time));
      }
    }
    to = stretches.map(({ from }) => from);
    const isAll = bounds.every(({ low }, i) => to[i] === low);
    if (isAll) readFrom = -Infinity;
    if (isAll || products.every((product) => newest.has(product))) break;
  }
  const future = [...ahead].map(([product, time]) => `${product} in ${secondsText(time - seconds)}`);
  return {
    newest,
    readFrom,
    remark: future.length === 0 ? "" : `; not counted, because their w_time is in the future: ${briefly(future)}`,
    facts: {
      records: bounds.reduce((sum, { low, high }) => sum + high - low, 0),
      ahead: Object.fromEntries(ahead),
    },
  };
}

/** A group's offsets are read twice, this far apart, to see whether they move, ms. */
const SECOND_READ_MS = 2500;
/** A record that has waited for longer than this is not being read, seconds. */
const UNREAD_SECONDS = 20;

/** A consumer group and the topic that it reads. */
export interface TopicGroup {
  readonly group: string;
  readonly topic: string;
}

/** Telegraf reads, and has read nearly everything. */
export async function checkTelegraf(
  view: KafkaView,
  groups: readonly TopicGroup[],
  { isStack, now }: { readonly isStack: boolean; readonly now: () => number },
  signal: AbortSignal,
): Promise<Finding> {
  const read = () => Promise.all(groups.map(({ group, topic }) => readProgress(view, group, topic, signal)));
  const before = await read();
  let after = before;
  if (before.some((each) => each !== undefined && (each.beyond.length > 0 || (each.members > 0 && each.lag > 0)))) {
    await systemClock.sleep(SECOND_READ_MS, signal);
    after = await read();
  }
  // seen only once, it comes from a partition whose leader has just changed
  const lost = groups.filter((_, i) => (before[i]?.beyond.length ?? 0) > 0 && (after[i]?.beyond.length ?? 0) > 0);
  if (lost.length > 0) {
    throw new Problem(
      lost.map((each) => beyondText(each.group, each.topic, after[groups.indexOf(each)]?.beyond ?? [])).join("; "),
      BEYOND_MEANS,
      `${resetCommands(lost, isStack)}; records that are read twice become one point in InfluxDB; docs/runbook.md, ` +
        '"A topic was deleted and made again"',
    );
  }
  const words: string[] = [];
  const facts: Record<string, unknown> = {};
  for (const [i, { group, topic }] of groups.entries()) {
    const [first, last] = [before[i], after[i]];
    if (first === undefined || last === undefined) {
      words.push(`${group} cannot be seen with this login`);
      continue;
    }
    const oldestUnreadSeconds = await refuseStuckGroup(view, { group, topic }, first, last, now, signal);
    const partitions = { next: Object.fromEntries(last.next), never: Object.fromEntries(last.never) };
    facts[group] = { topic, ...last, ...partitions, oldestUnreadSeconds };
    const speed = Math.round((last.read - first.read) / SECOND_READ_MS * 1000);
    const reading = last.lag > speed * 5 && speed > 0 ? `, reads ${speed} a second` : "";
    words.push(`${group}: ${count(last.members, "member")}, ${last.lag} behind${reading}`);
  }
  return ok(words.join("; "), facts);
}

/** How long the oldest unread record has waited, seconds. Throws a Problem if the group does not read. */
async function refuseStuckGroup(
  view: KafkaView,
  { group, topic }: TopicGroup,
  first: Progress,
  last: Progress,
  now: () => number,
  signal: AbortSignal,
): Promise<number> {
  const cure =
    "start Telegraf or look at its log (the stack: deno task stack:logs telegraf); it continues where it stopped, " +
    "and nothing is lost as long as Kafka keeps the records";
  const waiting = `${count(last.lag, "record")} ${last.lag === 1 ? "waits" : "wait"} in ${topic}`;
  if (last.members === 0) {
    const isUnknown = last.state === "Dead";
    const why = isUnknown ? "Kafka knows no such group" : "it has no member, so nothing reads";
    throw new Problem(
      `group ${group}: ${why}; ${last.lag === 0 ? `no record of ${topic} waits yet` : waiting}`,
      isUnknown && last.lag > 0
        ? "Telegraf was never connected to this Kafka, or reads with another group"
        : "Telegraf is not running, hangs, or cannot reach Kafka",
      cure,
    );
  }
  if (first.lag === 0) return 0;
  const waited = async (next: Progress["next"]) => {
    const oldest = await oldestTime(view, topic, next, signal);
    return oldest === undefined ? 0 : now() / 1000 - oldest;
  };
  const seconds = await waited(last.next);
  const neverRead = [...last.never.values()].reduce((sum, each) => sum + each, 0);
  // the group reads its other partitions, and has nothing to do there
  const isUpToDateElsewhere = last.lag === neverRead && last.never.size < last.next.size;
  if (last.read <= first.read && seconds > UNREAD_SECONDS && !isUpToDateElsewhere) {
    throw new Problem(
      `group ${group} does not move; ${waiting}, the oldest for ${secondsText(seconds)}`,
      "Telegraf hangs, was just killed, or has stopped reading because it cannot write to InfluxDB",
      cure,
    );
  }
  const unknown = [...last.never.keys()].filter((partition) => first.never.has(partition));
  const unknownSeconds = await waited(new Map([...last.next].filter(([partition]) => unknown.includes(partition))));
  if (unknownSeconds > UNREAD_SECONDS) {
    throw new Problem(
      `group ${group} has never read ${count(unknown.length, "partition")} of ${topic} (${
        briefly(unknown.map(String))
      }); the oldest record there has waited for ${secondsText(unknownSeconds)}`,
      "partitions were added, and Telegraf, which looks every ten minutes, has not noticed yet",
      "wait, or restart Telegraf (the stack: docker compose restart telegraf); it starts with the oldest record there",
    );
  }
  return seconds;
}

/** How far a group has read a topic. */
export interface Lag {
  /** Records that it has not read. */
  readonly lag: number;
  /** The sum of its offsets. */
  readonly read: number;
  /** The offset that it reads next in each partition; the end of the partition if its own offset is beyond that. */
  readonly next: ReadonlyMap<number, number>;
  /** How many records are in each partition of which it has read nothing; only partitions with records. */
  readonly never: ReadonlyMap<number, number>;
  /** Partitions in which its offset is beyond the end. */
  readonly beyond: readonly Beyond[];
}

interface Progress extends Lag {
  readonly state: string;
  readonly members: number;
}

/** Undefined: this login may not see the group. */
async function readProgress(
  view: KafkaView,
  groupId: string,
  topic: string,
  signal: AbortSignal,
): Promise<Progress | undefined> {
  const group = await view.group(groupId, topic, signal);
  if (group === undefined) return undefined;
  // after the offsets: otherwise what is read in between would look like an offset beyond the end
  const bounds = await view.bounds(topic, signal);
  return { state: group.state, members: group.members, ...lagIn(bounds, group.committed) };
}

/** Adds up all partitions separately: being ahead in one does not make up for another. */
export function lagIn(bounds: readonly Bounds[], committed: GroupView["committed"]): Lag {
  let lag = 0, read = 0;
  const next = new Map<number, number>();
  const never = new Map<number, number>();
  for (const { partition, low, high } of bounds) {
    const offset = committed.get(partition);
    const at = Math.min(high, Math.max(low, offset ?? low));
    next.set(partition, at);
    read += at;
    if (offset === undefined && low < high) never.set(partition, high - low);
    // an offset beyond the end belongs to an earlier topic of that name: of this one nothing was read
    lag += offset !== undefined && offset > high ? high - low : high - at;
  }
  return { lag, read, next, never, beyond: beyondEnd(bounds, committed) };
}

/** When the oldest of the records at these offsets was written, unix seconds. */
async function oldestTime(
  view: KafkaView,
  topic: string,
  offsets: ReadonlyMap<number, number>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const bounds = await view.bounds(topic, signal);
  const stretches = bounds.flatMap(({ partition, high }) => {
    const from = offsets.get(partition) ?? high;
    return from < high ? [{ partition, from, to: from + 1 }] : [];
  });
  let oldest: number | undefined;
  for await (const records of view.read(topic, stretches, signal)) {
    for (const { timestamp } of records) oldest = Math.min(oldest ?? Infinity, timestamp / 1000);
  }
  return oldest;
}
