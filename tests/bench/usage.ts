// What processes use, by the kernel's own figures: Linux's /proc, read by a shell, since Deno lets nothing but -A read there.

/** So far, of a process and all its threads. */
export interface Usage {
  /** Seconds of one core, in user and kernel. */
  readonly cpu: number;
  /** Resident memory, MB. */
  readonly mb: number;
  /** The most of it that there ever was, MB. */
  readonly peakMb: number;
  /** With its share of what several processes have in common, MB. */
  readonly sharedMb: number;
  /** CPU seconds by thread, its name and id. */
  readonly threads: ReadonlyMap<string, number>;
}

/** Why nothing can be read here, in one sentence; undefined when it can. */
export function usageMissing(): string | undefined {
  return Deno.build.os === "linux" ? undefined : "it reads CPU time and memory from /proc, which only Linux has";
}

const SCRIPT = `getconf CLK_TCK; cat /proc/$0/stat /proc/$0/task/*/stat /proc/$0/status /proc/$0/smaps_rollup`;

/** Reads what a process has used so far; throws when there is none of this id. */
export async function usageOf(pid: number): Promise<Usage> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", SCRIPT, String(pid)], stderr: "null" }).output();
  const text = new TextDecoder().decode(stdout);
  const perSecond = Number(text.slice(0, text.indexOf("\n")));
  // the name, in brackets, may hold anything; user and kernel time stand eleven fields after it
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

/** How a process was started, its arguments separated by spaces. */
export async function commandOf(pid: number): Promise<string> {
  const args = ["-c", "tr '\\0' ' ' < /proc/$0/cmdline", String(pid)];
  const { stdout } = await new Deno.Command("sh", { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** A process's resident memory, ten times a second, until it is disposed of. */
export class MemoryWatch implements AsyncDisposable {
  /** Since the last {@link take}, MB. */
  #samples: number[] = [];
  readonly #reader: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  /** Of this process; ends by itself when that is gone. */
  constructor(pid: number) {
    // one shell for all of it, as a new process for each look would be work that is measured too
    const script = "while read -r _ pages _ < /proc/$0/statm; do echo $((pages * $1)); sleep 0.1; done";
    this.#reader = new Deno.Command("sh", {
      args: ["-c", `set -- $(getconf PAGESIZE); ${script}`, String(pid)],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#reading = this.#read();
  }

  /** The most since it was asked last, MB. */
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
