// The tasks: start everything and wait until it is well, stop it, show logs and state, delete the data.

import type { Clock } from "../core/clock.ts";
import { ConfigError, reasonOf } from "../core/errors.ts";
import { checkDocker, checkRoom, type Computer } from "./checks.ts";
import {
  ALL_FORMS,
  composeArgs,
  type Condition,
  conditionOf,
  type Container,
  type Forms,
  namedBy,
  parseContainers,
  parseProject,
  type Project,
  type Service,
} from "./compose.ts";
import { type Docker, lastLines, type Ran } from "./docker.ts";
import { makeSecrets, readSecrets, type Secrets, valueIn } from "./secrets.ts";

/** What the tasks work with. */
export interface Surroundings {
  /** The project's folder. */
  readonly dir: string;
  /** Runs there. */
  readonly docker: Docker;
  /** For waiting. */
  readonly clock: Clock;
  /** For the checks. */
  readonly computer: Computer;
  /** Writes a line for the person. */
  readonly tell: (line: string) => void;
  /** Asks the person; undefined where there is no terminal. */
  readonly ask: ((question: string) => string | null) | undefined;
  /** How long services may take to become healthy once all are started, ms. */
  readonly waitMs: number;
}

/** Between two looks at the services. */
const LOOK_MS = 1000;
/** While the start lasts, it is said so often that it does. */
const STILL_MS = 60_000;
/** So many looks in a row that find a service restarting mean: it does not get up. */
const RESTARTING_LOOKS = 5;
/** Lines of a failed service's log that are shown. */
const LOG_LINES = 20;
/** How long the producer may take from its start to its first price: a connection takes up to 10 s to fail, ms. */
const READY_MS = 15_000;
/** The service whose readiness is more than that it runs: its container stays healthy while the exchange is away. */
const PRODUCER = "coinbase-producer";
/** Prints the answer of its /readyz. Asked inside the container: that needs no port, and no proxy gets between. */
const ASK_READY =
  "console.log(await (await fetch('http://127.0.0.1:8000/readyz', { signal: AbortSignal.timeout(5000) })).text())";

const never = new AbortController().signal;

function failed(ran: Ran, wish: string): ConfigError {
  return new ConfigError([`${wish} (docker says: ${lastLines(ran.stderr, 3)})`]);
}

async function readProject(docker: Docker, files: readonly string[]): Promise<Project> {
  const ran = await docker.run([...files, "config", "--format", "json"]);
  if (ran.code !== 0) throw failed(ran, "Cannot read the Compose files as they must fit together with .env");
  return parseProject(ran.stdout);
}

async function readContainers(docker: Docker, files: readonly string[]): Promise<Container[]> {
  const ran = await docker.run([...files, "ps", "--all", "--format", "json"]);
  if (ran.code !== 0) throw failed(ran, "Cannot tell how the services are as `docker compose ps` must answer");
  return parseContainers(ran.stdout);
}

/** Why the producer brings no prices, in its own words; empty: it does, or this stack has none. */
async function notReady(docker: Docker, files: readonly string[], { services }: Project): Promise<string[]> {
  if (!services.some(({ name }) => name === PRODUCER)) return [];
  const ran = await docker.run([...files, "exec", "--no-TTY", PRODUCER, "deno", "eval", ASK_READY]);
  try {
    if (ran.code !== 0) throw new Error(lastLines(ran.stderr, 1));
    return (JSON.parse(ran.stdout) as { reasons: string[] }).reasons;
  } catch (error) {
    return [`/readyz gives no answer: ${reasonOf(error)}`];
  }
}

/** Tells of each service once when it is ready, and remembers how each was at the last look. */
class Progress {
  readonly conditions = new Map<string, Condition>();
  /** The containers at the last look. */
  containers: readonly Container[] = [];
  readonly project: Project;
  readonly #tell: (line: string) => void;
  readonly #told = new Set<string>();
  readonly #restarting = new Map<string, number>();
  readonly #restarted = new Set<string>();

  constructor(project: Project, tell: (line: string) => void) {
    this.project = project;
    this.#tell = tell;
  }

