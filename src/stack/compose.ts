// What Compose says, understood: which files, which services, and how each of them is. Pure.

/** The oldest version that knows all that our files use (`!override`, `env_file` that is not required). */
export const OLDEST_COMPOSE = "2.24.4";

/** Which forms of the stack are wanted. */
export interface Forms {
  /** ZooKeeper in the place of KRaft. */
  readonly zookeeper: boolean;
  /** Three brokers and two Telegrafs. */
  readonly cluster: boolean;
  /** The Coinbase simulator instead of the real exchange. */
  readonly demo: boolean;
}

/** Every service there can be: for tasks that do not ask which form runs. */
export const ALL_FORMS: Forms = { zookeeper: true, cluster: true, demo: true };

/** Arguments for `docker` that name the files. */
export function composeArgs({ zookeeper, cluster, demo }: Forms): string[] {
  const files = ["docker-compose.yml"];
  if (zookeeper) files.push("docker-compose.zookeeper.yml");
  if (cluster) files.push("docker-compose.cluster.yml");
  if (demo) files.push("docker-compose.demo.yml");
  return ["compose", ...files.flatMap((file) => ["--file", file])];
}

/** Whether a version such as `v2.29.1-desktop.1` is that one or a later one. */
export function isAtLeast(version: string, oldest: string): boolean {
  const numbers = (text: string) => text.trim().replace(/^v/, "").split(/[.+-]/, 3).map((part) => Number(part) || 0);
  const [have, want] = [numbers(version), numbers(oldest)];
  for (let i = 0; i < 3; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** A service of the merged files. */
export interface Service {
  /** Its name. */
  readonly name: string;
  /** What it runs. */
  readonly image: string;
  /** Whether the image is made here. */
  readonly built: boolean;
  /** Runs to its end at each start, instead of for ever. */
  readonly oneShot: boolean;
  /** Whether Docker asks it how it is. */
  readonly hasHealthCheck: boolean;
  /** Ports of this computer that lead to it. */
  readonly ports: readonly number[];
}

/** The project as `docker compose config --format json` prints it. */
export interface Project {
  /** Before the names of its volumes and networks. */
  readonly name: string;
  /** In the order of the files. */
  readonly services: readonly Service[];
}

interface ServiceJson {
  image?: string;
  build?: unknown;
  restart?: string;
  healthcheck?: { disable?: boolean };
  ports?: { published?: string | number }[];
}

/** Reads the output of `docker compose config --format json`. */
export function parseProject(json: string): Project {
  const { name, services } = JSON.parse(json) as { name: string; services: Record<string, ServiceJson> };
  return {
    name,
    services: Object.entries(services).map(([name, service]) => ({
      name,
      image: service.image ?? "",
      built: service.build !== undefined && service.build !== null,
      oneShot: service.restart === "no",
      hasHealthCheck: service.healthcheck !== undefined && service.healthcheck.disable !== true,
      ports: (service.ports ?? []).map(({ published }) => Number(published)).filter((port) => port > 0),
    })),
  };
}

/** The images that come from a registry. The one that is built here may be used by a second service, too. */
export function fetchedImages({ services }: Project): string[] {
  const built = services.filter((service) => service.built).map(({ image }) => image);
  return [...new Set(services.map(({ image }) => image))].filter((image) => !built.includes(image));
}

/** A container as `docker compose ps --all --format json` prints it. */
export interface Container {
  /** Whose it is. */
  readonly service: string;
  /** `created`, `running`, `restarting`, `exited`, `paused` or `dead`. */
  readonly state: string;
  /** `starting`, `healthy`, `unhealthy`, or nothing where Docker does not ask. */
  readonly health: string;
  /** Of the last end. */
  readonly exitCode: number;
  /** For people: `Up 2 minutes (healthy)`. */
  readonly status: string;
}

interface ContainerJson {
  Service: string;
  State: string;
  Health?: string;
  ExitCode?: number;
  Status?: string;
}

/** Reads the output of `docker compose ps --all --format json`: a container a line, or all of them as one array. */
export function parseContainers(output: string): Container[] {
  const text = output.trim();
  const found: ContainerJson[] = text.startsWith("[")
    ? JSON.parse(text)
    : text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return found.map(({ Service, State, Health = "", ExitCode = 0, Status = State }) => (
    { service: Service, state: State, health: Health, exitCode: ExitCode, status: Status }
  ));
}

/** How a service is. */
export type Condition =
  | { readonly is: "ready"; readonly as: "healthy" | "running" | "done" }
  /** Not yet; it may still become ready. */
  | { readonly is: "waiting"; readonly as: string }
  /** It will not become ready by waiting. */
  | { readonly is: "failed"; readonly as: string };

/** How the service is, of which that is the container, if there is one. */
export function conditionOf(service: Service, container: Container | undefined): Condition {
  if (container === undefined) return { is: "waiting", as: "not created" };
  const { state, health, exitCode } = container;
  if (state === "exited" || state === "dead") {
    if (service.oneShot && exitCode === 0) return { is: "ready", as: "done" };
    return { is: "failed", as: `ended with exit code ${exitCode}` };
  }
  if (service.oneShot) return { is: "waiting", as: state };
  if (state !== "running") return { is: "waiting", as: state };
  if (!service.hasHealthCheck) return { is: "ready", as: "running" };
  if (health === "healthy") return { is: "ready", as: "healthy" };
  if (health === "unhealthy") return { is: "failed", as: "unhealthy" };
  return { is: "waiting", as: health === "" ? state : health };
}

/**
 * Which services `docker compose up` names as the reason of its failure, and what it says of each:
 * `dependency failed to start: container x-broker-1 is unhealthy`,
 * `service "init-kafka" didn't complete successfully: exit 1`.
 */
export function namedBy(stderr: string, { name: project, services }: Project): Map<string, string> {
  const named = new Map<string, string>();
  for (const { name } of services) {
    // older versions of Compose have _ between the parts
    const container = `${project}[-_]${name}[-_]\\d+`.replaceAll(".", "\\.");
    const found = new RegExp(`\\bcontainer ${container} (?:is )?(unhealthy|exited \\(\\d+\\))`).exec(stderr) ??
      new RegExp(`\\bservice "${name}" did(?:n't| not) complete successfully: (exit \\d+)`).exec(stderr);
    if (found?.[1] !== undefined) named.set(name, found[1]);
  }
  return named;
}
