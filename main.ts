// The program: reads the settings, builds the parts, runs until told to stop, chooses the exit code.

import { parse } from "@std/dotenv";
import { runAudit } from "./src/commands/audit.ts";
import { systemClock as clock } from "./src/core/clock.ts";
import {
  type Config,
  describeSettings,
  type Environment,
  hintsFor,
  problemsInDotEnv,
  readConfig,
  STORE_FILE,
} from "./src/config/config.ts";
import { Cursor, lockCursor, readCursor, readGapNames } from "./src/pipeline/cursor.ts";
import { ConfigError, DrainError, exitCodeFor, reasonOf, SinkError } from "./src/core/errors.ts";
import { type Demo, DEMO_SETTINGS, startDemo } from "./src/demo/demo.ts";
import { runDoctor } from "./src/commands/doctor.ts";
import { DEFAULT_EXCHANGE, EXCHANGES } from "./src/exchanges/mod.ts";
import { createLogger, type Logger } from "./src/core/log.ts";
import { Pipeline } from "./src/pipeline/pipeline.ts";
import { type Gap, type GapName, GapTimes, type Position, type Tick } from "./src/core/record.ts";
import { KafkaSink } from "./src/kafka/sink.ts";
import { LiveSink } from "./src/web/live.ts";
import type { Sink } from "./src/core/sink.ts";
import { SqliteSink } from "./src/store/sink.ts";
import { StdoutSink } from "./src/pipeline/stdout.ts";
import { describeRejected } from "./src/pipeline/intake.ts";
import { framesIn, replay } from "./src/pipeline/replay.ts";
import type { Source } from "./src/pipeline/source.ts";
import { WebSocketSource } from "./src/pipeline/websocket.ts";
import { runSimulator } from "./src/commands/simulate.ts";
import { Store } from "./src/store/store.ts";
import { backupStore, exportStore } from "./src/store/tasks.ts";
import { type SinkStats, Stats } from "./src/core/stats.ts";
import { readTextFileSync } from "./src/config/text_file.ts";
import { wrongPath } from "./src/core/terminal.ts";
import { serveStatus } from "./src/web/server.ts";

/** Most ticks in one request to Kafka. */
const MAX_BATCH = 2000;
/** So many gaps of the store are known by name. */
const EARLIER_GAPS = 20_000;
const SUMMARY_MS = 60_000;
/** A second signal so much later is one, ms: under `deno task` one Ctrl-C arrives twice within a millisecond. */
const SECOND_SIGNAL_MS = 1000;
/** The exit code after a second signal. */
const LEFT_AT_ONCE = 130;
/** Until the status pages must have gone out, ms: whoever does not read them must not keep us. */
const LAST_PAGES_MS = 300;

const USAGE = `Usage: deno task <command>

  dev                 live prices into a store, with a page; to Kafka too when KAFKA_BROKERS is set
  demo                the same with simulated prices, a day of history, and levers that break things
  start               live prices to Kafka, as in production
  export              ticks, candles or gaps of the store to stdout; --help lists its options
  backup FILE         a copy of the store, also while it runs
  doctor              is the road whole, now? a line for each stage
  audit               is all that Kafka was given also stored? --from and --to say when
  replay FILE         recorded frames (- for stdin) to records on stdout; --channel ticker for microseconds
  simulate            a Coinbase in the box; --help lists its options
  <command> --help    this text and all settings
`;

const UNREACHABLE_HINT = "Without the internet: `deno task demo` shows the same with simulated prices";

const encoder = new TextEncoder();

/** Says what is left undone when a second signal ends the program at once. */
let onLeaving = () => {};

function tell(text: string): void {
  try {
    Deno.stderr.writeSync(encoder.encode(text));
  } catch {
    // nobody reads us: the exit code says it too
  }
}

async function writeAll(text: string): Promise<void> {
  const bytes = encoder.encode(text);
  for (let written = 0; written < bytes.length;) written += await Deno.stdout.write(bytes.subarray(written));
}

function readEnvironment(): Environment {
  const own = Deno.env.toObject();
  let file = {};
  try {
    const text = readTextFileSync(".env");
    const problems = problemsInDotEnv(text, own);
    if (problems.length > 0) throw new ConfigError(problems);
    file = parse(text);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new ConfigError([
        `Cannot read .env as it must be a readable file: ${reasonOf(error)}`,
      ]);
    }
  }
  return { values: { ...file, ...own }, readFile: readTextFileSync };
}

/** A line a minute, in words. */
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

/** Which of the live feed's commands. */
type Command = "dev" | "demo" | "start";

/** The store, where there is one. */
async function openStore(
  { storeFile, ticksDays, candlesDays }: Config,
  log: Logger,
  onGap: (gap: Gap) => void,
): Promise<Store | undefined> {
  return storeFile === undefined ? undefined : await Store.open(storeFile, { ticksDays, candlesDays, log, onGap });
}

/** The last tick of each product in the store; undefined where there is none, or it cannot be read. */
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
      log.warn("Cannot ask the store where the last run ended: what was missed is unknown", { why: error.message });
    }
    return undefined;
  }
}

