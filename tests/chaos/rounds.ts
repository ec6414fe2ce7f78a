// Round after round: faults, all heals, all is counted. What can fail is in faults.ts and world.ts, the count in books.ts.

import { mendKafkajs } from "../../src/kafka/kafkajs_fix.ts";
import { settle } from "../chain/chain.ts";
import { sleep } from "../servers/process.ts";
import { type Books, countRejected, readBooks, type RoundResult, settleBooks, wrongCandles } from "./books.ts";
import { describe, type Fault, planRound } from "./faults.ts";
import { diskMissing, type ProgramStatus, World } from "./world.ts";

/** How to go about it. */
export interface ChaosOptions {
  /** Of faults, prices and chance. */
  readonly seed: number;
  /** The first round; default 1. */
  readonly from?: number;
  /** At most so many. */
  readonly rounds: number;
  /** No round begins after so long, ms; default: never too late. */
  readonly longestMs?: number;
  /** The longest fault, ms; default 60 s. */
  readonly longestFaultMs?: number;
  /** Of each product; default 40. */
  readonly ticksPerSecond?: number;
  /** Instead of the faults that the seed would draw. */
  readonly plan?: readonly (readonly Fault[])[];
  /** Once it aborts the round that runs is the last one. */
  readonly signal?: AbortSignal;
  /** Takes each line of the table, and remarks. */
  readonly say: (line: string) => void;
}

/** A round that is over. */
export interface Round {
  /** From 1. */
  readonly number: number;
  /** In words. */
  readonly faults: string;
  /** What was counted; undefined where it did not come to that. */
  readonly result: RoundResult | undefined;
  /** In words; none: all is right. */
  readonly wrong: readonly string[];
}

/** What rounds on the same servers know of those before. */
interface WorldState {
  /** Ticks that earlier rounds have counted. */
  counted: number;
  /** See {@link CountOptions}. */
  staleCursor: boolean;
  /** See {@link RoundResult.untold}: those that earlier rounds have seen. */
  readonly untold: Set<string>;
  /** Records in Kafka beyond the first of their tick, in earlier rounds. */
  repeats: number;
  /** What was read last. */
  books: Books | undefined;
}

/** Rounds on the same servers; then new ones, so that the last round is counted as fast as the first. */
const ROUNDS_A_WORLD = 8;
/** So long after the last fault all must be well. */
const HEAL_MS = 240_000;
const SETTLE_MS = 180_000;
/** A short queue in every second world: it overflows, which is to be declared like anything else. */
const SHORT_QUEUE = 4000;

/** Runs them; resolves with all rounds. */
export async function runChaos(options: ChaosOptions): Promise<Round[]> {
  const { seed, from = 1, rounds, longestMs = Infinity, longestFaultMs, ticksPerSecond = 40, plan, signal, say } =
    options;
  const impossible = new Set<string>();
  const why = await diskMissing();
  if (why !== undefined) {
    impossible.add("disk full");
    say(`Skipped: a full disk, as the store cannot have a small one of its own here: ${why}`);
  }
  // without it kafkajs complains about itself among the lines of the table
  await mendKafkajs();
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
      untold: new Set(),
      repeats: 0,
      books: undefined,
    };
    do {
      const faults = plan?.[number - from] ??
        planRound(seed, number, { impossible, ...longestFaultMs !== undefined && { longestMs: longestFaultMs } });
      const round = await runRound(world, number, faults, state);
      done.push(round);
      for (const line of lines(round)) say(line);
      // what is missing now would be missing in every round that follows
      if (round.wrong.length > 0) {
        say(`       what is left of it is in ${await keep(world, number, state)}`);
        number++;
        break;
      }
      number++;
    } while (mayGoOn(number) && Math.floor((number - 1) / ROUNDS_A_WORLD) === worldNumber);
  }
  return done;
}

/** The last words: 0 or 1 for the exit code. */
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
    say(`Nothing was lost undeclared. The same again: deno task chaos --seed ${seed}${begin} --rounds ${done.length}`);
    return 0;
  }
  const numbers = bad.map(({ number }) => number).join(", ");
  say(`Wrong in round ${numbers}. The same again: deno task chaos --seed ${seed} --from ${bad[0]?.number} --rounds 1`);
  return 1;
}

