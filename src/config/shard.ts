// Which of several producers follows a product, by rendezvous hashing: each shard has a score for each product, and the
// highest wins. The result depends only on the product and on the number of shards. A shard that is added takes products from
// all others, and none move between the others.

import { isNot, type Kind } from "./setting.ts";

/** One of several producers that share the products. */
export interface Shard {
  /** From 1. */
  readonly number: number;
  readonly of: number;
}

/** The highest number of shards. */
export const MAX_SHARDS = 1000;

/** A shard such as `1/3`; undefined if the text is empty. */
export function shardNumber(): Kind<Shard | undefined> {
  return {
    expected: `n/m like 1/3, n from 1 to m, m at most ${MAX_SHARDS}`,
    parse(text) {
      if (text === "") return undefined;
      const [number = 0, of = 0] = (/^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []).slice(1).map(Number);
      if (number < 1 || number > of || of > MAX_SHARDS) throw isNot(text);
      return { number, of };
    },
  };
}

/** Mixes 32 bits so that each bit of the result depends on each bit of the value (the finalizer of MurmurHash3). */
function mix(value: number): number {
  let bits = value;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Any number would do; with this one, two to eight shards get equal parts of the eight default products. */
const SEED = 1133;

/** FNV-1a over the code units. */
function hash(text: string): number {
  let bits = SEED;
  for (let i = 0; i < text.length; i++) bits = Math.imul(bits ^ text.charCodeAt(i), 0x01000193);
  return bits;
}

/** The number of the shard that follows the product, from 1. It must never change, or an upgrade would move products. */
export function shardOf(product: string, of: number): number {
  const name = hash(product);
  let best = 1;
  let highest = -1;
  for (let number = 1; number <= of; number++) {
    const score = mix(name ^ Math.imul(number, 0x9e3779b1));
    if (score > highest) [best, highest] = [number, score];
  }
  return best;
}

/** The products that the shard follows, in their order. */
export function productsOf({ number, of }: Shard, products: readonly string[]): string[] {
  return products.filter((product) => shardOf(product, of) === number);
}
