// A list that keeps its newest entries and counts all of them: what the simulator sent and received.

/** Entries in order. Each has a number, from 0, that does not change when older ones are forgotten. */
export class Recent<T> {
  readonly #limit: number;
  #entries: T[] = [];
  #forgotten = 0;

  /** Keeps at least `limit` entries, at most a quarter more. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many were added since the start. */
  get count(): number {
    return this.#forgotten + this.#entries.length;
  }

  /** How many of the oldest are forgotten. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Adds one. */
  add(entry: T): void {
    this.#entries.push(entry);
    // forgetting many now and then costs less than a shift each time
    if (this.#entries.length > this.#limit * 1.25) {
      this.#forgotten += this.#entries.length - this.#limit;
      this.#entries = this.#entries.slice(this.#entries.length - this.#limit);
    }
  }

  /** The entries that are not forgotten, oldest first, from this number on. */
  since(number = 0): T[] {
    return this.#entries.slice(Math.max(0, number - this.#forgotten));
  }
}
