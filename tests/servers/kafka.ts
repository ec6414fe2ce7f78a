/**
 * A real Kafka for tests and benches, one broker or several, on free ports with its own data: it can be started, killed, paused
 * and read. install.sh downloads it. Topics are read with another client than the one under test.
 */
import { Buffer } from "node:buffer";
import type { Admin } from "kafkajs";
import {
  cache,
  exists,
  folderFor,
  freePorts,
  granted,
  removeNow,
  RunningServer,
  serverMissing,
  ServerProcess,
  sleep,
} from "./process.ts";

/** All optional. */
export interface KafkaOptions {
  /** Of `broker`; default a free one. */
  readonly port?: number;
  /** Kept at the end, and reused if it holds data. Default: a temporary folder that is removed. */
  readonly dataDir?: string;
  /** Of topics created without a number of partitions; default 1. */
  readonly partitions?: number;
  /** Adds a listener, `saslBroker`, that requires this login (SASL PLAIN, no TLS). */
  readonly sasl?: { readonly username: string; readonly password: string };
  /** Further listeners by name, each on a free port. {@link KafkaServer.listener} returns the address. */
  readonly listeners?: Readonly<Record<string, Listener>>;
  /** Passwords by user, for all listeners that require a login. */
  readonly users?: Readonly<Record<string, string>>;
  /** Broker properties; they override ours. */
  readonly properties?: Readonly<Record<string, string>>;
}

/** A listener. */
export interface Listener {
  /** Default: no login. */
  readonly mechanisms?: readonly ("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512")[];
  /** Default: no encryption. */
  readonly tls?: {
    /** Private key, PKCS#8 in PEM. */
    readonly key: string;
    /** The certificate and its issuers, PEM. */
    readonly chain: string;
    /** PEM. Clients must present a certificate of this authority. */
    readonly clientCa?: string;
  };
}

/** The place of one broker in a cluster. */
interface Membership {
  /** From 1. */
  readonly node: number;
  /** Of every broker. */
  readonly ports: readonly Ports[];
}

/** All optional. */
export interface TopicOptions {
  /** Default: the `partitions` of the broker. */
  readonly partitions?: number;
  /** Default 1. */
  readonly replicas?: number;
  /** Topic properties, such as `max.message.bytes`. */
  readonly config?: Readonly<Record<string, string>>;
}

/** All optional. */
export interface ReadOptions {
  /** Default all. */
  readonly partition?: number;
  /** Default kcat if it is installed, else the slower console consumer among Kafka's jars. */
  readonly client?: "kcat" | "console";
}

/** A record as Kafka stores it. */
export interface KafkaRecord {
  /** From 0. */
  readonly partition: number;
  /** Within the partition, from 0. */
  readonly offset: number;
  /** Milliseconds since the epoch, UTC. */
  readonly timestamp: number;
  /** Null if there is none. */
  readonly key: string | null;
  /** If a name occurs twice, the last one. */
  readonly headers: Record<string, string>;
  /** Reading rejects values that are missing or not UTF-8. */
  readonly value: string;
}

/** Limit for reading a topic. */
const READ_MS = 180_000;

/**
 * Why Kafka cannot run here and how to change that, in one sentence; undefined if it can. Never prompts, so that a bare
 * `deno test` skips the tests and says why.
 */
export function kafkaMissing(): string | undefined {
  const refused = serverMissing("Kafka", ["sh", "java"]);
  if (refused) return refused;
  if (!onPath("java")) return "Kafka tests need Java 17 or newer: install it, then run sh tests/servers/install.sh";
  if (!exists(`${jars()}/.done`)) return "Kafka tests need Kafka's jars: run sh tests/servers/install.sh";
  return undefined;
}

/**
 * A broker process. Disposing ends the process in any state and removes temporary data.
 * Because of the leak checks of `deno test` it must live within one test: to share it, use steps.
 */
