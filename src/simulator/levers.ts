// The levers: one table of every fault that the simulator can cause, with its arguments and what it does. The methods
// of `Simulator.levers`, the HTTP interface and the list at `GET /` are all made from it.

import type { Connection } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import { hugeFrame, INVALID_FRAMES } from "./invalid_frames.ts";
import type { Product } from "./market.ts";

/** An argument that a lever cannot take. The message is for the caller. */
export class LeverError extends RangeError {
  override name = "LeverError";
}

/** One argument of a lever. */
export interface Argument<T> {
  /** Its key in a JSON object. */
  readonly name: string;
  /** What it must be, in words that follow "expected". */
  expected(products: readonly string[]): string;
  /** Whether the lever takes this value on an exchange that lists these products. */
  fits(value: unknown, products: readonly string[]): value is T;
}

/** What a lever takes, in the order of its method: first the required arguments. */
export interface Signature {
  readonly required: readonly Argument<unknown>[];
  readonly optional: readonly Argument<unknown>[];
}

type Arguments = readonly Argument<unknown>[];
type Value<A> = A extends Argument<infer T> ? T : never;
type Required<A extends Arguments> = { [I in keyof A]: Value<A[I]> };
type Optional<A extends Arguments> = { [I in keyof A]?: Value<A[I]> | undefined };

interface Row<Values extends unknown[], Result> extends Signature {
  readonly does: string;
  readonly pull: (exchange: Exchange, ...values: Values) => Result;
}

function row<const R extends Arguments, const O extends Arguments, Result extends number | void>(
  does: string,
  required: R,
  optional: O,
  pull: (exchange: Exchange, ...values: [...Required<R>, ...Optional<O>]) => Result,
): Row<[...Required<R>, ...Optional<O>], Result> {
  return { does, required, optional, pull };
}

function number(name: string, min: number, max: number): Argument<number> {
  return {
    name,
    expected: () => `a number from ${min} to ${max}`,
    fits: (value): value is number => typeof value === "number" && value >= min && value <= max,
  };
}

function whole(name: string, min: number, max: number): Argument<number> {
  return {
    name,
    expected: () => `a whole number from ${min} to ${max}`,
    fits: (value): value is number => Number.isInteger(value) && number(name, min, max).fits(value, []),
  };
}

function flag(name: string): Argument<boolean> {
  return { name, expected: () => "true or false", fits: (value): value is boolean => typeof value === "boolean" };
}

/** The argument of every lever that stays on until it is switched off. */
export const ON: Argument<boolean> = flag("on");

const PRODUCT: Argument<string> = {
  name: "product",
  expected: (products) => `one of ${products.join(", ")}`,
  fits: (value, products): value is string => typeof value === "string" && products.includes(value),
};

const PRICE: Argument<string> = {
  name: "price",
  expected: () => "a decimal number above zero, as text",
  fits: (value): value is string => typeof value === "string" && /^\d+(\.\d+)?$/.test(value) && Number(value) > 0,
};

const DAY_MS = 86_400_000;
const YEARS_MS = 3650 * DAY_MS;

/** Calls `act` for each client that can receive; returns how many it reached. */
function reach(exchange: Exchange, act: (client: Connection) => boolean): number {
  return [...exchange.clients].filter((client) => client.canReceive && act(client)).length;
}

function toggle(does: string, name: "mute" | "hangUpAtOnce" | "refuseAll" | "dataFirst" | "heartbeats") {
  return row(does, [ON], [], (exchange, on) => {
    exchange.switches[name] = on;
  });
}

function toggleProduct(does: string, name: "isPublished" | "isTrading") {
  return row(does, [PRODUCT, ON], [], (exchange, id, on) => {
    exchange.product(id)[name] = !on;
  });
}

/** A lever that makes a trade with a time that is wrong by `ms`. */
function shifted(does: string, sign: 1 | -1) {
  return row(does, [number("ms", 0, YEARS_MS)], [PRODUCT], (exchange, ms, id) => {
    const product = exchange.product(id);
    return exchange.publish(exchange.trade(product.id, { offsetMs: sign * ms }), true);
  });
}

