// The demo: a simulated Coinbase with a day of history, a store file of its own, and levers. What is fed from it, and what
// is shown, is main's matter.

import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import { ConfigError } from "../core/errors.ts";
import { coinbase } from "../exchanges/coinbase.ts";
import type { Exchange } from "../exchanges/exchange.ts";
import type { Position, Tick } from "../core/record.ts";
import { Simulator, type SimulatorOptions } from "../simulator/server.ts";
import type { Sink } from "../core/sink.ts";
import type { Source, SourceStatus } from "../pipeline/source.ts";
import type { KafkaOptions } from "../kafka/sink.ts";
import type { DemoLevers } from "../web/demo_api.ts";
import { BrokerLine } from "./broker_line.ts";
import { DemoFolder } from "./folder.ts";
import { readHistory } from "./history.ts";
import { type LeverHandles, LeverPanel } from "./levers.ts";
import { SlowSink } from "./slow_sink.ts";

/** How long the history is, ms: a day. */
export const HISTORY_MS = 86_400_000;

/** A history that takes longer is logged, ms: of many products it takes a minute. */
const PATIENCE_MS = 1500;
/** And so often again, ms. */
const SAY_AGAIN_MS = 5000;

/**
 * What a lesson needs smaller than a production line: nobody wants to wait long for a stage in trouble. A sample comes
 * each 5 s, so silence must last longer than that.
 */
export const DEMO_SETTINGS = { staleAfterMs: 8000, queueCapacity: 20_000 } as const;

/** The exchanges whose protocol the simulator speaks. */
const SIMULATED: readonly Exchange[] = [coinbase];

/** What the demo needs to be started. */
export interface DemoOptions {
  /** The exchange to simulate; the live feed must read the same one. */
  readonly exchange: Exchange;
  /** Products of the exchange, at least one. */
  readonly products: readonly string[];
  /** The channel that the feed will read: the history has its times. */
  readonly channel: string;
  /** Whether there is a Kafka whose line can be cut. */
  readonly hasKafka: boolean;
  /** Time. */
  readonly clock: Clock;
  /** Told where the history takes a while. */
  readonly log?: Logger;
  /** Of the prices: the same seed gives the same walk each time. Default one that looks good. */
  readonly seed?: number;
  /** Where its folder is made; default where temporary files belong. */
  readonly dir?: string;
  /** Default {@link HISTORY_MS}. */
  readonly historyMs?: number;
  /** How often the simulator trades and sends, for tests that cannot wait; default as Coinbase does. */
  readonly pace?: Pick<SimulatorOptions, "ticksPerSecond" | "batchMs" | "heartbeatMs">;
  /** How long faults last that end by themselves, for tests that cannot wait. */
  readonly faults?: Pick<LeverHandles, "awayMs" | "floodMs">;
  /** Once it aborts the history ends, and all levers are off, so that none holds up the end. */
  readonly signal?: AbortSignal;
}

/** A demo that runs. Close the store before it: its file goes with it. */
export interface Demo extends AsyncDisposable {
  /** Where the feed connects: `ws://127.0.0.1:<port>`. */
  readonly url: string;
  /** Where the store is: in a folder of its own, not there yet. */
  readonly storeFile: string;
  /** For the page. */
  readonly levers: DemoLevers;
  /** For the Kafka sink: lets the lever cut its line. */
  readonly onSocket: NonNullable<KafkaOptions["onSocket"]>;
  /**
   * The last day's ticks up to now, each batch made when it is asked for; the live prices go on from there. To be read
   * once and to its end, before the feed connects: the exchange opens with the first subscribe, and until then nothing is
   * traded that the feed could miss.
   */
  history(): Iterable<Tick[]>;
  /**
   * Reads the history and has it written, a batch at a time, the next one made meanwhile. Resolves with the number of
   * ticks, or with undefined: told to stop before its end. Rejects as `write` does.
   */
  writeHistory(write: (ticks: Tick[]) => Promise<unknown>): Promise<number | undefined>;
  /**
   * A source that has the history written first, and is then the live feed; so the page is there from the start, and no
   * live tick is older than the history.
   *
   * @param feedFrom makes the feed that goes on behind these ticks, the last of each product
   */
  source(
    write: (ticks: Tick[], signal: AbortSignal) => Promise<unknown>,
    feedFrom: (last: readonly Position[]) => Source,
  ): Source;
  /** The same sink, with a lever that slows it down. */
  slow(sink: Sink): Sink;
}

