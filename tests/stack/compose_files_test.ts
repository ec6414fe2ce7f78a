// The Compose files as Compose merges them, with influxv2.env copied from its example and nothing else set. compose-check
// judges as `docker compose config` does; what Docker itself makes of it needs Docker: run.ts.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { SETTINGS } from "../../src/config/config.ts";
import { binary, binaryMissing } from "../servers/process.ts";
import { programsMissing, testUnless } from "./needs.ts";

const missing = binaryMissing("Compose", "compose-check") ?? programsMissing(binary("compose-check"));

const BASE = "docker-compose.yml";
const ZOOKEEPER = "docker-compose.zookeeper.yml";
const DEMO = "docker-compose.demo.yml";
const CLUSTER = "docker-compose.cluster.yml";
const COMBINATIONS = [
  [BASE],
  [BASE, ZOOKEEPER],
  [BASE, CLUSTER],
  [BASE, DEMO],
  [BASE, ZOOKEEPER, DEMO],
  [BASE, CLUSTER, DEMO],
];

interface Mount {
  readonly type: string;
  readonly source?: string;
  readonly target: string;
  readonly read_only?: boolean;
}

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string };
  readonly user?: string;
  readonly entrypoint?: readonly string[] | null;
  readonly command?: readonly string[] | null;
  readonly stop_signal?: string;
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly privileged?: boolean;
  readonly mem_limit?: string;
  readonly logging?: { readonly options?: Readonly<Record<string, string>> };
  readonly healthcheck?: { readonly test: readonly string[]; readonly start_period?: string };
  readonly ports?: readonly { readonly host_ip?: string; readonly target: number; readonly published: string }[];
  readonly volumes?: readonly Mount[];
  readonly tmpfs?: readonly string[];
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string; readonly restart?: boolean }>>;
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly network_mode?: string;
  readonly profiles?: readonly string[];
}

interface Project {
  readonly name: string;
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly networks: Readonly<Record<string, unknown>>;
}

/** The files as Compose understands them in a folder that holds them and `more`; fails with Compose's reason. */
async function merge(files: readonly string[], more: Record<string, string> = {}, env = {}): Promise<Project> {
  const dir = await Deno.makeTempDir({ prefix: "compose-" });
  try {
    for (const file of files.filter((file) => !(file in more))) await Deno.copyFile(file, `${dir}/${file}`);
    for (const [name, text] of Object.entries(more)) await Deno.writeTextFile(`${dir}/${name}`, text);
    const { code, stdout, stderr } = await new Deno.Command(binary("compose-check"), {
      args: [...files],
      cwd: dir,
      clearEnv: true,
      env: { HOME: dir, ...env },
    }).output();
    if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout).replaceAll(dir, ""));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function example(): Promise<Record<string, string>> {
  return { "influxv2.env": await Deno.readTextFile("influxv2.env-example") };
}

/** Which paths the images declare as volumes: what covers none of them gets an anonymous volume at each creation. */
const DECLARED: Record<string, readonly string[]> = {
  "apache/kafka": ["/etc/kafka/secrets", "/mnt/shared/config", "/var/lib/kafka/data"],
  "confluentinc/cp-kafka": ["/etc/kafka/secrets", "/var/lib/kafka/data"],
  "confluentinc/cp-zookeeper": ["/etc/zookeeper/secrets", "/var/lib/zookeeper/data", "/var/lib/zookeeper/log"],
  "influxdb": ["/etc/influxdb2", "/var/lib/influxdb2"],
  "telegraf": [],
  "grafana/grafana": [],
  "coinbase-producer": [],
};

const ONE_SHOTS = ["init-kafka", "check-env", "init-influx"];