/** A lever that returns a number returns how many connections it reached, unless its description says otherwise. */
const ROWS = {
  hangUp: row(
    "Closes every connection with this code (default 1001). 1006 cuts them without a Close frame, the usual case in " +
      "production.",
    [],
    [whole("code", 1000, 4999)],
    (exchange, code = 1001) => {
      const open = [...exchange.clients].filter(({ socket }) => socket.isOpen);
      for (const { socket } of open) socket.close(code);
      return open.length;
    },
  ),
  silent: row(
    "Keeps connections open and sends nothing: no heartbeat, and no answer to a message, Ping or Close.",
    [ON],
    [],
    (exchange, on) => {
      exchange.switches.silent = on;
      for (const client of exchange.clients) client.socket.hush(on || client.isMuted);
    },
  ),
  refuseUpgrade: row(
    "Answers new connections with this HTTP status (default 503) instead of a WebSocket.",
    [ON],
    [whole("status", 400, 599)],
    (exchange, on, status = 503) => {
      exchange.switches.refuseUpgrade = on ? status : undefined;
    },
  ),
  mute: toggle("Accepts new connections and never sends anything on them, not even after a subscribe.", "mute"),
  hangUpAtOnce: toggle("Accepts new connections and closes them at once.", "hangUpAtOnce"),
  loseProduct: toggleProduct(
    "Stalls a product: none of its tickers are sent, but it goes on trading and its heartbeats name the new trades.",
    "isPublished",
  ),
  quiet: toggleProduct(
    "Stops trading in a product: no tickers are sent, and all its heartbeats name the same trade.",
    "isTrading",
  ),
  trade: row(
    "Makes n trades now (default 1), at this price if one is given. The default product is the first subscribed one.",
    [],
    [PRODUCT, whole("n", 1, 100_000), PRICE],
    (exchange, id, n = 1, price = undefined) => {
      const product = exchange.product(id);
      let reached = 0;
      for (let i = 0; i < n; i++) reached = exchange.publish(exchange.trade(product.id, { price }));
      return reached;
    },
  ),
  junk: row(
    "Sends n invalid frames (default 1): not JSON, cut short, wrong types, arrays, numbers, binary.",
    [],
    [whole("n", 1, 10_000)],
    (exchange, n = 1) =>
      reach(exchange, (client) => {
        for (let i = 0; i < n; i++) client.send(INVALID_FRAMES[i % INVALID_FRAMES.length] ?? "");
        return true;
      }),
  ),
  huge: row("Sends one text frame of this size.", [whole("bytes", 0, 64 * 1024 * 1024)], [], (exchange, bytes) => {
    const frame = hugeFrame(bytes);
    return reach(exchange, (client) => client.send(frame));
  }),
  cutOff: row(
    "Makes a trade and sends only the first half of its ticker, in a complete frame.",
    [],
    [PRODUCT],
    (exchange, id) => {
      const product = exchange.product(id);
      const { text } = exchange.trade(product.id);
      const half = text.slice(0, text.length >> 1);
      return exchange.audience(product).filter((client) => client.send(half)).length;
    },
  ),
  breakOff: row("Sends half a frame and cuts the connection (1006).", [], [], (exchange) => {
    const text = exchange.product().last?.text ?? `{"type":"ticker"}`;
    return reach(exchange, ({ socket }) => socket.breakOff(text));
  }),
  repeat: row(
    "Sends each client the last ticker it got, n more times (default 1).",
    [],
    [whole("n", 1, 10_000)],
    (exchange, n = 1) =>
      reach(exchange, (client) => {
        const text = client.lastTicker;
        if (text === undefined) return false;
        for (let i = 0; i < n; i++) client.send(text);
        return true;
      }),
  ),
  outOfOrder: row(
    "Makes two trades of a product and sends the second one first.",
    [],
    [PRODUCT],
    (exchange, id) => {
      const product: Product = exchange.product(id);
      const first = exchange.trade(product.id);
      const second = exchange.trade(product.id);
      exchange.publish(second, true);
      const reached = exchange.publish(first, true);
      // the next sample must not send the second one again
      for (const { sampled } of exchange.audience(product, ["ticker_batch"])) sampled.set(product.id, second.sequence);
      return reached;
    },
  ),
  late: shifted("Makes a trade with a time this far in the past.", -1),
  future: shifted("Makes a trade with a time this far in the future.", 1),
  wrongProductErrors: row(
    "Delists a product: every client gets the error `<product> is delisted`, and so does every later subscribe, until " +
      "it is listed again (on: false; default true).",
    [PRODUCT],
    [ON],
    (exchange, id, on = true) => {
      const product = exchange.product(id);
      if (on) return exchange.delist(product);
      product.isListed = true;
      return 0;
    },
  ),
  refuseAll: toggle(
    "One bad product makes the whole subscribe fail, with one error and no reply (seen in 2017).",
    "refuseAll",
  ),
  dataFirst: toggle("Sends the last trades before the `subscriptions` reply (seen in 2021).", "dataFirst"),
  slowDown: row("Delays every frame by this long; 0 ends it.", [number("ms", 0, 600_000)], [], (exchange, ms) => {
    exchange.switches.delayMs = ms;
  }),
  flood: row(
    "Makes extra trades for this long, spread over the subscribed products, and returns how many there will be. On " +
      "`ticker_batch` they only show in the samples, unless batchToo is true (default false).",
    [number("ticksPerSecond", 1, 1_000_000), number("ms", 1, DAY_MS)],
    [flag("batchToo")],
    (exchange, ticksPerSecond, ms, batchToo) => exchange.flood(ticksPerSecond, ms, batchToo),
  ),
  heartbeats: toggle("Switches heartbeats on or off.", "heartbeats"),
  clockOffset: row("Adds this to every time that is sent.", [number("ms", -YEARS_MS, YEARS_MS)], [], (exchange, ms) => {
    exchange.switches.clockOffsetMs = ms;
    for (const product of exchange.market.values()) product.rewind();
  }),
};

