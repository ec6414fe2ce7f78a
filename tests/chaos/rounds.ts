// Round after round: inject faults, wait until everything has recovered, count. The faults are in faults.ts and world.ts, the
// count in result.ts.

import { patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";
import { settle } from "../chain/chain.ts";
import { sleep } from "../servers/process.ts";

import { describe, type Fault, planRound } from "./faults.ts";
import {
  countRejected,
  countRound,
  keyOf,
  readSnapshot,
  type RoundResult,
  type Snapshot,
  wrongCandles,
} from "./result.ts";
import { diskMissing, type ProgramStatus, World } from "./world.ts";

/** What to run. */
export interface ChaosOptions {
  /** Of faults, prices and everything random. */
  readonly seed: number;
  /** The first round; default 1. */
  readonly from?: number;
  /** At most so many. */
  readonly rounds: number;
  /** No round begins after this time, ms; default: no limit. */
  readonly longestMs?: number;
  /** The longest fault, ms; default 60 s. */
  readonly longestFaultMs?: number;
  /** Per product; default 40. */
  readonly ticksPerSecond?: number;
  /** Instead of the faults that the seed would draw. */
  readonly plan?: readonly (readonly Fault[])[];
  /** Aborting it makes the current round the last one. */
  readonly signal?: AbortSignal;
  /** Receives each line of the table, and remarks. */
  readonly say: (line: string) => void;
}

/** A finished round. */
export interface Round {
  /** From 1. */
  readonly number: number;
  /** As `describe()` writes them. */
  readonly faults: string;
  /** Undefined if the round failed before the count. */
  readonly result: RoundResult | undefined;
  /** Everything that is wrong, in words. */
  readonly wrong: readonly string[];
}

/** Carried from round to round on the same servers. */
interface WorldState {
  /** Ticks that earlier rounds have counted. */
  counted: number;
  staleCursor: boolean;
  /** Keys of the skipped trades that earlier rounds have reported. */
  readonly skipped: Set<string>;
  /** Records in Kafka beyond the first of their tick, in earlier rounds. */
  repeats: number;
  /** The latest one. */
  snapshot: Snapshot | undefined;
}

/** Rounds on the same servers; then new ones are started, so that counting does not become slower. */
const ROUNDS_A_WORLD = 8;
/** Everything must have recovered within this time after the last fault. */
const HEAL_MS = 240_000;
const SETTLE_MS = 180_000;
/** Every second world has a short queue: it overflows, and the loss must be declared. */
const SHORT_QUEUE = 4000;

/** Resolves with all rounds. */
export async function runChaos(options: ChaosOptions): Promise<Round[]> {
  const { seed, from = 1, rounds, longestMs = Infinity, longestFaultMs, ticksPerSecond = 40, plan, signal, say } =
    options;
  const impossible = new Set<string>();
  const why = await diskMissing();
  if (why !== undefined) {
    impossible.add("disk full");
    say(`Skipped: a full disk, because the store cannot have a small disk of its own here: ${why}`);
  }
  // without this, kafkajs prints warnings about itself between the lines of the table
  await patchKafkajs();
  const over = performance.now() + longestMs;
  const done: Round[] = [];
  const mayGoOn = (number: number) => number < from + rounds && performance.now() < over && signal?.aborted !== true;
  for (const line of HEAD) say(line);
  for (let number = from; mayGoOn(number);) {
    const worldNumber = Math.floor((number - 1) / ROUNDS_A_WORLD);
    const settings: Record<string, string> = worldNumber % 2 === 0 ? {} : { QUEUE_CAPACITY: String(SHORT_QUEUE) };
    await using world = await World.start({ seed: seed + worldNumber, ticksPerSecond, settings });
    const state: WorldState = {
      counted: 0,
      staleCursor: false,
      skipped: new Set(),
      repeats: 0,
      snapshot: undefined,
    };
    do {
      const faults = plan?.[number - from] ??
        planRound(seed, number, { impossible, ...longestFaultMs !== undefined && { longestMs: longestFaultMs } });
      const round = await runRound(world, number, faults, state);
      done.push(round);
      for (const line of lines(round)) say(line);
      // what is missing now would be missing in every following round
      if (round.wrong.length > 0) {
        say(`       logs, store and records are in ${await keep(world, number, state)}`);
        number++;
        break;
      }
      number++;
    } while (mayGoOn(number) && Math.floor((number - 1) / ROUNDS_A_WORLD) === worldNumber);
  }
  return done;
}

/** Prints the summary and returns the exit code, 0 or 1. */
export function conclude(done: readonly Round[], seed: number, say: (line: string) => void): number {
  const sum = (of: (result: RoundResult) => number) =>
    done.reduce((all, { result }) => all + (result === undefined ? 0 : of(result)), 0);
  const bad = done.filter(({ wrong }) => wrong.length > 0);
  const undeclared = sum(({ kafka, influx, store }) => kafka.undeclared + influx.undeclared + store.undeclared);
  say("");
  say(
    `${done.length} rounds, ${thousands(sum(({ sent }) => sent))} ticks sent; in Kafka ` +
      `${thousands(sum(({ kafka }) => kafka.stored))}, InfluxDB ${thousands(sum(({ influx }) => influx.stored))}, ` +
      `the store ${thousands(sum(({ store }) => store.stored))}; undeclared ${undeclared}.`,
  );
  if (bad.length === 0) {
    const from = done[0]?.number ?? 1;
    const begin = from === 1 ? "" : ` --from ${from}`;
    say(`Nothing was lost undeclared. To repeat it: deno task chaos --seed ${seed}${begin} --rounds ${done.length}`);
    return 0;
  }
  const numbers = bad.map(({ number }) => number).join(", ");
  say(`Wrong in round ${numbers}. To repeat it: deno task chaos --seed ${seed} --from ${bad[0]?.number} --rounds 1`);
  return 1;
}

/** Faults, recovery, no more trades, count. */
async function runRound(
  world: World,
  number: number,
  faults: readonly Fault[],
  state: WorldState,
): Promise<Round> {
  const { kafka, influx } = world.chain;
  const words = describe(faults);
  try {
    await Promise.all(faults.map(async (fault) => {
      await sleep(fault.afterMs);
      await world.strike(fault);
    }));
    await until("everything has recovered", HEAL_MS, world, hasRecovered);
    // some ticks after the recovery, so that each gap has its end
    await sleep(2000);
    await until("everything has recovered", HEAL_MS, world, hasRecovered);
    await world.quiet(true);
    await sleep(500);
    await until("everything received is stored", HEAL_MS, world, isSettled);
    await settle({ kafka, influx }, SETTLE_MS);
  } catch (error) {
    const status = JSON.stringify(await world.status())?.slice(0, 2000);
    const why = error instanceof Error ? error.message : String(error);
    return { number, faults: words, result: undefined, wrong: [`failed before the count: ${why}; ${status}`] };
  }
  const { connection: { cutTickers }, storeFile, products } = world;
  const sent = await world.sent();
  const snapshot = await readSnapshot({ kafka, influx, storeFile, products, sent, cutTickers });
  state.snapshot = snapshot;
  // while the disk is full the cursor cannot be written, and a restart declares everything since then
  state.staleCursor ||= faults.some(({ victim, kind }) => victim === "disk" && kind === "full");
  const result = countRound(snapshot, { from: state.counted, staleCursor: state.staleCursor });
  state.counted = sent.length;
  const skippedTrades = result.skippedTrades.filter((each) => !state.skipped.has(keyOf(each)));
  for (const each of skippedTrades) state.skipped.add(keyOf(each));
  const wrong = [
    ...result.kafka.wrong.map((words) => `Kafka: ${words}`),
    ...result.influx.wrong.map((words) => `InfluxDB: ${words}`),
    ...result.store.wrong.map((words) => `store: ${words}`),
  ];
  const candles = await wrongCandles(storeFile, snapshot.ticks);
  // if the exchange is silent on an open connection for less than STALE_AFTER_MS, no reader can notice
  const mayBeSilent = faults.some(({ victim, kind }) => victim === "exchange" && /silent|stalls/.test(kind));
  if (skippedTrades.length > 0 && !mayBeSilent) {
    wrong.push(`trades without a tick: ${skippedTrades.slice(0, 4).map(keyOf).join("; ")}`);
  }
  if (candles.length > 0) wrong.push(`${candles.length} candles: ${candles.slice(0, 4).join("; ")}`);
  const shown = await countRejected(influx);
  if (shown < world.poison) wrong.push(`InfluxDB: ${shown} of ${world.poison} unreadable records are shown`);
  await world.quiet(false);
  const repeats = result.repeats - state.repeats;
  state.repeats = result.repeats;
  return { number, faults: words, result: { ...result, repeats, skippedTrades }, wrong };
}

/** Keeps logs, store and snapshot for the search for the cause. */
async function keep(world: World, number: number, { snapshot }: WorldState): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: `chaos-round-${number}-` });
  await Deno.writeTextFile(`${dir}/program.log`, await world.programLog());
  await Deno.writeTextFile(`${dir}/telegraf.log`, await world.chain.telegraf.log());
  for (const suffix of ["", "-wal"]) {
    await Deno.copyFile(world.storeFile + suffix, `${dir}/feed.db${suffix}`).catch(() => {});
  }
  if (snapshot === undefined) return dir;
  for (const [name, list] of Object.entries(snapshot)) {
    if (!Array.isArray(list)) continue;
    await Deno.writeTextFile(`${dir}/${name}.jsonl`, list.map((one) => `${JSON.stringify(one)}\n`).join(""));
  }
  return dir;
}

