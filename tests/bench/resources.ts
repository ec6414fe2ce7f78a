// `deno task bench resources [SECONDS at rest] [SECONDS without Kafka]`: what the program uses on a real Kafka: at rest, and with
// a fast feed while the broker is killed or frozen. Everything sent in that time is counted tick by tick.

import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { Program } from "../browser/program.ts";
import { GAPS_TOPIC, TOPIC } from "../chain/chain.ts";
import type { ProgramStatus } from "../chaos/world.ts";
import { count, gapsIn, type SentTick, ticksIn } from "../count.ts";
import { until } from "../integration/feed.ts";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { SimulatorProcess } from "../servers/simulator.ts";
import { endIfMissing, judge, note, numberArgument, pause, say } from "./report.ts";
import { MemoryWatch, usageMissing, usageOf } from "./usage.ts";

endIfMissing(usageMissing() ?? kafkaMissing());
const REST_SECONDS = numberArgument(0, "SECONDS at rest", 60);
const AWAY_SECONDS = numberArgument(1, "SECONDS without Kafka", 30);
const WARM_SECONDS = 15;
const PRODUCTS = ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"];
/** Ticks per second of all products together. */
const FAST = 10_000;
/** Limit for catching up, ms. */
const CATCH_UP_MS = 180_000;
/** Allowed, %. */
const MOST_CPU = 1;
/** Allowed. */
const MOST_MB = 200;

/** The parts of one measurement. */
interface Setup extends AsyncDisposable {
  readonly kafka: KafkaServer;
  readonly exchange: SimulatorProcess;
  readonly program: Program;
}

/** Resolves when the first tick has arrived. */
async function startAll(channel: "ticker" | "ticker_batch", ticksPerSecond: number): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const kafka = stack.use(await KafkaServer.start());
  await kafka.createTopics();
  const exchange = stack.use(
    await SimulatorProcess.start({ products: PRODUCTS, ticksPerSecond: ticksPerSecond / PRODUCTS.length }),
  );
  const program = stack.use(
    await Program.start({
      command: "start",
      settings: {
        COINBASE_WS_URL: exchange.url,
        COINBASE_PRODUCTS: PRODUCTS.join(),
        COINBASE_CHANNEL: channel,
        KAFKA_BROKERS: kafka.broker,
      },
    }),
  );
  await until("the first tick is in Kafka", async () => (await stateOf(program)).sent > 0);
  const all = stack.move();
  return { kafka, exchange, program, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function stateOf(program: Program) {
  const { gaps, sinks, counters } = await program.get<ProgramStatus>("/api/status");
  const { sent = 0, dropped = 0, lost = 0 } = counters.sinks.kafka ?? {};
  const depth = sinks.find(({ name }) => name === "kafka")?.queueDepth ?? NaN;
  return { openGaps: gaps.length, depth, received: counters.received, sent, dropped, lost };
}

async function atRest(): Promise<void> {
  await using setup = await startAll("ticker_batch", PRODUCTS.length);
  const { program } = setup;
  await pause(WARM_SECONDS);
  const look = async () => ({ at: performance.now(), ...await stateOf(program), ...await usageOf(program.pid) });
  const before = await look();
  await pause(REST_SECONDS);
  const after = await look();
  const seconds = (after.at - before.at) / 1000;
  const cpu = (after.cpu - before.cpu) / seconds * 100;
  const rate = (after.sent - before.sent) / seconds;
  const what = `program at rest, ${PRODUCTS.length} products on ticker_batch`;
  judge(
    `${what}, CPU`,
    cpu < MOST_CPU,
    `${cpu.toFixed(2)} % of a core (${rate.toFixed(1)} ticks/s, ${Math.round(seconds)} s)`,
    `under ${MOST_CPU} %`,
  );
  note(`${what}, memory`, `${Math.round(after.mb)} MB`);
}

/** Everything that the exchange has sent. */
async function ticksOf(exchange: SimulatorProcess): Promise<SentTick[]> {
  const sent: SentTick[] = [];
  for await (const line of exchange.sentLines()) {
    const { id, product, price, time, tradeId } = JSON.parse(line);
    sent.push({ id, product, price, time, tradeId });
  }
  return sent;
}

async function withoutKafka(kind: "killed" | "frozen"): Promise<void> {
  await using setup = await startAll("ticker", FAST);
  const { kafka, exchange, program } = setup;
  await using watch = new MemoryWatch(program.pid);
  await pause(5);
  const mb = { before: watch.take(), away: 0, after: 0 };

  if (kind === "killed") await kafka.kill();
  else kafka.pause();
  await pause(AWAY_SECONDS);
  mb.away = watch.take();
  if (kind === "killed") await kafka.restart();
  else kafka.resume();

  const since = performance.now();
  await until("it has caught up", async () => (await stateOf(program)).depth < FAST / 10, CATCH_UP_MS);
  const seconds = (performance.now() - since) / 1000;
  await exchange.quiet();
  let before: Awaited<ReturnType<typeof stateOf>> | undefined;
  await until("all is settled", async () => {
    const now = await stateOf(program);
    const isSettled = now.depth === 0 && now.openGaps === 0 && now.received === before?.received &&
      now.received === now.sent + now.dropped + now.lost;
    before = now;
    await pause(1);
    return isSettled;
  }, CATCH_UP_MS);
  mb.after = watch.take();
  const { peakMb } = await usageOf(program.pid);

  const sent = await ticksOf(exchange);
  const counted = count({ sent, stored: ticksIn(await kafka.read(TOPIC)), gaps: gapsIn(await kafka.read(GAPS_TOPIC)) });
  const { stored, missing, undeclared, neverSent, altered, outOfOrder, repeats, gaps } = counted;
  const dropped = gaps.reduce((sum, gap) => sum + gap.dropped, 0);
  const what = `program while Kafka is ${kind} for ${AWAY_SECONDS} s at ${FAST.toLocaleString("en")} ticks/s`;
  const round = (value: number) => Math.round(value);
  say(
    `Kafka ${kind}: ${round(mb.before)} MB before, ${round(mb.away)} MB meanwhile, ${
      round(mb.after)
    } MB after; caught up ` +
      `${seconds.toFixed(1)} s after it was back; ${repeats} records twice, ${before?.lost} lost`,
  );
  judge(`${what}, memory at the peak`, peakMb <= MOST_MB, `${round(peakMb)} MB`, `at most ${MOST_MB} MB`);
  const wrong = undeclared.length + neverSent.length + altered.length + outOfOrder.length;
  judge(
    `${what}, sent = stored + dropped as declared`,
    wrong === 0 && missing.length === dropped && sent.length === stored + dropped,
    `${sent.length} = ${stored} + ${dropped}` +
      (wrong === 0
        ? ""
        : ` (${undeclared.length} undeclared, ${neverSent.length} never sent, ${altered.length} altered, ` +
          `${outOfOrder.length} out of order)`),
    "equal, in order, none undeclared",
  );
}

await patchKafkajs();
await atRest();
await withoutKafka("killed");
await withoutKafka("frozen");
