// The stages in Kafka: that it lets us in, the topics and their settings, the newest record of each product, and how
// far Telegraf has read.

import { AHEAD_SECONDS, briefly, lookAtFreshness, type Place, type Times, type Wish } from "./freshness.ts";
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
  type TopicRecord,
  type TopicView,
} from "../kafka/admin.ts";
import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { SinkError } from "../core/errors.ts";
import { broken, type Finding, ok, Trouble } from "./stage.ts";

/** What the program needs to see of a connection, for as long as the looking lasts. */
export class KafkaLook implements AsyncDisposable {
  readonly #place: KafkaPlace;
  #view: KafkaView | undefined;

  /** Connects when asked to. */
  constructor(place: KafkaPlace) {
    this.#place = place;
  }

  /** Kafka is reachable and lets us in. */
  async connect(signal: AbortSignal): Promise<Finding> {
    const since = performance.now();
    const where = this.#place.brokers.join(",");
    try {
      this.#view = await KafkaView.open(this.#place, signal);
      const brokers = await this.#view.brokers(signal);
      const login = this.#place.sasl === undefined ? "without a login" : `logged in with ${this.#place.sasl.mechanism}`;
      const many = brokers === 1 ? "one broker" : `${brokers} brokers`;
      return ok(`${where} answers after ${Math.round(performance.now() - since)} ms, ${many}, ${login}`, { brokers });
    } catch (error) {
      if (!(error instanceof SinkError)) throw error;
      const refused = error.kind === "fatal";
      return broken(
        error.message,
        refused
          ? "Kafka is there and does not let us in: the login, or the certificates, are not what it wants"
          : "Kafka does not run, or its address is another one, or it tells its clients an address that does not lead to it",
        refused
          ? "look at KAFKA_USERNAME, KAFKA_PASSWORD, KAFKA_SASL_MECHANISM, KAFKA_SSL and KAFKA_SSL_CA; docs/managed-kafka.md"
          : "start Kafka (the stack: deno task stack:status, deno task stack:logs broker); look at KAFKA_BROKERS and at " +
            "the broker's advertised.listeners",
      );
    }
  }