type Method<R> = R extends Row<infer Values, infer Result> ? (...values: Values) => Result : never;

/** One method for each row of the table. They throw a {@link LeverError} for a value that the lever cannot take. */
export type Levers = { readonly [Name in keyof typeof ROWS]: Method<typeof ROWS[Name]> };

// a Map, because "constructor" is no lever
const BY_NAME: ReadonlyMap<string, Row<never[], number | void>> = new Map(Object.entries(ROWS));

function refuse(lever: string, expected: string, value: unknown): never {
  const found = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 100);
  throw new LeverError(`Cannot pull ${lever}: expected ${expected}, got ${found}`);
}

function check(lever: string, { required, optional }: Signature, values: unknown[], products: readonly string[]): void {
  for (const [i, argument] of [...required, ...optional].entries()) {
    const value = values[i];
    if ((value === undefined && i >= required.length) || argument.fits(value, products)) continue;
    refuse(lever, `"${argument.name}" to be ${argument.expected(products)}`, value);
  }
}

/** Reads the arguments of a lever from a JSON object, in the order of its signature. Throws a {@link LeverError}. */
export function readArguments(
  lever: string,
  signature: Signature,
  given: unknown,
  products: readonly string[] = [],
): unknown[] {
  if (typeof given !== "object" || given === null || Array.isArray(given)) refuse(lever, "a JSON object", given);
  const named = new Map<string, unknown>(Object.entries(given));
  const names = [...signature.required, ...signature.optional].map(({ name }) => name);
  for (const name of named.keys()) {
    if (!names.includes(name)) refuse(lever, names.length === 0 ? "no arguments" : `only ${names.join(", ")}`, name);
  }
  const values = names.map((name) => named.get(name));
  check(lever, signature, values, products);
  return values;
}

/** The levers of this exchange. */
export function createLevers(exchange: Exchange): Levers {
  const methods = [...BY_NAME].map(([name, lever]) => [name, (...values: unknown[]) => {
    check(name, lever, values, [...exchange.market.keys()]);
    return lever.pull(exchange, ...values as never[]);
  }]);
  // sound because both come from the same rows, and check() has seen the values
  return Object.fromEntries(methods) as Levers;
}

/** Pulls a lever by name. Throws a {@link LeverError} for a bad argument; undefined when there is no such lever. */
export function pullLever(exchange: Exchange, name: string, given: unknown): { reached?: number } | undefined {
  const lever = BY_NAME.get(name);
  if (lever === undefined) return undefined;
  const values = readArguments(name, lever, given, [...exchange.market.keys()]);
  const reached = lever.pull(exchange, ...values as never[]);
  return typeof reached === "number" ? { reached } : {};
}

/** Every lever by name: what it does and what it takes. */
export function describeLevers(products: readonly string[]): Record<string, { does: string; takes: object }> {
  const takes = ({ required, optional }: Signature) =>
    Object.fromEntries([
      ...required.map((argument) => [argument.name, argument.expected(products)]),
      ...optional.map((argument) => [argument.name, `${argument.expected(products)} (optional)`]),
    ]);
  return Object.fromEntries([...BY_NAME].map(([name, lever]) => [name, { does: lever.does, takes: takes(lever) }]));
}
