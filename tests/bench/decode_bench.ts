// What decode and record cost on top of JSON.parse, which no reader of JSON frames can do without. Rounds of all take turns,
// and each one's best counts: other programs on the machine can only slow a round down.
// Run it: deno run tests/bench/decode_bench.ts [FILE of recorded ticker frames, one a line]

import { coinbase } from "../../src/exchanges/coinbase.ts";
import { type Tick, toRecord } from "../../src/record.ts";
import { Sequencer } from "../../src/sequencer.ts";
import { frameText } from "./frames.ts";

const FRAMES = 2000;
const ROUNDS = 500;

const [file] = Deno.args;
const frames = file === undefined
  ? Array.from({ length: FRAMES }, (_, i) => frameText(i))
  : Deno.readTextFileSync(file).trim().split("\n").slice(0, FRAMES);
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
if (!(sum > 0)) throw new Error("nothing was done");

const parse = best.get("JSON.parse") as number;
const lines = [...best].map(([name, us]) =>
  `${name.padEnd(42)} ${us.toFixed(2)} us a frame, ${(us / parse).toFixed(2)} times JSON.parse`
);
const { version, build } = Deno;
lines.unshift(
  `Deno ${version.deno}, V8 ${version.v8}, ${build.target}, ${frames.length} ${
    file === undefined ? "made" : "recorded"
  } frames, best of ${ROUNDS} rounds`,
);
Deno.stdout.writeSync(new TextEncoder().encode(`${lines.join("\n")}\n`));
