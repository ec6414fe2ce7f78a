// deno-lint-ignore-file no-console
// Holds for the stand-in in std/dotenv and for the real package alike. No case names a variable the file lacks:
// that would ask the environment, and these tests run without any permission.
import { assert, assertEquals } from "@std/assert";
import { parse } from "@std/dotenv";

const CASES: [string, string, Record<string, string>][] = [
  ["plain values", "A=1\nB=two words \n", { A: "1", B: "two words" }],
  ["an empty value", "A=\nB=\"\"\nC=''", { A: "", B: "", C: "" }],
  ["spaces around the equals sign", "  A = 1", { A: "1" }],
  ["export", "export A=1", { A: "1" }],
  ["carriage returns", "A=1\r\nB=2\r\n", { A: "1", B: "2" }],
  ["a byte order mark", "\uFEFFA=1", { A: "1" }],
  ["comments and blank lines", "# x=1\n\nA=1 # one\nB=2#two", { A: "1", B: "2" }],
  ["a second equals sign", "A=b=c==", { A: "b=c==" }],
  ["a list of brokers", "KAFKA_BROKERS=a:9092,b:9092", { KAFKA_BROKERS: "a:9092,b:9092" }],
  ["a hash in quotes", `A="x # y" # z\nB='x#y'`, { A: "x # y", B: "x#y" }],
  ["single quotes as they stand", "A='p$w\\n \"x\"'", { A: 'p$w\\n "x"' }],
  ["escapes in double quotes", String.raw`A="l1\nl2\t\"q\" \\ \x"`, { A: 'l1\nl2\t"q" \\ \\x' }],
  ["no references in double quotes", 'B=1\nA="$B ${B}"', { B: "1", A: "$B ${B}" }],
  ["several lines in quotes", "A=\"l1\nl2\"\nB='\nl1\nl2\n'\nC=3", { A: "l1\nl2", B: "l1\nl2", C: "3" }],
  ["an open quote", 'A="x\nB=1', { A: '"x', B: "1" }],
  ["references", "A=$B-x\nB=1\nC=${B}${A}", { A: "1-x", B: "1", C: "11-x" }],
  ["references with another value at hand", "A=1\nB=${A:-2}", { A: "1", B: "1" }],
  ["an escaped dollar", "A=p\\$w", { A: "p\\$w" }],
  ["the last of a name", "A=1\nA=2", { A: "2" }],
  ["lines that set nothing", "A\n=1\n\nB=2", { A: "1", B: "2" }],
  ["nothing", "", {}],
];
for (const [name, text, expected] of CASES) {
  Deno.test(`dotenv.parse() reads ${name}`, () => assertEquals(parse(text), expected));
}

Deno.test("dotenv.parse() leaves out a name that is no identifier, and warns", () => {
  const warnings: unknown[] = [];
  const warn = console.warn;
  console.warn = (text: unknown) => warnings.push(text);
  try {
    assertEquals(parse("A-B=1\n2C=1\nD=1"), { D: "1" });
  } finally {
    console.warn = warn;
  }
  assertEquals(warnings.length, 2);
});

Deno.test("dotenv.parse() gives nothing the file does not name", () => {
  const values = parse("__proto__=1");
  assert(!("toString" in values));
  assertEquals(Object.entries(values), [["__proto__", "1"]]);
});
