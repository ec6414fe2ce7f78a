// KafkaSink on a real Kafka behind a proxy: lost responses, requests cut in half, interrupted logins, records that Kafka
// refuses, compression, and the connection at rest.

import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertRejects } from "@std/assert";
import { systemClock as clock } from "../../src/core/clock.ts";
import { SinkError } from "../../src/core/errors.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { type Gap, GapTimes, recordTime, type Tick, tickId } from "../../src/core/record.ts";
import { type KafkaOptions, KafkaSink } from "../../src/kafka/sink.ts";
import { Simulator } from "../../src/simulator/server.ts";
import { Stats } from "../../src/core/stats.ts";
import { assertAllDeclared, count, droppedBy, gapsIn, ticksIn } from "../count.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { serverTest } from "../servers/test.ts";
import { recordLog, silent, sleep, startFeed, tell, until } from "./feed.ts";
import { Proxy } from "./proxy.ts";
import { ListSource, makeTick, sentOf } from "./ticks.ts";

const missing = kafkaMissing();
const forever = new AbortController().signal;
const MUTE = { answers: 0, then: "silence" } as const;
const LOGIN = { username: "feed", password: "correct horse" };

function ticks(from: number, to: number): Tick[] {
  return Array.from({ length: to - from }, (_, i) => makeTick(from + i));
}

/** The ids in the order of the topic. */
async function idsIn(kafka: KafkaServer, topic: string): Promise<string[]> {
  return (await kafka.read(topic)).map(({ headers }) => headers.id ?? "");
}

/** The record batches in the first segment of partition 0, read from the file, with their compression (0 none, 1 gzip). */
async function batchesOf(kafka: KafkaServer, topic: string): Promise<{ compression: number; records: number }[]> {
  const bytes = await Deno.readFile(`${kafka.dataDir}/log/${topic}-0/00000000000000000000.log`);
  const view = new DataView(bytes.buffer);
  const batches = [];
  for (let at = 0; at + 61 <= bytes.length; at += 12 + view.getInt32(at + 8)) {
    if (view.getInt32(at + 8) === 0) break;
    batches.push({ compression: view.getInt16(at + 21) & 7, records: view.getInt32(at + 57) });
  }
  return batches;
}

function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

