// Encrypted connections to the exchange and to Kafka: with a certificate whose authority the
// program knows, and with one it does not.

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { audit, until } from "./feed.ts";
import { Producer } from "./producer.ts";

const missing = kafkaMissing() ?? (hasOpenssl() ? undefined : "TLS tests need --allow-run and openssl: install it");

function hasOpenssl(): boolean {
  if (Deno.permissions.querySync({ name: "run" }).state !== "granted") return false;
  try {
    return new Deno.Command("openssl", { args: ["version"] }).outputSync().success;
  } catch {
    return false;
  }
}

/** An authority, and a certificate of it for this machine; PEM files in the folder. */
async function certify(dir: string): Promise<{ ca: string; key: string; chain: string }> {
  const openssl = async (...args: string[]) => {
    const { success, stderr } = await new Deno.Command("openssl", { args, cwd: dir }).output();
    assert(success, new TextDecoder().decode(stderr));
  };
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
  await openssl(
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority"],
    ...["-keyout", "ca.key", "-out", "ca.pem"],
  );
  await openssl(
    "req",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-subj",
    "/CN=localhost",
    "-keyout",
    "key.pem",
    "-out",
    "csr.pem",
  );
  await Deno.writeTextFile(`${dir}/ext`, names);
  await openssl(
    ...["x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"],
    ...["-extfile", "ext", "-out", "cert.pem"],
  );
  await openssl("pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-out", "key8.pem");
  const [cert, ca] = [await Deno.readTextFile(`${dir}/cert.pem`), await Deno.readTextFile(`${dir}/ca.pem`)];
  return { ca: `${dir}/ca.pem`, key: await Deno.readTextFile(`${dir}/key8.pem`), chain: cert + ca };
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}

/** Takes encrypted connections and hands what they carry to a plain port, as a load balancer before an exchange does. */
function terminate(cert: string, key: string, port: number): { port: number } & AsyncDisposable {
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
  const conns = new Set<Deno.Conn>();
  const pipes: Promise<unknown>[] = [];
  const accepting = (async () => {
    for await (const outer of listener) {
      const inner = await Deno.connect({ hostname: "127.0.0.1", port });
      conns.add(outer).add(inner);
      pipes.push(outer.readable.pipeTo(inner.writable).catch(() => {}));
      pipes.push(inner.readable.pipeTo(outer.writable).catch(() => {}));
    }
  })().catch(() => {});
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const conn of conns) {
        try {
          conn.close();
        } catch {
          // its pipe has closed it
        }
      }
      await Promise.all([accepting, ...pipes]);
    },
  };
}

Deno.test({
  name: `encrypted connections to exchange and Kafka${missing ? ` [skipped: ${missing}]` : ""}`,
  ignore: missing !== undefined,
  async fn() {
    const dir = await Deno.makeTempDir();
    try {
      const { ca, key, chain } = await certify(dir);
      const [plain, encrypted, controller] = [freePort(), freePort(), freePort()];
      await using kafka = await KafkaServer.start({
        port: plain,
        properties: {
          "listeners":
            `PLAINTEXT://127.0.0.1:${plain},SSL://127.0.0.1:${encrypted},CONTROLLER://127.0.0.1:${controller}`,
          "advertised.listeners": `PLAINTEXT://127.0.0.1:${plain},SSL://localhost:${encrypted}`,
          "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
          "controller.quorum.voters": `1@127.0.0.1:${controller}`,
          "ssl.keystore.type": "PEM",
          "ssl.keystore.key": key,
          "ssl.keystore.certificate.chain": chain,
        },
      });
      await kafka.createTopic("ticker_batch");
      await kafka.createTopic("feed_gaps");
      await using simulator = await Simulator.start({ seed: 16, ticksPerSecond: 15 });
      await using exchange = terminate(chain, key, simulator.port);
      const settings = {
        COINBASE_WS_URL: `wss://localhost:${exchange.port}`,
        KAFKA_BROKERS: `localhost:${encrypted}`,
        KAFKA_SSL: "true",
        KAFKA_START_TIMEOUT_MS: "1000",
      };
      {
        await using stranger = new Producer(settings);
        assertEquals(await stranger.ended(), 4, stranger.stderr);
        assertMatch(
          stranger.log.at(-1)?.message ?? "",
          /cannot be used: Connection error: .*(?:UnknownIssuer|certificate)/,
        );
        const [refusal] = stranger.said("Cannot reach Coinbase, trying again");
        assertMatch(String(refusal?.error), /UnknownIssuer|certificate/);
      }
      await using friend = new Producer({ ...settings, DENO_CERT: ca });
      await friend.says("Ready to write to kafka");
      const before = simulator.sentCount;
      await until("200 ticks are sent", () => simulator.sentCount >= before + 200);
      assertEquals(await friend.end("SIGTERM"), 0, friend.stderr);
      assertGreater((await audit(simulator, kafka)).stored, 150);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
