// `deno task soak`: the program for as long as one likes, at 1,000 ticks a second and with a fault every minute; does anything
// grow? Prints a line a minute, then a verdict for each thing that was measured. Exit code 1 when one of them is not flat.

import { mendKafkajs } from "../../src/kafka/kafkajs_fix.ts";
import { chainMissing, settle } from "../chain/chain.ts";
import { pointCount } from "../chain/points.ts";
import { Random } from "../fakes/random.ts";
import { sleep } from "../servers/process.ts";
import { readNumbers } from "./arguments.ts";
import type { Fault } from "./faults.ts";
import { type Bound, median, trendOf } from "./trend.ts";
import { type ProgramStatus, World } from "./world.ts";

const HELP = `Runs the program with faults, and measures whether anything grows.

Usage: deno task soak [options]

  --minutes M   how long (default 40)
  --seed S      of faults and prices (default 1)
  --rate N      ticks per second of all products together (default 1000)
  --help        this text
`;

/** Between two looks. */
const SAMPLE_MS = 5000;
/**
 * What is measured and what may be called flat: from the end of the warm-up on, the Theil-Sen line through the minutes rises by no
 * more than that part of its median, or by that much.
 */
const MEASURES = {
  "rss, MB": { part: 0.1, least: 15 },
  "heap, MB": { part: 0.1, least: 10 },
  "threads": { part: 0, least: 2 },
  "files": { part: 0, least: 4 },
  "sockets": { part: 0, least: 3 },
  "timers": { part: 0, least: 5 },
  "queued": { part: 0, least: 500 },
  "store, B/tick": { part: 0.1, least: 5 },
  "WAL, MB": { part: 0.1, least: 5 },
  "cursor, kB": { part: 0, least: 1 },
  "CPU, %": { part: 0.15, least: 5 },
} as const satisfies Record<string, Bound>;

type Measure = keyof typeof MEASURES;
type Sample = Record<Measure, number>;

const NAMES = Object.keys(MEASURES) as Measure[];

/** Of the store: it keeps a week of ticks, so it grows with each of them, and what must be flat is its size for each. */
const DISK_BYTES = 2 ** 31;
/** Part of the run, but no more than so many minutes, in which memory and store may find their size. */
const WARM_UP = { part: 0.25, mostMinutes: 10 };
/** What a fault may be here: the program lives through all of them, so that one process is measured. */
const FAULTS: readonly Pick<Fault, "victim" | "kind">[] = [
  { victim: "exchange", kind: "killed" },
  { victim: "exchange", kind: "frozen" },
  { victim: "exchange", kind: "junk" },
  { victim: "exchange", kind: "refuses" },
  { victim: "link", kind: "cut" },
  { victim: "link", kind: "held" },
  { victim: "link", kind: "half" },
  { victim: "link", kind: "junk" },
  { victim: "program", kind: "junk" },
  { victim: "disk", kind: "locked" },
  { victim: "Kafka", kind: "killed" },
  { victim: "Kafka", kind: "frozen" },
  { victim: "Telegraf", kind: "killed" },
  { victim: "InfluxDB", kind: "killed" },
];

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** What the system tells of a process. Read by a shell, since `/proc` wants more of Deno than any flag but -A gives. */
async function readProcess(
  pid: number,
): Promise<Pick<Sample, "rss, MB" | "threads" | "files" | "sockets"> & { cpu: number }> {
  const script =
    `cat /proc/$0/status; echo fds; ls -l /proc/$0/fd | grep -c -- '->'; ls -l /proc/$0/fd | grep -c socket:
    cut -d')' -f2 /proc/$0/stat; getconf CLK_TCK`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script, String(pid)], stderr: "null" }).output();
  const text = new TextDecoder().decode(stdout);
  const [, rest = ""] = text.split("fds\n");
  const [files, sockets, stat = "", ticks] = rest.split("\n");
  const fields = stat.trim().split(" ");
  return {
    "rss, MB": Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? NaN) / 1024,
    threads: Number(/Threads:\s+(\d+)/.exec(text)?.[1] ?? NaN),
    files: Number(files),
    sockets: Number(sockets),
    // user and system time, of which the state is the first
    cpu: (Number(fields[11]) + Number(fields[12])) / Number(ticks),
  };
}

async function megabytes(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size / 1e6;
  } catch {
    return 0;
  }
}

