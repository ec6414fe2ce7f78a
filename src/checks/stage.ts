// What a stage of the road is, and how all of them are looked at: each as soon as those that it needs are done, none
// for longer than it may take. What a stage looks at is left to the other files here.

import { reasonOf } from "../core/errors.ts";

/** All stages, in the order of the road: a later one leans on those before it. */
export const STAGES = [
  "settings",
  "exchange",
  "kafka",
  "topics",
  "store",
  "program",
  "records",
  "telegraf",
  "influxdb",
  "token",
  "points",
  "grafana",
  "datasource",
  "panels",
  "ticks",
  "page",
] as const;

/** One of {@link STAGES}. */
export type StageName = typeof STAGES[number];

/**
 * `ok`; `broken`; `not used`: the road does not lead there; `unknown`: it could not be looked at, since one that it
 * needs is broken.
 */
export type StageState = "ok" | "broken" | "not used" | "unknown";

/** What was found at a stage. */
export interface Finding {
  /** How it is. */
  readonly state: StageState;
  /** What was seen, one line without a full stop. */
  readonly words: string;
  /** Why it is broken, most likely: a sentence without a full stop. */
  readonly cause?: string;
  /** What helps. */
  readonly cure?: string;
  /** What was seen, for programs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** A stage to look at. */
export interface Stage {
  /** Which. */
  readonly name: StageName;
  /** Without these it cannot be looked at. */
  readonly needs: readonly StageName[];
  /** What these find it wants to know, if they find anything. */
  readonly after?: readonly StageName[];
  /** Looks. Whatever it throws counts as broken. */
  look(signal: AbortSignal): Promise<Finding>;
}

/** A stage, looked at. */
export interface Result extends Finding {
  /** Which. */
  readonly name: StageName;
  /** How long it took, ms. */
  readonly ms: number;
}

/** It is broken, and the look can say why. Thrown by whatever a stage uses. */
export class Trouble extends Error {
  /** Its class. */
  override name = "Trouble";
  /** See {@link Finding.words}; the message is the cause. */
  readonly words: string;
  /** See {@link Finding.cure}. */
  readonly cure: string;

  /** What was seen, why, and what helps. */
  constructor(words: string, cause: string, cure: string) {
    super(cause);
    this.words = words;
    this.cure = cure;
  }
}

/** All is well. */
export function ok(words: string, facts?: Readonly<Record<string, unknown>>): Finding {
  return { state: "ok", words, ...(facts === undefined ? {} : { facts }) };
}

/** It is not. */
export function broken(words: string, cause: string, cure: string, facts?: Readonly<Record<string, unknown>>): Finding {
  return { state: "broken", words, cause, cure, ...(facts === undefined ? {} : { facts }) };
}

/** The road does not lead there. */
export function unused(words: string): Finding {
  return { state: "not used", words };
}

/** How to look at all of them. */
export interface Looking {
  /** Longest look at one stage, ms. */
  readonly waitMs: number;
  /** Ends all looks. */
  readonly signal: AbortSignal;
  /** Monotonic ms. */
  readonly elapsed: () => number;
  /** Told of each stage in the order of the road, as soon as it and all before it are known. */
  readonly tell: (result: Result) => void;
}

/** Looks at all stages, those that do not need one another at the same time. Never rejects, unless `tell` throws. */
export async function lookAtAll(stages: readonly Stage[], looking: Looking): Promise<Result[]> {
  const looks = new Map<StageName, Promise<Result>>();
  const start = async (stage: Stage): Promise<Result> => {
    // until all are on the list: some wait for one that stands after them
    await undefined;
    const needed = await Promise.all(stage.needs.map((name) => looks.get(name)));
    await Promise.all((stage.after ?? []).map((name) => looks.get(name)));
    const since = looking.elapsed();
    const lacking = needed.find((result) => result !== undefined && result.state !== "ok");
    const finding: Finding = lacking === undefined
      ? await lookAt(stage, looking)
      : lacking.state === "not used"
      ? unused(lacking.words)
      : { state: "unknown", words: `not looked at, as ${lacking.name} is ${lacking.state}` };
    return { name: stage.name, ...finding, ms: Math.round(looking.elapsed() - since) };
  };
  for (const stage of stages) looks.set(stage.name, start(stage));
  const results: Result[] = [];
  for (const look of looks.values()) {
    const result = await look;
    results.push(result);
    looking.tell(result);
  }
  return results;
}

/** Until a look that has no time left must have said what it knows, ms. */
const LAST_WORDS_MS = 500;

async function lookAt(stage: Stage, { waitMs, signal }: Looking): Promise<Finding> {
  const tooLate = AbortSignal.timeout(waitMs);
  const both = AbortSignal.any([signal, tooLate]);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  // it may say in words of its own what it waited for
  const onAbort = () => timer = setTimeout(() => reject(both.reason), LAST_WORDS_MS);
  both.addEventListener("abort", onAbort, { once: true });
  try {
    // a look may hold on to something that knows no signal
    return await Promise.race([stage.look(both), aborted]);
  } catch (error) {
    if (error instanceof Trouble) return broken(error.words, error.message, error.cure);
    if (both.aborted) {
      const words = signal.aborted ? "the look was ended" : `no answer within ${waitMs / 1000} s`;
      return broken(
        words,
        "it takes connections and does not answer, or the network between loses what is sent",
        "see the log of that server; where it is far away or busy, DOCTOR_WAIT_MS gives it more time",
      );
    }
    // a bug of ours is told as such, with its stack
    const bug = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
    return broken(
      reasonOf(error),
      bug ? `a bug of this program: ${error.stack}` : "it answered in a way that nobody has foreseen",
      bug ? "please report it" : "see the log of that server",
    );
  } finally {
    both.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }
}