for (const files of COMBINATIONS) {
  testUnless(missing, `${files.join(" + ")}: every service is pinned, bounded and without rights`, async () => {
    const { services } = await merge(files, await example());
    for (const [name, service] of Object.entries(services)) {
      const says = (what: string) => `${name}: ${what}`;
      assertMatch(service.image, /^[a-z/-]+:\d+\.\d+\.\d+$/, says("an exact version"));
      assertEquals(service.cap_drop, ["ALL"], says("capabilities"));
      assertEquals(service.cap_add ?? [], name === "init-influx" ? ["DAC_READ_SEARCH"] : [], says("capabilities"));
      assertEquals(service.security_opt, ["no-new-privileges:true"], says("new privileges"));
      assert(service.privileged !== true, says("privileged"));
      assertMatch(
        service.user ?? "none",
        service.image.startsWith("telegraf:") ? /^telegraf$/ : /^\d+:\d+$/,
        says("user"),
      );
      assert(name === "init-influx" || !/^0:|^root/.test(service.user ?? "root"), says("root"));
      // Confluent's start scripts write their settings into the image
      const writes = service.image.startsWith("confluentinc/") && name !== "init-kafka";
      assertEquals(service.read_only ?? false, !writes, says("read-only root"));

      const memory = Number(service.mem_limit ?? 0);
      assert(memory >= 64 * 2 ** 20 && memory <= 2 ** 30, says(`memory limit ${memory}`));
      const { "max-size": size, "max-file": count } = service.logging?.options ?? {};
      assert(/^\d+m$/.test(size ?? "") && Number(count) > 1, says("log rotation"));

      const oneShot = ONE_SHOTS.includes(name);
      assertEquals(service.restart, oneShot ? "no" : "unless-stopped", says("restart"));
      assertEquals(service.healthcheck === undefined, oneShot, says("health check"));
      for (const port of service.ports ?? []) assertEquals(port.host_ip, "127.0.0.1", says(`port ${port.published}`));
      assert(service.network_mode === "none" || Object.keys(service.networks ?? {}).length > 0, says("networks"));
    }
  });

  testUnless(
    missing,
    `${files.join(" + ")}: no volume is anonymous, and no folder of the computer can be written`,
    async () => {
      const { services, volumes } = await merge(files, await example());
      const used = new Set<string>();
      for (const [name, { image, volumes: mounts = [], tmpfs = [] }] of Object.entries(services)) {
        const targets = [...mounts.map(({ target }) => target), ...tmpfs.map((each) => each.replace(/:.*/, ""))];
        const declared = DECLARED[image.replace(/:.*/, "")];
        assert(declared !== undefined, `${name}: which volumes does ${image} declare?`);
        for (const path of declared) assert(targets.includes(path), `${name}: ${path} is not covered`);
        for (const { type, source, target, read_only: readOnly } of mounts) {
          assert(source !== undefined && source !== "", `${name}: ${target} is anonymous`);
          if (type === "volume") used.add(source);
          else assertEquals([type, readOnly], ["bind", true], `${name}: ${target}`);
        }
      }
      const unused = files.includes(ZOOKEEPER) || files.includes(CLUSTER) ? ["kafka-data"] : [];
      assertEquals(Object.keys(volumes).filter((name) => !used.has(name)), unused);
    },
  );

  testUnless(missing, `${files.join(" + ")}: each service waits for what it needs to be well`, async () => {
    const { services } = await merge(files, await example());
    const after = (name: string) => {
      const found = Object.entries(services[name]?.depends_on ?? {});
      return found.map(([on, { condition }]) => `${on} ${condition.replace("service_", "")}`).sort();
    };
    const demo = files.includes(DEMO) ? ["coinbase-simulator healthy"] : [];
    const checked = "check-env completed_successfully";
    const brokers = files.includes(CLUSTER) ? ["broker", "broker-2", "broker-3"] : ["broker"];
    for (const broker of brokers) {
      assertEquals(after(broker), [checked, ...files.includes(ZOOKEEPER) ? ["zookeeper healthy"] : []]);
    }
    assertEquals(after("init-kafka"), brokers.map((name) => `${name} healthy`));
    assertEquals(after("coinbase-producer"), [...demo, "init-kafka completed_successfully"]);
    assertEquals(after("influxdb"), [checked]);
    assertEquals(after("init-influx"), ["influxdb healthy"]);
    for (const telegraf of files.includes(CLUSTER) ? ["telegraf", "telegraf-2"] : ["telegraf"]) {
      assertEquals(after(telegraf), ["init-influx completed_successfully", "init-kafka completed_successfully"]);
    }
    assertEquals(after("grafana"), ["init-influx completed_successfully"]);
    // otherwise `up --wait` takes the end of a one-shot for a failure
    for (const oneShot of ONE_SHOTS) {
      const dependents = Object.values(services).filter(({ depends_on: on, restart }) =>
        on?.[oneShot]?.condition === "service_completed_successfully" && restart !== "no"
      );
      assert(dependents.length > 0, oneShot);
    }
  });

  testUnless(missing, `${files.join(" + ")}: without influxv2.env only check-env can start`, async () => {
    const { services } = await merge(files);
    const waitsForCheck = (name: string): boolean =>
      Object.entries(services[name]?.depends_on ?? {}).some(([on, { condition }]) =>
        on === "check-env" ? condition === "service_completed_successfully" : waitsForCheck(on)
      );
    assertEquals(Object.keys(services).filter((name) => !waitsForCheck(name)), ["check-env"]);
  });

  testUnless(missing, `${files.join(" + ")}: no secret but the example's, and only where it is needed`, async () => {
    const project = await merge(files, await example());
    const secrets = /PASSWORD|TOKEN$|SECRET|KEY$/;
    const found = Object.entries(project.services).flatMap(([name, { environment = {} }]) =>
      Object.entries(environment).filter(([variable]) => secrets.test(variable))
        .map(([variable, value]) => `${name} ${variable}=${value}`)
    );
    assertEquals(
      found.sort(),
      ["check-env", "init-influx", "influxdb"].flatMap((name) => [
        `${name} DOCKER_INFLUXDB_INIT_ADMIN_TOKEN=change-me-token`,
        `${name} DOCKER_INFLUXDB_INIT_PASSWORD=change-me-password`,
      ]).sort(),
    );
  });
}

