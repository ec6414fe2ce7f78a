// `deno task stack`: checks, secrets, images, then `docker compose up --wait`, which judges the services.

import type { Clock } from "../core/clock.ts";
import { ConfigError } from "../core/errors.ts";
import { checkDocker, checkResources, type Computer, PRODUCER, whyNoPrices } from "./checks.ts";
import { Compose, failuresNamedIn, type Project, refusal, type Variants } from "./compose.ts";
import { type Docker, lastLines, type Result } from "./docker.ts";
import { makeSecrets, readSecrets, type Secrets, valueIn } from "./secrets.ts";

/** What the tasks work with; tests replace it. */
export interface Context {
  /** The project's folder. */
  readonly dir: string;
  readonly docker: Docker;
  readonly clock: Clock;
  readonly computer: Computer;
  readonly print: (line: string) => void;
  /** Asks a question; undefined without a terminal. */
  readonly prompt: ((question: string) => string | null) | undefined;
  /** How long all services together may take to start, ms. */
  readonly startTimeoutMs: number;
}

/** How often services that have become ready are reported, ms. */
const LOOK_MS = 2000;
/** How often services that are still awaited are named, ms. */
const REMIND_MS = 30_000;
/** Lines of a failed service's log that are printed. */
const LOG_LINES = 20;
/** How long the producer may take to receive its first price: a connection takes up to 10 s to fail, ms. */
const FIRST_PRICE_MS = 15_000;

/** Returns the exit code: 0 prices arrive, 1 a service failed or no prices arrive. Throws if nothing was started. */
export async function up(variants: Variants, context: Context): Promise<number> {
  const { dir, docker, clock, print } = context;
  await checkDocker(docker);
  const compose = new Compose(docker, variants);
  const project = await compose.project();
  const running = (await compose.states(project)).filter(({ container }) => container?.State === "running");
  await checkResources(docker, context.computer, project, new Set(running.map(({ name }) => name)));

  for (const { name, volume, owner } of await makeSecrets(dir)) {
    print(`Created ${name} with random passwords`);
    const { code } = await docker.run(["volume", "inspect", `${project.name}_${volume}`]);
    if (code === 0) {
      print(
        `  but ${owner} has data from an earlier start, and keeps the password of that time: ` +
          'see docs/stack.md, "Changed passwords"',
      );
    }
  }
  const secrets = await readSecrets(dir);

  print("Building the producer's image");
  if (await compose.show("build") !== 0) {
    throw new ConfigError([
      'Cannot build the producer\'s image: see the output above. Behind a proxy: docs/stack.md, "Behind a proxy"',
    ]);
  }
  print("Downloading missing images");
  if (await compose.show("pull", "--policy", "missing", "--ignore-buildable") !== 0) {
    throw new ConfigError([
      "Cannot download the images: see the output above. Run this again once the registry answers",
    ]);
  }

  print("Starting the services");
  const started = await start(compose, project, context);
  if (started.code !== 0) return await reportFailure(started, compose, project, context);

  let problems = await whyNoPrices(compose, project);
  for (const end = clock.elapsed() + FIRST_PRICE_MS; problems.length > 0 && clock.elapsed() < end;) {
    await clock.sleep(LOOK_MS, new AbortController().signal);
    problems = await whyNoPrices(compose, project);
  }
  print("");
  for (const line of welcome(variants, project, secrets, problems, context)) print(line);
  return problems.length === 0 ? 0 : 1;
}

/** The result of `docker compose up`. */
interface Started extends Result {
  readonly seconds: number;
  /** It was ended because it took too long. */
  readonly timedOut: boolean;
}

/** Runs `docker compose up` and reports each service once it is ready. */
async function start(
  compose: Compose,
  project: Project,
  { clock, print, startTimeoutMs }: Context,
): Promise<Started> {
  const ended = new AbortController();
  const timeout = new AbortController();
  // not with --wait-timeout: when that runs out Compose may exit with code 0, and v5 starts services whose dependencies
  // are not ready
  const args = ["up", "--detach", "--wait", "--no-build", "--remove-orphans"];
  const result = compose.run(args, timeout.signal).finally(() => ended.abort());
  result.catch(() => {}); // awaited below

  const startedAt = clock.elapsed();
  const elapsedMs = () => clock.elapsed() - startedAt;
  const ready = new Set<string>();
  let remindAt = REMIND_MS;
  while (true) {
    // the end of `up` ends the pause too
    await clock.sleep(LOOK_MS, ended.signal).catch(() => {});
    // asked before the look, so that the last look comes after the end of `up`
    const isLast = ended.signal.aborted;
    if (elapsedMs() >= startTimeoutMs) timeout.abort();
    // `ps` fails if a container is replaced at that moment: the next look will see it
    const states = await compose.states(project).catch(() => []);
    const seconds = Math.round(elapsedMs() / 1000);
    for (const { name, is, as } of states) {
      if (is !== "ready" || ready.has(name)) continue;
      ready.add(name);
      print(`  ${name.padEnd(20)} ${as} after ${seconds} s`);
    }
    if (isLast) break;
    if (elapsedMs() < remindAt) continue;
    remindAt += REMIND_MS;
    const awaited = Object.keys(project.services).filter((name) => !ready.has(name));
    print(`  still waiting after ${seconds} s for ${awaited.join(", ")}`);
  }
  return { ...await result, seconds: Math.round(elapsedMs() / 1000), timedOut: timeout.signal.aborted };
}

