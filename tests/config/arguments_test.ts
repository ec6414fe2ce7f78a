import { assertEquals } from "@std/assert";
import { choiceOf, readArguments } from "../../src/config/arguments.ts";

const read = (...args: string[]) => {
  const { options, words, problems } = readArguments(args, {
    values: ["--file", "--rate"],
    flags: ["--json"],
    takesWords: true,
  });
  return [Object.fromEntries(options), words, problems];
};

Deno.test("readArguments() takes a value beside its option or after =, even one that begins with a dash or contains =", () => {
  assertEquals(read("--file", "a", "--rate=5"), [{ "--file": "a", "--rate": "5" }, [], []]);
  assertEquals(read("--rate", "-3", "--file=a=b"), [{ "--rate": "-3", "--file": "a=b" }, [], []]);
  assertEquals(read("--rate", "--json", "--file="), [{ "--rate": "--json", "--file": "" }, [], []]);
  assertEquals(read("--json", "--file", "-"), [{ "--json": "", "--file": "-" }, [], []]);
});

Deno.test("readArguments() gives words in their order: - is one, and so is everything after --", () => {
  assertEquals(read("b", "--json", "-", "a"), [{ "--json": "" }, ["b", "-", "a"], []]);
  assertEquals(read("--", "--json", "-x"), [{}, ["--json", "-x"], []]);
});

Deno.test("readArguments() reports all problems at once", () => {
  const [, , problems] = read("--json=yes", "-xyz", "--colour=red", "--rate=1", "--rate", "2", "--__proto__", "--file");
  assertEquals(problems, [
    'Cannot use --json: expected no value, got "yes"',
    'Cannot use "-xyz": there is no such option, see --help',
    "Cannot use --colour: there is no such option, see --help",
    "Cannot use --rate: expected it once, got it twice",
    "Cannot use --__proto__: there is no such option, see --help",
    "Cannot use --file: expected a value, see --help",
  ]);
});

Deno.test("readArguments() refuses words where none are taken, in the words of its caller", () => {
  assertEquals(readArguments(["a", "-"], {}).problems, [
    'Cannot use "a": there is no such option, see --help',
    'Cannot use "-": there is no such option, see --help',
  ]);
  assertEquals(readArguments(["a", "--b"], { refuse: (arg) => `no ${arg}` }).problems, ["no a", "no --b"]);
});

Deno.test("choiceOf() gives the choice or the usual one, and a problem for anything else", () => {
  const given = readArguments(["--rate=b"], { values: ["--rate"] });
  assertEquals(choiceOf(given, "--rate", ["a", "b"], "a"), "b");
  assertEquals(choiceOf(given, "--file", ["a", "b"], "a"), "a");
  assertEquals(given.problems, []);
  assertEquals(choiceOf(given, "--rate", ["a", "c"], "a"), "a");
  assertEquals(given.problems, ['Cannot use --rate: expected a or c, got "b"']);
});
