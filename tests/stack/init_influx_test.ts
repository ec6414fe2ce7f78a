// influxdb/*.sh unchanged: init-influx.sh on a real InfluxDB, the other two alone.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { influxMissing, InfluxServer } from "../servers/influxdb.ts";
import { programsMissing, testUnless } from "./needs.ts";
import { runScript, type ScriptRun } from "./script.ts";

const missing = influxMissing() ?? programsMissing("bash", "curl");

interface Stage extends AsyncDisposable {
  readonly influx: InfluxServer;
  readonly dir: string;
  /** Runs init-influx.sh; by default with what is right. */
  init(env?: Record<string, string>): Promise<ScriptRun>;
  /** A file that it left, such as `telegraf/telegraf`. */
  read(path: string): Promise<string>;
}

async function makeStage(): Promise<Stage> {
  const influx = await InfluxServer.start({ org: 'my "org" & co' });
  const dir = await Deno.makeTempDir();
  for (const name of ["telegraf", "grafana"]) await Deno.mkdir(`${dir}/${name}`);
  return {
    influx,
    dir,
    init: (env = {}) =>
      runScript("influxdb/init-influx.sh", {
        INFLUX_URL: influx.url,
        DOCKER_INFLUXDB_INIT_ORG: influx.org,
        DOCKER_INFLUXDB_INIT_BUCKET: influx.bucket,
        DOCKER_INFLUXDB_INIT_ADMIN_TOKEN: influx.adminToken,
        INFLUX_CONFIGS_PATH: `${dir}/influx-configs`,
        TOKENS_TELEGRAF: `${dir}/telegraf`,
        TOKENS_GRAFANA: `${dir}/grafana`,
        ...env,
      }),
    read: (path) => Deno.readTextFile(`${dir}/${path}`),
    async [Symbol.asyncDispose]() {
      await influx[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

async function runWell(run: Promise<ScriptRun>): Promise<string> {
  const { code, text } = await run;
  assertEquals(code, 0, text);
  return text;
}

async function retentionOf({ url, adminToken }: InfluxServer, bucket: string): Promise<number | undefined> {
  const response = await fetch(`${url}/api/v2/buckets?name=${encodeURIComponent(bucket)}`, {
    headers: { Authorization: `Token ${adminToken}` },
  });
  const { buckets } = await response.json() as { buckets: { retentionRules: { everySeconds: number }[] }[] };
  return buckets[0]?.retentionRules[0]?.everySeconds ?? 0;
}

const price = (product: string) => `kafka_consumer,product=${product} price=1`;
const flux = (bucket: string) => `from(bucket: "${bucket}") |> range(start: -1h)`;

testUnless(missing, "init-influx.sh makes tokens that may do what they must, and no more", async () => {
  await using stage = await makeStage();
  const { influx } = stage;
  await influx.createBucket("other");
  const text = await runWell(stage.init());
  assertMatch(text, /^Bucket coinbase-bucket: keeps its points forever$/m);
  const [write, read] = [await stage.read("telegraf/telegraf"), await stage.read("grafana/grafana")];
  for (const token of [write, read]) assertMatch(token, /^\S{20,}$/);
  for (const name of ["telegraf", "grafana"]) {
    assertEquals([await stage.read(`${name}/org`), await stage.read(`${name}/bucket`)], [influx.org, influx.bucket]);
    assertEquals(((await Deno.stat(`${stage.dir}/${name}/${name}`)).mode ?? 0) & 0o777, 0o444);
    const left = await Array.fromAsync(Deno.readDir(`${stage.dir}/${name}`), (entry) => entry.name);
    assertEquals(left.sort(), ["bucket", name, "org"].sort());
  }

  await influx.write(price("A"), influx.bucket, write);
  assertEquals((await influx.query(flux(influx.bucket), read)).length, 1);
  await assertRejects(() => influx.write(price("B"), influx.bucket, read));
  await assertRejects(() => influx.write(price("B"), "other", write));
  await assertRejects(() => influx.query(flux(influx.bucket), write));
  await assertRejects(() => influx.query(flux("other"), read));
  assert(!text.includes(write) && !text.includes(read), "a token in the log");
});

testUnless(missing, "init-influx.sh keeps what works and replaces what does not", async () => {
  await using stage = await makeStage();
  const { influx } = stage;
  await runWell(stage.init());
  const before = await Promise.all(["telegraf/telegraf", "grafana/grafana"].map(stage.read));
  assertMatch(await runWell(stage.init()), /telegraf: kept[^]*grafana: kept/);
  assertEquals(await Promise.all(["telegraf/telegraf", "grafana/grafana"].map(stage.read)), before);
  // the empty write that it tries tokens with leaves nothing
  assertEquals(await influx.query(flux(influx.bucket)), []);

  // a token of another InfluxDB, and one that may do the wrong thing
  await Deno.remove(`${stage.dir}/telegraf/telegraf`);
  await Deno.writeTextFile(`${stage.dir}/telegraf/telegraf`, "of-yesterday");
  await Deno.remove(`${stage.dir}/grafana/grafana`);
  await Deno.writeTextFile(`${stage.dir}/grafana/grafana`, before[0] ?? "");
  assertMatch(await runWell(stage.init()), /telegraf: created[^]*grafana: created/);
  await influx.write(price("A"), influx.bucket, await stage.read("telegraf/telegraf"));
  assertEquals((await influx.query(flux(influx.bucket), await stage.read("grafana/grafana"))).length, 1);

  // another bucket and another organization, as if influxv2.env had been changed
  const moved = await runWell(stage.init({ DOCKER_INFLUXDB_INIT_BUCKET: "b 2" }));
  assertMatch(moved, /^Bucket b 2: created$/m);
  assertEquals(await stage.read("telegraf/bucket"), "b 2");
  await influx.write(price("A"), "b 2", await stage.read("telegraf/telegraf"));
  await assertRejects(() => influx.write(price("A"), influx.bucket, stage.dir));
  assertEquals((await influx.query(flux("b 2"), await stage.read("grafana/grafana"))).length, 1);
  const org = await runWell(stage.init({ DOCKER_INFLUXDB_INIT_ORG: "new\\org" }));
  assertMatch(org, /^Organization new\\org: created\nBucket coinbase-bucket: created$/m);
  assertEquals(await stage.read("grafana/org"), "new\\org");
});

testUnless(missing, "init-influx.sh changes the retention only if INFLUX_RETENTION is set", async () => {
  await using stage = await makeStage();
  const { influx } = stage;
  for (
    const [told, seconds] of [
      ["30d", 2_592_000],
      ["", 2_592_000],
      ["2h", 7200],
      ["2y", 63_072_000],
      ["008w", 4_838_400],
      ["0", 0],
      ["", 0],
      ["3600", 3600],
    ] as const
  ) {
    const text = await runWell(stage.init({ INFLUX_RETENTION: told }));
    assertEquals(await retentionOf(influx, influx.bucket), seconds, told);
    const says = seconds === 0
      ? "forever"
      : `for ${seconds / 3600} hours. Older ones are deleted, and InfluxDB refuses`;
    assertStringIncludes(text, `Bucket coinbase-bucket: keeps its points ${says}`);
  }
  // and InfluxDB does refuse them
  await assertRejects(() => influx.write(`${price("A")} 1000000000000000000`), Error, "retention");
  await runWell(stage.init({ INFLUX_RETENTION: "1w", DOCKER_INFLUXDB_INIT_BUCKET: "new" }));
  assertEquals(await retentionOf(influx, "new"), 604_800);
});

testUnless(missing, "init-influx.sh finds a way in when influxv2.env was changed after the first start", async () => {
  await using stage = await makeStage();
  const { influx } = stage;
  const wrong = { DOCKER_INFLUXDB_INIT_ADMIN_TOKEN: "of-today" };
  const login = { DOCKER_INFLUXDB_INIT_USERNAME: "admin", DOCKER_INFLUXDB_INIT_PASSWORD: "test-password" };

  const lost = await stage.init(wrong);
  assertEquals(lost.code, 1);
  assertMatch(
    lost.text,
    /^init-influx: InfluxDB accepts neither the admin token nor the user and password in influxv2\.env/,
  );
  assertStringIncludes(lost.text, "stack:reset");
  assertEquals((await stage.init({ ...wrong, ...login, DOCKER_INFLUXDB_INIT_PASSWORD: "of-today" })).code, 1);

  assertMatch(await runWell(stage.init({ ...wrong, ...login })), /^Logged in to InfluxDB as admin/);
  await Deno.remove(`${stage.dir}/telegraf/telegraf`);
  assertMatch(await runWell(stage.init({ DOCKER_INFLUXDB_INIT_ADMIN_TOKEN: "", ...login })), /telegraf: created/);

  // as InfluxDB's image leaves it: the first is the one
  await Deno.writeTextFile(
    `${stage.dir}/influx-configs`,
    `[defaultconfig]\n  url = "http://localhost:9999"\n  token = "${influx.adminToken}"\n  org = "x"\n  active = true\n#\n` +
      `# [eu-central]\n#   token = "XXX"\n#\n#   [us]\n  token = "YYY"\n`,
  );
  assertMatch(
    await runWell(stage.init(wrong)),
    /InfluxDB does not know DOCKER_INFLUXDB_INIT_ADMIN_TOKEN in influxv2\.env.*using the token/,
  );
  assertMatch(await runWell(stage.init({ DOCKER_INFLUXDB_INIT_ADMIN_TOKEN: "" })), /^Bucket/);
  await influx.write(price("A"), influx.bucket, await stage.read("telegraf/telegraf"));
});

testUnless(missing, "init-influx.sh waits for InfluxDB, but not forever", async () => {
  await using stage = await makeStage();
  const { influx } = stage;
  await influx.stop();
  const given = await stage.init({ WAIT_SECONDS: "0" });
  assertEquals(given.code, 1);
  assertMatch(given.text, /^init-influx: InfluxDB at http:\S+ does not answer after 0 s: see its log$/m);
  const waiting = stage.init();
  await influx.restart();
  assertMatch(await runWell(waiting), /telegraf: created/);
});

const bash = programsMissing("bash");

for (const value of ["5m", "30 d", "1d2h", "-1", "forever", "59s"]) {
  testUnless(bash, `init-influx.sh refuses INFLUX_RETENTION=${value} before it asks InfluxDB`, async () => {
    const { code, text } = await runScript("influxdb/init-influx.sh", {
      DOCKER_INFLUXDB_INIT_ORG: "o",
      DOCKER_INFLUXDB_INIT_BUCKET: "b",
      TOKENS_TELEGRAF: "/nowhere",
      TOKENS_GRAFANA: "/nowhere",
      INFLUX_RETENTION: value,
    });
    assertEquals(code, 1);
    assertMatch(text, /^init-influx: Cannot use INFLUX_RETENTION: expected 0 .forever. or at least an hour/);
  });
}

const GOOD = {
  DOCKER_INFLUXDB_INIT_MODE: "setup",
  DOCKER_INFLUXDB_INIT_USERNAME: "admin",
  DOCKER_INFLUXDB_INIT_PASSWORD: "x".repeat(72),
  DOCKER_INFLUXDB_INIT_ORG: "o",
  DOCKER_INFLUXDB_INIT_BUCKET: "b",
};
const CHECKS: [string, Record<string, string>, number, RegExp][] = [
  ["nothing", {}, 1, /^influxv2\.env is missing: run `deno task stack`, which creates it, or copy .*\n$/],
  ["what is good", GOOD, 0, /^$/],
  [
    "the example's secrets",
    { ...GOOD, DOCKER_INFLUXDB_INIT_PASSWORD: "change-me-password" },
    0,
    /PASSWORD is still the/,
  ],
  [
    "a short password",
    { ...GOOD, DOCKER_INFLUXDB_INIT_PASSWORD: "short" },
    1,
    /expected 8 to 72 characters, got 5/,
  ],
  ["a long password", { ...GOOD, DOCKER_INFLUXDB_INIT_PASSWORD: "ü".repeat(37) }, 1, /8 to 72 characters, got 74/],
  [
    "no organization",
    { ...GOOD, DOCKER_INFLUXDB_INIT_ORG: "" },
    1,
    /^influxv2\.env: DOCKER_INFLUXDB_INIT_ORG must be set/,
  ],
  ["a system bucket", { ...GOOD, DOCKER_INFLUXDB_INIT_BUCKET: "_x" }, 1, /expected a name that does not begin with _/],
  ["another mode", { ...GOOD, DOCKER_INFLUXDB_INIT_MODE: "upgrade" }, 1, /expected setup, got "upgrade"/],
];
for (const [what, env, code, says] of CHECKS) {
  testUnless(bash, `check-env.sh ${code === 0 ? "lets pass" : "refuses"} ${what}`, async () => {
    const run = await runScript("influxdb/check-env.sh", env);
    assertMatch(run.text, says);
    assertEquals(run.code, code);
  });
}

testUnless(programsMissing("bash", "sh"), "with-influx.sh hands on the names, or does not start at all", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const run = () =>
      runScript("influxdb/with-influx.sh", { TOKENS: dir }, "sh", "-c", 'echo "$INFLUX_ORG|$INFLUX_BUCKET"');
    assert((await run()).code !== 0);
    await Deno.writeTextFile(`${dir}/org`, "my $org 'x'");
    await Deno.writeTextFile(`${dir}/bucket`, "b");
    assertEquals(await run(), { code: 0, text: "my $org 'x'|b\n" });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
