// What the program costs with 200 products at 100 ticks/s each and ten readers, each with the merged stream of all products and every
// tick of one: the real program, its exchange and its readers each a process of its own.
// `deno run -A --config deno.json tests/bench/stream.ts [seconds] [readers] [ticks/s of a product]`

import { Simulator } from "../../src/simulator/server.ts";
import { Program } from "../browser/program.ts";

const PRODUCTS = Array.from({ length: 200 }, (_, i) => `P${String(i + 1).padStart(3, "0")}-USD`);
const EVERY_MS = 250;
/** Until all is subscribed, compiled and in its rhythm. */
const WARM_UP_SECONDS = 8;

const encoder = new TextEncoder();
const say = (text: string) => Deno.stdout.writeSync(encoder.encode(`${text}\n`));
const pause = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));

// ---- the exchange's process

async function exchange(ticksPerSecond: number): Promise<void> {
  const simulator = await Simulator.start({ products: PRODUCTS, ticksPerSecond, seed: 7 });
  say(simulator.url);
}

// ---- the readers' process

/** What all readers have got so far. */
interface Got {
  bytes: number;
  mergedTicks: number;
  fullTicks: number;
  sheds: number;
  ended: number;
  /** From the exchange's time of a tick to its reader, ms; of the last tick of each chunk of a full stream. */
  delays: number[];
}

async function read(url: string, isFull: boolean, got: Got): Promise<void> {
  const response = await fetch(url);
  if (response.body === null || !response.ok) throw new Error(`${url}: ${response.status}`);
  let rest = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const text = rest + chunk;
    const end = text.lastIndexOf("\n\n") + 2;
    rest = text.slice(end);
    const whole = text.slice(0, end);
    got.bytes += chunk.length;
    got[isFull ? "fullTicks" : "mergedTicks"] += whole.split("event: tick\n").length - 1;
    got.sheds += whole.split("event: shed\n").length - 1;
    const time = isFull ? /"time":([\d.]+)/.exec(whole.slice(whole.lastIndexOf("event: tick\n")))?.[1] : undefined;
    if (time !== undefined) got.delays.push(Date.now() - Number(time) * 1000);
  }
  got.ended++;
}

function readers(origin: string, count: number): void {
  const got: Got = { bytes: 0, mergedTicks: 0, fullTicks: 0, sheds: 0, ended: 0, delays: [] };
  for (let i = 0; i < count; i++) {
    for (const [query, isFull] of [[`everyMs=${EVERY_MS}`, false], [`product=${PRODUCTS[i]}`, true]] as const) {
      read(`${origin}/api/stream?${query}`, isFull, got).catch((error) => {
        say(`a reader failed: ${error}`);
        Deno.exit(1);
      });
    }
  }
  setInterval(() => {
    say(JSON.stringify(got));
    got.delays = [];
  }, 1000);
}

// ---- the bench's own

async function output(...command: string[]): Promise<string> {
  const [program = "", ...args] = command;
  const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** CPU seconds of each thread by its id, and of all; MB of memory. The kernel's own figures, read by a program that may. */
async function usage(pid: number): Promise<{ cpu: number; threads: Map<string, number>; mb: number; mostMb: number }> {
  const stat = (text: string) => {
    const [, id = "", name = "", rest = ""] = /^(\d+) \((.*)\) (.*)$/.exec(text) ?? [];
    const fields = rest.split(" ");
    return { id, name, seconds: (Number(fields[11]) + Number(fields[12])) / ticksASecond };
  };
  const threads = new Map(
    (await output("sh", "-c", `cat /proc/${pid}/task/*/stat`)).split("\n").map((line) => {
      const { id, name, seconds } = stat(line);
      return [`${name} ${id}`, seconds];
    }),
  );
  const status = await output("cat", `/proc/${pid}/status`);
  const mb = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
  return { cpu: stat(await output("cat", `/proc/${pid}/stat`)).seconds, threads, mb: mb("VmRSS"), mostMb: mb("VmHWM") };
}

const ticksASecond = Number(await output("getconf", "CLK_TCK").catch(() => "100"));

/** Another role of this file, as a process; its lines. */
function child(...args: string[]): { lines: AsyncIterator<string>; process: Deno.ChildProcess } {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "-A",
      "--config",
      new URL("../../deno.json", import.meta.url).pathname,
      import.meta.url,
      ...args,
    ],
    stdout: "piped",
    stdin: "null",
  }).spawn();
  const lines = (async function* () {
    let rest = "";
    for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
  })();
  return { lines, process };
}