/** What else is expected of a service: changing one of these changes how the stack runs. */
interface Expected {
  readonly test?: readonly string[];
  readonly stopSignal?: string;
  readonly entrypoint?: readonly string[];
  readonly user: string;
  readonly tmpfs?: readonly string[];
  /** Of the environment, what matters. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Volumes with a token, where they stand, and whether they can be written. */
  readonly tokens?: readonly string[];
  /** Condition by service; `restart`: when that one is made anew, so is this. */
  readonly after?: Readonly<Record<string, string>>;
}

const BROKERS = "broker:19092";

/** The addresses of more producers, after the first. */
const MORE_PRODUCERS = [2, 3, 4, 5, 6, 7, 8].map((number) => `PRODUCER_METRICS_${number}`);

const EXPECTED: Record<string, Expected> = {
  "broker": {
    test: ["CMD", "bash", "-c", "</dev/tcp/broker/19092"],
    user: "1000:1000",
    tmpfs: [
      "/opt/kafka/config:uid=1000,gid=1000,mode=0755,size=1m",
      "/opt/kafka/logs:uid=1000,gid=1000,mode=0755,size=16m",
      "/etc/kafka/secrets:mode=0755,size=1m",
      "/tmp:size=16m",
    ],
    environment: {
      CLUSTER_ID: "iEj26M4RQXyzOJjUpnBRuA",
      EXTRA_ARGS: "-name kafkaServer",
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: "false",
      KAFKA_BROKER_HEARTBEAT_INTERVAL_MS: "500",
      KAFKA_BROKER_SESSION_TIMEOUT_MS: "3000",
      KAFKA_LOG_DIRS: "/var/lib/kafka/data",
      KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: "1",
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: "1",
    },
    after: { "check-env": "service_completed_successfully" },
  },
  "init-kafka": {
    entrypoint: ["/bin/bash", "/mnt/shared/config/init-kafka.sh"],
    user: "1000:1000",
    tmpfs: [
      "/opt/kafka/logs:uid=1000,gid=1000,mode=0755,size=1m",
      "/etc/kafka/secrets:size=1k",
      "/var/lib/kafka/data:size=1k",
      "/tmp:size=16m",
    ],
    environment: { KAFKA_BROKERS: BROKERS },
    after: { "broker": "service_healthy" },
  },
  "coinbase-producer": {
    test: [
      "CMD",
      "deno",
      "eval",
      "Deno.env.set('NO_PROXY', '127.0.0.1'); Deno.exit((await fetch('http://127.0.0.1:8000/healthz')).ok ? 0 : 1)",
    ],
    user: "1993:1993",
    environment: {
      HOST: "0.0.0.0",
      PORT: "8000",
      ALLOWED_HOSTS: "coinbase-producer",
      KAFKA_BROKERS: BROKERS,
      CURSOR_FILE: "/var/lib/coinbase-producer/cursor.json",
    },
    after: { "init-kafka": "service_completed_successfully" },
  },
  "check-env": {
    entrypoint: ["/bin/bash", "/stack/check-env.sh"],
    user: "1000:1000",
    tmpfs: ["/var/lib/influxdb2:size=1k", "/etc/influxdb2:size=1k"],
  },
  "influxdb": {
    test: ["CMD", "influx", "ping", "--host", "http://localhost:8086"],
    stopSignal: "SIGINT",
    user: "1000:1000",
    tmpfs: ["/tmp:size=16m"],
    environment: { INFLUXD_REPORTING_DISABLED: "true", INFLUXD_STORAGE_CACHE_MAX_MEMORY_SIZE: "268435456" },
    after: { "check-env": "service_completed_successfully" },
  },
  "init-influx": {
    entrypoint: ["/bin/bash", "/stack/init-influx.sh"],
    user: "0:0",
    tmpfs: ["/var/lib/influxdb2:size=1k", "/tmp:size=1m"],
    environment: {
      INFLUX_URL: "http://influxdb:8086",
      TOKENS_TELEGRAF: "/tokens/telegraf",
      TOKENS_GRAFANA: "/tokens/grafana",
    },
    tokens: ["token-telegraf /tokens/telegraf", "token-grafana /tokens/grafana"],
    after: { "influxdb": "service_healthy" },
  },
  "telegraf": {
    test: ["CMD", "curl", "-fsS", "-o", "/dev/null", "http://localhost:8080/"],
    entrypoint: ["/bin/sh", "/stack/with-influx.sh", "/entrypoint.sh"],
    user: "telegraf",
    environment: {
      KAFKA_BROKER_1: BROKERS,
      KAFKA_BROKER_2: BROKERS,
      KAFKA_BROKER_3: BROKERS,
      INFLUX_URL: "http://influxdb:8086",
      TOKENS: "/run/tokens",
      PRODUCER_METRICS: "http://coinbase-producer:8000/metrics",
      // of one producer: Telegraf takes an empty one for not set
      ...Object.fromEntries(MORE_PRODUCERS.map((name) => [name, ""])),
      HEALTH: "http://:8080",
    },
    tokens: ["token-telegraf /run/tokens ro"],
    after: {
      "init-influx": "service_completed_successfully restart",
      "init-kafka": "service_completed_successfully restart",
    },
  },
  "grafana": {
    test: ["CMD", "wget", "-qO", "/dev/null", "http://localhost:3000/api/health"],
    entrypoint: ["/bin/sh", "/stack/with-influx.sh", "/run.sh"],
    user: "472:0",
    tmpfs: ["/tmp:size=64m"],
    environment: {
      INFLUX_URL: "http://influxdb:8086",
      ALERT_WEBHOOK_URL: "http://127.0.0.1:9/",
      GF_PLUGINS_PREINSTALL_DISABLED: "true",
      GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED: "true",
    },
    tokens: ["token-grafana /run/tokens ro"],
    after: { "init-influx": "service_completed_successfully restart" },
  },
};

