// The page's time in a test's hands, and streams that a test fills.

import type { Events, PageClock } from "../../../src/web/page/event_stream.ts";
import { settle } from "../../fakes/clock.ts";

interface Timer {
  readonly due: number;
  readonly call: () => void;
}

/** Time that stands still until `advance()`. */
export class FakePageClock implements PageClock {
  #now = Date.UTC(2026, 9, 3, 21);
  #timers: Timer[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { due: this.#now + Math.max(0, ms), call };
    this.#timers.push(timer);
    return () => this.#timers = this.#timers.filter((each) => each !== timer);
  }

  /** Lets so much time pass, timers in their order; what they start runs as far as it can without time. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.due - b.due)[0];
      if (next === undefined || next.due > end) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.#now = Math.max(this.#now, next.due);
      next.call();
      await settle();
    }
    this.#now = end;
  }

  /** The machine slept: time has passed, and no timer saw it. */
  sleep(ms: number): void {
    this.#now += ms;
  }
}

/** A stream as the browser opened it. */
export class FakeEvents implements Events {
  readonly url: string;
  closed = false;
  readonly #listeners = new Map<string, (event: Event) => void>();

  constructor(url: string) {
    this.url = url;
  }

  addEventListener(type: string, listener: (event: Event) => void): void {
    this.#listeners.set(type, listener);
  }

  close(): void {
    this.closed = true;
  }

  /** An event comes. */
  tell(name: string, data: unknown, lastEventId = ""): void {
    const event = new MessageEvent(name, { data: JSON.stringify(data), lastEventId });
    this.#listeners.get(name)?.(event);
  }

  /** It ends, or was refused. */
  fail(): void {
    this.#listeners.get("error")?.(new Event("error"));
  }
}

/** All streams that were opened. */
export class FakeStreams {
  readonly all: FakeEvents[] = [];

  readonly open = (url: string): FakeEvents => {
    const events = new FakeEvents(url);
    this.all.push(events);
    return events;
  };

  /** Those that nobody has closed. */
  get running(): FakeEvents[] {
    return this.all.filter(({ closed }) => !closed);
  }

  /** The one that is open at an address that begins so. Throws a TypeError when there is none. */
  at(start: string): FakeEvents {
    const found = this.running.find(({ url }) => url.startsWith(start));
    if (found === undefined) {
      throw new TypeError(`No stream is open at ${start}: ${this.running.map(({ url }) => url)}`);
    }
    return found;
  }
}