async function bench(seconds: number, count: number, ticksPerSecond: number): Promise<void> {
  const market = child("exchange", String(ticksPerSecond));
  const children = [market.process];
  try {
    const url: string = (await market.lines.next()).value;
    await using program = await Program.start({
      settings: { COINBASE_WS_URL: url, COINBASE_PRODUCTS: PRODUCTS.join(","), COINBASE_CHANNEL: "ticker" },
    });
    const crowd = child("readers", program.url, String(count));
    children.push(crowd.process);
    let got: Got = { bytes: 0, mergedTicks: 0, fullTicks: 0, sheds: 0, ended: 0, delays: [] };
    const delays: number[] = [];
    const listening = (async () => {
      for (let line = await crowd.lines.next(); !line.done; line = await crowd.lines.next()) {
        got = JSON.parse(line.value);
        delays.push(...got.delays);
      }
    })();
    await pause(WARM_UP_SECONDS);
    const look = async () => {
      const { counters } = await program.get<{ counters: { received: number } }>("/api/status");
      return { at: performance.now(), ticks: counters.received, got, ...await usage(program.pid) };
    };
    delays.length = 0;
    const before = await look();
    await pause(seconds);
    const after = await look();

    const elapsed = (after.at - before.at) / 1000;
    const ticks = after.ticks - before.ticks;
    const cpu = after.cpu - before.cpu;
    const rate = (field: "bytes" | "mergedTicks" | "fullTicks") =>
      (after.got[field] - before.got[field]) / elapsed / Math.max(1, count);
    const sorted = delays.toSorted((a, b) => a - b);
    const delay = (share: number) => Math.round(sorted[Math.floor(sorted.length * share)] ?? NaN);
    say(
      `Deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, load average ${
        Deno.loadavg()[0]?.toFixed(1)
      }`,
    );
    say(
      `${PRODUCTS.length} products, ${Math.round(ticks / elapsed)} ticks/s, ${count} readers, ${Math.round(elapsed)} s`,
    );
    say(
      `  the program: ${(cpu / elapsed).toFixed(2)} of a core, ${(cpu / ticks * 1e6).toFixed(1)} us a tick, ` +
        `${Math.round(after.mb)} MB, at most ${Math.round(after.mostMb)} MB`,
    );
    for (const [thread, used] of after.threads) {
      const share = (used - (before.threads.get(thread) ?? 0)) / elapsed;
      if (share >= 0.01) say(`    ${thread.replace(/ \d+$/, "")}: ${share.toFixed(2)}`);
    }
    say(
      `  a reader gets: ${(rate("bytes") / 1000).toFixed(0)} kB/s, ${
        Math.round(rate("mergedTicks"))
      } merged ticks/s, ` +
        `${Math.round(rate("fullTicks"))} ticks/s of its product`,
    );
    say(`  from the exchange's time to a reader of every tick: p50 ${delay(0.5)} ms, p99 ${delay(0.99)} ms`);
    if (after.got.sheds + after.got.ended > 0) {
      say(`  ${after.got.sheds} readers shed, ${after.got.ended} streams ended`);
    }
    crowd.process.kill();
    await listening;
  } finally {
    for (const process of children) {
      try {
        process.kill();
      } catch {
        // it has ended
      }
      await process.status;
    }
  }
}

const [role, ...rest] = Deno.args;
if (role === "exchange") await exchange(Number(rest[0]));
else if (role === "readers") readers(rest[0] ?? "", Number(rest[1]));
else await bench(Number(role ?? 20), Number(rest[0] ?? 10), Number(rest[1] ?? 100));