function without<T extends object, K extends keyof T>(from: T | undefined, key: K): Partial<Omit<T, K>> {
  const { [key]: _, ...rest } = from ?? {} as T;
  return rest as Partial<Omit<T, K>>;
}

/** Without what is undefined or empty. */
function said(expected: Expected): Partial<Expected> {
  return Object.fromEntries(
    Object.entries(expected).filter(([, value]) => value !== undefined && Object.keys(value).length > 0),
  );
}

// Grafana does not start with an empty address, so an empty variable must count as none
for (const env of [{}, { ALERT_WEBHOOK_URL: "" }]) {
  const given = Object.keys(env).map((name) => ` with ${name}= empty`).join("");
  testUnless(missing, `${BASE}${given}: each service is probed, ended, started and mounted as it must be`, async () => {
    const { services } = await merge([BASE], await example(), env);
    const found = Object.entries(services).map(([name, service]) => {
      const matters = Object.keys(EXPECTED[name]?.environment ?? {});
      const tokens = (service.volumes ?? []).filter(({ source }) => source?.startsWith("token-"));
      return [
        name,
        said({
          test: service.healthcheck?.test ?? [],
          stopSignal: service.stop_signal ?? "",
          entrypoint: service.entrypoint ?? [],
          user: service.user ?? "",
          tmpfs: service.tmpfs ?? [],
          environment: Object.fromEntries(
            matters.map((variable) => [variable, service.environment?.[variable] ?? "(not set)"]),
          ),
          tokens: tokens.map(({ source, target, read_only: readOnly }) =>
            `${source} ${target}${readOnly === true ? " ro" : ""}`
          ),
          after: Object.fromEntries(
            Object.entries(service.depends_on ?? {}).map(([on, { condition, restart }]) => [
              on,
              `${condition}${restart === true ? " restart" : ""}`,
            ]),
          ),
        }),
      ];
    });
    assertEquals(Object.fromEntries(found), EXPECTED);
  });
}

