// `deno task doctor` on real servers: each stage is broken in turn, and must be named. Grafana alone is a stand-in, see
// grafana.ts.

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import type { DoctorReport } from "../../src/checks/doctor.ts";
import { runDoctor } from "../../src/commands/doctor.ts";
import type { StageName } from "../../src/checks/stage.ts";
import { backupStore } from "../../src/commands/backup.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { chainMissing, GAPS_TOPIC, produce, settle, startChain, TOPIC } from "../chain/chain.ts";
import { tell, until } from "../integration/feed.ts";
import { Producer } from "../integration/producer.ts";
import { freePorts } from "../servers/process.ts";
import { addPartitions, setPlaces } from "./data.ts";
import { LOGIN, startGrafana } from "./grafana.ts";

const missing = chainMissing();
const skipped = missing ? ` [skipped: ${missing}]` : "";

const SECRETS = ["a-secret-of-kafka", LOGIN.password];

/** Runs it; nothing secret may be in what it prints. */
async function doctor(settings: Readonly<Record<string, string>>, args: readonly string[] = [], dir = "/nowhere") {
  let text = "";
  const since = performance.now();
  const code = await runDoctor(
    args,
    { values: { DOCTOR_WAIT_MS: "15000", ...settings }, readFile: (path) => Deno.readTextFileSync(path) },
    { write: (part) => Promise.resolve(void (text += part)) },
    new AbortController().signal,
    dir,
  );
  const secrets = Object.entries(settings).filter(([name]) => /TOKEN$|PASSWORD$/.test(name)).map(([, value]) => value);
  for (const secret of [...secrets, ...SECRETS].filter((each) => each !== "")) {
    assert(!text.includes(secret), `a secret is in: ${text}`);
  }
  return { code, text, ms: performance.now() - since };
}

/** The same as an object. */
async function report(settings: Readonly<Record<string, string>>, args: readonly string[] = [], dir?: string) {
  const { code, text } = await doctor(settings, ["--json", ...args], dir);
  const told: DoctorReport = JSON.parse(text);
  assertEquals(code, told.ok ? 0 : 1);
  return told;
}

/** Expects that this stage is the first broken one, for this reason, with a cause and a cure. */
async function expectBroken(
  name: StageName,
  words: RegExp,
  settings: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  dir?: string,
): Promise<DoctorReport> {
  const told = await report(settings, args, dir);
  const stage = told.stages.find((each) => each.name === name);
  const seen = told.stages.map(({ name, state, words }) => `${state} ${name}: ${words}`).join("\n");
  assertEquals([told.firstBroken, stage?.state], [name, "broken"], seen);
  assertMatch(stage?.words ?? "", words);
  assert((stage?.cause ?? "") !== "" && (stage?.cure ?? "") !== "", seen);
  return told;
}

/** A copy, whole and of one moment. */
async function copyStore(from: string, to: string): Promise<void> {
  await backupStore([to], from, { write: () => Promise.resolve(), tell: () => {} });
}

function stateOf(told: DoctorReport, name: StageName): string | undefined {
  return told.stages.find((each) => each.name === name)?.state;
}

function wordsOf(told: DoctorReport, name: StageName): string {
  return told.stages.find((each) => each.name === name)?.words ?? "";
}

