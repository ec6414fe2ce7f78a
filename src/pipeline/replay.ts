// Reads recorded frames from a file or a pipe with the same Intake as live ones. One frame per line, plain or wrapped as
// `{"at": unix seconds, "data": frame}` with the frame as object or text. Blank lines are skipped.

import { type Tick, toRecord } from "../core/record.ts";
import type { Stats } from "../core/stats.ts";
import { Intake, type IntakeOptions } from "./intake.ts";

/** The first bytes of a gzip file, decoded as text. */
const GZIP = "\x1f\ufffd";

/** Yields complete lines. A line above the limit is cut, but stays above the limit. */
async function* linesOf(bytes: ReadableStream<Uint8Array<ArrayBuffer>>, maxLength: number): AsyncGenerator<string[]> {
  let rest = "";
  let isFirst = true;
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    if (isFirst && text.startsWith(GZIP)) throw new Error("it is compressed: gzip -dc FILE | deno task replay -");
    isFirst = false;
    const lines = text.split("\n");
    lines[0] = rest + lines[0];
    rest = (lines.pop() ?? "").slice(0, maxLength + 1);
    if (lines.length > 0) yield lines;
  }
  if (rest !== "") yield [rest];
}

interface Wrapped {
  readonly at?: unknown;
  readonly data?: unknown;
}

/** The frame in a line, and its arrival (ms since the epoch) if the line has it. */
function unwrap(line: string): { frame: string; receivedTime?: number } {
  // most recordings are plain, and reading each line twice takes twice as long
  if (!line.includes('"data"')) return { frame: line };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { frame: line };
  }
  if (typeof value !== "object" || value === null || !("data" in value) || "type" in value) return { frame: line };
  const { at, data } = value as Wrapped;
  const frame = typeof data === "string" ? data : JSON.stringify(data);
  return typeof at === "number" && Number.isFinite(at) ? { frame, receivedTime: at * 1000 } : { frame };
}

/** Number of lines that were frames: not too long, no junk, and not some other JSON. */
export function framesIn({ frames, rejected }: Stats): number {
  return frames - rejected["too-large"] - rejected["bad-json"] - rejected["bad-message"];
}

/**
 * Reads all frames and writes the record of each new tick as one line. The counters are in `options.stats`.
 *
 * @param write gets complete lines; reading continues when it resolves
 */
export async function replay(
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
  options: IntakeOptions,
  write: (lines: string) => Promise<void>,
): Promise<void> {
  let records = "";
  const intake = new Intake(options, { onTick: (tick: Tick) => void (records += `${toRecord(tick)}\n`) });
  for await (const lines of linesOf(bytes, options.maxFrameLength)) {
    for (const line of lines) {
      if (line.trim() === "") continue;
      // a line above the limit was cut: Intake rejects it for its length
      const { frame, receivedTime } = line.length > options.maxFrameLength ? { frame: line } : unwrap(line);
      intake.accept(frame, receivedTime);
    }
    if (records === "") continue;
    const ready = records;
    records = "";
    await write(ready);
  }
}
