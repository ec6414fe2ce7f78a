// `deno task bench chain [BACKLOG] [COMPARED]`: Kafka -> Telegraf -> InfluxDB with the stack's telegraf.conf. First in turn with a
// tutorial's plain configuration on the same records and InfluxDB; then with a backlog from before Telegraf's start, of which
// every record must become a point.

import { systemClock as clock } from "../../src/core/clock.ts";
import type { Tick } from "../../src/core/record.ts";
import { KafkaSink } from "../../src/kafka/sink.ts";
import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { chainMissing, GAPS_TOPIC, telegrafEnv, TOPIC, tutorialConfig } from "../chain/chain.ts";
import { silent } from "../integration/feed.ts";
import { InfluxServer } from "../servers/influxdb.ts";
import { KafkaServer } from "../servers/kafka.ts";
import { TelegrafServer } from "../servers/telegraf.ts";
import { endIfMissing, judge, median, note, numberArgument, say, thousands } from "./report.ts";
import { writtenBy } from "./telegraf_log.ts";
import { type Usage, usageMissing, usageOf } from "./usage.ts";

endIfMissing(usageMissing() ?? chainMissing());
const BACKLOG = numberArgument(0, "BACKLOG", 2_000_000);
const COMPARED = Math.min(BACKLOG, numberArgument(1, "COMPARED", 400_000));
const ROUNDS = 3;
const BATCH = 2000;
const PRODUCTS = ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"];
/** Part of the plain configuration's rate. Ours reads each record as text first, so that none is lost, which costs time. */
const LEAST_OF_PLAIN = 0.5;
/** Part of the rate with fewer records: a backlog must not make it slower. */
const LEAST_OF_RATE = 0.8;
/** After this time without a new point, nothing more is expected. */
const SILENT_MS = 30_000;
/** Interval of measurements. */
const LOOK_MS = 100;

const PLAIN = `${tutorialConfig("@{tokens:telegraf}")}
[[secretstores.docker]]
  id = "tokens"
  path = "\${TOKENS}"
`;
/** The consumer groups of both configurations. */
const GROUPS = ["telegraf", "telegraf-gaps", "telegraf_metrics_consumers"];

const never = new AbortController().signal;
const startUs = (Date.now() - 3 * 3_600_000) * 1000;

/** Tick number `i`, with a unique product and time. */
function tickOf(i: number): Tick {
  const timeUs = startUs + Math.floor(i / PRODUCTS.length) * 10_000;
  return {
    kind: "tick",
    exchange: "coinbase",
    product: PRODUCTS[i % PRODUCTS.length] ?? "",
    sequence: 50_000_000_000 + i * 3,
    price: (6_123_456 + i * 7919 % 5000) / 100,
    exchangeTimeUs: timeUs,
    receivedTime: Math.floor(timeUs / 1000),
    recordTimeUs: timeUs,
    tradeId: 700_000_000 + i,
  };
}

/** Writes ticks as the program does. */
async function fill(kafka: KafkaServer, from: number, to: number): Promise<void> {
  await using sink = new KafkaSink({
    brokers: [kafka.broker],
    topic: TOPIC,
    gapsTopic: GAPS_TOPIC,
    clientId: "bench",
    compression: "none",
    ssl: false,
    log: silent,
  });
  await sink.connect(never);
  for (let i = from; i < to; i += BATCH) {
    await sink.write(Array.from({ length: Math.min(BATCH, to - i) }, (_, k) => tickOf(i + k)), never);
  }
}

