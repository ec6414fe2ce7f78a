// Answers for jsr:@std/log where JSR cannot be reached: levels, records, loggers and a base for handlers.
// Left out: file handlers, ready-made formatters, and debug(), info() and so on as functions of their own.

/** The number behind each level name; the higher, the graver. */
export const LogLevels = {
  /** Lets everything pass. */
  NOTSET: 0,
  /** For whoever works on the program. */
  DEBUG: 10,
  /** The normal course. */
  INFO: 20,
  /** Unexpected, yet it went on. */
  WARN: 30,
  /** Something failed. */
  ERROR: 40,
  /** Everything failed. */
  CRITICAL: 50,
} as const;

/** The name of a level. */
export type LevelName = Exclude<keyof typeof LogLevels, number>;

/** The number of a level. */
export type LogLevel = typeof LogLevels[LevelName];

/** All level names, from the least grave on. */
export const LogLevelNames: LevelName[] = ["NOTSET", "DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"];

/** Name to number. Throws if there is no such level, which only text from outside can bring about. */
export function getLevelByName(name: LevelName): LogLevel {
  if (LogLevelNames.includes(name)) return LogLevels[name];
  throw new Error(`Cannot get log level: no level named ${name}`);
}

/** Number to name. Throws if there is no such level. */
export function getLevelName(level: LogLevel): LevelName {
  const name = LogLevelNames.find((name) => LogLevels[name] === level);
  if (name !== undefined) return name;
  throw new Error(`Cannot get log level: no name for level: ${level}`);
}

/** Any function. Passed as a message it is called, not logged. */
export type GenericFunction = (...args: never[]) => unknown;

/** What a {@linkcode LogRecord} is made of. */
export interface LogRecordOptions {
  /** The message, as text. */
  msg: string;
  /** Whatever was given after the message. */
  args: unknown[];
  /** How grave it is. */
  level: LogLevel;
  /** The logger that was called. */
  loggerName: string;
}

/** One thing logged; the time is taken when it is made. Handlers share it, so nothing in it can be changed. */
class LogRecord {
  /** The message, as text. */
  readonly msg: string;
  /** How grave it is, see {@linkcode LogLevels}. */
  readonly level: number;
  /** The same as a word. */
  readonly levelName: string;
  /** The logger that was called. */
  readonly loggerName: string;
  readonly #args: unknown[];
  readonly #time = Date.now();

