// Reproducible randomness: a failed property prints its seed.

/** A small seeded generator (mulberry32): the same seed always gives the same values. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer, both bounds included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A random element. */
  pick<T>(items: ArrayLike<T>): T {
    return items[this.int(0, items.length - 1)] as T;
  }
}

/** Checks a property for many seeds; the error names the seed that failed. */
export async function forSeeds(count: number, property: (random: Random, seed: number) => void | Promise<void>) {
  for (let seed = 1; seed <= count; seed++) {
    try {
      await property(new Random(seed), seed);
    } catch (error) {
      throw new Error(`fails with seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
}
