/**
 * A fake `docker` program: a shell script that records each call and answers as the test says. So the tasks are tested
 * together with the way they start programs and read their output.
 */
import { systemClock } from "../../src/core/clock.ts";
import { Docker } from "../../src/stack/docker.ts";
import { SECRET_FILES } from "../../src/stack/secrets.ts";
import type { Context } from "../../src/stack/up.ts";

/** A call without its options: the first word, or `compose` and the next word. */
export type Call =
  | "version"
  | "info"
  | "image"
  | "volume"
  | `compose ${"version" | "config" | "ps" | "build" | "pull" | "up" | "exec" | "logs" | "down"}`;

/** Shell commands by call. Of a list, each call runs the next one; the last one is repeated. */
export type Answers = Partial<Record<Call, string | readonly string[]>>;

const SCRIPT = `#!/bin/bash
here=\${0%/*}
echo "$*" >> "$here/calls"
words=()
while (($#)); do
  case $1 in --file) shift ;; --*) ;; *) words+=("$1") ;; esac
  shift
done
key=\${words[0]}
[[ $key != compose ]] || key=compose_\${words[1]}
count=$(($(cat "$here/$key.count" 2> /dev/null || echo 0) + 1))
echo "$count" > "$here/$key.count"
while ((count > 0)); do
  if [[ -f "$here/$key.$count" ]]; then
    . "$here/$key.$count"
    exit
  fi
  count=$((count - 1))
done
echo "the fake docker knows no $key" >&2
exit 99
`;

/** Shell commands that print this and succeed. */
export function prints(text: string): string {
  return `cat <<'END_OF_ANSWER'\n${text}\nEND_OF_ANSWER\n`;
}

/** A service as `docker compose config --format json` shows it. */
export function serviceJson(ports: readonly number[] = [], oneShot = false): Record<string, unknown> {
  return {
    image: "some/image:1.2.3",
    restart: oneShot ? "no" : "unless-stopped",
    ports: ports.map((port) => ({ host_ip: "127.0.0.1", published: String(port), target: 1 })),
  };
}

/** A line of `docker compose ps --all --format json`. */
export function containerJson(service: string, state: string, health = "", exitCode = 0): string {
  return JSON.stringify({
    Service: service,
    State: state,
    Health: health,
    ExitCode: exitCode,
    Status: `Up (${health})`,
  });
}

/** Shell commands that run until `docker compose ps` was called this many times. */
export function untilLooks(count: number): string {
  return `until [[ $(cat "$here/compose_ps.count") -ge ${count} ]]; do sleep 0.01; done`;
}

/** Three services that start at once. */
export const WELL: Answers = {
  "version": prints("28.2.2"),
  "info": prints("8000000000 /var/lib/docker"),
  "image": "",
  "volume": "exit 1",
  "compose version": prints("2.29.1"),
  "compose config": prints(JSON.stringify({
    name: "crypto-data-streaming",
    services: { "broker": serviceJson(), "init-kafka": serviceJson([], true), "grafana": serviceJson() },
  })),
  "compose ps": [
    "",
    prints(
      [
        containerJson("broker", "running", "healthy"),
        containerJson("init-kafka", "exited"),
        containerJson("grafana", "running", "healthy"),
      ].join("\n"),
    ),
  ],
  "compose build": "",
  "compose pull": "",
  "compose up": "",
  "compose logs": prints("a line\nanother line"),
  "compose down": "",
};

/** A folder with a fake `docker` and the examples of the secrets, and the context for tasks that run there. */
export class FakeStack implements AsyncDisposable {
  /** The lines that were printed. */
  readonly printed: string[] = [];
  /** The project's folder. */
  readonly dir: string;
  /** For the tasks: ports are free, there is no terminal, and time passes only while a task sleeps. */
  readonly context: Context;
  readonly #bin: string;

  private constructor(dir: string, bin: string, changes: Partial<Context>) {
    this.dir = dir;
    this.#bin = bin;
    let elapsed = 0;
    this.context = {
      dir,
      docker: new Docker(dir, { PATH: `${bin}:${Deno.env.get("PATH")}` }),
      // however long a busy machine takes to run `docker`, a wait of 20 s is ten looks
      clock: {
        now: () => Date.now(),
        elapsed: () => elapsed,
        sleep(ms, signal) {
          elapsed += ms;
          return systemClock.sleep(ms / 100, signal);
        },
      },
      computer: { isPortFree: () => true, freeSpace: () => Promise.resolve(undefined) },
      print: (line) => this.printed.push(line),
      prompt: undefined,
      startTimeoutMs: 600_000,
      ...changes,
    };
  }

  /** Answers that are not given come from `WELL`. */
  static async make(answers: Answers = {}, changes: Partial<Context> = {}): Promise<FakeStack> {
    const dir = await Deno.makeTempDir({ prefix: "stack-" });
    const bin = `${dir}/bin`;
    await Deno.mkdir(bin);
    await Deno.writeTextFile(`${bin}/docker`, SCRIPT, { mode: 0o755 });
    for (const [call, answer] of Object.entries({ ...WELL, ...answers })) {
      const list = typeof answer === "string" ? [answer] : answer;
      for (const [i, each] of list.entries()) {
        await Deno.writeTextFile(`${bin}/${call.replace(" ", "_")}.${i + 1}`, each);
      }
    }
    for (const { name } of SECRET_FILES) await Deno.copyFile(`${name}-example`, `${dir}/${name}-example`);
    return new FakeStack(dir, bin, changes);
  }

  /** Everything that was printed. */
  get text(): string {
    return this.printed.join("\n");
  }

  /** The calls of `docker`, in order. */
  async calls(): Promise<string[]> {
    const text = await Deno.readTextFile(`${this.#bin}/calls`).catch(() => "");
    return text.trim().split("\n");
  }

  /** Removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}
