// `deno task dev` and `deno task start`: builds the pipeline from the settings and runs it until a signal stops it.

import { type Config, readConfig } from "../config/config.ts";
import { hintsFor, readEnvironment } from "../config/environment.ts";
import { waitAtMost } from "../core/abort.ts";
import { systemClock as clock } from "../core/clock.ts";
import { ConfigError, DrainError, exitCodeFor, reasonOf, SinkError } from "../core/errors.ts";
import { createLogger, type Logger } from "../core/log.ts";
import { type Gap, type GapName, GapTimes, type Position, type Tick } from "../core/record.ts";
import type { Sink } from "../core/sink.ts";
import { type SinkStats, Stats } from "../core/stats.ts";
import type { Demo } from "../demo/demo.ts";
import { KafkaSink } from "../kafka/sink.ts";
import { Cursor, type CursorContent, lockCursor, readCursor, sharedFile } from "../pipeline/cursor.ts";
import { describeRejected } from "../pipeline/intake.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import type { Source } from "../pipeline/source.ts";
import { StdoutSink } from "../pipeline/stdout.ts";
import { WebSocketSource } from "../pipeline/websocket_source.ts";
import { SqliteSink } from "../store/sink.ts";
import { Store } from "../store/store.ts";
import { LiveSink } from "../web/live.ts";
import { serve } from "../web/server.ts";
import { type Command, type Context, SECOND_SIGNAL_EXIT } from "./command.ts";

/** Most ticks in one request to Kafka. */
const MAX_BATCH = 2000;
/** How many gaps of the store are read, so that their names are not used again. */
const EARLIER_GAPS = 20_000;
const SUMMARY_MS = 60_000;
/** How long the shutdown waits for answers of the status pages: a client that does not read must not delay it, ms. */
const LAST_ANSWERS_MS = 300;

const UNREACHABLE_HINT = "Without the internet: `deno task demo` shows the same with simulated prices";

/** The commands that run the pipeline. */
export type FeedCommand = "dev" | "demo" | "start";

/** `deno task dev`: live prices into a store, with a page. */
export const dev: Command = (args, context): Promise<number | void> =>
  runWithSettings("dev", args, (config, log) => runFeed("dev", config, log, context));

/** `deno task start`: live prices to Kafka, as in production. */
export const start: Command = (args, context): Promise<number | void> =>
  runWithSettings("start", args, (config, log) => runFeed("start", config, log, context));

/**
 * Reads the settings and calls `feed` with them. If that fails, logs why and resolves with the exit code. Throws a
 * ConfigError with everything that is wrong with settings and arguments.
 */
export async function runWithSettings(
  command: FeedCommand,
  args: readonly string[],
  feed: (config: Config, log: Logger) => Promise<void>,
): Promise<number | void> {
  if (args.length > 0) {
    throw new ConfigError([`Cannot use "${args.join(" ")}": ${command} takes no arguments, only settings; see --help`]);
  }
  const environment = readEnvironment();
  const hints = hintsFor(Object.keys(environment.values));
  let config: Config;
  try {
    config = readConfig(environment, command === "start" ? command : "dev");
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError([...error.problems, ...hints]) : error;
  }
  const format = config.logFormat === "auto" ? Deno.stderr.isTerminal() ? "text" : "json" : config.logFormat;
  const log = createLogger({ format, level: config.logLevel, clock });
  for (const hint of hints) log.warn(hint);
  try {
    await feed(config, log);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const code = exitCodeFor(error);
    log.error(reasonOf(error), {
      exitCode: code,
      ...(code === 1 && error instanceof Error ? { stack: error.stack } : {}),
      ...(error instanceof DrainError ? { left: error.left } : {}),
    });
    return code;
  }
}

