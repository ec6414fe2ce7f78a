// A Kafka like those of providers: TLS with a private authority, logins by three mechanisms, client certificates, rights. Every
// way in which one side can refuse the other ends with one sentence, exit 4 and no secret in any log.

import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertRejects } from "@std/assert";
import { SinkError } from "../../src/core/errors.ts";
import { type KafkaOptions, KafkaSink } from "../../src/kafka/sink.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { Authority, opensslMissing, type Pair } from "../servers/certificates.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { programMissing, serverTest } from "../servers/test.ts";
import { audit, recordLog, silent, sleep, tell, until } from "./feed.ts";
import { Producer } from "./producer.ts";
import { makeTick } from "./ticks.ts";

const missing = kafkaMissing() ?? opensslMissing() ??
  programMissing();

const MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;
const PASSWORD = 'correct "horse" battery';
/** How long a login is valid, ms: the client logs in again 10 s before its end. */
const LOGIN_MS = 11_500;
const forever = new AbortController().signal;

/** Throws if the output contains the password or a line of the key. */
function assertNoSecret(said: string, ...secrets: string[]): void {
  const lines = secrets.flatMap((secret) => secret.split("\n")).filter((line) => !/^(?:-----.*)?$/.test(line));
  for (const line of lines) assert(!said.includes(line) && !said.includes(JSON.stringify(line).slice(1, -1)), said);
}

