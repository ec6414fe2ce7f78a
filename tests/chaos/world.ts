// Everything from the exchange to InfluxDB as separate processes, and the faults of each of them. Counting is in result.ts.

import { DatabaseSync } from "node:sqlite";
import { Random } from "../fakes/random.ts";
import { type Chain, GAPS_TOPIC, produce, startChain, TOPIC } from "../chain/chain.ts";
import { exists, freePorts, type RunningServer, ServerProcess, sleep } from "../servers/process.ts";
import { SimulatorProcess } from "../servers/simulator.ts";
import type { Fault } from "./faults.ts";
import { ConnectionProxy, type KnownTick } from "./connection_proxy.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** How to start it. */
export interface WorldOptions {
  /** Of prices and random faults. */
  readonly seed: number;
  /** Per product. */
  readonly ticksPerSecond: number;
  /** Default eight of them. */
  readonly products?: readonly string[];
  /** Settings of the program that override the defaults. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A module that is loaded before the program. */
  readonly preload?: string;
  /** Whether to record what the exchange sends, for `sent()`; default true. A long run has no memory for that. */
  readonly recordsSent?: boolean;
  /** Size of the store's disk; default 192 MB. */
  readonly diskBytes?: number;
}

/** The fields of `/api/status` that the tests use. */
export interface ProgramStatus {
  /** See src/pipeline/source.ts. */
  readonly link: string;
  /** Open gaps. */
  readonly gaps: readonly unknown[];
  /** See src/pipeline/delivery.ts. */
  readonly sinks: readonly {
    readonly name: string;
    readonly state: string;
    readonly trouble?: string;
    readonly queueDepth: number;
  }[];
  /** See src/core/stats.ts. */
  readonly counters: {
    readonly received: number;
    readonly repeated: number;
    readonly rejected: Readonly<Record<string, number>>;
    readonly sinks: Readonly<
      Record<string, { readonly sent: number; readonly dropped: number; readonly lost: number }>
    >;
  };
}