/** Runs the pipeline of `dev`, `demo` or `start`. */
export async function runFeed(
  command: FeedCommand,
  config: Config,
  log: Logger,
  context: Context,
  demo?: Demo,
): Promise<void> {
  const { stop } = context;
  const stats = new Stats();
  context.onSecondSignal = () => {
    const left = new Map(
      [...stats.sinks].map(([name, { sent, dropped, lost }]) => [name, stats.received - sent - dropped - lost]),
    );
    const fields = { left: Object.fromEntries(left), exitCode: SECOND_SIGNAL_EXIT };
    if ([...left.values()].some((count) => count > 0)) log.error("Ended at once, before all ticks were stored", fields);
    else log.info("Ended at once, all ticks were stored", fields);
  };
  const { exchange, cursorFile } = config;
  refuseSharedFile(config);
  // dev runs without Kafka, too
  const startTimeoutMs = command === "start" ? config.startTimeoutMs : 0;
  const pages = new LiveSink({ clock });
  // open pages show a gap of the store as soon as it is known
  const onStoreGap = (gap: Gap) => pages.declare(gap);
  const { storeFile, ticksDays, candlesDays } = config;
  const store = storeFile === undefined
    ? undefined
    : await Store.open(storeFile, { ticksDays, candlesDays, log, onGap: onStoreGap });
  using _lock = cursorFile === undefined ? undefined : lockCursor(cursorFile);
  const noted = cursorFile === undefined ? undefined : await readCursor(cursorFile, log);
  const gapTimes = new GapTimes(await readNames(store, noted));
  const shared = { clock, log, stats, gapTimes, random: Math.random };
  // the demo continues where its history ends
  const stored = demo === undefined ? await readStored(config, store, log) : undefined;
  const last = demo === undefined ? lastPositions(config, stored, noted) : undefined;
  const feedFrom = (last: readonly Position[] | undefined) =>
    new WebSocketSource({
      exchange,
      url: config.feedUrl,
      channel: config.channel,
      products: config.products,
      maxFrameBytes: config.maxFrameBytes,
      staleAfterMs: config.staleAfterMs,
      last,
      stored: new Set(stored?.map(({ product }) => product)),
      ...(command === "dev" ? { unreachableHint: UNREACHABLE_HINT } : {}),
      ...shared,
    });
  const source = demo === undefined || store === undefined
    ? feedFrom(last)
    : demo.source((ticks, signal) => store.write(ticks, signal), feedFrom);

  const sinks: Sink[] = [];
  const live = store === undefined ? undefined : pages;
  if (live !== undefined) sinks.push(live);
  if (store !== undefined) {
    sinks.push(new SqliteSink(store, onStoreGap, demo?.disk.wait));
  }
  if (config.brokers.length > 0) {
    const spy = demo === undefined ? {} : { onSocket: demo.broker.onSocket };
    const { brokers, topic, gapsTopic, clientId, compression, encoder, ssl, certificates, sasl } = config;
    const kafka = { brokers, topic, gapsTopic, clientId, compression, encoder, ssl, certificates, sasl };
    sinks.push(new KafkaSink({ ...kafka, log, ...spy }));
  }
  if (command === "dev" && store === undefined) sinks.push(new StdoutSink(() => stop.abort()));
  const pipeline = new Pipeline({
    source,
    sinks,
    queueCapacity: config.queueCapacity,
    maxBatch: MAX_BATCH,
    lingerMs: config.lingerMs,
    startTimeoutMs,
    drainMs: config.drainMs,
    last,
    ...shared,
  });

  const cursor = cursorFile === undefined ? undefined : new Cursor({
    path: cursorFile,
    positions: () => pipeline.positions(),
    gapNames: (count) => gapTimes.newest(count),
    clock,
    log,
  });
  const server = serve({
    host: config.host,
    port: config.port,
    allowedHosts: config.allowedHosts,
    allowedOrigins: config.allowedOrigins,
    exchange,
    cursor,
    nextFreePort: command !== "start",
    source,
    pipeline,
    stats,
    store,
    live,
    demo: demo?.levers,
    log,
    clock,
  });
  const { hostname, port } = server.addr;
  if (command !== "start" && port !== config.port && config.port !== 0) {
    log.warn(`Port ${config.port} is taken, the next free one is used`, { port });
  }
  const address = `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  log.info("Started", {
    products: config.products.length,
    channel: config.channel,
    sinks: sinks.map(({ name }) => name).join(","),
    status: `${address}/api/status`,
    ...(store === undefined ? {} : { store: store.path }),
  });
  if (!/^(?:127\.|::1$|localhost$)/.test(config.host)) {
    log.warn("The pages can be read by other machines", { host: config.host });
  }
  if (store !== undefined) log.info(`The page is at ${address}/`);
  if (command !== "start" && config.brokers.length === 0) {
    log.info(`To send the records to Kafka too: KAFKA_BROKERS=localhost:9092 deno task ${command}`);
  }
  if (demo !== undefined && config.brokers.length > 0) {
    log.warn("Simulated prices go to Kafka", { brokers: config.brokers.join(","), topic: config.topic });
  }

  const over = new AbortController();
  const summaries = summarize(source, pipeline, stats, log, over.signal);
  const noting = cursor?.run(over.signal);
  try {
    await pipeline.run(stop.signal);
  } finally {
    over.abort();
    await Promise.all([summaries, noting]);
    await cursor?.finish();
    await waitAtMost(LAST_ANSWERS_MS, server.shutdown(), clock);
    const perSink = (count: (sink: SinkStats) => number) =>
      Object.fromEntries([...stats.sinks].map(([name, sink]) => [name, count(sink)]));
    log.info("Stopped", {
      received: stats.received,
      sent: perSink(({ sent }) => sent),
      droppedOrLost: perSink(({ dropped, lost }) => dropped + lost),
      rejected: describeRejected(stats),
      repeated: stats.repeated,
    });
  }
}

/** Throws a ConfigError if the cursor would be written to a file of the store. */
function refuseSharedFile({ cursorFile, storeFile }: Config): void {
  if (cursorFile === undefined || storeFile === undefined) return;
  const shared = sharedFile(cursorFile, storeFile);
  if (shared === undefined) return;
  throw new ConfigError([
    `Cannot use CURSOR_FILE "${cursorFile}": expected another file than STORE_FILE "${storeFile}" uses, got ${shared}`,
  ]);
}

/** The last tick of each product in the store; undefined if there is no store, or it cannot be read. */
async function readStored(
  { cursorFile, brokers }: Config,
  store: Store | undefined,
  log: Logger,
): Promise<readonly Tick[] | undefined> {
  try {
    return await store?.lastTicks();
  } catch (error) {
    if (!(error instanceof SinkError)) throw error;
    if (cursorFile === undefined && brokers.length === 0) {
      log.warn("Cannot read from the store where the last run ended: what was missed is unknown", {
        why: error.message,
      });
    }
    return undefined;
  }
}

/** Where the last run ended; undefined if that is unknown. */
function lastPositions(
  { brokers }: Config,
  stored: readonly Tick[] | undefined,
  noted: CursorContent | undefined,
): readonly Position[] | undefined {
  if (noted !== undefined) return noted.positions;
  // Kafka may lack ticks that the store has
  return brokers.length > 0 ? undefined : stored;
}

/** The names of the gaps of earlier runs, which must not be used again. */
async function readNames(store: Store | undefined, noted: CursorContent | undefined): Promise<GapName[]> {
  const gapNames = noted?.gapNames ?? [];
  try {
    return [...await store?.gapNames(EARLIER_GAPS) ?? [], ...gapNames];
  } catch (error) {
    // the pipeline reports a store that cannot be read
    if (!(error instanceof SinkError)) throw error;
    return gapNames;
  }
}

/** Logs the progress once a minute. */
async function summarize(
  source: Source,
  pipeline: Pipeline,
  stats: Stats,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const counts = () => ({
    received: stats.received,
    rejected: stats.rejectedTotal,
    repeated: stats.repeated,
    sent: new Map([...stats.sinks].map(([name, { sent }]) => [name, sent])),
  });
  let before = counts();
  while (true) {
    await clock.sleep(SUMMARY_MS, signal).catch(() => {});
    if (signal.aborted) return;
    const { exchange, link, products } = source.status();
    const now = counts();
    const sent = pipeline.status().map(({ name }) =>
      `${(now.sent.get(name) ?? 0) - (before.sent.get(name) ?? 0)} sent to ${name}`
    );
    const states = Map.groupBy(products, ({ state }) => state);
    const counted = [...states].map(([state, { length }]) => `${length} ${state}`).join(", ");
    const waiting = Math.max(0, ...pipeline.status().map(({ queueDepth }) => queueDepth));
    const gone = [...stats.sinks.values()].reduce((sum, { dropped, lost }) => sum + dropped + lost, 0);
    log.info(
      `Last minute: ${now.received - before.received} ticks received, ${sent.join(", ")}, ` +
        `${now.rejected - before.rejected} rejected, ${now.repeated - before.repeated} repeated; ` +
        `${link === "open" ? "" : `no data from ${exchange}; `}products: ${counted}; ` +
        `${waiting} events queued, ${gone} dropped or lost since the start`,
    );
    before = now;
  }
}
