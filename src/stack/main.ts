// `deno task stack` and the `stack:` tasks: reads the arguments, calls one task, sets the exit code.

import { statfs } from "node:fs/promises";
import { systemClock as clock } from "../core/clock.ts";
import { ConfigError, exitCodeFor, reasonOf } from "../core/errors.ts";
import { writeAllSync } from "../core/write_all.ts";
import { readArguments } from "../config/arguments.ts";
import { readTextFile } from "../config/text_file.ts";
import { Docker } from "./docker.ts";
import { down, logs, reset, status } from "./tasks.ts";
import { type Context, up } from "./up.ts";

const HELP = `Coinbase -> Kafka -> Telegraf -> InfluxDB -> Grafana on this computer, in containers

  deno task stack             start everything and wait until it works
        --demo                with the Coinbase simulator, for machines without internet access
        --cluster             with three brokers and two Telegrafs: any one of them may fail
        --zookeeper           with ZooKeeper instead of KRaft
  deno task stack:status      show the state of each service
  deno task stack:logs [SERVICE]...    follow the logs
  deno task stack:down        stop everything, keep the data
  deno task stack:reset       stop everything, delete the data; --yes: without asking

Exit codes: 0 everything works, 1 a service failed or no prices arrive, 2 nothing was started. See docs/stack.md.
`;

/** Every health check ends much sooner; this ends a start in which Docker itself hangs. */
const START_TIMEOUT_MS = 600_000;

function print(line: string): void {
  writeAllSync(Deno.stdout, new TextEncoder().encode(`${line}\n`));
}

/** Throws a `ConfigError` for anything but these flags. */
function readFlags(task: string, args: readonly string[], flags: readonly string[]): ReadonlyMap<string, string> {
  const taken = flags.length === 0 ? "takes no arguments" : `takes only ${flags.join(", ")}`;
  const refuse = (arg: string) => `Cannot use "${arg}": ${task} ${taken}`;
  const { options, problems } = readArguments(args, { flags, refuse });
  if (problems.length > 0) throw new ConfigError(problems);
  return options;
}

/** The longest build argument: Linux passes no longer one to a program. */
const MAX_CERTIFICATE = 100_000;

/** The build trusts the same extra certificates as this program. */
async function buildEnvironment(): Promise<Record<string, string>> {
  const file = Deno.env.get("DENO_CERT");
  if (file === undefined || file === "" || Deno.env.has("CA_CERTIFICATE")) return {};
  const certificates = await readTextFile(file).catch((error) => {
    throw new ConfigError([
      `Cannot use DENO_CERT: expected a file with certificates, got "${file}" (${reasonOf(error)})`,
    ]);
  });
  if (certificates.length <= MAX_CERTIFICATE) return { CA_CERTIFICATE: certificates };
  print(`${file} (DENO_CERT) is too long for the build: if that fails, set CA_CERTIFICATE to your proxy's certificate`);
  return {};
}

function contextWith(environment: Readonly<Record<string, string>>): Context {
  const dir = decodeURIComponent(new URL("../..", import.meta.url).pathname).replace(/^\/(?=[A-Za-z]:)/, "");
  return {
    dir,
    docker: new Docker(dir, environment),
    clock,
    computer: {
      isPortFree(port) {
        try {
          Deno.listen({ hostname: "127.0.0.1", port }).close();
          return true;
        } catch (error) {
          // Docker decides about other errors, such as a port that only root may use
          return !(error instanceof Deno.errors.AddrInUse);
        }
      },
      async freeSpace(path) {
        try {
          const { bavail, bsize } = await statfs(path);
          return bavail * bsize;
        } catch {
          return undefined;
        }
      },
    },
    print,
    prompt: Deno.stdin.isTerminal() && Deno.stdout.isTerminal() ? (question) => prompt(question) : undefined,
    startTimeoutMs: START_TIMEOUT_MS,
  };
}

async function run([task, ...args]: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    print(HELP.trimEnd());
    return 0;
  }
  if (task === "up") {
    const flags = readFlags("stack", args, ["--demo", "--cluster", "--zookeeper"]);
    if (flags.has("--cluster") && flags.has("--zookeeper")) {
      throw new ConfigError(["Cannot use --cluster with --zookeeper: choose one of them"]);
    }
    const variants = {
      demo: flags.has("--demo"),
      cluster: flags.has("--cluster"),
      zookeeper: flags.has("--zookeeper"),
    };
    return await up(variants, contextWith(await buildEnvironment()));
  }
  const context = contextWith({});
  switch (task) {
    case "down":
      readFlags("stack:down", args, []);
      return await down(context);
    case "logs":
      return await logs(args, context);
    case "status":
      readFlags("stack:status", args, []);
      return await status(context);
    case "reset":
      return await reset(readFlags("stack:reset", args, ["--yes"]).has("--yes"), context);
    default:
      throw new ConfigError([`Cannot run "${task ?? ""}": expected up, down, logs, status or reset`]);
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await run(Deno.args));
  } catch (error) {
    const bug = error instanceof Error ? error.stack : error;
    const text = error instanceof ConfigError ? error.problems.join("\n") : bug;
    writeAllSync(Deno.stderr, new TextEncoder().encode(`${text}\n`));
    Deno.exit(exitCodeFor(error));
  }
}
