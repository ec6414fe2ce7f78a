// The demo as a process, at its beginning: told to stop while its history is made, or without a place for it.

import { assert, assertEquals } from "@std/assert";
import { inTempDir } from "../fakes/folder.ts";
import type { Gap } from "../../src/record.ts";
import { Program } from "../browser/program.ts";
import { until } from "../integration/feed.ts";
import { Stream } from "../web/site.ts";

const may = (["run", "net", "read", "write", "env"] as const)
  .every((name) => Deno.permissions.querySync({ name }).state === "granted");
const skipped = may ? "" : " [skipped: needs --allow-run --allow-net --allow-read --allow-write --allow-env]";
const ROOT = new URL("../../", import.meta.url);

/** Starts one whose temporary files go to `dir`; it reads no .env of ours. */
function start(dir: string, cwd: string, env: Record<string, string> = {}): Deno.ChildProcess {
  const { command } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT))).tasks.demo;
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...(command as string).split(" ").slice(1, -2),
      "--no-prompt",
      "--config",
      new URL("deno.json", ROOT).pathname,
      new URL("main.ts", ROOT).pathname,
      "demo",
    ],
    cwd,
    env: { TMPDIR: dir, PORT: "0", LOG_FORMAT: "text", KAFKA_BROKERS: "", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

function test(name: string, fn: (dir: string) => Promise<void>): void {
  Deno.test({
    name: `${name}${skipped}`,
    ignore: !may,
    fn: () => inTempDir(fn),
  });
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`the demo ends with 0 and leaves nothing behind when ${signal} comes while its history is made`, async (dir) => {
    await Deno.mkdir(`${dir}/tmp`);
    const products = Array.from({ length: 400 }, (_, i) => `P${i}-USD`).join(",");
    const child = start(`${dir}/tmp`, dir, { COINBASE_PRODUCTS: products });
    let told = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      if (told === "") child.kill(signal);
      told += text;
    }
    assertEquals((await child.status).code, 0, told);
    assert(told.includes("The history of the demo is being made"), told);
    assert(told.includes("Stopped before the history was made") && !told.includes("AbortError"), told);
    assertEquals(await Array.fromAsync(Deno.readDir(`${dir}/tmp`)), []);
  });
}

test("the demo without a place for its store ends with 2 and one sentence", async (dir) => {
  const child = start(`${dir}/missing`, dir);
  let told = "";
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) told += text;
  assertEquals((await child.status).code, 2);
  assertEquals(
    told,
    "Cannot make a folder for the demo's store as TMPDIR must be a folder that can be written to: current value is " +
      `"${dir}/missing" (No such file or directory)\n`,
  );
});

test("the demo's stream tells of each gap of the store before /api/gaps does: slow disk and flood", async () => {
  await using program = await Program.start({ command: "demo", settings: { KAFKA_BROKERS: "" } });
  await using stream = await Stream.open(`${program.url}/api/stream?everyMs=1000`, {});
  const lost = (gaps: readonly Gap[]) =>
    new Map(
      gaps.filter(({ reason }) => reason === "store-failed").map((gap) => [`${gap.product} ${gap.opened}`, gap]),
    );
  const streamed = () => lost(stream.data("gap"));
  const stored = async () => lost(await program.get<Gap[]>("/api/gaps"));
  const pull = async (name: string, args: object) => {
    const headers = { "content-type": "application/json" };
    const request = { method: "POST", headers, body: JSON.stringify(args) };
    const answer = await fetch(`${program.url}/api/demo/levers/${name}`, request);
    assertEquals(answer.status, 200, await answer.text());
  };
  await pull("slowDisk", { on: true });
  await pull("flood", {});
  await until("the stream tells of ticks that the store lost", () => streamed().size > 0, 60_000);
  assertEquals(await stored(), new Map(), "no write has been made since");
  await pull("slowDisk", { on: false });
  await until("each gap is closed, in the store as on the stream", async () => {
    const gaps = await stored();
    assertEquals([...gaps.keys()].filter((key) => !streamed().has(key)), [], "stored, and not on the stream");
    return gaps.size > 0 && [...gaps.values()].every(({ to }) => to !== null) &&
      JSON.stringify([...gaps].sort()) === JSON.stringify([...streamed()].sort());
  }, 60_000);
});
