// Binary search in lists that are in order of time.

/** Index of the first item that does not start before this time; the length of the list if there is none. */
export function indexFrom(items: readonly { readonly time: number }[], time: number): number {
  const last = items.at(-1);
  if (last === undefined || last.time < time) return items.length;
  let low = 0;
  let high = items.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((items[middle]?.time ?? Infinity) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
