// The program's parts put together as main.ts does, in this process, for tests and benches that count what arrives.

import { systemClock as clock } from "../../src/clock.ts";
import { EXCHANGES } from "../../src/exchanges/mod.ts";
import type { Logger } from "../../src/log.ts";
import { Pipeline } from "../../src/pipeline.ts";
import { GapTimes } from "../../src/record.ts";
import { KafkaSink } from "../../src/sinks/kafka.ts";
import { WebSocketSource } from "../../src/sources/websocket.ts";
import { Stats } from "../../src/stats.ts";

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
}

/** A feed that runs. */
export interface Feed extends AsyncDisposable {
  /** Its counters. */
  readonly stats: Stats;
  /** Its parts. */
  readonly pipeline: Pipeline;
  /** Its parts. */
  readonly source: WebSocketSource;
  /** Resolves or rejects as the pipeline does. */
  readonly done: Promise<void>;
  /** Stops it and waits; rejects as the pipeline does. */
  stop(): Promise<void>;
}

/** Says nothing. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, often() {} };

/** Starts a feed; `await using` stops it. */
export function startFeed(options: FeedOptions): Feed {
  const exchange = EXCHANGES.coinbase;
  if (exchange === undefined) throw new TypeError("No exchange coinbase");
  const stats = new Stats();
  const shared = { clock, random: Math.random, log: options.log ?? silent, stats, gapTimes: new GapTimes() };
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
  });
  const pipeline = new Pipeline({
    source,
    sinks: [kafka],
    queueCapacity: options.queueCapacity ?? 100_000,
    maxBatch: 2000,
    lingerMs: 0,
    startTimeoutMs: 300_000,
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
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
  const end = clock.elapsed() + ms;
  while (!await condition()) {
    if (clock.elapsed() > end) throw new Error(`Waited ${ms} ms in vain until ${what}`);
    await clock.sleep(20, new AbortController().signal);
  }
}