export class KafkaServer extends RunningServer implements AsyncDisposable {
  /** "127.0.0.1:PORT" of the listener without a login; the same after a restart. */
  readonly broker: string;
  /** "127.0.0.1:PORT" of the listener with a login; undefined without `sasl`. */
  readonly saslBroker: string | undefined;
  /** Contains `log` (the data), the broker's settings, and `server-N.log` of each start. */
  readonly dataDir: string;
  readonly #temporary: boolean;
  /** All brokers of the cluster. */
  readonly #all: readonly string[];
  readonly #listeners: Readonly<Record<string, number>>;
  protected override readonly process: ServerProcess;
  readonly #unload = () => this.#endNow();

  private constructor(
    options: KafkaOptions,
    dataDir: string,
    ports: Ports,
    listeners: Readonly<Record<string, number>>,
    archive: string,
    member?: Membership,
  ) {
    super();
    this.broker = `127.0.0.1:${ports.broker}`;
    this.saslBroker = options.sasl && `127.0.0.1:${ports.sasl}`;
    this.#all = (member?.ports ?? [ports]).map(({ broker }) => `127.0.0.1:${broker}`);
    this.#listeners = listeners;
    this.dataDir = dataDir;
    this.#temporary = options.dataDir === undefined;
    this.process = new ServerProcess({
      name: "Kafka",
      command: [
        "java",
        "-Xms128m",
        member === undefined ? "-Xmx512m" : "-Xmx256m",
        "-XX:+ExitOnOutOfMemoryError",
        archive,
      ].concat(
        this.#java("kafka.Kafka"),
        `${dataDir}/server.properties`,
      ),
      dir: dataDir,
      // after kill -9 the broker waits about 3 s until its old registration expires
      ready: (log) => log.includes("Kafka Server started"),
    });
    addEventListener("unload", this.#unload);
  }

  /** Resolves when clients can use it; rejects with its last log lines if it ends before that or needs more than 3 minutes. */
  static async start(options: KafkaOptions = {}): Promise<KafkaServer> {
    const warm = `${cache()}/kafka/warm-${version()}`;
    if (!exists(warm) && granted({ name: "write", path: cache() })) await KafkaServer.#warmUp(warm);
    return await KafkaServer.#start(options, `-XX:SharedArchiveFile=${warm}/classes.jsa`, warm);
  }

  /** Starts one broker of a cluster. It is ready when a majority of the brokers runs. */
  static async startMember(options: KafkaOptions, member: Membership): Promise<KafkaServer> {
    const warm = `${cache()}/kafka/warm-${version()}`;
    if (!exists(warm) && granted({ name: "write", path: cache() })) await KafkaServer.#warmUp(warm);
    return await KafkaServer.#start(options, `-XX:SharedArchiveFile=${warm}/classes.jsa`, warm, member);
  }

  /** Done once per machine, in 8 s: caches a formatted data folder and the JVM's classes, which saves 3 s of 4.5 at each start. */
  static async #warmUp(warm: string): Promise<void> {
    const part = await Deno.makeTempDir({ dir: `${cache()}/kafka`, prefix: "warm-" });
    try {
      await using server = await KafkaServer.#start({}, `-XX:ArchiveClassesAtExit=${part}/classes.jsa`);
      for (const file of FORMATTED) await Deno.copyFile(`${server.dataDir}/log/${file}`, `${part}/${file}`);
      await server.stop();
      // fails if another process was first, whose result is as good
      await Deno.rename(part, warm).catch(() => {});
    } finally {
      await Deno.remove(part, { recursive: true }).catch(() => {});
    }
  }