  /** Throws if there is no such level. */
  constructor(options: LogRecordOptions) {
    this.msg = options.msg;
    this.level = options.level;
    this.levelName = getLevelName(options.level);
    this.loggerName = options.loggerName;
    this.#args = [...options.args];
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
  #level: LogLevel;

  /** Throws if there is no such level. */
  constructor(levelName: LevelName, options?: BaseHandlerOptions) {
    this.#level = getLevelByName(levelName);
    this.formatter = options?.formatter ?? ((record) => `${record.levelName} ${record.msg}`);
  }

  /** The least grave level that passes. */
  get level(): LogLevel {
    return this.#level;
  }
  set level(level: LogLevel) {
    getLevelName(level);
    this.#level = level;
  }

  /** The same as a word. */
  get levelName(): LevelName {
    return getLevelName(this.#level);
  }
  set levelName(levelName: LevelName) {
    this.#level = getLevelByName(levelName);
  }

  /** What a logger calls: drops the record, or formats it and hands it to {@linkcode BaseHandler.log}. */
  handle(logRecord: LogRecord): void {
    if (logRecord.level >= this.#level) this.log(this.format(logRecord));
  }

  /** Record to text, by way of the formatter. */
  format(logRecord: LogRecord): string {
    return this.formatter(logRecord);
  }

  /** Writes one text, wherever this handler writes. */
  abstract log(msg: string): void;

  /** Called by {@linkcode setup} when the handler comes into use. Does nothing here. */
  setup(): void {}

  /** Called by the next {@linkcode setup}, when the handler goes out of use. Does nothing here. */
  destroy(): void {}

  /** Calls {@linkcode BaseHandler.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** Options of a {@linkcode ConsoleHandler}. */
export interface ConsoleHandlerOptions extends BaseHandlerOptions {
  /** A colour for each level from INFO up, unless NO_COLOR is set. Default: true. */
  useColors?: boolean;
}

/** Writes with console.log, that is to stdout. */
export class ConsoleHandler extends BaseHandler {
  readonly #useColors: boolean;

  /** Throws if there is no such level. */
  constructor(levelName: LevelName, options: ConsoleHandlerOptions = {}) {
    super(levelName, options);
    this.#useColors = options.useColors ?? true;
  }

  /** Record to text, in the level's colour. */
  override format(logRecord: LogRecord): string {
    const text = super.format(logRecord);
    if (!this.#useColors || Deno.noColor) return text;
    switch (logRecord.level) {
      case LogLevels.INFO:
        return `\x1b[34m${text}\x1b[39m`; // blue
      case LogLevels.WARN:
        return `\x1b[33m${text}\x1b[39m`; // yellow
      case LogLevels.ERROR:
        return `\x1b[31m${text}\x1b[39m`; // red
      case LogLevels.CRITICAL:
        return `\x1b[1m\x1b[31m${text}\x1b[39m\x1b[22m`; // bold red
      default:
        return text;
    }
  }

  /** Writes one text and a line end to stdout. */
  log(msg: string): void {
    // deno-lint-ignore no-console
    console.log(msg);
  }
}

/** Options of a {@linkcode Logger}. */
export interface LoggerOptions {
  /** Who gets its records. Default: nobody. */
  handlers?: BaseHandler[];
}

/** What a program calls: makes records of its level and above and hands each to every handler, in order. */
export class Logger {
  /** Who gets the records; may be changed at any time. */
  handlers: BaseHandler[];
  readonly #loggerName: string;
  #level: LogLevel;

  /** Throws if there is no such level. */
  constructor(loggerName: string, levelName: LevelName, options: LoggerOptions = {}) {
    this.#loggerName = loggerName;
    this.#level = getLevelByName(levelName);
    this.handlers = options.handlers ?? [];
  }

  /** The least grave level that is logged. Setting what is no level throws a TypeError. */
  get level(): LogLevel {
    return this.#level;
  }
  set level(level: LogLevel) {
    if (!LogLevelNames.some((name) => LogLevels[name] === level)) throw new TypeError(`Invalid log level: ${level}`);
    this.#level = level;
  }

  /** The same as a word. */
  get levelName(): LevelName {
    return getLevelName(this.#level);
  }
  set levelName(levelName: LevelName) {
    this.#level = getLevelByName(levelName);
  }

  /** The name records carry. */
  get loggerName(): string {
    return this.#loggerName;
  }

  /** Logs at DEBUG. `msg` is called only if the record is wanted, and what it gave is returned. */
  debug<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at DEBUG; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  debug<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  debug<T>(msg: (T extends GenericFunction ? never : T) | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.DEBUG, msg, args);
  }

  /** Logs at INFO. `msg` is called only if the record is wanted, and what it gave is returned. */
  info<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at INFO; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  info<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  info<T>(msg: (T extends GenericFunction ? never : T) | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.INFO, msg, args);
  }

  /** Logs at WARN. `msg` is called only if the record is wanted, and what it gave is returned. */
  warn<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at WARN; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  warn<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  warn<T>(msg: (T extends GenericFunction ? never : T) | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.WARN, msg, args);
  }

  /** Logs at ERROR. `msg` is called only if the record is wanted, and what it gave is returned. */
  error<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at ERROR; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  error<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  error<T>(msg: (T extends GenericFunction ? never : T) | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.ERROR, msg, args);
  }

  /** Logs at CRITICAL. `msg` is called only if the record is wanted, and what it gave is returned. */
  critical<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at CRITICAL; `args` land in {@linkcode LogRecord.args}. Returns `msg`. */
  critical<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  critical<T>(msg: (T extends GenericFunction ? never : T) | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.CRITICAL, msg, args);
  }

  #log<T>(
    level: LogLevel,
    msg: (T extends GenericFunction ? never : T) | (() => T),
    args: unknown[],
  ): T | undefined {
    const lazy = msg instanceof Function;
    if (level < this.#level) return lazy ? undefined : msg;
    const value = lazy ? msg() : msg;
    const record = new LogRecord({ msg: asText(value, false), args, level, loggerName: this.#loggerName });
    for (const handler of this.handlers) handler.handle(record);
    return value;
  }
}

/** Not JSON: errors become their stack, nested text is quoted without escapes, functions are the word undefined. */
function asText(value: unknown, nested: boolean): string {
  if (typeof value === "string") return nested ? `"${value}"` : value;
  if (typeof value === "function") return "undefined";
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Error) return value.stack ?? String(value);
  return `{${Object.entries(value).map(([key, item]) => `"${key}":${asText(item, true)}`).join(",")}}`;
}

/** Settings of one logger, see {@linkcode setup}. */
export class LoggerConfig {
  /** The least grave level that is logged. Default: INFO. */
  level?: LevelName;
  /** Names out of {@linkcode LogConfig.handlers}; unknown ones are passed over. Default: none. */
  handlers?: string[];
}

/** Settings of all loggers, see {@linkcode setup}. */
export interface LogConfig {
  /** Handlers by name. Without `default`, that one is a {@linkcode ConsoleHandler} at INFO. */
  handlers?: { [name: string]: BaseHandler };
  /** Loggers by name. Without `default`, that one logs INFO and above to the handler `default`. */
  loggers?: { [name: string]: LoggerConfig };
}

const DEFAULT_HANDLERS = { default: new ConsoleHandler("INFO") };
const DEFAULT_LOGGERS: { [name: string]: LoggerConfig } = { default: { level: "INFO", handlers: ["default"] } };
const handlersInUse = new Map<string, BaseHandler>();
const loggersInUse = new Map<string, Logger>();

/**
 * Destroys the handlers in use, sets up the given ones, and makes all loggers anew: one got before goes on writing to
 * the old handlers. Done once on import, with nothing but defaults.
 */
export function setup(config: LogConfig): void {
  for (const handler of handlersInUse.values()) handler.destroy();
  handlersInUse.clear();
  for (const [name, handler] of Object.entries({ ...DEFAULT_HANDLERS, ...config.handlers })) {
    handler.setup();
    handlersInUse.set(name, handler);
  }
  loggersInUse.clear();
  for (const [name, { level, handlers }] of Object.entries({ ...DEFAULT_LOGGERS, ...config.loggers })) {
    const known = (handlers ?? []).flatMap((wanted) => handlersInUse.get(wanted) ?? []);
    loggersInUse.set(name, new Logger(name, level ?? "INFO", { handlers: known }));
  }
}

setup({});

/** The logger of that name, or the one named `default`. One not set up is made, and logs to nobody. */
export function getLogger(name?: string): Logger {
  const wanted = name || "default";
  const known = loggersInUse.get(wanted);
  if (known !== undefined) return known;
  const logger = new Logger(wanted, "NOTSET");
  loggersInUse.set(wanted, logger);
  return logger;
}