/** Where an earlier run ended, as far as is known. */
async function readPositions(
  { cursorFile, brokers }: Config,
  stored: readonly Tick[] | undefined,
  log: Logger,
): Promise<readonly Position[] | undefined> {
  if (cursorFile !== undefined) return await readCursor(cursorFile, log);
  // what the store has, Kafka may lack
  return brokers.length > 0 ? undefined : stored;
}

/** The gaps of earlier runs, whose names must not be given again. */
async function readNames({ cursorFile }: Config, store: Store | undefined): Promise<GapName[]> {
  const noted = cursorFile === undefined ? [] : await readGapNames(cursorFile);
  try {
    return [...await store?.gapNames(EARLIER_GAPS) ?? [], ...noted];
  } catch (error) {
    // a store that cannot be asked is told of elsewhere
    if (!(error instanceof SinkError)) throw error;
    return noted;
  }
}

/** `demo`: the exchange in the box takes the place of the real one, with a store of its own. */
async function runDemo(config: Config, log: Logger, stop: AbortController): Promise<void> {
  await using demo = await startDemo({
    products: config.products,
    channel: config.channel,
    hasKafka: config.brokers.length > 0,
    clock,
    log,
    signal: stop.signal,
  });
  // neither its prices nor how far they have got must be taken for real ones
  const { cursorFile: _, ...rest } = config;
  await runFeed("demo", { ...rest, ...DEMO_SETTINGS, feedUrl: demo.url, storeFile: demo.storeFile }, log, stop, demo);
}

