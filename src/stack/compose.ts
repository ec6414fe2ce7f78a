// Docker Compose: which files make up the stack, and what Compose reports about its services and containers.

import { ConfigError } from "../core/errors.ts";
import { type Docker, lastLines, type Result } from "./docker.ts";

/** The oldest version that supports everything in our files (`!override`, an optional `env_file`). */
export const OLDEST_COMPOSE = "2.24.4";

/** The variants of the stack; each adds one file to docker-compose.yml. */
export interface Variants {
  /** ZooKeeper instead of KRaft. */
  readonly zookeeper: boolean;
  /** Three brokers and two Telegrafs. */
  readonly cluster: boolean;
  /** The Coinbase simulator instead of the real exchange. */
  readonly demo: boolean;
}

/** For tasks that must find every service, whichever variant runs. */
export const ALL_VARIANTS: Variants = { zookeeper: true, cluster: true, demo: true };

const NUMERIC = new Intl.Collator("en", { numeric: true });

/** Whether a version such as `v2.29.1-desktop.1` is `oldest` or newer. */
export function isAtLeast(version: string, oldest: string): boolean {
  const numbers = version.trim().replace(/^v/, "");
  return /^\d/.test(numbers) && NUMERIC.compare(numbers, oldest) >= 0;
}

/** A service of the merged files, as `docker compose config --format json` prints it. */
export interface Service {
  readonly image: string;
  /** Set if the image is built from this project. */
  readonly build?: unknown;
  /** `no`: it runs once at each start and ends. */
  readonly restart: string;
  /** Where it can be reached on 127.0.0.1. */
  readonly ports?: readonly { readonly published: string }[];
}

/** The merged files. */
export interface Project {
  /** The prefix of its containers, volumes and networks. */
  readonly name: string;
  readonly services: Readonly<Record<string, Service>>;
}

/** The container of a service, as `docker compose ps --all --format json` prints it. */
export interface Container {
  readonly Service: string;
  /** `created`, `running`, `restarting`, `exited`, `paused` or `dead`. */
  readonly State: string;
  /** `starting`, `healthy` or `unhealthy`; empty without a health check. */
  readonly Health: string;
  readonly ExitCode: number;
  /** For people: `Up 2 minutes (healthy)`. */
  readonly Status: string;
}

/** `docker compose` with the files of one variant. */
export class Compose {
  readonly #docker: Docker;
  readonly #files: readonly string[];

  constructor(docker: Docker, { zookeeper, cluster, demo }: Variants) {
    this.#docker = docker;
    const files = ["docker-compose.yml"];
    if (zookeeper) files.push("docker-compose.zookeeper.yml");
    if (cluster) files.push("docker-compose.cluster.yml");
    if (demo) files.push("docker-compose.demo.yml");
    this.#files = ["compose", ...files.flatMap((file) => ["--file", file])];
  }

  run(args: readonly string[], signal?: AbortSignal): Promise<Result> {
    return this.#docker.run([...this.#files, ...args], signal);
  }

  show(...args: readonly string[]): Promise<number> {
    return this.#docker.show([...this.#files, ...args]);
  }

  /** Throws a `ConfigError` if the files are invalid, for example because of a value in .env. */
  async project(): Promise<Project> {
    return JSON.parse(await this.#output("Cannot read the Compose files", "config", "--format", "json"));
  }

  /** The state of each service, in the order of the files. Throws a `ConfigError` if Docker does not answer. */
  async states({ services }: Project): Promise<ServiceState[]> {
    const lines = await this.#output("Cannot list the containers", "ps", "--all", "--format", "json");
    const containers: Container[] = lines.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
    return Object.entries(services).map(([name, service]) => {
      const container = containers.find(({ Service }) => Service === name);
      return { name, container, ...stateOf(service, container) };
    });
  }

  async #output(problem: string, ...args: readonly string[]): Promise<string> {
    const result = await this.run(args);
    if (result.code !== 0) throw refusal(problem, result);
    return result.stdout;
  }
}

/** An error that quotes Docker. */
export function refusal(problem: string, { stderr }: Result): ConfigError {
  return new ConfigError([`${problem}: ${lastLines(stderr, 3)}`]);
}

/** The state of a service. */
export interface ServiceState {
  readonly name: string;
  readonly container: Container | undefined;
  /** `failed`: waiting longer will not make it ready. */
  readonly is: "ready" | "waiting" | "failed";
  /** For people: `healthy`, `restarting`, `ended with exit code 3`. */
  readonly as: string;
}

/** The state of a service that has this container. */
export function stateOf(
  { restart }: Service,
  container: Container | undefined,
): Pick<ServiceState, "is" | "as"> {
  if (container === undefined) return { is: "waiting", as: "not created" };
  const { State: state, Health: health, ExitCode: exitCode } = container;
  const oneShot = restart === "no";
  if (state === "exited" || state === "dead") {
    if (oneShot && exitCode === 0) return { is: "ready", as: "done" };
    return { is: "failed", as: `ended with exit code ${exitCode}` };
  }
  if (state === "restarting") return { is: "failed", as: `restarting (exit code ${exitCode})` };
  if (oneShot || state !== "running") return { is: "waiting", as: state };
  if (health === "" || health === "healthy") return { is: "ready", as: health || state };
  return { is: health === "unhealthy" ? "failed" : "waiting", as: health };
}

/**
 * The services that `docker compose up` names as the reason for its failure, with what it says about each:
 * `dependency failed to start: container x-broker-1 is unhealthy`,
 * `service "init-kafka" didn't complete successfully: exit 1`.
 */
export function failuresNamedIn(stderr: string, { name: project, services }: Project): Map<string, string> {
  const named = new Map<string, string>();
  for (const name of Object.keys(services)) {
    // with `--compatibility` the parts are joined by _
    const container = `${project}[-_]${name}[-_]\\d+`.replaceAll(".", "\\.");
    const found = new RegExp(`\\bcontainer ${container} (?:is )?(unhealthy|exited \\(\\d+\\))`).exec(stderr) ??
      new RegExp(`\\bservice "${name}" did(?:n't| not) complete successfully: (exit \\d+)`).exec(stderr);
    if (found?.[1] !== undefined) named.set(name, found[1]);
  }
  return named;
}
