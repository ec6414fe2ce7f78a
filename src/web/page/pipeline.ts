// The pipeline (exchange, socket, decode, queues, sinks) as stages and numbers, from the statuses of the last five seconds.
// Pure; pipeline_view.ts draws it.

import { awayText, countText, rateText } from "./format.ts";
import { wholeSecondsText } from "../../core/duration.ts";
import { type Level, sinkTitle } from "./status_line.ts";
import type { WireCounters, WireState, WireStatus } from "./wire.ts";

/** One box of the picture. */
export interface Stage {
  /** `exchange`, `socket`, `decode`, or of a sink `queue:<name>` and `sink:<name>`. */
  readonly id: string;
  readonly title: string;
  /** What it does now, in a few words. */
  readonly text: string;
  /** Details, and why it is in trouble; may be empty. */
  readonly note: string;
  readonly level: Level;
  /** Ticks or frames that leave it, per second. */
  readonly rate: number;
  /** How full a queue is, 0 to 1. */
  readonly fill?: number;
}

/** The picture: all ticks pass the common stages, then the queue and the sink of each branch. */
export interface PipelinePicture {
  readonly common: readonly Stage[];
  /** The queue and the sink, once per sink. */
  readonly branches: readonly (readonly Stage[])[];
}

/** One line of the table of numbers. */
export interface NumberRow {
  readonly title: string;
  /** What it counts; may be empty. */
  readonly meaning: string;
  /** Since the program started. */
  readonly count: number;
  /** Per second; undefined for what is no counter, or if the program does not answer. */
  readonly rate: number | undefined;
  /** Whether a count above 0 is a bad sign. */
  readonly isTrouble: boolean;
}

/** The numbers of one stage. */
export interface NumberGroup {
  readonly title: string;
  readonly rows: readonly NumberRow[];
}

/**
 * Rates and recent troubles are those of this many seconds: a channel of samples brings all its ticks once in five seconds,
 * and a trouble of one moment would not be noticed.
 */
const RECENT_SECONDS = 5;

type Count = (counters: WireCounters) => number;

const rejectedFor = (reason: string): Count => ({ rejected }) =>
  (rejected as Readonly<Record<string, number>>)[reason] ?? 0;
const ofSink = (name: string, counter: keyof WireCounters["sinks"][string]): Count => ({ sinks }) =>
  sinks[name]?.[counter] ?? 0;

/** Keeps the recent statuses. */
export class PipelineStatus {
  #recent: WireStatus[] = [];

