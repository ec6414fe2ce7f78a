// Which of several producers follows a product. Rendezvous hashing: each shard has a score for each product, and the highest
// wins. So it depends on nothing but the product's name and the number of shards, whatever else is in the list, and a shard that
// is added takes its products from all others and moves none between them.

import { isNot, type Kind } from "./setting.ts";

/** One of several producers that share the products. */
export interface Shard {
  /** From 1. */
  readonly number: number;
  /** How many there are. */
  readonly of: number;
}

/** Most shards there can be. */
export const MAX_SHARDS = 1000;

/** A shard's number, as `1/3`; empty: none. */
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

/** The 32 bits in an order in which each of the result depends on each of the value (Appleby's finalizer of MurmurHash3). */
function mix(value: number): number {
  let bits = value;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Any number would do; with this one the eight products that are followed by default are shared evenly by two to eight shards. */
const SEED = 1133;

/** FNV-1a over the code units. */
function hash(text: string): number {
  let bits = SEED;
  for (let i = 0; i < text.length; i++) bits = Math.imul(bits ^ text.charCodeAt(i), 0x01000193);
  return bits;
}

/** Who follows the product, from 1. The answer is for ever: another one would move products at an upgrade. */
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

/** Those of the products that the shard follows, in their order. */
export function productsOf({ number, of }: Shard, products: readonly string[]): string[] {
  return products.filter((product) => shardOf(product, of) === number);
}
