// Holds for the stand-in in std/assert and for the real package alike. What an assertion does is told by try and
// catch here, since asking one assertion about another would prove nothing.
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "@std/assert";
import { stripVTControlCharacters } from "node:util";

/** The message of the AssertionError, without colours; undefined if the assertion held. */
async function failure(assertion: () => unknown): Promise<string | undefined> {
  try {
    await assertion();
  } catch (error) {
    if (error instanceof AssertionError) return stripVTControlCharacters(error.message);
    throw error;
  }
}

function holds(name: string, assertion: () => unknown): void {
  Deno.test(`${name} holds`, async () => {
    const message = await failure(assertion);
    if (message !== undefined) throw new Error(`Should have held, but: ${message}`);
  });
}

function fails(name: string, assertion: () => unknown, ...parts: string[]): void {
  Deno.test(`${name} fails`, async () => {
    const message = await failure(assertion);
    if (message === undefined) throw new Error("Should have failed");
    for (const part of parts) {
      if (!message.includes(part)) throw new Error(`Should say ${JSON.stringify(part)}, but: ${message}`);
    }
  });
}

class Point {
  #z: number;
  constructor(public x: number, public y: number, z = 0) {
    this.#z = z;
  }
  get z(): number {
    return this.#z;
  }
}
class CodeError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}
const circle = (name: string): { name: string; self?: unknown } => {
  const value: { name: string; self?: unknown } = { name };
  value.self = value;
  return value;
};
const bare = (fields: object): object => Object.assign(Object.create(null), fields);
const error = new Error("x");

const EQUAL: [string, unknown, unknown][] = [
  ["text", "a", "a"],
  ["NaN", NaN, NaN],
  ["0 and -0", 0, -0],
  ["nested objects, keys in another order", { a: 1, b: { c: [1, 2] } }, { b: { c: [1, 2] }, a: 1 }],
  ["an object without prototype and a plain one", bare({ a: 1 }), { a: 1 }],
  ["dates", new Date(5), new Date(5)],
  ["invalid dates", new Date(NaN), new Date(NaN)],
  ["patterns", /a/g, /a/g],
  ["addresses", new URL("ws://a/b"), new URL("ws://a/b")],
  ["bytes", new Uint8Array([1, 2]), new Uint8Array([1, 2])],
  ["buffers", new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]).buffer],
  ["sets in another order", new Set([1, 2]), new Set([2, 1])],
  ["sets of objects", new Set([{ a: 1 }, { a: 2 }]), new Set([{ a: 2 }, { a: 1 }])],
  ["maps in another order", new Map([["a", { n: 1 }], ["b", { n: 2 }]]), new Map([["b", { n: 2 }], ["a", { n: 1 }]])],
  ["maps with objects as keys", new Map([[{ k: 1 }, 1]]), new Map([[{ k: 1 }, 1]])],
  ["objects of one class", new Point(1, 2, 3), new Point(1, 2, 3)],
  ["circles", circle("a"), circle("a")],
  ["one error", error, error],
  ["symbols as keys", { [Symbol.iterator]: 1 }, { [Symbol.iterator]: 1 }],
];
for (const [name, a, b] of EQUAL) {
  holds(`assertEquals() on ${name}`, () => assertEquals(a, b));
  fails(`assertNotEquals() on ${name}`, () => assertNotEquals(a, b), "Expected actual: ", " not to be: ");
}

