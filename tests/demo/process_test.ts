// The demo as a process, at its beginning: told to stop while its history is made, or without a place for it.

import { assert, assertEquals } from "@std/assert";
import { inTempDir } from "../fakes/folder.ts";

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
