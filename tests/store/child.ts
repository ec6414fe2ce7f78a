// A program of its own around a store, for tests that kill it, or take its rights away. Its words are lines on stdout.

import { SinkError } from "../../src/core/errors.ts";
import type { Tick } from "../../src/core/record.ts";
import { restore } from "../../src/store/copy.ts";
import { Store } from "../../src/store/store.ts";
import { makeTick } from "../fakes/events.ts";
import { Notebook } from "../fakes/log.ts";
import { Random } from "../fakes/random.ts";

/** Number `n` of a feed that any process can make again; every seventh comes late by its own clock. */
export function numbered(n: number): Tick {
  const timeUs = Date.UTC(2026, 9, 3) * 1000 + (n - (n % 7 === 0 ? Math.min(n, 300) : 0)) * 50_000;
  return makeTick({
    product: ["BTC-USD", "ETH-USD", "SOL-USD"][n % 3] ?? "",
    sequence: n,
    price: 100 + (Math.imul(n, 2_654_435_761) >>> 8) / 1000,
    exchangeTimeUs: timeUs,
    receivedTime: timeUs / 1000,
    lastSize: (n % 1000) / 1e8,
  });
}

const never = new AbortController().signal;
const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));

/** Ticks from this number on, as fast as they are taken; says each time how many are confirmed. */
async function load(path: string, from: number, seed: number): Promise<void> {
  const random = new Random(seed);
  const store = await Store.open(path, { ticksDays: 0, syncEveryMs: 20, log: new Notebook() });
  for (let n = from;;) {
    const size = random.int(1, 400);
    const again = random.int(0, Math.min(20, n));
    await store.write(Array.from({ length: size + again }, (_, i) => numbered(n - again + i)), never);
    n += size;
    say(String(n));
  }
}

/** One tick into the store, or the reason why not. */
async function once(path: string, n: number): Promise<void> {
  const log = new Notebook();
  try {
    await using store = await Store.open(path, { ticksDays: 0, log });
    await store.write([numbered(n)], never);
    say("stored");
  } catch (error) {
    if (!(error instanceof SinkError)) throw error;
    say(`${error.kind}: ${error.message}`);
  }
}

/** Opens the store and keeps it until it is killed. */
async function hold(path: string): Promise<void> {
  const store = await Store.open(path, { log: new Notebook() });
  await store.write([numbered(1)], never);
  say("open");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  await store.close();
}

/** Restores the store from this backup again and again. */
async function restoreOften(path: string, from: string): Promise<void> {
  say("start");
  while (true) {
    await restore(from, path, Date.now);
    say("restored");
  }
}

if (import.meta.main) {
  const [mode, path = "", from = "1", seed] = Deno.args;
  if (mode === "load") await load(path, Number(from), Number(seed));
  else if (mode === "once") await once(path, Number(from));
  else if (mode === "hold") await hold(path);
  else if (mode === "restore") await restoreOften(path, from);
  Deno.exit(0);
}
