// Replaces jsr:@std/log where JSR cannot be reached: only what src/core/log.ts uses. Levels, records, loggers of text messages, and
// a base class for handlers.

const LEVELS = { NOTSET: 0, DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40, CRITICAL: 50 } as const;

/** The name of a level, in ascending order: NOTSET, DEBUG, INFO, WARN, ERROR, CRITICAL. */
export type LevelName = keyof typeof LEVELS;

/** Throws if there is no such level. */
function levelOf(name: LevelName): number {
  if (Object.hasOwn(LEVELS, name)) return LEVELS[name];
  throw new Error(`Cannot get log level: no level named ${name}`);
}

/** A log entry; its time is that of its creation. Immutable, because handlers share it. */
class LogRecord {
  readonly msg: string;
  readonly level: number;
  readonly levelName: string;
  /** The name of the logger. */
  readonly loggerName: string;
  readonly #args: unknown[];
  readonly #time = Date.now();

  constructor(msg: string, args: readonly unknown[], levelName: LevelName, loggerName: string) {
    this.msg = msg;
    this.level = LEVELS[levelName];
    this.levelName = levelName;
    this.loggerName = loggerName;
    this.#args = [...args];
  }

  /** The arguments after the message; a new array each time. */
  get args(): unknown[] {
    return [...this.#args];
  }

  /** The time of creation; a new object each time. */
  get datetime(): Date {
    return new Date(this.#time);
  }
}

// Only a type, like in the real package: records are made by loggers.
export type { LogRecord };

/** Formats a record. */
export type FormatterFunction = (logRecord: LogRecord) => string;

/** Options of a {@linkcode BaseHandler}. */
export interface BaseHandlerOptions {
  /** Default: level name, space, message. */
  formatter?: FormatterFunction;
}

/** Formats records of its level and above, and passes the text to `log()` of the subclass. */
export abstract class BaseHandler {
  formatter: FormatterFunction;
  readonly #level: number;

  /** Throws if there is no such level. */
  constructor(levelName: LevelName, options?: BaseHandlerOptions) {
    this.#level = levelOf(levelName);
    this.formatter = options?.formatter ?? ((record) => `${record.levelName} ${record.msg}`);
  }

  /** Called by a logger: formats the record and passes it to {@linkcode BaseHandler.log}, or drops it. */
  handle(logRecord: LogRecord): void {
    if (logRecord.level >= this.#level) this.log(this.formatter(logRecord));
  }

  /** Writes a formatted record. */
  abstract log(msg: string): void;

  /** Called by {@linkcode setup} before the handler is used. Does nothing here. */
  setup(): void {}

  /** Called by the next {@linkcode setup}. Does nothing here. */
  destroy(): void {}
}

/** Creates records of its level and above and passes each one to every handler, in order. */
class Logger {
  readonly #name: string;
  readonly #level: number;
  readonly #handlers: readonly BaseHandler[];

  constructor(name: string, levelName: LevelName, handlers: readonly BaseHandler[]) {
    this.#name = name;
    this.#level = levelOf(levelName);
    this.#handlers = handlers;
  }

  /** Logs at DEBUG; `args` become {@linkcode LogRecord.args}. Returns `msg`. */
  debug(msg: string, ...args: unknown[]): string {
    return this.#log("DEBUG", msg, args);
  }

  /** Logs at INFO; `args` become {@linkcode LogRecord.args}. Returns `msg`. */
  info(msg: string, ...args: unknown[]): string {
    return this.#log("INFO", msg, args);
  }

  /** Logs at WARN; `args` become {@linkcode LogRecord.args}. Returns `msg`. */
  warn(msg: string, ...args: unknown[]): string {
    return this.#log("WARN", msg, args);
  }

  /** Logs at ERROR; `args` become {@linkcode LogRecord.args}. Returns `msg`. */
  error(msg: string, ...args: unknown[]): string {
    return this.#log("ERROR", msg, args);
  }

  #log(levelName: LevelName, msg: string, args: readonly unknown[]): string {
    if (LEVELS[levelName] < this.#level) return msg;
    const record = new LogRecord(msg, args, levelName, this.#name);
    for (const handler of this.#handlers) handler.handle(record);
    return msg;
  }
}

export type { Logger };

/** Settings of all loggers, see {@linkcode setup}. */
export interface LogConfig {
  /** Handlers by name. */
  handlers?: { [name: string]: BaseHandler };
  /** Loggers by name: the lowest level that is logged (default INFO), and the names of their handlers. */
  loggers?: { [name: string]: { level?: LevelName; handlers?: string[] } };
}

const handlersInUse = new Map<string, BaseHandler>();
const loggersInUse = new Map<string, Logger>();

/**
 * Destroys the current handlers, sets up the given ones, and creates all loggers again: an existing logger keeps writing to
 * the old handlers. In the real package the logger `default` writes to the console unless it is set up; here it writes
 * nowhere.
 */
export function setup(config: LogConfig): void {
  for (const handler of handlersInUse.values()) handler.destroy();
  handlersInUse.clear();
  for (const [name, handler] of Object.entries(config.handlers ?? {})) {
    handler.setup();
    handlersInUse.set(name, handler);
  }
  loggersInUse.clear();
  for (const [name, { level = "INFO", handlers = [] }] of Object.entries(config.loggers ?? {})) {
    loggersInUse.set(name, new Logger(name, level, handlers.flatMap((wanted) => handlersInUse.get(wanted) ?? [])));
  }
}

/** The logger with this name; default `default`. A logger that was not set up writes nowhere. */
export function getLogger(name?: string): Logger {
  const wanted = name || "default";
  const known = loggersInUse.get(wanted) ?? new Logger(wanted, "NOTSET", []);
  loggersInUse.set(wanted, known);
  return known;
}