  static async #start(
    options: KafkaOptions,
    archive: string,
    warm?: string,
    member?: Membership,
  ): Promise<KafkaServer> {
    const { ports, listeners } = portsFor(options, member);
    const dataDir = await folderFor("kafka", options.dataDir);
    const server = new KafkaServer(options, dataDir, ports, listeners, archive, member);
    try {
      await Deno.mkdir(`${dataDir}/log`, { recursive: true });
      await Deno.writeTextFile(`${dataDir}/log4j2.properties`, LOG4J);
      const properties = settings(options, dataDir, ports, listeners, member);
      await Deno.writeTextFile(`${dataDir}/server.properties`, propertiesFile(properties));
      if (!exists(`${dataDir}/log/meta.properties`)) await server.#format(warm, options, member);
      await server.process.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** "localhost:PORT" of a listener; a name because certificates contain names. */
  listener(name: string): string {
    const port = this.#listeners[name];
    if (port === undefined) throw new RangeError(`No listener ${name}`);
    return `localhost:${port}`;
  }

  /** Changes broker properties from the next start on. */
  async set(properties: Readonly<Record<string, string>>): Promise<void> {
    // if a name occurs twice, Java takes the later line
    await Deno.writeTextFile(`${this.dataDir}/server.properties`, propertiesFile(properties), { append: true });
  }

  /** Limits how many bytes per second each client may send. */
  async setProducerQuota(bytesPerSecond: number): Promise<void> {
    await collect("java", [
      ...this.#java("kafka.admin.ConfigCommand"),
      ...["--bootstrap-server", this.broker, "--alter", "--entity-type", "clients", "--entity-default"],
      ...["--add-config", `producer_byte_rate=${bytesPerSecond}`],
    ]);
  }

  /** Changes the advertised address of a listener, from the next start on. */
  async advertise(listener: string, address: string): Promise<void> {
    const properties = await Deno.readTextFile(`${this.dataDir}/server.properties`);
    const listeners = /^advertised\.listeners=(.*)$/m.exec(properties)?.[1] ?? "";
    const name = listener.toUpperCase();
    await this.set({
      "advertised.listeners": listeners.split(",").map((each) =>
        each.startsWith(`${name}:`) ? `${name}://${address}` : each
      )
        .join(),
    });
  }

  /** Grants rights to a user, if the broker has an authorizer. */
  async allow(user: string, kind: "topic" | "group", name: string, ...operations: Operation[]): Promise<void> {
    const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } =
      (await import("kafkajs")).default;
    const acl = operations.map((operation) => ({
      resourceType: AclResourceTypes[kind === "topic" ? "TOPIC" : "GROUP"],
      resourceName: name,
      resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: `User:${user}`,
      host: "*",
      operation: AclOperationTypes[operation],
      permissionType: AclPermissionTypes.ALLOW,
    }));
    await this.#admin((admin) => admin.createAcls({ acl }));
  }

  /** Resolves when the topic can be written to; rejects if it exists. */
  async createTopic(topic: string, options: TopicOptions = {}): Promise<void> {
    const configEntries = Object.entries(options.config ?? {}).map(([name, value]) => ({ name, value }));
    const created = await this.#admin(async (admin) => {
      const { partitions: numPartitions = -1, replicas: replicationFactor = -1 } = options;
      const topics = [{ topic, numPartitions, replicationFactor, configEntries }];
      // kafkajs's own waiting fails if the controller has not told the broker about the topic yet
      const created = await admin.createTopics({ topics, waitForLeaders: false });
      for (const end = Date.now() + READ_MS;; await sleep(20)) {
        try {
          // answered by the leader of each partition
          await admin.fetchTopicOffsets(topic);
          return created;
        } catch (error) {
          if (Date.now() > end) throw error;
        }
      }
    });
    if (!created) throw new Error(`Cannot create topic ${topic}: it exists`);
  }

  /**
   * Creates the topics `<name>` for ticks and `<name>_gaps` for gaps; without a name, those that the program uses by default.
   *
   * @param options of both topics, except that the topic of gaps always has one partition
   */
  async createTopics(name?: string, options: TopicOptions = {}): Promise<{ topic: string; gapsTopic: string }> {
    const [topic, gapsTopic] = name === undefined ? ["ticker_batch", "feed_gaps"] : [name, `${name}_gaps`];
    await this.createTopic(topic, options);
    await this.createTopic(gapsTopic, { ...options, partitions: 1 });
    return { topic, gapsTopic };
  }

  /** The partitions of a topic that each member of a group reads; empty while the group rebalances. */
  async shares(group: string, topic: string): Promise<number[][]> {
    const { AssignerProtocol } = (await import("kafkajs")).default;
    const { groups } = await this.#admin((admin) => admin.describeGroups([group]));
    const [found] = groups;
    if (found?.state !== "Stable") return [];
    return found.members.map(({ memberAssignment }) =>
      AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment[topic] ?? []
    );
  }

  /** Resolves when the topic is no longer listed. */
  async deleteTopic(topic: string): Promise<void> {
    await this.#admin(async (admin) => {
      await admin.deleteTopics({ topics: [topic] });
      while ((await admin.listTopics()).includes(topic)) await sleep(20);
    });
  }

  /** All records, by partition and offset. */
  async read(topic: string, options: ReadOptions = {}): Promise<KafkaRecord[]> {
    const client = options.client ?? (onPath("kcat") && granted({ name: "run", command: "kcat" }) ? "kcat" : "console");
    const records = client === "kcat"
      ? await this.#readWithKcat(topic, options.partition)
      : await this.#readWithConsole(topic, options.partition);
    return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeEventListener("unload", this.#unload);
    // an orderly end, so that the next start on this data need not wait for a registration to expire
    await this.kill(this.#temporary ? "SIGKILL" : "SIGTERM");
    if (this.#temporary) await Deno.remove(this.dataDir, { recursive: true });
  }

  /** For a test process that ends without disposing, when nothing can be awaited any more. */
  #endNow(): void {
    this.process.signal("SIGKILL");
    if (this.#temporary) removeNow(this.dataDir);
  }

  async #format(warm: string | undefined, options: KafkaOptions, member: Membership | undefined): Promise<void> {
    const scram = [...new Set(Object.values(options.listeners ?? {}).flatMap(({ mechanisms = [] }) => mechanisms))]
      .filter((mechanism) => mechanism !== "PLAIN");
    if (warm !== undefined && exists(warm) && scram.length === 0) {
      for (const file of FORMATTED) await Deno.copyFile(`${warm}/${file}`, `${this.dataDir}/log/${file}`);
      if (member === undefined) return;
      const path = `${this.dataDir}/log/meta.properties`;
      const id = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16)))).replaceAll(/[+/=]/g, "a");
      const text = (await Deno.readTextFile(path)).replace(/^node\.id=.*$/m, `node.id=${member.node}`)
        .replace(/^directory\.id=.*$/m, `directory.id=${id.slice(0, 22)}`);
      return await Deno.writeTextFile(path, text);
    }
    const users = Object.entries(options.users ?? {}).flatMap(([name, password]) =>
      scram.flatMap((mechanism) => ["--add-scram", `${mechanism}=[name=${name},password=${password}]`])
    );
    const args = ["format", "-t", "dGlja2Vycy1mb3ItdGVzdA", "-c", `${this.dataDir}/server.properties`, ...users];
    await collect("java", [...this.#java("kafka.tools.StorageTool"), ...args]);
  }

  #java(mainClass: string): string[] {
    const logging = `-Dlog4j2.configurationFile=${this.dataDir}/log4j2.properties`;
    return ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", logging, "-cp", `${jars()}/*`, mainClass];
  }

  async #admin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    // imported here because kafkajs reads NODE_ENV when it is loaded, which a bare `deno test` does not permit
    const { Kafka, logLevel } = await import("kafkajs");
    const retry = { initialRetryTime: 50, retries: 5 };
    const admin = new Kafka({ brokers: [...this.#all], logLevel: logLevel.NOTHING, retry }).admin();
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }

  async #readWithKcat(topic: string, partition: number | undefined): Promise<KafkaRecord[]> {
    const args = [
      "-C",
      "-e",
      "-q",
      "-J",
      "-o",
      "beginning",
      "-b",
      this.#all.join(),
      "-t",
      topic,
      "-X",
      "fetch.wait.max.ms=10",
    ];
    if (partition !== undefined) args.push("-p", String(partition));
    const records: KafkaRecord[] = [];
    // -J writes every byte above 31 unchanged, and here each byte becomes one character, so a single parse restores the bytes
    await collect("kcat", args, "\n", (line) => {
      const { partition, offset, ts, key, headers = [], payload } = JSON.parse(line) as KcatRecord;
      const pairs = headers.flatMap((name, i) => i % 2 ? [] : [[name ?? "", headers[i + 1] ?? ""] as const]);
      records.push(toRecord(partition, offset, ts, key, pairs, payload));
    });
    return records;
  }

  async #readWithConsole(topic: string, partition: number | undefined): Promise<KafkaRecord[]> {
    // the console consumer does not stop at the end, so it gets the number of records
    const offsets = await this.#admin((admin) => admin.fetchTopicOffsets(topic));
    const count = offsets.filter((one) => partition === undefined || one.partition === partition)
      .reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
    if (count === 0) return [];
    // separators that no record contains
    const [field, line, header, none] = Array.from({ length: 4 }, () => crypto.randomUUID());
    const format = ["timestamp", "partition", "offset", "headers", "key", "value"].map((name) => `print.${name}=true`)
      .concat(
        `key.separator=${field}`,
        `line.separator=${line}`,
        `headers.separator=${header}`,
        `null.literal=${none}`,
      );
    const from = partition === undefined
      ? ["--from-beginning"]
      : ["--partition", String(partition), "--offset", "earliest"];
    const records: KafkaRecord[] = [];
    await collect(
      "java",
      [
        ...this.#java("org.apache.kafka.tools.consumer.ConsoleConsumer"),
        ...["--bootstrap-server", this.#all.join(), "--topic", topic, "--max-messages", String(count), ...from],
        ...["--timeout-ms", String(READ_MS), ...format.flatMap((one) => ["--formatter-property", one])],
      ],
      line,
      (text) => {
        const [time = "", part = "", offset = "", headers = "", key = "", value = ""] = text.split(field ?? "");
        const pairs = headers === "NO_HEADERS" ? [] : headers.split(header ?? "").map((one) => {
          const [name = "", ...rest] = one.split(":");
          return [name, rest.join(":")] as const;
        });
        const number = (label: string) => Number(label.slice(label.indexOf(":") + 1));
        const orNull = (bytes: string) => bytes === none ? null : bytes;
        records.push(toRecord(number(part), number(offset), number(time), orNull(key), pairs, orNull(value)));
      },
    );
    if (records.length !== count) throw new Error(`Read ${records.length} of ${count} records of ${topic}`);
    return records;
  }
}

