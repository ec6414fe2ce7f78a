// Replaces jsr:@std/assert where JSR cannot be reached: the assertions that our tests use, with the same results. node:assert/strict
// distinguishes 0 from -0 and {} from Object.create(null), and the real package does not, so the comparison is written here. The
// diff comes from node:util.
import { diff, stripVTControlCharacters, types } from "node:util";

/** Thrown by every failed assertion. */
export class AssertionError extends Error {
  /** @param options `cause` is kept, as with any error */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Always fails: for a line that must not be reached. */
export function fail(msg?: string): never {
  throw new AssertionError(`Failed assertion${suffix(msg)}`);
}

/** Fails unless both are deeply equal. `NaN` equals `NaN`, `0` equals `-0`, and `undefined` differs from a missing field. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected, new Map())) return;
  throw new AssertionError(`Values are not equal${suffix(msg)}\n${difference(actual, expected)}`);
}

/** Fails if both are deeply equal, see {@linkcode assertEquals}. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected, new Map())) return;
  throw new AssertionError(`Expected actual: ${show(actual)} not to be: ${show(expected)}${suffix(msg)}`);
}

/** Fails unless both are the same value or object according to `Object.is`: `0` differs from `-0`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (Object.is(actual, expected)) return;
  const shown = show(actual);
  if (shown === show(expected)) {
    const indented = shown.split("\n").map((line) => `    ${line}`).join("\n");
    throw new AssertionError(
      `Values have the same structure but are not reference-equal${suffix(msg)}\n\n${red(indented)}\n`,
    );
  }
  throw new AssertionError(`Values are not strictly equal${suffix(msg)}\n${difference(actual, expected)}`);
}

/** Fails unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) throw new AssertionError(msg ?? `Expect ${show(actual)} > ${show(expected)}`);
}

/** Fails unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) throw new AssertionError(msg ?? `Expect ${show(actual)} >= ${show(expected)}`);
}

/** Fails unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) throw new AssertionError(msg ?? `Expect ${show(actual)} < ${show(expected)}`);
}

/** Fails unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) throw new AssertionError(msg ?? `Expect ${show(actual)} <= ${show(expected)}`);
}

/** Fails unless the numbers differ by at most `tolerance`; default a ten-millionth of `expected`. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (delta <= allowed) return;
  const text = (n: number) => Number.isInteger(n) ? `"${n}"` : `"${n.toExponential()}"`;
  throw new AssertionError(
    `Expected actual: ${text(actual)} to be close to ${text(expected)}: ` +
      `delta ${text(delta)} is greater than ${text(allowed)}${suffix(msg)}`,
  );
}

/** Fails unless the pattern is found in `actual`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) return;
  throw new AssertionError(`Expected actual: "${actual}" to match: "${expected}"${suffix(msg)}`);
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(`Expected actual: "${actual}" to contain: "${expected}"${suffix(msg)}`);
}

/** Fails unless `fn` throws; returns what it threw, of any type. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Fails unless `fn` throws an `ErrorClass`, with `msgIncludes` in its message; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: abstract new (...args: never[]) => E,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  errorClassOrMsg?: ErrorClass | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const expectation = expectationOf(errorClassOrMsg, msgIncludes, msg);
  try {
    fn();
  } catch (error) {
    checkError(error, expectation, "thrown");
    return error;
  }
  throw new AssertionError(`Expected function to throw${suffix(expectation.msg)}`);
}

/** Fails unless the promise `fn` returns rejects; resolves with the reason. A `fn` that throws at once fails too. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Fails unless the promise rejects with an `ErrorClass`, with `msgIncludes` in its message; resolves with the error. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: abstract new (...args: never[]) => E,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  errorClassOrMsg?: ErrorClass | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const expectation = expectationOf(errorClassOrMsg, msgIncludes, msg);
  let promise: unknown;
  try {
    promise = fn();
  } catch {
    // `fn` threw instead of returning a promise, which fails below
  }
  if (!isObject(promise) || typeof Reflect.get(promise, "then") !== "function") {
    throw new AssertionError(`Function throws when expected to reject${suffix(expectation.msg)}`);
  }
  try {
    await promise;
  } catch (error) {
    checkError(error, expectation, "rejected");
    return error;
  }
  throw new AssertionError(`Expected function to reject${suffix(expectation.msg)}`);
}

/** Any class, whatever its constructor's parameters are. */
type ErrorClass = abstract new (...args: never[]) => Error;

interface Expectation {
  readonly errorClass: ErrorClass | undefined;
  readonly msgIncludes: string | undefined;
  readonly msg: string | undefined;
}

function expectationOf(
  errorClassOrMsg: ErrorClass | string | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
): Expectation {
  return typeof errorClassOrMsg === "string"
    ? { errorClass: undefined, msgIncludes: undefined, msg: errorClassOrMsg }
    : { errorClass: errorClassOrMsg, msgIncludes, msg };
}

function checkError(error: unknown, { errorClass, msgIncludes, msg }: Expectation, how: "thrown" | "rejected"): void {
  if (errorClass === undefined) return;
  if (!(error instanceof Error)) throw new AssertionError(`A non-Error object was ${how}${suffix(msg)}`);
  if (!(error instanceof errorClass)) {
    const found = Object.getPrototypeOf(error)?.constructor?.name;
    throw new AssertionError(`Expected error to be instance of "${errorClass.name}", but was "${found}"${suffix(msg)}`);
  }
  if (msgIncludes === undefined) return;
  if (stripVTControlCharacters(error.message).includes(stripVTControlCharacters(msgIncludes))) return;
  throw new AssertionError(
    `Expected error message to include ${JSON.stringify(msgIncludes)}, ` +
      `but got ${JSON.stringify(error.message)}${suffix(msg)}`,
  );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** `open` holds the pairs that are being compared: a pair that occurs again is a cycle and counts as equal. */
function equal(a: unknown, b: unknown, open: Map<object, object>): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime());
  if (prototypeOf(a) !== prototypeOf(b)) return false;
  if (types.isTypedArray(a) && types.isTypedArray(b)) return equalItems(a, b);
  if (types.isAnyArrayBuffer(a) && types.isAnyArrayBuffer(b)) return equalItems(new Uint8Array(a), new Uint8Array(b));
  if (a instanceof WeakMap || a instanceof WeakSet) {
    throw new TypeError(`Cannot compare ${a instanceof WeakMap ? "WeakMap" : "WeakSet"} instances`);
  }
  if (a instanceof WeakRef && b instanceof WeakRef) return equal(a.deref(), b.deref(), open);
  const outer = open.get(a);
  if (outer === b) return true;
  open.set(a, b);
  try {
    return equalContents(a, b, open);
  } finally {
    if (outer === undefined) open.delete(a);
    else open.set(a, outer);
  }
}

