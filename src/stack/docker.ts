// Runs the `docker` program.

import { ConfigError } from "../core/errors.ts";

/** The result of a command. */
export interface Result {
  /** The exit code; 143 after SIGTERM. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `docker` in a folder. */
export class Docker {
  readonly #dir: string;
  readonly #env: Readonly<Record<string, string>>;

  /** `env` is added to the environment of this process and overrides it. */
  constructor(dir: string, env: Readonly<Record<string, string>> = {}) {
    this.#dir = dir;
    this.#env = env;
  }

  /** Returns the output. Aborting the signal sends SIGTERM. Throws a `ConfigError` if docker is not installed. */
  async run(args: readonly string[], signal?: AbortSignal): Promise<Result> {
    const command = this.#command(args, {
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...signal !== undefined && { signal },
    });
    const { code, stdout, stderr } = await orNotFound(() => command.output());
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Prints the output on our terminal and returns the exit code. */
  async show(args: readonly string[]): Promise<number> {
    const { code } = await orNotFound(() => this.#command(args, {}).spawn().status);
    return code;
  }

  #command(args: readonly string[], options: Deno.CommandOptions): Deno.Command {
    return new Deno.Command("docker", { args: [...args], cwd: this.#dir, env: { ...this.#env }, ...options });
  }
}

async function orNotFound<T>(start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConfigError([
      "Cannot find docker: it must be installed and on the PATH, see https://docs.docker.com/get-docker/ " +
      "(without it, `deno task dev` shows live prices)",
    ]);
  }
}

/** The last lines of a text, without empty ones. */
export function lastLines(text: string, count: number): string {
  return text.split("\n").map((line) => line.trimEnd()).filter((line) => line !== "").slice(-count).join("\n");
}
