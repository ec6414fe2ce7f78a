// The program as a process: stopped, killed and started again, and the exit codes that a supervisor sees.

import { assert, assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { programMissing, serverTest } from "../servers/test.ts";
import { audit, sleep, tell, until } from "./feed.ts";
import { Producer } from "./producer.ts";

const missing = kafkaMissing() ??
  programMissing();

const LOGIN = { username: "feed", password: "correct-horse" };

serverTest(
  missing,
  "the program loses nothing undeclared when it is stopped or killed and started again",
  async (t) => {
    await using kafka = await KafkaServer.start({ sasl: LOGIN });

    await t.step("SIGTERM, then kill -9 twice, started again each time", async () => {
      await kafka.createTopics(undefined, { partitions: 3 });
      await using simulator = await Simulator.start({ seed: 11, ticksPerSecond: 15 });
      const folder = await Deno.makeTempDir();
      await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
      const cursor = `${folder}/cursor.json`;
      const settings = { COINBASE_WS_URL: simulator.url, KAFKA_BROKERS: kafka.broker, CURSOR_FILE: cursor };
      const more = async (n: number) => {
        const before = simulator.sentCount;
        await until(`${n} more ticks are sent`, () => simulator.sentCount >= before + n);
      };

      {
        await using first = new Producer(settings);
        await first.says("Ready to write to kafka");
        await more(300);
        const since = performance.now();
        assertEquals(await first.end("SIGTERM"), 0, first.stderr);
        assertLess(performance.now() - since, 30_000);
        const [stopped] = first.said("Stopped");
        assertEquals((stopped?.sent as { kafka: number }).kafka, stopped?.received);
        assertGreater(Number(stopped?.received), 250);
        // no warning about negative timers of kafkajs, and no other output
        assert(!first.stderr.includes("Warning"), first.stderr);
        assertEquals(first.stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{")), []);
        const counted = await audit(simulator, kafka);
        assertEquals(counted.stored, Number(stopped?.received));
        assertEquals(counted.repeats, 0);
        const ends = counted.gaps.filter((gap) => gap.reason === "stopped");
        assertEquals(ends.length, 8);
        assert(ends.every((gap) => gap.to === Infinity && gap.missed));
        tell(`SIGTERM: ${counted.stored} stored, ${counted.missing.length} sent after the end`);
      }
      // gap records are delivered separately: one that is lost with the program is covered by the next restart gap
      const restartsTold = (n: number) =>
        until(`${n} restarts are declared`, async () => {
          const told = (await kafka.read("feed_gaps")).map(({ value }) => JSON.parse(value));
          return told.filter(({ reason, to }) => reason === "restart" && to === null).length >= n * 8;
        });
      {
        await using second = new Producer(settings);
        await second.says("Ready to write to kafka");
        await more(200);
        simulator.levers.flood(3000, 1500);
        await more(1000);
        await restartsTold(2);
        await second.end("SIGKILL");
      }
      {
        // the broker does not answer, so many ticks are in flight when the program is killed
        await using third = new Producer(settings);
        await third.says("Ready to write to kafka");
        await more(200);
        await restartsTold(3);
        kafka.pause();
        try {
          await more(300);
          await third.end("SIGKILL");
        } finally {
          kafka.resume();
        }
      }
      await using fourth = new Producer(settings);
      await fourth.says("Ready to write to kafka");
      await more(200);
      assertEquals(await fourth.end("SIGINT"), 0, fourth.stderr);

      const counted = await audit(simulator, kafka);
      const sent = simulator.sentCount;
      assertEquals(counted.stored + counted.missing.length, sent);
      assertGreater(counted.missing.length, 200);
      assertEquals(counted.gaps.filter((gap) => gap.reason === "restart").length, 4 * 8);
      // only the first start has no cursor; all others know where their gap begins, also after kill -9
      const begun = (await kafka.read("feed_gaps")).map(({ value }) => JSON.parse(value))
        .filter(({ reason, to }) => reason === "restart" && to === null);
      assertEquals([begun.length, begun.filter(({ from }) => from === null).length], [4 * 8, 8]);
      tell(
        `all four: ${sent} sent, ${counted.stored} stored, ${counted.missing.length} missing and declared, ${counted.repeats} repeats`,
      );
    });

    await t.step(
      "frozen for longer than a connection may be silent: it reads what the socket holds, and misses nothing",
      async () => {
        const topics = await kafka.createTopics("thawed");
        await using simulator = await Simulator.start({ seed: 12, ticksPerSecond: 15 });
        await using producer = new Producer({
          COINBASE_WS_URL: simulator.url,
          KAFKA_BROKERS: kafka.broker,
          KAFKA_TOPIC: topics.topic,
          KAFKA_GAPS_TOPIC: topics.gapsTopic,
          STALE_AFTER_MS: "2000",
        });
        await producer.says("Ready to write to kafka");
        const more = async (n: number) => {
          const before = simulator.sentCount;
          await until(`${n} more ticks are sent`, () => simulator.sentCount >= before + n);
        };
        await more(200);
        Deno.kill(producer.pid, "SIGSTOP");
        await sleep(3500);
        Deno.kill(producer.pid, "SIGCONT");
        await more(200);
        assertEquals(await producer.end("SIGTERM"), 0, producer.stderr);
        assertEquals(producer.said("Connection to Coinbase ended"), []);
        const counted = await audit(simulator, kafka, topics);
        assertEquals(new Set(counted.gaps.map(({ reason }) => reason)), new Set(["restart", "stopped"]));
      },
    );

    await t.step("a tick with a future time, then kill -9: the gap begins at the last real tick", async () => {
      const topics = await kafka.createTopics("ahead");
      await using simulator = await Simulator.start({ seed: 13, ticksPerSecond: 15 });
      const folder = await Deno.makeTempDir();
      await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
      const settings = {
        COINBASE_WS_URL: simulator.url,
        KAFKA_BROKERS: kafka.broker,
        KAFKA_TOPIC: topics.topic,
        KAFKA_GAPS_TOPIC: topics.gapsTopic,
        CURSOR_FILE: `${folder}/cursor.json`,
      };
      {
        await using first = new Producer(settings);
        await first.says("Ready to write to kafka");
        await until("200 ticks are sent", () => simulator.sentCount >= 200);
        simulator.levers.future(300_000, "ADA-USD");
        const before = simulator.sentCount;
        // the cursor is written once a second
        await until("300 more are sent", () => simulator.sentCount >= before + 300);
        await first.end("SIGKILL");
      }
      const killed = Date.now() / 1000;
      await sleep(2000);
      await using second = new Producer(settings);
      await until(
        "the program receives ticks",
        () => simulator.sentCount > 0 && second.said("Ready to write to kafka").length > 0,
      );
      const again = simulator.sentCount;
      await until("200 more are sent", () => simulator.sentCount >= again + 200);
      assertEquals(await second.end("SIGTERM"), 0, second.stderr);
      const counted = await audit(simulator, kafka, topics);
      const [gap] = counted.gaps.filter((each) =>
        each.product === "ADA-USD" && each.reason === "restart" && each.missed
      )
        .slice(-1);
      assert(gap !== undefined && gap.from < killed && gap.to > killed + 1.5, JSON.stringify(gap));
      // later ticks of the same microsecond have different record times
      const times = (await kafka.read(topics.topic)).map(({ value, headers }) =>
        [JSON.parse(value), headers.id] as const
      )
        .filter(([{ product }]) => product === "ADA-USD");
      const ids = new Set(times.map(([, id]) => id));
      assertEquals(new Set(times.map(([{ w_time }]) => w_time)).size, ids.size);
    });

    await t.step("a wrong password: exit 4, one sentence, the password in no output; the right one works", async () => {
      await kafka.createTopics("secret");
      await using simulator = await Simulator.start({ seed: 12, ticksPerSecond: 10 });
      const settings = {
        COINBASE_WS_URL: simulator.url,
        KAFKA_BROKERS: kafka.saslBroker ?? "",
        KAFKA_TOPIC: "secret",
        KAFKA_GAPS_TOPIC: "secret_gaps",
        KAFKA_USERNAME: LOGIN.username,
        LOG_LEVEL: "debug",
      };
      {
        await using refused = new Producer({ ...settings, KAFKA_PASSWORD: "wrong-horse" });
        assertEquals(await refused.ended(), 4, refused.stderr);
        assertEquals(refused.stderr.split("refuses access").length, 2, refused.stderr);
        assertMatch(
          refused.log.at(-1)?.message ?? "",
          /^Kafka at 127\.0\.0\.1:\d+ refuses access \(topic secret\): SASL PLAIN authentication failed: .*nvalid username or password$/,
        );
        assert(!refused.stderr.includes("wrong-horse"), refused.stderr);
      }
      {
        await using welcome = new Producer({ ...settings, KAFKA_PASSWORD: LOGIN.password });
        await welcome.says("Ready to write to kafka");
        const before = simulator.sentCount;
        await until("100 ticks are sent", () => simulator.sentCount >= before + 100);
        assertEquals(await welcome.end("SIGTERM"), 0, welcome.stderr);
        assert(!welcome.stderr.includes(LOGIN.password), welcome.stderr);
      }
      const counted = await audit(simulator, kafka, { topic: "secret", gapsTopic: "secret_gaps" });
      assertGreater(counted.stored, 50);
    });

    await t.step("no Kafka within KAFKA_START_TIMEOUT_MS: exit 4", async () => {
      await using simulator = await Simulator.start({ seed: 13 });
      const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = silent.addr;
      silent.close();
      await using alone = new Producer({
        COINBASE_WS_URL: simulator.url,
        KAFKA_BROKERS: `127.0.0.1:${port}`,
        // enough for a first attempt on a busy machine
        KAFKA_START_TIMEOUT_MS: "5000",
      });
      assertEquals(await alone.ended(), 4, alone.stderr);
      assertMatch(
        alone.log.at(-1)?.message ?? "",
        new RegExp(`^Kafka at 127.0.0.1:${port} cannot be used: .*ECONNREFUSED`),
      );
    });

    await t.step("SIGTERM while the broker is frozen: exit 5, with the number of ticks left", async () => {
      await kafka.createTopics("frozen");
      await using simulator = await Simulator.start({ seed: 14, ticksPerSecond: 15 });
      await using stuck = new Producer({
        COINBASE_WS_URL: simulator.url,
        KAFKA_BROKERS: kafka.broker,
        KAFKA_TOPIC: "frozen",
        KAFKA_GAPS_TOPIC: "frozen_gaps",
        DRAIN_TIMEOUT_MS: "1500",
      });
      await stuck.says("Ready to write to kafka");
      const before = simulator.sentCount;
      await until("100 ticks are sent", () => simulator.sentCount >= before + 100);
      kafka.pause();
      try {
        const paused = simulator.sentCount;
        await until("100 more are sent", () => simulator.sentCount >= paused + 100);
        const since = performance.now();
        assertEquals(await stuck.end("SIGTERM"), 5, stuck.stderr);
        const took = performance.now() - since;
        assertLess(took, 7500);
        const last = stuck.log.at(-1);
        const left = Number(last?.left);
        assertGreater(left, 50, stuck.stderr);
        assertEquals(last?.message, `${left} ticks could not be stored within 1500 ms`);
        tell(`exit 5 after ${Math.round(took)} ms, ${left} left`);
      } finally {
        kafka.resume();
      }
    });
  },
);
