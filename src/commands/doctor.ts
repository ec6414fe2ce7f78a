// `deno task doctor`: reads the arguments, and prints a line per stage or all of it as JSON.

import { chosenForm, discover } from "../checks/discover.ts";
import { type DoctorReport, examine, resultText, verdictText } from "../checks/doctor.ts";
import { describeCheckSettings, readServers, type Servers } from "../checks/servers.ts";
import { readArguments } from "../config/arguments.ts";
import type { Environment } from "../config/setting.ts";
import { systemClock } from "../core/clock.ts";
import { ConfigError } from "../core/errors.ts";
import type { Output } from "../core/terminal.ts";
import { asksForHelp } from "./command.ts";

const USAGE = `Usage: deno task doctor [options]

Checks every stage of the pipeline, from the exchange to the page, and says what it finds; for a broken stage also the likely
cause and the cure. It changes nothing. Without options and settings it finds out what runs here: the stack, or the program
with its store. If KAFKA_BROKERS, INFLUX_URL, GRAFANA_URL or PROGRAM_URL is set, it checks the servers that these name.

  --stack                        check the stack, even if it does not run
  --embedded                     check the program and its store, even if they do not run
  --json                         print one JSON object instead of lines

Exit codes: 0 all stages work, 1 a stage is broken, 2 the arguments cannot be used.
`;

/**
 * Returns the exit code: 0 all stages work, 1 a stage is broken. Throws a ConfigError if the arguments cannot be used.
 *
 * @param dir the project's folder, where the stack has its files
 */
export async function runDoctor(
  args: readonly string[],
  environment: Environment,
  output: Pick<Output, "write">,
  signal: AbortSignal,
  dir = ".",
): Promise<0 | 1> {
  if (asksForHelp(args)) {
    await output.write(`${USAGE}\n${describeCheckSettings()}`);
    return 0;
  }
  const given = readArguments(args, { flags: ["--json", "--stack", "--embedded"] });
  const chosen = chosenForm(given);
  if (given.problems.length > 0) throw new ConfigError(given.problems);
  const asJson = given.options.has("--json");

  const since = systemClock.elapsed();
  const found = await discover(environment, dir, chosen, signal);
  let servers: Servers | ConfigError;
  try {
    servers = readServers(environment, found);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    servers = error;
  }
  const hide = hiderOf(servers instanceof ConfigError ? [] : servers.secrets);
  const writes: Promise<void>[] = [];
  const print = (text: string) => writes.push(output.write(hide(text)));
  if (!asJson) print(`Checking ${found.why}\n\n`);
  const stages = await examine(servers, signal, (result) => asJson || print(resultText(result)));
  const firstBroken = stages.find(({ state }) => state === "broken")?.name ?? null;
  const report: DoctorReport = {
    ok: firstBroken === null,
    form: found.form,
    decided: found.why,
    firstBroken,
    stages,
    ms: Math.round(systemClock.elapsed() - since),
  };
  print(asJson ? `${JSON.stringify(report)}\n` : `\n${verdictText(report)}`);
  await Promise.all(writes);
  return report.ok ? 0 : 1;
}

/** Replaces secrets, which a server may repeat in its messages, by ***. */
function hiderOf(secrets: readonly string[]): (text: string) => string {
  const long = secrets.filter((secret) => secret.length >= 4).toSorted((a, b) => b.length - a.length);
  const forms = long.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]);
  return (text) => forms.reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
}
