// The times of one product's records and the ids of their trades: 16 bytes a record. A day of eight products at ten records a
// second is seven million records; as objects they would take a gigabyte.

/** The records of one product in order of time. */
export interface Times {
  /** Microseconds since the epoch, rising, without duplicates. */
  readonly times: Float64Array<ArrayBuffer>;
  /** The trade of the record at the same index, the lowest if there are several; NaN: the record names none. */
  readonly trades: Float64Array<ArrayBuffer>;
  /** Further trades at times that `times` contains, by time and trade, without duplicates. */
  readonly others: readonly TradeAt[];
}

/** A trade that a record names. */
export interface TradeAt {
  readonly timeUs: number;
  /** The exchange's number of the trade. */
  readonly trade: number;
}

/** A growing list of numbers. The unused half of its array takes no memory, because nothing was written there yet. */
export class NumberList {
  #numbers = new Float64Array(1024);
  #length = 0;

  push(number: number): void {
    if (this.#length === this.#numbers.length) {
      const larger = new Float64Array(this.#length * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.#length++] = number;
  }

  /** All of them, not copied. */
  get values(): Float64Array<ArrayBuffer> {
    return this.#numbers.subarray(0, this.#length);
  }
}

/** Times and trades of records, in the order in which they were read. */
export class RecordTimes {
  readonly times: NumberList = new NumberList();
  /** NaN: the record names no trade. */
  readonly trades: NumberList = new NumberList();

  add(timeUs: number, trade: number | undefined): void {
    this.times.push(timeUs);
    this.trades.push(trade ?? NaN);
  }
}

/** All these records in order of time. */
export function timesOf(...all: readonly RecordTimes[]): Times {
  const times = joined(all.map(({ times }) => times.values));
  const trades = joined(all.map(({ trades }) => trades.values));
  if (isRising(times)) return { times, trades, others: [] };
  // at one time the lowest trade comes first, and a record without a trade last
  const rank = (at: number) => Number.isNaN(trades[at]) ? Infinity : trades[at] as number;
  const order = Uint32Array.from(times, (_, at) => at)
    .sort((a, b) => (times[a] as number) - (times[b] as number) || rank(a) - rank(b));
  const sorted = { times: new Float64Array(times.length), trades: new Float64Array(times.length) };
  const others: TradeAt[] = [];
  let kept = 0, last = NaN;
  for (const at of order) {
    const timeUs = times[at] as number, trade = trades[at] as number;
    if (kept === 0 || sorted.times[kept - 1] !== timeUs) {
      sorted.times[kept] = timeUs;
      sorted.trades[kept++] = trade;
    } else if (!Number.isNaN(trade) && trade !== last) others.push({ timeUs, trade });
    last = trade;
  }
  return { times: sorted.times.subarray(0, kept), trades: sorted.trades.subarray(0, kept), others };
}

/** The numbers in order, without duplicates. Changes the list. */
export function sortedUnique(list: NumberList): Float64Array<ArrayBuffer> {
  const numbers = list.values;
  if (isRising(numbers)) return numbers;
  numbers.sort();
  let kept = 0;
  for (const number of numbers) if (kept === 0 || numbers[kept - 1] !== number) numbers[kept++] = number;
  return numbers.subarray(0, kept);
}

function isRising(numbers: Float64Array): boolean {
  return numbers.every((number, at) => at === 0 || number > (numbers[at - 1] as number));
}

/** One after the other; copied only if several have numbers. */
export function joined(parts: readonly Float64Array<ArrayBuffer>[]): Float64Array<ArrayBuffer> {
  const [first = new Float64Array(0), ...others] = parts.filter(({ length }) => length > 0);
  if (others.length === 0) return first;
  const all = new Float64Array(others.reduce((sum, { length }) => sum + length, first.length));
  let at = 0;
  for (const part of [first, ...others]) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
