// Runs the commands of docs/doctor.md that find what was missing in a time range, on real servers.

import { assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { Simulator } from "../../src/simulator/server.ts";
import { tell, until } from "../integration/feed.ts";
import { Producer } from "../integration/producer.ts";
import { exists } from "../servers/process.ts";
import { serverTest } from "../servers/test.ts";
import { chainMissing, settle, startChain } from "./chain.ts";

const findLacking = () =>
  ["curl", "jq", "kcat"].find((tool) =>
    !["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].some((dir) => exists(`${dir}/${tool}`))
  );
const needed = (tool: string | undefined) => tool && `needs ${tool}`;
// without permissions the commands cannot be searched for
const missing = chainMissing() ?? needed(findLacking());

serverTest(missing, "the commands of docs/doctor.md find what was missing in a time range", async () => {
  const page = await Deno.readTextFile("docs/doctor.md");
  const part = /<!-- missing -->([\s\S]*)<!-- \/missing -->/.exec(page)?.[1] ?? "";
  const commands = [...part.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text ?? "");
  assertEquals(commands.length, 3);

  await using chain = await startChain();
  const { kafka, influx } = chain;
  await using simulator = await Simulator.start({ ticksPerSecond: 20 });
  const dir = await Deno.makeTempDir({ prefix: "missing-" });
  try {
    await using producer = new Producer({
      COINBASE_WS_URL: simulator.url,
      KAFKA_BROKERS: kafka.broker,
      STORE_FILE: `${dir}/prices.sqlite`,
    });
    await producer.says("Started");
    const program = new URL(String(producer.said("Started")[0]?.status)).host;
    const counters = async () => (await (await fetch(`http://${program}/api/status`)).json()).counters;
    await until("there are prices", async () => (await counters()).received > 50);
    const before = Date.now() / 1000;
    simulator.levers.hangUp();
    const received = (await counters()).received;
    await until("it is connected again", async () => (await counters()).received > received + 50);
    const after = Date.now() / 1000;
    await settle(chain);
    await Deno.writeTextFile(
      `${dir}/influxv2.env`,
      `DOCKER_INFLUXDB_INIT_ORG='${influx.org}'\nDOCKER_INFLUXDB_INIT_BUCKET='${influx.bucket}'\n` +
        `DOCKER_INFLUXDB_INIT_ADMIN_TOKEN='${influx.adminToken}'\n`,
    );
    const run = async (command: string, from: number, to: number) => {
      const here = command.replaceAll("127.0.0.1:8000", program).replaceAll("localhost:9092", kafka.broker)
        .replaceAll("http://localhost:8086", influx.url);
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-ec", here],
        cwd: dir,
        env: { FROM: String(from), TO: String(to) },
      }).output();
      const decoder = new TextDecoder();
      assertEquals(code, 0, decoder.decode(stderr));
      return decoder.decode(stdout).trim();
    };
    const answers = async (from: number, to: number) =>
      await Promise.all(commands.map((command) => run(command, from, to)));

    const [store = "", topic = "", points = ""] = await answers(Math.floor(before), Math.ceil(after));
    tell(`${topic.split("\n")[0]}\n${points.split("\n").slice(0, 2).join("\n")}`);
    const closed = ({ reason }: { reason: string }) => reason === "link-closed";
    const stored: { product: string; from: number; to: number; reason: string }[] = JSON.parse(store);
    const products = (list: typeof stored) => list.filter(closed).map(({ product }) => product).sort();
    assertEquals(products(stored), [...simulator.products].sort());
    assertEquals(products(topic.split("\n").map((line) => JSON.parse(line))), [...simulator.products].sort());
    assertEquals((points.match(/link-closed/g) ?? []).length, simulator.products.length, points);
    for (const { from, to } of stored.filter(closed)) {
      assertGreaterOrEqual(to, before);
      assertLessOrEqual(from, after);
    }
    // nothing was sent an hour earlier
    assertEquals(await answers(Math.floor(before) - 7200, Math.floor(before) - 3600), ["[]", "", ""]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
