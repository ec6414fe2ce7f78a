// The road of a price (exchange -> socket -> decode -> queue -> sinks) as numbers: rates from two statuses, and which stage is
// in trouble. Pure; drawing is left to others.

import { awayText, countText, rateText } from "./format.ts";
import { wholeSecondsText } from "../../core/duration.ts";
import { type Level, sinkTitle } from "./truth.ts";
import type { WireCounters, WireState, WireStatus } from "./wire.ts";

/** One box of the picture. */
export interface Stage {
  /** `exchange`, `socket`, `decode`, and of each sink `queue:<name>` and `sink:<name>`. */
  readonly id: string;
  /** What stands on it. */
  readonly title: string;
  /** How it is now, in a few words. */
  readonly text: string;
  /** More, where there is more to say; why it is in trouble. */
  readonly note: string;
  /** See {@link Level}. */
  readonly level: Level;
  /** Ticks or frames that leave it, per second. */
  readonly rate: number;
  /** Of a queue: how full it is, 0 to 1. */
  readonly fill?: number;
}

/** One sink's own way. */
export interface RoadLane {
  /** The sink's name. */
  readonly name: string;
  /** What waits for it. */
  readonly queue: Stage;
  /** Where it goes. */
  readonly sink: Stage;
}

/** The whole picture. */
export interface RoadPicture {
  /** What all ticks pass, in order: exchange, socket, decode. */
  readonly common: readonly Stage[];
  /** One way for each sink. */
  readonly lanes: readonly RoadLane[];
}

/** A status, and when it was, unix seconds. */
type Sample = Pick<WireStatus, "now" | "counters">;

/** Rates are those of so many seconds: a channel of samples brings all its ticks once in five. */
const OVER_SECONDS = 5;
/** What went wrong once is shown so long, or nobody would see it. */
const HOLD_SECONDS = 6;

/** Something that was counted lately. */
interface Seen {
  readonly at: number;
  readonly count: number;
}

function rejectedTotal({ rejected }: WireCounters): number {
  return Object.values(rejected).reduce((sum, count) => sum + count, 0);
}

/** Remembers the last statuses, and makes the picture from them. */
export class Road {
  #samples: Sample[] = [];
  #status: WireStatus | undefined;
  /** By what was counted: when it last rose, and by how much in all since it was quiet. */
  readonly #seen = new Map<string, Seen>();