testUnless(
  missing,
  `${CLUSTER}: three brokers that know of one another, three copies, two Telegrafs in one group`,
  async () => {
    const { services, volumes } = await merge([BASE, CLUSTER], await example());
    const base = (await merge([BASE], await example())).services;
    const brokers = ["broker", "broker-2", "broker-3"];
    const all = brokers.map((name) => `${name}:19092`);
    const data = brokers.map((name) =>
      services[name]?.volumes?.find(({ target }) => target === "/var/lib/kafka/data")?.source
    );
    // one that was made for a single broker must not be opened by three
    assertEquals(data, ["kafka-cluster-1", "kafka-cluster-2", "kafka-cluster-3"]);
    assert(data.every((name) => name !== undefined && Object.keys(volumes).includes(name)));
    const clusterId = services["broker"]?.environment?.["CLUSTER_ID"];
    assertMatch(clusterId ?? "", /^[\w-]{22}$/);
    assert(clusterId !== base["broker"]?.environment?.["CLUSTER_ID"]);
    for (const [index, name] of brokers.entries()) {
      const port = 9092 + index;
      const { environment, healthcheck, image, ports } = services[name] ?? {};
      assertEquals(image, base["broker"]?.image);
      assertEquals(healthcheck?.test, ["CMD", "bash", "-c", `</dev/tcp/${name}/19092`]);
      assertEquals(ports?.map(({ published, target }) => `${published}:${target}`), [`${port}:9092`]);
      assertEquals({ ...base["broker"]?.environment, ...environment }, {
        ...base["broker"]?.environment,
        CLUSTER_ID: clusterId ?? "",
        KAFKA_NODE_ID: String(index + 1),
        KAFKA_CONTROLLER_QUORUM_VOTERS: brokers.map((each, i) => `${i + 1}@${each}:29093`).join(),
        KAFKA_ADVERTISED_LISTENERS: `INTERNAL://${name}:19092,EXTERNAL://localhost:${port}`,
        KAFKA_DEFAULT_REPLICATION_FACTOR: "3",
        KAFKA_MIN_INSYNC_REPLICAS: "2",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: "3",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: "3",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: "2",
        KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: "3",
        KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: "2",
        KAFKA_HEAP_OPTS: "-Xms384m -Xmx384m",
      });
    }
    const init = services["init-kafka"]?.environment ?? {};
    assertEquals([init["KAFKA_BROKERS"], init["TOPIC_REPLICATION"], init["TOPIC_MIN_ISR"], init["TOPIC_PARTITIONS"]], [
      all.join(),
      "3",
      "2",
      "6",
    ]);
    assertEquals(services["coinbase-producer"]?.environment?.["KAFKA_BROKERS"], all.join());
    const telegrafs = Object.entries(services).filter(([, { image }]) => image.startsWith("telegraf:"));
    assertEquals(telegrafs.map(([name]) => name).sort(), ["telegraf", "telegraf-2"]);
    for (const [name, { environment, volumes, ...rest }] of telegrafs) {
      // the same file, and so the same group; the same token
      assertEquals(volumes, base["telegraf"]?.volumes);
      assertEquals({ ...rest, environment: undefined }, {
        ...without(base["telegraf"], "volumes"),
        environment: undefined,
      });
      assertEquals(environment, {
        ...base["telegraf"]?.environment,
        KAFKA_BROKER_1: all[0] ?? "",
        KAFKA_BROKER_2: all[1] ?? "",
        KAFKA_BROKER_3: all[2] ?? "",
        TELEGRAF_NAME: name,
      });
    }
  },
);

