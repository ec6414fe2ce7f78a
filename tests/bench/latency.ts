// `deno task bench latency [SECONDS]`: the time from the arrival of a frame to Kafka's acknowledgement of its tick, compared with
// stock kafkajs sending one record at a time to the same broker.

import { type Clock, systemClock } from "../../src/core/clock.ts";
import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { startFeed } from "../integration/feed.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { startFeeder } from "./feeder_process.ts";
import { endIfMissing, judge, numberArgument, percentile, say } from "./report.ts";
import { runScript } from "./run.ts";

endIfMissing(kafkaMissing());
const SECONDS = numberArgument(0, "SECONDS", 10);
const WARM_SECONDS = 3;
/** Multiple of a bare send(). */
const MOST = 3;

const never = new AbortController().signal;
/** Finer than Date.now(), which returns whole milliseconds. */
const clock: Clock = { ...systemClock, now: () => performance.timeOrigin + performance.now() };

/** Prints the percentiles and returns the 99th. */
function show(what: string, ms: readonly number[]): number {
  const [p50, p99] = [percentile(ms, 0.5), percentile(ms, 0.99)];
  say(`${what.padEnd(38)} p50 ${p50.toFixed(2).padStart(7)} ms, p99 ${p99.toFixed(2).padStart(7)} ms, of ${ms.length}`);
  return p99;
}

/** Milliseconds of each record, sent one after the other. */
async function single(kafka: KafkaServer): Promise<number[]> {
  return JSON.parse(await runScript("single_send.ts", [kafka.broker, String(SECONDS / 2)]));
}

/** Milliseconds of each tick at this rate. */
async function pipeline(kafka: KafkaServer, feeder: number, rate: number): Promise<number[]> {
  await using feed = startFeed({
    url: `ws://127.0.0.1:${feeder}/${rate}`,
    broker: kafka.broker,
    channel: "ticker",
    clock,
  });
  await systemClock.sleep(WARM_SECONDS * 1000, never);
  const delays: number[] = [];
  feed.kafka.delay.add = (seconds) => void delays.push(seconds * 1000);
  await systemClock.sleep(SECONDS * 1000, never);
  return delays;
}

await patchKafkajs();
await using kafka = await KafkaServer.start();
for (const topic of ["ticker_batch", "feed_gaps", "single"]) await kafka.createTopic(topic);
await using feeder = await startFeeder();
// before, between and after, so that other load affects all of them
const bareDelays = await single(kafka);
const runs: [rate: number, delays: number[]][] = [];
for (const rate of [1000, 10_000]) {
  runs.push([rate, await pipeline(kafka, feeder.port, rate)]);
  bareDelays.push(...await single(kafka));
}
const bare = show("bare send() of one record", bareDelays);
for (const [rate, delays] of runs) {
  const p99 = show(`arrival to acknowledged, ${rate} ticks/s`, delays);
  judge(
    `arrival to acknowledgement at ${rate.toLocaleString("en")} ticks/s, p99, compared with a bare send()`,
    p99 <= MOST * bare,
    `${(p99 / bare).toFixed(2)} times (${p99.toFixed(1)} ms; bare ${bare.toFixed(1)} ms)`,
    `at most ${MOST} times`,
  );
}
