// The program's pipeline in this process, assembled as in src/commands/feed.ts, for tests and benches that count what arrives.

import { type Clock, systemClock } from "../../src/core/clock.ts";
import { EXCHANGES } from "../../src/exchanges/mod.ts";
import type { Fields, Level, Logger } from "../../src/core/log.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { GapTimes } from "../../src/core/record.ts";
import { type KafkaOptions, KafkaSink } from "../../src/kafka/sink.ts";
import { WebSocketSource } from "../../src/pipeline/websocket_source.ts";
import { type SinkStats, Stats } from "../../src/core/stats.ts";
import type { Simulator } from "../../src/simulator/server.ts";
import { assertAllDeclared, type Count, count, gapsIn, ticksIn } from "../count.ts";
import type { KafkaServer } from "../servers/kafka.ts";
import "../fakes/checked_worker.ts";

/** Source, sink and settings of a feed. */
export interface FeedOptions {
  /** The simulator's. */
  readonly url: string;
  /** host:port. */
  readonly broker: string;
  /** Default ticker_batch. */
  readonly channel?: string;
  /** Default the simulator's. */
  readonly products?: readonly string[];
  /** Default 100000. */
  readonly queueCapacity?: number;
  /** Default 8000. */
  readonly drainMs?: number;
  /** Default: logs nothing. */
  readonly log?: Logger;
  /** For the jitter of delays, in [0, 1); default `Math.random`. */
  readonly random?: () => number;
  /** Default 300000. */
  readonly startTimeoutMs?: number;
  /** Default 0. */
  readonly lingerMs?: number;
  /** Default the real one. */
  readonly clock?: Clock;
  /** Overrides all others. */
  readonly kafka?: Partial<KafkaOptions>;
}

/** A running feed. */
export interface Feed extends AsyncDisposable {
  readonly stats: Stats;
  readonly pipeline: Pipeline;
  readonly source: WebSocketSource;
  /** The counters of its sink. */
  readonly kafka: SinkStats;
  /** Settles like `Pipeline.run()`. */
  readonly done: Promise<void>;
  /** Stops it and settles like `done`. */
  stop(): Promise<void>;
}

/** Logs nothing. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, often() {} };

/** A line of the log. */
export interface LogLine {
  readonly level: Level;
  readonly message: string;
  readonly fields: Fields;
}

/** A logger that keeps every line. */
export function recordLog(): { log: Logger; lines: LogLine[]; said(level: Level, message: string): LogLine[] } {
  const lines: LogLine[] = [];
  const add = (level: Level) => (message: string, fields: Fields = {}) => void lines.push({ level, message, fields });
  const log: Logger = {
    debug: add("debug"),
    info: add("info"),
    warn: add("warn"),
    error: add("error"),
    often: (level, message, fields = {}) => add(level)(message, fields),
  };
  return {
    log,
    lines,
    said: (level, message) => lines.filter((one) => one.level === level && one.message === message),
  };
}

/** Starts a feed of every ticker of the simulator, with a log that can be read. */
export function startLoggedFeed(
  { url }: Simulator,
  { broker }: KafkaServer,
  options: Omit<FeedOptions, "url" | "broker" | "channel" | "log">,
): Feed & Pick<ReturnType<typeof recordLog>, "said"> {
  const { log, said } = recordLog();
  return Object.assign(startFeed({ ...options, url, broker, channel: "ticker", log }), { said });
}

/** Starts a feed; `await using` stops it. */
export function startFeed(options: FeedOptions): Feed {
  const exchange = EXCHANGES.coinbase;
  if (exchange === undefined) throw new TypeError("No exchange coinbase");
  const stats = new Stats();
  const shared = {
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    log: options.log ?? silent,
    stats,
    gapTimes: new GapTimes(),
  };
  const source = new WebSocketSource({
    exchange,
    url: options.url,
    channel: options.channel ?? "ticker_batch",
    products: options.products ??
      ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"],
    maxFrameBytes: 1_048_576,
    staleAfterMs: 15_000,
    ...shared,
  });
  const kafka = new KafkaSink({
    brokers: [options.broker],
    topic: "ticker_batch",
    gapsTopic: "feed_gaps",
    clientId: "test",
    compression: "none",
    ssl: false,
    log: shared.log,
    ...options.kafka,
  });
  const pipeline = new Pipeline({
    source,
    sinks: [kafka],
    queueCapacity: options.queueCapacity ?? 100_000,
    maxBatch: 2000,
    lingerMs: options.lingerMs ?? 0,
    startTimeoutMs: options.startTimeoutMs ?? 300_000,
    drainMs: options.drainMs ?? 8000,
    ...shared,
  });
  const stopper = new AbortController();
  const done = pipeline.run(stopper.signal);
  // the test sees a rejection where it awaits `done`
  done.catch(() => {});
  return {
    stats,
    pipeline,
    source,
    kafka: stats.sink(kafka.name),
    done,
    stop() {
      stopper.abort(new DOMException("The test is over", "AbortError"));
      return done;
    },
    async [Symbol.asyncDispose]() {
      stopper.abort(new DOMException("The test is over", "AbortError"));
      await done.catch(() => {});
    },
  };
}

/** Waits for a condition; rejects with its name after `ms`. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 120_000): Promise<void> {
  const end = systemClock.elapsed() + ms;
  while (!await condition()) {
    if (systemClock.elapsed() > end) throw new Error(`Waited ${ms} ms in vain until ${what}`);
    await systemClock.sleep(20, new AbortController().signal);
  }
}

/** All optional. */
export interface Audit {
  /** Default ticker_batch. */
  readonly topic?: string;
  /** Default feed_gaps. */
  readonly gapsTopic?: string;
  /** Default ticker. */
  readonly channel?: "ticker" | "ticker_batch";
}

/** Compares both topics with what the simulator sent; throws if anything is missing undeclared. */
export async function audit(simulator: Simulator, kafka: KafkaServer, options: Audit = {}): Promise<Count> {
  const { topic = "ticker_batch", gapsTopic = "feed_gaps", channel = "ticker" } = options;
  const [stored, gaps] = [ticksIn(await kafka.read(topic)), gapsIn(await kafka.read(gapsTopic))];
  const counted = count({ sent: simulator.sent(), stored, gaps, channel });
  assertAllDeclared(counted);
  return counted;
}

/** Prints a measured value into the output of the test. */
export function tell(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`    ${text}\n`));
}

/** For faults that last for a fixed time. */
export function sleep(ms: number): Promise<void> {
  return systemClock.sleep(ms, new AbortController().signal);
}
