// The program's log: text or JSON lines on stderr (stdout is for records). The only import of @std/log.

import { BaseHandler, getLogger, type LevelName, type LogRecord, setup } from "@std/log";
import type { Clock } from "./clock.ts";

/** *error*: data was lost or a person must act; *warn*: unexpected, nothing lost; *info*: started, connected, stopped; *debug*: the rest. */
export type Level = "debug" | "info" | "warn" | "error";

/** The variable parts of a message: no secrets, no whole payloads. */
export type Fields = Readonly<Record<string, unknown>>;

/** Writes log lines. For the levels see {@link Level}. */
export interface Logger {
  /** Level debug. */
  debug(message: string, fields?: Fields): void;
  /** Level info. */
  info(message: string, fields?: Fields): void;
  /** Level warn. */
  warn(message: string, fields?: Fields): void;
  /** Level error. */
  error(message: string, fields?: Fields): void;
  /** For messages that may repeat fast: the same one at most once per 10 s. `suppressed` counts those in between. */
  often(level: Level, message: string, fields?: Fields): void;
}

/** Options of {@link createLogger}. */
export interface LogOptions {
  /** `text` is for people, `json` for machines. */
  readonly format: "text" | "json";
  /** The lowest level that is written. */
  readonly level: Level;
  /** Measures the 10 s of `often()`. */
  readonly clock: Clock;
  /** Writes one line; default to stderr. */
  readonly write?: (line: string) => void;
}

const OFTEN_MS = 10_000;

class LineHandler extends BaseHandler {
  readonly #write: (line: string) => void;

  constructor(levelName: LevelName, formatter: (record: LogRecord) => string, write: (line: string) => void) {
    super(levelName, { formatter });
    this.#write = write;
  }

  override log(line: string): void {
    // text from an exchange or a broker must not start a new line or contain terminal commands
    this.#write(line.replace(/\p{Cc}/gu, (code) => `\\u${code.charCodeAt(0).toString(16).padStart(4, "0")}`));
  }
}

/** A value as a log field: an error as its name, message and cause. */
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
    // stderr is closed: the program continues without a log
  }
}

/** Sets up the log of the program; each call replaces the one before. */
export function createLogger({ format, level, clock, write = toStderr }: LogOptions): Logger {
  const name = level.toUpperCase() as LevelName;
  const handler = new LineHandler(name, format === "json" ? asJson : asText, write);
  setup({ handlers: { lines: handler }, loggers: { default: { level: name, handlers: ["lines"] } } });
  const logger = getLogger();
  const last = new Map<string, { at: number; count: number }>();
  const log: Logger = {
    debug: (message, fields) => void logger.debug(message, fields),
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
    often(atLevel, message, fields) {
      const now = clock.elapsed();
      const before = last.get(message);
      if (before !== undefined && now - before.at < OFTEN_MS) {
        before.count++;
        return;
      }
      log[atLevel](
        message,
        before === undefined || before.count === 0 ? fields : { ...fields, suppressed: before.count },
      );
      last.set(message, { at: now, count: 0 });
    },
  };
  return log;
}
