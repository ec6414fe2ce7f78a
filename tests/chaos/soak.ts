// `deno task soak`: runs the program at 1,000 ticks a second with a fault every minute, and checks whether anything grows. Prints a
// line per minute, then a verdict for each measure. Exit code 1 if one of them is not flat.

import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { chainMissing, settle } from "../chain/chain.ts";
import { pointCount } from "../chain/points.ts";
import { Random } from "../fakes/random.ts";
import { sleep } from "../servers/process.ts";
import { readNumbers } from "./arguments.ts";
import type { Fault } from "./faults.ts";
import { type Bound, median, trendOf } from "./trend.ts";
import { type ProgramStatus, World } from "./world.ts";

const HELP = `Runs the program with faults, and checks whether anything grows.

Usage: deno task soak [options]

  --minutes M   how long (default 40)
  --seed S      of faults and prices (default 1)
  --rate N      ticks per second of all products together (default 1000)
  --help        this text
`;

/** Interval of measurements. */
const SAMPLE_MS = 5000;
/**
 * The measures, and when they count as flat: after the warm-up the Theil-Sen line through the minutes rises by no more than this
 * part of the median, or by no more than this amount.
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

/** The store keeps a week of ticks, so it grows; its size per tick must be flat. */
const DISK_BYTES = 2 ** 31;
/** The warm-up: this part of the run, but at most this many minutes. */
const WARM_UP = { part: 0.25, mostMinutes: 10 };
/** Only faults that the program survives, so that one process is measured. */
const FAULTS: readonly Pick<Fault, "victim" | "kind">[] = [
  { victim: "exchange", kind: "killed" },
  { victim: "exchange", kind: "frozen" },
  { victim: "exchange", kind: "junk" },
  { victim: "exchange", kind: "refuses" },
  { victim: "connection", kind: "cut" },
  { victim: "connection", kind: "held" },
  { victim: "connection", kind: "half" },
  { victim: "connection", kind: "junk" },
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

/** Resources of a process, according to the system. A shell reads them, because Deno reads `/proc` with -A only. */
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
    // user and system time; the first field is the state
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

/** The median of each measure during a minute. */
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
await patchKafkajs();

// the first Ctrl-C ends the servers in order, a second one ends at once
let isOver = false;
Deno.addSignalListener("SIGINT", () => {
  if (isOver) Deno.exit(130);
  say("this is the last minute");
  isOver = true;
});

let isGood = true;
{
  await using world = await World.start({
    seed,
    ticksPerSecond: rate / 8,
    diskBytes: DISK_BYTES,
    recordsSent: false,
    preload: new URL("vitals.ts", import.meta.url).pathname,
  });
  const { kafka, influx } = world.chain;
  const samples: Sample[] = [];
  const pid = world.programPid;
  say(row("minute", NAMES, "fault"));
  for (let minute = 1; minute <= minutes && !isOver; minute++) {
    const until = performance.now() + 60_000;
    // no faults in the first two minutes and the last one
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
    say(`The program ended unexpectedly: ${world.ends.join("; ")}`);
  }

  // everything received must now be stored everywhere
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
    `${received} ticks received; acknowledged by Kafka ${sinks.kafka?.sent}, by the store ${sinks.sqlite?.sent}; ` +
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
