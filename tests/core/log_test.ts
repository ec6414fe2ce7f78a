import { assert, assertEquals, assertMatch } from "@std/assert";
import { SinkError } from "../../src/core/errors.ts";
import { createLogger, type Level, type LogOptions } from "../../src/core/log.ts";
import { FakeClock } from "../fakes/clock.ts";

function setUp(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const clock = new FakeClock();
  const log = createLogger({
    format: "text",
    level: "debug",
    clock,
    write: (line) => void lines.push(line),
    ...options,
  });
  return { lines, clock, log };
}

/** What stands behind the time and the level. */
function said(line: string | undefined): string {
  return (line ?? "").replace(/^\d\d:\d\d:\d\d [A-Z]+ +/, "");
}

Deno.test("log as text is one line: time, level, message, fields", () => {
  const { lines, log } = setUp();
  log.warn("Cannot write", { sink: "kafka", queued: 12, why: "it is away" });
  assertEquals(lines.length, 1);
  assertMatch(lines[0] as string, /^\d\d:\d\d:\d\d WARN {2}Cannot write sink=kafka queued=12 why="it is away"$/);
});

Deno.test("log as JSON is one object a line: time, level, message, fields", () => {
  const { lines, log } = setUp({ format: "json" });
  log.error("Failed", { exitCode: 4, sent: { kafka: 7 } });
  const { time, ...rest } = JSON.parse(lines[0] as string);
  assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assertEquals(rest, { level: "error", message: "Failed", exitCode: 4, sent: { kafka: 7 } });
});

const FIELDS: [name: string, value: unknown, text: string][] = [
  ["quotes a text with spaces", "a b", 'f="a b"'],
  ["quotes a text with an equals sign", "a=b", 'f="a=b"'],
  ["quotes a text with quotes", 'a"b', 'f="a\\"b"'],
  ["quotes an empty text", "", 'f=""'],
  ["tells an error by name and message", new TypeError("x"), 'f="TypeError: x"'],
  [
    "tells the cause of an error",
    new SinkError("retry", "away", { cause: new Error("refused") }),
    'f="SinkError: away: refused"',
  ],
  [
    "does not tell a cause twice",
    new Error("away: refused", { cause: new Error("refused") }),
    'f="Error: away: refused"',
  ],
  ["writes an object as JSON", { a: [1] }, 'f={"a":[1]}'],
  ["says that a value is undefined", undefined, "f=undefined"],
];
for (const [name, value, text] of FIELDS) {
  Deno.test(`log as text ${name}`, () => {
    const { lines, log } = setUp();
    log.info("m", { f: value });
    assertEquals(said(lines[0]), `m ${text}`);
  });
}

for (const format of ["text", "json"] as const) {
  Deno.test(`log as ${format} lets no words from outside break a line or command a terminal`, () => {
    const { lines, log } = setUp({ format });
    log.info("no\n00:00:00 ERROR faked", { words: "\x1b[2J", more: "a\r\nb\x9b31m", error: new Error("x\x1b[1m") });
    assertEquals(lines.length, 1);
    assert(!/\p{Cc}/u.test(lines[0] as string), JSON.stringify(lines[0]));
  });
}

const LEVELS: readonly Level[] = ["debug", "info", "warn", "error"];
for (const [least, level] of LEVELS.entries()) {
  Deno.test(`log at level ${level} writes this level and the graver ones`, () => {
    const { lines, log } = setUp({ level });
    for (const each of LEVELS) log[each](each);
    assertEquals(lines.map(said), LEVELS.slice(least));
  });
}

Deno.test("log.often() says a message once per 10 s, then with the count of those in between", async () => {
  const { lines, clock, log } = setUp();
  for (let i = 0; i < 25; i++) {
    log.often("warn", "Still away", { try: i });
    log.often("warn", "Another", {});
    await clock.advance(1000);
  }
  assertEquals(lines.filter((line) => line.includes("Still")).map(said), [
    "Still away try=0",
    "Still away try=10 suppressed=9",
    "Still away try=20 suppressed=9",
  ]);
  assertEquals(lines.filter((line) => line.includes("Another")).length, 3);
});

Deno.test("log.often() goes by the clock that does not jump", () => {
  const { lines, clock, log } = setUp();
  log.often("warn", "Still away");
  clock.jump(3_600_000);
  log.often("warn", "Still away");
  assertEquals(lines.length, 1);
});
