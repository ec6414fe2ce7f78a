// The faults of each part, and the plan of a round: which faults, when, for how long. Pure: a seed always gives the same plan.

import { Random } from "../fakes/random.ts";

/** The parts, in the order in which a tick passes them. */
export const VICTIMS = ["exchange", "connection", "program", "disk", "Kafka", "Telegraf", "InfluxDB"] as const;

export type Victim = typeof VICTIMS[number];

/** How each part can fail. world.ts implements them. */
export const KINDS = {
  exchange: ["killed", "stopped", "frozen", "slow", "junk", "refuses", "silent", "stalls"],
  connection: ["cut", "held", "slow", "junk", "half"],
  program: ["killed", "stopped", "frozen", "slow", "junk"],
  disk: ["full", "locked", "store deleted", "store damaged", "cursor damaged"],
  Kafka: ["killed", "stopped", "frozen", "slow", "junk"],
  Telegraf: ["killed", "stopped", "frozen", "slow"],
  InfluxDB: ["killed", "stopped", "frozen", "slow"],
} as const satisfies Record<Victim, readonly string[]>;

/** A fault. */
export interface Fault {
  readonly victim: Victim;
  /** One of {@link KINDS} of the victim. */
  readonly kind: string;
  /** Time from the beginning of the round, ms. */
  readonly afterMs: number;
  /** Duration, ms. */
  readonly ms: number;
}

/** All optional. */
export interface PlanOptions {
  /** The longest fault, ms; default 60 s. */
  readonly longestMs?: number;
  /** Faults that this machine cannot cause, such as `disk full`. */
  readonly impossible?: ReadonlySet<string>;
}

/** The shortest fault, ms. */
const SHORTEST_MS = 5000;
/** Faults begin within this time, ms. */
const BEGIN_MS = 15_000;

/** The faults of a round: one for each of one to four parts; in 1 of 12 rounds all parts fail. */
export function planRound(seed: number, round: number, options: PlanOptions = {}): Fault[] {
  const { longestMs = 60_000, impossible = new Set() } = options;
  const random = new Random(Math.imul(seed, 7919) + Math.imul(round, 104_729));
  // the first numbers of neighbouring seeds are similar
  for (let i = 0; i < 10; i++) random.next();
  const left: Victim[] = [...VICTIMS];
  const count = random.chance(1 / 12) ? left.length : random.pick([1, 2, 2, 3, 3, 4]);
  const faults: Fault[] = [];
  for (let i = 0; i < count; i++) {
    const [victim] = left.splice(random.int(0, left.length - 1), 1);
    if (victim === undefined) break;
    const kinds = KINDS[victim].filter((kind) => !impossible.has(`${victim} ${kind}`));
    const kind = random.pick(kinds);
    // mostly short ones, because long ones take so much time
    const ms = SHORTEST_MS + Math.round((longestMs - SHORTEST_MS) * random.next() ** 3);
    faults.push({ victim, kind, afterMs: random.int(0, BEGIN_MS), ms });
  }
  return faults.filter((fault) => !isShadowed(fault, faults)).sort((a, b) => a.afterMs - b.afterMs);
}

/** Damaging a file kills the program, so it is left out beside another fault of the program. */
function isShadowed({ victim, kind }: Fault, faults: readonly Fault[]): boolean {
  return victim === "disk" && kind.endsWith("damaged") && faults.some((other) => other.victim === "program");
}

/** `Kafka frozen 12 s, disk full 8 s`, in the order in which they begin. */
export function describe(faults: readonly Fault[]): string {
  return faults.map(({ victim, kind, ms }) => `${victim} ${kind} ${Math.round(ms / 1000)} s`).join(", ");
}
