// The demo: a simulated exchange with a day of history, a store file in a temporary folder, and levers that cause faults.
// The pipeline behind it is the command's.

import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import { ConfigError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Position, Tick } from "../core/record.ts";
import { coinbase } from "../exchanges/coinbase.ts";
import type { Exchange } from "../exchanges/exchange.ts";
import type { Source, SourceStatus } from "../pipeline/source.ts";
import { Simulator, type SimulatorOptions } from "../simulator/server.ts";
import { BrokerConnections } from "./broker_connections.ts";
import { DemoFolder } from "./folder.ts";
import { readHistory } from "./history.ts";
import { LeverPanel, type LeverTargets } from "./levers.ts";
import { SlowDisk } from "./slow_disk.ts";

/** How long the history is, ms: a day. */
export const HISTORY_MS = 86_400_000;
/** How often the progress of the history is logged, ms: for many products it takes a minute. */
const LOG_EVERY_MS = 3000;

/**
 * Smaller than in production, so that no fault takes long to show. A sample comes every 5 s, so silence must last longer
 * than that.
 */
export const DEMO_SETTINGS = { staleAfterMs: 8000, queueCapacity: 20_000 } as const;

/** The exchanges whose protocol the simulator speaks. */
const SIMULATED: readonly Exchange[] = [coinbase];

/** What the demo simulates. */
export interface DemoOptions {
  /** The exchange to simulate; the live feed must read the same one. */
  readonly exchange: Exchange;
  /** Products of the exchange, at least one. */
  readonly products: readonly string[];
  /** The channel that the feed will read; it decides the precision of times in the history. */
  readonly channel: string;
  /** Whether there is a Kafka whose connections can be cut. */
  readonly hasKafka: boolean;
  readonly clock: Clock;
  /** Gets the progress of a history that takes a while. */
  readonly log?: Logger;
  /** Of the prices: the same seed gives the same walk each time. Default one that looks good. */
  readonly seed?: number;
  /** Where its folder is made; default the folder for temporary files. */
  readonly dir?: string;
  readonly historyMs?: number;
  /** How often the simulator trades and sends, for tests that cannot wait; default as Coinbase does. */
  readonly pace?: Pick<SimulatorOptions, "ticksPerSecond" | "batchMs" | "heartbeatMs">;
  /** How long faults last that end without a second pull, for tests that cannot wait. */
  readonly faults?: Pick<LeverTargets, "awayMs" | "floodMs">;
}

/** A running demo. Close the store before it: its file is removed with it. */
export class Demo implements AsyncDisposable {
  /** Where the feed connects: `ws://127.0.0.1:<port>`. */
  readonly url: string;
  /** Where the store is: in a folder of its own, not created yet. */
  readonly storeFile: string;
  readonly levers: LeverPanel;
  /** For the store: each write must wait for it. */
  readonly disk: SlowDisk;
  /** For the Kafka sink: lets a lever cut its connections. */
  readonly broker = new BrokerConnections();
  readonly #options: DemoOptions;
  readonly #simulator: Simulator;
  readonly #resources: AsyncDisposableStack;
  /** Ticks of the history written so far. */
  #written = 0;
  #isComplete = false;

  private constructor(options: DemoOptions, folder: DemoFolder, simulator: Simulator, resources: AsyncDisposableStack) {
    this.#options = options;
    this.#simulator = simulator;
    this.#resources = resources;
    this.url = simulator.url;
    this.storeFile = join(folder.path, "prices.sqlite");
    this.disk = new SlowDisk(options.clock);
    this.levers = resources.use(
      new LeverPanel({
        ...options.faults,
        simulator,
        disk: this.disk,
        broker: options.hasKafka ? this.broker : undefined,
        isReady: () => this.#isComplete,
      }),
    );
  }

  /** Starts the simulator and makes the folder. Throws a ConfigError if the exchange has no simulator. */
  static async start(options: DemoOptions): Promise<Demo> {
    const { exchange, products, clock, seed = 5, dir, historyMs = HISTORY_MS, pace } = options;
    if (!SIMULATED.includes(exchange)) {
      const names = SIMULATED.map(({ name }) => name).join(" or ");
      throw new ConfigError([
        `Cannot start the demo: expected EXCHANGE to be ${names}, which has a simulator, got "${exchange.name}"; ` +
        `for live prices of ${exchange.title} run deno task dev`,
      ]);
    }
    await using starting = new AsyncDisposableStack();
    const folder = starting.use(await DemoFolder.make(clock.now(), dir));
    const simulator = starting.use(
      await Simulator.start({ ...pace, products, seed, pastMs: historyMs, rememberTicks: 0 }),
    );
    return new Demo(options, folder, simulator, starting.move());
  }

  /**
   * Makes the history and passes it on in batches; the next one is made while a batch is written. Resolves with false if
   * the signal aborts before the end. Rejects as `write` does. Call it once, before the feed connects: the exchange opens
   * with the first subscribe, and until then there are no trades that the feed could miss.
   */
  async writeHistory(write: (ticks: Tick[]) => Promise<unknown>, signal: AbortSignal): Promise<boolean> {
    const { exchange, channel, clock, log, products } = this.#options;
    let logAt = clock.elapsed() + LOG_EVERY_MS;
    let writing: Promise<unknown> = Promise.resolve();
    try {
      for (const batch of readHistory(this.#simulator.past(), exchange, channel)) {
        await writing;
        signal.throwIfAborted();
        if (clock.elapsed() >= logAt) {
          const of = Math.round(this.#expectedTicks);
          log?.info("Making a day of history", { products: products.length, ticks: this.#written, of });
          logAt = clock.elapsed() + LOG_EVERY_MS;
        }
        this.#written += batch.length;
        writing = write(batch);
        // it is awaited with the next batch
        writing.catch(() => {});
      }
      await writing;
    } catch (error) {
      if (signal.aborted && error === signal.reason) return false;
      throw error;
    }
    this.#isComplete = true;
    return true;
  }

  /**
   * A source that has the history written first, and is then the live feed; so the page works from the start, and no live
   * tick is older than the history. When it is stopped, all levers are switched off, so that none delays the shutdown.
   *
   * @param startFeed makes the feed that continues after these ticks, the last of each product
   */
  source(
    write: (ticks: Tick[], signal: AbortSignal) => Promise<unknown>,
    startFeed: (last: readonly Position[]) => Source,
  ): Source {
    const { exchange, channel, products, log } = this.#options;
    const last = new Map<string, Tick>();
    let feed: Source | undefined;
    return {
      status: (): SourceStatus =>
        feed?.status() ?? {
          exchange: exchange.title,
          url: this.url,
          channel,
          link: "connecting",
          historyDone: Math.min(1, this.#written / this.#expectedTicks),
          products: products.map((product) => ({ product, state: "waiting" })),
        },
      run: async (emit, relief, signal) => {
        signal.addEventListener("abort", () => this.levers.reset(), { once: true });
        const isComplete = await this.writeHistory(async (ticks) => {
          await write(ticks, signal);
          for (const tick of ticks) last.set(tick.product, tick);
        }, signal);
        if (!isComplete) return log?.info("Stopped before the history was made");
        feed = startFeed([...last.values()]);
        await feed.run(emit, relief, signal);
      },
    };
  }

  get #expectedTicks(): number {
    const { products, historyMs = HISTORY_MS, pace } = this.#options;
    return Math.max(1, products.length * historyMs / (pace?.batchMs ?? 5000));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
