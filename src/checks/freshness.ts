// Whether a place of the road has what it should: the newest it holds of each product, against what is known to have
// happened before it. Only that tells a product that nobody trades from one that was lost.

import { age } from "./exchange.ts";

/** Behind what happened by so much, and it is late, seconds: the slowest channel samples every 5 s. */
export const LATE_SECONDS = 30;
/** Where nothing is known before it, all products silent for so long count as late, seconds. */
export const SILENT_SECONDS = 120;

/**
 * What bears a time further ahead of now than this was not written by us, seconds: ticks of such times are rejected. It
 * says nothing about what is late.
 */
export const AHEAD_SECONDS = 600;

/** What is held against each other; all times unix seconds, by product. */
export interface Freshness {
  /** Should be there. */
  readonly products: readonly string[];
  /** What is known to have happened; empty: nothing. */
  readonly happened: ReadonlyMap<string, number>;
  /** The newest that is there. */
  readonly newest: ReadonlyMap<string, number>;
  /** Before this, nobody has looked: what is older may well be there. */
  readonly seenFrom?: number;
  /** Wall clock. */
  readonly now: number;
}

/** Products that lack something, with words; empty: none does. */
export function late({ products, happened, newest, seenFrom = -Infinity, now }: Freshness): string[] {
  const known = products.filter((product) => happened.has(product));
  if (known.length === 0) {
    const last = Math.max(-Infinity, ...products.map((product) => newest.get(product) ?? -Infinity));
    if (now - last < SILENT_SECONDS) return [];
    return [last === -Infinity ? "nothing of any product" : `the newest of all products is ${age(now - last)} old`];
  }
  return known.flatMap((product) => {
    const happenedAt = happened.get(product) as number;
    const there = newest.get(product);
    if (there === undefined) return happenedAt < seenFrom ? [] : [`${product} has nothing`];
    const behind = happenedAt - there;
    return behind > LATE_SECONDS ? [`${product} is ${age(behind)} behind`] : [];
  });
}

/** `BTC-USD 0.4 s, ETH-USD 1.2 s`, the youngest first: how old the newest of each is. */
export function ages(newest: ReadonlyMap<string, number>, products: readonly string[], now: number): string {
  const told = products.flatMap((product) => {
    const time = newest.get(product);
    return time === undefined ? [] : [{ product, seconds: now - time }];
  }).sort((a, b) => a.seconds - b.seconds);
  const lacking = products.length - told.length;
  const list = briefly(told.map(({ product, seconds }) => `${product} ${age(seconds)}`));
  return lacking === 0 ? list : `${list}${list === "" ? "" : "; "}none of ${lacking}`;
}

/** The first ones, and how many more there are. */
export function briefly(words: readonly string[], most = 8): string {
  const more = words.length - most;
  return more > 0 ? `${words.slice(0, most).join(", ")} and ${more} more` : words.join(", ");
}

/** Looks again and again until nothing is late, for at most so long. Gives what was late at the last look. */
export async function patiently(look: () => Promise<string[]>, ms: number, signal: AbortSignal): Promise<string[]> {
  const end = performance.now() + ms;
  while (true) {
    const found = await look();
    if (found.length === 0 || performance.now() >= end) return found;
    await new Promise((resolve) => setTimeout(resolve, 400));
    signal.throwIfAborted();
  }
}