/** `dev`, `demo` and `start`: the live feed. */
async function runFeed(
  command: Command,
  config: Config,
  log: Logger,
  stop: AbortController,
  demo?: Demo,
): Promise<void> {
  const { signal } = stop;
  const stats = new Stats();
  onLeaving = () => {
    const left = new Map(
      [...stats.sinks].map(([name, { sent, dropped, lost }]) => [name, stats.received - sent - dropped - lost]),
    );
    const told = { left: Object.fromEntries(left), exitCode: LEFT_AT_ONCE };
    if ([...left.values()].some((count) => count > 0)) log.error("Left at once, before all ticks were stored", told);
    else log.info("Left at once, all ticks were stored", told);
  };
  const { exchange, cursorFile } = config;
  // a developer's Kafka may come and go as it likes
  const startTimeoutMs = command === "start" ? config.startTimeoutMs : 0;
  const pages = new LiveSink({ clock });
  // what the store alone lacks must reach the open pages as soon as it is known
  const onStoreGap = (gap: Gap) => pages.declare(gap);
  const store = await openStore(config, log, onStoreGap);
  using _lock = cursorFile === undefined ? undefined : lockCursor(cursorFile);
  const gapTimes = new GapTimes(await readNames(config, store));
  const shared = { clock, log, stats, gapTimes, random: Math.random };
  // the demo starts where its history ends
  const stored = demo === undefined ? await readStored(config, store, log) : undefined;
  const last = demo === undefined ? await readPositions(config, stored, log) : undefined;
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
    const sqlite = new SqliteSink(store, onStoreGap);
    sinks.push(demo?.slow(sqlite) ?? sqlite);
  }
  if (config.brokers.length > 0) {
    const spy = demo === undefined ? {} : { onSocket: demo.onSocket };
    sinks.push(new KafkaSink({ ...config, startTimeoutMs, log, ...spy }));
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
  const server = serveStatus({
    ...config,
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
    await pipeline.run(signal);
  } finally {
    over.abort();
    await Promise.all([summaries, noting]);
    await cursor?.finish();
    await Promise.race([server.shutdown(), clock.sleep(LAST_PAGES_MS, new AbortController().signal)]);
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

/** `replay FILE`. */
async function runReplay(args: readonly string[]): Promise<void> {
  const rest = [...args];
  const choose = <T>(option: string, choices: Readonly<Record<string, T>>, usual: string): [string, T] => {
    const at = rest.indexOf(option);
    const name = at < 0 ? usual : rest.splice(at, 2)[1] ?? "";
    const chosen = Object.hasOwn(choices, name) ? choices[name] : undefined;
    if (chosen !== undefined) return [name, chosen];
    const wish = Object.keys(choices).join(" or ");
    throw new ConfigError([`Cannot use ${option} as it must be ${wish}: current value is "${name}"`]);
  };
  const [, exchange] = choose("--exchange", EXCHANGES, DEFAULT_EXCHANGE.name);
  const [channel] = choose("--channel", exchange.channels, exchange.defaultChannel);
  const [path, ...more] = rest;
  if (path === undefined || more.length > 0 || (path.startsWith("-") && path !== "-")) {
    throw new ConfigError([
      `Cannot replay as one file (or - for stdin) must be named: arguments are "${args.join(" ")}"`,
    ]);
  }
  const problem = wrongPath("FILE", path);
  if (problem !== undefined) throw new ConfigError([problem]);
  const stats = new Stats();
  const intake = { exchange, channel, products: undefined, maxFrameLength: 1_048_576, stats };
  let writeError: unknown;
  const write = (lines: string) =>
    writeAll(lines).catch((error) => {
      throw writeError = error;
    });
  try {
    const bytes = path === "-" ? Deno.stdin.readable : (await Deno.open(path)).readable;
    await replay(bytes, intake, write);
    if (stats.frames > 0 && framesIn(stats) === 0) {
      throw new Error(`none of its ${stats.frames} lines is one (${describeRejected(stats)})`);
    }
  } catch (error) {
    // the reader has seen enough (`... | head`)
    if (error instanceof Deno.errors.BrokenPipe) return;
    if (error instanceof TypeError) throw error;
    const why = reasonOf(error);
    if (error === writeError) throw new SinkError("fatal", `Cannot write the records to stdout: ${why}`);
    throw new ConfigError([`Cannot read ${path} as it must be a readable file of recorded frames: ${why}`]);
  }
  tell(
    `${stats.received} ticks, ${stats.repeated} repeats, rejected: ${describeRejected(stats)}, ` +
      `${stats.ignored} ignored, ${stats.withoutTrade} tickers without a trade, ` +
      `${stats.control} heartbeats and replies, of ${stats.frames} lines\n`,
  );
  if (stats.frames === 0) tell(`Nothing was read: ${path === "-" ? "stdin" : path} is empty\n`);
}

/** Deno would send requests to this computer through HTTP_PROXY too: those of the demo, and those of the doctor. */
function keepLoopbackOffTheProxy(): void {
  const listed = Deno.env.get("NO_PROXY") ?? Deno.env.get("no_proxy");
  Deno.env.set("NO_PROXY", [...(listed ? [listed] : []), "localhost", "127.0.0.1", "::1"].join());
}

/** The exit code, where it is not 0. */
async function run(args: readonly string[], stop: AbortController): Promise<number | void> {
  keepLoopbackOffTheProxy();
  const [command, ...rest] = args;
  const asksForHelp = rest.includes("--help") || rest.includes("-h");
  switch (command) {
    case "replay":
      if (asksForHelp) return await writeAll(USAGE);
      return await runReplay(rest);
    case "export":
    case "backup": {
      const storeFile = readEnvironment().values.STORE_FILE?.trim() || STORE_FILE;
      const output = { write: writeAll, tell };
      if (command === "backup") return await backupStore(rest, storeFile, output);
      return await exportStore(rest, storeFile, output, clock.now());
    }
    case "doctor":
      return await runDoctor(rest, readEnvironment(), { write: writeAll }, stop.signal);
    case "audit":
      return await runAudit(rest, readEnvironment(), { write: writeAll, tell }, stop.signal);
    case "simulate":
      return await runSimulator(rest, stop.signal);
    case "dev":
    case "demo":
    case "start": {
      if (asksForHelp) return await writeAll(`${USAGE}\n${describeSettings()}`);
      if (rest.length > 0) {
        throw new ConfigError([
          `Cannot use the arguments "${rest.join(" ")}" as ${command} is set up by settings: see --help`,
        ]);
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
        await (command === "demo" ? runDemo(config, log, stop) : runFeed(command, config, log, stop));
      } catch (error) {
        if (error instanceof ConfigError) throw error;
        const code = exitCodeFor(error);
        log.error(error instanceof Error ? error.message : String(error), {
          exitCode: code,
          ...(code === 1 && error instanceof Error ? { stack: error.stack } : {}),
          ...(error instanceof DrainError ? { left: error.left } : {}),
        });
        Deno.exit(code);
      }
      return;
    }
    case "--help":
    case "-h":
      return await writeAll(`${USAGE}\n${describeSettings()}`);
    default:
      throw new ConfigError([
        `Cannot run "${
          command ?? ""
        }" as the command must be dev, demo, start, export, backup, doctor, audit, replay or simulate`,
      ]);
  }
}

/** SIGHUP comes when a terminal is closed. Of nohup nothing is left by then: Deno undoes it at its own start. */
const SIGNALS = Deno.build.os === "windows" ? ["SIGINT"] as const : ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const stop = new AbortController();
let signalledAt: number | undefined;
for (const name of SIGNALS) {
  Deno.addSignalListener(name, () => {
    if (signalledAt !== undefined && clock.elapsed() - signalledAt >= SECOND_SIGNAL_MS) {
      onLeaving();
      Deno.exit(LEFT_AT_ONCE);
    }
    signalledAt ??= clock.elapsed();
    stop.abort(new DOMException(`Received ${name}`, "AbortError"));
  });
}
try {
  const code = await run(Deno.args, stop) ?? 0;
  // whatever a library still holds open must not keep the process
  Deno.exit(code);
} catch (error) {
  if (error instanceof ConfigError) tell(error.problems.map((problem) => `${problem}\n`).join(""));
  else if (error instanceof SinkError) tell(`${error.message}\n`);
  else tell(`${error instanceof Error ? error.stack : error}\n`);
  Deno.exit(exitCodeFor(error));
}
