/**
 * A real Telegraf for tests: started with the stack's own configuration or another, killed, paused and restarted. The program is
 * brought by install.sh, with the plugins that the configuration needs.
 */
import { binary, binaryMissing, folderFor, freePorts, removeNow, RunningServer, ServerProcess } from "./process.ts";

/** How to start it. */
export interface TelegrafOptions {
  /** Path of its configuration; the stack's own, `telegraf/telegraf.conf`, when left out. */
  readonly config?: string;
  /** What the configuration takes from the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** In the file that stands for the secret `telegraf`; `writeToken()` replaces it. */
  readonly token?: string;
}

/** The stack's own. */
export const TELEGRAF_CONF: string = new URL("../../telegraf/telegraf.conf", import.meta.url).pathname;

/** Why Telegraf cannot run here, in one sentence with the command that helps; undefined when it can. Never prompts. */
export function telegrafMissing(): string | undefined {
  return binaryMissing("Telegraf", "telegraf");
}

/**
 * A Telegraf process. Disposing of it ends the process in whatever state. TOKENS and HEALTH of its environment are set here.
 * The leak checks of `deno test` want it to live within one test: to share it, make the cases steps of one.
 */
export class TelegrafServer extends RunningServer implements AsyncDisposable {
  /** Where it tells its health, `http://127.0.0.1:PORT`. */
  readonly healthUrl: string;
  readonly #dir: string;
  protected override readonly process: ServerProcess;
  readonly #unload = () => this.#endNow();

  private constructor(options: TelegrafOptions, dir: string) {
    super();
    this.#dir = dir;
    this.healthUrl = `http://127.0.0.1:${freePorts("health").health}`;
    this.process = new ServerProcess({
      name: "Telegraf",
      command: [binary("telegraf"), "--debug", "--config", options.config ?? TELEGRAF_CONF],
      dir,
      env: { TOKENS: `${dir}/tokens`, HEALTH: this.healthUrl, ...options.env },
      // it says so when all is built; what it cannot reach yet it tries again later
      ready: (log) => log.includes("[agent] Config:"),
    });
    addEventListener("unload", this.#unload);
  }

  /** Resolves when it runs; fails with its last words when it ends before that or takes over 3 minutes. */
  static async start(options: TelegrafOptions = {}): Promise<TelegrafServer> {
    const server = new TelegrafServer(options, await folderFor("telegraf", undefined));
    try {
      await server.writeToken(options.token ?? "");
      await server.process.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Replaces the token's file at once, as the stack does. */
  async writeToken(token: string): Promise<void> {
    await Deno.mkdir(`${this.#dir}/tokens`, { recursive: true });
    await Deno.writeTextFile(`${this.#dir}/tokens/telegraf.new`, token);
    await Deno.rename(`${this.#dir}/tokens/telegraf.new`, `${this.#dir}/tokens/telegraf`);
  }

  /** Kills without asking. */
  async [Symbol.asyncDispose](): Promise<void> {
    removeEventListener("unload", this.#unload);
    await this.kill();
    await Deno.remove(this.#dir, { recursive: true });
  }

  /** For a test process that ends without disposing: nothing can be awaited any more. */
  #endNow(): void {
    this.process.signal("SIGKILL");
    removeNow(this.#dir);
  }
}
