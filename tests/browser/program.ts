// The program as people run it: a process of its own with its own folder, fed by a simulator or, as demo, by its own.

import type { Simulator } from "../../src/simulator/server.ts";
import { folderFor, freePorts, removeNow, RunningServer, ServerProcess } from "../servers/process.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** What to run. */
export interface ProgramOptions {
  /** Default `dev`. With `start` it needs KAFKA_BROKERS among its settings. */
  readonly command?: "dev" | "demo" | "start";
  /** Where its prices come from; the demo has one of its own. */
  readonly simulator?: Simulator;
  /** Default `ticker`. */
  readonly channel?: "ticker" | "ticker_batch";
  /** Called before the first start, with the path of the store that the program will open. */
  readonly before?: (storeFile: string) => Promise<void>;
  /** How many descriptors it may have; default as many as this process. */
  readonly descriptors?: number;
  /** Further settings, and stronger ones. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A line of its log. */
export interface LogLine {
  /** debug, info, warn or error. */
  readonly level: string;
  /** Constant text. */
  readonly message: string;
  /** And its fields. */
  readonly [field: string]: unknown;
}

/** The flags of the task, so that a forgotten permission shows here. */
async function flagsOf(command: string): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(CONFIG));
  return (tasks[command].command as string).split(" ").filter((part) => part.startsWith("-"));
}

/** Runs until it is killed or disposed of; the port and the store stay the same when it is started again. */
export class Program extends RunningServer implements AsyncDisposable {
  /** `http://127.0.0.1:<port>`, where the page is. */
  readonly url: string;
  /** Its folder, with the store in `data/`. */
  readonly dir: string;
  protected readonly process: ServerProcess;

  private constructor(dir: string, port: number, process: ServerProcess) {
    super();
    this.dir = dir;
    this.url = `http://127.0.0.1:${port}`;
    this.process = process;
  }

  /** Resolves when its page can be asked for. */
  static async start(options: ProgramOptions): Promise<Program> {
    const { command = "dev", simulator, channel = "ticker", before, descriptors, settings = {} } = options;
    const dir = await folderFor("browser", undefined);
    const { port } = freePorts("port");
    const flags = await flagsOf(command);
    const process = new ServerProcess({
      name: "The program",
      // in a folder without a .env; its records on stdout are read by nobody here
      command: [
        "sh",
        "-c",
        `${descriptors === undefined ? "" : `ulimit -n ${descriptors} && `}cd "$0" && exec "$@" > /dev/null`,
        dir,
        Deno.execPath(),
        "run",
        "--no-prompt",
        ...flags,
        "--config",
        CONFIG,
        MAIN,
        command,
      ],
      dir,
      env: {
        PORT: String(port),
        HOST: "127.0.0.1",
        LOG_FORMAT: "json",
        DENO_NO_UPDATE_CHECK: "1",
        // what it leaves behind when it is killed goes with the folder
        TMPDIR: dir,
        ...(simulator === undefined ? {} : {
          COINBASE_WS_URL: simulator.url,
          COINBASE_PRODUCTS: simulator.products.join(","),
          COINBASE_CHANNEL: channel,
          STORE_FILE: "data/prices.sqlite",
        }),
        ...settings,
      },
      ready: (log) => linesOf(log).some(({ message }) => message === "Started"),
    });
    const program = new Program(dir, port, process);
    try {
      await Deno.mkdir(`${dir}/data`);
      await before?.(`${dir}/data/prices.sqlite`);
      await process.start();
    } catch (error) {
      removeNow(dir);
      throw error;
    }
    return program;
  }

  /** Starts again after a kill, on the same port and store. */
  async startAgain(): Promise<void> {
    await this.process.start();
  }

  /** What its API answers with. */
  async get<T = unknown>(path: string): Promise<T> {
    const response = await fetch(`${this.url}${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** The lines of its log with this text. */
  async said(message: string): Promise<LogLine[]> {
    return linesOf(await this.log()).filter((line) => line.message === message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    removeNow(this.dir);
  }
}

/** The whole lines of a log in JSON. */
function linesOf(log: string): LogLine[] {
  return log.split("\n").slice(0, -1).filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}