const DIFFERENT: [string, unknown, unknown][] = [
  ["number and text", 1, "1"],
  ["null and undefined", null, undefined],
  ["an undefined field and none", { a: undefined }, {}],
  ["an undefined field and another", { a: undefined }, { b: undefined }],
  ["a hole and undefined", Object.assign(Array(2), { 1: 1 }), [undefined, 1]],
  ["arrays of different length", [1], [1, 2]],
  ["array and object", [], {}],
  ["dates", new Date(5), new Date(6)],
  ["patterns", /a/g, /a/i],
  ["addresses", new URL("ws://a/b"), new URL("ws://a/c")],
  ["bytes", new Uint8Array([1, 2]), new Uint8Array([1, 3])],
  ["bytes and numbers", new Uint8Array([1, 2]), [1, 2]],
  ["sets", new Set([1, 2]), new Set([1, 3])],
  ["maps", new Map([["a", 1]]), new Map([["a", 2]])],
  ["class and plain object", new Point(1, 2), { x: 1, y: 2 }],
  ["what an accessor shows", new Point(1, 2, 3), new Point(1, 2, 4)],
  ["circles", circle("a"), circle("b")],
  ["errors", new Error("a"), new Error("b")],
  ["functions", () => 1, () => 1],
  ["symbols as keys", { [Symbol.iterator]: 1 }, { [Symbol.iterator]: 2 }],
];
for (const [name, a, b] of DIFFERENT) {
  fails(`assertEquals() on different ${name}`, () => assertEquals(a, b), "Values are not equal.");
  holds(`assertNotEquals() on different ${name}`, () => assertNotEquals(a, b));
}

fails(
  "assertEquals() with a message, showing the lines that differ,",
  () => assertEquals({ product: "BTC-USD", price: 1 }, { product: "BTC-USD", price: 2 }, "tick"),
  "Values are not equal: tick\n",
  "[Diff] Actual / Expected",
  "\n-     price: 1,",
  "\n+     price: 2,",
  '\n      product: "BTC-USD",',
);
fails(
  "assertEquals() on texts of several lines, showing what differs,",
  () => assertEquals("same\nold\ttext", "same\nnew\ttext"),
  "    same\\n\n",
  "-   old\\ttext",
  "+   new\\ttext",
);

holds("assert() on a truthy value", () => assert("0"));
fails("assert() on 0", () => assert(0));
fails("assert() with a message", () => assert(false, "why"), "why");
fails("fail()", () => fail(), "Failed assertion.");
fails("fail() with a message", () => fail("why"), "Failed assertion: why");

holds("assertStrictEquals() on the same object", () => assertStrictEquals(error, error));
holds("assertStrictEquals() on NaN", () => assertStrictEquals(NaN, NaN));
fails("assertStrictEquals() on 0 and -0", () => assertStrictEquals(0, -0), "-   0", "+   -0");
fails("assertStrictEquals() on equal objects", () => assertStrictEquals({ a: 1 }, { a: 1 }), "not reference-equal");
fails(
  "assertStrictEquals() on others",
  () => assertStrictEquals(1, 2, "why"),
  "not strictly equal: why",
  "-   1",
  "+   2",
);

holds("assertGreater() on 2 and 1", () => assertGreater(2, 1));
fails("assertGreater() on 1 and 1", () => assertGreater(1, 1), "Expect 1 > 1");
fails("assertGreater() on NaN", () => assertGreater(NaN, 1));
holds("assertGreaterOrEqual() on 1 and 1", () => assertGreaterOrEqual(1, 1));
fails("assertGreaterOrEqual() on 1 and 2", () => assertGreaterOrEqual(1, 2), "Expect 1 >= 2");
holds("assertLess() on 1 and 2", () => assertLess(1, 2));
fails("assertLess() on 1 and 1", () => assertLess(1, 1), "Expect 1 < 1");
holds("assertLessOrEqual() on 1 and 1", () => assertLessOrEqual(1, 1));
fails("assertLessOrEqual() on 2 and 1", () => assertLessOrEqual(2, 1), "Expect 2 <= 1");
fails("assertLessOrEqual() with a message", () => assertLessOrEqual(2, 1, "why"), "why");

