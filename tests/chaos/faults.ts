// What can happen to each part, and the plan of a round: which faults, when, for how long. Pure: a seed gives the same plan
// for ever.

import { Random } from "../fakes/random.ts";

/** The parts, in the order of the road. */
export const VICTIMS = ["exchange", "link", "program", "disk", "Kafka", "Telegraf", "InfluxDB"] as const;

/** One of {@link VICTIMS}. */
export type Victim = typeof VICTIMS[number];

/** How each part can fail. What the words mean is the world's matter (world.ts). */
export const KINDS = {
  exchange: ["killed", "stopped", "frozen", "slow", "junk", "refuses", "silent", "stalls"],
  link: ["cut", "held", "slow", "junk", "half"],
  program: ["killed", "stopped", "frozen", "slow", "junk"],
  disk: ["full", "locked", "store deleted", "store damaged", "cursor damaged"],
  Kafka: ["killed", "stopped", "frozen", "slow", "junk"],
  Telegraf: ["killed", "stopped", "frozen", "slow"],
  InfluxDB: ["killed", "stopped", "frozen", "slow"],
} as const satisfies Record<Victim, readonly string[]>;

/** One thing that happens. */
export interface Fault {
  /** To whom. */
  readonly victim: Victim;
  /** What. */
  readonly kind: string;
  /** After the beginning of the round, ms. */
  readonly afterMs: number;
  /** How long it lasts, ms. */
  readonly ms: number;
}

/** How faults are drawn. */
export interface PlanOptions {
  /** The longest, ms; default 60 s. */
  readonly longestMs?: number;
  /** Left out, as this machine cannot do them: `disk full`. */
  readonly impossible?: ReadonlySet<string>;
}

/** The shortest fault, ms. */
const SHORTEST_MS = 5000;
/** Faults begin within so long, ms. */
const BEGIN_MS = 15_000;

/** The faults of a round: one to four parts, of each one fault; 1 of 12 rounds hits everything at once. */
export function planRound(seed: number, round: number, options: PlanOptions = {}): Fault[] {
  const { longestMs = 60_000, impossible = new Set() } = options;
  const random = new Random(Math.imul(seed, 7919) + Math.imul(round, 104_729));
  // the first draws of neighbouring seeds are alike
  for (let i = 0; i < 10; i++) random.next();
  const left: Victim[] = [...VICTIMS];
  const count = random.chance(1 / 12) ? left.length : random.pick([1, 2, 2, 3, 3, 4]);
  const faults: Fault[] = [];
  for (let i = 0; i < count; i++) {
    const [victim] = left.splice(random.int(0, left.length - 1), 1);
    if (victim === undefined) break;
    const kinds = KINDS[victim].filter((kind) => !impossible.has(`${victim} ${kind}`));
    const kind = random.pick(kinds);
    // mostly short ones: a long one costs the time of three
    const ms = SHORTEST_MS + Math.round((longestMs - SHORTEST_MS) * random.next() ** 3);
    faults.push({ victim, kind, afterMs: random.int(0, BEGIN_MS), ms });
  }
  return faults.filter((fault) => !isEclipsed(fault, faults)).sort((a, b) => a.afterMs - b.afterMs);
}

/** These end the program themselves: beside another fault of it they would be something else than what the table says. */
function isEclipsed({ victim, kind }: Fault, faults: readonly Fault[]): boolean {
  return victim === "disk" && kind.endsWith("damaged") && faults.some((other) => other.victim === "program");
}

/** `Kafka frozen 12 s`, in the order in which they begin. */
export function describe(faults: readonly Fault[]): string {
  return faults.map(({ victim, kind, ms }) => `${victim} ${kind} ${Math.round(ms / 1000)} s`).join(", ");
}
