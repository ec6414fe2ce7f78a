// What tests of the store need of the machine.

/** Why tests with files cannot run here; undefined: they can. */
export function filesSkipped(): string | undefined {
  const may = (name: "read" | "write") => Deno.permissions.querySync({ name }).state === "granted";
  return may("read") && may("write") ? undefined : "needs --allow-read and --allow-write";
}

/** A folder that goes with the test. */
export interface Folder extends AsyncDisposable {
  /** Where it is. */
  readonly path: string;
}

/** Makes one. */
export async function temporaryFolder(): Promise<Folder> {
  const path = await Deno.makeTempDir({ prefix: "store-test-" });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true });
    },
  };
}

/** What lies in it, in order. */
export async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  return names.sort();
}

/** Why tests with programs of their own cannot run here; undefined: they can. */
export function childSkipped(): string | undefined {
  const may = Deno.permissions.querySync({ name: "run", command: Deno.execPath() }).state === "granted";
  return filesSkipped() ?? (may ? undefined : "needs --allow-run");
}

/** A program around a store: see child.ts. */
export interface Child extends AsyncDisposable {
  /** The next line that it says; undefined at its end. */
  line(): Promise<string | undefined>;
  /** All that it has said and is still to say. */
  rest(): Promise<string[]>;
  /** kill -9. */
  kill(): void;
}

const CHILD = new URL("child.ts", import.meta.url).pathname;

/**
 * Starts one.
 *
 * @param before a command that runs it: `setpriv` and its options
 */
export function startChild(args: readonly string[], before: readonly string[] = []): Child {
  const permissions = ["--allow-read", "--allow-write"];
  const [command = "", ...own] = [
    ...before,
    Deno.execPath(),
    "run",
    "--quiet",
    "--no-prompt",
    ...permissions,
    CHILD,
    ...args,
  ];
  const child = new Deno.Command(command, { args: own, stdin: "null", stdout: "piped", stderr: "inherit" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async () => {
    while (true) {
      const end = text.indexOf("\n");
      if (end >= 0) {
        const found = text.slice(0, end);
        text = text.slice(end + 1);
        return found;
      }
      const { done, value } = await reader.read();
      if (done) return undefined;
      text += value;
    }
  };
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // it has ended
    }
  };
  return {
    line,
    kill,
    async rest() {
      const lines: string[] = [];
      for (let each = await line(); each !== undefined; each = await line()) lines.push(each);
      // its output ends before the process has ended and its locks are free
      await child.status;
      return lines;
    },
    async [Symbol.asyncDispose]() {
      kill();
      await reader.cancel().catch(() => {});
      await child.status;
    },
  };
}
