// The times of one product's records, and the exchange's numbers of its trades, in as few bytes as will hold them:
// about four a record. A day of eight products at ten a second is seven million records; as objects they would be a
// gigabyte.

/** One product's, spread out again. */
export interface Times {
  /** Microseconds since the epoch, rising; none twice. */
  readonly times: Float64Array<ArrayBuffer>;
  /** The exchange's number of the trade at the same place; NaN: the record has none. */
  readonly trades: Float64Array<ArrayBuffer>;
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

  /** All of it in order of time; of those with one time, one. */
  sorted(): Times {
    let times = new Float64Array(this.#length), trades = new Float64Array(this.#length);
    let isRising = true;
    let count = 0, time = 0, trade = 0;
    for (const chunk of this.#chunks) {
      const read = { chunk, at: 0 };
      while (count < this.#length) {
        const code = readNumber(read);
        if (code === 0) break;
        time = valueOf(code, time, read);
        const second = readNumber(read);
        if (second !== NONE) trade = valueOf(second, trade, read);
        if (count > 0 && time <= (times[count - 1] as number)) isRising = false;
        times[count] = time;
        trades[count++] = second === NONE ? NaN : trade;
      }
    }
    if (isRising) return { times, trades };
    const order = Uint32Array.from(times, (_, at) => at).sort((a, b) =>
      (times[a] as number) - (times[b] as number) || a - b
    );
    const sortedTimes = new Float64Array(count), sortedTrades = new Float64Array(count);
    let kept = 0;
    for (const at of order) {
      if (kept > 0 && sortedTimes[kept - 1] === times[at]) continue;
      sortedTimes[kept] = times[at] as number;
      sortedTrades[kept++] = trades[at] as number;
    }
    times = sortedTimes.subarray(0, kept);
    trades = sortedTrades.subarray(0, kept);
    return { times, trades };
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
