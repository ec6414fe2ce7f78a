// The `docker` program: the only door of these tasks to Docker.

import { ConfigError } from "../core/errors.ts";

/** What a command did. */
export interface Ran {
  /** Its exit code. */
  readonly code: number;
  /** What it wrote to stdout. */
  readonly stdout: string;
  /** What it wrote to stderr. */
  readonly stderr: string;
}

/** Runs `docker` in a folder. */
export class Docker {
  readonly #dir: string;
  readonly #env: Readonly<Record<string, string>>;

  /** Its `env` comes besides the environment of this process, and is stronger. */
  constructor(dir: string, env: Readonly<Record<string, string>> = {}) {
    this.#dir = dir;
    this.#env = env;
  }

  /** Runs it to its end. Throws a `ConfigError` where there is no such program. */
  async run(args: readonly string[]): Promise<Ran> {
    const { code, stdout, stderr } = await this.#spawn(args, "piped", (command) => command.output());
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Runs it on the terminal of this process: the person sees what it prints, and can end it. Gives its exit code. */
  async show(args: readonly string[]): Promise<number> {
    const { code } = await this.#spawn(args, "inherit", (command) => command.spawn().status);
    return code;
  }

  async #spawn<T>(
    args: readonly string[],
    output: "piped" | "inherit",
    start: (command: Deno.Command) => Promise<T>,
  ): Promise<T> {
    const stdin = output === "piped" ? "null" : "inherit";
    const options = { args: [...args], cwd: this.#dir, env: { ...this.#env }, stdin, stdout: output, stderr: output };
    try {
      return await start(new Deno.Command("docker", options as Deno.CommandOptions));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new ConfigError([
        "Cannot find the program docker as it must be installed and on the PATH: see https://docs.docker.com/get-docker/ " +
        "(without it, `deno task dev` shows live prices)",
      ]);
    }
  }
}

/** The last lines of a text that say something. */
export function lastLines(text: string, count: number): string {
  return text.split("\n").map((line) => line.trimEnd()).filter((line) => line !== "").slice(-count).join("\n");
}
