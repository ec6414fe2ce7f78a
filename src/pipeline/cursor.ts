// The cursor: a small file with the last tick of each product that every sink has confirmed. After a stop (also by kill -9)
// the next start declares what was missed since then.

import { dirname } from "node:path";
import type { Clock } from "../core/clock.ts";
import { reasonOf, SinkError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { GapName, Position } from "../core/record.ts";
import { kindOf, realPathOf, SQLITE_SUFFIXES, statOf } from "../store/file.ts";

/** Shortest time between two writes, ms. */
const WRITE_MS = 1000;
const VERSION = 1;
/** The start of every cursor, without white space. */
const HEAD = `{"version":${VERSION},"positions":[`;
/** A larger file is not a cursor: a thousand products need about 300 kB. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Suffix of the file that is written first and then renamed to the cursor. */
const PART = ".part";
const LOCK = ".lock";
/** The only fields that are written: a position may be a whole tick. */
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
/** How many of the newest gaps are written. */
const MAX_GAPS = 200;

/** Options of {@link Cursor}. */
export interface CursorOptions {
  /** Path of the file. */
  readonly path: string;
  /** Returns the last tick of each product that every sink has confirmed. */
  readonly positions: () => readonly Position[];
  /** Returns the names of the newest gaps, so that no gap of a later run gets the same name. */
  readonly gapNames?: (count: number) => readonly GapName[];
  /** For the pause between writes. */
  readonly clock: Clock;
  /** Receives failures to write. */
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
    // record and exchange time differ by at most a second; a wrong record time would shift the times of all later records
    Math.abs(Number(recordTimeUs) - Number(exchangeTimeUs)) <= 1e6;
}

/** The content of a cursor. */
export interface CursorContent {
  /** The last tick of each product; undefined if unknown. */
  readonly positions: Position[] | undefined;
  /** The newest gaps of earlier runs. */
  readonly gapNames: GapName[];
}

/**
 * Throws a SinkError if the file at this path is not a cursor, because writing would replace it. Accepted are files that begin
 * like a cursor, and what a power cut can leave of one: an empty file, zeros, or its first bytes. Never waits for a pipe or a device.
 */
function refuseForeign(path: string): void {
  const refuse = (what: string) => {
    throw new SinkError(
      "fatal",
      `Cannot use the cursor ${path} (CURSOR_FILE): expected a file that this program wrote, or none, found ${what}; ` +
        "it was not changed",
    );
  };
  try {
    const stat = statOf(path);
    // a folder cannot be replaced by a file: write() reports it
    if (stat === undefined || (stat.isDirectory && path.endsWith(PART))) return;
    const kind = kindOf(stat);
    if (kind !== undefined) return refuse(kind);
    if (stat.size > MAX_BYTES) return refuse(`one of ${Math.round(stat.size / 1e6)} MB`);
    const start = Deno.readTextFileSync(path).replace(/[\s\0]+/g, "").slice(0, HEAD.length);
    if (!HEAD.startsWith(start)) refuse("something else");
  } catch (error) {
    // a file can be replaced without the right to read it
    if (error instanceof Deno.errors.PermissionDenied) refuse(`one that cannot be read (${reasonOf(error)})`);
    // readCursor() and write() report whatever else is wrong with the path
    if (error instanceof SinkError) throw error;
  }
}

/**
 * Reads what an earlier run wrote. A missing or damaged file is logged: what was missed is then unknown, and declared as such.
 * Throws a SinkError if the file is not a cursor.
 */
export async function readCursor(path: string, log: Logger): Promise<CursorContent> {
  const real = realPathIn(path);
  refuseForeign(real);
  let why = "it is damaged";
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
  log.warn("Cannot read the cursor: what was missed before this start is unknown", { path, why });
  return { positions: undefined, gapNames: [] };
}

function isGapName(value: unknown): value is GapName {
  return Array.isArray(value) && value.length === 3 && typeof value[0] === "string" && typeof value[1] === "string" &&
    typeof value[2] === "number" && value[2] >= 0;
}

/** Follows a symbolic link: a write must not replace the link, and the lock belongs to its target. */
function realPathIn(path: string): string {
  try {
    return realPathOf(path);
  } catch {
    // the caller reports why when it uses the path
    return path;
  }
}

/** Returns a path that both this cursor and this store would write to; undefined if there is none. */
export function sharedFile(cursorFile: string, storeFile: string): string | undefined {
  const cursor = realPathIn(cursorFile), store = realPathIn(storeFile);
  const stores = ["", ...SQLITE_SUFFIXES, LOCK].map((suffix) => store + suffix);
  return ["", PART, LOCK].map((suffix) => cursor + suffix).find((path) => stores.includes(path));
}

/**
 * Makes the folder of the cursor and locks it for this process until the returned file is closed. Returns undefined if no lock
 * file can be written; `write()` then reports why. Throws a SinkError if the file is not a cursor, or if another process has the
 * lock, since the two would overwrite each other.
 */
export function lockCursor(path: string): Deno.FsFile | undefined {
  const real = realPathIn(path);
  // before locking, so that no lock file is left beside a foreign file
  refuseForeign(real);
  refuseForeign(real + PART);
  let file: Deno.FsFile;
  try {
    Deno.mkdirSync(dirname(real), { recursive: true });
    // locking a device or a pipe is useless, and opening one could wait for ever
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

/** Writes the positions when they have changed, at most once a second: to a second file that is then renamed, so never half of it. */
export class Cursor {
  readonly #options: CursorOptions;
  #written = "";
  /** Why the last write failed, in words; undefined if it succeeded. */
  trouble: string | undefined;

  /** Writes only in `run()`, `write()` and `finish()`. */
  constructor(options: CursorOptions) {
    this.#options = options;
  }

  /** Writes until the signal aborts. A failed write is logged and retried. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.write();
      await this.#options.clock.sleep(WRITE_MS, signal).catch(() => {});
    }
  }

  /** Writes for the last time, after all sinks have ended. */
  async finish(): Promise<void> {
    const { path, log } = this.#options;
    await this.write();
    if (this.trouble === undefined) return;
    log.warn("The cursor is out of date: the gap of the next start will begin too early", { path, why: this.trouble });
  }

  /** Writes now if anything has changed. */
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
      this.trouble = undefined;
    } catch (error) {
      const why = this.trouble = reasonOf(error);
      log.often("warn", "Cannot write the cursor, trying again", { path, why });
    }
  }
}
