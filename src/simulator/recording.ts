// Recorded ticker frames as the source of trades instead of a walk. Pure: lines in, trades and their moments out.

import type { Trade } from "./market.ts";
import { timeText } from "./market.ts";

/** One recorded frame. */
export interface RecordedFrame {
  /** When it arrived, in ms since the epoch; only the distances between frames matter. */
  readonly at: number;
  /** The message as it came. */
  readonly text: string;
}

/**
 * Frames to replay instead of walks: once, from the moment on when the first client has subscribed to a ticker
 * channel.
 */
export interface Recording {
  /** In the order of arrival. Messages other than `ticker` are left out. */
  readonly frames: readonly RecordedFrame[];
  /** Multiple of the recorded speed; `Infinity` sends as fast as the sockets take it. */
  readonly speed: number;
  /** Puts the present in place of each recorded `time`. Default false: byte for byte as recorded. */
  readonly retime?: boolean;
}

interface Cue {
  /** ms after the first frame, at the wanted speed. */
  readonly due: number;
  readonly trade: Trade;
}

/** The trade that a ticker message tells of; none when it is anything else. */
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

/** A recording being played. */
export class Player {
  /** The products that occur in it. */
  readonly products: readonly string[];
  readonly #cues: Cue[] = [];
  readonly #retime: boolean;
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
      // arrival times of some recordings step back a little; the order stands
      due = Math.max(due, (at - first) / recording.speed);
      products.add(trade.product);
      this.#cues.push({ due, trade });
    }
    this.products = [...products];
    this.#retime = recording.retime === true;
  }

  /** How many frames there are. */
  get total(): number {
    return this.#cues.length;
  }

  /** How many have been played. */
  get played(): number {
    return this.#next;
  }

  /** Starts the tape; a second call does nothing. */
  start(now: number): void {
    this.#startedAt ??= now;
  }

  /** The next trade that is due, once each; `micros` is the present, for `retime`. */
  take(now: number, micros: number): Trade | undefined {
    const cue = this.#cues[this.#next];
    if (this.#startedAt === undefined || cue === undefined || cue.due > now - this.#startedAt) return undefined;
    this.#next++;
    if (!this.#retime) return cue.trade;
    const time = timeText(micros);
    return { ...cue.trade, time, text: cue.trade.text.replace(/"time"\s*:\s*"[^"]*"/, `"time":"${time}"`) };
  }
}

/**
 * Reads a file of recorded frames: each line a message, or `{"at": <unix seconds>, "data": <message>}`. A plain message
 * has no time of arrival, so its own `time` is taken. Lines that are no JSON object are left out.
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
      // cut out of the line and not written again: 1.10 and 1.1 are the same number and not the same frame
      const inner = /^\{\s*"at"\s*:\s*[-+.\deE]+\s*,\s*"data"\s*:\s*(\{.*\})\s*\}$/s.exec(text)?.[1];
      frames.push({ at: last = at * 1000, text: inner ?? JSON.stringify(data) });
    } else {
      const own = typeof time === "string" ? Date.parse(time) : NaN;
      frames.push({ at: Number.isFinite(own) ? last = own : last, text });
    }
  }
  return frames;
}