  add(status: WireStatus): void {
    const last = this.#recent.at(-1);
    // counters start at 0 again when the program does
    if (last !== undefined && (status.counters.frames < last.counters.frames || status.now < last.now)) {
      this.#recent = [];
    }
    this.#recent.push(status);
    while ((this.#recent[1]?.now ?? Infinity) <= status.now - RECENT_SECONDS) this.#recent.shift();
  }

  /**
   * The picture as of the last status; undefined before the first.
   * @param isCurrent false if the program does not answer: then only the titles are known
   */
  picture(states: readonly WireState[], isCurrent = true): PipelinePicture | undefined {
    const status = this.#recent.at(-1);
    if (status === undefined) return undefined;
    const common = [this.#exchange(status, states), this.#socket(status), this.#decode(status)];
    const branches = status.sinks.map((sink) => this.#branch(sink));
    if (isCurrent) return { common, branches };
    return { common: common.map(unknown), branches: branches.map((branch) => branch.map(unknown)) };
  }

  /**
   * All counters, stage by stage.
   * @param isCurrent false if the program does not answer: then there are no rates
   */
  numbers(isCurrent = true): NumberGroup[] {
    const status = this.#recent.at(-1);
    if (status === undefined) return [];
    const { counters } = status;
    const row = (title: string, meaning: string, count: Count, isTrouble = false): NumberRow => {
      return { title, meaning, count: count(counters), rate: isCurrent ? this.#rate(count) : undefined, isTrouble };
    };
    const reasons = Object.entries(counters.rejected).filter(([, count]) => count > 0);
    return [
      {
        title: "socket",
        rows: [
          row("frames", "Messages received.", ({ frames }) => frames),
          row("control", "Heartbeats, confirmations and refusals.", ({ control }) => control),
          row("ignored", "Messages of other types or products.", ({ ignored }) => ignored),
          row("reconnects", "Connections after the first.", ({ reconnects }) => reconnects, true),
        ],
      },
      {
        title: "decode",
        rows: [
          row("received", "Ticks that passed every check.", ({ received }) => received),
          row("rejected", "Messages and ticks that failed a check.", rejectedTotal, true),
          ...reasons.map(([reason]) => row(`– ${reason}`, "", rejectedFor(reason), true)),
          row(
            "repeated",
            "Ticks received before: the exchange sends each product’s last tick again after a subscription.",
            ({ repeated }) => repeated,
          ),
          row(
            "without a trade",
            "Tickers without a trade, such as those of a product that was never traded.",
            ({ withoutTrade }) => withoutTrade,
          ),
          row(
            "gaps",
            "Gaps declared. A restart counts once for each product that already had prices.",
            ({ gaps }) => gaps,
            true,
          ),
        ],
      },
      ...status.sinks.map(({ name, queueDepth }) => ({
        title: sinkTitle(name),
        rows: [
          { title: "waiting", meaning: "Events in the queue.", count: queueDepth, rate: undefined, isTrouble: false },
          row(name === "sqlite" ? "stored" : "sent", "Ticks acknowledged.", ofSink(name, "sent")),
          row("dropped", "Ticks that found the queue full.", ofSink(name, "dropped"), true),
          row("lost", "Ticks accepted but never acknowledged.", ofSink(name, "lost"), true),
          row("failures", "Failed writes.", ofSink(name, "failures"), true),
        ],
      })),
    ];
  }

  #exchange({ exchange, link, delaySeconds }: WireStatus, states: readonly WireState[]): Stage {
    const stalled = states.filter(({ state }) => state === "stalled");
    const refused = states.filter(({ state }) => state === "refused");
    const notes = [
      ...(link === "silent" ? ["sends nothing"] : []),
      ...(stalled.length > 0 ? [`${namesOf(stalled)} stalled`] : []),
      ...(refused.length > 0 ? [`refuses ${namesOf(refused)}`] : []),
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
    const stage = { id: "socket", title: "socket", rate };
    if (historyDone !== undefined) return { ...stage, text: "connects after the history", note: "", level: "warn" };
    if (link === "connecting") {
      const text = nextTrySeconds === undefined
        ? "connecting"
        : `next try in ${wholeSecondsText(Math.ceil(nextTrySeconds))}`;
      return { ...stage, text, note: lastTrouble ?? "not connected yet", level: "bad" };
    }
    if (link === "silent") {
      return { ...stage, text: `silent for ${wholeSecondsText(lastFrameSeconds ?? 0)}`, note: "", level: "warn" };
    }
    const isNew = this.#increase(({ reconnects }) => reconnects) > 0;
    const note = isNew ? "reconnected" : "";
    return { ...stage, text: rateText(rate, "frames"), note, level: isNew ? "warn" : "good" };
  }

  #decode({ counters, clockTrouble }: WireStatus): Stage {
    const rate = this.#rate(({ received }) => received);
    const rejected = Object.keys(counters.rejected).flatMap((reason) => {
      const count = this.#increase(rejectedFor(reason));
      return count > 0 ? [`${countText(count)} ${reason}`] : [];
    });
    const repeated = this.#increase((counters) => counters.repeated);
    const ignored = this.#increase((counters) => counters.ignored);
    const notes = [
      ...(clockTrouble === undefined ? [] : [clockTrouble]),
      ...(rejected.length > 0 ? [`rejected: ${rejected.join(", ")}`] : []),
      ...(repeated > 0 ? [`${countText(repeated)} repeated`] : []),
      ...(ignored > 0 ? [`${countText(ignored)} ignored`] : []),
    ];
    return {
      id: "decode",
      title: "decode",
      text: rateText(rate, "ticks"),
      note: notes.join("; "),
      level: clockTrouble !== undefined || rejected.length > 0 ? "bad" : repeated > 0 ? "warn" : "good",
      rate,
    };
  }

  #branch({ name, state, trouble, gapsTrouble, queueDepth, queueCapacity }: WireStatus["sinks"][number]): Stage[] {
    const rate = this.#rate(ofSink(name, "sent"));
    const dropped = this.#increase(ofSink(name, "dropped"));
    const fill = queueDepth / Math.max(1, queueCapacity);
    return [
      {
        id: `queue:${name}`,
        title: "queue",
        text: `${countText(queueDepth)} waiting`,
        note: dropped > 0 ? `full: ${countText(dropped)} ticks dropped` : fill > 0.5 ? "filling up" : "",
        level: dropped > 0 ? "bad" : fill > 0.5 ? "warn" : "good",
        rate,
        fill,
      },
      {
        id: `sink:${name}`,
        title: sinkTitle(name),
        text: rateText(rate, "ticks"),
        note: trouble ?? gapsTrouble ?? (state === "ok" ? "" : state),
        level: state !== "ok" ? "bad" : gapsTrouble !== undefined ? "warn" : "good",
        rate,
      },
    ];
  }

  /** By how much a counter rose in the recent seconds. */
  #increase(count: Count): number {
    const [first] = this.#recent;
    const last = this.#recent.at(-1);
    return first === undefined || last === undefined ? 0 : Math.max(0, count(last.counters) - count(first.counters));
  }

  #rate(count: Count): number {
    const seconds = (this.#recent.at(-1)?.now ?? 0) - (this.#recent[0]?.now ?? 0);
    return seconds > 0 ? this.#increase(count) / seconds : 0;
  }
}

function rejectedTotal({ rejected }: WireCounters): number {
  return Object.values(rejected).reduce((sum, count) => sum + count, 0);
}

function unknown({ id, title, fill }: Stage): Stage {
  return { id, title, text: "unknown", note: "", level: "good", rate: 0, ...(fill === undefined ? {} : { fill: 0 }) };
}

function namesOf(states: readonly WireState[]): string {
  const [first] = states;
  return states.length === 1 && first !== undefined ? first.product : `${states.length} products`;
}
