// The Logger type and the one import of @std/log: human lines on a terminal, JSON lines otherwise, always on stderr (stdout
// belongs to records).

import { BaseHandler, getLogger, type LevelName, type LogRecord, setup } from "@std/log";
import type { Clock } from "./clock.ts";

/** Who must act: *error* data was lost or a person is needed; *warn* unexpected, nothing lost; *info* started, connected, stopped; *debug* the rest. */
export type Level = "debug" | "info" | "warn" | "error";

/** Values beside the constant text of a message; no secrets, no whole payloads. */
export type Fields = Readonly<Record<string, unknown>>;

/** What the program logs through. */
export interface Logger {
  /** The rest. */
  debug(message: string, fields?: Fields): void;
  /** Started, connected, stopped. */
  info(message: string, fields?: Fields): void;
  /** Unexpected, nothing lost. */
  warn(message: string, fields?: Fields): void;
  /** Data was lost or a person is needed. */
  error(message: string, fields?: Fields): void;
  /** For what may come in storms: the same message at most once per 10 s, with the number of those in between in `suppressed`. */
  often(level: Level, message: string, fields?: Fields): void;
}

/** How lines look and which are written. */
export interface LogOptions {
  /** `text` for people, `json` for machines. */
  readonly format: "text" | "json";
  /** The lowest level that is written. */
  readonly level: Level;
  /** Tells how long a repeating message must wait. */
  readonly clock: Clock;
  /** Takes each line; default stderr. */
  readonly write?: (line: string) => void;
}

const OFTEN_MS = 10_000;
const LEVEL_NAMES: Readonly<Record<Level, LevelName>> = { debug: "DEBUG", info: "INFO", warn: "WARN", error: "ERROR" };

class LineHandler extends BaseHandler {
  readonly #write: (line: string) => void;

  constructor(levelName: LevelName, formatter: (record: LogRecord) => string, write: (line: string) => void) {
    super(levelName, { formatter });
    this.#write = write;
  }

  override log(line: string): void {
    // words of an exchange or a broker may not make a second line or command a terminal
    this.#write(line.replace(/\p{Cc}/gu, (code) => `\\u${code.charCodeAt(0).toString(16).padStart(4, "0")}`));
  }
}

/** A value as a log field: errors with their causes, everything else as JSON has it. */
function plain(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const cause = value.cause instanceof Error ? `: ${value.cause.message}` : "";
  return `${value.name}: ${value.message}${value.message.includes(cause) ? "" : cause}`;
}

function asText(record: LogRecord): string {
  const fields = Object.entries((record.args[0] ?? {}) as Fields)
    .map(([name, value]) => {
      const text = plain(value);
      return `${name}=${typeof text === "string" && /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)}`;
    });
  const time = record.datetime.toISOString().slice(11, 19);
  return [time, record.levelName.padEnd(5), record.msg, ...fields].join(" ");
}

function asJson(record: LogRecord): string {
  const fields = Object.entries((record.args[0] ?? {}) as Fields).map(([name, value]) => [name, plain(value)]);
  return JSON.stringify({
    time: record.datetime.toISOString(),
    level: record.levelName.toLowerCase(),
    message: record.msg,
    ...Object.fromEntries(fields),
  });
}

const encoder = new TextEncoder();

function toStderr(line: string): void {
  try {
    Deno.stderr.writeSync(encoder.encode(`${line}\n`));
  } catch {
    // nobody reads us: the feed goes on
  }
}

/** Sets the program's log up; the last call counts. */
export function createLogger({ format, level, clock, write = toStderr }: LogOptions): Logger {
  const name = LEVEL_NAMES[level];
  const handler = new LineHandler(name, format === "json" ? asJson : asText, write);
  setup({ handlers: { lines: handler }, loggers: { default: { level: name, handlers: ["lines"] } } });
  const logger = getLogger();
  const told = new Map<string, { at: number; count: number }>();
  const log: Logger = {
    debug: (message, fields) => void logger.debug(message, fields),
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
    often(atLevel, message, fields) {
      const now = clock.elapsed();
      const before = told.get(message);
      if (before !== undefined && now - before.at < OFTEN_MS) {
        before.count++;
        return;
      }
      log[atLevel](
        message,
        before === undefined || before.count === 0 ? fields : { ...fields, suppressed: before.count },
      );
      told.set(message, { at: now, count: 0 });
    },
  };
  return log;
}
