// What the tests of the chain rely on InfluxServer and TelegrafServer for.

import { assertEquals, assertRejects } from "@std/assert";
import { InfluxError, influxMissing, InfluxServer } from "./influxdb.ts";
import { telegrafMissing, TelegrafServer } from "./telegraf.ts";
import { serverTest } from "./test.ts";

const missing = influxMissing();

const ALL = (bucket: string) => `from(bucket: "${bucket}") |> range(start: 0)`;

serverTest(missing, "InfluxServer.query() returns what was written, also after kill -9 and a restart", async () => {
  await using influx = await InfluxServer.start();
  await influx.write('m,tag=a\\ b x=1.5,y=2i,z=true,s="say \\"hi\\", you" 1700000000123456789');
  const stored = async () =>
    (await influx.query(ALL(influx.bucket))).map(({ _time, _field, _value, tag }) => [_time, tag, _field, _value]);
  const time = "2023-11-14T22:13:20.123456789Z";
  const expected = [
    [time, "a b", "s", 'say "hi", you'],
    [time, "a b", "x", 1.5],
    [time, "a b", "y", 2],
    [time, "a b", "z", true],
  ];
  assertEquals((await stored()).sort(), expected);
  const { url, pid } = influx;
  await influx.kill();
  await assertRejects(() => fetch(`${url}/health`));
  await influx.restart();
  assertEquals([influx.url === url, influx.pid === pid], [true, false]);
  assertEquals((await stored()).sort(), expected);
});

serverTest(missing, "InfluxServer.createToken() gives exactly these rights, until the token is deleted", async () => {
  await using influx = await InfluxServer.start({ org: "an org", bucket: "a bucket" });
  const [reader, writer] = [
    await influx.createToken({ read: influx.bucket }),
    await influx.createToken({ write: influx.bucket }),
  ];
  await influx.write("m x=1 1", influx.bucket, writer);
  assertEquals((await influx.query(ALL(influx.bucket), reader)).length, 1);
  const refused = async (status: number, what: () => Promise<unknown>) =>
    assertEquals((await assertRejects(what, InfluxError)).status, status);
  await refused(403, () => influx.write("m x=1 1", influx.bucket, reader));
  await refused(404, () => influx.query(ALL(influx.bucket), writer));
  await influx.deleteToken(reader);
  await refused(401, () => influx.query(ALL(influx.bucket), reader));
  await refused(400, () => influx.query("from("));
  // a bucket with a retention time
  await influx.createBucket("an hour", 3600);
  await refused(422, () => influx.write("m x=1 1", "an hour"));
});

serverTest(missing, "InfluxServer keeps a given folder and sets it up once", async () => {
  const dataDir = await Deno.makeTempDir();
  try {
    const options = { dataDir, adminToken: "the-same-token" };
    {
      await using influx = await InfluxServer.start(options);
      await influx.write("m x=1 1");
    }
    await using influx = await InfluxServer.start(options);
    assertEquals((await influx.query(ALL(influx.bucket))).length, 1);
    influx.pause();
    const waiting = influx.query(ALL(influx.bucket));
    influx.resume();
    assertEquals((await waiting).length, 1);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

serverTest(telegrafMissing(), "TelegrafServer.start() rejects with Telegraf's reason", async () => {
  const config = await Deno.makeTempFile({ suffix: ".conf" });
  try {
    await Deno.writeTextFile(config, "[[inputs.nothing]]\n");
    await assertRejects(() => TelegrafServer.start({ config }), Error, "undefined but requested input: nothing");
  } finally {
    await Deno.remove(config);
  }
});

const mayRead = Deno.permissions.querySync({ name: "read" }).state === "granted";
const name = `the tests run the versions that the stack runs${mayRead ? "" : " [skipped: needs --allow-read]"}`;
Deno.test({ name, ignore: !mayRead }, async () => {
  const read = (path: string) => Deno.readTextFile(new URL(path, import.meta.url));
  const compose = await read("../../docker-compose.yml");
  const [goMod, install] = [await read("influxd/go.mod"), await read("install.sh")];
  const image = (name: string) => new Set(compose.match(new RegExp(`(?<=image: ${name}:)\\S+`, "g")));
  assertEquals(image("influxdb"), new Set(goMod.match(/(?<=influxdb\/v2 v)\S+/g)));
  assertEquals(image("telegraf"), new Set([/^install_telegraf[^]*?version=(\S+)/m.exec(install)?.[1] ?? ""]));
});
