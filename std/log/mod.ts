// Answers for jsr:@std/log where JSR cannot be reached: what src/core/log.ts uses of it, and no more. Levels, records,
// loggers of text messages, and a base for handlers.

const LEVELS = { NOTSET: 0, DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40, CRITICAL: 50 } as const;

/** The name of a level, from the least grave on: NOTSET, DEBUG, INFO, WARN, ERROR, CRITICAL. */
export type LevelName = keyof typeof LEVELS;

/** Throws if there is no such level, which only text from outside can bring about. */
function levelOf(name: LevelName): number {
  if (Object.hasOwn(LEVELS, name)) return LEVELS[name];
  throw new Error(`Cannot get log level: no level named ${name}`);
}

/** One thing logged; the time is taken when it is made. Handlers share it, so nothing in it can be changed. */
class LogRecord {
  /** The message. */
  readonly msg: string;
  /** How grave it is, as a number. */
  readonly level: number;
  /** The same as a word. */
  readonly levelName: string;
  /** The logger that was called. */
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

  /** Whatever was given after the message, untouched; a new array each time. */
  get args(): unknown[] {
    return [...this.#args];
  }

  /** When it was logged; a new object each time. */
  get datetime(): Date {
    return new Date(this.#time);
  }
}

// A type only, as seen through the real package: whoever needs a record gets it from a logger.
export type { LogRecord };

/** Makes the text a handler writes. */
export type FormatterFunction = (logRecord: LogRecord) => string;

/** Options of a {@linkcode BaseHandler}. */
export interface BaseHandlerOptions {
  /** Default: level name, space, message. */
  formatter?: FormatterFunction;
}

/** Takes records of its level and above, makes them text, and leaves it to `log()` of a subclass where that goes. */
export abstract class BaseHandler {
  /** Makes the text. */
  formatter: FormatterFunction;
  readonly #level: number;

  /** Throws if there is no such level. */
  constructor(levelName: LevelName, options?: BaseHandlerOptions) {
    this.#level = levelOf(levelName);
    this.formatter = options?.formatter ?? ((record) => `${record.levelName} ${record.msg}`);
  }

  /** What a logger calls: drops the record, or formats it and hands it to {@linkcode BaseHandler.log}. */
  handle(logRecord: LogRecord): void {
    if (logRecord.level >= this.#level) this.log(this.formatter(logRecord));
  }

  /** Writes one text, wherever this handler writes. */
  abstract log(msg: string): void;

  /** Called by {@linkcode setup} when the handler comes into use. Does nothing here. */
  setup(): void {}

  /** Called by the next {@linkcode setup}, when the handler goes out of use. Does nothing here. */
  destroy(): void {}
}

/** What a program calls: makes records of its level and above and hands each to every handler, in order. */
class Logger {
  readonly #name: string;
  readonly #level: number;
  readonly #handlers: readonly BaseHandler[];

  constructor(name: string, levelName: LevelName, handlers: readonly BaseHandler[]) {
    this.#name = name;
    this.#level = levelOf(levelName);
    this.#handlers = handlers;
  }

  /** Logs at DEBUG; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  debug(msg: string, ...args: unknown[]): string {
    return this.#log("DEBUG", msg, args);
  }

  /** Logs at INFO; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  info(msg: string, ...args: unknown[]): string {
    return this.#log("INFO", msg, args);
  }

  /** Logs at WARN; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  warn(msg: string, ...args: unknown[]): string {
    return this.#log("WARN", msg, args);
  }

  /** Logs at ERROR; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
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
  /** Loggers by name: the least grave level that is logged (default: INFO), and names out of `handlers`. */
  loggers?: { [name: string]: { level?: LevelName; handlers?: string[] } };
}

const handlersInUse = new Map<string, BaseHandler>();
const loggersInUse = new Map<string, Logger>();

/**
 * Destroys the handlers in use, sets up the given ones, and makes all loggers anew: one got before goes on writing to
 * the old handlers. The real package gives a logger `default` that is not set up a handler for the console; here it logs
 * to nobody, as any other.
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

/** The logger of that name, or the one named `default`. One not set up is made, and logs to nobody. */
export function getLogger(name?: string): Logger {
  const wanted = name || "default";
  const known = loggersInUse.get(wanted) ?? new Logger(wanted, "NOTSET", []);
  loggersInUse.set(wanted, known);
  return known;
}
