// `deno task bench peers [SECONDS]`: our pipeline compared with a tutorial's (Python, websocket-client, json, confluent-kafka's
// produce() for each message) on the same feed and broker. Each reads as fast as it can from a feed that is faster than both,
// and drops nothing. Needs Python 3; its packages are installed into a separate folder.

import process from "node:process";
import { systemClock as clock } from "../../src/core/clock.ts";
import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { startFeed } from "../integration/feed.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { startFeeder } from "./feeder_process.ts";
import { endIfMissing, judge, median, numberArgument, say } from "./report.ts";
import { run } from "./run.ts";

endIfMissing(kafkaMissing());
const SECONDS = numberArgument(0, "SECONDS", 10);
const WARM_SECONDS = 3;
const ROUNDS = 3;
/** Multiple of the tutorial's rate. */
const LEAST = 6;
const PACKAGES = ["confluent-kafka==2.16.1", "websocket-client==1.9.0"];

const never = new AbortController().signal;

/** The result of one program. */
interface Outcome {
  /** Records per second that Kafka acknowledged. */
  readonly rate: number;
  /** CPU of its process. */
  readonly cpuSecondsPerMillion: number;
  /** Records that were dropped or refused. */
  readonly failed: number;
}

/** The Python of an environment with the packages. */
async function findPython(): Promise<string> {
  const cache = Deno.env.get("CACHE") ?? `${Deno.env.get("HOME")}/.cache/crypto-data-streaming`;
  const folder = `${cache}/peers`;
  const python = `${folder}/bin/python`;
  const has = await run(python, ["-m", "pip", "freeze"]).catch(() => "");
  if (!PACKAGES.every((each) => has.includes(each))) {
    await run("python3", ["-m", "venv", folder]);
    await run(python, ["-m", "pip", "install", "-q", "--disable-pip-version-check", ...PACKAGES]);
  }
  return python;
}

async function ours(kafka: KafkaServer, feeder: number): Promise<Outcome> {
  await using feed = startFeed({ url: `ws://127.0.0.1:${feeder}/0`, broker: kafka.broker, channel: "ticker" });
  await clock.sleep(WARM_SECONDS * 1000, never);
  const { sent, dropped, lost } = feed.kafka;
  const [since, cpu] = [clock.elapsed(), process.cpuUsage()];
  await clock.sleep(SECONDS * 1000, never);
  const records = feed.kafka.sent - sent;
  const { user, system } = process.cpuUsage(cpu);
  return {
    rate: records / (clock.elapsed() - since) * 1000,
    cpuSecondsPerMillion: (user + system) / records,
    failed: feed.kafka.dropped - dropped + feed.kafka.lost - lost,
  };
}

const python = await findPython().catch((error: Error) =>
  endIfMissing(`it needs Python 3 with ${PACKAGES.join(" and ")}: ${error.message.trim()}`)
);
await patchKafkajs();
await using kafka = await KafkaServer.start();
for (const topic of ["ticker_batch", "feed_gaps", "tutorial"]) {
  const config = { "retention.bytes": "50000000", "segment.bytes": "50000000" };
  await kafka.createTopic(topic, { partitions: 1, config });
}
await using feeder = await startFeeder();
const script = new URL("peers/tutorial.py", import.meta.url).pathname;
const both: { ours: Outcome; tutorial: Outcome }[] = [];
let versions = {};
for (let round = 1; round <= ROUNDS; round++) {
  const args = [script, `ws://127.0.0.1:${feeder.port}/0`, kafka.broker, "tutorial", `${WARM_SECONDS}`, `${SECONDS}`];
  const tutorial = JSON.parse(await run(python ?? "", args));
  versions = tutorial.versions;
  both.push({ tutorial, ours: await ours(kafka, feeder.port) });
  const [a, b] = [both.at(-1)?.ours.rate ?? NaN, tutorial.rate];
  say(`round ${round}: ours ${Math.round(a)}/s, tutorial ${Math.round(b)}/s: ${(a / b).toFixed(1)} times`);
}
const rates = { ours: 0, tutorial: 0 };
for (const who of ["ours", "tutorial"] as const) {
  rates[who] = median(both.map((each) => each[who].rate));
  const cpu = median(both.map((each) => each[who].cpuSecondsPerMillion));
  const failed = both.reduce((sum, each) => sum + each[who].failed, 0);
  say(`${who.padEnd(9)} ${Math.round(rates[who])} records/s, ${cpu.toFixed(1)} CPU s per million, ${failed} failed`);
}
say(`${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")}`);
const ratio = median(both.map((each) => each.ours.rate / each.tutorial.rate));
judge(
  "pipeline, compared with a tutorial's in Python",
  ratio >= LEAST,
  `${ratio.toFixed(1)} times (${Math.round(rates.ours)}/s; tutorial ${Math.round(rates.tutorial)}/s)`,
  `at least ${LEAST} times`,
);
const failed = both.reduce((sum, each) => sum + each.ours.failed, 0);
judge("pipeline, dropped or lost meanwhile", failed === 0, String(failed), "0");
