/// <reference lib="dom" />
// The page's side of the streams: the SharedWorker, or a hub of its own where there is none.

import { type Batch, StreamHub, type TabMessage } from "./hub.ts";
import { browserClock } from "./link.ts";

/** Tells the hub what this page shows. */
export interface Feed {
  /** From now on this product; every tick of it comes. */
  look(product: string | undefined): void;
  /** Streams come through a SharedWorker. */
  readonly isShared: boolean;
}

/** The name holds the version of what is said: pages of another build use another worker. */
const WORKER = { url: "stream_worker.js", name: "prices-1" };
/** A word now and then, so that the worker knows this tab lives, ms. */
const HERE_MS = 30_000;
/** While this tab is seen, a worker has something to say each second, or each few while the server is away, ms. */
const DEAD_MS = 20_000;

/** Starts the streams for this page. */
export function openFeed(onBatch: (batch: Batch) => void): Feed {
  let product: string | undefined;
  let isShared = false;
  let say: (message: TabMessage) => void = () => {};
  let heardAt = Date.now();
  const isSeen = () => document.visibilityState === "visible";
  const take = (batch: Batch) => {
    heardAt = Date.now();
    onBatch(batch);
  };
  const tell = () => say(isSeen() ? { kind: "look", product } : { kind: "hidden" });
  const openOwn = () => {
    const hub = new StreamHub({ open: (url) => new EventSource(url), clock: browserClock, random: Math.random });
    isShared = false;
    say = hub.attach(take);
    tell();
  };
  const openShared = () => {
    // where this is not the first one, the one before may live after all
    say({ kind: "bye" });
    heardAt = Date.now();
    const worker = new SharedWorker(WORKER.url, { name: WORKER.name });
    worker.addEventListener("error", openOwn, { once: true });
    worker.port.onmessage = ({ data }: MessageEvent<Batch>) => take(data);
    say = (message) => worker.port.postMessage(message);
    isShared = true;
    tell();
  };
  try {
    openShared();
  } catch {
    // no SharedWorker here (Chromium on Android), or not allowed
    openOwn();
  }
  document.addEventListener("visibilitychange", () => {
    heardAt = Date.now();
    tell();
  });
  // also when the page comes out of the browser's memory after "back"
  addEventListener("pageshow", tell);
  addEventListener("pagehide", () => say({ kind: "bye" }));
  addEventListener("online", () => say({ kind: "online" }));
  setInterval(() => say({ kind: "here" }), HERE_MS);
  setInterval(() => {
    // the browser may have ended it
    if (isShared && isSeen() && Date.now() - heardAt > DEAD_MS) openShared();
  }, DEAD_MS / 4);
  return {
    look(wanted) {
      product = wanted;
      tell();
    },
    get isShared() {
      return isShared;
    },
  };
}