/** Waits until the program's status satisfies the condition. */
async function until(
  what: string,
  ms: number,
  world: World,
  condition: (status: ProgramStatus) => boolean,
): Promise<void> {
  for (const end = performance.now() + ms;; await sleep(200)) {
    const status = await world.status();
    if (status !== undefined && condition(status)) return;
    if (performance.now() > end) throw new Error(`waited ${ms / 1000} s in vain until ${what}`);
  }
}

function hasRecovered({ link, gaps, sinks, counters }: ProgramStatus): boolean {
  return link === "open" && gaps.length === 0 && counters.received > 0 &&
    sinks.every(({ state, queueDepth, trouble }) => state === "ok" && queueDepth < 500 && trouble === undefined);
}

function isSettled({ sinks, counters }: ProgramStatus): boolean {
  return sinks.every(({ queueDepth }) => queueDepth === 0) &&
    Object.values(counters.sinks).every(({ sent, dropped, lost }) => sent + dropped + lost === counters.received);
}

const WIDTHS = { round: 5, faults: 62, sent: 8, place: 9, missing: 21, undeclared: 10, repeats: 7 };
const HEAD = [
  [
    "round".padStart(WIDTHS.round),
    "faults".padEnd(WIDTHS.faults),
    "sent".padStart(WIDTHS.sent),
    ...["in Kafka", "InfluxDB", "store"].map((name) => name.padStart(WIDTHS.place)),
    "declared missing".padStart(WIDTHS.missing),
    "undeclared".padStart(WIDTHS.undeclared),
    "repeats".padStart(WIDTHS.repeats),
    "verdict",
  ].join("  "),
];

