// One stream for all windows of this browser, which opens only six connections to a host. The hub relays each event to the windows
// that are visible. It runs in a SharedWorker, or in the page where there is none.

import type { Interval } from "../../core/candle.ts";
import { type Events, EventStream, type PageClock } from "./event_stream.ts";
import type { ServerLink } from "./status_line.ts";
import type { WireState, WireStatus } from "./wire.ts";

/** What a window sends: what it shows, that it is hidden (or closed), or that the network is back. */
export type WindowMessage =
  | { readonly kind: "show"; readonly product?: string | undefined; readonly interval: Interval }
  | { readonly kind: "hide" }
  | { readonly kind: "online" };

/** What a window receives. */
export type HubMessage =
  | { readonly kind: "event"; readonly name: string; readonly data: unknown }
  | { readonly kind: "link"; readonly link: ServerLink }
  /** What is stored from now on will be sent; what was stored before has to be fetched. */
  | { readonly kind: "open" };

type Send = (message: HubMessage) => void;

/** A visible window. */
interface Shown {
  readonly series: string | undefined;
  /** It was not told yet that the stream is open. */
  isWaiting: boolean;
}

/** What {@link StreamHub} uses. */
export interface HubOptions {
  /** Opens a connection. */
  readonly open: (url: string) => Events;
  /** Time. */
  readonly clock: PageClock;
  /** 0 (included) to 1 (excluded). */
  readonly random: () => number;
}

/** The stream follows a new choice after this long, ms: arrow keys run through the list of products. */
const SETTLE_MS = 60;
/** Without a visible window the stream ends after this long, ms. */
const IDLE_MS = 15_000;

/** Serves any number of windows. */
export class StreamHub {
  readonly #clock: PageClock;
  readonly #stream: EventStream;
  readonly #visible = new Map<Send, Shown>();
  #url = "";
  #status: WireStatus | undefined;
  readonly #states = new Map<string, WireState>();
  #cancelUpdate = () => {};

  /** Opens nothing before a window is visible. */
  constructor({ open, clock, random }: HubOptions) {
    this.#clock = clock;
    this.#stream = new EventStream({
      open,
      clock,
      random,
      onEvent: (name, data) => this.#take(name, data),
      onOpen: () => {
        // the status that follows has all of them
        this.#states.clear();
        for (const shown of this.#visible.values()) shown.isWaiting = false;
        this.#send({ kind: "open" });
      },
      onLink: (link) => this.#send({ kind: "link", link }),
    });
  }

  /** Returns the function that takes the messages of a window. */
  attach(send: Send): (message: WindowMessage) => void {
    return (message) => {
      if (message.kind === "online") return this.#stream.retryNow();
      if (message.kind === "hide") this.#visible.delete(send);
      else this.#show(send, message.product === undefined ? undefined : `${message.product}:${message.interval}`);
      this.#cancelUpdate();
      this.#cancelUpdate = this.#clock.after(this.#visible.size === 0 ? IDLE_MS : SETTLE_MS, () => this.#update());
    };
  }

  #show(send: Send, series: string | undefined): void {
    const before = this.#visible.get(send);
    if (before === undefined) this.#sendPresent(send);
    const isWaiting = before === undefined || before.isWaiting || before.series !== series;
    this.#visible.set(send, { series, isWaiting });
  }

  /** What a window must know that was hidden until now. */
  #sendPresent(send: Send): void {
    send({ kind: "link", link: this.#stream.link });
    if (this.#status === undefined) return;
    send({ kind: "event", name: "status", data: { ...this.#status, products: [...this.#states.values()] } });
  }

  /** Opens, changes or ends the stream, as the visible windows need it. */
  #update(): void {
    if (this.#visible.size === 0) {
      this.#stream.close();
      this.#url = "";
      this.#status = undefined;
      return;
    }
    const series = new Set([...this.#visible.values()].flatMap((shown) => shown.series ?? []));
    const candles = [...series].sort().map(encodeURIComponent).join();
    const url = `api/stream?everyMs=250${candles === "" ? "" : `&candles=${candles}`}`;
    if (url !== this.#url) return this.#stream.open(this.#url = url);
    if (!this.#stream.isOpen) return;
    for (const [send, shown] of this.#visible) {
      if (shown.isWaiting) send({ kind: "open" });
      shown.isWaiting = false;
    }
  }

  #take(name: string, data: unknown): void {
    if (name === "status") {
      const status = data as WireStatus;
      this.#status = status;
      for (const state of status.products ?? []) this.#states.set(state.product, state);
    }
    this.#send({ kind: "event", name, data });
  }

  #send(message: HubMessage): void {
    for (const send of this.#visible.keys()) send(message);
  }
}
