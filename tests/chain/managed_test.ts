// Telegraf with the stack's own configuration on a Kafka like those of providers: TLS with a private authority, logins by three
// mechanisms or a client certificate, and only the rights it needs. Everything is set by the environment, as
// docs/managed-kafka.md describes.

import { assert, assertEquals } from "@std/assert";
import { until } from "../integration/feed.ts";
import { Authority, opensslMissing } from "../servers/certificates.ts";
import { InfluxServer } from "../servers/influxdb.ts";
import { KafkaServer } from "../servers/kafka.ts";
import { TelegrafServer } from "../servers/telegraf.ts";
import { serverTest } from "../servers/test.ts";
import { chainMissing, GAPS_TOPIC, settle, telegrafEnv, TOPIC } from "./chain.ts";

const missing = chainMissing() ?? opensslMissing();

const PASSWORD = 'correct "horse" $battery';
const MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;

serverTest(missing, "Telegraf reads from a secured Kafka", async (t) => {
  await using authority = await Authority.make();
  const { key, cert } = await authority.issue();
  const tls = { key, chain: cert + authority.cert };
  const own = await authority.issue({ names: [], subject: "/CN=telegraf" });
  await using kafka = await KafkaServer.start({
    users: { telegraf: PASSWORD },
    listeners: { login: { tls, mechanisms: MECHANISMS }, mutual: { tls: { ...tls, clientCa: authority.cert } } },
    properties: {
      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      // the test itself connects without a login
      "super.users": "User:ANONYMOUS",
    },
  });
  await kafka.createTopics();
  for (const user of ["telegraf", "CN=telegraf"]) {
    for (const topic of [TOPIC, GAPS_TOPIC]) await kafka.allow(user, "topic", topic, "READ");
    for (const group of ["telegraf", "telegraf-gaps"]) await kafka.allow(user, "group", group, "READ");
  }
  await using influx = await InfluxServer.start();
  const token = await influx.createToken({ write: influx.bucket });
  const folder = await Deno.makeTempDir();
  await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await Deno.writeTextFile(`${folder}/cert.pem`, own.cert);
  await Deno.writeTextFile(`${folder}/key.pem`, own.key);
  const at = (listener: string) => ({
    ...telegrafEnv(kafka, influx),
    KAFKA_BROKER_1: kafka.listener(listener),
    KAFKA_BROKER_2: kafka.listener(listener),
    KAFKA_BROKER_3: kafka.listener(listener),
    KAFKA_SSL_CA_FILE: authority.path,
  });
  const login = { ...at("login"), KAFKA_USERNAME: "telegraf", KAFKA_PASSWORD: PASSWORD };

  for (const mechanism of MECHANISMS) {
    await t.step(`with a login by ${mechanism}`, async () => {
      await using telegraf = await TelegrafServer.start({
        env: { ...login, KAFKA_SASL_MECHANISM: mechanism },
        token,
      });
      await settle({ kafka, influx });
      assert(!(await telegraf.log()).includes(PASSWORD));
      // leaves the group, so that the next one need not wait for the session timeout
      await telegraf.stop();
    });
  }

  await t.step("with a client certificate instead of a login", async () => {
    const env = {
      ...at("mutual"),
      KAFKA_SSL_CERT_FILE: `${folder}/cert.pem`,
      KAFKA_SSL_KEY_FILE: `${folder}/key.pem`,
    };
    await using telegraf = await TelegrafServer.start({ env, token });
    await settle({ kafka, influx });
    await telegraf.stop();
  });

  await t.step("with a wrong password it logs the reason and keeps trying", async () => {
    const env = { ...login, KAFKA_SASL_MECHANISM: "SCRAM-SHA-512", KAFKA_PASSWORD: "wrong-horse" };
    await using telegraf = await TelegrafServer.start({ env, token });
    await until("it says so", async () => (await telegraf.log()).includes("SASL Authentication failed"));
    assert(!(await telegraf.log()).includes("wrong-horse"));
  });

  await t.step("its own counters have its name as a tag if one is set, and records do not", async () => {
    const env = telegrafEnv(kafka, influx);
    await using _first = await TelegrafServer.start({ env: { ...env, TELEGRAF_NAME: "first" }, token });
    await using _nameless = await TelegrafServer.start({ env, token });
    await settle({ kafka, influx });
    const names = async () => {
      const rows = await influx.query(`from(bucket: "${influx.bucket}") |> range(start: -1h)
          |> filter(fn: (r) => r._measurement == "internal_write" and r._field == "buffer_size" and r.alias == "records")
          |> last() |> keep(columns: ["telegraf", "_value"])`);
      return rows.map(({ telegraf }) => telegraf ?? null).sort();
    };
    await until("the counters of both are there", async () => (await names()).length === 2);
    assertEquals(await names(), ["first", null]);
    const tags = await influx.query(`import "influxdata/influxdb/schema"
        schema.measurementTagKeys(bucket: "${influx.bucket}", measurement: "kafka_consumer")`);
    assertEquals(tags.map(({ _value }) => _value).filter((tag) => !String(tag).startsWith("_")), ["product"]);
  });
});
