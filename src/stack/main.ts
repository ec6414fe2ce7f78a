// `deno task stack` and its kin: arguments, real surroundings, exit code.

import { statfs } from "node:fs/promises";
import { systemClock as clock } from "../core/clock.ts";
import { ConfigError, exitCodeFor, reasonOf } from "../core/errors.ts";
import { writeAllSync } from "../core/write_all.ts";
import { readArguments } from "../config/arguments.ts";
import { readTextFile } from "../config/text_file.ts";
import { Docker } from "./docker.ts";
import { down, logs, reset, status, type Surroundings, up } from "./tasks.ts";

const HELP = `Coinbase -> Kafka -> Telegraf -> InfluxDB -> Grafana on this computer, in containers

  deno task stack             start everything and wait until it is well
        --demo                with the Coinbase simulator, for machines without internet access
        --cluster             with three brokers and two Telegrafs: any one of them may die
        --zookeeper           with ZooKeeper, as the stack was first drawn
  deno task stack:status      how each service is
  deno task stack:logs [SERVICE]...    what the services write, as it comes
  deno task stack:down        end everything, keep the data
  deno task stack:reset       end everything, delete the data; --yes: without asking

Exit codes: 0 all is well, 1 a service is not or brings no prices, 2 nothing was started. docs/stack.md tells the rest.
`;

/** After that a service that is not healthy has failed. */
const WAIT_MS = 180_000;

function tell(line: string): void {
  writeAllSync(Deno.stdout, new TextEncoder().encode(`${line}\n`));
}

/** Which of the options are given; throws a `ConfigError` for anything else. */
function readOptions(task: string, args: readonly string[], flags: readonly string[]): ReadonlyMap<string, string> {
  const wish = flags.length === 0 ? "it takes none" : `it takes ${flags.join(" and ")}`;
  const refuse = (arg: string) => `Cannot use the arguments "${arg}" with ${task} as ${wish}`;
  const { options, problems } = readArguments(args, { flags, refuse });
  if (problems.length > 0) throw new ConfigError(problems);
  return options;
}

/** The longest text that a build argument can be: Linux takes no longer one to a program. */
const MAX_CERTIFICATE = 100_000;

/** The image is built with the same extra certificates with which this program was started. */
async function buildEnvironment(): Promise<Record<string, string>> {
  const file = Deno.env.get("DENO_CERT");
  if (file === undefined || file === "" || Deno.env.has("CA_CERTIFICATE")) return {};
  const certificates = await readTextFile(file).catch((error) => {
    throw new ConfigError([
      `Cannot read DENO_CERT as it must name a file with certificates: current value is "${file}" (${reasonOf(error)})`,
    ]);
  });
  if (certificates.length <= MAX_CERTIFICATE) return { CA_CERTIFICATE: certificates };
  tell(
    `${file} (DENO_CERT) is too long to build with: if the build fails, set CA_CERTIFICATE to your proxy's one alone`,
  );
  return {};
}

/** Only what builds needs an environment for that. */
function surroundings(environment: Readonly<Record<string, string>> = {}): Surroundings {
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
          // any other reason, such as a port that only root may have, is Docker's to judge
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
    tell,
    ask: Deno.stdin.isTerminal() && Deno.stdout.isTerminal() ? (question) => prompt(question) : undefined,
    waitMs: WAIT_MS,
  };
}

async function run([task, ...args]: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    tell(HELP.trimEnd());
    return 0;
  }
  switch (task) {
    case "up": {
      const options = readOptions("stack", args, ["--demo", "--cluster", "--zookeeper"]);
      const forms = {
        demo: options.has("--demo"),
        cluster: options.has("--cluster"),
        zookeeper: options.has("--zookeeper"),
      };
      if (forms.cluster && forms.zookeeper) {
        throw new ConfigError([
          "Cannot use --cluster with --zookeeper as they are two forms of Kafka: take one of them",
        ]);
      }
      return await up(forms, surroundings(await buildEnvironment()));
    }
    case "down":
      readOptions("stack:down", args, []);
      return await down(surroundings());
    case "logs":
      return await logs(args, surroundings());
    case "status":
      readOptions("stack:status", args, []);
      return await status(surroundings());
    case "reset":
      return await reset(readOptions("stack:reset", args, ["--yes"]).has("--yes"), surroundings());
    default:
      throw new ConfigError([`Cannot run "${task ?? ""}" as the task must be up, down, logs, status or reset`]);
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