const PRODUCTS = ["ETH-USD", "BTC-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "AVAX-USD", "DOT-USD"];
/** Size of the store's disk, bytes. */
const DISK_BYTES = 192 * 1024 * 1024;
/** A slow process runs for 20 of every 100 ms. */
const SLOW_STOPPED_MS = 80;
const SLOW_RUNNING_MS = 20;
/** Attempts to start a server. */
const STARTS = 4;
/** Interval of checks whether the program still runs. */
const LOOK_MS = 200;
/** Delay before the supervisor starts a program that has ended. */
const RESTART_MS = 1000;

interface Freezable {
  signal(signal: Deno.Signal): void;
}

/** Why no small disk can be mounted here; undefined if it can. */
export async function diskMissing(): Promise<string | undefined> {
  const dir = await Deno.makeTempDir({ prefix: "chaos-probe-" });
  try {
    const why = await mount(dir);
    if (why === undefined) await run("umount", dir);
    return why;
  } finally {
    await Deno.remove(dir);
  }
}

/** The exchange, the program and its servers. Disposing ends and removes everything. */
export class World implements AsyncDisposable {
  /** Kafka, Telegraf, InfluxDB. */
  readonly chain: Chain;
  /** Between the exchange and the program. */
  readonly connection: ConnectionProxy;
  /** Path of the store. */
  readonly storeFile: string;
  readonly products: readonly string[];
  /** How many unreadable records the fault `Kafka junk` has written. */
  poison = 0;
  /** The last log line of each time that the program ended unexpectedly. */
  readonly ends: string[] = [];
  readonly #dir: string;
  readonly #disk: string;
  readonly #isMounted: boolean;
  readonly #random: Random;
  readonly #exchange: SimulatorProcess;
  readonly #program: ServerProcess;
  readonly #programPort: number;
  /** What the exchange has sent, one list for each of its starts. */
  readonly #sentByStart: KnownTick[][] = [[]];
  readonly #known = new Set<string>();
  /** For a test process that ends without disposing. */
  readonly #unload = () => {
    this.#program.signal("SIGKILL");
  };
  readonly #recordsSent: boolean;
  #wanted = false;
  #closed = false;
  #supervising: Promise<void> = Promise.resolve();

  private constructor(
    options: WorldOptions,
    chain: Chain,
    exchange: SimulatorProcess,
    dir: string,
    isMounted: boolean,
  ) {
    const { seed, settings = {}, preload } = options;
    this.chain = chain;
    this.#exchange = exchange;
    this.products = exchange.products;
    this.#dir = dir;
    this.#disk = `${dir}/disk`;
    this.#recordsSent = options.recordsSent ?? true;
    this.#isMounted = isMounted;
    this.#random = new Random(seed);
    this.storeFile = `${this.#disk}/feed.db`;
    this.#programPort = freePorts("program").program;
    this.connection = new ConnectionProxy(exchange.port, this.#random, this.#recordsSent);
    this.#program = new ServerProcess({
      name: "The program",
      command: ["sh", "-c", 'cd "$0" && exec "$@"', dir, Deno.execPath(), "run", "--config", CONFIG].concat(
        preload === undefined ? [] : ["--preload", preload],
        ["--allow-net", "--allow-env", "--allow-read", "--allow-write", MAIN, "start"],
      ),
      dir: `${dir}/program`,
      env: {
        PORT: String(this.#programPort),
        LOG_FORMAT: "json",
        COINBASE_CHANNEL: "ticker",
        COINBASE_PRODUCTS: this.products.join(),
        COINBASE_WS_URL: `ws://127.0.0.1:${this.connection.port}`,
        KAFKA_BROKERS: chain.kafka.broker,
        STORE_FILE: this.storeFile,
        ...settings,
      },
      ready: (log) => log.includes('"Started"'),
    });
  }

  /** Starts everything, with the store on a small disk of its own if that is possible. */
  static async start(options: WorldOptions): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const chain = stack.use(await startChain());
    const dir = await Deno.makeTempDir({ prefix: "chaos-" });
    for (const name of ["disk", "program"]) await Deno.mkdir(`${dir}/${name}`);
    const isMounted = await mount(`${dir}/disk`, options.diskBytes) === undefined;
    const { products = PRODUCTS, ticksPerSecond, seed } = options;
    const exchange = stack.use(await SimulatorProcess.start({ products, ticksPerSecond, seed }));
    const world = new World(options, chain, exchange, dir, isMounted);
    stack.use(world);
    await world.#startProgram();
    world.#supervising = world.#supervise();
    addEventListener("unload", world.#unload);
    stack.move();
    return world;
  }

  get programPid(): number {
    return this.#program.pid;
  }

  /** The program's log since its first start. */
  async programLog(): Promise<string> {
    return await this.#program.log();
  }

  /** Every tick that the exchange has sent, once, in order. */
  async sent(): Promise<KnownTick[]> {
    await this.#collectSent();
    return this.#sentByStart.flat();
  }

  /** The program's status; undefined if it does not answer. */
  async status(): Promise<ProgramStatus | undefined> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.#programPort}/api/status`, {
        signal: AbortSignal.timeout(5000),
      });
      return await answer.json();
    } catch {
      return undefined;
    }
  }

  /** Stops all trades, or lets them go on. */
  async quiet(on: boolean): Promise<void> {
    await this.#exchange.quiet(on);
  }

  /** Causes a fault, waits for its duration, and removes it. */
  async strike({ victim, kind, ms }: Fault): Promise<void> {
    const { kafka, telegraf, influx } = this.chain;
    switch (victim) {
      case "exchange":
        return await this.#strikeExchange(kind, ms);
      case "connection":
        this.connection.state = kind as "cut";
        await sleep(ms);
        this.connection.state = "whole";
        return;
      case "program":
        return await this.#strikeProgram(kind, ms);
      case "disk":
        return await this.#strikeDisk(kind, ms);
      case "Kafka":
        return kind === "junk" ? await this.#poison(ms) : await strikeServer(kafka, kind, ms);
      case "Telegraf":
        return await strikeServer(telegraf, kind, ms);
      case "InfluxDB":
        return await strikeServer(influx, kind, ms);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeEventListener("unload", this.#unload);
    this.#closed = true;
    await this.#supervising;
    await this.#program.kill("SIGKILL");
    await this.connection[Symbol.asyncDispose]();
    await this.#exchange[Symbol.asyncDispose]();
    if (this.#isMounted) await run("umount", this.#disk);
    await Deno.remove(this.#dir, { recursive: true });
    await this.chain[Symbol.asyncDispose]();
  }

  /** Starts the program again if it ends unexpectedly, as Compose does. */
  async #supervise(): Promise<void> {
    while (!this.#closed) {
      await sleep(LOOK_MS);
      if (!this.#wanted || this.#program.running) continue;
      const last = (await this.#program.log()).trimEnd().split("\n").at(-1) ?? "";
      this.ends.push(last.slice(0, 500));
      await sleep(RESTART_MS);
      // the next check notices if it ends again
      if (this.#wanted && !this.#closed) await this.#program.start().catch(() => {});
    }
  }

  async #startProgram(): Promise<void> {
    await startPatiently(async () => {
      await this.#program.kill("SIGKILL");
      await this.#program.start();
    });
    this.#wanted = true;
  }

  async #startExchange(): Promise<void> {
    await startPatiently(async () => {
      await this.#exchange.kill();
      await this.#exchange.restart();
    });
    this.#sentByStart.push([]);
  }

  /**
   * Adds what the exchange has sent since the last call. What it sent just before it was killed is known from the connection
   * only, which may have held it for long.
   */
  async #collectSent(): Promise<void> {
    if (!this.#recordsSent) return;
    const passed = this.connection.take();
    const list = this.#sentByStart.at(-1) ?? [];
    if (this.#exchange.running) {
      for await (const line of this.#exchange.sentLines(list.length)) {
        const { id, product, tradeId, price, time } = JSON.parse(line);
        list.push({ id, product, tradeId, price, time });
        this.#known.add(id);
      }
    }
    const before = this.#exchange.running ? this.#sentByStart.at(-2) : list;
    for (const tick of passed) {
      if (this.#known.has(tick.id)) continue;
      this.#known.add(tick.id);
      before?.push(tick);
    }
  }

  async #strikeExchange(kind: string, ms: number): Promise<void> {
    switch (kind) {
      case "killed":
      case "stopped": {
        await this.#collectSent();
        await this.#exchange.kill(kind === "killed" ? "SIGKILL" : "SIGTERM");
        await sleep(ms);
        await this.#collectSent();
        return await this.#startExchange();
      }
      case "frozen":
        return await strikeServer(this.#exchange, kind, ms);
      case "slow":
        await this.#exchange.pull("slowDown", { ms: this.#random.int(200, 3000) });
        await sleep(ms);
        return await this.#exchange.pull("slowDown", { ms: 0 });
      case "refuses":
        await this.#exchange.pull("refuseUpgrade", { on: true });
        await this.#exchange.pull("hangUp", { code: 1006 });
        await sleep(ms);
        return await this.#exchange.pull("refuseUpgrade", { on: false });
      case "silent":
        await this.#exchange.pull("silent", { on: true });
        await sleep(ms);
        return await this.#exchange.pull("silent", { on: false });
      case "stalls": {
        const lost = this.products.filter(() => this.#random.chance(0.4));
        for (const product of lost) await this.#exchange.pull("loseProduct", { product, on: true });
        await sleep(ms);
        for (const product of lost) await this.#exchange.pull("loseProduct", { product, on: false });
        return;
      }
      case "junk":
        return await this.#sendJunk(ms);
    }
    throw new RangeError(`No fault of the exchange: ${kind}`);
  }

  async #sendJunk(ms: number): Promise<void> {
    const product = () => this.#random.pick(this.products);
    const faults: readonly (() => Promise<void>)[] = [
      () => this.#exchange.pull("junk", { n: this.#random.int(1, 200) }),
      () => this.#exchange.pull("huge", { bytes: this.#random.int(100, 3_000_000) }),
      () => this.#exchange.pull("cutOff", { product: product() }),
      () => this.#exchange.pull("breakOff", {}),
      () => this.#exchange.pull("repeat", { n: this.#random.int(1, 50) }),
      () => this.#exchange.pull("outOfOrder", { product: product() }),
      () => this.#exchange.pull("late", { ms: this.#random.int(100, 5000), product: product() }),
      () => this.#exchange.pull("future", { ms: this.#random.int(7_200_000, 86_400_000), product: product() }),
      () => this.#exchange.pull("hangUp", {}),
      () => this.#exchange.pull("flood", { ticksPerSecond: 3000, ms: 1000 }),
      () => this.#exchange.pull("dataFirst", { on: this.#random.chance(0.5) }),
    ];
    for (const end = performance.now() + ms; performance.now() < end; await sleep(this.#random.int(100, 1200))) {
      await this.#random.pick(faults)();
    }
    await this.#exchange.pull("dataFirst", { on: false });
  }

  async #strikeProgram(kind: string, ms: number): Promise<void> {
    switch (kind) {
      case "killed":
      case "stopped":
        this.#wanted = false;
        await this.#program.kill(kind === "killed" ? "SIGKILL" : "SIGTERM");
        await sleep(ms);
        return await this.#startProgram();
      case "frozen":
        return await freeze(this.#program, ms);
      case "slow":
        return await slow(this.#program, ms);
      case "junk":
        return await this.#sendRequests(ms);
    }
    throw new RangeError(`No fault of the program: ${kind}`);
  }

  /** Other clients send junk to its web server. */
  async #sendRequests(ms: number): Promise<void> {
    for (const end = performance.now() + ms; performance.now() < end; await sleep(this.#random.int(20, 200))) {
      try {
        using conn = await Deno.connect({ hostname: "127.0.0.1", port: this.#programPort });
        const bytes = Uint8Array.from({ length: this.#random.int(1, 4000) }, () => this.#random.int(0, 255));
        const head = this.#random.pick(["", "GET /api/stream HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\n\r\n"]);
        await conn.write(new TextEncoder().encode(head));
        await conn.write(bytes);
        if (this.#random.chance(0.5)) await sleep(100);
      } catch {
        // it may close the connection at any time
      }
    }
  }

  async #strikeDisk(kind: string, ms: number): Promise<void> {
    switch (kind) {
      case "full":
        return await this.#fill(ms);
      case "locked": {
        using db = new DatabaseSync(this.storeFile, { timeout: 10_000 });
        db.exec("BEGIN IMMEDIATE");
        await sleep(ms);
        db.exec("ROLLBACK");
        return;
      }
      case "store deleted": {
        for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(this.storeFile + suffix).catch(() => {});
        return await sleep(ms);
      }
      case "store damaged":
      case "cursor damaged": {
        this.#wanted = false;
        await this.#program.kill("SIGKILL");
        if (kind === "store damaged") {
          using file = await Deno.open(this.storeFile, { write: true });
          await file.write(Uint8Array.from({ length: 8192 }, () => this.#random.int(0, 255)));
        } else {
          await Deno.writeTextFile(`${this.storeFile}.cursor`, '{"version":1,"positions":[{"exch');
        }
        return await this.#startProgram();
      }
    }
    throw new RangeError(`No fault of the disk: ${kind}`);
  }

  /** Fills the disk, also whatever becomes free again. */
  async #fill(ms: number): Promise<void> {
    const ballast = `${this.#disk}/ballast`;
    {
      using file = await Deno.open(ballast, { create: true, append: true });
      for (const end = performance.now() + ms; performance.now() < end; await sleep(100)) {
        try {
          for (let size = 1 << 20; size >= 4096; size = size >> 4) {
            const bytes = new Uint8Array(size);
            while (await file.write(bytes) === size);
          }
        } catch (error) {
          if (!isFull(error)) throw error;
          await file.write(new Uint8Array(4096)).catch(() => {});
        }
      }
    }
    await Deno.remove(ballast);
  }

  /** Writes unreadable records to the topics. */
  async #poison(ms: number): Promise<void> {
    const { broker } = this.chain.kafka;
    for (const end = performance.now() + ms; performance.now() < end; await sleep(this.#random.int(200, 1500))) {
      const own = crypto.randomUUID();
      const texts = [`no JSON ${own}`, `{"product":"${own}","w_time":"yesterday","price":1}`, `["${own}"]`];
      const topic = this.#random.pick([TOPIC, TOPIC, GAPS_TOPIC]);
      try {
        await produce(broker, topic, texts);
        this.poison += texts.length;
      } catch {
        // Kafka may be down as well
      }
    }
  }
}

async function strikeServer(server: RunningServer, kind: string, ms: number): Promise<void> {
  switch (kind) {
    case "killed":
    case "stopped":
      await (kind === "killed" ? server.kill() : server.stop());
      await sleep(ms);
      return await startPatiently(() => server.restart());
    case "frozen":
      server.pause();
      await sleep(ms);
      return server.resume();
    case "slow":
      return await slow({ signal: (signal) => signal === "SIGSTOP" ? server.pause() : server.resume() }, ms);
  }
  throw new RangeError(`No fault of a server: ${kind}`);
}

/** A busy machine may need several attempts. */
async function startPatiently(start: () => Promise<void>): Promise<void> {
  for (let attempt = 1; attempt < STARTS; attempt++) {
    try {
      return await start();
    } catch {
      // tried again
    }
  }
  await start();
}

async function freeze(process: Freezable, ms: number): Promise<void> {
  process.signal("SIGSTOP");
  await sleep(ms);
  process.signal("SIGCONT");
}

async function slow(process: Freezable, ms: number): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(SLOW_RUNNING_MS)) {
    await freeze(process, SLOW_STOPPED_MS);
  }
}

/** Mounts a small disk in memory on the folder. Returns the reason if that fails. */
async function mount(dir: string, bytes = DISK_BYTES): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "a disk in memory can be had on Linux only";
  if (!exists("/usr/bin/mount") && !exists("/bin/mount")) return "there is no mount";
  return await run("mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", dir);
}

/** Undefined on success, else the command's error output. */
async function run(command: string, ...args: string[]): Promise<string | undefined> {
  const { success, stderr } = await new Deno.Command(command, { args, stdin: "null", stdout: "null" }).output();
  return success ? undefined : new TextDecoder().decode(stderr).trim() || `${command} failed`;
}

function isFull(error: unknown): boolean {
  return error instanceof Error && /os error 28/.test(error.message);
}
