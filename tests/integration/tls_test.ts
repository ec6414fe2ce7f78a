// Encrypted connections to the exchange and to Kafka, with an authority that the program knows by DENO_CERT and with an unknown
// one. For Kafka's own settings see secure_test.ts.

import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { Authority, opensslMissing } from "../servers/certificates.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { terminateTls } from "../servers/tls.ts";
import { serverTest } from "../servers/test.ts";
import { audit, until } from "./feed.ts";
import { Producer } from "./producer.ts";

const missing = kafkaMissing() ?? opensslMissing();

serverTest(missing, "the program connects to exchange and Kafka by TLS if it knows the authority", async () => {
  await using authority = await Authority.make();
  const { key, cert } = await authority.issue();
  const chain = cert + authority.cert;
  await using kafka = await KafkaServer.start({ listeners: { encrypted: { tls: { key, chain } } } });
  await kafka.createTopics();
  await using simulator = await Simulator.start({ seed: 16, ticksPerSecond: 15 });
  await using exchange = terminateTls(chain, key, simulator.port);
  const settings = {
    COINBASE_WS_URL: `wss://localhost:${exchange.port}`,
    KAFKA_BROKERS: kafka.listener("encrypted"),
    KAFKA_SSL: "true",
  };
  {
    await using stranger = new Producer(settings);
    assertEquals(await stranger.ended(), 4, stranger.stderr);
    assertMatch(stranger.log.at(-1)?.message ?? "", /has a certificate from an unknown authority/);
  }
  {
    // KAFKA_SSL_CA does not count for the exchange
    await using half = new Producer({ ...settings, KAFKA_SSL_CA: authority.cert });
    await half.says("Cannot reach Coinbase, trying again");
    assertMatch(String(half.said("Cannot reach Coinbase, trying again")[0]?.error), /UnknownIssuer|certificate/);
    await half.says("Ready to write to kafka");
    assertEquals(await half.end("SIGTERM"), 0, half.stderr);
  }
  await using friend = new Producer({ ...settings, DENO_CERT: authority.path });
  await friend.says("Ready to write to kafka");
  const before = simulator.sentCount;
  await until("200 ticks are sent", () => simulator.sentCount >= before + 200);
  assertEquals(await friend.end("SIGTERM"), 0, friend.stderr);
  assertGreater((await audit(simulator, kafka)).stored, 150);
});