/** All optional. */
export interface ClusterOptions {
  /** Default 3. */
  readonly size?: number;
  /** Of every broker. */
  readonly properties?: Readonly<Record<string, string>>;
}

/** Several brokers, each of which is a controller as well. By default topics have as many replicas as there are brokers. */
export class KafkaCluster implements AsyncDisposable {
  /** In the order of their ids, from 1. */
  readonly servers: readonly KafkaServer[];

  private constructor(servers: readonly KafkaServer[]) {
    this.servers = servers;
  }

  /** Resolves when clients can use all of them. */
  static async start({ size = 3, properties = {} }: ClusterOptions = {}): Promise<KafkaCluster> {
    const nodes = Array.from({ length: size }, (_, index) => index + 1);
    const names = nodes.flatMap((node) => [`broker${node}`, `sasl${node}`, `controller${node}`]);
    const free = freePorts(...names);
    const ports = nodes.map((node) => portsIn(free, node));
    const started = await Promise.allSettled(
      nodes.map((node) => KafkaServer.startMember({ properties }, { node, ports })),
    );
    const servers = started.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    const cluster = new KafkaCluster(servers);
    const failed = started.find((one) => one.status === "rejected");
    if (failed === undefined) return cluster;
    await cluster[Symbol.asyncDispose]();
    throw failed.reason;
  }

