// Random numbers that can be repeated: the same seed gives the same numbers. Pure.

/** A small seeded generator (mulberry32): numbers from 0 to below 1. */
export function seededRandom(seed: number): () => number {
  // an int32: a larger number would allocate on each call
  let state = seed | 0;
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A separate seed for each name, so that adding a name does not change the others (FNV-1a). */
export function mixSeed(seed: number, name: string): number {
  let hash = (0x811C9DC5 ^ seed) >>> 0;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}
