// Recorded ticker frames as the source of trades instead of a price walk. Pure.

import type { Trade } from "./market.ts";

/** One recorded frame. */
export interface RecordedFrame {
  /** When it arrived, ms since the epoch; only the differences matter. */
  readonly at: number;
  readonly text: string;
}

/** Frames to replay once, starting when the first client subscribes to a ticker channel. */
export interface Recording {
  /** In order of arrival. Messages other than `ticker` are skipped. */
  readonly frames: readonly RecordedFrame[];
  /** Multiple of the recorded speed; `Infinity` sends as fast as the sockets accept. */
  readonly speed: number;
}

/** A recording being replayed. */
export class Player {
  readonly products: readonly string[];
  /** Whether the recording is sent as fast as the sockets accept. */
  readonly isUnpaced: boolean;
  /** `dueMs` is counted from the start of the replay, at its speed. */
  readonly #trades: readonly { readonly dueMs: number; readonly trade: Trade }[];
  #next = 0;
  #startedAt: number | undefined;

  /** `readTicker` gives the trade in a ticker message, and undefined for any other. */
  constructor({ frames, speed }: Recording, readTicker: (text: string) => Trade | undefined) {
    let first: number | undefined;
    let dueMs = 0;
    this.#trades = frames.flatMap(({ at, text }) => {
      const trade = readTicker(text);
      if (trade === undefined) return [];
      first ??= at;
      // in some recordings an arrival time is before the previous one; the order is kept
      dueMs = Math.max(dueMs, (at - first) / speed);
      return { dueMs, trade };
    });
    this.products = [...new Set(this.#trades.map(({ trade }) => trade.product))];
    this.isUnpaced = speed === Infinity;
  }

  get total(): number {
    return this.#trades.length;
  }

  get played(): number {
    return this.#next;
  }

  /** Starts the replay; a second call does nothing. */
  start(now: number): void {
    this.#startedAt ??= now;
  }

  /** The next trade that is due; each is returned once. */
  take(now: number): Trade | undefined {
    const next = this.#trades[this.#next];
    if (this.#startedAt === undefined || next === undefined || next.dueMs > now - this.#startedAt) return undefined;
    this.#next++;
    return next.trade;
  }
}

/**
 * Reads a file of recorded frames: each line is a message, or `{"at": <unix seconds>, "data": <message>}`. A plain
 * message has no arrival time, so its own `time` is used. Lines that are not a JSON object are skipped.
 */
export function parseRecording(file: string): RecordedFrame[] {
  const frames: RecordedFrame[] = [];
  let last = 0;
  for (const line of file.split("\n")) {
    const text = line.trim();
    if (!text.startsWith("{")) continue;
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      continue;
    }
    const { at, data, time } = message as Record<string, unknown>;
    if (typeof at === "number" && typeof data === "object") {
      // copied from the line, because writing the JSON again would turn 1.10 into 1.1
      const inner = /^\{\s*"at"\s*:\s*[-+.\deE]+\s*,\s*"data"\s*:\s*(\{.*\})\s*\}$/s.exec(text)?.[1];
      frames.push({ at: last = at * 1000, text: inner ?? JSON.stringify(data) });
    } else {
      const own = typeof time === "string" ? Date.parse(time) : NaN;
      frames.push({ at: Number.isFinite(own) ? last = own : last, text });
    }
  }
  return frames;
}
