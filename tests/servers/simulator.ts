// The Coinbase simulator as a process of its own, for tests that kill it and for benches that measure the program alone.

import { folderFor, freePorts, removeNow, RunningServer, ServerProcess } from "./process.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** The market that it simulates. */
export interface SimulatorProcessOptions {
  readonly products: readonly string[];
  /** Per product. */
  readonly ticksPerSecond: number;
  /** Default 7. */
  readonly seed?: number;
}

/** A simulator that can be killed and started again on the same port. Disposing ends it. */
export class SimulatorProcess extends RunningServer implements AsyncDisposable {
  readonly products: readonly string[];
  readonly #dir: string;
  readonly #port: number;
  protected override readonly process: ServerProcess;
  readonly #unload = () => void this.kill();

  private constructor(dir: string, { products, ticksPerSecond, seed = 7 }: SimulatorProcessOptions) {
    super();
    const { exchange: port } = freePorts("exchange");
    this.products = products;
    this.#dir = dir;
    this.#port = port;
    this.process = new ServerProcess({
      name: "The simulator",
      command: [Deno.execPath(), "run", "--config", CONFIG, "--allow-net", "--allow-env", "--allow-read", MAIN]
        .concat("simulate", "--port", String(port), "--seed", String(seed))
        .concat("--rate", String(ticksPerSecond), "--products", products.join()),
      dir,
      ready: (log) => log.includes("listens on"),
    });
    addEventListener("unload", this.#unload);
  }

  /** Resolves when clients can connect. */
  static async start(options: SimulatorProcessOptions): Promise<SimulatorProcess> {
    const simulator = new SimulatorProcess(await folderFor("simulator", undefined), options);
    try {
      await simulator.process.start();
      return simulator;
    } catch (error) {
      await simulator[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the program connects. */
  get url(): string {
    return `ws://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** How many tickers it has sent since its last start. */
  async sentCount(): Promise<number> {
    return (await (await fetch(`http://127.0.0.1:${this.#port}/`)).json()).sent;
  }

  /** The tickers it has sent since its last start, from number `since` on, a line of JSON each. */
  async *sentLines(since = 0): AsyncGenerator<string> {
    const { body } = await fetch(`http://127.0.0.1:${this.#port}/sent?since=${since}`);
    let rest = "";
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  }

  /** Uses a lever. */
  async pull(lever: string, body: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const url = `http://127.0.0.1:${this.#port}/levers/${lever}`;
    const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`The lever ${lever} was refused: ${text}`);
  }

  /** Stops all trades, or lets them go on. */
  async quiet(on = true): Promise<void> {
    for (const product of this.products) await this.pull("quiet", { product, on });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeEventListener("unload", this.#unload);
    await this.kill();
    removeNow(this.#dir);
  }
}
