// `deno task chaos`: runs everything on real servers and kills, freezes, slows or confuses random parts; counts after each round.
// Exit code 1 if anything is lost undeclared.

import { chainMissing } from "../chain/chain.ts";
import { readNumbers } from "./arguments.ts";
import { conclude, runChaos } from "./rounds.ts";

const HELP = `Injects random faults into every part from the exchange to InfluxDB, and counts what arrives.

Usage: deno task chaos [options]

  --rounds N    how many rounds (default 40)
  --seed S      the same seed gives the same faults and prices (default: from the clock)
  --minutes M   no round begins after this time
  --from N      begin with this round of the seed (default 1)
  --rate N      ticks per second of each of eight products (default 40)
  --longest S   the longest fault, seconds (default 60)
  --help        this text
`;

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (Deno.args.includes("--help")) {
  Deno.stdout.writeSync(new TextEncoder().encode(HELP));
  Deno.exit(0);
}
const numbers = readNumbers(Deno.args, ["rounds", "seed", "minutes", "from", "rate", "longest"], say);
const missing = chainMissing();
if (missing !== undefined || numbers === undefined) {
  if (missing !== undefined) say(missing);
  Deno.exit(2);
}
const seed = numbers.get("seed") ?? Math.floor(Date.now() / 1000) % 1_000_000;
const [minutes, longest] = [numbers.get("minutes"), numbers.get("longest")];
// the first Ctrl-C ends the servers in order, a second one ends at once
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => {
  if (stop.signal.aborted) Deno.exit(130);
  say("       this is the last round");
  stop.abort();
});
const done = await runChaos({
  signal: stop.signal,
  seed,
  from: numbers.get("from") ?? 1,
  rounds: numbers.get("rounds") ?? 40,
  ticksPerSecond: numbers.get("rate") ?? 40,
  ...minutes !== undefined && { longestMs: minutes * 60_000 },
  ...longest !== undefined && { longestFaultMs: longest * 1000 },
  say,
});
Deno.exit(conclude(done, seed, say));
