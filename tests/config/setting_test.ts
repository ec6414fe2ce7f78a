import { assertEquals, assertThrows } from "@std/assert";
import { CHECK_SETTINGS, readServers } from "../../src/checks/servers.ts";
import {
  describe,
  int,
  type Kind,
  list,
  oneOf,
  orEmpty,
  path,
  secret,
  setting,
  SettingsReader,
  text,
  webAddress,
} from "../../src/config/setting.ts";
import { ConfigError } from "../../src/core/errors.ts";

/** The value of X and what is wrong with it. */
function read(kind: Kind<unknown>, usual: string, values: Record<string, string>): [unknown, ...string[]] {
  const reader = new SettingsReader({ values, readFile: (path) => path === "/empty" ? "\n" : "from a file\n" });
  const value = reader.read(setting("X", kind, usual, "for tests"));
  return [value, ...reader.problems];
}

const upper = (item: string) => /^[a-z]+$/.test(item) ? item.toUpperCase() : undefined;
const CASES: [kind: Kind<unknown>, usual: string, value: string | undefined, wanted: unknown, problem?: string][] = [
  [int(1, 10), "5", undefined, 5],
  [int(1, 10), "5", " ", 5],
  [int(1, 10), "5", " 10 ", 10],
  [int(1, 10), "5", "11", 5, '1 to 10, got "11"'],
  [oneOf("a", "b", "c"), "a", "C", "c"],
  [oneOf("a", "b", "c"), "a", "d", "a", 'a, b or c, got "d"'],
  [list("words", upper), "", " a,b,,a", ["A", "B"]],
  [list("words", upper), "", ",", []],
  [list("words", upper, 1), "z", ",", ["Z"], 'words, separated by commas, got ","'],
  [list("words", upper), "", "a,1,2", [], 'words, separated by commas, got "1,2"'],
  [text("a name"), "me", "", "me"],
  [orEmpty(text("a name")), "me", "", ""],
  [orEmpty(text("a name", /^\w+$/)), "me", "a b", "me", 'a name, or empty, got "a b"'],
  [path(), "", "", undefined],
  [orEmpty(path()), "x", "", undefined],
  [webAddress(), "", "http://a:80/b//", "http://a/b"],
  [
    webAddress(),
    "",
    "http://me:hun,ter2@a",
    "",
    'an http:// or https:// address without a login in it, got "http://...@a"',
  ],
  [secret("a token"), "", "t", "t"],
];
for (const [kind, usual, value, wanted, problem] of CASES) {
  Deno.test(`SettingsReader.read() of ${kind.expected}, ${JSON.stringify(usual)} if not set, set to ${JSON.stringify(value)}`, () => {
    const problems = problem === undefined ? [] : [`Cannot use X: expected ${problem}`];
    assertEquals(read(kind, usual, value === undefined ? {} : { X: value }), [wanted, ...problems]);
  });
}

Deno.test("SettingsReader.read() reads a secret from its file, and nothing else", () => {
  assertEquals(read(secret("a token"), "", { X_FILE: "/x" }), ["from a file"]);
  assertEquals(read(text("a name"), "me", { X_FILE: "/x" }), ["me"]);
});

Deno.test("describe() shows a setting with its kind, its default and its file", () => {
  assertEquals(
    describe([setting("X", int(1, 10), "5", "One"), setting("Y", secret("a token"), "", "Two")]),
    "  X\n      One\n      1 to 10; default 5\n" +
      "  Y (or Y_FILE, the path of a file)\n      Two\n      a token; default none\n",
  );
});

Deno.test("readServers() refuses a secret whose file is empty, as the program does", () => {
  const environment = { values: { INFLUX_URL: "http://a", INFLUX_TOKEN_FILE: "/empty" }, readFile: () => "\n" };
  const found = {
    form: "servers",
    why: "",
    program: undefined,
    morePorts: [],
    files: { influx: undefined, grafana: undefined },
    hasStoreFile: false,
  } as const;
  const { problems } = assertThrows(
    () => readServers(environment, found),
    ConfigError,
  );
  assertEquals(problems, [
    'Cannot use INFLUX_TOKEN_FILE: expected a file with a token, got the empty file "/empty"',
  ]);
});

Deno.test("the settings of doctor and audit have defaults that can be used", () => {
  const reader = new SettingsReader({ values: {}, readFile: () => "" });
  const values = reader.readAll(CHECK_SETTINGS);
  assertEquals(reader.problems, []);
  assertEquals([values.waitMs, values.telegrafGapsGroup, values.influxUrl], [8000, "telegraf-gaps", ""]);
});
