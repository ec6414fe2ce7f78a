// Finds out what runs on this computer: the stack, the program with its store, or neither.

import type { Arguments } from "../config/arguments.ts";
import { STORE_FILE } from "../config/config.ts";
import { type Environment, SettingsReader } from "../config/setting.ts";
import { readTextFile } from "../config/text_file.ts";
import { ConfigError, reasonOf } from "../core/errors.ts";
import { CHECK_SETTINGS, type Form, type Found, type RunningProgram } from "./servers.ts";

/** Whatever runs on this computer must answer within this time, ms. */
const ANSWER_MS = 1500;
/** If the program's port is taken, it uses one of the next ports, see src/web/server.ts. */
const NEXT_PORTS = 20;

/** What --stack or --embedded says; undefined: neither is given. Both together are a problem. */
export function chosenForm({ options, problems }: Arguments): Form | undefined {
  const [stack, embedded] = [options.has("--stack"), options.has("--embedded")];
  if (stack && embedded) problems.push("Cannot use --stack together with --embedded: take one of them");
  return stack ? "stack" : embedded ? "embedded" : undefined;
}

/** A file that `deno task stack` has written; undefined: it is not there. */
async function readStackFile(dir: string, name: string): Promise<string | undefined> {
  try {
    return await readTextFile(`${dir}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return undefined;
    throw new ConfigError([`Cannot read ${name}: expected a readable file, got: ${reasonOf(error)}`]);
  }
}

/** What our program says about itself at this address; undefined: it does not answer there. */
async function findProgram(url: string, signal: AbortSignal): Promise<RunningProgram | undefined> {
  try {
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const status = await (await fetch(`${url}/api/status`, { signal: inTime })).json();
    const { sinks, demo, url: feedUrl, channel, products } = status;
    if (!Array.isArray(sinks) || !Array.isArray(products) || typeof feedUrl !== "string") return undefined;
    return {
      url,
      hasStore: sinks.some(({ name }) => name === "sqlite"),
      demo: demo === true,
      feedUrl,
      channel: String(channel),
      products: products.map(({ product }) => String(product)),
    };
  } catch {
    return undefined;
  }
}

/** The program at PORT or one of the ports after it, preferably one with a store. */
async function findLocalProgram(environment: Environment, signal: AbortSignal): Promise<RunningProgram | undefined> {
  const first = Number(environment.values.PORT?.trim() || "8000");
  if (!Number.isInteger(first) || first < 1 || first > 65535) return undefined;
  const ports = Array.from({ length: NEXT_PORTS + 1 }, (_, i) => first + i).filter((port) => port <= 65535);
  const all = await Promise.all(ports.map((port) => findProgram(`http://localhost:${port}`, signal)));
  return all.find((program) => program?.hasStore) ?? all.find((program) => program !== undefined);
}

async function isOpen(port: number): Promise<boolean> {
  try {
    // "localhost", as in the addresses of the servers: it may be ::1
    (await Deno.connect({ hostname: "localhost", port, signal: AbortSignal.timeout(ANSWER_MS) })).close();
    return true;
  } catch {
    return false;
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/**
 * Decides what to check. Throws a ConfigError only if a file of the stack cannot be read; settings are checked later.
 *
 * @param dir the project's folder, where `deno task stack` writes its files
 * @param chosen what the person has chosen by an option
 */
export async function discover(
  environment: Environment,
  dir: string,
  chosen: Form | undefined,
  signal: AbortSignal,
): Promise<Found> {
  const settings = new SettingsReader(environment);
  const files = { influx: await readStackFile(dir, "influxv2.env"), grafana: await readStackFile(dir, "grafana.env") };
  const storeFile = environment.values.STORE_FILE?.trim() || STORE_FILE;
  const common = { files, hasStoreFile: isFile(storeFile), morePorts: [] };

  const named = ["KAFKA_BROKERS", "INFLUX_URL", "GRAFANA_URL", "PROGRAM_URL"].filter((name) => settings.isSet(name));
  if (chosen === undefined && named.length > 0) {
    const url = settings.read(CHECK_SETTINGS.programUrl);
    const program = await (url === "" ? findLocalProgram(environment, signal) : findProgram(url, signal));
    return { ...common, form: "servers", why: `the servers named by settings: ${named.join(", ")}`, program };
  }
  const ports = {
    Kafka: settings.read(CHECK_SETTINGS.kafkaPort),
    InfluxDB: settings.read(CHECK_SETTINGS.influxPort),
    Grafana: settings.read(CHECK_SETTINGS.grafanaPort),
  };
  const brokerPorts = [settings.read(CHECK_SETTINGS.kafkaPort2), settings.read(CHECK_SETTINGS.kafkaPort3)];
  const [open, openBrokers, program, producer] = await Promise.all([
    Promise.all(Object.values(ports).map(isOpen)),
    Promise.all(brokerPorts.map(isOpen)),
    findLocalProgram(environment, signal),
    findProgram(`http://localhost:${settings.read(CHECK_SETTINGS.producerPort)}`, signal),
  ]);
  const stack = (why: string): Found => (
    { ...common, form: "stack", why, program: producer, morePorts: brokerPorts.filter((_, i) => openBrokers[i]) }
  );
  const embedded = (why: string): Found => ({ ...common, form: "embedded", why, program });

  if (chosen === "stack") return stack("the stack, because of --stack");
  if (chosen === "embedded") return embedded("the program and its store, because of --embedded");
  const answering = Object.keys(ports).filter((_, i) => open[i]);
  if (files.influx !== undefined && answering.length > 0) {
    const also = program?.hasStore
      ? `; a program with a store runs too, at ${program.url}: check it with --embedded`
      : "";
    return stack(`the stack: influxv2.env exists, and these ports are open: ${answering.join(", ")}${also}`);
  }
  if (program?.hasStore) return embedded(`the program and its store: it answers at ${program.url}`);
  if (common.hasStoreFile) return embedded(`the program and its store: it does not answer, but ${storeFile} exists`);
  if (files.influx !== undefined) return stack("the stack: it does not run, but influxv2.env exists");
  return embedded("the program and its store, although neither they nor the stack were found here");
}
