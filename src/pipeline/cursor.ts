// A small file that knows how far each product has got, so that the next start can say what was missed, after kill -9 too.

import { dirname } from "node:path";
import type { Clock } from "../core/clock.ts";
import { reasonOf, SinkError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { GapName, Position } from "../core/record.ts";
import { kindOf, realPathOf, SQLITE_SUFFIXES, statOf } from "../store/header.ts";

const decoder = new TextDecoder();

/** The least time between two writes, ms. */
const WRITE_MS = 1000;
const VERSION = 1;
/** How every cursor begins, without its white space; and how much of a file is read for it. */
const HEAD = `{"version":${VERSION},"positions":[`;
const HEAD_BYTES = 100;
/** No cursor is larger: a thousand products take some 300 kB. */
const MAX_BYTES = 16 * 1024 * 1024;
/** The suffix of the file that is written first and then renamed to the cursor. */
const PART = ".part";
const LOCK = ".lock";
/** All that is written: a position may be a whole tick. */
const FIELDS = [
  "version",
  "positions",
  "exchange",
  "product",
  "sequence",
  "price",
  "exchangeTimeUs",
  "receivedTime",
  "recordTimeUs",
  "tradeId",
  "gaps",
];
/** So many gaps are noted, the newest. */
const MAX_GAPS = 200;

/** What a cursor is built from. */
export interface CursorOptions {
  /** Where the file is. */
  readonly path: string;
  /** The positions as they stand: of each product the last tick that every sink has confirmed. */
  readonly positions: () => readonly Position[];
  /** The newest gaps, so that no gap of a later run gets the name of one of them. */
  readonly gapNames?: (count: number) => readonly GapName[];
  /** Time. */
  readonly clock: Clock;
  /** Log. */
  readonly log: Logger;
}

function isPosition(value: unknown): value is Position {
  if (typeof value !== "object" || value === null) return false;
  const { exchange, product, sequence, price, exchangeTimeUs, receivedTime, recordTimeUs, tradeId } = value as Record<
    string,
    unknown
  >;
  const whole = [sequence, exchangeTimeUs, receivedTime, recordTimeUs, tradeId ?? 0];
  return typeof exchange === "string" && typeof product === "string" && typeof price === "number" && price > 0 &&
    whole.every((number) => Number.isSafeInteger(number) && (number as number) >= 0) &&
    // a record's time is that of its tick, but for a second: later ones would follow it, and nobody can take records back
    Math.abs(Number(recordTimeUs) - Number(exchangeTimeUs)) <= 1e6;
}

/** What an earlier run has left. */
export interface Noted {
  /** Undefined: unknown. */
  readonly positions: Position[] | undefined;
  /** The newest gaps of earlier runs. */
  readonly gapNames: GapName[];
}

/**
 * Throws a SinkError if the file at this path is not ours, as a write would replace it. Ours are files that begin as a cursor does,
 * and what a power cut can leave of one: an empty file, zeros, or its first bytes. Never waits for a pipe or a device.
 */
function refuseForeign(path: string): void {
  const refuse = (what: string) => {
    throw new SinkError(
      "fatal",
      `Cannot use the cursor ${path} (CURSOR_FILE): expected a file that this program wrote, or none, found ${what}; ` +
        "it was left alone",
    );
  };
  try {
    const stat = statOf(path);
    // a folder cannot be replaced by a file: write() reports it
    if (stat === undefined || (stat.isDirectory && path.endsWith(PART))) return;
    const kind = kindOf(stat);
    if (kind !== undefined) return refuse(kind);
    if (stat.size > MAX_BYTES) return refuse(`one of ${Math.round(stat.size / 1e6)} MB`);
    using file = Deno.openSync(path);
    const bytes = new Uint8Array(HEAD_BYTES);
    let text = "";
    // as far as there is nothing but white space and zeros
    for (let length = 0; text.length < HEAD.length; text += tidy(bytes.subarray(0, length))) {
      length = file.readSync(bytes) ?? 0;
      if (length === 0) break;
    }
    if (!HEAD.startsWith(text.slice(0, HEAD.length))) refuse("something else");
  } catch (error) {
    // a file can be replaced without the right to read it
    if (error instanceof Deno.errors.PermissionDenied) refuse(`one that cannot be read (${reasonOf(error)})`);
    // readCursor() and write() report whatever else is wrong with the path
    if (error instanceof SinkError) throw error;
  }
}

function tidy(bytes: Uint8Array): string {
  return decoder.decode(bytes).replace(/[\s\0]/g, "");
}

/**
 * What an earlier run has left. A missing or damaged file is told in the log and ends nothing: what was missed is then unknown,
 * and declared as such. Throws a SinkError where the file is not ours.
 */
export async function readCursor(path: string, log: Logger): Promise<Noted> {
  const real = realPathIn(path);
  refuseForeign(real);
  let why = "it holds something else";
  try {
    const content: unknown = JSON.parse(await Deno.readTextFile(real));
    const { version, positions, gaps } = (content ?? {}) as { version?: unknown; positions?: unknown; gaps?: unknown };
    if (version === VERSION && Array.isArray(positions) && positions.every(isPosition)) {
      return { positions, gapNames: Array.isArray(gaps) ? gaps.filter(isGapName) : [] };
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      log.info("No cursor yet: what was missed before this start is unknown", { path });
      return { positions: undefined, gapNames: [] };
    }
    why = reasonOf(error);
  }
  log.warn("Cannot use the cursor as it must be a file that this program wrote: what was missed is unknown", {
    path,
    why,
  });
  return { positions: undefined, gapNames: [] };
}

function isGapName(value: unknown): value is GapName {
  return Array.isArray(value) && value.length === 3 && typeof value[0] === "string" && typeof value[1] === "string" &&
    typeof value[2] === "number" && value[2] >= 0;
}

/** Where a symbolic link leads: the link must not be replaced by a file, nor have a lock of its own. */
function realPathIn(path: string): string {
  try {
    return realPathOf(path);
  } catch {
    // whoever uses it reports why
    return path;
  }
}

/** A file that a cursor and a store with these names would both write to, or which leads to one; undefined: none. */
export function sharedFile(cursorFile: string, storeFile: string): string | undefined {
  const cursor = realPathIn(cursorFile), store = realPathIn(storeFile);
  const stores = ["", ...SQLITE_SUFFIXES, LOCK].map((suffix) => store + suffix);
  return ["", PART, LOCK].map((suffix) => cursor + suffix).find((path) => stores.includes(path));
}

/**
 * Takes the cursor for this program as long as the file that is returned is open, and makes its folder; undefined where nothing
 * can be written, which the cursor itself will tell. Throws a SinkError where the file is not ours, or another program uses it:
 * each would overwrite what the other has noted.
 */
export function lockCursor(path: string): Deno.FsFile | undefined {
  const real = realPathIn(path);
  // before the lock, so that none is left beside a file of somebody else
  refuseForeign(real);
  refuseForeign(real + PART);
  let file: Deno.FsFile;
  try {
    Deno.mkdirSync(dirname(real), { recursive: true });
    // of a device or a pipe a lock is no use, and to open one could wait for ever
    if (statOf(real + LOCK)?.isFile === false) return undefined;
    file = Deno.openSync(real + LOCK, { write: true, create: true });
  } catch {
    return undefined;
  }
  if (file.tryLockSync(true)) return file;
  file.close();
  throw new SinkError(
    "fatal",
    `Cannot use the cursor ${path}: another program is using it. Give each program its own CURSOR_FILE.`,
  );
}

/** Writes the positions whenever they have changed, once a second at most. Never half: a file beside it takes its place. */
export class Cursor {
  readonly #options: CursorOptions;
  #written = "";
  #trouble: string | undefined;

  /** Writes nothing before `run()`. */
  constructor(options: CursorOptions) {
    this.#options = options;
  }

  /** Why it cannot be written, in words; undefined: it can. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Until the signal aborts. A disk that fails is told in the log, and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.write();
      await this.#options.clock.sleep(WRITE_MS, signal).catch(() => {});
    }
  }

  /** After all sinks have ended, for the last time. */
  async finish(): Promise<void> {
    const { path, log } = this.#options;
    await this.write();
    if (this.#trouble === undefined) return;
    log.warn("The cursor stays behind: the gap of the next start begins too early", { path, why: this.#trouble });
  }

  /** Now, if anything has changed. */
  async write(): Promise<void> {
    const { path, positions, gapNames, log } = this.#options;
    const known = positions();
    if (known.length === 0) return;
    const gaps = gapNames?.(MAX_GAPS);
    const text = `${JSON.stringify({ version: VERSION, positions: known, gaps }, FIELDS, 1)}\n`;
    if (text === this.#written) return;
    const real = realPathIn(path);
    const part = real + PART;
    try {
      await Deno.writeTextFile(part, text);
      await Deno.rename(part, real);
      this.#written = text;
      this.#trouble = undefined;
    } catch (error) {
      const why = this.#trouble = reasonOf(error);
      log.often("warn", "Cannot write the cursor, trying again", { path, why });
    }
  }
}