  /** Takes the next status. */
  add(status: WireStatus): void {
    const last = this.#samples.at(-1);
    // counters start over with the program
    if (last !== undefined && (status.counters.frames < last.counters.frames || status.now < last.now)) {
      this.#samples = [];
      this.#seen.clear();
    }
    const before = this.#samples.at(-1);
    if (before !== undefined) this.#note(before.counters, status.counters, status.now);
    this.#samples.push({ now: status.now, counters: status.counters });
    while ((this.#samples[1]?.now ?? Infinity) <= status.now - OVER_SECONDS) this.#samples.shift();
    this.#status = status;
  }

  /**
   * The picture as of the last status; undefined before the first.
   * @param isKnown the program answers; else only the names of the stages are known now
   */
  picture(states: Iterable<WireState>, isKnown = true): RoadPicture | undefined {
    const status = this.#status;
    if (status === undefined) return undefined;
    const { common, lanes } = this.#picture(status, states);
    if (isKnown) return { common, lanes };
    return {
      common: common.map(unknown),
      lanes: lanes.map(({ name, queue, sink }) => ({ name, queue: unknown(queue), sink: unknown(sink) })),
    };
  }

  #picture(status: WireStatus, states: Iterable<WireState>): RoadPicture {
    const common = [this.#exchange(status, [...states]), this.#socket(status), this.#decode(status)];
    return {
      common,
      lanes: status.sinks.map((sink) => {
        const { name, queueDepth, queueCapacity } = sink;
        const sent = this.#rate((counters) => counters.sinks[name]?.sent ?? 0);
        const dropped = this.#lately(`dropped ${name}`);
        const fill = queueDepth / Math.max(1, queueCapacity);
        const title = sinkTitle(name);
        return {
          name,
          queue: {
            id: `queue:${name}`,
            title: "queue",
            text: `${countText(queueDepth)} waiting`,
            note: dropped > 0 ? `full: ${countText(dropped)} ticks dropped` : fill > 0.5 ? "filling up" : "",
            level: dropped > 0 ? "bad" : fill > 0.5 ? "warn" : "good",
            rate: sent,
            fill,
          },
          sink: {
            id: `sink:${name}`,
            title,
            text: rateText(sent, "ticks"),
            note: sink.trouble ?? sink.gapsTrouble ?? (sink.state === "ok" ? "" : sink.state),
            level: sink.state !== "ok" ? "bad" : sink.gapsTrouble !== undefined ? "warn" : "good",
            rate: sent,
          },
        };
      }),
    };
  }

  /** How many per second of what this counts. */
  rate(count: (counters: WireCounters) => number): number {
    return this.#rate(count);
  }

  #exchange({ exchange, link, delaySeconds }: WireStatus, states: readonly WireState[]): Stage {
    const stalled = states.filter(({ state }) => state === "stalled");
    const refused = states.filter(({ state }) => state === "refused");
    const notes = [
      ...(link === "silent" ? ["says nothing"] : []),
      ...(stalled.length > 0 ? [`${list(stalled)} stalled`] : []),
      ...(refused.length > 0 ? [`refuses ${list(refused)}`] : []),
    ];
    const isBad = link === "silent" || (stalled.length > 0 && stalled.length + refused.length === states.length);
    return {
      id: "exchange",
      title: exchange,
      text: link === "open" && delaySeconds !== undefined ? awayText(delaySeconds) : `${states.length} products`,
      note: notes.join(", "),
      level: isBad ? "bad" : notes.length > 0 ? "warn" : "good",
      rate: this.#rate(({ frames }) => frames),
    };
  }

  #socket({ link, lastTrouble, nextTrySeconds, lastFrameSeconds, historyDone }: WireStatus): Stage {
    const rate = this.#rate(({ frames }) => frames);
    const opened = this.#lately("reconnects");
    const common = { id: "socket", title: "socket", rate };
    if (historyDone !== undefined) return { ...common, text: "connects after the history", note: "", level: "warn" };
    if (link === "connecting") {
      const next = nextTrySeconds === undefined
        ? "connecting"
        : `next try in ${wholeSecondsText(Math.ceil(nextTrySeconds))}`;
      return { ...common, text: next, note: lastTrouble ?? "no connection yet", level: "bad" };
    }
    if (link === "silent") {
      return { ...common, text: `silent for ${wholeSecondsText(lastFrameSeconds ?? 0)}`, note: "", level: "warn" };
    }
    const note = opened > 0 ? "connected again" : "";
    return { ...common, text: rateText(rate, "frames"), note, level: opened > 0 ? "warn" : "good" };
  }

  #decode({ counters, clockTrouble }: WireStatus): Stage {
    const rate = this.#rate(({ received }) => received);
    const notes = Object.keys(counters.rejected).flatMap((reason) => {
      const count = this.#lately(`rejected ${reason}`);
      return count > 0 ? [`${countText(count)} ${reason}`] : [];
    });
    const repeated = this.#lately("repeated");
    const rejects = notes.length > 0 ? [`rejected: ${notes.join(", ")}`] : [];
    const repeats = repeated > 0 ? [`${countText(repeated)} repeated, already known`] : [];
    const ignored = this.#lately("ignored");
    const ignores = ignored > 0 ? [`${countText(ignored)} ignored`] : [];
    return {
      id: "decode",
      title: "decode",
      text: rateText(rate, "ticks"),
      note: [...(clockTrouble === undefined ? [] : [clockTrouble]), ...rejects, ...repeats, ...ignores].join("; "),
      level: clockTrouble !== undefined || rejects.length > 0 ? "bad" : repeated > 0 ? "warn" : "good",
      rate,
    };
  }

  #rate(count: (counters: WireCounters) => number): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.now <= first.now) return 0;
    return Math.max(0, count(last.counters) - count(first.counters)) / (last.now - first.now);
  }

  /** How much of it was counted since it was last quiet; 0 once that is a while ago. */
  #lately(what: string): number {
    const seen = this.#seen.get(what);
    return seen !== undefined && (this.#status?.now ?? 0) - seen.at < HOLD_SECONDS ? seen.count : 0;
  }

  #note(before: WireCounters, after: WireCounters, now: number): void {
    const note = (what: string, more: number) => {
      if (more <= 0) return;
      const seen = this.#seen.get(what);
      const running = seen !== undefined && now - seen.at < HOLD_SECONDS ? seen.count : 0;
      this.#seen.set(what, { at: now, count: running + more });
    };
    note("reconnects", after.reconnects - before.reconnects);
    note("repeated", after.repeated - before.repeated);
    note("ignored", after.ignored - before.ignored);
    for (const [reason, count] of Object.entries(after.rejected)) {
      const was = (before.rejected as Readonly<Record<string, number>>)[reason] ?? 0;
      note(`rejected ${reason}`, count - was);
    }
    for (const [name, { dropped }] of Object.entries(after.sinks)) {
      note(`dropped ${name}`, dropped - (before.sinks[name]?.dropped ?? 0));
    }
  }
}

