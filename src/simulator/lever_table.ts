// The levers by name, for HTTP: what each takes, in which range, and the check of a JSON object against that.

import type { Levers } from "./levers.ts";

/** An argument that a lever cannot take. Its message is for whoever pulled. */
export class LeverError extends Error {
  /** Tells it from other errors in a log. */
  override name = "LeverError";
}

/** Reads one argument or throws a `LeverError`. */
interface Kind<T> {
  readonly wish: string;
  read(value: unknown): T | undefined;
  readonly optional: boolean;
}

type Kinds = Readonly<Record<string, Kind<unknown>>>;
type Values<K extends Kinds> = { [Name in keyof K]: K[Name] extends Kind<infer T> ? T : never };

const onOff: Kind<boolean> = {
  wish: "true or false",
  optional: false,
  read: (value) => typeof value === "boolean" ? value : undefined,
};

function number(min: number, max: number): Kind<number> {
  return {
    wish: `${min} to ${max}`,
    optional: false,
    read: (value) => typeof value === "number" && value >= min && value <= max ? value : undefined,
  };
}

function whole(min: number, max: number): Kind<number> {
  return {
    wish: `a whole number of ${min} to ${max}`,
    optional: false,
    read: (value) => Number.isInteger(value) ? number(min, max).read(value) : undefined,
  };
}

const closeCode: Kind<number> = {
  wish: "a close code of 1000 to 4999",
  optional: false,
  read: (value) => whole(1000, 4999).read(value),
};

const decimal: Kind<string> = {
  wish: "decimal text above zero",
  optional: false,
  read: (value) => typeof value === "string" && /^\d+(\.\d+)?$/.test(value) && Number(value) > 0 ? value : undefined,
};

function optional<T>(kind: Kind<T>): Kind<T | undefined> {
  return { ...kind, optional: true };
}

interface Entry {
  readonly kinds: Kinds;
  pull(levers: Levers, values: Record<string, unknown>): number | void;
}

function entry<K extends Kinds>(kinds: K, pull: (levers: Levers, values: Values<K>) => number | void): Entry {
  // sound because pullLever() fills in each name with what its own kind has read
  return { kinds, pull: (levers, values) => pull(levers, values as Values<K>) };
}

const DAY_MS = 86_400_000;

function table(products: readonly string[]): Record<keyof Levers, Entry> {
  const product: Kind<string> = {
    wish: `one of ${products.join(", ")}`,
    optional: false,
    read: (value) => typeof value === "string" && products.includes(value) ? value : undefined,
  };
  const anyProduct = optional(product);
  return {
    hangUp: entry({ code: optional(closeCode) }, (levers, { code }) => levers.hangUp(code)),
    silent: entry({ on: onOff }, (levers, { on }) => levers.silent(on)),
    refuseUpgrade: entry(
      { on: onOff, status: optional(whole(400, 599)) },
      (levers, { on, status }) => levers.refuseUpgrade(on, status),
    ),
    mute: entry({ on: onOff }, (levers, { on }) => levers.mute(on)),
    hangUpAtOnce: entry({ on: onOff }, (levers, { on }) => levers.hangUpAtOnce(on)),
    loseProduct: entry({ product, on: onOff }, (levers, { product, on }) => levers.loseProduct(product, on)),
    quiet: entry({ product, on: onOff }, (levers, { product, on }) => levers.quiet(product, on)),
    trade: entry(
      { product: anyProduct, n: optional(whole(1, 100_000)), price: optional(decimal) },
      (levers, { product, n, price }) => levers.trade(product, n, price),
    ),
    junk: entry({ n: optional(whole(1, 10_000)) }, (levers, { n }) => levers.junk(n)),
    huge: entry({ bytes: whole(0, 64 * 1024 * 1024) }, (levers, { bytes }) => levers.huge(bytes)),
    cutOff: entry({ product: anyProduct }, (levers, { product }) => levers.cutOff(product)),
    breakOff: entry({}, (levers) => levers.breakOff()),
    repeat: entry({ n: optional(whole(1, 10_000)) }, (levers, { n }) => levers.repeat(n)),
    outOfOrder: entry({ product: anyProduct }, (levers, { product }) => levers.outOfOrder(product)),
    late: entry(
      { ms: number(0, 3650 * DAY_MS), product: anyProduct },
      (levers, { ms, product }) => levers.late(ms, product),
    ),
    future: entry(
      { ms: number(0, 3650 * DAY_MS), product: anyProduct },
      (levers, { ms, product }) => levers.future(ms, product),
    ),
    wrongProductErrors: entry(
      { product, on: optional(onOff) },
      (levers, { product, on }) => levers.wrongProductErrors(product, on),
    ),
    refuseAll: entry({ on: onOff }, (levers, { on }) => levers.refuseAll(on)),
    dataFirst: entry({ on: onOff }, (levers, { on }) => levers.dataFirst(on)),
    slowDown: entry({ ms: number(0, 600_000) }, (levers, { ms }) => levers.slowDown(ms)),
    flood: entry(
      { ticksPerSecond: number(1, 1_000_000), ms: number(1, DAY_MS), batchToo: optional(onOff) },
      (levers, { ticksPerSecond, ms, batchToo }) => levers.flood(ticksPerSecond, ms, batchToo),
    ),
    heartbeats: entry({ on: onOff }, (levers, { on }) => levers.heartbeats(on)),
    clockOffset: entry({ ms: number(-3650 * DAY_MS, 3650 * DAY_MS) }, (levers, { ms }) => levers.clockOffset(ms)),
  };
}

/** All levers with their arguments, as words for people. */
export function describeLevers(products: readonly string[]): Record<string, Record<string, string>> {
  const described: Record<string, Record<string, string>> = {};
  for (const [name, { kinds }] of Object.entries(table(products))) {
    described[name] = Object.fromEntries(
      Object.entries(kinds).map(([key, { wish, optional }]) => [key, optional ? `${wish} (optional)` : wish]),
    );
  }
  return described;
}

/** Pulls a lever by name. Throws a `LeverError` for a bad argument; answers false when there is no such lever. */
export function pullLever(
  levers: Levers,
  products: readonly string[],
  name: string,
  args: unknown,
): { reached?: number } | false {
  // a Map, because "constructor" is no lever
  const found = new Map<string, Entry>(Object.entries(table(products))).get(name);
  if (found === undefined) return false;
  const told = (wish: string, value: unknown) =>
    new LeverError(`Cannot pull ${name} as ${wish}: current value is ${JSON.stringify(value)}`);
  if (typeof args !== "object" || args === null || Array.isArray(args)) {
    throw told("the body must be a JSON object", args);
  }
  const given = new Map<string, unknown>(Object.entries(args));
  for (const [key, value] of given) {
    if (!Object.hasOwn(found.kinds, key)) throw told(`it takes no "${key}"`, value);
  }
  const values: Record<string, unknown> = {};
  for (const [key, kind] of Object.entries(found.kinds)) {
    const value = given.get(key);
    if (value === undefined && kind.optional) continue;
    values[key] = kind.read(value);
    if (values[key] === undefined) throw told(`${key} must be ${kind.wish}`, value ?? null);
  }
  const reached = found.pull(levers, values);
  return typeof reached === "number" ? { reached } : {};
}