  /** "127.0.0.1:PORT,..." of all brokers. */
  get brokers(): string {
    return this.servers.map(({ broker }) => broker).join();
  }

  /** For creating and reading topics: uses any broker that runs. */
  get any(): KafkaServer {
    const [first] = this.servers;
    if (first === undefined) throw new RangeError("No broker");
    return first;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
  }
}

/** A right of a user. */
export type Operation = "READ" | "WRITE" | "DESCRIBE" | "CREATE";

interface Ports {
  readonly broker: number;
  readonly sasl: number;
  readonly controller: number;
}

/** The ports of one broker. */
function portsIn(free: Readonly<Record<string, number>>, node: number | "" = ""): Ports {
  const [broker = 0, sasl = 0, controller = 0] = ["broker", "sasl", "controller"].map((name) => free[`${name}${node}`]);
  return { broker, sasl, controller };
}

function portsFor(
  { port, listeners = {} }: KafkaOptions,
  member: Membership | undefined,
): { ports: Ports; listeners: Readonly<Record<string, number>> } {
  const names = Object.keys(listeners);
  const free: Record<string, number> = freePorts("broker", "sasl", "controller", ...names);
  const own = member?.ports[member.node - 1] ?? portsIn(free);
  return {
    ports: { ...own, broker: port ?? own.broker },
    listeners: Object.fromEntries(names.map((name) => [name, free[name] ?? 0])),
  };
}