Deno.test({
  name: `deno task doctor names the stage that is broken, on real servers${skipped}`,
  ignore: missing !== undefined,
  async fn(t) {
    const products = "BTC-USD,ETH-USD,SOL-USD";
    await using simulator = await Simulator.start({
      seed: 3,
      ticksPerSecond: 5,
      products: [...products.split(","), "XRP-USD"],
    });
    await using chain = await startChain();
    const { kafka, influx, telegraf } = chain;
    await using grafana = startGrafana(influx);
    const folder = await Deno.makeTempDir();
    await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
    const store = `${folder}/prices.sqlite`;
    const feed = {
      COINBASE_WS_URL: simulator.url,
      COINBASE_PRODUCTS: products,
      COINBASE_CHANNEL: "ticker",
      KAFKA_BROKERS: kafka.broker,
      STORE_FILE: store,
    };
    await using producer = new Producer(feed);
    await producer.says("Started");
    const program = String(producer.said("Started")[0]?.status).replace("/api/status", "");
    const readToken = await influx.createToken({ read: influx.bucket });
    const all = {
      ...feed,
      PROGRAM_URL: program,
      INFLUX_URL: influx.url,
      INFLUX_ORG: influx.org,
      INFLUX_BUCKET: influx.bucket,
      INFLUX_TOKEN: readToken,
      INFLUX_WRITE_TOKEN: chain.token,
      GRAFANA_URL: grafana.url,
      GRAFANA_USER: LOGIN.user,
      GRAFANA_PASSWORD: LOGIN.password,
    };
    await settle(chain);

    await t.step("all is well", async () => {
      await until("all is well", async () => (await doctor(all)).code === 0);
      const { code, text, ms } = await doctor(all);
      tell(`\n${text}`);
      assertEquals(code, 0, text);
      assertMatch(text, /^Checking the servers named by settings: KAFKA_BROKERS, INFLUX_URL, GRAFANA_URL/);
      assertMatch(text, /All 16 stages work/);
      assertLess(ms, 120_000);
    });

    await t.step("settings", async () => {
      const told = await expectBroken("settings", /KAFKA_TOPIC/, { ...all, KAFKA_TOPIC: "no topic" });
      assertEquals(stateOf(told, "kafka"), "unknown");
      await expectBroken("settings", /expected INFLUX_TOKEN to be set/, { ...all, INFLUX_TOKEN: "" });
      const login = await expectBroken("settings", /INFLUX_URL/, {
        ...all,
        INFLUX_URL: "http://me:a-secret-of-kafka@x",
      });
      assert(!JSON.stringify(login).includes("a-secret-of-kafka"));
    });

    await t.step("exchange", async () => {
      const away = { ...all, COINBASE_WS_URL: `ws://127.0.0.1:${freePorts("none").none}` };
      // the address that a running program uses counts, so this program must not be found
      const { PROGRAM_URL: _, ...alone } = away;
      const settings = { ...alone, PORT: String(freePorts("none").none) };
      await expectBroken("exchange", /refused/i, settings);
      const { levers } = simulator;
      const faults: [(on: boolean) => void, RegExp][] = [
        [(on) => levers.refuseUpgrade(on), /the upgrade was refused: 503/],
        [(on) => levers.mute(on), /sends nothing/],
        [(on) => levers.hangUpAtOnce(on), /closed the connection/],
      ];
      for (const [pull, words] of faults) {
        pull(true);
        try {
          await expectBroken("exchange", words, { ...all, DOCTOR_WAIT_MS: "6000" });
        } finally {
          pull(false);
        }
      }
      await expectBroken("exchange", /refuses all 1 products: .*DOGE-USD/, {
        ...settings,
        COINBASE_WS_URL: simulator.url,
        COINBASE_PRODUCTS: "DOGE-USD",
      });
    });

    await t.step("kafka", async () => {
      await expectBroken("kafka", /cannot be used/, { ...all, KAFKA_BROKERS: `127.0.0.1:${freePorts("none").none}` });
      await expectBroken("kafka", /refuses access|Closed connection/, {
        ...all,
        KAFKA_USERNAME: "somebody",
        KAFKA_PASSWORD: "a-secret-of-kafka",
      });
    });

    await t.step("topics", async () => {
      const told = await expectBroken("topics", /no topic nothing_here/, { ...all, KAFKA_TOPIC: "nothing_here" });
      assertEquals(stateOf(told, "records"), "unknown");
      await expectBroken("topics", /no topic no_gaps/, { ...all, KAFKA_GAPS_TOPIC: "no_gaps" });
      const bad: [string, Record<string, string>, RegExp][] = [
        ["strict", { "min.insync.replicas": "2" }, /min\.insync\.replicas is 2/],
        ["compacted", { "cleanup.policy": "compact" }, /cleanup\.policy=compact/],
        ["forgetful", { "retention.ms": "60000" }, /keeps records for 60 s/],
      ];
      for (const [topic, config, words] of bad) {
        await kafka.createTopic(topic, { config });
        await expectBroken("topics", words, { ...all, KAFKA_TOPIC: topic });
      }
    });

    await t.step("store", async () => {
      await expectBroken("store", /no such file/, { ...all, STORE_FILE: `${folder}/none.sqlite` });
      const damaged = `${folder}/damaged.sqlite`;
      await Deno.writeTextFile(damaged, "this is no database at all, whatever it may once have been");
      await expectBroken("store", /expected a store of this program/, { ...all, STORE_FILE: damaged });
      // pages in the middle are damaged, although it can be opened
      const half = `${folder}/half.sqlite`;
      await copyStore(store, half);
      const bytes = await Deno.readFile(half);
      bytes.fill(0xaa, 4096 * 2, bytes.length - 4096);
      await Deno.writeFile(half, bytes);
      await expectBroken("store", /damaged/, { ...all, STORE_FILE: half });
      const newer = `${folder}/newer.sqlite`;
      await copyStore(store, newer);
      {
        using db = new DatabaseSync(newer);
        db.exec("PRAGMA user_version = 99");
      }
      await expectBroken("store", /expected version/, { ...all, STORE_FILE: newer });
      {
        using db = new DatabaseSync(newer);
        db.exec("PRAGMA user_version = 2; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
        await expectBroken("store", /locked/, { ...all, STORE_FILE: newer });
      }
    });

    await t.step("program", async () => {
      const none = `http://127.0.0.1:${freePorts("none").none}`;
      await expectBroken("program", /connection refused/, { ...all, PROGRAM_URL: none });
      // it accepts connections and sends nothing
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr as Deno.NetAddr;
      await expectBroken("program", /does not answer/, {
        ...all,
        PROGRAM_URL: `http://127.0.0.1:${port}`,
        DOCTOR_WAIT_MS: "6000",
      });
      await expectBroken("program", /does not answer as the program does/, { ...all, PROGRAM_URL: grafana.url });
      // not ready: its exchange is away, though the doctor reaches another one
      await using lonely = new Producer({ ...feed, COINBASE_WS_URL: "ws://127.0.0.1:9", STORE_FILE: "" });
      await lonely.says("Started");
      const lonelyUrl = String(lonely.said("Started")[0]?.status).replace("/api/status", "");
      const response = await fetch(`${lonelyUrl}/api/status`);
      const status = { ...await response.json(), url: simulator.url };
      await using proxy = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => Response.json(status));
      await expectBroken("program", /is not ready: no data from Coinbase/, {
        ...all,
        PROGRAM_URL: `http://127.0.0.1:${proxy.addr.port}`,
      });
    });

    await t.step("records", async () => {
      await kafka.createTopic("fresh");
      await expectBroken("records", /fresh: it has no prices/, { ...all, KAFKA_TOPIC: "fresh" });
      const old = Math.floor(Date.now() / 1000) - 600;
      await produce(
        kafka.broker,
        "fresh",
        products.split(",").map((product, at) => (
          JSON.stringify({ product, w_time: at === 2 ? Date.now() / 1000 : old, price: 1 })
        )),
      );
      await expectBroken("records", /BTC-USD is 10 min behind/, { ...all, KAFKA_TOPIC: "fresh" });
      // no program answers that could say which products it follows
      await kafka.createTopic("stale");
      await produce(kafka.broker, "stale", [JSON.stringify({ product: "BTC-USD", w_time: old, price: 1 })]);
      const { COINBASE_PRODUCTS: _, PROGRAM_URL: __, ...rest } = all;
      const unasked = await report({ ...rest, KAFKA_TOPIC: "stale", PORT: String(freePorts("none").none) });
      assertMatch(
        wordsOf(unasked, "records"),
        /(?:behind|old|nothing|no prices); these are the default products, because the program does not answer and COINBASE_PRODUCTS is not set$/,
      );
      assertMatch(wordsOf(unasked, "settings"), /; these are the default products/);
      // any program may write a time in the future
      const inYears = Math.floor(Date.now() / 1000) + 3 * 365 * 86_400;
      await produce(kafka.broker, TOPIC, [JSON.stringify({ product: "BTC-USD", w_time: inYears, price: 1 })]);
      const ahead = await report(all);
      assertEquals(ahead.firstBroken, null, JSON.stringify(ahead.stages, null, 1));
      assertMatch(
        wordsOf(ahead, "records"),
        /; not counted, because their w_time is in the future: BTC-USD in 109[45] d$/,
      );
      assertMatch(wordsOf(ahead, "points"), /^(?!.*not counted)/);
      // not traded since: that is no fault
      simulator.levers.quiet("XRP-USD", true);
    });

    await t.step("telegraf", async () => {
      await expectBroken("telegraf", /Kafka knows no such group/, { ...all, TELEGRAF_GROUP: "another" });
      await Promise.all([
        setPlaces(kafka.broker, "idle", "fresh", { 0: 0 }),
        setPlaces(kafka.broker, "astray", TOPIC, { 0: 10_000 }),
        setPlaces(kafka.broker, "astray-gaps", GAPS_TOPIC, { 0: 5 }),
      ]);
      const idle = await report({ ...all, KAFKA_TOPIC: "fresh", TELEGRAF_GROUP: "idle" });
      assertEquals(
        wordsOf(idle, "telegraf"),
        "group idle: it has no member, so nothing reads; no record of fresh waits yet",
      );
      const astray = await expectBroken(
        "telegraf",
        /group astray waits at offset \d+ of partition 0 of ticker_batch, which ends at \d+; group astray-gaps waits at/,
        { ...all, TELEGRAF_GROUP: "astray", TELEGRAF_GAPS_GROUP: "astray-gaps" },
      );
      const { cause, cure } = astray.stages.find(({ name }) => name === "telegraf") ?? {};
      assertMatch(cause ?? "", /deleted and created again/);
      assertMatch(
        cure ?? "",
        /^stop Telegraf; .*--group astray --topic ticker_batch --reset-offsets --to-earliest --execute; .*--group astray-gaps/,
      );
      // a partition that Telegraf has not noticed yet
      await addPartitions(kafka.broker, TOPIC, 2);
      const marker = JSON.stringify({ product: "added", w_time: Math.floor(Date.now() / 1000), price: 1 });
      await produce(kafka.broker, TOPIC, Array.from({ length: 20 }, () => marker));
      await until("it is seen that a partition is not read", async () => {
        const told = await report(all);
        return told.firstBroken === "telegraf" &&
          /has never read 1 partition of ticker_batch \(1\)/.test(wordsOf(told, "telegraf"));
      }, 60_000);
      await telegraf.stop();
      await until("Kafka knows that it is gone", async () => {
        const told = await report(all);
        return told.firstBroken === "telegraf" &&
          /nothing reads; \d+ records? waits? in ticker_batch/.test(wordsOf(told, "telegraf"));
      }, 120_000);
      await telegraf.restart();
      await settle(chain);
      telegraf.pause();
      try {
        await until("it is seen that it stands still", async () => {
          const told = await report(all);
          return told.firstBroken === "telegraf" &&
            /(?:does not move|nothing reads); \d+ records? waits? in ticker_batch/.test(wordsOf(told, "telegraf"));
        }, 120_000);
      } finally {
        telegraf.resume();
      }
      await settle(chain, 120_000);
    });

    await t.step("influxdb, token and points", async () => {
      await expectBroken("influxdb", /connection refused/, {
        ...all,
        INFLUX_URL: `http://127.0.0.1:${freePorts("none").none}`,
      });
      await expectBroken("influxdb", /401/, { ...all, INFLUX_URL: grafana.url });
      await expectBroken("token", /may not read the bucket/, { ...all, INFLUX_TOKEN: chain.token });
      await expectBroken("token", /may not read the bucket .*401/, {
        ...all,
        INFLUX_TOKEN: "a-token-that-nobody-knows",
      });
      await expectBroken("token", /INFLUX_WRITE_TOKEN may not write/, { ...all, INFLUX_WRITE_TOKEN: readToken });
      await influx.createBucket("another");
      const otherToken = await influx.createToken({ read: "another" });
      const { INFLUX_WRITE_TOKEN: _, ...rest } = all;
      await expectBroken("points", /another: it has no prices/, {
        ...rest,
        INFLUX_BUCKET: "another",
        INFLUX_TOKEN: otherToken,
      });
      const seconds = Date.now() / 1000;
      await influx.write(
        products.split(",").map((product, at) =>
          `kafka_consumer,product=${product} price=1 ${Math.floor((seconds - (at === 1 ? 300 : 0)) * 1e3)}000000`
        ).join("\n"),
        "another",
      );
      await expectBroken("points", /another: ETH-USD is \d+ (?:min|s) behind$/, {
        ...rest,
        INFLUX_BUCKET: "another",
        INFLUX_TOKEN: otherToken,
      });
    });

    await t.step("grafana, datasource and panels", async () => {
      await expectBroken("grafana", /connection refused/, {
        ...all,
        GRAFANA_URL: `http://127.0.0.1:${freePorts("none").none}`,
      });
      await expectBroken("datasource", /answers 401/, { ...all, GRAFANA_PASSWORD: "another-one" });
      const { state } = grafana;
      const cases: [Partial<typeof state>, StageName, RegExp][] = [
        [{ database: "failing" }, "grafana", /its database is failing/],
        [{ datasource: undefined }, "datasource", /no data source influxdb/],
        [
          { datasource: { status: "ERROR", message: "error reading buckets" } },
          "datasource",
          /influxdb: 400 error reading buckets/,
        ],
        [{ hasDashboard: false }, "panels", /no dashboard prices: 404/],
        [{ failing: "candle" }, "panels", /1 of 5 panels of "Prices" fail: ".* candles, auto": unauthorized/],
        [{ isEmpty: true }, "panels", /panels of "Prices" show nothing/],
      ];
      const healthy = { ...state };
      for (const [change, name, words] of cases) {
        Object.assign(state, change);
        await expectBroken(name, words, all);
        Object.assign(state, healthy);
      }
    });

    await t.step("the stack: found by its files and ports, its tokens seen", async () => {
      const port = (url: string) => new URL(url).port;
      const dir = `${folder}/stack`;
      await Deno.mkdir(dir);
      await Deno.writeTextFile(
        `${dir}/influxv2.env`,
        `DOCKER_INFLUXDB_INIT_ORG=${influx.org}\nDOCKER_INFLUXDB_INIT_BUCKET=${influx.bucket}\n` +
          `DOCKER_INFLUXDB_INIT_ADMIN_TOKEN=${influx.adminToken}\nDOCKER_INFLUXDB_INIT_PASSWORD=test-password\n`,
      );
      await Deno.writeTextFile(
        `${dir}/grafana.env`,
        `GF_SECURITY_ADMIN_USER=${LOGIN.user}\nGF_SECURITY_ADMIN_PASSWORD=${LOGIN.password}\n`,
      );
      const none = freePorts("two", "three", "own");
      const ports = {
        COINBASE_PRODUCTS: products,
        KAFKA_PORT: kafka.broker.split(":")[1] ?? "",
        KAFKA_PORT_2: `${none.two}`,
        KAFKA_PORT_3: `${none.three}`,
        INFLUX_PORT: port(influx.url),
        GRAFANA_PORT: port(grafana.url),
        PRODUCER_PORT: port(program),
        PORT: `${none.own}`,
        STORE_FILE: "",
      };
      const before = await expectBroken(
        "token",
        /no active token with which telegraf may write .*; .*grafana/,
        ports,
        [],
        dir,
      );
      assertEquals([before.form, stateOf(before, "store"), stateOf(before, "page")], ["stack", "not used", "not used"]);
      assert(!JSON.stringify(before).includes(influx.adminToken));
      const ask = async (path: string, body?: unknown) => {
        const response = await fetch(`${influx.url}${path}`, {
          headers: { authorization: `Token ${influx.adminToken}` },
          ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
        });
        return await response.json();
      };
      const { buckets: [{ id, orgID }] } = await ask(`/api/v2/buckets?name=${influx.bucket}`);
      for (const [who, action] of [["telegraf", "write"], ["grafana", "read"]]) {
        await ask("/api/v2/authorizations", {
          orgID,
          description: `${who}, made by init-influx`,
          permissions: [{ action, resource: { type: "buckets", id, orgID } }],
        });
      }
      const told = await report(ports, [], dir);
      assertEquals([told.firstBroken, told.form], [null, "stack"], JSON.stringify(told.stages, null, 1));
      assertMatch(told.decided, /influxv2\.env exists, and these ports are open: Kafka, InfluxDB, Grafana/);
    });

    await t.step("the program with its store: found by its port", async () => {
      const own = { PORT: new URL(program).port, STORE_FILE: store, COINBASE_PRODUCTS: products };
      const told = await report({ ...own, INFLUX_PORT: "1", KAFKA_PORT: "1", GRAFANA_PORT: "1" });
      assertEquals([told.firstBroken, told.form], [null, "embedded"], JSON.stringify(told.stages, null, 1));
      const states = ["kafka", "influxdb", "grafana", "store", "program", "ticks", "page"] as const;
      assertEquals(states.map((name) => stateOf(told, name)), [
        ...["not used", "not used", "not used"],
        ...["ok", "ok", "ok", "ok"],
      ]);
      // the store of another day
      const copy = `${folder}/old.sqlite`;
      await copyStore(store, copy);
      {
        using db = new DatabaseSync(copy);
        db.exec("UPDATE tick SET exchange_time_us = exchange_time_us - 600000000");
      }
      await expectBroken("ticks", /BTC-USD is \d+ min behind/, { ...own, STORE_FILE: copy });
    });

    await t.step("page: a program without a store has none", async () => {
      await using bare = new Producer({ ...feed, STORE_FILE: "", KAFKA_GAPS_TOPIC: "" });
      await bare.says("Ready to write to kafka");
      const { port } = new URL(String(bare.said("Started")[0]?.status));
      const told = await report({ ...feed, PORT: port });
      assertEquals(stateOf(told, "page"), "not used");
      // a page whose script is gone
      await using cut = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
        const { pathname } = new URL(request.url);
        return pathname === "/page.js"
          ? new Response("gone", { status: 404 })
          : fetch(`${program}${pathname}`).then(async (answer) => {
            const type = answer.headers.get("content-type") ?? "text/plain";
            return new Response(await answer.text(), { status: answer.status, headers: { "content-type": type } });
          });
      });
      await expectBroken("page", /page\.js answers 404/, {
        ...feed,
        PROGRAM_URL: `http://127.0.0.1:${cut.addr.port}`,
      });
    });

    await t.step("servers that die, one after the other", async () => {
      await telegraf.kill();
      await influx.kill();
      await expectBroken("influxdb", /connection refused/, { ...all, KAFKA_BROKERS: "" });
      kafka.pause();
      await expectBroken("kafka", /cannot be used|no answer/, all);
      kafka.resume();
      await kafka.kill();
      const told = await expectBroken("kafka", /cannot be used/, all);
      assertEquals(["topics", "records", "telegraf"].map((name) => stateOf(told, name as StageName)), [
        "unknown",
        "unknown",
        "unknown",
      ]);
      await simulator[Symbol.asyncDispose]();
      const { text } = await doctor(all);
      assertMatch(text, /The first broken stage is exchange/);
      assertMatch(text, new RegExp(GAPS_TOPIC + "|" + TOPIC));
    });
  },
});
