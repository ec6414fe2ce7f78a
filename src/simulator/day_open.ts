// The price of a product 24 hours ago, by the minute. Pure: the caller passes the times.

const MINUTES = 1440;
const MINUTE_US = 60_000_000;

/** The price 24 hours before the last trade; during the first day a price that the caller invents. */
export class DayOpen {
  /** In the caller's unit, above 0. */
  price: number;
  /** The last price of each minute of the last day and of the running minute; 0 if there was no trade. */
  readonly #prices = new Float64Array(MINUTES + 1);
  #firstMinute: number | undefined;
  #minute = 0;
  /** Of the last trade that is more than a day old, or else of the first trade. */
  #oldPrice = 0;

  /** Starts with the price of the day before the first trade. */
  constructor(price: number) {
    this.price = price;
  }

  /** Adds one trade. A time before the last trade's counts as the last trade's. */
  add(timeUs: number, price: number): void {
    const minute = Math.floor(timeUs / MINUTE_US);
    if (this.#firstMinute === undefined) {
      this.#firstMinute = this.#minute = minute;
      this.#oldPrice = price;
    }
    const slots = this.#prices.length;
    const lastToClear = Math.min(minute, this.#minute + slots);
    for (let each = this.#minute + 1; each <= lastToClear; each++) {
      this.#oldPrice = this.#prices[each % slots] || this.#oldPrice;
      this.#prices[each % slots] = 0;
    }
    this.#minute = Math.max(this.#minute, minute);
    this.#prices[this.#minute % slots] = price;
    if (this.#minute - this.#firstMinute >= MINUTES) this.price = this.#oldPrice;
  }
}