/** A line of `kcat -J`; headers are name, value, name, value. */
interface KcatRecord {
  readonly partition: number;
  readonly offset: number;
  readonly ts: number;
  readonly key: string | null;
  readonly headers?: readonly (string | null)[];
  readonly payload: string | null;
}

/** The files that formatting creates in the data folder. */
const FORMATTED = ["meta.properties", "bootstrap.checkpoint"];

/** Nothing is lost silently. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const LOG4J = `status = error
rootLogger.level = INFO
rootLogger.appenderRef.o.ref = O
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = WARN
appender.o.type = Console
appender.o.name = O
appender.o.target = SYSTEM_ERR
appender.o.layout.type = PatternLayout
appender.o.layout.pattern = %d %p %m (%c)%n
`;

function settings(
  { partitions = 1, sasl, listeners = {}, users = {}, properties }: KafkaOptions,
  dataDir: string,
  ports: Ports,
  listenerPorts: Readonly<Record<string, number>>,
  member: Membership | undefined,
): Record<string, string> {
  const all: Record<string, Listener> = { ...(sasl && { sasl: { mechanisms: ["PLAIN"] } }), ...listeners };
  const names = Object.keys(all);
  const clients = [
    `PLAINTEXT://127.0.0.1:${ports.broker}`,
    ...sasl ? [`SASL://127.0.0.1:${ports.sasl}`] : [],
    ...Object.keys(listeners).map((name) => `${name.toUpperCase()}://localhost:${listenerPorts[name]}`),
  ].join();
  const protocols = names.map((name) => {
    const { mechanisms, tls } = all[name] ?? {};
    return `${name.toUpperCase()}:${mechanisms ? "SASL_" : ""}${tls ? "SSL" : "PLAINTEXT"}`;
  });
  const copies = String(member?.ports.length ?? 1);
  const enough = String(Math.ceil(Number(copies) * 2 / 3));
  const voters = (member?.ports ?? [ports]).map(({ controller }, index) => `${index + 1}@127.0.0.1:${controller}`);
  const logins = { ...users, ...(sasl && { [sasl.username]: sasl.password }) };
  return {
    "process.roles": "broker,controller",
    "node.id": String(member?.node ?? 1),
    "controller.quorum.voters": voters.join(),
    "controller.listener.names": "CONTROLLER",
    "listeners": `${clients},CONTROLLER://127.0.0.1:${ports.controller}`,
    "advertised.listeners": clients,
    "listener.security.protocol.map": ["PLAINTEXT:PLAINTEXT", ...protocols, "CONTROLLER:PLAINTEXT"].join(),
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": `${dataDir}/log`,
    "auto.create.topics.enable": "false",
    "num.partitions": String(partitions),
    "default.replication.factor": copies,
    "offsets.topic.replication.factor": copies,
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": copies,
    "transaction.state.log.min.isr": enough,
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": copies,
    "share.coordinator.state.topic.min.isr": enough,
    "group.initial.rebalance.delay.ms": "0",
    // after kill -9 a restart waits until the old registration expires
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    ...Object.assign({}, ...names.map((name) => listenerSettings(name, all[name] ?? {}, logins))),
    ...properties,
  };
}

function listenerSettings(name: string, { mechanisms = [], tls }: Listener, users: Readonly<Record<string, string>>) {
  const prefix = `listener.name.${name.toLowerCase()}`;
  const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const plain = Object.entries(users).map(([user, password]) => ` user_${user}=${quoted(password)}`).join("");
  const found: Record<string, string> = {};
  if (mechanisms.length > 0) found[`${prefix}.sasl.enabled.mechanisms`] = mechanisms.join();
  for (const mechanism of mechanisms) {
    const [login, own] = mechanism === "PLAIN" ? ["plain.PlainLoginModule", plain] : ["scram.ScramLoginModule", ""];
    found[`${prefix}.${mechanism.toLowerCase()}.sasl.jaas.config`] =
      `org.apache.kafka.common.security.${login} required${own};`;
  }
  if (tls !== undefined) {
    found[`${prefix}.ssl.keystore.type`] = "PEM";
    found[`${prefix}.ssl.keystore.key`] = tls.key;
    found[`${prefix}.ssl.keystore.certificate.chain`] = tls.chain;
    if (tls.clientCa !== undefined) {
      found[`${prefix}.ssl.client.auth`] = "required";
      found[`${prefix}.ssl.truststore.type`] = "PEM";
      found[`${prefix}.ssl.truststore.certificates`] = tls.clientCa;
    }
  }
  return found;
}

/** Escapes backslashes and non-ASCII characters, because Java reads property files as Latin-1. */
function propertiesFile(properties: Record<string, string>): string {
  const escape = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return Object.entries(properties).map(([name, value]) => `${name}=${value.replace(/[^ -[\]-~]/g, escape)}\n`).join(
    "",
  );
}

