/**
 * A real Telegraf for tests, with the stack's own configuration or another one: it can be started, killed and paused. Built by
 * install.sh with the plugins that the configuration needs.
 */
import { binary, binaryMissing, folderFor, freePorts, removeNow, RunningServer, ServerProcess } from "./process.ts";

/** What to start. */
export interface TelegrafOptions {
  /** Path of the configuration; default the stack's own, `telegraf/telegraf.conf`. */
  readonly config?: string;
  /** The environment variables that the configuration uses. */
  readonly env?: Readonly<Record<string, string>>;
  /** The content of the secret `telegraf`; `writeToken()` replaces it. */
  readonly token?: string;
}

/** The stack's own configuration. */
export const TELEGRAF_CONF: string = new URL("../../telegraf/telegraf.conf", import.meta.url).pathname;

/** Why Telegraf cannot run here and how to change that, in one sentence; undefined if it can. Never prompts. */
export function telegrafMissing(): string | undefined {
  return binaryMissing("Telegraf", "telegraf");
}

/**
 * A Telegraf process. Disposing ends it in any state. TOKENS and HEALTH of its environment are set here.
 * Because of the leak checks of `deno test` it must live within one test: to share it, use steps.
 */
export class TelegrafServer extends RunningServer implements AsyncDisposable {
  /** The address of its health check, `http://127.0.0.1:PORT`. */
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
      // logged when all plugins are loaded; servers that it cannot reach yet are tried again later
      ready: (log) => log.includes("[agent] Config:"),
    });
    addEventListener("unload", this.#unload);
  }

  /** Resolves when it runs; rejects with its last log lines if it ends before that or needs more than 3 minutes. */
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

  /** Replaces the token's file atomically, as the stack does. */
  async writeToken(token: string): Promise<void> {
    await Deno.mkdir(`${this.#dir}/tokens`, { recursive: true });
    await Deno.writeTextFile(`${this.#dir}/tokens/telegraf.new`, token);
    await Deno.rename(`${this.#dir}/tokens/telegraf.new`, `${this.#dir}/tokens/telegraf`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeEventListener("unload", this.#unload);
    await this.kill();
    await Deno.remove(this.#dir, { recursive: true });
  }

  /** For a test process that ends without disposing, when nothing can be awaited any more. */
  #endNow(): void {
    this.process.signal("SIGKILL");
    removeNow(this.#dir);
  }
}