  /** The connection; only after `connect()` found all well. */
  get view(): KafkaView {
    if (this.#view === undefined) throw new TypeError("Kafka was not connected");
    return this.#view;
  }

  /** Lets go. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#view?.[Symbol.asyncDispose]();
  }
}

const HOUR_MS = 3_600_000;

/** The topics are there, and their settings do not lose records. */
export async function lookAtTopics(view: KafkaView, names: readonly string[], signal: AbortSignal): Promise<Finding> {
  const brokers = await view.brokers(signal);
  const words: string[] = [];
  const facts: Record<string, unknown> = {};
  const remarks: string[] = [];
  for (const name of names) {
    const topic = await view.topic(name, signal);
    if (topic === undefined) {
      throw new Trouble(
        `there is no topic ${name}`,
        "nobody has made it, or it was deleted; the broker does not make topics by itself, and should not",
        `the stack: deno task stack; else kafka-topics.sh --bootstrap-server ... --create --topic ${name} --partitions 1`,
      );
    }
    const copies = Math.min(...topic.partitions.map((each) => each.copies));
    facts[name] = { partitions: topic.partitions, config: shownConfig(topic) };
    const problem = problemOf(name, topic);
    if (problem !== undefined) throw problem;
    words.push(
      `${name}: ${count(topic.partitions.length, "partition")}, ${count(copies, "copy", "copies")}, keeps ${
        keptFor(topic)
      }`,
    );
    if (topic.config === undefined) remarks.push(`the settings of ${name} are not ours to read`);
    const behind = topic.partitions.filter((each) => each.inSync < each.copies).length;
    if (behind > 0) remarks.push(`${count(behind, "partition")} of ${name} lack a copy that is up to date`);
    const minInSync = Number(topic.config?.["min.insync.replicas"] ?? 1);
    if (copies === 1 && brokers > 1) remarks.push(`${name} has one copy on ${brokers} brokers: a dead disk loses it`);
    if (copies > 1 && minInSync === copies) {
      remarks.push(`${name} takes nothing while a single broker is away (min.insync.replicas ${minInSync})`);
    }
    if (copies > 1 && minInSync === 1) {
      remarks.push(`${name} counts as written what one broker has (min.insync.replicas 1)`);
    }
  }
  return ok([...words, ...remarks].join("; "), facts);
}

function problemOf(name: string, { partitions, config }: TopicView): Trouble | undefined {
  const headless = partitions.filter(({ leader }) => leader < 0);
  if (headless.length > 0) {
    return new Trouble(
      `${count(headless.length, "partition")} of ${name} have no leader`,
      "the brokers that hold it are away",
      "start them; kafka-topics.sh --describe names them",
    );
  }
  const minInSync = Number(config?.["min.insync.replicas"] ?? 1);
  const few = partitions.filter(({ inSync }) => inSync < minInSync);
  if (few.length > 0) {
    const [first] = few;
    return new Trouble(
      `${count(few.length, "partition")} of ${name} have ${first?.inSync} of ${first?.copies} copies up to date, and ` +
        `min.insync.replicas is ${minInSync}`,
      minInSync > (first?.copies ?? 0)
        ? "more copies must be written than there are: the topic takes no record at all"
        : "brokers are away, so the topic takes no record until they are back",
      minInSync > (first?.copies ?? 0)
        ? `kafka-configs.sh --alter --entity-type topics --entity-name ${name} --add-config min.insync.replicas=${first?.copies}`
        : "start them; kafka-topics.sh --describe --under-min-isr-partitions names them",
    );
  }
  if (config?.["cleanup.policy"]?.includes("compact") === true) {
    return new Trouble(
      `${name} has cleanup.policy=${config["cleanup.policy"]}`,
      "Kafka keeps only the newest record of each product there, and deletes the others",
      `kafka-configs.sh --alter --entity-type topics --entity-name ${name} --add-config cleanup.policy=delete`,
    );
  }
  const retention = Number(config?.["retention.ms"] ?? -1);
  if (retention >= 0 && retention < HOUR_MS) {
    return new Trouble(
      `${name} keeps records for ${secondsText(retention / 1000)} (retention.ms ${retention})`,
      "Kafka deletes records before a Telegraf that was away for a while has read them",
      `kafka-configs.sh --alter --entity-type topics --entity-name ${name} --add-config retention.ms=604800000`,
    );
  }
  return undefined;
}

function keptFor({ config }: TopicView): string {
  const retention = Number(config?.["retention.ms"] ?? NaN), bytes = Number(config?.["retention.bytes"] ?? -1);
  const time = Number.isNaN(retention) ? "?" : retention < 0 ? "for ever" : secondsText(retention / 1000);
  return bytes < 0 ? time : `${time} or ${bytes} bytes a partition`;
}

function shownConfig({ config }: TopicView): Record<string, string> | undefined {
  if (config === undefined) return undefined;
  const names = ["cleanup.policy", "retention.ms", "retention.bytes", "min.insync.replicas", "max.message.bytes"];
  return Object.fromEntries(names.flatMap((name) => config[name] === undefined ? [] : [[name, config[name]]]));
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Read from the end of the topic at first, and at most; over all partitions. */
const TAIL_RECORDS = 2000;
const MAX_TAIL_RECORDS = 60_000;

/** The newest record of each product is not behind what the exchange says. Puts what it finds into `newest`. */
export async function lookAtRecords(
  view: KafkaView,
  topic: string,
  wish: Wish,
  newest: Map<string, number>,
  signal: AbortSignal,
): Promise<Finding> {
  let total = 0;
  const place: Place = {
    name: topic,
    onItsWayMs: 4000,
    async look() {
      const now = wish.now() / 1000;
      const tail = await readTail(view, topic, wish.products, now + AHEAD_SECONDS, signal);
      total = tail.total;
      const early = briefly([...tail.ahead].map(([product, time]) => `${product} in ${secondsText(time - now)}`));
      return {
        newest: tail.newest,
        seenFrom: tail.seenFrom,
        remark: early === "" ? "" : `; not counted, as their w_time has not come yet: ${early}`,
        facts: { records: total, ahead: Object.fromEntries(tail.ahead) },
      };
    },
    trouble: () => ({
      cause: wish.happened.size === 0
        ? "no producer writes, or the exchange is away"
        : "the exchange has traded, and no producer has written that: it does not run, or has no connection, or follows other products",
      cure: "look at the producer's /api/status and log (the stack: deno task stack:logs coinbase-producer)",
    }),
  };
  const finding = await lookAtFreshness(place, wish, signal, newest);
  if (total > 0) return finding;
  return broken(
    `${topic} is empty`,
    "no producer has ever written to it, or all it wrote is deleted by now",
    "start the producer: deno task start, or the stack; its /api/status says what keeps it from writing",
    finding.facts,
  );
}

async function readTail(
  view: KafkaView,
  topic: string,
  products: readonly string[],
  latest: number,
  signal: AbortSignal,
): Promise<{ newest: Times; ahead: Times; total: number; seenFrom: number }> {
  const bounds = await view.bounds(topic, signal);
  const total = bounds.reduce((sum, { low, high }) => sum + high - low, 0);
  const newest = new Map<string, number>();
  // anybody may write any time: the newest that can be true is what counts
  const ahead = new Map<string, number>();
  let oldest = Infinity;
  let to = bounds.map(({ high }) => high);
  for (let want = TAIL_RECORDS; total > 0; want *= 6) {
    const each = Math.ceil(want / bounds.length);
    const stretches = bounds.map(({ partition, low, high }, at) => (
      { partition, from: Math.max(low, high - each), to: to[at] ?? high }
    ));
    for await (const records of view.read(topic, stretches, signal)) {
      for (const record of records) {
        const found = priceOf(record);
        if (found === undefined) continue;
        oldest = Math.min(oldest, found.time);
        const kept = found.time > latest ? ahead : newest;
        kept.set(found.product, Math.max(kept.get(found.product) ?? -Infinity, found.time));
      }
    }
    to = stretches.map(({ from }) => from);
    const all = stretches.every(({ from }, at) => from <= (bounds[at]?.low ?? 0));
    if (all) return { newest, ahead, total, seenFrom: -Infinity };
    if (want * 6 > MAX_TAIL_RECORDS || products.every((product) => newest.has(product))) break;
  }
  return { newest, ahead, total, seenFrom: oldest };
}

const decoder = new TextDecoder();

/** What a record says, as Telegraf understands it; undefined: it is none. */
export function priceOf({ value }: Pick<TopicRecord, "value">): { product: string; time: number } | undefined {
  if (value === null || value.length > 20_000) return undefined;
  let found: unknown;
  try {
    found = JSON.parse(decoder.decode(value));
  } catch {
    return undefined;
  }
  const { product, w_time: time, price } = Object(found) as Record<string, unknown>;
  return typeof product === "string" && product !== "" && product.length <= 200 && typeof time === "number" &&
      time >= 0 && time <= 9e9 && typeof price === "number" && Math.abs(price) <= 1e300
    ? { product, time }
    : undefined;
}

/** A group's place is looked at twice, ms apart: whoever reads has moved on by then. */
const SECOND_LOOK_MS = 2500;
/** What waits unread for longer was not read, seconds. */
const UNREAD_SECONDS = 20;

/** Telegraf reads, and has read nearly all. */
export async function lookAtTelegraf(
  view: KafkaView,
  places: readonly { readonly group: string; readonly topic: string }[],
  { isStack, now }: { readonly isStack: boolean; readonly now: () => number },
  signal: AbortSignal,
): Promise<Finding> {
  const words: string[] = [];
  const facts: Record<string, unknown> = {};
  const cure =
    "start Telegraf, or see its log (the stack: deno task stack:logs telegraf); it goes on where it was, nothing is " +
    "lost as long as Kafka keeps the records";
  const look = () =>
    Promise.all(places.map(async (place) => ({ ...place, seen: await lagOf(view, place.group, place.topic, signal) })));
  const lost = (all: Awaited<ReturnType<typeof look>>) => all.filter(({ seen }) => (seen?.beyond.length ?? 0) > 0);
  const before = await look();
  let after = before;
  if (before.some(({ seen }) => seen !== undefined && (seen.beyond.length > 0 || (seen.members > 0 && seen.lag > 0)))) {
    await systemClock.sleep(SECOND_LOOK_MS, signal);
    after = await look();
  }
  for (const { group, topic, seen } of after) if (seen !== undefined) facts[group] = { topic, ...factsOf(seen) };
  // that of a moment comes from a leader that has just changed
  const astray = lost(after).filter(({ group }) => lost(before).some((each) => each.group === group));
  if (astray.length > 0) {
    throw new Trouble(
      astray.map(({ group, topic, seen }) => beyondText(group, topic, seen?.beyond ?? [])).join("; "),
      BEYOND_MEANS,
      `${resetCommands(astray, isStack)}; what is read twice is one point in InfluxDB; docs/runbook.md, ` +
        '"A topic was deleted and made again"',
    );
  }
  for (const [at, { group, topic, seen: first }] of before.entries()) {
    if (first === undefined) {
      words.push(`${group} is not ours to see`);
      continue;
    }
    const last = after[at]?.seen ?? first;
    const { state, members, lag } = last;
    if (members === 0) {
      const why = state === "Dead" ? "there is no such group" : "nobody reads";
      throw new Trouble(
        `group ${group}: ${why}, ${
          lag === 0 ? `though no record of ${topic} waits yet` : `${waitText(lag)} in ${topic}`
        }`,
        state === "Dead" && lag > 0
          ? "Telegraf was never connected to this Kafka, or reads as another group"
          : "Telegraf does not run, hangs, or cannot reach Kafka",
        cure,
      );
    }
    if (first.lag > 0) {
      const rest = await oldestUnread(view, topic, last.next, signal);
      const waited = rest === undefined ? 0 : now() / 1000 - rest;
      facts[group] = { topic, ...factsOf(last), oldestUnreadSeconds: waited };
      // nothing is unread but there: it reads the others
      const isElsewhere = lag === [...last.never.values()].reduce((sum, each) => sum + each, 0) &&
        last.never.size < last.next.size;
      if (last.read <= first.read && waited > UNREAD_SECONDS && !isElsewhere) {
        throw new Trouble(
          `group ${group} stands still, ${waitText(lag)} in ${topic}, the oldest since ${secondsText(waited)}`,
          "Telegraf hangs, was killed just now, or cannot write to InfluxDB and so reads no further",
          cure,
        );
      }
      // those that it may not know of
      const never = new Map(
        [...last.next].filter(([partition]) => last.never.has(partition) && first.never.has(partition)),
      );
      const unread = await oldestUnread(view, topic, never, signal);
      if (unread !== undefined && now() / 1000 - unread > UNREAD_SECONDS) {
        throw new Trouble(
          `group ${group} has never read ${count(never.size, "partition")} of ${topic} (${
            briefly([...never.keys()].map(String))
          }), the oldest record there waits since ${secondsText(now() / 1000 - unread)}`,
          "partitions were added, and Telegraf has not noticed yet: it looks every ten minutes",
          "wait, or restart Telegraf (the stack: docker compose restart telegraf); it begins with the oldest record there",
        );
      }
    }
    const speed = Math.round((last.read - first.read) / SECOND_LOOK_MS * 1000);
    words.push(
      `${group}: ${count(members, "member")}, ${lag} behind${
        lag > speed * 5 && speed > 0 ? `, reads ${speed} a second` : ""
      }`,
    );
  }
  return ok(words.join("; "), facts);
}

function waitText(lag: number): string {
  return `${count(lag, "record")} ${lag === 1 ? "waits" : "wait"}`;
}

/** How far a group has got. */
export interface Progress {
  /** Records that it has not read. */
  readonly lag: number;
  /** Those that it has. */
  readonly read: number;
  /** Where it goes on in each partition; its end, where it stands beyond that. */
  readonly next: ReadonlyMap<number, number>;
  /** How many records there are in each partition in which it has no place; of those without any, nothing. */
  readonly never: ReadonlyMap<number, number>;
  /** Partitions in which its place is one that is not there. */
  readonly beyond: readonly Beyond[];
}

interface Lag extends Progress {
  readonly state: string;
  readonly members: number;
}

async function lagOf(view: KafkaView, group: string, topic: string, signal: AbortSignal): Promise<Lag | undefined> {
  const found = await view.group(group, topic, signal);
  if (found === undefined) return undefined;
  // after the places, or what is read in between would look like a place beyond the end
  const bounds = await view.bounds(topic, signal);
  return { state: found.state, members: found.members, ...lagIn(bounds, found.committed) };
}

/** How far a group has got: each partition by itself, since one that is ahead does not make up for another. */
export function lagIn(bounds: readonly Bounds[], committed: GroupView["committed"]): Progress {
  let lag = 0, read = 0;
  const next = new Map<number, number>();
  const never = new Map<number, number>();
  for (const { partition, low, high } of bounds) {
    const place = committed.get(partition);
    const at = Math.min(high, Math.max(low, place ?? low));
    next.set(partition, at);
    read += at;
    if (place === undefined && low < high) never.set(partition, high - low);
    // beyond the end it has read nothing of what is there
    lag += place !== undefined && place > high ? high - low : high - at;
  }
  return { lag, read, next, never, beyond: beyondEnd(bounds, committed) };
}

/** For programs. */
function factsOf({ state, members, lag, read, next, beyond }: Lag): Record<string, unknown> {
  return { state, members, lag, read, next: Object.fromEntries(next), ...(beyond.length === 0 ? {} : { beyond }) };
}

/** When the first record that it has not read was written, unix seconds. */
async function oldestUnread(
  view: KafkaView,
  topic: string,
  next: ReadonlyMap<number, number>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const bounds = await view.bounds(topic, signal);
  const stretches = bounds.map(({ partition, high }) => {
    // of those that are not asked for, nothing
    const from = next.get(partition) ?? high;
    return { partition, from, to: Math.min(high, from + 1) };
  });
  let oldest: number | undefined;
  for await (const records of view.read(topic, stretches, signal)) {
    for (const { timestamp } of records) oldest = Math.min(oldest ?? Infinity, timestamp / 1000);
  }
  return oldest;
}