function equalContents(a: object, b: object, open: Map<object, object>): boolean {
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  if (a instanceof Set && b instanceof Set) {
    return equalEntries([...a].map((item) => [item, item]), [...b].map((item) => [item, item]), open);
  }
  if (a instanceof Map && b instanceof Map) return equalEntries([...a], [...b], open);
  if (a instanceof RegExp || a instanceof URL || a instanceof URLSearchParams) return String(a) === String(b);
  for (const key of new Set([...visibleKeys(a), ...visibleKeys(b)])) {
    if (!equal(Reflect.get(a, key), Reflect.get(b, key), open) || (key in a) !== (key in b)) return false;
  }
  return true;
}

function equalItems(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i] && !Object.is(a[i], b[i])) return false;
  return true;
}

/** Compares the entries in any order; keys may be objects. Every entry of `b` matches at most one of `a`. */
function equalEntries(a: [unknown, unknown][], b: [unknown, unknown][], open: Map<object, object>): boolean {
  if (a.length !== b.length) return false;
  const left = new Set(b);
  return a.every((entry) => {
    for (const other of left) {
      if (equal(entry[0], other[0], open) && equal(entry[1], other[1], open)) return left.delete(other);
    }
    return false;
  });
}

function prototypeOf(value: object): object {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

/** Enumerable fields for plain objects and arrays, all fields and accessors for other objects. */
function visibleKeys(value: object): PropertyKey[] {
  let level: object | null = prototypeOf(value);
  if (level === Object.prototype || level === Array.prototype) {
    return Reflect.ownKeys(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key));
  }
  const keys = Reflect.ownKeys(value);
  for (
    ;
    level !== null && level !== Object.prototype && level !== Array.prototype;
    level = Object.getPrototypeOf(level)
  ) {
    keys.push(...Reflect.ownKeys(level));
  }
  return keys;
}

function suffix(msg: string | undefined): string {
  return msg ? `: ${msg}` : ".";
}

function show(value: unknown): string {
  return Deno.inspect(value, {
    depth: Infinity,
    sorted: true,
    trailingComma: true,
    compact: false,
    iterableLimit: Infinity,
    getters: true,
    strAbbreviateSize: Infinity,
  });
}

/** Lines only in `actual` begin with a minus, lines only in `expected` with a plus. */
function difference(actual: unknown, expected: unknown): string {
  const texts = typeof actual === "string" && typeof expected === "string";
  const lines = (value: unknown) => (texts ? readable(String(value)) : show(value)).split("\n");
  const body = diff(lines(actual), lines(expected)).map(([side, line]) =>
    side === 0 ? `    ${line}` : side > 0 ? red(`-   ${line}`) : green(`+   ${line}`)
  );
  return ["", "", `    [Diff] ${red("Actual")} / ${green("Expected")}`, "", "", ...body, ""].join("\n");
}

/** Escapes control characters, except line ends. */
function readable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\\\x00-\x09\x0b-\x1f\x7f]/g, (char) => JSON.stringify(char).slice(1, -1)).replaceAll(
    "\n",
    "\\n\n",
  );
}

function red(text: string): string {
  return Deno.noColor ? text : `\x1b[1;31m${text}\x1b[0m`;
}

function green(text: string): string {
  return Deno.noColor ? text : `\x1b[1;32m${text}\x1b[0m`;
}
