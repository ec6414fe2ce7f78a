// Holds for the stand-in in std/log and for the real package alike. The handler is built as in src/core/log.ts: a subclass
// of BaseHandler whose formatter reads record.args.
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
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

/** A logger as setup() makes it. */
function loggerTo(handler: log.BaseHandler, level: log.LevelName) {
  log.setup({ handlers: { own: handler }, loggers: { feed: { level, handlers: ["own"] } } });
  return log.getLogger("feed");
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
  assertStrictEquals(log.getLogger("feed"), logger);
  logger.debug("a");
  logger.warn("b");
  logger.error("c");
  assertEquals([one.lines, two.lines], [["WARN b", "ERROR c"], ["ERROR c"]]);
  log.setup({});
});

Deno.test("log.getLogger() makes a logger that writes nowhere, once", () => {
  const logger = log.getLogger("unheard of");
  assertStrictEquals(log.getLogger("unheard of"), logger);
  assertEquals(logger.error("x"), "x");
});

for (const [level, number] of [["DEBUG", 10], ["INFO", 20], ["WARN", 30], ["ERROR", 40]] as const) {
  const method = { DEBUG: "debug", INFO: "info", WARN: "warn", ERROR: "error" } as const;
  Deno.test(`Logger.${method[level]}() logs at ${level}, and returns the message`, () => {
    const handler = new Records("NOTSET");
    assertEquals(loggerTo(handler, "NOTSET")[method[level]]("x", 1, 2), "x");
    assertEquals(handler.records.map((r) => [r.level, r.levelName, r.args]), [[number, level, [1, 2]]]);
  });
}

Deno.test("Logger drops what is below its level, and returns the message all the same", () => {
  const handler = new Lines("NOTSET");
  const logger = loggerTo(handler, "WARN");
  assertEquals([logger.info("a"), logger.warn("b")], ["a", "b"]);
  assertEquals(handler.lines, ["WARN b"]);
});

Deno.test("LogRecord cannot be changed through its arguments or its time", () => {
  const handler = new Records("NOTSET");
  loggerTo(handler, "NOTSET").info("x", 1);
  const [record] = handler.records;
  assert(record !== undefined);
  record.args.push(2);
  const time = record.datetime.getTime();
  record.datetime.setTime(0);
  assertEquals([record.args, record.datetime.getTime()], [[1], time]);
  assert(Math.abs(Date.now() - time) < 60_000);
});

Deno.test("levels: unknown ones are refused", () => {
  const nameFromOutside = "LOUD" as log.LevelName;
  assertThrows(() => new Lines(nameFromOutside), Error, "LOUD");
  assertThrows(() => log.setup({ loggers: { feed: { level: nameFromOutside } } }), Error, "LOUD");
  log.setup({});
});
