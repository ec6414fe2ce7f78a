// One stream of server-sent events, held open: whatever ends it, it is opened again where it stopped. The browser's own way
// of doing so gives up at an error status, sees no dead line, and tells nobody when it tries next.

import { backoffMs } from "../../core/backoff.ts";
import type { ServerLink } from "./truth.ts";

/** What of an EventSource is used. */
export interface Events {
  /** As an EventTarget's. */
  addEventListener(type: string, listener: (event: Event) => void): void;
  /** Ends it. */
  close(): void;
}

/** Time, as the page has it. */
export interface PageClock {
  /** Wall clock, ms. */
  now(): number;
  /** Calls once after so many ms, unless what it returns is called before. */
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

/** What a link is built from. */
export interface LinkOptions {
  /** Without the id to go on from: `api/stream?everyMs=250`. */
  readonly url: string;
  /** Go on from here: the id of another link's last event. */
  readonly lastEventId?: string;
  /** Opens a stream. */
  readonly open: (url: string) => Events;
  /** Takes an event: its name, and its data as JSON gives it. */
  readonly onEvent: (name: string, data: unknown) => void;
  /** Told of each change. */
  readonly onLink: (link: ServerLink) => void;
  /** Time. */
  readonly clock: PageClock;
  /** 0 included to 1 excluded, for the jitter of delays. */
  readonly random: () => number;
}

/** The names of events that the server sends. */
export const EVENT_NAMES = ["tick", "gap", "status", "reset"] as const;

const RETRY = { baseMs: 500, capMs: 5000 };
/** A status comes each second: without anything for so long the line is dead, ms. */
const DEAD_MS = 10_000;

/** Holds one stream until it is closed. */
export class StreamLink {
  readonly #options: LinkOptions;
  #events: Events | undefined;
  #lastEventId: string;
  #attempt = 0;
  #link: ServerLink;
  /** Cancels the timer that runs: to the next try, or to a dead line. */
  #cancel = () => {};
  #heardAt = 0;
  #closed = false;

  /** Opens at once. */
  constructor(options: LinkOptions) {
    this.#options = options;
    this.#lastEventId = options.lastEventId ?? "";
    this.#link = { connected: false, since: options.clock.now() };
    this.#open();
  }

  /** The id of the last event that came; empty before. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** How it stands. */
  get link(): ServerLink {
    return this.#link;
  }

  /** Tries now instead of later, where it waits: the network is back. */
  hurry(): void {
    if (this.#events === undefined && !this.#closed) this.#open();
  }

  /** Ends it for good. */
  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#events?.close();
    this.#events = undefined;
  }

  #open(): void {
    const { url, open, onEvent, clock } = this.#options;
    this.#cancel();
    const id = this.#lastEventId;
    const events = open(
      id === "" ? url : `${url}${url.includes("?") ? "&" : "?"}lastEventId=${encodeURIComponent(id)}`,
    );
    this.#events = events;
    if (this.#link.nextTry !== undefined) this.#tell({ connected: false, since: this.#link.since });
    const own = (call: (event: Event) => void) => (event: Event) => {
      if (this.#events === events) call(event);
    };
    events.addEventListener("error", own(() => this.#lost()));
    for (const name of EVENT_NAMES) {
      events.addEventListener(
        name,
        own((event) => {
          const { data, lastEventId } = event as MessageEvent<string>;
          if (lastEventId !== "") this.#lastEventId = lastEventId;
          this.#heardAt = clock.now();
          if (!this.#link.connected) {
            this.#attempt = 0;
            this.#tell({ connected: true, since: clock.now() });
          }
          onEvent(name, JSON.parse(data));
        }),
      );
    }
    this.#heardAt = clock.now();
    this.#watch();
  }

  #watch(): void {
    const { clock } = this.#options;
    const left = this.#heardAt + DEAD_MS - clock.now();
    this.#cancel = clock.after(Math.max(1, left), () => {
      if (clock.now() - this.#heardAt >= DEAD_MS) this.#lost();
      else this.#watch();
    });
  }

  #lost(): void {
    const { clock, random } = this.#options;
    this.#cancel();
    this.#events?.close();
    this.#events = undefined;
    const delay = backoffMs(this.#attempt++, RETRY, 0.5 + random() / 2);
    const since = this.#link.connected ? this.#heardAt : this.#link.since;
    this.#tell({ connected: false, since, nextTry: clock.now() + delay });
    this.#cancel = clock.after(delay, () => this.#open());
  }

  #tell(link: ServerLink): void {
    this.#link = link;
    this.#options.onLink(link);
  }
}
