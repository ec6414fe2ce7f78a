// What must be true before the stack is started, and whether prices arrive afterwards. Problems say what to do.

import { ConfigError, reasonOf } from "../core/errors.ts";
import { type Compose, isAtLeast, OLDEST_COMPOSE, type Project } from "./compose.ts";
import { type Docker, lastLines } from "./docker.ts";

/** Memory that Docker needs, bytes: what the five services use under load, and some for the computer. */
const MIN_MEMORY = 1.9e9;
/** For each broker after the first, bytes. */
const BROKER_MEMORY = 0.5e9;
/** Free space on Docker's disk, bytes: for images that must still be downloaded, or for data only. */
const MIN_DISK_WITH_IMAGES = 4e9;
const MIN_DISK = 1e9;

/** The settings that choose another port. */
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

/** What the checks need to know about this computer. */
export interface Computer {
  /** Whether a program can listen on 127.0.0.1 at that port. */
  isPortFree(port: number): boolean;
  /** Bytes; undefined if unknown, for example because Docker's disk is inside a virtual machine. */
  freeSpace(path: string): Promise<number | undefined>;
}

/** Throws a `ConfigError` unless Docker's engine answers and Compose is recent enough. */
export async function checkDocker(docker: Docker): Promise<void> {
  const problems: string[] = [];
  const engine = await docker.run(["version", "--format", "{{.Server.Version}}"]);
  if (engine.code !== 0) {
    problems.push(
      /permission denied/i.test(engine.stderr)
        ? "Cannot use Docker: your user has no permission. Run `sudo usermod -aG docker $USER`, then log in again"
        : `Cannot use Docker: its engine does not answer (${
          lastLines(engine.stderr, 1)
        }). Start Docker Desktop, or run ` +
          "`sudo systemctl start docker`",
    );
  }
  const compose = await docker.run(["compose", "version", "--short"]);
  if (compose.code !== 0 || !isAtLeast(compose.stdout, OLDEST_COMPOSE)) {
    const found = compose.code === 0 ? compose.stdout.trim() : "none";
    problems.push(
      `Cannot use \`docker compose\`: expected version ${OLDEST_COMPOSE} or newer, got ${found}. See ` +
        "https://docs.docker.com/compose/install/ (`docker-compose` with a hyphen is version 1, which is no longer " +
        "developed and cannot read these files)",
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Throws a `ConfigError` if memory, disk or a port is missing. Running services use their own ports. */
export async function checkResources(
  docker: Docker,
  computer: Computer,
  { services }: Project,
  running: ReadonlySet<string>,
): Promise<void> {
  const problems: string[] = [];
  const info = await docker.run(["info", "--format", "{{.MemTotal}} {{.DockerRootDir}}"]);
  const [, memory = "", folder = ""] = /^(\d+) (.*)$/.exec(info.stdout.trim()) ?? [];
  const brokers = Object.keys(services).filter((name) => /^broker-\d+$/.test(name)).length;
  const neededMemory = MIN_MEMORY + brokers * BROKER_MEMORY;
  if (memory !== "" && Number(memory) < neededMemory) {
    problems.push(
      `Cannot start: Docker needs ${gigabytes(neededMemory)} of memory and has ${
        gigabytes(Number(memory))
      }. In Docker ` +
        "Desktop see Settings, Resources",
    );
  }

  const images = Object.values(services);
  // the image that is built here is also used by the simulator
  const built = new Set(images.filter(({ build }) => build).map(({ image }) => image));
  const downloaded = new Set(images.map(({ image }) => image)).difference(built);
  const present = await docker.run(["image", "inspect", "--format", "{{.Id}}", ...downloaded]);
  const needed = present.code === 0 ? MIN_DISK : MIN_DISK_WITH_IMAGES;
  const free = folder === "" ? undefined : await computer.freeSpace(folder);
  if (free !== undefined && free < needed) {
    problems.push(
      `Cannot start: the disk of ${folder} needs ${gigabytes(needed)} free and has ${gigabytes(free)}. ` +
        "`docker system df` shows what Docker uses, `docker system prune` deletes what is no longer needed",
    );
  }

  for (const [name, { ports = [] }] of Object.entries(services)) {
    if (running.has(name)) continue;
    for (const { published: port } of ports) {
      if (computer.isPortFree(Number(port))) continue;
      const setting = PORT_SETTINGS[name];
      problems.push(
        `Cannot use port ${port} for ${name}: another program uses it. Stop that program` +
          (setting === undefined ? "" : `, or set ${setting} to another port (in the environment or in .env)`),
      );
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

/** Its container stays healthy while the exchange is away, so health alone does not mean that prices arrive. */
export const PRODUCER = "coinbase-producer";
/** Prints /readyz. Runs inside the container, which needs no published port and bypasses any proxy. */
const FETCH_READYZ =
  "console.log(await (await fetch('http://127.0.0.1:8000/readyz', { signal: AbortSignal.timeout(5000) })).text())";

/** Why the producer delivers no prices, in its own words; empty if it does, or if this stack has no producer. */
export async function whyNoPrices(compose: Compose, { services }: Project): Promise<string[]> {
  if (!(PRODUCER in services)) return [];
  const { code, stdout, stderr } = await compose.run(["exec", "--no-TTY", PRODUCER, "deno", "eval", FETCH_READYZ]);
  try {
    if (code !== 0) throw new Error(lastLines(stderr, 1));
    return (JSON.parse(stdout) as { reasons: string[] }).reasons;
  } catch (error) {
    return [`/readyz does not answer: ${reasonOf(error)}`];
  }
}