serverTest(missing, "KafkaSink writes to a real Kafka", async (t) => {
  await using line = new Proxy();
  await using saslLine = new Proxy();
  await using kafka = await KafkaServer.start({
    sasl: LOGIN,
    properties: {
      "advertised.listeners": `PLAINTEXT://127.0.0.1:${line.port},SASL://127.0.0.1:${saslLine.port}`,
    },
  });
  line.target = Number(kafka.broker.split(":")[1]);
  saslLine.target = Number(kafka.saslBroker?.split(":")[1]);
  const options = (topic: string, more: Partial<KafkaOptions> = {}): KafkaOptions => ({
    brokers: [`127.0.0.1:${line.port}`],
    topic,
    gapsTopic: `${topic}_gaps`,
    clientId: "test",
    compression: "none",
    ssl: false,
    log: silent,
    requestTimeoutMs: 2000,
    ...more,
  });
  const write = async (sink: KafkaSink, batch: readonly Tick[]) => await sink.write(batch, forever);

  await t.step(
    "a lost response: the write rejects with retry although the batch is stored, and a second write makes repeats",
    async () => {
      await kafka.createTopic("lost", { partitions: 3 });
      await using sink = new KafkaSink(options("lost"));
      const [first, second, third] = [ticks(0, 30), ticks(30, 60), ticks(60, 90)];
      await write(sink, first);
      line.state = MUTE;
      const written = assertRejects(() => write(sink, second), SinkError);
      await until("the response is lost", () => line.swallowed > 0);
      line.cut();
      line.state = "whole";
      assertEquals((await written).kind, "retry");
      await write(sink, second);
      await write(sink, third);
      const stored = ticksIn(await kafka.read("lost"));
      const counted = count({ sent: sentOf([...first, ...second, ...third]), stored, gaps: [] });
      assertAllDeclared(counted);
      assertEquals([counted.stored, counted.repeats], [90, 30]);
    },
  );

  await t.step("no response: the write rejects after the request timeout", async () => {
    await kafka.createTopic("mute");
    await using sink = new KafkaSink(options("mute", { requestTimeoutMs: 500 }));
    await write(sink, ticks(0, 3));
    line.state = MUTE;
    const error = await assertRejects(() => write(sink, ticks(3, 6)), SinkError);
    line.state = "whole";
    assertEquals(error.kind, "retry");
    assertMatch(error.message, /cannot be used: Request Produce.* timed out$/);
    await write(sink, ticks(3, 6));
    assertEquals(new Set(await idsIn(kafka, "mute")).size, 6);
  });

  await t.step("a request cut in half: nothing is stored, and a second write stores everything", async () => {
    await kafka.createTopic("half", { partitions: 3 });
    await using sink = new KafkaSink(options("half"));
    await write(sink, ticks(0, 30));
    line.state = "cut-requests";
    const error = await assertRejects(() => write(sink, ticks(30, 60)), SinkError);
    line.state = "whole";
    assertEquals(error.kind, "retry");
    await write(sink, ticks(30, 60));
    const stored = ticksIn(await kafka.read("half"));
    const counted = count({ sent: sentOf(ticks(0, 60)), stored, gaps: [] });
    assertAllDeclared(counted);
    assertEquals([counted.stored, counted.repeats], [60, 0]);
  });

  await t.step("an abort during a write: rejects with the reason at once, and closes without waiting", async () => {
    await kafka.createTopic("abort");
    const sink = new KafkaSink(options("abort", { requestTimeoutMs: 30_000 }));
    await write(sink, ticks(0, 3));
    line.state = MUTE;
    const stop = new AbortController();
    const swallowed = line.swallowed;
    const written = sink.write(ticks(3, 6), stop.signal);
    await until("the response is lost", () => line.swallowed > swallowed);
    const since = performance.now();
    stop.abort(new DOMException("enough", "TimeoutError"));
    await assertRejects(() => written, DOMException, "enough");
    await sink[Symbol.asyncDispose]();
    assertLess(performance.now() - since, 15_000);
    line.state = "whole";
    // the sink can be used again
    await write(sink, ticks(3, 9));
    await sink[Symbol.asyncDispose]();
    await sink[Symbol.asyncDispose]();
    assertEquals(new Set(await idsIn(kafka, "abort")).size, 9);
  });

  await t.step("an aborted signal: nothing is sent", async () => {
    await kafka.createTopic("aborted");
    await using sink = new KafkaSink(options("aborted"));
    const reason = new DOMException("before", "AbortError");
    await assertRejects(() => sink.write(ticks(0, 3), AbortSignal.abort(reason)), DOMException, "before");
    assertEquals(await idsIn(kafka, "aborted"), []);
  });

  await t.step("the first of several brokers is down: another one is tried", async () => {
    await kafka.createTopic("others");
    const dead = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = dead.addr;
    dead.close();
    const brokers = [`127.0.0.1:${port}`, `127.0.0.1:${line.port}`];
    await using sink = new KafkaSink(options("others", { brokers }));
    assertEquals((await assertRejects(() => sink.connect(forever), SinkError)).kind, "retry");
    await sink.connect(forever);
    await write(sink, ticks(0, 3));
    assertEquals((await idsIn(kafka, "others")).length, 3);
  });

  await t.step({
    name: "a broker named by its IPv6 address",
    ignore: !hasIpv6(),
    async fn() {
      await kafka.createTopic("six");
      await using six = new Proxy("::1");
      six.target = line.port;
      await using sink = new KafkaSink(options("six", { brokers: [`[::1]:${six.port}`] }));
      await write(sink, ticks(0, 3));
      // one to read the advertised addresses, one that stays
      assertEquals(six.connections, 2);
      assertEquals((await idsIn(kafka, "six")).length, 3);
    },
  });

  await t.step("a connection that ended while idle is opened again without an error", async () => {
    await kafka.createTopic("idle");
    await using sink = new KafkaSink(options("idle"));
    await write(sink, ticks(0, 3));
    const { connections } = line;
    line.cut();
    // the client notices the end a little later
    await sleep(100);
    await write(sink, ticks(3, 6));
    assertGreater(line.connections, connections);
    assertEquals(await idsIn(kafka, "idle"), ticks(0, 6).map(tickId));
  });

  await t.step("an idle connection uses no timer", async () => {
    await kafka.createTopic("rest");
    await using sink = new KafkaSink(options("rest"));
    await write(sink, ticks(0, 3));
    const { default: RequestQueue } = await import("kafkajs/src/network/requestQueue/index.js");
    const { prototype } = RequestQueue;
    const check = prototype.checkPendingRequests;
    let looks = 0;
    prototype.checkPendingRequests = function () {
      looks++;
      check.call(this);
    };
    await sleep(300);
    prototype.checkPendingRequests = check;
    // stock kafkajs checks every millisecond
    assertEquals(looks, 0);
  });

  await t.step("gzip: compressed in the file, the same records for a reader", async () => {
    await kafka.createTopic("zipped");
    await kafka.createTopic("plain");
    for (const [topic, compression] of [["zipped", "gzip"], ["plain", "none"]] as const) {
      await using sink = new KafkaSink(options(topic, { compression }));
      await write(sink, ticks(0, 500));
    }
    assertEquals(await batchesOf(kafka, "zipped"), [{ compression: 1, records: 500 }]);
    assertEquals(await batchesOf(kafka, "plain"), [{ compression: 0, records: 500 }]);
    const [zipped, plain] = [await kafka.read("zipped"), await kafka.read("plain")];
    assertEquals(zipped, plain);
    assertEquals(zipped[7]?.timestamp, Math.floor(makeTick(7).exchangeTimeUs / 1000));
  });

  await t.step("linger: the same records, in at most one request per linger time", async () => {
    await using simulator = await Simulator.start({ seed: 15, ticksPerSecond: 15 });
    for (const topic of ["lingering", "prompt"]) await kafka.createTopic(topic);
    const since = performance.now();
    const feedOf = (topic: string, lingerMs: number) =>
      startFeed({
        url: simulator.url,
        broker: kafka.broker,
        channel: "ticker",
        lingerMs,
        kafka: { topic, gapsTopic: "" },
      });
    await using lingering = feedOf("lingering", 400);
    await using prompt = feedOf("prompt", 0);
    await until("both have written", () => lingering.kafka.sent >= 300 && prompt.kafka.sent >= 300);
    for (const feed of [lingering, prompt]) await feed.stop();
    const [few, many] = [await batchesOf(kafka, "lingering"), await batchesOf(kafka, "prompt")];
    assertEquals(few.reduce((sum, { records }) => sum + records, 0), lingering.stats.received);
    assertEquals(many.reduce((sum, { records }) => sum + records, 0), prompt.stats.received);
    // at most one request per linger time, and one each for the first ticks and the rest at the end
    assertLess(few.length, (performance.now() - since) / 400 + 3);
    tell(`${few.length} requests with linger, ${many.length} without`);
  });

  for (
    const { name, topic, config, bad } of [
      {
        name: "dated two hours ahead",
        topic: "ahead",
        config: {},
        bad: makeTick(999, { exchangeTimeUs: (Date.now() + 7_200_000) * 1000 }),
      },
      {
        name: "too large",
        topic: "large",
        config: { "max.message.bytes": "2000" },
        bad: makeTick(999, { product: `${"X".repeat(3000)}-USD` }),
      },
    ]
  ) {
    await t.step(`a record ${name} among valid ones: only that one is lost, counted and declared`, async () => {
      await kafka.createTopic(topic, { partitions: 2, config });
      await kafka.createTopic(`${topic}_gaps`);
      const events = [...ticks(0, 50), bad, ...ticks(50, 100)];
      const { log, said } = recordLog();
      const stats = new Stats();
      const pipeline = new Pipeline({
        source: new ListSource(events),
        sinks: [new KafkaSink(options(topic))],
        queueCapacity: 1000,
        maxBatch: 2000,
        lingerMs: 0,
        startTimeoutMs: 10_000,
        drainMs: 20_000,
        clock,
        random: Math.random,
        log,
        stats,
        gapTimes: new GapTimes(),
      });
      await pipeline.run(forever);
      const { sent, lost, dropped, gapsSent } = stats.sink("kafka");
      assertEquals({ sent, lost, dropped, gapsSent }, { sent: 100, lost: 1, dropped: 0, gapsSent: 1 });
      const counted = count({
        sent: sentOf(events),
        stored: ticksIn(await kafka.read(topic)),
        gaps: gapsIn(await kafka.read(`${topic}_gaps`)),
      });
      assertAllDeclared(counted);
      assertEquals(counted.missing, [tickId(bad)]);
      assertEquals(counted.stored, 100);
      assertEquals(droppedBy(counted, "record-refused"), 1);
      const [gap] = counted.gaps;
      assertEquals([gap?.product, gap?.from, gap?.to], [bad.product, recordTime(bad), recordTime(bad)]);
      const [line] = said("error", "kafka refuses a record, it is lost");
      assertEquals(line?.fields.id, tickId(bad));
      tell(`${counted.repeats} repeats for ${counted.stored} stored`);
    });
  }

  await t.step("gaps that are too many for one record batch are written in parts", async () => {
    await kafka.createTopic("many");
    await kafka.createTopic("many_gaps", { config: { "max.message.bytes": "2000" } });
    await using sink = new KafkaSink(options("many"));
    const gaps = Array.from({ length: 60 }, (_, i): Gap => ({
      kind: "gap",
      exchange: "coinbase",
      product: "BTC-USD",
      opened: 1_795_999_607 + i / 1000,
      from: i,
      to: null,
      reason: "stalled",
      dropped: 0,
      missed: true,
    }));
    await sink.writeGaps(gaps, forever);
    const records = await kafka.read("many_gaps");
    assertEquals(records.map(({ value }) => JSON.parse(value).opened), gaps.map((gap) => gap.opened));
    // as the README says: the key is the product, the timestamp is `opened`, there are no headers
    assertEquals(
      records.map(({ key, timestamp, headers }) => ({ key, timestamp, headers })),
      gaps.map((_gap, i) => ({ key: "BTC-USD", timestamp: 1_795_999_607_000 + i, headers: {} })),
    );
  });

  await t.step(
    "login: the right password works, a wrong one is fatal, an interrupted login is tried again",
    async () => {
      await kafka.createTopic("login");
      const brokers = [`127.0.0.1:${saslLine.port}`];
      const sasl = { mechanism: "plain", ...LOGIN } as const;
      await using sink = new KafkaSink(options("login", { brokers, sasl }));
      await write(sink, ticks(0, 3));
      assertEquals((await idsIn(kafka, "login")).length, 3);

      const { log, lines } = recordLog();
      const password = "wrong horse";
      await using wrong = new KafkaSink(options("login", { brokers, log, sasl: { ...sasl, password } }));
      const refused = await assertRejects(() => wrong.connect(forever), SinkError);
      assertEquals(refused.kind, "fatal");
      assertMatch(
        refused.message,
        /^Kafka at 127\.0\.0\.1:\d+ refuses access \(topic login\): SASL PLAIN authentication failed: .*[Ii]nvalid username or password$/,
      );
      assert(!JSON.stringify([refused, refused.message, refused.stack, lines]).includes(password));

      // API versions and handshake are answered, the login is not
      for (const then of ["silence", "end"] as const) {
        await using unlucky = new KafkaSink(options("login", { brokers, sasl, requestTimeoutMs: 500 }));
        saslLine.state = { answers: 2, then };
        const interrupted = await assertRejects(() => unlucky.connect(forever), SinkError);
        assertMatch(interrupted.message, /SASL PLAIN authentication failed/);
        assertEquals(interrupted.kind, "retry", interrupted.message);
        saslLine.state = "whole";
        await unlucky.connect(forever);
      }
    },
  );
});
