// From the arrival of a frame to Kafka's acknowledgement of its tick, beside a bare send() of one record at a time with stock
// kafkajs on the same broker. Needs the real Kafka. Run it: deno task bench:latency [SECONDS]

import { type Clock, systemClock } from "../../src/clock.ts";
import { startFeed } from "../integration/feed.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { startFeeder } from "./feeder_process.ts";

const SECONDS = Number(Deno.args[0] ?? 10);
const WARM_SECONDS = 3;
const SINGLE = new URL("single_send.ts", import.meta.url).pathname;

const never = new AbortController().signal;
const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
/** Finer than the machine's wall clock, which counts whole milliseconds. */
const clock: Clock = { ...systemClock, now: () => performance.timeOrigin + performance.now() };

function percentile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? NaN;
}

function tell(what: string, ms: readonly number[]): number {
  const [p50, p99] = [percentile(ms, 0.5), percentile(ms, 0.99)];
  say(`${what.padEnd(38)} p50 ${p50.toFixed(2).padStart(7)} ms, p99 ${p99.toFixed(2).padStart(7)} ms, of ${ms.length}`);
  return p99;
}

/** One record after the other, each awaited. */
async function single(kafka: KafkaServer): Promise<number[]> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", "--allow-env", "--allow-read", SINGLE, kafka.broker, String(SECONDS)],
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`single_send.ts ended with ${code}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Of each tick, when the feed brings so many a second. */
async function road(kafka: KafkaServer, feeder: number, rate: number): Promise<number[]> {
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

const missing = kafkaMissing();
if (missing !== undefined) {
  say(`Cannot run the bench: ${missing}`);
  Deno.exit(2);
}
await using kafka = await KafkaServer.start();
for (const topic of ["ticker_batch", "feed_gaps", "single"]) await kafka.createTopic(topic);
await using feeder = await startFeeder();
const bare = tell("bare send() of one record", await single(kafka));
for (const rate of [1000, 10_000]) {
  const p99 = tell(`arrival to acknowledged, ${rate} ticks/s`, await road(kafka, feeder.port, rate));
  say(`${"".padEnd(38)} p99 ${(p99 / bare).toFixed(2)} times that of the bare send()`);
}
