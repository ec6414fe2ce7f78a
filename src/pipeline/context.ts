// What the parts of the pipeline share in one run of the program.

import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { GapTimes, Position } from "../core/record.ts";
import type { Stats } from "../core/stats.ts";

/** What the parts of the pipeline share. */
export interface RunContext {
  /** Wall clock, monotonic clock and sleep. */
  readonly clock: Clock;
  /** Returns 0 (included) to 1 (excluded), for the jitter of delays. */
  readonly random: () => number;
  /** Receives connections, failures, recoveries and lost records. */
  readonly log: Logger;
  /** Counts frames, ticks and gaps, and what is sent, dropped and lost per sink. */
  readonly stats: Stats;
  /** Gives each new gap its `opened`. */
  readonly gapTimes: GapTimes;
  /** The last tick of each product that all sinks confirmed in an earlier run, if known: where the `restart` gap starts. */
  readonly last?: readonly Position[] | undefined;
}
