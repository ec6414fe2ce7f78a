// The 24-hour values of a ticker: open, low, high and volume, by the minute. Pure: the caller passes the times. The values
// before the first trade are invented, and fade out within the first day.

const MINUTES = 1440;
/** The day starts and ends within a minute. */
const RING = MINUTES + 1;
const MINUTE_US = 60_000_000;

/** The last 24 hours of one product, prices in whole smallest units. */
export class LastDay {
  /** Price 24 hours ago. */
  open: number;
  /** Lowest price. */
  low: number;
  /** Highest price. */
  high: number;
  /** Volume in base units. */
  volume: number;
  readonly #before: { readonly low: number; readonly high: number; readonly volume: number };
  readonly #lows = new Float64Array(RING).fill(Infinity);
  readonly #highs = new Float64Array(RING).fill(-Infinity);
  readonly #closes = new Float64Array(RING);
  readonly #volumes = new Float64Array(RING);
  #first: number | undefined;
  #firstPrice = 0;
  #minute = 0;
  /** Price of the last trade that is more than a day old. */
  #passed: number | undefined;
  #isYoung = true;

  /** The invented values of the day before the first trade. */
  constructor(open: number, low: number, high: number, volume: number) {
    this.open = open;
    this.low = low;
    this.high = high;
    this.volume = volume;
    this.#before = { low, high, volume };
  }

  /** Adds one trade. A time before the last trade's counts as the last trade's. */
  add(micros: number, price: number, size: number): void {
    const minute = Math.floor(micros / MINUTE_US);
    if (this.#first === undefined) {
      this.#first = this.#minute = minute;
      this.#firstPrice = price;
    } else if (minute > this.#minute) this.#roll(this.#first, minute);
    const at = this.#minute % RING;
    if (price < (this.#lows[at] as number)) this.#lows[at] = price;
    if (price > (this.#highs[at] as number)) this.#highs[at] = price;
    this.#closes[at] = price;
    this.#volumes[at] = (this.#volumes[at] as number) + size;
    if (price < this.low) this.low = price;
    if (price > this.high) this.high = price;
    this.volume += size;
  }

  #roll(first: number, minute: number): void {
    const isYoung = minute - first < MINUTES;
    // low and high are computed again only when one of them may have left the day
    let look = isYoung !== this.#isYoung;
    if (isYoung) this.volume -= this.#before.volume * (minute - this.#minute) / MINUTES;
    const last = Math.min(minute, this.#minute + RING);
    for (let each = this.#minute + 1; each <= last; each++) look = this.#forget(each % RING) || look;
    this.#minute = minute;
    this.#isYoung = isYoung;
    if (!isYoung) this.open = this.#passed ?? this.#firstPrice;
    if (look) this.#look();
    // floating-point sums are not exact
    if (this.volume < 0) this.volume = 0;
  }

  /** Clears the slot for a new minute; true if the day's low or high may have been in it. */
  #forget(at: number): boolean {
    const [low, high] = [this.#lows[at] as number, this.#highs[at] as number];
    if (high > 0) this.#passed = this.#closes[at];
    this.volume -= this.#volumes[at] as number;
    this.#lows[at] = Infinity;
    this.#highs[at] = -Infinity;
    this.#volumes[at] = 0;
    return low <= this.low || high >= this.high;
  }

  /** Computes low, high and volume again. During the first day the invented low and high still count. */
  #look(): void {
    this.low = this.#isYoung ? this.#before.low : Infinity;
    this.high = this.#isYoung ? this.#before.high : -Infinity;
    this.volume = 0;
    for (let at = 0; at < RING; at++) {
      this.low = Math.min(this.low, this.#lows[at] as number);
      this.high = Math.max(this.high, this.#highs[at] as number);
      this.volume += this.#volumes[at] as number;
    }
  }
}
