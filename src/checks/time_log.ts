// The times of one product's records, and the exchange's numbers of its trades, in as few bytes as will hold them:
// about four a record. A day of eight products at ten a second is seven million records; as objects they would be a
// gigabyte.

/** One product's, spread out again. */
export interface Times {
  /** Microseconds since the epoch, rising; none twice. */
  readonly times: Float64Array<ArrayBuffer>;
  /** The exchange's number of the trade at the same place, of several the least; NaN: the record has none. */
  readonly trades: Float64Array<ArrayBuffer>;
  /** Further trades at a time that stands above already, by time and number; none twice. As a rule there are none. */
  readonly others: readonly TradeAt[];
}

/** A trade that a record tells of. */
export interface TradeAt {
  /** Microseconds since the epoch. */
  readonly timeUs: number;
  /** The exchange's number. */
  readonly trade: number;
}

const CHUNK_BYTES = 65_536;
/** Bytes that one record can take at most: two numbers, each by the long way. */
const RECORD_BYTES = 18;
/** Differences from here on go the long way: as doubles, since twice of them is no exact number any more. */
const FAR = 2 ** 51;
/** Codes of a number: beyond them stand the differences. 0 is none: the rest of a chunk is zeros. */
const LONG = 1, NONE = 2, CODES = 3;

/** Grows at its end. */
export class TimeLog {
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  /** Of the chunk that is being filled. */
  #chunk: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #at = 0;
  #length = 0;
  #lastTime = 0;
  #lastTrade = 0;

  /** How many were added. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that it takes. */
  get bytes(): number {
    return this.#chunks.reduce((sum, { length }) => sum + length, 0);
  }

  /** Adds one; in any order, though near in time costs less. */
  add(timeUs: number, trade: number | undefined): void {
    if (this.#at + RECORD_BYTES > this.#chunk.length) {
      // a few bytes at the end of each chunk stay unused: zeros, which stand for no number there
      this.#chunk = new Uint8Array(this.#length === 0 ? 1024 : CHUNK_BYTES);
      this.#chunks.push(this.#chunk);
      this.#at = 0;
    }
    this.#writeDifference(timeUs, this.#lastTime);
    this.#lastTime = timeUs;
    if (trade === undefined) this.#write(NONE);
    else {
      this.#writeDifference(trade, this.#lastTrade);
      this.#lastTrade = trade;
    }
    this.#length++;
  }

  /** All of it in order of time. */
  sorted(): Times {
    return timesOf(this);
  }

  /** Spreads it out from this place of both on; gives the place after it. */
  copyTo(times: Float64Array, trades: Float64Array, from: number): number {
    const end = from + this.#length;
    let place = from, time = 0, trade = 0;
    for (const chunk of this.#chunks) {
      const read = { chunk, at: 0 };
      while (place < end) {
        const code = readNumber(read);
        if (code === 0) break;
        time = valueOf(code, time, read);
        const second = readNumber(read);
        if (second !== NONE) trade = valueOf(second, trade, read);
        times[place] = time;
        trades[place++] = second === NONE ? NaN : trade;
      }
    }
    return end;
  }

  #writeDifference(value: number, before: number): void {
    const difference = value - before;
    if (Math.abs(difference) < FAR) return this.#write(zigzag(difference) + CODES);
    this.#write(LONG);
    new DataView(this.#chunk.buffer).setFloat64(this.#at, value);
    this.#at += 8;
  }

  /** Seven bits a byte, the lowest first. By division, since there are more than 32 bits. */
  #write(number: number): void {
    let rest = number;
    while (rest >= 128) {
      this.#chunk[this.#at++] = rest % 128 + 128;
      rest = Math.floor(rest / 128);
    }
    this.#chunk[this.#at++] = rest;
  }
}

/** Several logs as one, in order of time. */
export function timesOf(...logs: readonly TimeLog[]): Times {
  const count = logs.reduce((sum, { length }) => sum + length, 0);
  const times = new Float64Array(count), trades = new Float64Array(count);
  let place = 0;
  for (const log of logs) place = log.copyTo(times, trades, place);
  if (times.every((time, at) => at === 0 || time > (times[at - 1] as number))) return { times, trades, others: [] };
  const order = Uint32Array.from(times, (_, at) => at).sort((a, b) =>
    (times[a] as number) - (times[b] as number) || inOrder(trades[a] as number, trades[b] as number) || a - b
  );
  const sortedTimes = new Float64Array(count), sortedTrades = new Float64Array(count);
  const others: TradeAt[] = [];
  let kept = 0, last = NaN;
  for (const at of order) {
    const timeUs = times[at] as number, trade = trades[at] as number;
    const isOther = kept > 0 && sortedTimes[kept - 1] === timeUs;
    if (!isOther) {
      sortedTimes[kept] = timeUs;
      sortedTrades[kept++] = trade;
    } else if (!Number.isNaN(trade) && trade !== last) others.push({ timeUs, trade });
    last = trade;
  }
  return { times: sortedTimes.subarray(0, kept), trades: sortedTrades.subarray(0, kept), others };
}

/** Numbers rise, and NaN is the last. */
function inOrder(a: number, b: number): number {
  return Number.isNaN(a) || Number.isNaN(b) ? Number(Number.isNaN(a)) - Number(Number.isNaN(b)) : a - b;
}

/** What a code stands for, after the value before it. */
function valueOf(code: number, before: number, read: { readonly chunk: Uint8Array<ArrayBuffer>; at: number }): number {
  if (code !== LONG) return before + unzigzag(code - CODES);
  const value = new DataView(read.chunk.buffer).getFloat64(read.at);
  read.at += 8;
  return value;
}

function readNumber(read: { readonly chunk: Uint8Array; at: number }): number {
  let number = 0;
  for (let unit = 1;; unit *= 128) {
    // beyond the end stands nothing
    const byte = read.chunk[read.at++] ?? 0;
    if (byte < 128) return number + byte * unit;
    number += (byte - 128) * unit;
  }
}

function zigzag(number: number): number {
  return number < 0 ? -2 * number - 1 : 2 * number;
}

function unzigzag(number: number): number {
  return number % 2 === 0 ? number / 2 : -(number + 1) / 2;
}

/** Times that come one by one, for one product; rising as a rule. */
export class TimeList {
  #times = new Float64Array(4096);
  #length = 0;
  #isRising = true;

  /** Adds one, microseconds. */
  add(timeUs: number): void {
    if (this.#length === this.#times.length) {
      const larger = new Float64Array(this.#length * 2);
      larger.set(this.#times);
      this.#times = larger;
    }
    if (this.#length > 0 && timeUs <= (this.#times[this.#length - 1] as number)) this.#isRising = false;
    this.#times[this.#length++] = timeUs;
  }

  /** All of them, rising, none twice. */
  sorted(): Float64Array<ArrayBuffer> {
    const all = this.#times.subarray(0, this.#length);
    if (this.#isRising) return all;
    all.sort();
    let kept = 0;
    for (const time of all) if (kept === 0 || all[kept - 1] !== time) all[kept++] = time;
    return all.subarray(0, kept);
  }
}