serverTest(missing, "the program writes to a secured Kafka", async (t) => {
  await using authority = await Authority.make();
  await using stranger = await Authority.make();
  const chainOf = ({ key, cert }: Pair) => ({ key, chain: cert + authority.cert });
  const own = await authority.issue();
  const expired = await authority.issue({ expired: true });
  const tls = chainOf(own);
  const ours = await authority.issue({ subject: "/CN=feed", names: [] });
  await using kafka = await KafkaServer.start({
    users: { feed: PASSWORD, writer: PASSWORD, looker: PASSWORD, nobody: PASSWORD, gapless: PASSWORD },
    listeners: {
      login: { tls, mechanisms: MECHANISMS },
      mutual: { tls: { ...tls, clientCa: authority.cert } },
      expired: { tls: chainOf(expired) },
      elsewhere: { tls: chainOf(await authority.issue({ names: ["DNS:kafka.example"] })) },
    },
    properties: {
      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      // the tests themselves connect without a login
      "super.users": "User:ANONYMOUS",
      "listener.name.login.scram-sha-512.connections.max.reauth.ms": String(LOGIN_MS),
    },
  });
  await using simulator = await Simulator.start({ seed: 21, ticksPerSecond: 15 });
  const folder = await Deno.makeTempDir();
  await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  const file = async (name: string, text: string) => {
    await Deno.writeTextFile(`${folder}/${name}`, text);
    return `${folder}/${name}`;
  };
  const base = {
    COINBASE_WS_URL: simulator.url,
    KAFKA_SSL: "true",
    KAFKA_SSL_CA_FILE: await file("ca.pem", authority.cert),
    LOG_LEVEL: "debug",
  };
  const passwordFile = await file("password", `${PASSWORD}\n`);
  const login = (mechanism: string) => ({
    ...base,
    KAFKA_BROKERS: kafka.listener("login"),
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_USERNAME: "feed",
    KAFKA_PASSWORD_FILE: passwordFile,
  });
  const mutual = {
    ...base,
    KAFKA_BROKERS: kafka.listener("mutual"),
    KAFKA_SSL_CERT_FILE: await file("cert.pem", ours.cert),
    KAFKA_SSL_KEY_FILE: await file("key.pem", ours.key),
  };
  /** Creates topics, and grants the users the minimal rights to write to them. */
  const topicsFor = async (topic: string, ...users: string[]) => {
    const { gapsTopic } = await kafka.createTopics(topic);
    for (const each of [topic, gapsTopic]) {
      for (const user of users) await kafka.allow(user, "topic", each, "WRITE", "DESCRIBE");
    }
    return { KAFKA_TOPIC: topic, KAFKA_GAPS_TOPIC: gapsTopic };
  };
  /** Runs the program until it has sent 100 ticks, and for at least this time; then counts. */
  const works = async (settings: Record<string, string>, atLeastMs = 0) => {
    const since = performance.now();
    await using producer = new Producer(settings);
    await producer.says("Ready to write to kafka");
    const before = simulator.sentCount;
    await until(
      "100 ticks are sent",
      () => simulator.sentCount >= before + 100 && performance.now() - since >= atLeastMs,
    );
    assertEquals(await producer.end("SIGTERM"), 0, producer.stderr);
    assertNoSecret(producer.stderr, PASSWORD, ours.key);
    const { KAFKA_TOPIC: topic = "", KAFKA_GAPS_TOPIC: gapsTopic = "" } = settings;
    const counted = await audit(simulator, kafka, { topic, gapsTopic });
    assertGreater(counted.stored, 80);
    assertEquals(producer.said("Cannot write to kafka, trying again"), []);
  };
  /** Expects exit 4, soon, with exactly one error line, the last one. */
  const refused = async (settings: Record<string, string>, words: RegExp, ...secrets: string[]) => {
    const since = performance.now();
    await using producer = new Producer(settings);
    assertEquals(await producer.ended(), 4, producer.stderr);
    assertLess(performance.now() - since, 60_000);
    const last = producer.log.at(-1);
    assertMatch(last?.message ?? "", words);
    assertEquals(producer.stderr.split(JSON.stringify(last?.message).slice(1, -1)).length, 2, producer.stderr);
    assertNoSecret(producer.stderr, PASSWORD, ours.key, ...secrets);
  };

  for (const mechanism of MECHANISMS) {
    await t.step(`login by ${mechanism} over TLS with minimal rights: nothing is lost`, async () => {
      const topics = await topicsFor(`by-${mechanism.toLowerCase()}`, "feed");
      await works({ ...login(mechanism), ...topics }, mechanism === "SCRAM-SHA-512" ? LOGIN_MS + 3000 : 0);
    });

    await t.step(`a wrong password for ${mechanism}: exit 4, one sentence`, async () => {
      const wrong = "wrong-horse";
      await refused(
        { ...login(mechanism), KAFKA_PASSWORD_FILE: await file("wrong", wrong) },
        /^Kafka at localhost:\d+ refuses access \(topic ticker_batch\): SASL .* authentication failed: /,
        wrong,
      );
    });
  }

  await t.step("a client certificate instead of a login (mutual TLS): nothing is lost", async () => {
    const topics = await topicsFor("by-certificate", "CN=feed");
    await works({ ...mutual, ...topics });
  });

  const { KAFKA_SSL_CA_FILE: _, ...noAuthority } = base;
  const other = await stranger.issue({ subject: "/CN=feed", names: [] });
  const old = await authority.issue({ subject: "/CN=feed", names: [], expired: true });
  const refusals: { name: string; settings: Record<string, string>; words: RegExp; key?: string }[] = [
    {
      name: "an unknown authority",
      settings: { ...noAuthority, KAFKA_BROKERS: kafka.listener("login") },
      words:
        /^Kafka at localhost:\d+ has a certificate from an unknown authority \(KAFKA_SSL_CA can name it\): .*certificate/,
    },
    {
      name: "another authority than the configured one",
      settings: { ...noAuthority, KAFKA_BROKERS: kafka.listener("login"), KAFKA_SSL_CA: stranger.cert },
      words: /^Kafka at localhost:\d+ has a certificate from an unknown authority/,
    },
    {
      name: "a certificate for another host",
      settings: { ...base, KAFKA_BROKERS: kafka.listener("elsewhere") },
      words:
        /^Kafka at localhost:\d+ has a certificate for another name \(KAFKA_BROKERS must use a name in the certificate\): .*kafka\.example/,
    },
    {
      name: "an expired certificate",
      settings: { ...base, KAFKA_BROKERS: kafka.listener("expired") },
      words: /^Kafka at localhost:\d+ has a certificate that has expired or is not valid yet: certificate has expired$/,
    },
    {
      name: "no client certificate although one is required",
      settings: { ...base, KAFKA_BROKERS: kafka.listener("mutual") },
      words: /^Kafka at localhost:\d+ requires a client certificate \(KAFKA_SSL_CERT and KAFKA_SSL_KEY\): /,
    },
    {
      name: "a client certificate of an authority that Kafka does not know",
      settings: {
        ...base,
        KAFKA_BROKERS: kafka.listener("mutual"),
        KAFKA_SSL_CERT: other.cert,
        KAFKA_SSL_KEY: other.key,
      },
      words: /^Kafka at localhost:\d+ rejects our client certificate \(KAFKA_SSL_CERT\): /,
      key: other.key,
    },
    {
      name: "an expired client certificate",
      settings: { ...base, KAFKA_BROKERS: kafka.listener("mutual"), KAFKA_SSL_CERT: old.cert, KAFKA_SSL_KEY: old.key },
      words: /^Kafka at localhost:\d+ rejects our client certificate \(KAFKA_SSL_CERT\): /,
      key: old.key,
    },
  ];
  for (const { name, settings, words, key = "" } of refusals) {
    await t.step(`${name}: exit 4, one sentence`, () => refused(settings, words, key));
  }

  await t.step("a file without a certificate: exit 2, before any connection", async () => {
    await using producer = new Producer({ ...mutual, KAFKA_SSL_KEY_FILE: await file("bad.pem", "hunter2") });
    assertEquals(await producer.ended(), 2, producer.stderr);
    assertEquals(
      producer.stderr,
      "Cannot use KAFKA_SSL_KEY_FILE: expected a file with a PEM private key without a passphrase, got text without " +
        '"-----BEGIN PRIVATE KEY-----"\n',
    );
  });

  await t.step("rights: WRITE is enough, anything less is refused, and gaps may be forbidden separately", async () => {
    await kafka.createTopics("rights");
    await kafka.allow("writer", "topic", "rights", "WRITE");
    await kafka.allow("writer", "topic", "rights_gaps", "WRITE");
    await kafka.allow("looker", "topic", "rights", "DESCRIBE");
    await kafka.allow("gapless", "topic", "rights", "WRITE");
    const { log, lines } = recordLog();
    const sinkOf = (username: string, more: Partial<KafkaOptions> = {}) =>
      new KafkaSink({
        brokers: [kafka.listener("login")],
        topic: "rights",
        gapsTopic: "rights_gaps",
        clientId: "test",
        compression: "none",
        ssl: true,
        certificates: { ca: authority.cert },
        sasl: { mechanism: "scram-sha-256", username, password: PASSWORD },
        log,
        ...more,
      });
    const gap = {
      kind: "gap",
      exchange: "coinbase",
      product: "BTC-USD",
      opened: 1,
      from: 1,
      to: 2,
      reason: "stalled",
      dropped: 0,
      missed: true,
    } as const;
    {
      // for Kafka the right to write includes the right to describe
      await using sink = sinkOf("writer");
      await sink.write([makeTick(0)], forever);
      await sink.writeGaps([gap], forever);
    }
    {
      await using sink = sinkOf("gapless");
      await sink.write([makeTick(1)], forever);
      const error = await assertRejects(() => sink.writeGaps([gap], forever), SinkError);
      assertMatch(error.message, /refuses access \(topic rights_gaps\): Not authorized to access topics/);
      // ticks are still written
      await sink.write([makeTick(2)], forever);
    }
    {
      await using sink = sinkOf("looker");
      const error = await assertRejects(() => sink.write([makeTick(3)], forever), SinkError);
      assertEquals(error.kind, "fatal");
      assertMatch(error.message, /refuses access \(topic rights\): Not authorized to access topics/);
    }
    {
      await using sink = sinkOf("nobody");
      const error = await assertRejects(() => sink.connect(forever), SinkError);
      assertEquals(error.kind, "fatal");
      assertMatch(error.message, /refuses access \(topic rights\): Not authorized to access topics/);
    }
    assertEquals((await kafka.read("rights")).length, 3);
    assertEquals((await kafka.read("rights_gaps")).length, 1);
    assertNoSecret(JSON.stringify(lines), PASSWORD);
  });

  await t.step(
    "Kafka's certificate expires while ticks are written: they are held and tried again until it is renewed",
    async () => {
      const topics = await topicsFor("renewed", "feed");
      await using producer = new Producer({ ...login("SCRAM-SHA-256"), ...topics });
      await producer.says("Ready to write to kafka");
      const more = async (count: number) => {
        const before = simulator.sentCount;
        await until(`${count} ticks are sent`, () => simulator.sentCount >= before + count);
      };
      const certificate = ({ key, cert }: Pair) => ({
        "listener.name.login.ssl.keystore.key": key,
        "listener.name.login.ssl.keystore.certificate.chain": cert + authority.cert,
      });
      await more(100);
      await kafka.set(certificate(expired));
      await kafka.restart();
      await until(
        "it says why it waits",
        () =>
          producer.stderr.includes("has a certificate that has expired or is not valid yet: certificate has expired"),
      );
      await more(100);
      await sleep(500);
      await kafka.set(certificate(await authority.issue()));
      await kafka.restart();
      await producer.says("Writing to kafka again");
      await more(100);
      assertEquals(await producer.end("SIGTERM"), 0, producer.stderr);
      assertNoSecret(producer.stderr, PASSWORD);
      const counted = await audit(simulator, kafka, { topic: "renewed", gapsTopic: "renewed_gaps" });
      const [stopped] = producer.said("Stopped");
      assertEquals(counted.stored, Number(stopped?.received));
      tell(`${counted.stored} stored, none lost, while the certificate was renewed`);
    },
  );

  await t.step(
    "a listener without TLS where TLS is configured, and the reverse: the message names the likely cause",
    async () => {
      const trouble = async (options: Partial<KafkaOptions>) => {
        await using sink = new KafkaSink({
          brokers: [kafka.broker],
          topic: "rights",
          gapsTopic: "",
          clientId: "test",
          compression: "none",
          ssl: true,
          log: silent,
          requestTimeoutMs: 3000,
          ...options,
        });
        const error = await assertRejects(() => sink.connect(forever), SinkError);
        assertEquals(error.kind, "retry");
        return error.message;
      };
      assertMatch(await trouble({}), /\(does this port speak TLS\? KAFKA_SSL is true\)$/);
      const brokers = [kafka.listener("login")];
      assertMatch(
        await trouble({ ssl: false, brokers }),
        /\(does it need KAFKA_SSL=true or a login \(KAFKA_USERNAME\)\?\)$/,
      );
      const certificates = { ca: authority.cert };
      assertMatch(await trouble({ brokers, certificates }), /\(does it need a login \(KAFKA_USERNAME\)\?\)$/);
    },
  );
});
