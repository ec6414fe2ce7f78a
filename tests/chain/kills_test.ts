// Every part of the chain is killed once while prices flow, and started again. Afterwards InfluxDB has what the exchange sent,
// minus what is declared.

import { assertEquals, assertGreater } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { assertAllDeclared, countByTime } from "../count.ts";
import { sleep, tell, until } from "../integration/feed.ts";
import { Producer } from "../integration/producer.ts";
import { chainMissing, settle, startChain } from "./chain.ts";
import { pointCount, readGaps, readPoints } from "./points.ts";
import { programMissing, serverTest } from "../servers/test.ts";

const missing = chainMissing() ??
  programMissing();

/** How long each one stays down. */
const AWAY_MS = 3000;

serverTest(
  missing,
  "the chain loses nothing undeclared when each of its parts is killed while prices flow",
  async () => {
    await using chain = await startChain();
    const { kafka, influx, telegraf } = chain;
    await using simulator = await Simulator.start({ seed: 12, ticksPerSecond: 20 });
    const settings = { COINBASE_WS_URL: simulator.url, KAFKA_BROKERS: kafka.broker };
    const since = performance.now();
    const log = (what: string) => tell(`${Math.round((performance.now() - since) / 1000)} s: ${what}`);
    const points = () => pointCount(influx, simulator.products);
    const more = async (n: number) => {
      const before = await points();
      await until(`${n} more points are stored`, async () => await points() >= before + n, 60_000);
    };

    let producer = new Producer(settings);
    try {
      await more(500);
      log("Kafka");
      await kafka.kill();
      await sleep(AWAY_MS);
      await kafka.restart();
      await more(500);

      log("InfluxDB");
      await influx.kill();
      await sleep(AWAY_MS);
      await influx.restart();
      await more(500);

      log("producer");
      await producer.end("SIGKILL");
      await sleep(AWAY_MS);
      producer = new Producer(settings);
      await more(500);

      log("Telegraf");
      await telegraf.kill();
      await sleep(AWAY_MS);
      await telegraf.restart();
      await more(500);

      log("all four at once");
      await Promise.all([kafka.kill(), influx.kill(), telegraf.kill(), producer.end("SIGKILL")]);
      await sleep(AWAY_MS);
      producer = new Producer(settings);
      await Promise.all([kafka.restart(), influx.restart(), telegraf.restart()]);
      await more(500);
      assertEquals(await producer.end("SIGTERM"), 0);
    } finally {
      await producer[Symbol.asyncDispose]();
    }
    await settle(chain);

    const gaps = await readGaps(influx);
    const stored = await readPoints(influx, simulator.products);
    const counted = countByTime({ sent: simulator.sent(), points: stored, gaps });
    assertAllDeclared(counted);
    assertEquals(await points(), counted.stored);
    // only ticks that were sent while the producer was down are missing: Kafka, Telegraf and InfluxDB lost none
    assertGreater(counted.stored, 2500);
    const restarts = gaps.filter((gap) => gap.reason === "restart" && gap.to !== null);
    assertEquals(restarts.length, 3 * simulator.products.length);
    log(`${counted.stored} points of ${counted.sent} ticks, ${counted.missing.length} declared as missing`);
  },
);
