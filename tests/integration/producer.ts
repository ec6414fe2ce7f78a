// The program as a process, as `deno task start` runs it, for tests that kill it or need its exit code.

import { until } from "./feed.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** A line of the program's log. */
export interface LogRecord {
  /** debug, info, warn or error. */
  readonly level: string;
  readonly message: string;
  /** Fields. */
  readonly [field: string]: unknown;
}

/** Disposing kills it. */
export class Producer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #stderr = "";
  #code: number | undefined;

  /** Starts it with these settings and those that every test needs. */
  constructor(settings: Readonly<Record<string, string>>) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--config", CONFIG, "--allow-net", "--allow-env", "--allow-read", "--allow-write", MAIN, "start"],
      // a folder without a developer's .env
      cwd: Deno.env.get("TMPDIR") ?? "/tmp",
      env: { PORT: "0", COINBASE_CHANNEL: "ticker", LOG_FORMAT: "json", ...settings },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#reading = this.#read();
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Its whole output so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Its log so far. */
  get log(): LogRecord[] {
    return this.#stderr.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }

  /** The lines of its log with this message. */
  said(message: string): LogRecord[] {
    return this.log.filter((line) => line.message === message);
  }

  /** Waits for a line of its log with this message. */
  async says(message: string): Promise<void> {
    await until(`the program says "${message}"`, () => {
      if (this.#code !== undefined) throw new Error(`The program ended with ${this.#code}:\n${this.#stderr}`);
      return this.said(message).length > 0;
    });
  }

  /** Sends a signal and resolves with the exit code: 128 + n if signal n ended it. */
  async end(signal: "SIGTERM" | "SIGINT" | "SIGKILL"): Promise<number> {
    this.#process.kill(signal);
    return await this.ended();
  }

  /** Resolves with the exit code when it has ended. */
  async ended(): Promise<number> {
    const { code } = await this.#process.status;
    await this.#reading;
    this.#code = code;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await this.ended();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#process.stderr) this.#stderr += decoder.decode(bytes, { stream: true });
  }
}
