// `deno task bench stream [SECONDS] [READERS] [TICKS a second of a product]`: what the program uses with 200 products at 100 ticks/s
// each and ten readers, each of which reads the merged stream of all products and every tick of one. The program, its exchange
// and the readers are separate processes.

import { Program } from "../browser/program.ts";
import { SimulatorProcess } from "../servers/simulator.ts";
import { endIfMissing, judge, numberArgument, pause, percentile, say } from "./report.ts";
import { usageMissing, usageOf } from "./usage.ts";

const PRODUCTS = Array.from({ length: 200 }, (_, i) => `P${String(i + 1).padStart(3, "0")}-USD`);
const EVERY_MS = 250;
/** Until everything is subscribed and compiled. */
const WARM_UP_SECONDS = 8;

/** Allowed CPU, cores. */
const MOST_CORES = 0.5;
/** Allowed. */
const MOST_MB = 200;

// ---- the process of the readers

/** What all readers have received so far. */
interface Received {
  bytes: number;
  mergedTicks: number;
  fullTicks: number;
  sheds: number;
  ended: number;
  /** From the exchange's time of a tick to its reader, ms, for the last tick of each chunk of a full stream. */
  delays: number[];
}

async function read(url: string, isFull: boolean, got: Received): Promise<void> {
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
  const got: Received = { bytes: 0, mergedTicks: 0, fullTicks: 0, sheds: 0, ended: 0, delays: [] };
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

// ---- the process of the bench

/** Starts this file as the process of the readers. */
function startReaders(...args: string[]): { lines: AsyncIterator<string>; process: Deno.ChildProcess } {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", new URL("../../deno.json", import.meta.url).pathname].concat(
      ["--allow-net=127.0.0.1", "--allow-env", "--allow-read", import.meta.url, "readers", ...args],
    ),
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
  await using exchange = await SimulatorProcess.start({ products: PRODUCTS, ticksPerSecond });
  await using program = await Program.start({
    settings: { COINBASE_WS_URL: exchange.url, COINBASE_PRODUCTS: PRODUCTS.join(","), COINBASE_CHANNEL: "ticker" },
  });
  const crowd = startReaders(program.url, String(count));
  try {
    let got: Received = { bytes: 0, mergedTicks: 0, fullTicks: 0, sheds: 0, ended: 0, delays: [] };
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
      return { at: performance.now(), ticks: counters.received, got, ...await usageOf(program.pid) };
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
    const delay = (share: number) => Math.round(percentile(delays, share));
    say(
      `${PRODUCTS.length} products, ${Math.round(ticks / elapsed)} ticks/s, ${count} readers, ${Math.round(elapsed)} s`,
    );
    say(
      `  the program: ${(cpu / elapsed).toFixed(2)} of a core, ${(cpu / ticks * 1e6).toFixed(1)} us a tick, ` +
        `${Math.round(after.mb)} MB, at most ${Math.round(after.peakMb)} MB`,
    );
    for (const [thread, used] of after.threads) {
      const share = (used - (before.threads.get(thread) ?? 0)) / elapsed;
      if (share >= 0.01) say(`    ${thread.replace(/ \d+$/, "")}: ${share.toFixed(2)}`);
    }
    say(
      `  per reader: ${(rate("bytes") / 1000).toFixed(0)} kB/s, ${Math.round(rate("mergedTicks"))} merged ticks/s, ` +
        `${Math.round(rate("fullTicks"))} ticks/s of its product`,
    );
    say(`  from the exchange's time to a reader of every tick: p50 ${delay(0.5)} ms, p99 ${delay(0.99)} ms`);
    if (after.got.sheds + after.got.ended > 0) {
      say(`  ${after.got.sheds} readers shed, ${after.got.ended} streams ended`);
    }
    const load = `${PRODUCTS.length} products at ${ticksPerSecond} ticks/s, ${count} readers`;
    judge(
      `program with ${load}, CPU`,
      cpu / elapsed < MOST_CORES,
      `${(cpu / elapsed).toFixed(2)} of a core (${Math.round(ticks / elapsed)} ticks/s)`,
      `below ${MOST_CORES}`,
    );
    judge(
      `program with ${load}, memory at the peak`,
      after.peakMb < MOST_MB,
      `${Math.round(after.peakMb)} MB`,
      `below ${MOST_MB} MB`,
    );
    crowd.process.kill();
    await listening;
  } finally {
    try {
      crowd.process.kill();
    } catch {
      // it has ended
    }
    await crowd.process.status;
  }
}

const [role, url = "", count] = Deno.args;
if (role === "readers") {
  readers(url, Number(count));
} else {
  endIfMissing(usageMissing());
  await bench(
    numberArgument(0, "SECONDS", 20),
    numberArgument(1, "READERS", 10),
    numberArgument(2, "TICKS", 100),
  );
}