  /** How the services are now, `seconds` after the start. */
  look(containers: readonly Container[], seconds: number): void {
    this.containers = containers;
    for (const service of this.project.services) {
      const { name } = service;
      const container = containers.find((one) => one.service === name);
      let condition = conditionOf(service, container);
      const restarting = container?.state === "restarting" ? (this.#restarting.get(name) ?? 0) + 1 : 0;
      this.#restarting.set(name, restarting);
      if (restarting > 0) this.#restarted.add(name);
      if (restarting >= RESTARTING_LOOKS) condition = { is: "failed", as: "ends again and again" };
      this.conditions.set(name, condition);
      if (condition.is === "ready" && !this.#told.has(name)) {
        this.#told.add(name);
        this.#tell(`  ${name.padEnd(20)} ${condition.as} after ${seconds} s`);
      }
    }
  }

  /** The services that are in that state. */
  which(is: Condition["is"]): Service[] {
    return this.project.services.filter(({ name }) => this.conditions.get(name)?.is === is);
  }

  /**
   * Who is to blame for a start that failed, and what is known of each: those that Compose has `named`, and those that
   * were seen to restart, since between two restarts it looks as if all were well on the way.
   */
  blamed(named: ReadonlyMap<string, string>): Map<Service, string> {
    const blamed = new Map<Service, string>();
    for (const service of this.project.services) {
      const { name } = service;
      const condition = this.conditions.get(name);
      const ended = this.#restarted.has(name) && condition?.is === "waiting" ? "it ended" : undefined;
      const reason = named.get(name) ?? ended;
      if (reason !== undefined) blamed.set(service, `${reason}, now ${condition?.as ?? "unknown"},`);
    }
    return blamed;
  }
}

/**
 * `deno task stack`. Gives the exit code: 0 all is well, 1 a service is not. Throws a `ConfigError` when nothing was started.
 */
export async function up(forms: Forms, around: Surroundings): Promise<number> {
  const { dir, docker, clock, tell } = around;
  const files = composeArgs(forms);
  await checkDocker(docker);
  const project = await readProject(docker, files);
  const before = await readContainers(docker, files);
  const running = new Set(before.filter(({ state }) => state === "running").map(({ service }) => service));
  await checkRoom(docker, around.computer, project, running);

  for (const { name, volume, owner } of await makeSecrets(dir)) {
    tell(`Made ${name} with random secrets`);
    const { code } = await docker.run(["volume", "inspect", `${project.name}_${volume}`]);
    if (code === 0) {
      tell(
        `  but ${owner} has older data, and with it an older password, which still counts: docs/stack.md, ` +
          '"Changed passwords"',
      );
    }
  }

  const secrets = await readSecrets(dir);

  tell("Building the producer's image");
  if (await docker.show([...files, "build"]) !== 0) {
    throw new ConfigError([
      'Cannot build the producer\'s image, see above; behind a proxy: docs/stack.md, "Behind a proxy"',
    ]);
  }
  tell("Fetching the other images, where they are missing");
  if (await docker.show([...files, "pull", "--policy", "missing", "--ignore-buildable"]) !== 0) {
    throw new ConfigError([
      "Cannot fetch the images as the registry must be reachable, see above: run this again later",
    ]);
  }

  tell("Starting");
  const since = clock.elapsed();
  const seconds = () => Math.round((clock.elapsed() - since) / 1000);
  const progress = new Progress(project, tell);
  let started: Ran | undefined;
  const over = new AbortController();
  const starting = docker.run([...files, "up", "--detach", "--no-build", "--remove-orphans"]).then((ran) => {
    over.abort();
    return started = ran;
  });
  let deadline = Infinity;
  let saidAt = since;
  /** Why the last look failed. While containers are made, one may be gone when `ps` asks for it: the next look tells. */
  let blind: ConfigError | undefined;
  while (true) {
    // asked before the look, so that the last look comes after the end of `up`
    const isOver = started !== undefined;
    try {
      progress.look(await readContainers(docker, files), seconds());
      blind = undefined;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      blind = error;
    }
    if (isOver) {
      if (deadline === Infinity) deadline = clock.elapsed() + around.waitMs;
      if (started?.code !== 0 || progress.which("failed").length > 0) break;
      if (blind === undefined && progress.which("waiting").length === 0) break;
      if (clock.elapsed() >= deadline) break;
    } else if (clock.elapsed() - saidAt >= STILL_MS) {
      saidAt = clock.elapsed();
      const names = progress.which("waiting").map(({ name }) => name).join(", ");
      tell(`  still starting after ${seconds()} s${names === "" ? "" : `, not ready: ${names}`}`);
    }
    // the end of `up` cuts the wait short
    await clock.sleep(LOOK_MS, isOver ? never : over.signal).catch(() => {});
  }
  const ran = await starting;

  if (ran.code === 0 && blind === undefined && progress.which("ready").length === project.services.length) {
    let reasons = await notReady(docker, files, project);
    for (const end = clock.elapsed() + READY_MS; reasons.length > 0 && clock.elapsed() < end;) {
      await clock.sleep(LOOK_MS, never);
      reasons = await notReady(docker, files, project);
    }
    tell("");
    for (const line of welcome(forms, project, secrets, reasons, around)) tell(line);
    return reasons.length === 0 ? 0 : 1;
  }
  if (blind !== undefined) tell(blind.message);
  return await tellFailure(ran, progress, blind === undefined, seconds(), files, around);
}

async function tellFailure(
  ran: Ran,
  progress: Progress,
  /** Whether the last look told how the services are. */
  seen: boolean,
  seconds: number,
  files: readonly string[],
  { docker, tell }: Surroundings,
): Promise<number> {
  const named = namedBy(ran.stderr, progress.project);
  const guilty = new Map<Service, string>();
  // those that merely wait, wait for these
  for (const [service, reason] of ran.code === 0 ? [] : progress.blamed(named)) guilty.set(service, reason);
  const as = (service: Service) => progress.conditions.get(service.name)?.as ?? "unknown";
  for (const service of progress.which("failed")) guilty.set(service, as(service));
  // the start went through: those that still wait are to blame themselves
  if (ran.code === 0 && guilty.size === 0 && seen) {
    for (const service of progress.which("waiting")) guilty.set(service, as(service));
  }
  for (const [{ name, oneShot }, reason] of guilty) {
    const logs = await docker.run([...files, "logs", "--no-color", "--no-log-prefix", "--tail", `${LOG_LINES}`, name]);
    const wish = oneShot ? "succeed" : "become healthy";
    tell(`${name} did not ${wish}: ${reason} after ${seconds} s. The last lines of its log:`);
    const log = lastLines(logs.stdout + logs.stderr, LOG_LINES) || "(it is empty)";
    tell(log.split("\n").map((line) => `  | ${line}`).join("\n"));
  }
  if (ran.code !== 0) {
    const refused = failed(ran, "Cannot start all services as Docker refuses");
    const nothing = seen && progress.containers.every(({ state }) => state === "created");
    if (guilty.size === 0 && nothing) throw refused;
    // where Docker has named none, its words may tell more than the logs
    if (named.size === 0) tell(refused.message);
  }
  tell("What runs goes on: `deno task stack:status` shows it, `deno task stack:down` ends it.");
  return 1;
}

/** What a person wants to know when everything runs, and whether prices come. */
function welcome(
  forms: Forms,
  project: Project,
  secrets: Secrets,
  /** Why no prices come. */
  reasons: readonly string[],
  { ask }: Pick<Surroundings, "ask">,
): string[] {
  const port = (name: string) => project.services.find((service) => service.name === name)?.ports[0];
  const kafka = ["broker", "broker-2", "broker-3"].map(port).filter((found) => found !== undefined);
  const { "influxv2.env": influx, "grafana.env": grafana } = secrets;
  const user = valueIn(grafana, "GF_SECURITY_ADMIN_USER") ?? "admin";
  // where nobody looks on, the output is likely kept somewhere
  const password = ask === undefined ? "in grafana.env" : valueIn(grafana, "GF_SECURITY_ADMIN_PASSWORD");
  const lines = [
    ...reasons.length === 0 ? ["All is well."] : [
      `All services run, but no prices come: ${PRODUCER} says "${reasons.join("; ")}".`,
      `It keeps trying: \`deno task stack:logs ${PRODUCER}\` shows each attempt, docs/runbook.md says what to do.`,
      ...forms.demo
        ? []
        : ["If Coinbase cannot be reached from here, `deno task stack --demo` takes simulated prices instead."],
    ],
    "",
    `  Grafana    http://localhost:${port("grafana")}    user ${user}, password ${password}`,
    `  InfluxDB   http://localhost:${port("influxdb")}    user ${
      valueIn(influx, "DOCKER_INFLUXDB_INIT_USERNAME")
    }, password in influxv2.env`,
    `  Kafka      ${kafka.map((each) => `localhost:${each}`).join(",")}    topics ticker_batch and feed_gaps, no login`,
    `  producer   http://localhost:${port("coinbase-producer")}/api/status`,
  ];
  if (forms.demo) {
    lines.push(
      `  simulator  http://localhost:${port("coinbase-simulator")}/    made-up prices; its levers make faults`,
    );
  }
  return [
    ...lines,
    "",
    ...reasons.length > 0 ? [] : [
      "Look first at Grafana, Dashboards, Prices: the first points are there within seconds.",
      `Then watch a record pass: kcat -C -b localhost:${port("broker")} -t ticker_batch -o end`,
    ],
    forms.demo
      ? "It comes back after a reboot. To end it: deno task stack:down. With the real Coinbase: deno task stack"
      : "It comes back after a reboot. To end it, and keep the data: deno task stack:down",
  ];
}

/** `deno task stack:down`: ends everything, in whatever form it runs, and keeps the data. */
export async function down({ docker, tell }: Surroundings): Promise<number> {
  await checkDocker(docker);
  const code = await docker.show([...composeArgs(ALL_FORMS), "down", "--remove-orphans"]);
  if (code !== 0) return 1;
  tell("Ended. The data is kept: deno task stack goes on with it, deno task stack:reset deletes it.");
  return 0;
}

/** `deno task stack:logs [SERVICE]...`: what the services write, as it comes. */
export async function logs(services: readonly string[], { docker }: Surroundings): Promise<number> {
  await checkDocker(docker);
  const files = composeArgs(ALL_FORMS);
  const { services: known } = await readProject(docker, files);
  const unknown = services.filter((name) => !known.some((service) => service.name === name));
  if (unknown.length > 0) {
    const names = known.map(({ name }) => name).join(", ");
    throw new ConfigError([`Cannot show logs of "${unknown.join(" ")}" as the names must be among ${names}`]);
  }
  const code = await docker.show([...files, "logs", "--follow", "--tail", "100", ...services]);
  // 130: ended by Ctrl-C, as it should
  return code === 0 || code === 130 ? 0 : 1;
}

/** `deno task stack:status`: how each service is. Gives 0 when all that should run is well. */
export async function status({ docker, tell }: Surroundings): Promise<number> {
  await checkDocker(docker);
  const files = composeArgs(ALL_FORMS);
  const project = await readProject(docker, files);
  const basic = await readProject(docker, composeArgs({ zookeeper: false, cluster: false, demo: false }));
  const containers = await readContainers(docker, files);
  if (containers.length === 0) {
    tell("Nothing is started: deno task stack starts it.");
    return 1;
  }
  let well = true;
  for (const service of project.services) {
    const container = containers.find((one) => one.service === service.name);
    // what only the other forms have
    if (container === undefined && !basic.services.some(({ name }) => name === service.name)) continue;
    const condition = conditionOf(service, container);
    well &&= condition.is === "ready";
    const ports = service.ports.map((port) => `localhost:${port}`).join(" ");
    tell(
      `  ${service.name.padEnd(20)} ${condition.as.padEnd(12)} ${(container?.status ?? "").padEnd(28)} ${ports}`
        .trimEnd(),
    );
    if (service.name === PRODUCER && condition.is === "ready") {
      const reasons = await notReady(docker, files, project);
      if (reasons.length > 0) tell(`  ${"".padEnd(20)} but no prices come: ${reasons.join("; ")}`);
      well &&= reasons.length === 0;
    }
  }
  return well ? 0 : 1;
}

/** `deno task stack:reset`: ends everything and deletes all data, after asking. */
export async function reset(sure: boolean, { docker, ask, tell }: Surroundings): Promise<number> {
  if (!sure && ask === undefined) {
    throw new ConfigError([
      "Cannot delete the data as somebody must agree: there is no terminal to ask on, and no --yes",
    ]);
  }
  await checkDocker(docker);
  if (!sure) {
    tell(
      "This ends the stack and deletes all of its data: Kafka's topics, InfluxDB's points, Grafana's users and changes.",
    );
    tell("influxv2.env and grafana.env stay, and count again from the next start on.");
    if (ask?.('Type "delete" to go on:')?.trim() !== "delete") {
      tell("Nothing was deleted.");
      return 1;
    }
  }
  const code = await docker.show([...composeArgs(ALL_FORMS), "down", "--volumes", "--remove-orphans"]);
  if (code !== 0) return 1;
  tell("The data is deleted.");
  return 0;
}
