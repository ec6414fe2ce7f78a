// `deno task bench pipeline [SECONDS]`: frames on a loopback socket -> decode -> queue -> kafkajs -> acknowledged by a real Kafka;
// compared with stock kafkajs alone writing the same records in batches of 500. They take turns in one run, so that other load
// affects both.

import { systemClock as clock } from "../../src/core/clock.ts";
import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { startFeed } from "../integration/feed.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { startFeeder } from "./feeder_process.ts";
import { endIfMissing, judge, median, note, numberArgument, say, thousands } from "./report.ts";
import { runScript } from "./run.ts";

endIfMissing(kafkaMissing());
const SECONDS = numberArgument(0, "SECONDS", 10);
const WARM_SECONDS = 2;
const ROUNDS = 3;
/** Records per batch of kafkajs alone. */
const BATCH = 500;

const never = new AbortController().signal;
const perSecond = (rate: number) => `${thousands(rate)}/s`;

/** Records per second of kafkajs alone, with one request of {@link BATCH} records in flight. */
async function alone(kafka: KafkaServer): Promise<number> {
  return Number(await runScript("stock_kafkajs.ts", [kafka.broker, String(SECONDS)]));
}

/** Runs the pipeline with a feed of this rate (0: as fast as possible). */
async function pipeline(kafka: KafkaServer, feeder: number, offered: number) {
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

await patchKafkajs();
await using kafka = await KafkaServer.start();
for (const topic of ["ticker_batch", "feed_gaps", "alone"]) {
  // the records of the bench need not be kept
  await kafka.createTopic(topic, {
    partitions: 1,
    config: { "retention.bytes": "50000000", "segment.bytes": "50000000" },
  });
}
await using feeder = await startFeeder();
const base: number[] = [], overload: number[] = [], ratios: number[] = [];
let shed = 0;
for (let round = 1; round <= ROUNDS; round++) {
  base.push(await alone(kafka));
  const flood = await pipeline(kafka, feeder.port, 0);
  overload.push(flood.sent);
  shed += flood.dropped;
  ratios.push(flood.sent / (base.at(-1) as number));
  say(
    `round ${round}: kafkajs alone ${perSecond(base.at(-1) as number)}; pipeline under overload ${
      perSecond(flood.sent)
    } ` +
      `(${flood.dropped} dropped, ${flood.rssMb} MB)`,
  );
}
let held: number | undefined;
for (const part of [1, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5]) {
  const offered = Math.round(median(overload) * part);
  const run = await pipeline(kafka, feeder.port, offered);
  const holds = run.dropped === 0 && run.sent >= offered * 0.995 && run.depth < offered / 10;
  say(
    `offered ${perSecond(offered)}: ${perSecond(run.sent)} acknowledged, ${run.dropped} dropped, ${run.depth} waiting`,
  );
  if (!holds) continue;
  held = offered;
  break;
}
const baseline = median(base);
const ofKafkajs = (rate: number, ratio: number) =>
  `${ratio.toFixed(2)} times (${perSecond(rate)}; kafkajs ${perSecond(baseline)})`;
judge(
  `pipeline, sustained for ${SECONDS} s with nothing dropped, compared with kafkajs alone in batches of ${BATCH}`,
  held !== undefined && held >= baseline,
  held === undefined ? "no rate was held" : ofKafkajs(held, held / baseline),
  "at least 1.0 times",
);
note(
  "pipeline with a faster feed, compared with kafkajs alone",
  `${ofKafkajs(median(overload), median(ratios))}, ${shed} dropped`,
);
