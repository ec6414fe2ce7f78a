// The program's parts put together as main.ts does, in this process, for tests and benches that count what arrives.

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

/** Where the feed comes from and where it goes. */
export interface FeedOptions {
  /** Of the simulator. */
  readonly url: string;
  /** host:port. */
  readonly broker: string;
  /** Default ticker_batch. */
  readonly channel?: string;
  /** Default all of the simulator's. */
  readonly products?: readonly string[];
  /** Default 100000. */
  readonly queueCapacity?: number;
  /** Default 8000. */
  readonly drainMs?: number;
  /** Default silent. */
  readonly log?: Logger;
  /** 0 included to 1 excluded, for the jitter of delays; default `Math.random`. */
  readonly random?: () => number;
  /** How long Kafka may be away at the start, ms; default 300000. */
  readonly startTimeoutMs?: number;
  /** Default 0. */
  readonly lingerMs?: number;
  /** Default the machine's. */
  readonly clock?: Clock;
  /** Stronger than the rest. */
  readonly kafka?: Partial<KafkaOptions>;
}

/** A feed that runs. */
export interface Feed extends AsyncDisposable {
  /** Its counters. */
  readonly stats: Stats;
  /** Its parts. */
  readonly pipeline: Pipeline;
  /** Its parts. */
  readonly source: WebSocketSource;
  /** What became of its ticks. */
  readonly kafka: SinkStats;
  /** Resolves or rejects as the pipeline does. */
  readonly done: Promise<void>;
  /** Stops it and waits; rejects as the pipeline does. */
  stop(): Promise<void>;
}

/** Says nothing. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, often() {} };

/** A line of a log. */
export interface LogLine {
  /** See {@link Level}. */
  readonly level: Level;
  /** Constant text. */
  readonly message: string;
  /** Values. */
  readonly fields: Fields;
}

/** Keeps what is said, each time it is said. */
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
  // a failure shows where the test awaits it
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

/** Waits for a condition; throws with its name when it did not come in time. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 120_000): Promise<void> {
  const end = systemClock.elapsed() + ms;
  while (!await condition()) {
    if (systemClock.elapsed() > end) throw new Error(`Waited ${ms} ms in vain until ${what}`);
    await systemClock.sleep(20, new AbortController().signal);
  }
}

/** Which topics to count, and how. */
export interface Audit {
  /** Default ticker_batch. */
  readonly topic?: string;
  /** Default feed_gaps. */
  readonly gapsTopic?: string;
  /** Default ticker. */
  readonly channel?: "ticker" | "ticker_batch";
}

/** Reads both topics and holds them against what the simulator sent; fails when anything is missing undeclared. */
export async function audit(simulator: Simulator, kafka: KafkaServer, options: Audit = {}): Promise<Count> {
  const { topic = "ticker_batch", gapsTopic = "feed_gaps", channel = "ticker" } = options;
  const [stored, gaps] = [ticksIn(await kafka.read(topic)), gapsIn(await kafka.read(gapsTopic))];
  const counted = count({ sent: simulator.sent(), stored, gaps, channel });
  assertAllDeclared(counted);
  return counted;
}

/** Says a measured thing among the test's output; asserts are made elsewhere. */
export function tell(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`    ${text}\n`));
}

/** For faults that have a length. */
export function sleep(ms: number): Promise<void> {
  return systemClock.sleep(ms, new AbortController().signal);
}