holds("assertAlmostEquals() on 0.1 + 0.2", () => assertAlmostEquals(0.1 + 0.2, 0.3));
holds("assertAlmostEquals() within the tolerance", () => assertAlmostEquals(1.04, 1, 0.05));
holds("assertAlmostEquals() on infinities", () => assertAlmostEquals(Infinity, Infinity));
fails("assertAlmostEquals() on 1.001 and 1", () => assertAlmostEquals(1.001, 1), 'to be close to "1"', "delta");
fails("assertAlmostEquals() beyond the tolerance", () => assertAlmostEquals(1.06, 1, 0.05));
fails("assertAlmostEquals() on NaN and 1", () => assertAlmostEquals(NaN, 1));

holds("assertMatch()", () => assertMatch("BTC-USD", /^[A-Z]+-[A-Z]+$/));
fails("assertMatch()", () => assertMatch("btc", /^[A-Z]+$/, "why"), '"btc" to match: "/^[A-Z]+$/": why');
holds("assertStringIncludes()", () => assertStringIncludes("BTC-USD", "-"));
fails("assertStringIncludes()", () => assertStringIncludes("BTC", "-"), 'Expected actual: "BTC" to contain: "-".');

const raise = (error: unknown) => () => {
  throw error;
};
const wrong = new CodeError(7, "\x1b[31mwrong\x1b[0m price");
holds("assertThrows() on any error", () => assertThrows(raise(wrong)));
holds("assertThrows() on what is no error", () => assertThrows(raise("text")));
holds("assertThrows() on class and text, colours aside,", () => assertThrows(raise(wrong), CodeError, "wrong price"));
holds("assertThrows() on a DOMException", () => assertThrows(raise(new DOMException("x", "AbortError")), DOMException));
fails("assertThrows() on nothing", () => assertThrows(() => {}), "Expected function to throw.");
fails(
  "assertThrows() on nothing, with a message,",
  () => assertThrows(() => {}, "why"),
  "Expected function to throw: why",
);
fails(
  "assertThrows() on another class",
  () => assertThrows(raise(wrong), TypeError),
  'instance of "TypeError", but was "CodeError"',
);
fails(
  "assertThrows() on another text",
  () => assertThrows(raise(new Error("x")), Error, "price", "why"),
  'to include "price", but got "x": why',
);
fails(
  "assertThrows() on a class and no error",
  () => assertThrows(raise("x"), Error),
  "A non-Error object was thrown.",
);
Deno.test("assertThrows() returns what was thrown, typed", () => {
  const code: number = assertThrows(raise(wrong), CodeError).code;
  const anything: unknown = assertThrows(raise("text"));
  assertEquals([code, anything], [7, "text"]);
});

holds("assertRejects() on any error", () => assertRejects(() => Promise.reject(wrong)));
holds("assertRejects() on class and text", () => assertRejects(() => Promise.reject(wrong), CodeError, "wrong price"));
fails(
  "assertRejects() on a promise kept",
  () => assertRejects(() => Promise.resolve(1)),
  "Expected function to reject.",
);
fails("assertRejects() on a throw", () => assertRejects(raise(wrong)), "Function throws when expected to reject.");
fails(
  "assertRejects() on another class",
  () => assertRejects(() => Promise.reject(wrong), TypeError),
  'instance of "TypeError", but was "CodeError"',
);
fails("assertRejects() on another text", () => assertRejects(() => Promise.reject(wrong), CodeError, "size"), '"size"');
fails(
  "assertRejects() on a class and no error",
  () => assertRejects(() => Promise.reject("x"), Error),
  "A non-Error object was rejected.",
);
Deno.test("assertRejects() resolves with the reason, typed", async () => {
  const code: number = (await assertRejects(() => Promise.reject(wrong), CodeError)).code;
  assertEquals(code, 7);
});

Deno.test("assert() narrows types", () => {
  const found: number | undefined = [1].at(0);
  assert(found !== undefined);
  assertEquals(found.toFixed(1), "1.0");
});

Deno.test("AssertionError is an Error that keeps its cause", () => {
  const caught = new AssertionError("x", { cause: error });
  assert(caught instanceof Error);
  assertEquals([caught.name, caught.message, caught.cause], ["AssertionError", "x", error]);
});
