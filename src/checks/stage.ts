// The stages that `deno task doctor` checks, and what a check finds. Runs all checks, each as soon as those it needs are done.

import { unlessAborted } from "../core/abort.ts";
import { systemClock } from "../core/clock.ts";
import { reasonOf } from "../core/errors.ts";

/** All stages, in the order of the pipeline: a stage depends only on those before it. */
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

/** What a check found. The names are those of `deno task doctor --json`. */
export interface Finding {
  /** `not used`: there is no such server here. `unknown`: not checked, because a stage that it needs is broken. */
  readonly state: "ok" | "broken" | "not used" | "unknown";
  /** What was seen: one line without a full stop, as are `cause` and `cure`. */
  readonly words: string;
  /** The most likely reason why it is broken. */
  readonly cause?: string;
  /** What to do about it. */
  readonly cure?: string;
  /** What was seen, for programs. */
  readonly facts?: Readonly<Record<string, unknown>> | undefined;
}

/** How one stage is checked. */
export interface Stage {
  /** Unless all of these are ok, this stage is not checked. */
  readonly needs?: readonly StageName[];
  /** This check uses what these have found, and waits for them. */
  readonly after?: readonly StageName[];
  /** Throws a Problem if the stage is broken; any other error counts as broken too. */
  check(signal: AbortSignal): Promise<Finding>;
}

/** What was found at a stage. */
export interface Result extends Finding {
  readonly name: StageName;
  readonly ms: number;
}

/** Something is broken, and the check knows why. The message says what was seen. */
export class Problem extends Error {
  override name = "Problem";
  override readonly cause: string;
  readonly cure: string;
  readonly facts: Finding["facts"];

  /** One line each, without a full stop. */
  constructor(words: string, cause: string, cure: string, facts?: Finding["facts"]) {
    super(words);
    this.cause = cause;
    this.cure = cure;
    this.facts = facts;
  }
}

/** The stage works. */
export function ok(words: string, facts?: Finding["facts"]): Finding {
  return { state: "ok", words, facts };
}

/**
 * Checks all stages, independent ones at the same time. Rejects only if `onResult` throws.
 *
 * @param waitMs the longest time for one stage, ms
 * @param onResult called for every stage in order, as soon as it and all before it are done
 */
export async function checkAll(
  stages: Readonly<Record<StageName, Stage>>,
  waitMs: number,
  signal: AbortSignal,
  onResult: (result: Result) => void,
): Promise<Result[]> {
  const running = new Map<StageName, Promise<Result>>();
  const run = async (name: StageName): Promise<Result> => {
    // a stage may wait for one that is started after it
    await undefined;
    const { needs = [], after = [], check } = stages[name];
    const needed = await Promise.all(needs.map((each) => running.get(each)));
    await Promise.all(after.map((each) => running.get(each)));
    const since = systemClock.elapsed();
    const blocking = needed.find((result) => result !== undefined && result.state !== "ok");
    const finding: Finding = blocking === undefined
      ? await checkInTime(check, waitMs, signal)
      : blocking.state === "not used"
      ? { state: "not used", words: blocking.words }
      : { state: "unknown", words: `not checked, because ${blocking.name} is ${blocking.state}` };
    return { name, ...finding, ms: Math.round(systemClock.elapsed() - since) };
  };
  for (const name of STAGES) running.set(name, run(name));
  const results: Result[] = [];
  for (const result of running.values()) {
    results.push(await result);
    onResult(await result);
  }
  return results;
}

/** When its time is over, a check has this long to say what it was waiting for, ms. */
const LAST_WORDS_MS = 500;

async function checkInTime(check: Stage["check"], waitMs: number, signal: AbortSignal): Promise<Finding> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(waitMs)]);
  try {
    // a library may not know the signal
    return await unlessAborted(
      check(inTime),
      AbortSignal.any([signal, AbortSignal.timeout(waitMs + LAST_WORDS_MS)]),
    );
  } catch (error) {
    return { state: "broken", ...explain(error, waitMs, signal, inTime) };
  }
}

function explain(
  error: unknown,
  waitMs: number,
  signal: AbortSignal,
  inTime: AbortSignal,
): Omit<Finding, "state"> {
  if (error instanceof Problem) {
    const { message: words, cause, cure, facts } = error;
    return { words, cause, cure, facts };
  }
  if (inTime.aborted) {
    return {
      words: signal.aborted ? "the check was stopped" : `no answer within ${waitMs / 1000} s`,
      cause: "the server accepts connections but does not answer, or the network loses packets",
      cure: "look at the log of that server; if it is far away or busy, set DOCTOR_WAIT_MS to a longer time",
    };
  }
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) {
    return { words: error.message, cause: `a bug of this program: ${error.stack}`, cure: "please report it" };
  }
  return {
    words: reasonOf(error),
    cause: "an answer that this program does not expect",
    cure: "look at the log of that server",
  };
}
