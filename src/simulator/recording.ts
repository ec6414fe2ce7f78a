// Recorded ticker frames as the source of trades instead of a price walk. Pure.

import type { Trade } from "./market.ts";

/** One recorded frame. */
export interface RecordedFrame {
  /** When it arrived, ms since the epoch; only the differences matter. */
  readonly at: number;
  /** The message as received. */
  readonly text: string;
}

/** Frames to replay once, starting when the first client subscribes to a ticker channel. */
export interface Recording {
  /** In order of arrival. Messages other than `ticker` are skipped. */
  readonly frames: readonly RecordedFrame[];
  /** Multiple of the recorded speed; `Infinity` sends as fast as the sockets accept. */
  readonly speed: number;
}

interface Cue {
  /** ms after the first frame, at the replay speed. */
  readonly due: number;
  readonly trade: Trade;
}

/** The trade in a ticker message; undefined for any other message. */
function readTrade(text: string): Trade | undefined {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof message !== "object" || message === null) return undefined;
  const { type, product_id, sequence, trade_id, price, time } = message as Record<string, unknown>;
  if (type !== "ticker" || typeof product_id !== "string" || typeof sequence !== "number") return undefined;
  if (typeof trade_id !== "number" || typeof price !== "string" || typeof time !== "string") return undefined;
  return { product: product_id, sequence, tradeId: trade_id, price, time, text, left: false };
}

/** A recording being replayed. */
export class Player {
  /** The products in it. */
  readonly products: readonly string[];
  readonly #cues: Cue[] = [];
  #next = 0;
  #startedAt: number | undefined;

  /** Reads all frames at once. */
  constructor(recording: Recording) {
    const products = new Set<string>();
    let first: number | undefined;
    let due = 0;
    for (const { at, text } of recording.frames) {
      const trade = readTrade(text);
      if (trade === undefined) continue;
      first ??= at;
      // in some recordings an arrival time is before the previous one; the order is kept
      due = Math.max(due, (at - first) / recording.speed);
      products.add(trade.product);
      this.#cues.push({ due, trade });
    }
    this.products = [...products];
  }

  /** How many frames there are. */
  get total(): number {
    return this.#cues.length;
  }

  /** How many have been played. */
  get played(): number {
    return this.#next;
  }

  /** Starts the replay; a second call does nothing. */
  start(now: number): void {
    this.#startedAt ??= now;
  }

  /** The next trade that is due; each is returned once. */
  take(now: number): Trade | undefined {
    const cue = this.#cues[this.#next];
    if (this.#startedAt === undefined || cue === undefined || cue.due > now - this.#startedAt) return undefined;
    this.#next++;
    return cue.trade;
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
