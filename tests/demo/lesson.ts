// A demo and the real feed that reads it, in this process, put together as the command does.

import { systemClock as clock } from "../../src/core/clock.ts";
import { Demo, type DemoOptions } from "../../src/demo/demo.ts";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import type { SinkStatus } from "../../src/pipeline/delivery.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { type Gap, GapTimes, type Position, type Tick } from "../../src/core/record.ts";
import type { Sink } from "../../src/core/sink.ts";
import type { ProductStatus } from "../../src/pipeline/source.ts";
import { WebSocketSource } from "../../src/pipeline/websocket_source.ts";
import { type SinkStats, Stats } from "../../src/core/stats.ts";
import type { Lever } from "../../src/web/demo_api.ts";
import { Notebook } from "../fakes/log.ts";
import { FakeSink } from "../fakes/sink.ts";
import { until } from "../simulator/client.ts";
import "../fakes/checked_worker.ts";

/** Files, sockets and folders: what a demo needs. */
export const mayDemo: boolean = (["net", "read", "write"] as const)
  .every((name) => Deno.permissions.querySync({ name }).state === "granted");

/** Behind the name of a test that needs them. */
export const skipped: string = mayDemo ? "" : " [skipped: needs --allow-net --allow-read --allow-write]";

/** What differs from lesson to lesson. */
export interface LessonOptions extends Partial<DemoOptions> {
  /** Default 1500: a real silence would take too long. */
  readonly staleAfterMs?: number;
  /** Default 20000. */
  readonly queueCapacity?: number;
  /** Besides the one that collects. */
  readonly sinks?: (demo: Demo) => readonly Sink[];
}

/** A demo, and the feed that reads it. */
export interface Lesson extends AsyncDisposable {
  readonly demo: Demo;
  readonly history: readonly Tick[];
  readonly source: WebSocketSource;
  readonly stats: Stats;
  readonly log: Notebook;
  /** What is stored, by a sink that can be slow. */
  readonly sink: FakeSink;
  /** Ticks stored, in order. */
  ticks(): Tick[];
  /** Gaps stored, in order. */
  gaps(): Gap[];
  /** The status of one product in the source. */
  product(name: string): ProductStatus;
  /** The lane of a sink; default of the one that collects. */
  lane(name?: string): SinkStatus;
  /** The counters of the sink that collects. */
  readonly counts: SinkStats;
  /** Pulls a lever. */
  pull(name: string, args?: object): Promise<unknown>;
  /** A lever as the page sees it. */
  lever(name: string): Lever | undefined;
  /** Stops the feed as Ctrl-C does; rejects as the pipeline does. */
  stop(): Promise<void>;
}

export const PRODUCTS: readonly string[] = ["ETH-USD", "BTC-USD", "SOL-USD"];

/** Starts both; resolves once the history is written and the feed runs. */
export async function startLesson(options: LessonOptions = {}): Promise<Lesson> {
  const { staleAfterMs = 1500, queueCapacity = 20_000, sinks = () => [] } = options;
  const stopper = new AbortController();
  const demo = await Demo.start({
    products: PRODUCTS,
    channel: "ticker",
    hasKafka: false,
    clock,
    historyMs: 60_000,
    exchange: coinbase,
    pace: { ticksPerSecond: 10, heartbeatMs: 200 },
    faults: { awayMs: 2500, floodMs: 3000 },
    ...options,
  });
  const history: Tick[] = [];
  const stats = new Stats();
  const log = new Notebook();
  const shared = { clock, log, stats, gapTimes: new GapTimes(), random: Math.random };
  let source: WebSocketSource | undefined;
  const startFeed = (last: readonly Position[]) =>
    source = new WebSocketSource({
      exchange: coinbase,
      url: demo.url,
      channel: options.channel ?? "ticker",
      products: options.products ?? PRODUCTS,
      maxFrameBytes: 1_048_576,
      staleAfterMs,
      last,
      ...shared,
    });
  const sink = new FakeSink("collected");
  sink.onWrite = (_, signal) => demo.disk.wait(signal);
  const pipeline = new Pipeline({
    source: demo.source((ticks) => Promise.resolve(void history.push(...ticks)), startFeed),
    sinks: [sink, ...sinks(demo)],
    queueCapacity,
    maxBatch: 2000,
    lingerMs: 0,
    startTimeoutMs: 0,
    drainMs: 8000,
    ...shared,
  });
  const done = pipeline.run(stopper.signal);
  // a failure shows where the test awaits it
  done.catch(() => {});
  const stop = () => {
    stopper.abort(new DOMException("The test is over", "AbortError"));
    return done;
  };
  await until("the feed runs", () => source !== undefined);
  const feed = source as unknown as WebSocketSource;
  const found = <T>(list: readonly T[], name: string, nameOf: (item: T) => string): T => {
    const item = list.find((each) => nameOf(each) === name);
    if (item === undefined) throw new Error(`There is no ${name}`);
    return item;
  };
  return {
    demo,
    history,
    source: feed,
    stats,
    log,
    sink,
    ticks: () => sink.stored.filter((event) => event.kind === "tick"),
    gaps: () => sink.stored.filter((event) => event.kind === "gap"),
    product: (name) => found(feed.status().products, name, ({ product }) => product),
    lane: (name = "collected") => found(pipeline.status(), name, (status) => status.name),
    counts: stats.sink("collected"),
    pull: (name, args = {}) => demo.levers.pull(name, args),
    lever: (name) => demo.levers.list().find((lever) => lever.name === name),
    stop,
    async [Symbol.asyncDispose]() {
      await stop().catch(() => {});
      await demo[Symbol.asyncDispose]();
    },
  };
}
