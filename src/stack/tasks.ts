// `deno task stack:down`, `stack:logs`, `stack:status` and `stack:reset`. Each returns its exit code.

import { ConfigError } from "../core/errors.ts";
import { checkDocker, PRODUCER, whyNoPrices } from "./checks.ts";
import { ALL_VARIANTS, Compose } from "./compose.ts";
import type { Context } from "./up.ts";

/** `deno task stack:down`: stops every variant and keeps the data. */
export async function down({ docker, print }: Context): Promise<number> {
  await checkDocker(docker);
  if (await new Compose(docker, ALL_VARIANTS).show("down", "--remove-orphans") !== 0) return 1;
  print("Stopped. The data is kept: `deno task stack` continues with it, `deno task stack:reset` deletes it.");
  return 0;
}

/** `deno task stack:logs [SERVICE]...`: follows the logs. */
export async function logs(names: readonly string[], { docker }: Context): Promise<number> {
  await checkDocker(docker);
  const compose = new Compose(docker, ALL_VARIANTS);
  const known = Object.keys((await compose.project()).services);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new ConfigError([`Cannot show the logs of "${unknown.join(" ")}": the services are ${known.join(", ")}`]);
  }
  const code = await compose.show("logs", "--follow", "--tail", "100", ...names);
  // 130: ended by Ctrl-C, as intended
  return code === 0 || code === 130 ? 0 : 1;
}

/** `deno task stack:status`: 0 if all services are ready and prices arrive. */
export async function status({ docker, print }: Context): Promise<number> {
  await checkDocker(docker);
  const compose = new Compose(docker, ALL_VARIANTS);
  const project = await compose.project();
  const basic = await new Compose(docker, { zookeeper: false, cluster: false, demo: false }).project();
  const states = await compose.states(project);
  if (states.every(({ container }) => container === undefined)) {
    print("Nothing is running: `deno task stack` starts the stack.");
    return 1;
  }
  let works = true;
  for (const { name, is, as, container } of states) {
    // a service of a variant that is not running
    if (container === undefined && !(name in basic.services)) continue;
    works &&= is === "ready";
    const addresses = (project.services[name]?.ports ?? []).map(({ published }) => `localhost:${published}`).join(" ");
    print(
      `  ${name.padEnd(20)} ${as.padEnd(12)} ${(container?.Status ?? "").padEnd(28)} ${addresses}`.trimEnd(),
    );
    if (name === PRODUCER && is === "ready") {
      const problems = await whyNoPrices(compose, project);
      if (problems.length > 0) print(`  ${"".padEnd(20)} but no prices arrive: ${problems.join("; ")}`);
      works &&= problems.length === 0;
    }
  }
  return works ? 0 : 1;
}

/** `deno task stack:reset`: stops everything and deletes all data, after asking unless `yes`. */
export async function reset(yes: boolean, { docker, prompt, print }: Context): Promise<number> {
  if (!yes && prompt === undefined) {
    throw new ConfigError(["Cannot delete the data: confirm with --yes, as there is no terminal to ask on"]);
  }
  await checkDocker(docker);
  if (!yes) {
    print("This stops the stack and deletes its data: Kafka's topics, InfluxDB's points, Grafana's users and changes.");
    print("influxv2.env and grafana.env stay; the next start uses them again.");
    if (prompt?.('Type "delete" to continue:')?.trim() !== "delete") {
      print("Nothing was deleted.");
      return 1;
    }
  }
  if (await new Compose(docker, ALL_VARIANTS).show("down", "--volumes", "--remove-orphans") !== 0) return 1;
  print("The data is deleted.");
  return 0;
}