/**
 * Starts the simulator and makes the folder; closes both when disposed of. Throws a ConfigError where the exchange has no
 * simulator.
 */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { exchange, products, channel, hasKafka, clock, log, seed = 5, dir, historyMs = HISTORY_MS } = options;
  const { pace, faults, signal } = options;
  if (!SIMULATED.includes(exchange)) {
    const names = SIMULATED.map(({ name }) => name).join(" or ");
    throw new ConfigError([
      `Cannot start the demo as EXCHANGE must be ${names}, which has a simulator: current value is "${exchange.name}"; ` +
      `for live prices of ${exchange.title} run deno task dev`,
    ]);
  }
  await using starting = new AsyncDisposableStack();
  const folder = starting.use(await DemoFolder.make(clock.now(), dir));
  const simulator = starting.use(
    await Simulator.start({ ...pace, products, seed, pastMs: historyMs, rememberTicks: 0 }),
  );
  const slowSinks: SlowSink[] = [];
  const broker = new BrokerLine();
  const expected = Math.max(1, products.length * historyMs / (pace?.batchMs ?? 5000));
  let count = 0;
  let isWhole = false;
  const levers = starting.use(
    new LeverPanel({
      ...faults,
      simulator,
      slowSinks,
      broker: hasKafka ? broker : undefined,
      // what a lever makes the exchange trade would stand in the middle of its past
      notYet: () => isWhole ? undefined : "the day of history must be complete",
    }),
  );
  const onAbort = () => levers.heal();
  signal?.addEventListener("abort", onAbort, { once: true });
  starting.defer(() => signal?.removeEventListener("abort", onAbort));
  const running = starting.move();
  const demo: Demo = {
    url: simulator.url,
    storeFile: join(folder.path, "prices.sqlite"),
    levers,
    onSocket: broker.onSocket,
    history: () => readHistory(simulator.past(), exchange, channel),
    async writeHistory(write) {
      count = 0;
      let sayAt = clock.elapsed() + PATIENCE_MS;
      let writing: Promise<unknown> = Promise.resolve();
      try {
        for (const batch of readHistory(simulator.past(), exchange, channel)) {
          await writing;
          signal?.throwIfAborted();
          if (clock.elapsed() >= sayAt) {
            log?.info("Making a day of history", { products: products.length, ticks: count, of: Math.round(expected) });
            sayAt = clock.elapsed() + SAY_AGAIN_MS;
          }
          count += batch.length;
          writing = write(batch);
          // it is awaited with the next batch
          writing.catch(() => {});
        }
        await writing;
      } catch (error) {
        if (signal?.aborted === true && error === signal.reason) return undefined;
        throw error;
      }
      isWhole = true;
      return count;
    },
    source(write, feedFrom) {
      const last = new Map<string, Tick>();
      let feed: Source | undefined;
      return {
        status: (): SourceStatus =>
          feed?.status() ?? {
            exchange: exchange.title,
            url: simulator.url,
            channel,
            link: "connecting",
            historyDone: Math.min(1, count / expected),
            products: products.map((product) => ({ product, state: "waiting" })),
          },
        async run(emit, relief, signal) {
          const written = await demo.writeHistory(async (ticks) => {
            await write(ticks, signal);
            for (const tick of ticks) last.set(tick.product, tick);
          });
          if (written === undefined) return log?.info("Stopped before the history was made");
          feed = feedFrom([...last.values()]);
          await feed.run(emit, relief, signal);
        },
      };
    },
    slow(sink) {
      const slowed = new SlowSink(sink, clock);
      slowSinks.push(slowed);
      return slowed;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
  return demo;
}
