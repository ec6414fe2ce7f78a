// Finds out what runs on this computer, so that nobody has to say it: the stack, the program with its store, or
// neither.

import type { Arguments } from "../config/arguments.ts";
import { STORE_FILE } from "../config/config.ts";
import { type Environment, SettingsReader } from "../config/setting.ts";
import { chainOf, ConfigError, reasonOf } from "../core/errors.ts";
import { readTextFile } from "../config/text_file.ts";
import { CHECK_SETTINGS, type Form, type Found, type ProgramFound, type StackFiles } from "./places.ts";

/** Until whatever runs on this computer must have answered, ms. */
const PROBE_MS = 1500;
/** The program takes one of these ports after its own where that is taken, as src/web/server.ts has it. */
const NEXT_PORTS = 20;

/** The decision, and the reason for it. */
export interface Decided extends Found {
  /** A sentence for the person. */
  readonly why: string;
}

/** What the person said; undefined: nothing. */
export type Asked = "stack" | "embedded" | undefined;

/** The same of the options --stack and --embedded; both together are a problem. */
export function askedOf({ options, problems }: Arguments): Asked {
  const [stack, embedded] = [options.has("--stack"), options.has("--embedded")];
  if (stack && embedded) problems.push("Cannot use --stack with --embedded as one road is looked at: take one of them");
  return stack ? "stack" : embedded ? "embedded" : undefined;
}

/** Reads the files that `deno task stack` writes into the folder of the project. */
export async function readStackFiles(dir: string): Promise<StackFiles> {
  const read = async (name: string) => {
    try {
      return await readTextFile(`${dir}/${name}`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return undefined;
      throw new ConfigError([`Cannot read ${name} as it must be a readable file: ${reasonOf(error)}`]);
    }
  };
  return { influx: await read("influxv2.env"), grafana: await read("grafana.env") };
}

/** Whether a program of ours answers there, and what it says of itself. */
export async function findProgram(url: string, signal: AbortSignal): Promise<ProgramFound | undefined> {
  try {
    const response = await fetch(`${url}/api/status`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]),
    });
    const { sinks, demo, url: feedUrl, channel, products } = await response.json();
    if (!Array.isArray(sinks) || !Array.isArray(products) || typeof feedUrl !== "string") return undefined;
    return {
      url,
      sinks: sinks.map(({ name }) => String(name)),
      demo: demo === true,
      feedUrl,
      channel: String(channel),
      products: products.map(({ product }) => String(product)),
    };
  } catch {
    return undefined;
  }
}

/** Whether anybody takes connections there. */
async function isOpen(port: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(PROBE_MS);
    // "localhost" as the places say: it may be ::1
    (await Deno.connect({ hostname: "localhost", port, signal })).close();
    return true;
  } catch {
    return false;
  }
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Decides what to look at. Never throws for what it finds; wrong settings show later. */
export async function decide(
  environment: Environment,
  files: StackFiles,
  asked: Asked,
  signal: AbortSignal,
): Promise<Decided> {
  const settings = new SettingsReader(environment);
  const given = ["KAFKA_BROKERS", "INFLUX_URL", "GRAFANA_URL", "PROGRAM_URL"].filter((name) => settings.isSet(name));
  if (asked === undefined && given.length > 0) {
    const url = settings.read(CHECK_SETTINGS.programUrl);
    const program = url === "" ? await atPort(environment, signal) : await findProgram(url, signal);
    return found("servers", `the servers that are named by settings: ${given.join(", ")}`, program, []);
  }
  const ports = {
    Kafka: settings.read(CHECK_SETTINGS.kafkaPort),
    InfluxDB: settings.read(CHECK_SETTINGS.influxPort),
    Grafana: settings.read(CHECK_SETTINGS.grafanaPort),
  };
  const moreBrokers = [settings.read(CHECK_SETTINGS.kafkaPort2), settings.read(CHECK_SETTINGS.kafkaPort3)];
  const [open, more, program, producer] = await Promise.all([
    Promise.all(Object.values(ports).map(isOpen)),
    Promise.all(moreBrokers.map(isOpen)),
    atPort(environment, signal),
    findProgram(`http://localhost:${settings.read(CHECK_SETTINGS.producerPort)}`, signal),
  ]);
  const answering = Object.keys(ports).filter((_, at) => open[at] === true);
  const morePorts = moreBrokers.filter((_, at) => more[at] === true);
  const stack = (why: string) => found("stack", why, producer, morePorts);
  const embedded = (why: string) => found("embedded", why, program, []);
  const hasStore = program?.sinks.includes("sqlite") === true;
  if (asked === "stack") return stack("the stack, as asked for");
  if (asked === "embedded") return embedded("the embedded program, as asked for");
  if (files.influx !== undefined && answering.length > 0) {
    const also = hasStore ? `; a program with a store runs too, at ${program?.url} (--embedded looks at it)` : "";
    return stack(
      `the stack: influxv2.env is here, and ${answering.join(", ")} ${
        answering.length > 1 ? "have" : "has"
      } an open port${also}`,
    );
  }
  if (hasStore) return embedded(`the embedded program: it answers at ${program?.url}`);
  const storeFile = environment.values.STORE_FILE?.trim() || STORE_FILE;
  if (files.influx !== undefined && !isThere(storeFile)) {
    return stack("the stack, which does not run: influxv2.env is here, and there is no store");
  }
  return embedded(
    isThere(storeFile)
      ? `the embedded program, which does not answer: its store ${storeFile} is here`
      : "the embedded program, though nothing runs here: neither it nor the stack",
  );

  function found(form: Form, why: string, program: ProgramFound | undefined, morePorts: readonly number[]): Decided {
    return { form, why, program, morePorts, isThere };
  }
}

/** The program at PORT or one of those after it, one with a store first. */
async function atPort(environment: Environment, signal: AbortSignal): Promise<ProgramFound | undefined> {
  const first = Number(environment.values.PORT?.trim() || "8000");
  if (!Number.isInteger(first) || first < 1 || first > 65535) return undefined;
  const ports = Array.from({ length: NEXT_PORTS + 1 }, (_, at) => first + at).filter((port) => port <= 65535);
  const all = (await Promise.all(ports.map((port) => findProgram(`http://localhost:${port}`, signal))))
    .filter((each) => each !== undefined);
  return all.find(({ sinks }) => sinks.includes("sqlite")) ?? all[0];
}

/** What went wrong with a request, in words that hold nothing secret. */
export function requestTrouble(error: unknown): string {
  const words = chainOf(error).map(({ message }) => message);
  const all = words.join(": ");
  if (/refused/i.test(all)) return "connection refused, nobody listens there";
  if (/dns|ENOTFOUND|lookup/i.test(all)) return "its name is unknown";
  // the address is said already, and may hold a login
  return (words.at(-1) ?? reasonOf(error)).replace(/ for url \([^)]*\)/, "");
}
