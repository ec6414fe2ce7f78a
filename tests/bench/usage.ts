// CPU and memory of processes from Linux's /proc, read by a shell, because Deno reads /proc with -A only.

/** What a process and its threads have used so far. */
export interface Usage {
  /** CPU seconds, user and kernel. */
  readonly cpu: number;
  /** Resident memory, MB. */
  readonly mb: number;
  /** Peak of the resident memory, MB. */
  readonly peakMb: number;
  /** Proportional set size: shared pages are divided among their processes, MB. */
  readonly sharedMb: number;
  /** CPU seconds by name and id of the thread. */
  readonly threads: ReadonlyMap<string, number>;
}

/** Why nothing can be measured here, in one sentence; undefined if it can. */
export function usageMissing(): string | undefined {
  return Deno.build.os === "linux" ? undefined : "it reads CPU time and memory from /proc, which only Linux has";
}

const SCRIPT = `getconf CLK_TCK; cat /proc/$0/stat /proc/$0/task/*/stat /proc/$0/status /proc/$0/smaps_rollup`;

/** Throws if the process does not exist. */
export async function usageOf(pid: number): Promise<Usage> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", SCRIPT, String(pid)], stderr: "null" }).output();
  const text = new TextDecoder().decode(stdout);
  const perSecond = Number(text.slice(0, text.indexOf("\n")));
  // the name in brackets may contain anything; user and kernel time are eleven fields after it
  const [all, ...threads] = [...text.matchAll(/^(\d+) \((.*)\) [A-Z] (.*)$/gm)].map(([, id, name, rest = ""]) => {
    const fields = rest.split(" ");
    return [`${name} ${id}`, (Number(fields[10]) + Number(fields[11])) / perSecond] as const;
  });
  if (all === undefined) throw new Error(`No process ${pid}`);
  const mb = (field: string) =>
    Number(new RegExp(`^${field}: +(\\d+) kB`, "m").exec(text.replaceAll("\t", " "))?.[1]) / 1024;
  return {
    cpu: all[1],
    mb: mb("VmRSS"),
    peakMb: mb("VmHWM"),
    sharedMb: mb("Pss"),
    threads: new Map(threads),
  };
}

/** The command line of a process, its arguments separated by spaces. */
export async function commandOf(pid: number): Promise<string> {
  const args = ["-c", "tr '\\0' ' ' < /proc/$0/cmdline", String(pid)];
  const { stdout } = await new Deno.Command("sh", { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** Samples the resident memory of a process ten times a second, until it is disposed of. */
export class MemoryWatch implements AsyncDisposable {
  /** MB, since the last {@link take}. */
  #samples: number[] = [];
  readonly #reader: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  /** Ends when the process ends. */
  constructor(pid: number) {
    // a single shell, because a new process for each sample would be work that is measured as well
    const script = "while read -r _ pages _ < /proc/$0/statm; do echo $((pages * $1)); sleep 0.1; done";
    this.#reader = new Deno.Command("sh", {
      args: ["-c", `set -- $(getconf PAGESIZE); ${script}`, String(pid)],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#reading = this.#read();
  }

  /** The maximum since the last call, MB. */
  take(): number {
    const most = Math.max(...this.#samples);
    this.#samples = [];
    return most;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#reader.kill();
    } catch (error) {
      // it has ended already
      if (!(error instanceof TypeError)) throw error;
    }
    await Promise.all([this.#reader.status, this.#reading]);
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const chunk of this.#reader.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      this.#samples.push(...lines.map((line) => Number(line) / 2 ** 20));
    }
  }
}
