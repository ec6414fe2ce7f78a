// Whether a place of the road has what it should: the newest it holds of each product, against what is known to have
// happened before it. Only that tells a product that nobody trades from one that was lost.

import { systemClock } from "../core/clock.ts";
import { secondsText } from "../core/duration.ts";
import { broken, type Finding, ok } from "./stage.ts";

/** Behind what happened by so much, and it is late, seconds: the slowest channel samples every 5 s. */
const LATE_SECONDS = 30;
/** Where nothing is known before it, all products silent for so long count as late, seconds. */
const SILENT_SECONDS = 120;

/**
 * What bears a time further ahead of now than this was not written by us, seconds: ticks of such times are rejected. It
 * says nothing about what is late.
 */
export const AHEAD_SECONDS = 600;

/** When something of each product happened, unix seconds. */
export type Times = ReadonlyMap<string, number>;

/** What the newest in a place is held against. */
export interface Wish {
  /** By the names of records. */
  readonly products: readonly string[];
  /** What is to be said of these products where one of them lacks something; empty: nothing. */
  readonly whose: string;
  /** The last trade at the exchange, or the newest record in Kafka; empty: nothing is known. */
  readonly happened: Times;
  /** Wall clock, ms. */
  readonly now: () => number;
}

/** What one look found. */
export interface Seen {
  /** The newest that is there. */
  readonly newest: Times;
  /** Before this, nobody has looked: what is older may well be there, unix seconds. */
  readonly seenFrom?: number;
  /** Added to what is said. */
  readonly remark?: string;
  /** Added to what programs are told. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** A place that holds something of each product. */
export interface Place {
  /** As a person knows it. */
  readonly name: string;
  /** How long what just happened may need to arrive, ms. */
  readonly onItsWayMs: number;
  /** Looks, at first and again. */
  look(): Promise<Seen>;
  /** Why something is late, and what helps. */
  trouble(isEmpty: boolean): { readonly cause: string; readonly cure: string };
}

/**
 * Looks again and again until nothing in the place is late, for as long as it may be on its way.
 *
 * @param newest where the newest of each product is put
 */
export async function lookAtFreshness(
  place: Place,
  { products, whose, happened, now }: Wish,
  signal: AbortSignal,
  newest = new Map<string, number>(),
): Promise<Finding> {
  const end = performance.now() + place.onItsWayMs;
  while (true) {
    const { newest: found, seenFrom, remark = "", facts } = await place.look();
    for (const [product, time] of found) newest.set(product, Math.max(newest.get(product) ?? 0, time));
    const lacking = late(products, happened, newest, now() / 1000, seenFrom);
    const told = { newest: Object.fromEntries(newest), ...facts };
    if (lacking.length === 0) return ok(`${ages(newest, products, now() / 1000)}${remark}`, told);
    if (performance.now() >= end) {
      const { cause, cure } = place.trouble(newest.size === 0);
      return broken(`${place.name}: ${briefly(lacking)}${whose}${remark}`, cause, cure, told);
    }
    await systemClock.sleep(400, signal);
  }
}

/** Products that lack something, with words; empty: none does. */
function late(
  products: readonly string[],
  happened: Times,
  newest: Times,
  now: number,
  seenFrom = -Infinity,
): string[] {
  const known = products.filter((product) => happened.has(product));
  if (known.length === 0) {
    const last = Math.max(-Infinity, ...products.map((product) => newest.get(product) ?? -Infinity));
    if (now - last < SILENT_SECONDS) return [];
    return [
      last === -Infinity ? "nothing of any product" : `the newest of all products is ${secondsText(now - last)} old`,
    ];
  }
  return known.flatMap((product) => {
    const happenedAt = happened.get(product) as number;
    const there = newest.get(product);
    if (there === undefined) return happenedAt < seenFrom ? [] : [`${product} has nothing`];
    const behind = happenedAt - there;
    return behind > LATE_SECONDS ? [`${product} is ${secondsText(behind)} behind`] : [];
  });
}

/** `BTC-USD 0.4 s, ETH-USD 1.2 s`, the youngest first: how old the newest of each is. */
function ages(newest: Times, products: readonly string[], now: number): string {
  const told = products.flatMap((product) => {
    const time = newest.get(product);
    return time === undefined ? [] : [{ product, seconds: now - time }];
  }).sort((a, b) => a.seconds - b.seconds);
  const lacking = products.length - told.length;
  const list = briefly(told.map(({ product, seconds }) => `${product} ${secondsText(seconds)}`));
  return lacking === 0 ? list : `${list}${list === "" ? "" : "; "}none of ${lacking}`;
}

/** The first ones, and how many more there are. */
export function briefly(words: readonly string[], most = 8): string {
  const more = words.length - most;
  return more > 0 ? `${words.slice(0, most).join(", ")} and ${more} more` : words.join(", ");
}
