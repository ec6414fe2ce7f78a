// The streams of all tabs of this browser: one for the watch lists and the status, one with every tick of the products that
// are looked at. Runs in a SharedWorker, or in the page where there is none.

import { type Events, type PageClock, StreamLink } from "./link.ts";
import type { ServerLink } from "./truth.ts";
import { isObject, type WireGap, type WireState, type WireStatus, type WireTick } from "./wire.ts";

/** What a tab says. `look`: it is seen, and shows this product. `hidden`: nobody sees it. `bye`: it is gone. `here`: it lives. */
export type TabMessage =
  | { readonly kind: "look"; readonly product?: string | undefined }
  | { readonly kind: "hidden" }
  | { readonly kind: "bye" }
  | { readonly kind: "here" }
  | { readonly kind: "online" };

/** What gathered for a tab; at most ten a second. */
export interface Batch {
  /** The newest tick of each product that has one. */
  readonly newest: readonly WireTick[];
  /** Every tick of the tab's product, in order. */
  readonly ticks: readonly WireTick[];
  /** Of all products, in order. */
  readonly gaps: readonly WireGap[];
  /** The last one. */
  readonly status?: WireStatus;
  /** Of all products, as soon as one changed. */
  readonly states?: readonly WireState[];
  /** The link of the watch lists' stream, when it changed. */
  readonly link?: ServerLink;
  /** The watch lists' stream is open again: what it brings may leave out much. */
  readonly again?: boolean;
  /** The product's stream is open (again), or could not bring all that was missed: what is drawn may have holes. */
  readonly holes?: boolean;
}

/** One tab. */
interface Tab {
  readonly send: (batch: Batch) => void;
  seenAt: number;
  visible: boolean;
  product: string | undefined;
  newest: Map<string, WireTick>;
  ticks: WireTick[];
  gaps: WireGap[];
  status: WireStatus | undefined;
  states: boolean;
  link: ServerLink | undefined;
  again: boolean;
  holes: boolean;
}

/** What a hub is built from. */
export interface HubOptions {
  /** Opens a stream. */
  readonly open: (url: string) => Events;
  /** Time. */
  readonly clock: PageClock;
  /** 0 included to 1 excluded. */
  readonly random: () => number;
}

/** So long events gather before tabs get them, ms: a page draws no faster. */
const GATHER_MS = 100;
/** After a change of what is looked at, so long may pass until the stream follows: arrow keys run through a list, ms. */
const SETTLE_MS = 60;
/** Without a word for so long a tab is gone, ms. Timers of tabs in the background come once a minute. */
const GONE_MS = 180_000;
/** Without anybody who looks, the streams are closed after this, ms. */
const IDLE_MS = 30_000;
/** More ticks than that for one tab at once, and it had better ask for the candles. */
const MAX_TICKS = 20_000;

/** Serves any number of tabs. */
export class StreamHub {
  readonly #options: HubOptions;
  readonly #tabs = new Set<Tab>();
  readonly #states = new Map<string, WireState>();
  #status: WireStatus | undefined;
  #watch: StreamLink | undefined;
  #chart: StreamLink | undefined;
  #products = "";
  #gathering = false;
  #settling = false;
  #idleSince: number | undefined;
  #checking = false;

  /** Opens nothing before a tab comes. */
  constructor(options: HubOptions) {
    this.#options = options;
  }

  /** Takes a tab in; what it returns takes what the tab says. */
  attach(send: (batch: Batch) => void): (message: TabMessage) => void {
    const tab: Tab = {
      send,
      seenAt: this.#options.clock.now(),
      visible: false,
      product: undefined,
      newest: new Map(),
      ticks: [],
      gaps: [],
      status: undefined,
      states: false,
      link: undefined,
      again: false,
      holes: false,
    };
    return (message) => this.#hear(tab, message);
  }

  /** Ends both streams. */
  close(): void {
    this.#tabs.clear();
    this.#watch?.close();
    this.#chart?.close();
  }

