// Holds for the stand-in in std/log and for the real package alike. The handler is built as in src/core/log.ts: a subclass
// of BaseHandler whose formatter reads record.args.
import { assert, assertEquals, assertExists, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import * as log from "@std/log";

class Lines extends log.BaseHandler {
  readonly lines: string[] = [];
  readonly events: string[] = [];
  override log(msg: string): void {
    this.lines.push(msg);
  }
  override setup(): void {
    this.events.push("setup");
  }
  override destroy(): void {
    this.events.push("destroy");
  }
}

class Records extends log.BaseHandler {
  readonly records: log.LogRecord[] = [];
  override handle(record: log.LogRecord): void {
    this.records.push(record);
  }
  override log(): void {}
}

const json: log.FormatterFunction = ({ levelName, loggerName, msg, args, datetime }) =>
  JSON.stringify({ level: levelName, logger: loggerName, msg, ...Object(args[0]), time: datetime.getTime() > 0 });

Deno.test("log.setup() gives getLogger() the handler, and fields reach the formatter", () => {
  const handler = new Lines("DEBUG", { formatter: json });
  log.setup({ handlers: { default: handler }, loggers: { default: { level: "DEBUG", handlers: ["default"] } } });
  log.getLogger().info("Connected", { url: "ws://a/", attempt: 2 });
  log.getLogger("default").debug("No fields");
  assertEquals(handler.lines, [
    '{"level":"INFO","logger":"default","msg":"Connected","url":"ws://a/","attempt":2,"time":true}',
    '{"level":"DEBUG","logger":"default","msg":"No fields","time":true}',
  ]);
  log.setup({});
  assertEquals(handler.events, ["setup", "destroy"]);
});

Deno.test("log.setup() joins loggers and handlers by name, INFO where no level is given", () => {
  const one = new Lines("NOTSET");
  const two = new Lines("ERROR");
  log.setup({ handlers: { one, two }, loggers: { feed: { handlers: ["one", "two", "nobody"] } } });
  const logger = log.getLogger("feed");
  assertEquals([logger.levelName, logger.loggerName, logger.handlers.length], ["INFO", "feed", 2]);
  logger.debug("a");
  logger.warn("b");
  logger.error("c");
  assertEquals([one.lines, two.lines], [["WARN b", "ERROR c"], ["ERROR c"]]);
  log.setup({});
});

Deno.test("log.getLogger() has a default that writes INFO to the console", () => {
  const logger = log.getLogger();
  assertStrictEquals(log.getLogger("default"), logger);
  assertEquals([logger.levelName, logger.handlers.length], ["INFO", 1]);
  assertInstanceOf(logger.handlers[0], log.ConsoleHandler);
});

Deno.test("log.getLogger() makes a logger that writes nowhere, once", () => {
  const logger = log.getLogger("unheard of");
  assertStrictEquals(log.getLogger("unheard of"), logger);
  assertEquals([logger.levelName, logger.handlers], ["NOTSET", []]);
});

Deno.test("ConsoleHandler colours by level, unless told not to", () => {
  const handler = new Records("NOTSET");
  const logger = new log.Logger("a", "NOTSET", { handlers: [handler] });
  for (const method of ["debug", "info", "warn", "error", "critical"] as const) logger[method]("x");
  const coloured = new log.ConsoleHandler("INFO");
  const plain = new log.ConsoleHandler("INFO", { useColors: false });
  const shown = ["DEBUG x", "INFO x", "WARN x", "ERROR x", "CRITICAL x"];
  assertEquals(handler.records.map((record) => plain.format(record)), shown);
  const codes = [[], [34], [33], [31], [1, 31]];
  assertEquals(
    handler.records.map((record) => coloured.format(record)),
    Deno.noColor ? shown : shown.map((text, i) => {
      const open = (codes[i] ?? []).map((code) => `\x1b[${code}m`).join("");
      const close = (codes[i] ?? []).map((code) => `\x1b[${code === 1 ? 22 : 39}m`).reverse().join("");
      return open + text + close;
    }),
  );
});

for (const level of ["DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"] as const) {
  const method = { DEBUG: "debug", INFO: "info", WARN: "warn", ERROR: "error", CRITICAL: "critical" } as const;
  Deno.test(`Logger.${method[level]}() logs at ${level}`, () => {
    const handler = new Records("NOTSET");
    new log.Logger("a", "NOTSET", { handlers: [handler] })[method[level]]("x", 1, 2);
    assertEquals(handler.records.map((r) => [r.level, r.levelName, r.args]), [[log.LogLevels[level], level, [1, 2]]]);
  });
}

Deno.test("Logger returns the message and calls a lazy one only when it is logged", () => {
  const handler = new Lines("NOTSET");
  const logger = new log.Logger("a", "INFO", { handlers: [handler] });
  const text: string = logger.info("x");
  const count: number = logger.debug(5);
  let calls = 0;
  const lazy = () => ++calls;
  const skipped: number | undefined = logger.debug(lazy);
  const logged: number | undefined = logger.info(lazy);
  assertEquals([text, count, skipped, logged, calls], ["x", 5, undefined, 1, 1]);
  assertEquals(handler.lines, ["INFO x", "INFO 1"]);
});

Deno.test("Logger turns any message into text", () => {
  const handler = new Lines("NOTSET", { formatter: (record) => record.msg });
  const logger = new log.Logger("a", "NOTSET", { handlers: [handler] });
  const error = new Error("wrong");
  for (const msg of [null, undefined, 1n, true, [1, "a"], { a: "b", c: { d: null } }, error]) logger.info(msg);
  assertEquals(handler.lines, [
    "null",
    "undefined",
    "1",
    "true",
    '{"0":1,"1":"a"}',
    '{"a":"b","c":{"d":null}}',
    error.stack,
  ]);
});

Deno.test("Logger and BaseHandler let their level be changed", () => {
  const handler = new Lines("ERROR");
  const logger = new log.Logger("a", "ERROR", { handlers: [handler] });
  logger.levelName = "DEBUG";
  handler.level = log.LogLevels.WARN;
  assertEquals([logger.level, handler.levelName], [log.LogLevels.DEBUG, "WARN"]);
  logger.info("a");
  logger.warn("b");
  handler.levelName = "INFO";
  logger.level = log.LogLevels.INFO;
  logger.info("c");
  logger.debug("d");
  assertEquals(handler.lines, ["WARN b", "INFO c"]);
});

Deno.test("LogRecord cannot be changed through its arguments or its time", () => {
  const handler = new Records("NOTSET");
  new log.Logger("a", "NOTSET", { handlers: [handler] }).info("x", 1);
  const [record] = handler.records;
  assertExists(record);
  record.args.push(2);
  const time = record.datetime.getTime();
  record.datetime.setTime(0);
  assertEquals([record.args, record.datetime.getTime()], [[1], time]);
  assert(Math.abs(Date.now() - time) < 60_000);
});

Deno.test("BaseHandler is destroyed by using", () => {
  const handler = new Lines("INFO");
  {
    using _inUse = handler;
  }
  assertEquals(handler.events, ["destroy"]);
});

Deno.test("levels: names and numbers belong together, unknown ones are refused", () => {
  assertEquals(log.LogLevelNames, ["NOTSET", "DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"]);
  for (const name of log.LogLevelNames) assertEquals(log.getLevelName(log.getLevelByName(name)), name);
  const nameFromOutside = "LOUD" as log.LevelName;
  const levelFromOutside = 11 as log.LogLevel;
  assertThrows(() => log.getLevelByName(nameFromOutside), Error, "no level named LOUD");
  assertThrows(() => log.getLevelName(levelFromOutside), Error, "no name for level: 11");
  assertThrows(() => new Lines(nameFromOutside), Error, "LOUD");
  assertThrows(() => new log.Logger("a", "INFO").level = levelFromOutside, TypeError, "Invalid log level: 11");
});
