/**
 * What the servers of this folder have in common: a process that is started, killed, paused and started again with its words
 * in a file, free ports, and the question whether it can run here.
 */

/** What to run and how to know that it can be used. */
export interface ProcessOptions {
  /** As it stands in messages: "InfluxDB". */
  readonly name: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Holds `server-N.log` of each start. */
  readonly dir: string;
  /** Beside the environment of this process, and stronger. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether clients can use it by now; gets what it has written so far. */
  ready(log: string): boolean | Promise<boolean>;
}

/** How long a start may take. */
const READY_MS = 180_000;
/** How long a process may take to end before it is killed. */
const STOP_MS = 30_000;

/** A process with its log, which can be started more than once. */
export class ServerProcess {
  readonly #options: ProcessOptions;
  #process: Deno.ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #pid = 0;
  #starts = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  /** Of the last start. */
  get pid(): number {
    return this.#pid;
  }

  /** Whether it has not ended by itself or by us. */
  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Resolves when it can be used; fails with its last words when it ends before that or takes over 3 minutes. */
  async start(): Promise<void> {
    const { name, command, dir, env = {}, ready } = this.#options;
    const log = `${dir}/server-${++this.#starts}.log`;
    await Deno.writeTextFile(log, "");
    const process = new Deno.Command("sh", {
      // the shell only opens the file and becomes the server: a pipe would fill up whenever this process does not read
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

  /** What it has written since its first start. */
  async log(): Promise<string> {
    const starts = Array.from({ length: this.#starts }, (_, i) => `${this.#options.dir}/server-${i + 1}.log`);
    return (await Promise.all(starts.map((path) => Deno.readTextFile(path)))).join("");
  }

  /** Sends a signal; one that has ended already is no problem. */
  signal(signal: Deno.Signal): void {
    try {
      this.#process?.kill(signal);
    } catch (error) {
      // it has ended, and its status is on the way to us
      if (!(error instanceof TypeError)) throw error;
    }
  }

  /** Resolves when it is gone; one that is paused, or gone already, is no problem. */
  async kill(signal: Deno.Signal): Promise<void> {
    this.signal(signal);
    this.signal("SIGCONT");
    const timer = setTimeout(() => this.signal("SIGKILL"), STOP_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** What every server of this folder can do besides its own. The process is made by the class of the server. */
export abstract class RunningServer {
  /** Made once, started perhaps often. */
  protected abstract readonly process: ServerProcess;
  /** What ends it in order. */
  protected readonly stopSignal: Deno.Signal = "SIGTERM";

  /** Of the last start. */
  get pid(): number {
    return this.process.pid;
  }

  /** Whether the process exists. */
  get running(): boolean {
    return this.process.running;
  }

  /** What it has written since its first start. */
  log(): Promise<string> {
    return this.process.log();
  }

  /** Resolves when the process is gone; one that is paused, or gone already, is no problem. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    await this.process.kill(signal);
  }

  /** An orderly end; the data stays until disposal. */
  async stop(): Promise<void> {
    await this.kill(this.stopSignal);
  }

  /** Starts again on the same data and ports, after an orderly end when it still runs. */
  async restart(): Promise<void> {
    await this.stop();
    await this.process.start();
  }

  /** Keeps its connections and answers nothing, until `resume()`. */
  pause(): void {
    this.process.signal("SIGSTOP");
  }

  /** Ends `pause()`. */
  resume(): void {
    this.process.signal("SIGCONT");
  }
}

/** A folder of a server: one that was given is kept, a new one is temporary. */
export async function folderFor(name: string, given: string | undefined): Promise<string> {
  if (given === undefined) return await Deno.makeTempDir({ prefix: `${name}-` });
  await Deno.mkdir(given, { recursive: true });
  return given;
}

/** Removes a folder when nothing can be awaited any more. */
export function removeNow(dir: string): void {
  try {
    Deno.removeSync(dir, { recursive: true });
  } catch {
    // the dying server wrote a file in between: it stays in the temporary directory
  }
}

/**
 * Ports nobody has. Below the range from which systems take ports for outgoing connections: a reconnecting client could take
 * ours from there.
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

/** Where install.sh puts a program. */
export function binary(name: string): string {
  return `${cache()}/bin/${name}`;
}

/** Why a program of install.sh cannot run here, as `serverMissing()` says it. */
export function binaryMissing(title: string, name: string): string | undefined {
  return serverMissing(title, ["sh"]) ??
    (exists(binary(name)) ? undefined : `${title} tests need ${name}: run sh tests/servers/install.sh`);
}

/**
 * Why a server that needs these commands cannot run here, in one sentence with the command that helps; undefined when it can.
 * Never prompts, so that a bare `deno test` ignores the tests and says why.
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
  return refused && `${title} tests need --allow-${refused.name}: run it by deno task test`;
}

/** Where install.sh keeps all it brings. */
export function cache(): string {
  return Deno.env.get("CACHE") ?? `${Deno.env.get("HOME")}/.cache/crypto-data-streaming`;
}

/** Whether there is a file or folder. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/** Whether we may, without a question. */
export function granted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}

/** Between two looks at something that takes its time. */
export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
