// Runs the commands of docs/scale.md for three brokers on three machines, on three addresses of this machine.

import { assert, assertEquals } from "@std/assert";
import { produce } from "../chain/chain.ts";
import { jars, kafkaMissing } from "../servers/kafka.ts";
import { freePorts, sleep } from "../servers/process.ts";
import { serverTest } from "../servers/test.ts";

const missing = kafkaMissing() ??
  (Deno.build.os === "linux" ? undefined : "needs Linux, where 127.0.0.2 is this machine too");

/** Limit for everything, generous for a busy machine. */
const PATIENCE_MS = 180_000;

/** Replaces the scripts of Kafka's archive, of which only the jars are installed. */
const SCRIPTS: Readonly<Record<string, string>> = {
  "kafka-storage.sh": 'exec java -cp "$JARS/*" kafka.tools.StorageTool "$@"',
  "kafka-server-start.sh":
    'shift; nohup java -Xmx256m -cp "$JARS/*" kafka.Kafka "$@" > server.log 2>&1 & echo $! > pid',
  "kafka-topics.sh": 'exec java -cp "$JARS/*" org.apache.kafka.tools.TopicCommand "$@"',
};

async function run(command: string, dir: string): Promise<{ code: number; stderr: string }> {
  const env = { JARS: jars(), JAVA_TOOL_OPTIONS: "-XX:+UseSerialGC -XX:TieredStopAtLevel=1" };
  const { code, stderr } = await new Deno.Command("sh", { args: ["-ec", command], cwd: dir, env, stdout: "null" })
    .output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

serverTest(missing, "the commands of docs/scale.md start three brokers of which one may fail", async () => {
  const page = await Deno.readTextFile("docs/scale.md");
  const part = /<!-- three machines -->([\s\S]*)<!-- \/three machines -->/.exec(page)?.[1] ?? "";
  const commands = [...part.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text ?? "");
  const [fetch = "", start = "", topics = ""] = commands;
  assertEquals([commands.length, fetch.match(/kafka_2\.13-[\d.]+\d/g)?.length], [3, 3]);
  const root = await Deno.makeTempDir({ prefix: "machines-" });
  const { broker, controller } = freePorts("broker", "controller");
  // each machine is one address of this machine, with two free ports
  const here = (command: string) =>
    command.replaceAll("//:", "//kafka-$NODE:").replaceAll(/kafka-(\d|\$NODE)/g, "127.0.0.$1")
      .replaceAll(":9092", `:${broker}`).replaceAll(":9093", `:${controller}`);
  const dirs = [1, 2, 3].map((node) => `${root}/${node}`);
  const pids: number[] = [];
  try {
    await Promise.all(dirs.map(async (dir, i) => {
      await Deno.mkdir(`${dir}/bin`, { recursive: true });
      for (const [name, script] of Object.entries(SCRIPTS)) {
        await Deno.writeTextFile(`${dir}/bin/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      }
      const started = await run(here(start).replace("NODE=1", `NODE=${i + 1}`), dir);
      pids.push(Number(await Deno.readTextFile(`${dir}/pid`)));
      assertEquals(started.code, 0, started.stderr);
    }));
    const logs = () => Promise.all(dirs.map((dir) => Deno.readTextFile(`${dir}/server.log`)));
    const end = performance.now() + PATIENCE_MS;
    const until = async (what: string, isSo: () => Promise<boolean>) => {
      while (!await isSo()) {
        assert(
          performance.now() < end,
          `Waited in vain until ${what}; the brokers' output:\n${(await logs()).join("\n")}`,
        );
        await sleep(200);
      }
    };
    // Kafka opens this port last
    const isOpen = (hostname: string) =>
      Deno.connect({ hostname, port: broker }).then((conn) => (conn.close(), true), () => false);
    for (const node of [1, 2, 3]) await until(`broker ${node} has started`, () => isOpen(`127.0.0.${node}`));
    const made = await run(here(topics), dirs[0] ?? "");
    assertEquals(made.code, 0, made.stderr);
    Deno.kill(Number(await Deno.readTextFile(`${dirs[2]}/pid`)), "SIGKILL");
    // its partitions need new leaders first
    await until(
      "a record is written to two of three",
      () => produce(`127.0.0.1:${broker}`, "ticker_batch", ["{}"]).then(() => true, () => false),
    );
  } finally {
    for (const pid of pids) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // it has ended already
      }
    }
    await Deno.remove(root, { recursive: true });
  }
});
