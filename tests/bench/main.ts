// `deno task bench`: runs all benches one after the other, each in its own process, and prints one table of results; with a name,
// only that bench. The processes and files of a bench are removed however it ends.

import { chromiumPath } from "../browser/chromium.ts";
import { binary } from "../servers/process.ts";
import { CANNOT_RUN, type Result, resultOf, say, tableOf } from "./report.ts";

/** The file of each bench, in the order in which they run. */
const BENCHES: Readonly<Record<string, string>> = {
  decode: "decode_bench.ts",
  pipeline: "pipeline.ts",
  latency: "latency.ts",
  store: "store.ts",
  stream: "stream.ts",
  page: "page.ts",
  resources: "resources.ts",
  chain: "chain.ts",
  peers: "peers.ts",
  scale: "scale.ts",
};
/** Not part of a full run: peers downloads Python packages, and the numbers of scale are for docs/scale.md. */
const ALONE = ["peers", "scale"];
const PERMISSIONS = ["net", "read", "write", "run", "env", "sys"].map((name) => `--allow-${name}`);
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const HELP =
  `Measures the program on this machine. Benches whose server is not installed are left out (sh tests/servers/install.sh).

  deno task bench            all except peers and scale, about 10 minutes
  deno task bench --peers    also peers, which downloads Python packages
  deno task bench NAME [N]   only one of ${Object.keys(BENCHES).join(", ")};
                             N: its numbers, usually the seconds of a round; see the first lines of its file
`;

type Outcome = "ran" | "left out" | "failed";

/** The running bench, and the folder for its files. */
let running: { readonly process: Deno.ChildProcess; readonly folder: string } | undefined;

/** Ends the running bench with all its child processes, and removes its files. */
function cleanUp(): void {
  if (running === undefined) return;
  const { process, folder } = running;
  running = undefined;
  try {
    Deno.kill(-process.pid, "SIGKILL");
  } catch {
    // the process group has ended
  }
  // the processes that were just killed may still write
  for (let tries = 0; tries < 20; tries++) {
    try {
      return Deno.removeSync(folder, { recursive: true });
    } catch {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
  }
}

/** Runs a bench, prints its output, and adds its results. */
async function run(file: string, args: readonly string[], results: Result[]): Promise<Outcome> {
  const folder = await Deno.makeTempDir({ prefix: "bench-" });
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", CONFIG, ...PERMISSIONS, new URL(file, import.meta.url).pathname, ...args],
    env: { TMPDIR: folder },
    stdin: "null",
    stdout: "piped",
    // its own process group, so that Ctrl-C reaches only this process
    detached: true,
  }).spawn();
  running = { process, folder };
  try {
    let rest = "";
    for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        say(line);
        const result = resultOf(line);
        if (result !== undefined) results.push(result);
      }
    }
    const { code } = await process.status;
    return code === 0 ? "ran" : code === CANNOT_RUN ? "left out" : "failed";
  } finally {
    cleanUp();
  }
}

async function output(command: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(command, { args, stdin: "null", stderr: "null" }).output();
    return new TextDecoder().decode(stdout).trim();
  } catch {
    return "";
  }
}

async function textOf(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, import.meta.url));
}

/** Date, machine and versions. */
async function heading(load: number, hasBrowser: boolean): Promise<string> {
  const gb = (Deno.systemMemoryInfo().total / 2 ** 30).toFixed(1);
  const cpu = /^model name\s*: (.+)$/m.exec(await output("cat", "/proc/cpuinfo"))?.[1];
  const machine = [
    `${navigator.hardwareConcurrency} cores${cpu === undefined ? "" : ` (${cpu})`}`,
    `${gb} GB`,
    `${Deno.build.os} ${Deno.build.arch}`,
    `load ${load.toFixed(1)} at the start`,
  ];
  const { imports } = JSON.parse(await textOf("../../deno.json"));
  const versions = [
    `Deno ${Deno.version.deno}`,
    `kafkajs ${/@([\d.]+)$/.exec(imports.kafkajs)?.[1]}`,
    `Kafka ${/<kafka\.version>(.+)<\/kafka\.version>/.exec(await textOf("../servers/kafka/pom.xml"))?.[1]}`,
    await output(binary("telegraf"), "--version"),
    `InfluxDB ${/influxdb\/v2 v([\d.]+)/.exec(await textOf("../servers/influxd/go.mod"))?.[1]}`,
    ...hasBrowser ? [(await output(chromiumPath() ?? "", "--version")).replace(/ built on .*/, "")] : [],
  ];
  const date = new Date().toISOString().slice(0, 10);
  return `${date}; ${machine.join(", ")}; ${versions.filter((each) => each !== "").join(", ")}`;
}

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.addSignalListener(name, () => {
    cleanUp();
    Deno.exit(130);
  });
}

const args = Deno.args.filter((arg) => arg !== "--");
const [name] = args;
if (args.includes("--help")) {
  say(HELP.trimEnd());
  Deno.exit(0);
}
if (name !== undefined && !name.startsWith("-")) {
  const file = BENCHES[name];
  if (file === undefined) {
    say(`Cannot run the bench: expected one of ${Object.keys(BENCHES).join(", ")}, got "${name}"`);
    Deno.exit(2);
  }
  const outcome = await run(file, args.slice(1), []);
  Deno.exit(outcome === "ran" ? 0 : outcome === "failed" ? 1 : CANNOT_RUN);
}
const unknown = args.find((arg) => arg !== "--peers");
if (unknown !== undefined) {
  say(`Cannot use the argument: expected --peers or --help, got "${unknown}"`);
  Deno.exit(2);
}

const load = Deno.loadavg()[0] ?? NaN;
const results: Result[] = [];
const failed: string[] = [];
const leftOut: string[] = [];
const since = performance.now();
for (const [bench, file] of Object.entries(BENCHES)) {
  if (ALONE.includes(bench) && !(bench === "peers" && args.includes("--peers"))) continue;
  say(`=== ${bench}`);
  const started = performance.now();
  const outcome = await run(file, [], results);
  if (outcome === "failed") failed.push(bench);
  if (outcome === "left out") leftOut.push(bench);
  say(`=== ${bench}: ${outcome} (${Math.round((performance.now() - started) / 1000)} s)\n`);
}
say(`${await heading(load, !leftOut.includes("page"))}\n`);
say(tableOf(results));
say("");
const misses = results.filter(({ isMet }) => isMet === false).length;
const others = [
  ...leftOut.length > 0 ? [`left out: ${leftOut.join(", ")}`] : [],
  ...failed.length > 0 ? [`failed to run: ${failed.join(", ")}`] : [],
];
say(
  [
    `${results.filter(({ isMet }) => isMet).length} ok, ${misses} missed`,
    ...others,
    `${Math.round((performance.now() - since) / 60_000)} min`,
  ].join("; "),
);
Deno.exit(failed.length === 0 ? 0 : 1);
