// A list that keeps its newest entries and counts all of them: what the simulator sent and received.

/** Entries in order. Each has a number, from 0, that does not change when older ones are forgotten. */
export class Recent<T> {
  /** How many of the oldest are forgotten. */
  forgotten = 0;
  #entries: T[] = [];

  /** Keeps at least `limit` entries, at most a quarter more. */
  constructor(readonly limit: number) {}

  /** How many were added since the start. */
  get count(): number {
    return this.forgotten + this.#entries.length;
  }

  add(entry: T): void {
    this.#entries.push(entry);
    // forgetting many now and then costs less than a shift each time
    if (this.#entries.length <= this.limit * 1.25) return;
    const surplus = this.#entries.length - this.limit;
    this.forgotten += surplus;
    this.#entries.splice(0, surplus);
  }

  /** The entries that are not forgotten, oldest first, from this number on. */
  since(number = 0): T[] {
    return this.#entries.slice(Math.max(0, number - this.forgotten));
  }
}