/** The lines of the table for one round: more than one if the faults do not fit, or something is wrong. */
function lines({ number, faults, result, wrong }: Round): string[] {
  const parts: string[] = [];
  for (const fault of faults.split(", ")) {
    const last = parts.at(-1);
    if (last === undefined || last.length + fault.length + 2 > WIDTHS.faults) parts.push(fault);
    else parts[parts.length - 1] = `${last}, ${fault}`;
  }
  const places = result === undefined ? [] : [result.kafka, result.influx, result.store];
  const declared = places.map(({ declared }) => thousands(declared)).join(" / ");
  const undeclared = places.reduce((sum, place) => sum + place.undeclared, 0);
  const first = [
    String(number).padStart(WIDTHS.round),
    (parts[0] ?? "").padEnd(WIDTHS.faults),
    (result === undefined ? "?" : thousands(result.sent)).padStart(WIDTHS.sent),
    ...[0, 1, 2].map((i) => (places[i] === undefined ? "?" : thousands(places[i].stored)).padStart(WIDTHS.place)),
    declared.padStart(WIDTHS.missing),
    (result === undefined ? "?" : String(undeclared)).padStart(WIDTHS.undeclared),
    (result === undefined ? "?" : String(result.repeats)).padStart(WIDTHS.repeats),
    wrong.length > 0 ? "WRONG" : `ok${remarks(result)}`,
  ].join("  ");
  const indent = " ".repeat(WIDTHS.round + 2);
  return [first, ...parts.slice(1).map((part) => indent + part), ...wrong.map((words) => `${indent}! ${words}`)];
}

function remarks(result: RoundResult | undefined): string {
  if (result === undefined) return "";
  const skipped = result.skippedTrades.reduce((sum, { count }) => sum + count, 0);
  const parts = [
    ...result.rejected > 0 ? [`${result.rejected} rejected`] : [],
    ...skipped > 0 ? [`${skipped} trades without a tick`] : [],
  ];
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

function thousands(n: number): string {
  return n.toLocaleString("en-US");
}