  #hear(tab: Tab, message: TabMessage): void {
    tab.seenAt = this.#options.clock.now();
    switch (message.kind) {
      case "look":
        this.#tabs.add(tab);
        if (!tab.visible) {
          tab.visible = true;
          tab.states = true;
          tab.link = this.#watch?.link;
          tab.status = this.#status;
        }
        if (tab.product !== message.product) tab.ticks = [];
        tab.product = message.product;
        this.#gather();
        break;
      case "hidden":
        this.#hide(tab);
        break;
      case "bye":
        this.#hide(tab);
        this.#tabs.delete(tab);
        break;
      case "online":
        this.#watch?.hurry();
        this.#chart?.hurry();
        break;
      case "here":
        break;
    }
    this.#settle();
    this.#check();
  }

  /** Nothing gathers for a tab that nobody sees: it may be frozen, and never read. */
  #hide(tab: Tab): void {
    tab.visible = false;
    tab.product = undefined;
    tab.newest.clear();
    tab.ticks = [];
    tab.gaps = [];
    tab.status = undefined;
  }

  #settle(): void {
    if (this.#settling) return;
    this.#settling = true;
    this.#options.clock.after(SETTLE_MS, () => {
      this.#settling = false;
      this.#follow();
    });
  }

  /** Opens and closes streams as the tabs want it. */
  #follow(): void {
    const { open, clock, random } = this.#options;
    const visible = [...this.#tabs].filter((tab) => tab.visible);
    if (visible.length === 0) {
      this.#idleSince ??= clock.now();
      return;
    }
    this.#idleSince = undefined;
    const common = { open, clock, random };
    this.#watch ??= new StreamLink({
      ...common,
      url: "api/stream?everyMs=250",
      onEvent: (name, data) => this.#hearWatch(name, data),
      onLink: (link) => {
        for (const tab of this.#seen()) {
          tab.link = link;
          if (link.connected) tab.again = true;
        }
        this.#gather();
      },
    });
    const wanted = [...new Set(visible.flatMap(({ product }) => product ?? []))].sort();
    const products = wanted.map(encodeURIComponent).join();
    if (products === this.#products) return;
    const lastEventId = this.#chart?.lastEventId ?? "";
    this.#chart?.close();
    this.#products = products;
    this.#chart = undefined;
    if (products === "") return;
    this.#chart = new StreamLink({
      ...common,
      url: `api/stream?product=${products}`,
      ...(lastEventId === "" ? {} : { lastEventId }),
      onEvent: (name, data) => this.#hearChart(name, data),
      onLink: ({ connected }) => {
        if (connected) this.#tellHoles();
      },
    });
  }

  #hearWatch(name: string, data: unknown): void {
    if (!isObject(data)) return;
    if (name === "tick") {
      const tick = data as unknown as WireTick;
      for (const tab of this.#seen()) tab.newest.set(tick.product, tick);
    } else if (name === "gap") {
      for (const tab of this.#seen()) tab.gaps.push(data as unknown as WireGap);
    } else if (name === "status") {
      const { products, ...status } = data as unknown as WireStatus;
      for (const state of products ?? []) this.#states.set(state.product, state);
      this.#status = status;
      for (const tab of this.#seen()) {
        tab.status = status;
        if (products !== undefined && products.length > 0) tab.states = true;
      }
    } else if (name === "reset") {
      for (const tab of this.#seen()) tab.again = true;
    }
    this.#gather();
  }

  #hearChart(name: string, data: unknown): void {
    if (name === "reset") return this.#tellHoles();
    if (name !== "tick" || !isObject(data)) return;
    const tick = data as unknown as WireTick;
    for (const tab of this.#seen()) {
      if (tab.product !== tick.product) continue;
      tab.ticks.push(tick);
      if (tab.ticks.length > MAX_TICKS) {
        tab.ticks = [];
        tab.holes = true;
      }
    }
    this.#gather();
  }

  #tellHoles(): void {
    for (const tab of this.#seen()) tab.holes = true;
    this.#gather();
  }

  *#seen(): Generator<Tab> {
    for (const tab of this.#tabs) if (tab.visible) yield tab;
  }

  #gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#options.clock.after(GATHER_MS, () => {
      this.#gathering = false;
      for (const tab of this.#seen()) this.#send(tab);
    });
  }

  #send(tab: Tab): void {
    const { newest, ticks, gaps, status, states, link, again, holes } = tab;
    const nothing = newest.size + ticks.length + gaps.length === 0 && status === undefined && link === undefined &&
      !states && !again && !holes;
    if (nothing) return;
    tab.newest = new Map();
    tab.ticks = [];
    tab.gaps = [];
    tab.status = undefined;
    tab.states = false;
    tab.link = undefined;
    tab.again = false;
    tab.holes = false;
    tab.send({
      newest: [...newest.values()],
      ticks,
      gaps,
      ...(status === undefined ? {} : { status }),
      ...(states ? { states: [...this.#states.values()] } : {}),
      ...(link === undefined ? {} : { link }),
      ...(again ? { again } : {}),
      ...(holes ? { holes } : {}),
    });
  }

  /** Now and then: tabs that are gone without a word, streams that nobody needs. */
  #check(): void {
    if (this.#checking || this.#tabs.size === 0) return;
    this.#checking = true;
    const { clock } = this.#options;
    clock.after(IDLE_MS / 2, () => {
      this.#checking = false;
      for (const tab of this.#tabs) {
        if (clock.now() - tab.seenAt > GONE_MS) this.#hear(tab, { kind: "bye" });
      }
      if (this.#idleSince !== undefined && clock.now() - this.#idleSince >= IDLE_MS) {
        this.#watch?.close();
        this.#chart?.close();
        this.#watch = undefined;
        this.#chart = undefined;
        this.#products = "";
        this.#status = undefined;
        this.#states.clear();
      }
      this.#check();
    });
  }
}