/** A stage of which nothing is known now. */
function unknown({ id, title, fill }: Stage): Stage {
  return { id, title, text: "unknown", note: "", level: "good", rate: 0, ...(fill === undefined ? {} : { fill: 0 }) };
}

function list(states: readonly WireState[]): string {
  const [first] = states;
  return states.length === 1 && first !== undefined ? first.product : `${states.length} products`;
}

/** One line of the table of numbers. */
export interface NumberRow {
  /** What is counted. */
  readonly title: string;
  /** What it means, in a sentence. */
  readonly meaning: string;
  /** Since the program started. */
  readonly count: number;
  /** Per second; undefined where it says nothing. */
  readonly rate: number | undefined;
  /** A number above 0 is no good sign. */
  readonly isTrouble: boolean;
}

/** One part of the table of numbers. */
export interface NumberGroup {
  /** The stage. */
  readonly title: string;
  /** Its numbers. */
  readonly rows: readonly NumberRow[];
}

/**
 * All numbers, stage by stage.
 * @param isKnown the program answers; else they are the last that are known, and rates are not
 */
export function numbersOf(status: WireStatus, road: Road, isKnown = true): NumberGroup[] {
  const { counters } = status;
  const row = (
    title: string,
    meaning: string,
    count: (counters: WireCounters) => number,
    isTrouble = false,
  ): NumberRow => ({ title, meaning, count: count(counters), rate: isKnown ? road.rate(count) : undefined, isTrouble });
  const reasons = Object.entries(counters.rejected).filter(([, count]) => count > 0);
  return [
    {
      title: "socket",
      rows: [
        row("frames", "Messages that came.", ({ frames }) => frames),
        row("control", "Heartbeats, acknowledgements, refusals.", ({ control }) => control),
        row("ignored", "Messages that were not for us.", ({ ignored }) => ignored),
        row("reconnects", "Connections after the first.", ({ reconnects }) => reconnects, true),
      ],
    },
    {
      title: "decode",
      rows: [
        row("received", "Ticks that passed every check.", ({ received }) => received),
        row("rejected", "Failed a check.", rejectedTotal, true),
        ...reasons.map(([reason]) =>
          row(`– ${reason}`, "", ({ rejected }) => (rejected as Readonly<Record<string, number>>)[reason] ?? 0, true)
        ),
        row(
          "repeated",
          "Already known: after each subscribe the exchange sends every product's last tick again.",
          ({ repeated }) => repeated,
        ),
        row(
          "without a trade",
          "Tickers that report no trade, as of a product that was never traded.",
          ({ withoutTrade }) => withoutTrade,
        ),
        row(
          "gaps",
          "Gaps declared so far. A restart counts once for each product that already had prices.",
          ({ gaps }) => gaps,
          true,
        ),
      ],
    },
    ...status.sinks.map(({ name, queueDepth }) => ({
      title: sinkTitle(name),
      rows: [
        { title: "waiting", meaning: "Events in its queue.", count: queueDepth, rate: undefined, isTrouble: false },
        row(
          name === "sqlite" ? "stored" : "sent",
          "Confirmed.",
          ({ sinks }) => sinks[name]?.sent ?? 0,
        ),
        row("dropped", "Shed because its queue was full.", ({ sinks }) => sinks[name]?.dropped ?? 0, true),
        row("lost", "Taken, never confirmed.", ({ sinks }) => sinks[name]?.lost ?? 0, true),
        row("failures", "Attempts that failed.", ({ sinks }) => sinks[name]?.failures ?? 0, true),
      ],
    })),
  ];
}