/** A minute's median of each. */
async function measure(world: World, until: number): Promise<{ sample: Sample; status: ProgramStatus | undefined }> {
  const seen: Partial<Sample>[] = [];
  let status: ProgramStatus | undefined;
  const before = { at: performance.now(), ...await readProcess(world.programPid) };
  let now = before;
  do {
    await sleep(Math.min(SAMPLE_MS, Math.max(0, until - performance.now())));
    now = { at: performance.now(), ...await readProcess(world.programPid) };
    status = await world.status() ?? status;
    const vitals = (await world.programLog()).trimEnd().split("\n").findLast((line) => /"Vitals".*}$/.test(line));
    const { timers, heapUsed } = JSON.parse(vitals ?? "{}");
    const { cpu: _, at: __, ...process } = now;
    seen.push({
      ...process,
      "heap, MB": heapUsed / 1e6,
      timers,
      queued: Math.max(0, ...status?.sinks.map(({ queueDepth }) => queueDepth) ?? []),
      "store, B/tick": await megabytes(world.storeFile) * 1e6 / (status?.counters.sinks.sqlite?.sent ?? NaN),
      "WAL, MB": await megabytes(`${world.storeFile}-wal`),
      "cursor, kB": await megabytes(`${world.storeFile}.cursor`) * 1000,
    });
  } while (performance.now() < until);
  const cpu = 100 * (now.cpu - before.cpu) / ((now.at - before.at) / 1000);
  const sample = Object.fromEntries(NAMES.map((name) => {
    const values = seen.map((one) => one[name] ?? NaN).filter((value) => !Number.isNaN(value));
    return [name, name === "CPU, %" ? cpu : median(values)];
  }));
  return { sample: sample as Sample, status };
}

function shown(value: number): string {
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}

function row(first: string, cells: readonly string[], last: string): string {
  return [first.padStart(6), ...cells.map((cell, i) => cell.padStart((NAMES[i] ?? "").length)), last].join("  ");
}

if (Deno.args.includes("--help")) {
  Deno.stdout.writeSync(new TextEncoder().encode(HELP));
  Deno.exit(0);
}
const numbers = readNumbers(Deno.args, ["minutes", "seed", "rate"], say);
const missing = chainMissing();
if (missing !== undefined || numbers === undefined) {
  if (missing !== undefined) say(missing);
  Deno.exit(2);
}
const minutes = numbers.get("minutes") ?? 40;
const seed = numbers.get("seed") ?? 1;
const rate = numbers.get("rate") ?? 1000;
const random = new Random(seed);
await mendKafkajs();

// the servers must not be left behind; a second one ends at once
let isOver = false;
Deno.addSignalListener("SIGINT", () => {
  if (isOver) Deno.exit(130);
  say("this minute is the last one");
  isOver = true;
});

let isGood = true;
{
  await using world = await World.start({
    seed,
    ticksPerSecond: rate / 8,
    diskBytes: DISK_BYTES,
    keepsBooks: false,
    preload: new URL("vitals.ts", import.meta.url).pathname,
  });
  const { kafka, influx } = world.chain;
  const samples: Sample[] = [];
  const pid = world.programPid;
  say(row("minute", NAMES, "fault"));
  for (let minute = 1; minute <= minutes && !isOver; minute++) {
    const until = performance.now() + 60_000;
    // the first minutes are left in peace, and the last one
    const isCalm = minute <= 2 || minute === minutes;
    const fault = { ...random.pick(FAULTS), afterMs: random.int(0, 15_000), ms: random.int(5000, 25_000) };
    const striking = isCalm ? Promise.resolve() : sleep(fault.afterMs).then(() => world.strike(fault));
    const [{ sample }] = await Promise.all([measure(world, until), striking]);
    samples.push(sample);
    const words = isCalm ? "" : `${fault.victim} ${fault.kind} ${Math.round(fault.ms / 1000)} s`;
    say(row(String(minute), NAMES.map((name) => shown(sample[name])), words));
    if (world.ends.length > 0) break;
  }
  if (world.ends.length > 0 || world.programPid !== pid) {
    isGood = false;
    say(`The program ended by itself: ${world.ends.join("; ")}`);
  }

  // what was received must be everywhere by now
  await world.quiet(true);
  let status: ProgramStatus | undefined;
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(500)) {
    status = await world.status();
    const { received, sinks } = status?.counters ?? { received: -1, sinks: {} };
    if (Object.values(sinks).every(({ sent, dropped, lost }) => sent + dropped + lost === received)) break;
  }
  await settle({ kafka, influx }, 180_000);
  const { received = 0, sinks = {} } = status?.counters ?? {};
  const points = await pointCount(influx, world.products);
  say("");
  say(
    `${received} ticks received; confirmed by Kafka ${sinks.kafka?.sent}, by the store ${sinks.sqlite?.sent}; ` +
      `${points} points in InfluxDB`,
  );
  if (points !== sinks.kafka?.sent) isGood = false;

  const warm = Math.min(WARM_UP.mostMinutes, Math.ceil(samples.length * WARM_UP.part));
  say(`After ${warm} minutes of warm-up:`);
  for (const name of NAMES) {
    const { median, rise, allowed, isFlat } = trendOf(
      samples.slice(warm).map((sample) => sample[name]),
      MEASURES[name],
    );
    isGood &&= isFlat;
    say(
      `  ${name.padEnd(10)}  median ${shown(median).padStart(6)}, rise ${shown(rise).padStart(6)} in ` +
        `${samples.length - warm} minutes, allowed ${shown(allowed).padStart(5)}: ${isFlat ? "flat" : "NOT FLAT"}`,
    );
  }
  say(isGood ? "Flat." : "Not flat.");
}
Deno.exit(isGood ? 0 : 1);
