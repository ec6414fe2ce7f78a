// The demo as a process: its page while the history is made, a signal at that time, no folder for its store, and its stream.

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { inTempDir } from "../fakes/folder.ts";
import type { Gap } from "../../src/core/record.ts";
import type { ProductStatus } from "../../src/pipeline/source.ts";
import type { WireCandle } from "../../src/web/page/wire.ts";
import { Program } from "../browser/program.ts";
import { until } from "../simulator/client.ts";
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

test("the demo reports that an exchange has no simulator, ends with 2 and leaves nothing behind", async (dir) => {
  await Deno.mkdir(`${dir}/tmp`);
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--config",
      new URL("deno.json", ROOT).pathname,
      new URL("tests/fakes/second_exchange.ts", ROOT).pathname,
    ],
    cwd: dir,
    env: { TMPDIR: `${dir}/tmp`, PORT: "0", LOG_FORMAT: "text", KAFKA_BROKERS: "", EXCHANGE: "second" },
    stdin: "null",
    stdout: "null",
  }).output();
  assertEquals(
    [new TextDecoder().decode(stderr), code],
    [
      'Cannot start the demo: expected EXCHANGE to be coinbase, which has a simulator, got "second"; ' +
      "for live prices of Second Exchange run deno task dev\n",
      2,
    ],
  );
  assertEquals(await Array.fromAsync(Deno.readDir(`${dir}/tmp`)), []);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`the demo ends with 0 and leaves nothing behind when ${signal} comes while its history is made`, async (dir) => {
    await Deno.mkdir(`${dir}/tmp`);
    const products = Array.from({ length: 400 }, (_, i) => `P${i}-USD`).join(",");
    const child = start(`${dir}/tmp`, dir, { COINBASE_PRODUCTS: products });
    let told = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      const wasMaking = told.includes("Making a day of history");
      told += text;
      if (!wasMaking && told.includes("Making a day of history")) child.kill(signal);
    }
    assertEquals((await child.status).code, 0, told);
    assert(told.includes("Stopped before the history was made") && !told.includes("AbortError"), told);
    assertEquals(await Array.fromAsync(Deno.readDir(`${dir}/tmp`)), []);
  });
}

test("the demo without a folder for its store ends with 2 and one sentence", async (dir) => {
  const child = start(`${dir}/missing`, dir);
  let told = "";
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) told += text;
  assertEquals((await child.status).code, 2);
  assertEquals(
    told,
    "Cannot make a folder for the demo's store: expected TMPDIR to be a folder that can be written to, got " +
      `"${dir}/missing" (No such file or directory)\n`,
  );
});

const read = (response: Response) => response.json();

test("the demo's page works while its history is made; then the day is complete, and no gap reports a loss", async () => {
  await using program = await Program.start({ command: "demo", settings: { KAFKA_BROKERS: "" } });
  const status = () => program.get<{ historyDone?: number; link: string; products: ProductStatus[] }>("/api/status");
  const candles = () => program.get<WireCandle[]>("/api/candles?product=BTC-USD&interval=1h&limit=100");
  const first = await status();
  assertEquals(first.link, "connecting");
  assertLess(first.historyDone ?? 1, 1);
  assertEquals((await fetch(`${program.url}/`).then((page) => page.text())).includes("<title>"), true);
  const { ready, reasons } = await fetch(`${program.url}/readyz`).then(read);
  assertEquals(ready, false);
  assertMatch(String(reasons), /^making a day of history, \d+ %$/);
  const early = await fetch(`${program.url}/api/demo/levers/outOfOrder`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assertEquals(early.status, 400);
  assertMatch(await early.text(), /the day of history is not complete yet/);
  await until("a part of the day is there", async () => (await candles()).length > 2, 60_000);
  assertLess((await candles()).length, 24, "and not all of it");
  const partly = await program.get<{ price?: number }[]>("/api/products");
  assertEquals(partly.filter(({ price }) => price === undefined), [], "prices of the moment");

  await until("the feed is live", async () => {
    const { historyDone, products } = await status();
    return historyDone === undefined && products.every(({ state }) => state === "live");
  }, 60_000);
  const whole = await candles();
  const hours = whole.slice(1, -1);
  assertEquals(hours.filter(({ incomplete }) => incomplete), []);
  // a sample each five seconds; that of the full hour may hold a trade from before it
  assertEquals([hours.length, hours.filter(({ ticks }) => Math.abs(ticks - 720) > 1)], [23, []]);
  assertEquals(Math.round(hours.reduce((sum, { ticks }) => sum + ticks, 0) / 720), 23);
  await until("each product's restart gap is closed", async () => {
    const gaps = await program.get<Gap[]>("/api/gaps");
    assertEquals(gaps.filter(({ from }) => from === null), [], "the end of the history is known");
    return gaps.length === first.products.length && gaps.every(({ to }) => to !== null);
  });
  assertEquals((await program.get<Gap[]>("/api/gaps")).filter(({ missed }) => missed), []);
  const changes = await program.get<{ change24h?: number }[]>("/api/products");
  assertEquals(changes.filter(({ change24h }) => change24h === undefined), []);
});

test("the demo's stream has each gap of the store before /api/gaps does: slow disk and flood", async () => {
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
  await until("the history is complete", async () => (await fetch(`${program.url}/readyz`).then(read)).ready, 60_000);
  await pull("slowDisk", { on: true });
  await pull("flood", {});
  await until("the stream reports ticks that the store lost", () => streamed().size > 0, 60_000);
  assertEquals(await stored(), new Map(), "no write has been made since");
  await pull("slowDisk", { on: false });
  await until("each gap is closed, in the store as on the stream", async () => {
    const gaps = await stored();
    assertEquals([...gaps.keys()].filter((key) => !streamed().has(key)), [], "stored, and not on the stream");
    return gaps.size > 0 && [...gaps.values()].every(({ to }) => to !== null) &&
      JSON.stringify([...gaps].sort()) === JSON.stringify([...streamed()].sort());
  }, 60_000);
});
