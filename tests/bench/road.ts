// `deno task bench`: frames on a loopback socket -> decode -> queue -> kafkajs -> a real Kafka, acknowledged; against
// stock kafkajs alone with the same records in batches of 500, in turn in one run, so that a noisy machine spoils both alike.

import { systemClock as clock } from "../../src/clock.ts";
import { startFeed } from "../integration/feed.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { startFeeder } from "./feeder_process.ts";

const SECONDS = Number(Deno.args[0] ?? 10);
const WARM_SECONDS = 2;
const ROUNDS = 3;
/** Of kafkajs alone. */
const BATCH = 500;
const STOCK = new URL("stock_kafkajs.ts", import.meta.url).pathname;

const never = new AbortController().signal;
const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
const perSecond = (rate: number) => `${Math.round(rate / 100) / 10}k/s`;
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] as number;

/** Records a second of kafkajs alone, one request of {@link BATCH} records in flight. */
async function alone(kafka: KafkaServer): Promise<number> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", "--allow-env", "--allow-read", STOCK, kafka.broker, String(SECONDS)],
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`stock_kafkajs.ts ended with ${code}`);
  return Number(new TextDecoder().decode(stdout));
}

/** Ticks a second that the whole road acknowledges when the feed offers so many (0: all it can). */
async function road(kafka: KafkaServer, feeder: number, offered: number) {
  await using feed = startFeed({ url: `ws://127.0.0.1:${feeder}/${offered}`, broker: kafka.broker, channel: "ticker" });
  const sink = feed.stats.sink("kafka");
  await clock.sleep(WARM_SECONDS * 1000, never);
  const sentBefore = sink.sent, droppedBefore = sink.dropped, since = clock.elapsed();
  await clock.sleep(SECONDS * 1000, never);
  const seconds = (clock.elapsed() - since) / 1000;
  const depth = feed.pipeline.status()[0]?.queueDepth ?? 0;
  return {
    sent: (sink.sent - sentBefore) / seconds,
    dropped: sink.dropped - droppedBefore,
    depth,
    rssMb: Math.round(Deno.memoryUsage().rss / 2 ** 20),
  };
}

const missing = kafkaMissing();
if (missing !== undefined) {
  say(`Cannot run the bench: ${missing}`);
  Deno.exit(2);
}
await using kafka = await KafkaServer.start();
for (const topic of ["ticker_batch", "feed_gaps", "alone"]) {
  // what the bench writes need not be kept
  await kafka.createTopic(topic, {
    partitions: 1,
    config: { "retention.bytes": "50000000", "segment.bytes": "50000000" },
  });
}
await using feeder = await startFeeder();
const base: number[] = [], overload: number[] = [], ratios: number[] = [];
for (let round = 1; round <= ROUNDS; round++) {
  base.push(await alone(kafka));
  const flood = await road(kafka, feeder.port, 0);
  overload.push(flood.sent);
  ratios.push(flood.sent / (base.at(-1) as number));
  say(
    `round ${round}: kafkajs alone ${perSecond(base.at(-1) as number)}; road under overload ${perSecond(flood.sent)} ` +
      `(${flood.dropped} dropped, ${flood.rssMb} MB)`,
  );
}
let held: number | undefined;
for (const part of [1, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5]) {
  const offered = Math.round(median(overload) * part);
  const run = await road(kafka, feeder.port, offered);
  const holds = run.dropped === 0 && run.sent >= offered * 0.995 && run.depth < offered / 10;
  say(
    `offered ${perSecond(offered)}: ${perSecond(run.sent)} acknowledged, ${run.dropped} dropped, ${run.depth} waiting`,
  );
  if (!holds) continue;
  held = offered;
  break;
}
const baseline = median(base);
say("");
say(`kafkajs alone, batches of ${BATCH}:        ${perSecond(baseline)}`);
say(
  `held for ${SECONDS} s, nothing dropped:       ${held === undefined ? "none" : perSecond(held)} = ${
    ((held ?? 0) / baseline).toFixed(2)
  } of it`,
);
say(`arrives when the feed is faster:     ${perSecond(median(overload))} = ${median(ratios).toFixed(2)} of it`);