/** Names the services that failed, with the end of their logs. Throws if nothing was started. */
async function reportFailure(
  started: Started,
  compose: Compose,
  project: Project,
  { print }: Context,
): Promise<number> {
  const named = failuresNamedIn(started.stderr, project);
  const states = await compose.states(project).catch(() => undefined);
  const failed = new Map(named);
  for (const { name, is, as } of states ?? []) {
    const reason = named.get(name);
    if (is === "failed") failed.set(name, as);
    else if (reason !== undefined) failed.set(name, `${reason}, now ${as},`);
  }
  // a container that is only created waits for others
  const begun = states?.filter(({ container }) => container !== undefined && container.State !== "created");
  if (started.timedOut && failed.size === 0) {
    for (const { name, is, as } of begun ?? []) if (is === "waiting") failed.set(name, as);
  }

  const { seconds } = started;
  const problem = started.timedOut
    ? new ConfigError([`Cannot start all services: they are not ready after ${seconds} s`])
    : refusal("Cannot start all services", started);
  if (failed.size === 0 && begun?.length === 0) throw problem;
  // without a name in it, Docker's message may say more than the logs
  if (named.size === 0) print(problem.message);
  for (const [name, reason] of failed) {
    const expected = project.services[name]?.restart === "no" ? "succeed" : "become healthy";
    print(`${name} did not ${expected}: ${reason} after ${seconds} s. The end of its log:`);
    const logs = await compose.run(["logs", "--no-color", "--no-log-prefix", "--tail", `${LOG_LINES}`, name]);
    const lines = lastLines(logs.stdout + logs.stderr, LOG_LINES) || "(empty)";
    print(lines.replace(/^/gm, "  | "));
  }
  print('docs/stack.md, "Troubles", says what to do. Then run `deno task stack` again.');
  print("Other services keep running: `deno task stack:status` shows them, `deno task stack:down` stops them.");
  return 1;
}

/** Addresses and logins; `problems` says why no prices arrive. */
function welcome(
  { demo }: Variants,
  { services }: Project,
  { "influxv2.env": influx, "grafana.env": grafana }: Secrets,
  problems: readonly string[],
  { prompt }: Context,
): string[] {
  const port = (name: string) => services[name]?.ports?.[0]?.published;
  const kafka = ["broker", "broker-2", "broker-3"].map(port).filter((found) => found !== undefined);
  const user = valueIn(grafana, "GF_SECURITY_ADMIN_USER") ?? "admin";
  // without a terminal the output is probably saved somewhere
  const password = prompt === undefined ? "in grafana.env" : valueIn(grafana, "GF_SECURITY_ADMIN_PASSWORD");
  const influxUser = valueIn(influx, "DOCKER_INFLUXDB_INIT_USERNAME");
  const works = problems.length === 0;
  return [
    ...works ? ["Everything works."] : [
      `All services run, but no prices arrive: ${PRODUCER} reports "${problems.join("; ")}".`,
      `It keeps trying: \`deno task stack:logs ${PRODUCER}\` shows each attempt, docs/runbook.md says what to do.`,
    ],
    ...works || demo
      ? []
      : ["If Coinbase cannot be reached from here, `deno task stack --demo` uses simulated prices instead."],
    "",
    `  Grafana    http://localhost:${port("grafana")}    user ${user}, password ${password}`,
    `  InfluxDB   http://localhost:${port("influxdb")}    user ${influxUser}, password in influxv2.env`,
    `  Kafka      ${kafka.map((each) => `localhost:${each}`).join(",")}    topics ticker_batch and feed_gaps, no login`,
    `  producer   http://localhost:${port(PRODUCER)}/api/status`,
    ...demo
      ? [`  simulator  http://localhost:${port("coinbase-simulator")}/    simulated prices, levers that cause faults`]
      : [],
    "",
    ...works
      ? [
        "In Grafana open Dashboards, Prices: the first points arrive within seconds.",
        `To watch records in Kafka: kcat -C -b localhost:${port("broker")} -t ticker_batch -o end`,
      ]
      : [],
    "The stack restarts after a reboot. To stop it and keep the data: deno task stack:down",
    ...demo ? ["To use the real Coinbase: deno task stack"] : [],
  ];
}
