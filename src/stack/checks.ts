// What must be so before anything is started. Each refusal is one sentence that says what to do.

import { ConfigError } from "../core/errors.ts";
import { fetchedImages, isAtLeast, OLDEST_COMPOSE, type Project } from "./compose.ts";
import { type Docker, lastLines } from "./docker.ts";

/** Memory that Docker must have, bytes: what the five services use under load, and a little for the computer. */
const MIN_MEMORY = 1.9e9;
/** And each further broker, bytes. */
const BROKER_MEMORY = 0.5e9;
/** Space on Docker's disk, bytes: for the images, where they must still be fetched, or else for data alone. */
const MIN_DISK_WITH_IMAGES = 4e9;
const MIN_DISK = 1e9;

/** Where another port can be asked for. */
const PORT_SETTINGS: Readonly<Record<string, string>> = {
  "broker": "KAFKA_PORT",
  "broker-2": "KAFKA_PORT_2",
  "broker-3": "KAFKA_PORT_3",
  "coinbase-producer": "PRODUCER_PORT",
  "influxdb": "INFLUX_PORT",
  "grafana": "GRAFANA_PORT",
  "zookeeper": "ZOOKEEPER_PORT",
  "coinbase-simulator": "SIMULATOR_PORT",
};

/** What the checks ask of this computer. */
export interface Computer {
  /** Whether a program could listen there on 127.0.0.1. */
  isPortFree(port: number): boolean;
  /** Bytes; undefined: it cannot be told, for example since Docker's disk is inside a virtual machine. */
  freeSpace(path: string): Promise<number | undefined>;
}

/** Throws a `ConfigError` unless Docker's engine answers and its Compose is new enough. */
export async function checkDocker(docker: Docker): Promise<void> {
  const problems: string[] = [];
  const engine = await docker.run(["version", "--format", "{{.Server.Version}}"]);
  if (engine.code !== 0) {
    problems.push(
      /permission denied/i.test(engine.stderr)
        ? "Cannot use Docker as your user must be allowed to: `sudo usermod -aG docker $USER`, then log in again"
        : "Cannot use Docker as its engine must run: start Docker Desktop, or `sudo systemctl start docker` " +
          `(docker says: ${lastLines(engine.stderr, 1)})`,
    );
  }
  const compose = await docker.run(["compose", "version", "--short"]);
  if (compose.code !== 0 || !isAtLeast(compose.stdout, OLDEST_COMPOSE)) {
    const current = compose.code === 0 ? compose.stdout.trim() : "none";
    problems.push(
      `Cannot use \`docker compose\` as it must be version ${OLDEST_COMPOSE} or newer: current version is ${current}; ` +
        "see https://docs.docker.com/compose/install/ (`docker-compose` with a hyphen is version 1, which is no longer " +
        "developed and cannot read our files)",
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Throws a `ConfigError` where memory, disk or a port is wanting. Services in `running` hold their own ports. */
export async function checkRoom(
  docker: Docker,
  computer: Computer,
  project: Project,
  running: ReadonlySet<string>,
): Promise<void> {
  const problems: string[] = [];
  const info = await docker.run(["info", "--format", "{{.MemTotal}} {{.DockerRootDir}}"]);
  const [, memory = "", folder = ""] = /^(\d+) (.*)$/.exec(info.stdout.trim()) ?? [];
  const brokers = project.services.filter(({ name }) => /^broker-\d+$/.test(name)).length;
  const wantedMemory = MIN_MEMORY + brokers * BROKER_MEMORY;
  if (memory !== "" && Number(memory) < wantedMemory) {
    problems.push(
      `Cannot start as Docker must have ${gigabytes(wantedMemory)} of memory: it has ${gigabytes(Number(memory))}; ` +
        "in Docker Desktop see Settings, Resources",
    );
  }

  const images = await docker.run(["image", "inspect", "--format", "{{.Id}}", ...fetchedImages(project)]);
  const wanted = images.code === 0 ? MIN_DISK : MIN_DISK_WITH_IMAGES;
  const free = folder === "" ? undefined : await computer.freeSpace(folder);
  if (free !== undefined && free < wanted) {
    problems.push(
      `Cannot start as ${folder} must have ${gigabytes(wanted)} of free disk: it has ${gigabytes(free)}; ` +
        "`docker system df` shows what Docker holds, `docker system prune` deletes what it does not use",
    );
  }

  for (const { name, ports } of project.services) {
    if (running.has(name)) continue;
    for (const port of ports) {
      if (computer.isPortFree(port)) continue;
      const setting = PORT_SETTINGS[name];
      problems.push(
        `Cannot use port ${port} for ${name} as it must be free: another program has it; end that one` +
          (setting === undefined ? "" : `, or choose another port by ${setting} (in the environment or in .env)`),
      );
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
}
