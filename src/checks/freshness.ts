// Is the newest price of each product in a topic, bucket or store as new as the last one known from an earlier stage? Only
// this comparison distinguishes a product that is not traded from one whose prices are lost.

import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { type Finding, ok, Problem } from "./stage.ts";

/** A product that is behind by more than this is late, seconds: the slowest channel sends a price every 5 s. */
const LATE_SECONDS = 30;
/** If no earlier stage knows a time, the products are late when none of them has anything newer than this, seconds. */
const SILENT_SECONDS = 120;
/** While something is late, the time between two reads, ms. */
const RETRY_MS = 400;
const NO_PRICES = "it has no prices";

/**
 * A time that is further ahead of now than this was not written by our program, which rejects such ticks, seconds. It does not
 * count as the newest.
 */
export const AHEAD_SECONDS = 600;

/** A time of each product, unix seconds. */
export type Times = ReadonlyMap<string, number>;

/** What there should be. */
export interface Expected {
  /** As records name them. */
  readonly products: readonly string[];
  /** Added to what is said about products that are late. */
  readonly productsRemark: string;
  /** The last trade at the exchange, or the newest record in Kafka; empty: unknown. */
  readonly latest: Times;
  readonly now: () => number;
}

/** What one read found. */
export interface Newest {
  readonly newest: Times;
  /** Older prices were not read, so they may be there, unix seconds. */
  readonly readFrom?: number;
  readonly remark?: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** A topic, bucket or store. */
export interface Destination {
  readonly name: string;
  /** The longest time that a price needs to arrive there, ms. */
  readonly delayMs: number;
  /** Called again while something is late. */
  read(): Newest | Promise<Newest>;
  /** Why something is late and what to do about it. */
  explain(isEmpty: boolean): { readonly cause: string; readonly cure: string };
}

/**
 * Reads until nothing is late, but not longer than a price may need to arrive. Throws a Problem if something is late then.
 *
 * @param newest receives the newest time of each product
 */
export async function checkFreshness(
  destination: Destination,
  { products, productsRemark, latest, now }: Expected,
  signal: AbortSignal,
  newest = new Map<string, number>(),
): Promise<Finding> {
  const end = systemClock.elapsed() + destination.delayMs;
  while (true) {
    const { newest: found, readFrom, remark = "", facts } = await destination.read();
    for (const [product, time] of found) newest.set(product, Math.max(newest.get(product) ?? 0, time));
    const late = lateProducts(products, latest, newest, now() / 1000, readFrom);
    const allFacts = { newest: Object.fromEntries(newest), ...facts };
    if (late.length === 0) return ok(`${ages(newest, products, now() / 1000)}${remark}`, allFacts);
    if (systemClock.elapsed() >= end) {
      const { cause, cure } = destination.explain(newest.size === 0);
      throw new Problem(`${destination.name}: ${briefly(late)}${productsRemark}${remark}`, cause, cure, allFacts);
    }
    await systemClock.sleep(RETRY_MS, signal);
  }
}

/** One text for each late product. */
function lateProducts(
  products: readonly string[],
  latest: Times,
  newest: Times,
  now: number,
  readFrom = -Infinity,
): string[] {
  if (!products.some((product) => latest.has(product))) {
    const age = now - Math.max(-Infinity, ...products.map((product) => newest.get(product) ?? -Infinity));
    if (age < SILENT_SECONDS) return [];
    return [age === Infinity ? NO_PRICES : `the newest price of all products is ${secondsText(age)} old`];
  }
  const late = products.flatMap((product) => {
    const expected = latest.get(product), time = newest.get(product);
    if (expected === undefined) return [];
    if (time === undefined) return expected < readFrom ? [] : [`${product} has nothing`];
    return expected - time > LATE_SECONDS ? [`${product} is ${secondsText(expected - time)} behind`] : [];
  });
  return late.length > 0 && newest.size === 0 ? [NO_PRICES] : late;
}

/** The age of each product's newest price, youngest first: `BTC-USD 0.4 s, ETH-USD 1.2 s`. */
function ages(newest: Times, products: readonly string[], now: number): string {
  const known = products.filter((product) => newest.has(product));
  const ages = known.map((product) => ({ product, age: now - (newest.get(product) ?? 0) })).sort((a, b) =>
    a.age - b.age
  );
  const list = briefly(ages.map(({ product, age }) => `${product} ${secondsText(age)}`));
  const others = products.length - known.length;
  return [list, others === 0 ? "" : `nothing of ${others} others`].filter((each) => each !== "").join("; ");
}

/** The first items, and how many more there are. */
export function briefly(items: readonly string[], most = 8): string {
  const more = items.length - most;
  return more > 0 ? `${items.slice(0, most).join(", ")} and ${more} more` : items.join(", ");
}
