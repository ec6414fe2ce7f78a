// A stream of server-sent events that is kept open: whatever ends it, it is opened again and continues where it stopped. The
// browser's own retry gives up after an error status, does not notice a dead line, and does not say when it tries next.

import { backoffMs } from "../../core/backoff.ts";
import type { ServerLink } from "./status_line.ts";

/** The part of an EventSource that is used. */
export interface Events {
  /** As an EventTarget's. */
  addEventListener(type: string, listener: (event: Event) => void): void;
  /** Ends it. */
  close(): void;
}

/** Time in a page or a worker. */
export interface PageClock {
  /** Wall clock, ms. */
  now(): number;
  /** Calls once after so many ms. The function that is returned cancels it. */
  after(ms: number, call: () => void): () => void;
}

/** The browser's. */
export const browserClock: PageClock = {
  now: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

/** What {@link EventStream} uses. */
export interface EventStreamOptions {
  /** Opens a connection. */
  readonly open: (url: string) => Events;
  /** Called with the name and the parsed data of each event. */
  readonly onEvent: (name: string, data: unknown) => void;
  /** Called before the first event of each connection: something may have been missed before it. */
  readonly onOpen: () => void;
  /** Called whenever {@link EventStream.link} changes. */
  readonly onLink: (link: ServerLink) => void;
  /** Time. */
  readonly clock: PageClock;
  /** 0 (included) to 1 (excluded), for the jitter of delays. */
  readonly random: () => number;
}

const EVENT_NAMES = ["tick", "gap", "status", "candle", "reset"] as const;
const RETRY = { baseMs: 500, capMs: 5000 };
/** A status comes every second: without any event for this long the line is dead, ms. */
const DEAD_MS = 10_000;

/** Keeps one connection open from `open()` to `close()`. */
export class EventStream {
  readonly #options: EventStreamOptions;
  #url: string | undefined;
  #events: Events | undefined;
  #lastEventId = "";
  #failures = 0;
  #heardAt = 0;
  #isOpen = false;
  #link: ServerLink;
  /** Cancels the timer that runs: until the next try, or until the line is dead. */
  #cancelTimer = () => {};

  /** Closed at first. */
  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#link = { connected: false, since: options.clock.now() };
  }

  /** The connection has brought an event. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The present state. */
  get link(): ServerLink {
    return this.#link;
  }

  /** Opens it; an open one continues at the new address. */
  open(url: string): void {
    this.#url = url;
    this.#connect();
  }

  /** Does not wait for the next try: the network is back. */
  retryNow(): void {
    if (this.#url !== undefined && this.#events === undefined) this.#connect();
  }

  /** Ends it. The next one begins anew. */
  close(): void {
    this.#disconnect();
    this.#url = undefined;
    this.#lastEventId = "";
    this.#link = { connected: false, since: this.#options.clock.now() };
  }

  #disconnect(): void {
    this.#cancelTimer();
    this.#events?.close();
    this.#events = undefined;
    this.#isOpen = false;
  }

  #connect(): void {
    const { open, clock } = this.#options;
    this.#disconnect();
    const id = this.#lastEventId === "" ? "" : `&lastEventId=${encodeURIComponent(this.#lastEventId)}`;
    const events = this.#events = open(`${this.#url}${id}`);
    if (this.#link.nextTry !== undefined) this.#setLink({ connected: false, since: this.#link.since });
    const listen = (name: string, listener: (event: Event) => void) =>
      events.addEventListener(name, (event) => {
        if (this.#events === events) listener(event);
      });
    listen("error", () => this.#retryLater());
    for (const name of EVENT_NAMES) listen(name, (event) => this.#take(name, event as MessageEvent<string>));
    this.#heardAt = clock.now();
    this.#watch();
  }

  #take(name: string, { data, lastEventId }: MessageEvent<string>): void {
    const { clock, onEvent, onOpen } = this.#options;
    if (lastEventId !== "") this.#lastEventId = lastEventId;
    this.#heardAt = clock.now();
    if (!this.#link.connected) this.#setLink({ connected: true, since: clock.now() });
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#failures = 0;
      onOpen();
    }
    onEvent(name, JSON.parse(data));
  }

  #watch(): void {
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(Math.max(1, this.#heardAt + DEAD_MS - clock.now()), () => {
      if (clock.now() - this.#heardAt >= DEAD_MS) this.#retryLater();
      else this.#watch();
    });
  }

  #retryLater(): void {
    const { clock, random } = this.#options;
    this.#disconnect();
    const delay = backoffMs(this.#failures++, RETRY, 0.5 + random() / 2);
    const since = this.#link.connected ? this.#heardAt : this.#link.since;
    this.#setLink({ connected: false, since, nextTry: clock.now() + delay });
    this.#cancelTimer = clock.after(delay, () => this.#connect());
  }

  #setLink(link: ServerLink): void {
    this.#link = link;
    this.#options.onLink(link);
  }
}