/** Faults, healing, silence, count. */
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
    await until("all is well again", HEAL_MS, world, isWell);
    // some ticks after the healing, so that each gap has its end
    await sleep(2000);
    await until("all is well again", HEAL_MS, world, isWell);
    await world.quiet(true);
    await sleep(500);
    await until("all that was received is stored", HEAL_MS, world, isSettled);
    await settle({ kafka, influx }, SETTLE_MS);
  } catch (error) {
    const status = JSON.stringify(await world.status())?.slice(0, 2000);
    const why = error instanceof Error ? error.message : String(error);
    return { number, faults: words, result: undefined, wrong: [`it did not come to a count: ${why}; ${status}`] };
  }
  const { link: { cutTickers }, storeFile, products } = world;
  const sent = await world.sent();
  const books = await readBooks({ kafka, influx, storeFile, products, sent, cutTickers });
  state.books = books;
  // a cursor that cannot be written is as old as the disk's trouble, and a restart then declares from there on
  state.staleCursor ||= faults.some(({ victim, kind }) => victim === "disk" && kind === "full");
  const result = settleBooks(books, { from: state.counted, staleCursor: state.staleCursor });
  state.counted = sent.length;
  const untold = result.untold.filter((hole) => !state.untold.has(hole));
  for (const hole of untold) state.untold.add(hole);
  const wrong = [
    ...result.kafka.wrong.map((words) => `Kafka: ${words}`),
    ...result.influx.wrong.map((words) => `InfluxDB: ${words}`),
    ...result.store.wrong.map((words) => `store: ${words}`),
  ];
  const candles = await wrongCandles(storeFile, books.ticks);
  // an exchange that is silent for less than STALE_AFTER_MS on an open line has told nobody, and nobody can know
  const mayBeSilent = faults.some(({ victim, kind }) => victim === "exchange" && /silent|stalls/.test(kind));
  if (untold.length > 0 && !mayBeSilent) wrong.push(`trades nobody told of: ${untold.slice(0, 4).join("; ")}`);
  if (candles.length > 0) wrong.push(`${candles.length} candles: ${candles.slice(0, 4).join("; ")}`);
  const shown = await countRejected(influx);
  if (shown < world.poison) wrong.push(`InfluxDB: ${shown} of ${world.poison} unreadable records are shown`);
  await world.quiet(false);
  const repeats = result.repeats - state.repeats;
  state.repeats = result.repeats;
  return { number, faults: words, result: { ...result, repeats, untold }, wrong };
}

/** For whoever looks for the reason: logs, store, and what was read. */
async function keep(world: World, number: number, { books }: WorldState): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: `chaos-round-${number}-` });
  await Deno.writeTextFile(`${dir}/program.log`, await world.programLog());
  await Deno.writeTextFile(`${dir}/telegraf.log`, await world.chain.telegraf.log());
  for (const suffix of ["", "-wal"]) {
    await Deno.copyFile(world.storeFile + suffix, `${dir}/feed.db${suffix}`).catch(() => {});
  }
  if (books === undefined) return dir;
  for (const [name, list] of Object.entries(books)) {
    if (!Array.isArray(list)) continue;
    await Deno.writeTextFile(`${dir}/${name}.jsonl`, list.map((one) => `${JSON.stringify(one)}\n`).join(""));
  }
  return dir;
}

/** Waits until the program tells so. */
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

function isWell({ link, gaps, sinks, counters }: ProgramStatus): boolean {
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

/** Of the table: one, or more where the faults need the room or something is wrong. */
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
  const untold = result.untold.reduce((sum, hole) => sum + Number(/: (\d+)/.exec(hole)?.[1]), 0);
  const parts = [
    ...result.rejected > 0 ? [`${result.rejected} rejected`] : [],
    ...untold > 0 ? [`${untold} never told`] : [],
  ];
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

function thousands(n: number): string {
  return n.toLocaleString("en-US");
}
