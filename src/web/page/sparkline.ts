// The small line beside a product: closes to the path of an SVG. Pure.

/** Its box, in its own units; the page stretches it. */
export const SPARK = { width: 96, height: 28 } as const;

/** `M0,14L1,13…`: from left to right, the lowest price at the bottom. Empty for less than two prices. */
export function sparkPath(prices: readonly number[]): string {
  if (prices.length < 2) return "";
  const low = prices.reduce((least, price) => Math.min(least, price), Infinity);
  const high = prices.reduce((most, price) => Math.max(most, price), -Infinity);
  const { width, height } = SPARK;
  const margin = 2;
  const points = prices.map((price, i) => {
    const x = i * width / (prices.length - 1);
    const part = high === low ? 0.5 : (price - low) / (high - low);
    return `${x.toFixed(1)},${(height - margin - part * (height - 2 * margin)).toFixed(1)}`;
  });
  return `M${points.join("L")}`;
}
