// What decoding and writing the record cost compared with JSON.parse alone. The cases take turns, and the best round of each counts,
// because other programs can only make a round slower. Uses recorded frames, one per line, from FILE or the folder
// RECORDED_FIXTURES, else generated ones. Run it: deno run tests/bench/decode_bench.ts [FILE]

import { coinbase } from "../../src/exchanges/coinbase.ts";
import { type Tick, toRecord } from "../../src/core/record.ts";
import { Sequencer } from "../../src/pipeline/sequencer.ts";
import { frameText } from "./frames.ts";
import { judge, say } from "./report.ts";

const FRAMES = 2000;
const ROUNDS = 500;
/** Multiple of a bare JSON.parse. */
const MOST = 1.5;

/** The longest recording. Does not prompt for permissions, because generated frames need none. */
function recordedFile(): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "RECORDED_FIXTURES" });
  const folder = state === "granted" ? Deno.env.get("RECORDED_FIXTURES") : undefined;
  if (!folder) return undefined;
  const recordings = Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => /^coinbase-exchange\.ticker\.[-\d]+\.jsonl$/.test(name))
    .map((name) => ({ path: `${folder}/${name}`, bytes: Deno.statSync(`${folder}/${name}`).size }));
  return recordings.sort((a, b) => a.bytes - b.bytes).at(-1)?.path;
}

const file = Deno.args[0] ?? recordedFile();
const frames = file === undefined
  ? Array.from({ length: FRAMES }, (_, i) => frameText(i))
  : Deno.readTextFileSync(file).split("\n").filter((line) => line.includes('"type":"ticker"')).slice(0, FRAMES);
const received = Date.UTC(2026, 9, 3, 21);

function decode(frame: string): Tick {
  const [tick] = coinbase.decode(frame, received).ticks;
  if (tick === undefined) throw new Error(`No tick in ${frame}`);
  return tick;
}

const seconds = new Sequencer("seconds"), microseconds = new Sequencer("microseconds");
const CASES: Readonly<Record<string, (frame: string) => number>> = {
  "JSON.parse": (frame) => JSON.parse(frame).sequence,
  "decode": (frame) => decode(frame).sequence,
  "decode, sequencer, record (ticker_batch)": (frame) => {
    const tick = decode(frame);
    seconds.admit(tick);
    return toRecord(tick).length;
  },
  "decode, sequencer, record (ticker)": (frame) => {
    const tick = decode(frame);
    microseconds.admit(tick);
    return toRecord(tick).length;
  },
};

const best = new Map(Object.keys(CASES).map((name) => [name, Infinity]));
let sum = 0;
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of Object.entries(CASES)) {
    const start = performance.now();
    for (const frame of frames) sum += run(frame);
    best.set(name, Math.min(best.get(name) as number, (performance.now() - start) / frames.length * 1000));
  }
}
if (!(sum > 0)) throw new Error("The bench did nothing");

const { version, build } = Deno;
const kind = file === undefined ? "generated" : "recorded";
say(
  `Deno ${version.deno}, V8 ${version.v8}, ${build.target}, ${frames.length} ${kind} frames, best of ${ROUNDS} rounds`,
);
const parse = best.get("JSON.parse") as number;
for (const [name, us] of best) {
  say(`${name.padEnd(42)} ${us.toFixed(2)} us per frame, ${(us / parse).toFixed(2)} times JSON.parse`);
}
for (const channel of ["ticker_batch", "ticker"]) {
  const us = best.get(`decode, sequencer, record (${channel})`) as number;
  judge(
    `decode and record a frame of ${channel}, compared with JSON.parse alone`,
    us / parse <= MOST,
    `${(us / parse).toFixed(2)} times (${us.toFixed(2)} us, ${kind} frames)`,
    `at most ${MOST} times`,
  );
}
