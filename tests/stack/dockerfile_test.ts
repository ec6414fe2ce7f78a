// The Dockerfile's steps, without Docker: what it copies is laid into a folder, its RUN is run there, and then its CMD must
// start. What is in the real base image needs Docker.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { programsMissing, testUnless } from "./needs.ts";

const missing = programsMissing("sh", Deno.execPath()) ??
  (Deno.permissions.querySync({ name: "net" }).state === "granted" ? undefined : "needs --allow-net");

/** Why the packages cannot be fetched here; undefined: they can. */
async function registryMissing(): Promise<string | undefined> {
  const registry = Deno.env.get("NPM_CONFIG_REGISTRY") || "https://registry.npmjs.org/";
  const answer = await fetch(registry, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
  await answer?.body?.cancel();
  return answer === undefined ? `cannot reach ${registry}` : undefined;
}

/** The folders of npm's packages in a folder of Deno's cache, scopes included. */
async function packagesIn(cache: string): Promise<string[]> {
  const names: string[] = [];
  for await (const registry of Deno.readDir(`${cache}/npm`)) {
    for await (const { name } of Deno.readDir(`${cache}/npm/${registry.name}`)) {
      if (!name.startsWith("@")) names.push(name);
      else {for await (const scoped of Deno.readDir(`${cache}/npm/${registry.name}/${name}`)) {
          names.push(`${name}/${scoped.name}`);
        }}
    }
  }
  return names.sort();
}

/** Instructions with their arguments, in order, without comments and line joints. */
function parseDockerfile(text: string): [string, string][] {
  const lines = text.replace(/^\s*#.*\n/gm, "").replaceAll(/\\\n\s*/g, "").split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [, name = "", rest = ""] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    return [name, rest];
  });
}

/** Whether .dockerignore keeps a file out: the last line that fits decides. */
function isIgnored(path: string, patterns: readonly string[]): boolean {
  let ignored = false;
  for (const pattern of patterns) {
    const bare = pattern.replace(/^!/, "");
    if (bare === "*" || path === bare || path.startsWith(`${bare}/`)) ignored = !pattern.startsWith("!");
  }
  return ignored;
}

async function* filesIn(path: string): AsyncGenerator<string> {
  if ((await Deno.stat(path)).isFile) return yield path;
  for await (const entry of Deno.readDir(path)) yield* filesIn(`${path}/${entry.name}`);
}

/** Fills a folder as COPY would; gives the names of the files. */
async function copyInto(app: string, instructions: readonly [string, string][]): Promise<string[]> {
  const patterns = (await Deno.readTextFile(".dockerignore")).split("\n").filter((line) => /^[^#\s]/.test(line));
  const copied: string[] = [];
  for (const [, rest] of instructions.filter(([name]) => name === "COPY")) {
    const sources = rest.split(" ").slice(0, -1).map((source) => source.replace(/\/$/, ""));
    for (const source of sources) {
      for await (const file of filesIn(source)) {
        if (isIgnored(file, patterns)) continue;
        await Deno.mkdir(`${app}/${file}`.replace(/\/[^/]*$/, ""), { recursive: true });
        await Deno.copyFile(file, `${app}/${file}`);
        copied.push(file);
      }
    }
  }
  return copied;
}

const unfetched = missing ?? await registryMissing();
testUnless(
  unfetched,
  "the Dockerfile's steps produce a program that starts without the network, and nothing else",
  async () => {
    const instructions = parseDockerfile(await Deno.readTextFile("Dockerfile"));
    const only = (name: string) => instructions.filter(([each]) => each === name).map(([, rest]) => rest);
    const app = await Deno.makeTempDir();
    const cache = await Deno.makeTempDir();
    try {
      const copied = await copyInto(app, instructions);
      assert(
        copied.includes("main.ts") && copied.includes("deno.lock") && copied.some((file) => file.startsWith("std/")),
      );
      const secret = copied.filter((file) => /\.env|^tests|^src\/stack\/(?!secrets\.ts$)|^\.git/.test(file));
      assertEquals(secret, [], "what the image must not hold");

      const [run = ""] = only("RUN");
      const deno = Deno.execPath().replace(/\/[^/]*$/, "");
      const env = { PATH: `${deno}:${Deno.env.get("PATH")}`, DENO_DIR: cache, CA_CERTIFICATE: "", NO_COLOR: "1" };
      const install = await new Deno.Command("sh", { args: ["-c", run], cwd: app, env }).output();
      assertEquals(install.code, 0, new TextDecoder().decode(install.stderr));
      // nothing that only the page's bundle and the tests import, and the versions of the lock
      const packages = ["kafkajs"];
      assertEquals(await packagesIn(cache), packages);
      const lock = JSON.parse(await Deno.readTextFile("deno.lock")).npm as Record<string, unknown>;
      const isInside = (name: string) => packages.includes(name.replace(/@[^@]*$/, ""));
      assertEquals(
        JSON.parse(await Deno.readTextFile(`${app}/deno.lock`)).npm,
        Object.fromEntries(Object.entries(lock).filter(([name]) => isInside(name))),
      );

      const [command = "[]"] = only("CMD");
      const args = JSON.parse(command) as string[];
      assertEquals(args.slice(-2), ["main.ts", "start"]);
      assert(
        !args.some((arg) => /^(-A|--allow-all|--allow-run|--allow-write(?!=\/var\/lib\/coinbase-producer$))/.test(arg)),
        command,
      );
      // what keeps the memory small is the same as without Docker
      const { tasks } = JSON.parse(await Deno.readTextFile("deno.json"));
      const heap = (parts: readonly string[]) => parts.filter((part) => part.startsWith("--v8-flags="));
      assertEquals(heap(args), heap(tasks.start.command.split(" ")));
      assertEquals(heap(args).length, 1);
      for (const [more, code] of [[["--help"], 0], [[], 2]] as const) {
        const result = await new Deno.Command(Deno.execPath(), {
          args: [...args, ...more],
          cwd: app,
          // a door that leads nowhere
          env: {
            DENO_DIR: cache,
            HTTPS_PROXY: "http://127.0.0.1:1",
            HTTP_PROXY: "http://127.0.0.1:1",
            KAFKA_BROKERS: "",
          },
          stdin: "null",
        }).output();
        assertEquals(result.code, code, new TextDecoder().decode(result.stderr));
      }
    } finally {
      await Deno.remove(app, { recursive: true });
      await Deno.remove(cache, { recursive: true });
    }
  },
);

testUnless(missing, "the Dockerfile is pinned to this Deno and a user without rights", async () => {
  const text = await Deno.readTextFile("Dockerfile");
  const instructions = parseDockerfile(text);
  assertEquals(instructions.filter(([name]) => name === "FROM"), [["FROM", `denoland/deno:${Deno.version.deno}`]]);
  assertMatch(instructions.findLast(([name]) => name === "USER")?.[1] ?? "", /^\d{2,}:\d{2,}$/);
  assert(!/^# syntax=/m.test(text), "a syntax line asks the network at each build");
});
