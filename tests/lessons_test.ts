// Runs the commands of the README's lessons.

import { assert, assertEquals } from "@std/assert";
import { Simulator } from "../src/simulator/server.ts";
import { exists, freePorts, sleep } from "./servers/process.ts";
import { programsMissing, testUnless } from "./stack/needs.ts";

const PATIENCE_MS = 60_000;

const missing = programsMissing("sh", "curl", Deno.execPath()) ??
  (Deno.permissions.querySync({ name: "net" }).state === "granted" ? undefined : "needs --allow-net") ??
  (["/usr/bin/curl", "/bin/curl", "/usr/local/bin/curl"].some(exists) ? undefined : "needs curl");

/** The commands of the lesson whose title begins with this. */
async function commandsOf(title: string): Promise<string[]> {
  const readme = await Deno.readTextFile("README.md");
  const lesson = readme.slice(readme.indexOf(`**${title}`)).split(/^(?:\*\*\d|## )/m, 2).join("");
  return [...lesson.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, command]) => command ?? "");
}

testUnless(missing, "README, lesson 3: kill -9 of dev ends it, and the next start declares the gap", async () => {
  const [dev = "", kill = "", gaps = "", ...more] = await commandsOf("3. ");
  assertEquals([dev, more], ["deno task dev\n", []]);
  await using simulator = await Simulator.start();
  const dir = await Deno.makeTempDir();
  const store = `${dir}/prices.sqlite`;
  // a free port instead of the README's
  const { port } = freePorts("port");
  const shell = (command: string, stdout: "piped" | "null" = "piped") =>
    new Deno.Command("sh", {
      args: ["-c", command.replaceAll(":8000", `:${port}`).replaceAll("data/prices.sqlite", store)],
      env: {
        PATH: `${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH")}`,
        COINBASE_WS_URL: simulator.url,
        STORE_FILE: store,
        PORT: String(port),
      },
      stdin: "null",
      stdout,
      stderr: "null",
    });
  const run = async (command: string) => new TextDecoder().decode((await shell(command).output()).stdout);
  const until = async (what: string, isSo: () => Promise<boolean>) => {
    const end = performance.now() + PATIENCE_MS;
    while (!await isSo()) {
      assert(performance.now() < end, `Waited in vain until ${what}`);
      await sleep(100);
    }
  };
  const lastTime = async () => {
    const ticks = await run(`curl -s 'http://127.0.0.1:8000/api/ticks?product=BTC-USD&limit=1'`);
    return Number(/"w_time":(\d+)/.exec(ticks)?.[1] ?? 0);
  };
  const started = [shell(dev, "null").spawn()];
  try {
    await until("there are prices", async () => await lastTime() > 0);
    const last = await lastTime();
    await run(kill);
    assertEquals((await started[0]?.status)?.code, 137);
    started.push(shell(dev, "null").spawn());
    await until("there are new prices", async () => await lastTime() > last);
    let gap = { from: 0, to: null as number | null, reason: "", product: "" };
    await until("the gap has ended", async () => {
      [gap] = JSON.parse(await run(gaps));
      return gap.to !== null;
    });
    assertEquals([gap.reason, gap.product], ["restart", "BTC-USD"]);
    assert(gap.from >= last && (gap.to ?? 0) > gap.from, JSON.stringify(gap));
  } finally {
    await run(kill);
    await Promise.all(started.map((child) => child.status));
    await Deno.remove(dir, { recursive: true });
  }
});

testUnless(missing, "README, lesson 3: another program that answers at the port of dev is not killed", async () => {
  const [, kill = ""] = await commandsOf("3. ");
  const dir = await Deno.makeTempDir();
  const store = `${dir}/prices.sqlite`;
  const other = new Deno.Command("sleep", { args: ["600"] }).spawn();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    return Response.json({ pid: other.pid });
  });
  const { port } = server.addr;
  // like dev when its port is taken
  const dev = new Deno.Command("sleep", { args: ["600"] }).spawn();
  await Deno.writeTextFile(`${store}.lock`, `${dev.pid}\n`);
  const end = setTimeout(() => dev.kill("SIGTERM"), PATIENCE_MS);
  try {
    const command = kill.replaceAll(":8000", `:${port}`).replaceAll("data/prices.sqlite", store);
    await new Deno.Command("sh", { args: ["-c", command] }).output();
    assertEquals((await Promise.race([dev.status, other.status.then(() => undefined)]))?.signal, "SIGKILL");
  } finally {
    clearTimeout(end);
    for (const child of [dev, other]) {
      try {
        child.kill("SIGKILL");
      } catch {
        // it has ended already
      }
      await child.status;
    }
    await Deno.remove(dir, { recursive: true });
  }
});
