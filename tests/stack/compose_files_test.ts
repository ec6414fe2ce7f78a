// The Compose files as Compose merges them, with influxv2.env copied from its example and nothing else set. compose-check
// judges as `docker compose config` does; what Docker itself makes of it needs Docker: run.ts.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { binary, binaryMissing } from "../servers/process.ts";
import { programsMissing, testUnless } from "./needs.ts";

const missing = binaryMissing("Compose", "compose-check") ?? programsMissing(binary("compose-check"));

const BASE = "docker-compose.yml";
const ZOOKEEPER = "docker-compose.zookeeper.yml";
const DEMO = "docker-compose.demo.yml";
const COMBINATIONS = [[BASE], [BASE, ZOOKEEPER], [BASE, DEMO], [BASE, ZOOKEEPER, DEMO]];

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
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly network_mode?: string;
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
    for (const file of files) await Deno.copyFile(file, `${dir}/${file}`);
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
      assertMatch(service.user ?? "none", name === "telegraf" ? /^telegraf$/ : /^\d+:\d+$/, says("user"));
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
      const unused = files.includes(ZOOKEEPER) ? ["kafka-data"] : [];
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
    assertEquals(after("broker"), files.includes(ZOOKEEPER) ? ["zookeeper healthy"] : []);
    assertEquals(after("init-kafka"), ["broker healthy"]);
    assertEquals(after("coinbase-producer"), [...demo, "init-kafka completed_successfully"]);
    assertEquals(after("influxdb"), ["check-env completed_successfully"]);
    assertEquals(after("init-influx"), ["influxdb healthy"]);
    assertEquals(after("telegraf"), ["init-influx completed_successfully", "init-kafka completed_successfully"]);
    assertEquals(after("grafana"), ["init-influx completed_successfully"]);
    // or `up --wait` takes the end of a one-shot for a failure
    for (const oneShot of ONE_SHOTS) {
      const dependents = Object.values(services).filter(({ depends_on: on }) => on?.[oneShot] !== undefined);
      assert(dependents.length > 0, oneShot);
    }
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

testUnless(missing, "the stack has the services, images, ports and networks that its pages tell of", async () => {
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
  // both listeners must be told to clients as they can reach them, KRaft or not
  for (const { services } of [base, await merge([BASE, ZOOKEEPER], await example())]) {
    const advertised = services["broker"]?.environment?.["KAFKA_ADVERTISED_LISTENERS"];
    assertEquals(advertised, "INTERNAL://broker:19092,EXTERNAL://localhost:9092");
    assertEquals(services["broker"]?.environment?.["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], "false");
  }
  assertEquals(services["broker"]?.environment?.["KAFKA_PROCESS_ROLES"], undefined);
  assertEquals(services["coinbase-producer"]?.environment?.["COINBASE_WS_URL"], "ws://coinbase-simulator:8765");
});

testUnless(missing, "ports and settings of the stack come from .env and the environment", async () => {
  const { services } = await merge([BASE, ZOOKEEPER, DEMO], {
    ...await example(),
    ".env": "KAFKA_PORT=19\nGRAFANA_PORT=20\nCOINBASE_PRODUCTS=BTC-USD\nKAFKA_BROKERS=localhost:9092\nHOST=127.0.0.1\n",
  }, {
    INFLUX_PORT: "21",
    PRODUCER_PORT: "22",
    ZOOKEEPER_PORT: "23",
    SIMULATOR_PORT: "24",
    TOPIC_RETENTION_MS: "3600000",
    INFLUX_RETENTION: "30d",
    ALERT_WEBHOOK_URL: "http://hook",
  });
  const published = Object.values(services).flatMap(({ ports = [] }) => ports.map(({ published }) => published));
  assertEquals(published.sort(), ["19", "20", "21", "22", "23", "24"]);
  assertMatch(services["broker"]?.environment?.["KAFKA_ADVERTISED_LISTENERS"] ?? "", /localhost:19$/);
  const producer = services["coinbase-producer"]?.environment ?? {};
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

testUnless(missing, "the files load without influxv2.env, so that check-env can say what to do", async () => {
  const { services } = await merge([BASE]);
  assertEquals(services["check-env"]?.environment?.["DOCKER_INFLUXDB_INIT_MODE"], undefined);
});

testUnless(missing, "compose-check refuses what Compose would refuse", async () => {
  for (const file of [ZOOKEEPER, DEMO]) {
    let reason = "";
    await merge([file], await example()).catch((error) => reason = String(error));
    assert(reason !== "", `${file} alone is no stack`);
  }
});
