/**
 * Shared by all servers of this folder: a process that can be started, killed, paused and started again, with its output in a
 * file; free ports; and the check whether a server can run here.
 */

/** What to run. */
export interface ProcessOptions {
  /** For messages: "InfluxDB". */
  readonly name: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** The folder for `server-N.log` of each start. */
  readonly dir: string;
  /** Added to the environment of this process; overrides it. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether clients can use it; receives its output so far. */
  ready(log: string): boolean | Promise<boolean>;
}

/** Limit for a start. */
const READY_MS = 180_000;
/** A process that has not ended after this time is killed. */
const STOP_MS = 30_000;

/** A process that can be started several times. */
export class ServerProcess {
  readonly #options: ProcessOptions;
  #process: Deno.ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #pid = 0;
  #starts = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  /** Process id of the last start. */
  get pid(): number {
    return this.#pid;
  }

  /** Whether the process exists. */
  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Resolves when clients can use it; rejects with its last log lines if it ends before that or needs more than 3 minutes. */
  async start(): Promise<void> {
    const { name, command, dir, env = {}, ready } = this.#options;
    const log = `${dir}/server-${++this.#starts}.log`;
    await Deno.writeTextFile(log, "");
    const process = new Deno.Command("sh", {
      // the shell opens the file and then becomes the server; a pipe would block the server while this process does not read
      args: ["-c", 'exec "$@" >> "$0" 2>&1', log, ...command],
      env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    this.#process = process;
    this.#pid = process.pid;
    this.#ended = process.status.then(() => this.#process = undefined);
    const deadline = Date.now() + READY_MS;
    while (true) {
      const running = this.running;
      const text = await Deno.readTextFile(log);
      if (running && await ready(text)) return;
      if (!running || Date.now() > deadline) {
        const what = running ? `was not ready after ${READY_MS / 1000} s` : "ended before it was ready";
        throw new Error(`${name} ${what}:\n${text.trimEnd().split("\n").slice(-20).join("\n")}`);
      }
      await sleep(20);
    }
  }

  /** Its output since the first start. */
  async log(): Promise<string> {
    const starts = Array.from({ length: this.#starts }, (_, i) => `${this.#options.dir}/server-${i + 1}.log`);
    return (await Promise.all(starts.map((path) => Deno.readTextFile(path)))).join("");
  }

  /** Sends a signal; does nothing if the process has ended. */
  signal(signal: Deno.Signal): void {
    try {
      this.#process?.kill(signal);
    } catch (error) {
      // it has ended, but its status has not arrived yet
      if (!(error instanceof TypeError)) throw error;
    }
  }

  /** Resolves when the process has ended; it may be paused, or have ended before. */
  async kill(signal: Deno.Signal): Promise<void> {
    this.signal(signal);
    this.signal("SIGCONT");
    const timer = setTimeout(() => this.signal("SIGKILL"), STOP_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** What every server of this folder can do. */
export abstract class RunningServer {
  protected abstract readonly process: ServerProcess;
  /** The signal for an orderly end. */
  protected readonly stopSignal: Deno.Signal = "SIGTERM";

  /** Process id of the last start. */
  get pid(): number {
    return this.process.pid;
  }

  /** Whether the process exists. */
  get running(): boolean {
    return this.process.running;
  }

  /** Its output since the first start. */
  log(): Promise<string> {
    return this.process.log();
  }

  /** Resolves when the process has ended; it may be paused, or have ended before. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    await this.process.kill(signal);
  }

  /** Ends it in an orderly way; the data stays until disposal. */
  async stop(): Promise<void> {
    await this.kill(this.stopSignal);
  }

  /** Starts it again with the same data and ports, after an orderly end if it still runs. */
  async restart(): Promise<void> {
    await this.stop();
    await this.process.start();
  }

  /** Until `resume()` it keeps its connections but does not answer. */
  pause(): void {
    this.process.signal("SIGSTOP");
  }

  resume(): void {
    this.process.signal("SIGCONT");
  }
}

/** The folder of a server: the given one, or a new temporary one. */
export async function folderFor(name: string, given: string | undefined): Promise<string> {
  if (given === undefined) return await Deno.makeTempDir({ prefix: `${name}-` });
  await Deno.mkdir(given, { recursive: true });
  return given;
}

/** Removes a folder synchronously, for when nothing can be awaited any more. */
export function removeNow(dir: string): void {
  try {
    Deno.removeSync(dir, { recursive: true });
  } catch {
    // the ending server wrote a file meanwhile; the folder stays among the temporary files
  }
}

/**
 * Free ports, below the range that operating systems use for outgoing connections, so that no reconnecting client takes the port
 * of a server that is down.
 */
export function freePorts<N extends string>(...names: N[]): Record<N, number> {
  const held: Deno.Listener[] = [];
  const take = (): number => {
    while (true) {
      const port = 20_000 + Math.floor(Math.random() * 12_000);
      try {
        held.push(Deno.listen({ hostname: "127.0.0.1", port }));
        return port;
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      }
    }
  };
  try {
    return Object.fromEntries(names.map((name) => [name, take()])) as Record<N, number>;
  } finally {
    for (const listener of held) listener.close();
  }
}

/** The path of a program installed by install.sh. */
export function binary(name: string): string {
  return `${cache()}/bin/${name}`;
}

/** Why a program of install.sh cannot run here, like `serverMissing()`. */
export function binaryMissing(title: string, name: string): string | undefined {
  return serverMissing(title, ["sh"]) ??
    (exists(binary(name)) ? undefined : `${title} tests need ${name}: run sh tests/servers/install.sh`);
}

/**
 * Why a server that needs these commands cannot run here and how to change that, in one sentence; undefined if it can. Never
 * prompts, so that a bare `deno test` skips the tests and says why.
 */
export function serverMissing(title: string, commands: readonly string[]): string | undefined {
  if (Deno.build.os === "windows") return `${title} tests need Linux or macOS`;
  const wanted: Deno.PermissionDescriptor[] = [
    ...commands.map((command) => ({ name: "run", command }) as const),
    ...["HOME", "CACHE", "PATH", "TMPDIR"].map((variable) => ({ name: "env", variable }) as const),
    { name: "net", host: "127.0.0.1" },
    { name: "read" },
  ];
  const refused = wanted.find((permission) => !granted(permission)) ??
    [{ name: "write", path: Deno.env.get("TMPDIR") ?? "/tmp" } as const].find((permission) => !granted(permission));
  return refused && `${title} tests need --allow-${refused.name}: use deno task test`;
}

/** Where install.sh keeps its downloads. */
export function cache(): string {
  return Deno.env.get("CACHE") ?? `${Deno.env.get("HOME")}/.cache/crypto-data-streaming`;
}

/** Whether a file or folder exists. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/** Whether a permission is granted; does not prompt. */
export function granted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}

/** For polling. */
export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
