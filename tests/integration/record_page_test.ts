// The Python example of docs/record.md, unchanged, writes a record to a real Kafka.

import { assert, assertEquals } from "@std/assert";
import { kafkaMissing, KafkaServer } from "../servers/kafka.ts";
import { serverTest } from "../servers/test.ts";

const python = () =>
  `${Deno.env.get("CACHE") ?? `${Deno.env.get("HOME")}/.cache/crypto-data-streaming`}/python/bin/python`;

function pythonMissing(): string | undefined {
  const missing = kafkaMissing();
  if (missing !== undefined) return missing;
  if (Deno.permissions.querySync({ name: "run", command: python() }).state !== "granted") return "needs --allow-run";
  try {
    Deno.statSync(python());
    return undefined;
  } catch {
    return "needs Python with confluent-kafka: run sh tests/servers/install.sh";
  }
}

const missing = pythonMissing();

serverTest(missing, "the Python example of docs/record.md writes a record like ours", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/record.md", import.meta.url));
  const code = /```python\n([\s\S]*?)```/.exec(page)?.[1];
  assert(code !== undefined, "docs/record.md has no Python block");
  assert(code.trim().split("\n").length <= 10, "the example is longer than ten lines");
  await using kafka = await KafkaServer.start();
  await kafka.createTopic("ticker_batch", { partitions: 3 });
  const before = Math.floor(Date.now() / 1000);
  const { success, stderr } = await new Deno.Command(python(), {
    args: ["-c", code],
    env: { KAFKA_BROKERS: kafka.broker },
    stdout: "null",
    stderr: "piped",
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const [record, ...more] = await kafka.read("ticker_batch");
  assertEquals(more, []);
  const { w_time, ...rest } = JSON.parse(record?.value ?? "{}");
  assertEquals(rest, { product: "nasdaq:AAPL", price: 189.84 });
  assert(Number.isInteger(w_time) && w_time >= before && w_time <= before + 60);
  assertEquals(record?.value, `{"product":"nasdaq:AAPL","w_time":${w_time},"price":189.84}`);
  assertEquals(record?.key, "nasdaq:AAPL");
});