function toRecord(
  partition: number,
  offset: number,
  timestamp: number,
  key: string | null,
  headers: readonly (readonly [string, string])[],
  value: string | null,
): KafkaRecord {
  const where = `Record ${offset} of partition ${partition}`;
  if (value === null) throw new Error(`${where} has no value`);
  const text = (bytes: string) => UTF8.decode(Buffer.from(bytes, "latin1"));
  try {
    return {
      partition,
      offset,
      timestamp,
      key: key === null ? null : text(key),
      headers: Object.fromEntries(headers.map(([name, value]) => [text(name), text(value)])),
      value: text(value),
    };
  } catch (cause) {
    throw new Error(`${where} is not UTF-8`, { cause });
  }
}

/** Runs a program and calls `take` with each part of its output up to a separator, as one character per byte. */
async function collect(
  command: string,
  args: string[],
  separator = "\n",
  take?: (piece: string) => void,
): Promise<void> {
  const child = new Deno.Command(command, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(READ_MS),
  }).spawn();
  const errors = new Response(child.stderr).text();
  let rest = "";
  for await (const chunk of child.stdout) {
    const pieces = (rest + Buffer.from(chunk).toString("latin1")).split(separator);
    rest = pieces.pop() ?? "";
    if (take) pieces.forEach(take);
  }
  const [{ code }, said] = await Promise.all([child.status, errors]);
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${said.trim().split("\n").slice(-20).join("\n")}`);
}

/** Kafka's version, which is defined in the pom only. */
function version(): string {
  const pom = Deno.readTextFileSync(new URL("kafka/pom.xml", import.meta.url));
  return /<kafka\.version>(.+)<\/kafka\.version>/.exec(pom)?.[1] ?? "";
}

/** The folder with Kafka's jars. */
export function jars(): string {
  return `${cache()}/kafka/libs-${version()}`;
}

function onPath(command: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((dir) => exists(`${dir}/${command}`));
}