/** Deletes the groups' offsets, so that both configurations begin with the oldest record again. */
async function deleteGroups(kafka: KafkaServer): Promise<void> {
  const { Kafka, logLevel } = (await import("kafkajs")).default;
  const admin = new Kafka({ brokers: [kafka.broker], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const { groups } = await admin.listGroups();
    const known = groups.map(({ groupId }) => groupId).filter((group) => GROUPS.includes(group));
    if (known.length > 0) await admin.deleteGroups(known);
  } finally {
    await admin.disconnect();
  }
}

async function countOf(influx: InfluxServer, bucket: string, measurement: string, field: string): Promise<number> {
  const [row] = await influx.query(`from(bucket: "${bucket}") |> range(start: 0)
    |> filter(fn: (r) => r._measurement == "${measurement}" and r._field == "${field}")
    |> count() |> group() |> sum()`);
  return Number(row?._value ?? 0);
}

/** The result of one run. */
interface Run {
  /** Points per second, from the first observed point on. */
  readonly rate: number;
  /** Telegraf's. */
  readonly cpuSecondsPerMillion: number;
  /** Telegraf's memory at the peak. */
  readonly mb: number;
  readonly influxCpuSecondsPerMillion: number;
  /** Counted in InfluxDB. */
  readonly points: number;
  /** Unreadable records, counted in InfluxDB. */
  readonly rejected: number;
  /** Lines of Telegraf's log about something dropped. */
  readonly drops: readonly string[];
}

/** Runs a new Telegraf with an empty bucket until everything is stored, or nothing changes any more. */
async function drain(kafka: KafkaServer, influx: InfluxServer, total: number, config?: string): Promise<Run> {
  const bucket = `bench-${crypto.randomUUID()}`;
  await influx.createBucket(bucket);
  const token = await influx.createToken({ write: bucket });
  await deleteGroups(kafka);
  const env = { ...telegrafEnv(kafka, influx), INFLUX_BUCKET: bucket };
  await using telegraf = await TelegrafServer.start({ ...config === undefined ? {} : { config }, env, token });

  const look = async () => ({
    at: performance.now(),
    count: await writtenBy(telegraf),
    telegraf: await usageOf(telegraf.pid),
    influx: await usageOf(influx.pid),
  });
  let movedAt = performance.now();
  let count = 0;
  const moves = async (): Promise<boolean> => {
    const before = count;
    count = await writtenBy(telegraf);
    if (count > before) movedAt = performance.now();
    if (performance.now() - movedAt > SILENT_MS) return false;
    await clock.sleep(LOOK_MS, never);
    return true;
  };
  while (count === 0 && await moves());
  const first = await look();
  while (count < total && await moves());
  const last = await look();
  // an orderly end, because only groups without members can be deleted
  await telegraf.stop();

  const million = Math.max(1, last.count - first.count) / 1e6;
  const cpu = (of: "telegraf" | "influx") => ((last[of] as Usage).cpu - (first[of] as Usage).cpu) / million;
  return {
    rate: (last.count - first.count) / (last.at - first.at) * 1000,
    cpuSecondsPerMillion: cpu("telegraf"),
    mb: last.telegraf.peakMb,
    influxCpuSecondsPerMillion: cpu("influx"),
    points: await countOf(influx, bucket, "kafka_consumer", "price"),
    rejected: await countOf(influx, bucket, "ticker_rejected", "record"),
    drops: (await telegraf.log()).split("\n").filter((line) => /drop|overflow/i.test(line)),
  };
}

function show(what: string, run: Run, total: number): void {
  say(
    `${what}: ${thousands(run.rate)} points/s; CPU s per million: Telegraf ${
      run.cpuSecondsPerMillion.toFixed(1)
    }, InfluxDB ` +
      `${run.influxCpuSecondsPerMillion.toFixed(1)}; Telegraf ${
        Math.round(run.mb)
      } MB at the peak; ${run.points} of ${total} stored`,
  );
}

await patchKafkajs();
await using kafka = await KafkaServer.start();
await kafka.createTopics();
await using influx = await InfluxServer.start();
const folder = await Deno.makeTempDir({ prefix: "chain-bench-" });
const runs: Record<"ours" | "plain", Run[]> = { ours: [], plain: [] };
try {
  await Deno.writeTextFile(`${folder}/plain.conf`, PLAIN);
  await fill(kafka, 0, COMPARED);
  for (let round = 1; round <= ROUNDS; round++) {
    for (const form of ["plain", "ours"] as const) {
      const run = await drain(kafka, influx, COMPARED, form === "plain" ? `${folder}/plain.conf` : undefined);
      runs[form].push(run);
      show(`round ${round}, ${form}`, run, COMPARED);
    }
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
const of = (form: keyof typeof runs, field: "rate" | "cpuSecondsPerMillion" | "mb") =>
  median(runs[form].map((run) => run[field]));
const ratio = of("ours", "rate") / of("plain", "rate");
judge(
  "Telegraf to InfluxDB, points/s, compared with plain JSON",
  ratio >= LEAST_OF_PLAIN,
  `${ratio.toFixed(2)} times (${thousands(of("ours", "rate"))}/s; plain ${thousands(of("plain", "rate"))}/s)`,
  `at least ${LEAST_OF_PLAIN} times`,
);
note(
  "Telegraf, CPU seconds per million points",
  `${of("ours", "cpuSecondsPerMillion").toFixed(0)} (plain ${of("plain", "cpuSecondsPerMillion").toFixed(0)})`,
);
note("Telegraf, memory at the peak", `${Math.round(of("ours", "mb"))} MB (plain ${Math.round(of("plain", "mb"))} MB)`);

const since = performance.now();
await fill(kafka, COMPARED, BACKLOG);
say(`a backlog of ${BACKLOG} records, written in ${Math.round((performance.now() - since) / 1000)} s`);
const backlog = await drain(kafka, influx, BACKLOG);
show("backlog, ours", backlog, BACKLOG);
const what = `Telegraf with a backlog of ${BACKLOG.toLocaleString("en")} records`;
judge(
  `${what}, all of them points`,
  backlog.points === BACKLOG && backlog.rejected === 0 && backlog.drops.length === 0,
  `${backlog.points} points, ${backlog.rejected} rejected, ${backlog.drops.length} times dropped`,
  `${BACKLOG} points, none rejected or dropped`,
);
for (const line of backlog.drops.slice(0, 5)) say(`  ${line}`);
const part = backlog.rate / of("ours", "rate");
judge(
  `${what}, points/s, compared with ${COMPARED.toLocaleString("en")}`,
  part >= LEAST_OF_RATE,
  `${part.toFixed(2)} times (${thousands(backlog.rate)}/s)`,
  `at least ${LEAST_OF_RATE} times`,
);
note(`${what}, memory at the peak`, `${Math.round(backlog.mb)} MB`);
