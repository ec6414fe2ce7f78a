// The simulated exchange as a process of its own, for benches whose program must have no neighbour in its process.

import { folderFor, freePorts, removeNow, RunningServer, ServerProcess } from "../servers/process.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** A market that trades; disposing ends it. */
export class ExchangeProcess extends RunningServer implements AsyncDisposable {
  /** What it trades. */
  readonly products: readonly string[];
  readonly #dir: string;
  readonly #port: number;
  protected override readonly process: ServerProcess;

  private constructor(dir: string, products: readonly string[], ticksPerSecond: number) {
    super();
    const { exchange: port } = freePorts("exchange");
    this.products = products;
    this.#dir = dir;
    this.#port = port;
    this.process = new ServerProcess({
      name: "The exchange",
      command: [Deno.execPath(), "run", "--config", CONFIG, "--allow-net", "--allow-env", "--allow-read", MAIN]
        .concat("simulate", "--port", String(port), "--seed", "7")
        .concat("--rate", String(ticksPerSecond), "--products", products.join()),
      dir,
      ready: (log) => log.includes("listens on"),
    });
  }

  /** Starts one, with so many trades a second of each product. */
  static async start(products: readonly string[], ticksPerSecond: number): Promise<ExchangeProcess> {
    const exchange = new ExchangeProcess(await folderFor("exchange", undefined), products, ticksPerSecond);
    try {
      await exchange.process.start();
      return exchange;
    } catch (error) {
      removeNow(exchange.#dir);
      throw error;
    }
  }

  /** Where the program connects. */
  get url(): string {
    return `ws://127.0.0.1:${this.#port}`;
  }

  /** How many tickers have left. */
  async sentCount(): Promise<number> {
    return (await (await fetch(`http://127.0.0.1:${this.#port}/`)).json()).sent;
  }

  /** No trades any more. */
  async quiet(): Promise<void> {
    for (const product of this.products) {
      const body = JSON.stringify({ product, on: true });
      const answer = await fetch(`http://127.0.0.1:${this.#port}/levers/quiet`, { method: "POST", body });
      if (!answer.ok) throw new Error(`The lever was refused: ${await answer.text()}`);
      await answer.body?.cancel();
    }
  }

  /** All tickers that have left, a line of JSON each. */
  async *sentLines(): AsyncGenerator<string> {
    const { body } = await fetch(`http://127.0.0.1:${this.#port}/sent`);
    let rest = "";
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    removeNow(this.#dir);
  }
}