testUnless(missing, `${CLUSTER}: ports and topics come from .env and the environment`, async () => {
  const env = { KAFKA_PORT_2: "12", KAFKA_PORT_3: "13", TOPIC_PARTITIONS: "12", TOPIC_MIN_ISR: "3", SHARD: "1/2" };
  const { services } = await merge([BASE, CLUSTER], await example(), env);
  assertMatch(services["broker-2"]?.environment?.["KAFKA_ADVERTISED_LISTENERS"] ?? "", /localhost:12$/);
  assertMatch(services["broker-3"]?.environment?.["KAFKA_ADVERTISED_LISTENERS"] ?? "", /localhost:13$/);
  assertEquals(services["init-kafka"]?.environment?.["TOPIC_PARTITIONS"], "12");
  assertEquals(services["init-kafka"]?.environment?.["TOPIC_MIN_ISR"], "3");
  assertEquals(services["coinbase-producer"]?.environment?.["SHARD"], "1/2");
});

testUnless(missing, "all files load together, as the tasks that end everything name them", async () => {
  const { services } = await merge([BASE, ZOOKEEPER, CLUSTER, DEMO], await example());
  for (const name of ["zookeeper", "broker-3", "telegraf-2", "coinbase-simulator"]) assert(name in services, name);
});

testUnless(missing, "the stack has the services, images, ports and networks that its pages describe", async () => {
  const { services, networks, name } = await merge([BASE, ZOOKEEPER, DEMO], await example());
  assertEquals(name, "crypto-data-streaming");
  assertEquals(Object.keys(networks).sort(), ["broker-kafka", "influx"]);
  const published = Object.entries(services).flatMap(([name, { ports = [] }]) =>
    ports.map(({ published, target }) => `${name} ${published}:${target}`)
  );
  assertEquals(published.sort(), [
    "broker 9092:9092",
    "coinbase-producer 8000:8000",
    "coinbase-simulator 8765:8765",
    "grafana 3000:3000",
    "influxdb 8086:8086",
    "zookeeper 2181:2181",
  ]);
  const { version } = JSON.parse(await Deno.readTextFile("deno.json")) as { version: string };
  assertEquals(services["coinbase-producer"]?.image, `coinbase-producer:${version}`);
  assertEquals(services["coinbase-simulator"]?.image, `coinbase-producer:${version}`);
  const base = await merge([BASE], await example());
  const images = Object.values(base.services).map(({ image }) => image);
  assertEquals([...new Set(images)].sort(), [
    "apache/kafka:4.3.1",
    `coinbase-producer:${version}`,
    "grafana/grafana:12.4.12",
    "influxdb:2.7.12",
    "telegraf:1.39.3",
  ]);
  // both listeners must be advertised under addresses that clients can reach, with KRaft or without
  for (const { services } of [base, await merge([BASE, ZOOKEEPER], await example())]) {
    const advertised = services["broker"]?.environment?.["KAFKA_ADVERTISED_LISTENERS"];
    assertEquals(advertised, "INTERNAL://broker:19092,EXTERNAL://localhost:9092");
    assertEquals(services["broker"]?.environment?.["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], "false");
  }
  assertEquals(services["broker"]?.environment?.["KAFKA_PROCESS_ROLES"], undefined);
  assertEquals(services["coinbase-producer"]?.environment?.["COINBASE_WS_URL"], "ws://coinbase-simulator:8765");
});

testUnless(
  missing,
  "each Telegraf scrapes as many producers as telegraf.conf lists, from .env and the environment",
  async () => {
    const conf = await Deno.readTextFile("telegraf/telegraf.conf");
    const urls = /^ {2}urls = \[\n((?: {4}.*\n)+) {2}\]\n {2}metric_version/m.exec(conf)?.[1]?.trim().split("\n") ?? [];
    const first = "${PRODUCER_METRICS:-http://coinbase-producer:8000/metrics}";
    // one that is not set is the first, which Telegraf asks once
    assertEquals(urls.map((line) => line.trim()), [
      `"${first}",`,
      ...MORE_PRODUCERS.map((name) => `"\${${name}:-${first}}",`),
    ]);
    const given = { PRODUCER_METRICS: "http://one:8000/metrics", PRODUCER_METRICS_8: "http://eight:8000/metrics" };
    const files = { ...await example(), ".env": "PRODUCER_METRICS_2=http://two:8000/metrics\n" };
    const { services } = await merge([BASE, CLUSTER], files, given);
    for (const name of ["telegraf", "telegraf-2"]) {
      const found = Object.entries(services[name]?.environment ?? {}).filter(([name]) => /^PRODUCER/.test(name));
      assertEquals(Object.fromEntries(found), {
        ...Object.fromEntries(MORE_PRODUCERS.map((name) => [name, ""])),
        ...given,
        PRODUCER_METRICS_2: "http://two:8000/metrics",
      });
    }
  },
);

testUnless(missing, "ports and settings of the stack come from .env and the environment", async () => {
  const settings = async (files: readonly string[]) =>
    await merge(files, {
      ...await example(),
      ".env":
        "KAFKA_PORT=19\nGRAFANA_PORT=20\nCOINBASE_PRODUCTS=BTC-USD\nKAFKA_BROKERS=localhost:9092\nHOST=127.0.0.1\n",
    }, {
      INFLUX_PORT: "21",
      PRODUCER_PORT: "22",
      ZOOKEEPER_PORT: "23",
      SIMULATOR_PORT: "24",
      TOPIC_RETENTION_MS: "3600000",
      INFLUX_RETENTION: "30d",
      ALERT_WEBHOOK_URL: "http://hook",
    });
  const { services } = await settings([BASE, ZOOKEEPER, DEMO]);
  const published = Object.values(services).flatMap(({ ports = [] }) => ports.map(({ published }) => published));
  assertEquals(published.sort(), ["19", "20", "21", "22", "23", "24"]);
  // whatever the producer asks for can be had; of an empty list the simulator makes its default
  assertEquals(services["coinbase-simulator"]?.command?.at(-1), "--products=BTC-USD");
  const plain = await merge([BASE, DEMO], await example());
  assertEquals(plain.services["coinbase-simulator"]?.command?.at(-1), "--products=");
  assertMatch(services["broker"]?.environment?.["KAFKA_ADVERTISED_LISTENERS"] ?? "", /localhost:19$/);
  const producer = (await settings([BASE, ZOOKEEPER])).services["coinbase-producer"]?.environment ?? {};
  // where this program runs outside of the stack is not where the one inside finds things
  assertEquals([producer["COINBASE_PRODUCTS"], producer["KAFKA_BROKERS"], producer["HOST"]], [
    "BTC-USD",
    "broker:19092",
    "0.0.0.0",
  ]);
  assertEquals(services["init-kafka"]?.environment?.["TOPIC_RETENTION_MS"], "3600000");
  assertEquals(services["init-influx"]?.environment?.["INFLUX_RETENTION"], "30d");
  assertEquals(services["grafana"]?.environment?.["ALERT_WEBHOOK_URL"], "http://hook");
});

testUnless(
  missing,
  "the override of docs/managed-kafka.md: no broker of our own, and no service waits for one",
  async () => {
    const page = await Deno.readTextFile("docs/managed-kafka.md");
    const [, override = ""] = /<!-- managed -->\s*```yaml\n([^]*?)```/.exec(page) ?? [];
    const managed = "docker-compose.managed.yml";
    const { services } = await merge([BASE, managed], {
      ...await example(),
      [managed]: override,
      ".env": "KAFKA_BOOTSTRAP=kafka.example:9096\nKAFKA_SASL_MECHANISM=SCRAM-SHA-512\nKAFKA_USERNAME=feed\n" +
        "KAFKA_PASSWORD='a$b'\nTELEGRAF_KAFKA_USERNAME=telegraf\nTELEGRAF_KAFKA_PASSWORD='c$d'\n",
    });
    // with a profile that is not enabled
    const idle = Object.entries(services).filter(([, { profiles = [] }]) => profiles.length > 0);
    const started = Object.entries(services).filter(([, { profiles = [] }]) => profiles.length === 0);
    assertEquals(idle.map(([name]) => name).sort(), ["broker", "init-kafka"]);
    const waitsFor = started.flatMap(([, { depends_on: on }]) => Object.keys(on ?? {}));
    assertEquals(waitsFor.filter((name) => idle.some(([one]) => one === name)), []);
    const producer = services["coinbase-producer"];
    const telegraf = services["telegraf"];
    const login = { KAFKA_SSL_CA_FILE: "/run/kafka-ca.pem", KAFKA_SASL_MECHANISM: "SCRAM-SHA-512" };
    const pick = (service: Service | undefined, names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, service?.environment?.[name]]));
    const wanted = {
      ...login,
      KAFKA_BROKERS: "kafka.example:9096",
      KAFKA_SSL: "true",
      KAFKA_USERNAME: "feed",
      KAFKA_PASSWORD: "a$b",
    };
    assertEquals(pick(producer, Object.keys(wanted)), wanted);
    const reader = {
      ...login,
      KAFKA_BROKER_1: "kafka.example:9096",
      KAFKA_BROKER_2: "kafka.example:9096",
      KAFKA_BROKER_3: "kafka.example:9096",
      KAFKA_USERNAME: "telegraf",
      KAFKA_PASSWORD: "c$d",
    };
    assertEquals(pick(telegraf, Object.keys(reader)), reader);
    for (const service of [producer, telegraf]) {
      const mount = service?.volumes?.find(({ target }) => target === "/run/kafka-ca.pem");
      assertEquals([mount?.type, mount?.read_only], ["bind", true]);
    }
    // each name is one that the program, or Telegraf's file, asks for
    const conf = await Deno.readTextFile("telegraf/telegraf.conf");
    for (const name of Object.keys(reader)) assert(conf.includes(`\${${name}:-`), name);
    const known = SETTINGS.map(({ name }) => name);
    for (const name of Object.keys(wanted)) assert(known.includes(name.replace(/_FILE$/, "")), name);
  },
);

testUnless(missing, "the files load without influxv2.env, so that check-env can say what to do", async () => {
  const { services } = await merge([BASE]);
  assertEquals(services["check-env"]?.environment?.["DOCKER_INFLUXDB_INIT_MODE"], undefined);
});

testUnless(missing, "compose-check refuses what Compose would refuse", async () => {
  for (const file of [ZOOKEEPER, CLUSTER, DEMO]) {
    let reason = "";
    await merge([file], await example()).catch((error) => reason = String(error));
    assert(reason !== "", `${file} alone is no stack`);
  }
});
