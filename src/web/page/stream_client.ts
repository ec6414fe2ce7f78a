/// <reference lib="dom" />
// Connects the page to the hub of the streams: in the SharedWorker, or in the page itself where there is none.

import type { Interval } from "../../core/candle.ts";
import { browserClock } from "./event_stream.ts";
import { type HubMessage, StreamHub, type WindowMessage } from "./hub.ts";

/** The page's side of the stream. */
export interface StreamClient {
  /** From now on the candles of this product come; undefined: of none. */
  show(product: string | undefined, interval: Interval): void;
  /** The stream comes through a SharedWorker. */
  readonly isShared: boolean;
}

/** The name contains the version of the messages: pages of another build use another worker. */
const WORKER = { url: "stream_worker.js", name: "prices-2" };
/** A visible page hears from the worker every second, or every few while the server is away, ms. */
const DEAD_MS = 20_000;

/** Starts the stream of this page. */
export function openStream(onMessage: (message: HubMessage) => void): StreamClient {
  let shown: WindowMessage = { kind: "show", interval: "1m" };
  let isShared = false;
  let send: (message: WindowMessage) => void = () => {};
  let heardAt = 0;
  const isVisible = () => document.visibilityState === "visible";
  const take = (message: HubMessage) => {
    heardAt = Date.now();
    onMessage(message);
  };
  const sendState = () => send(isVisible() ? shown : { kind: "hide" });
  const openOwn = () => {
    const hub = new StreamHub({ open: (url) => new EventSource(url), clock: browserClock, random: Math.random });
    isShared = false;
    send = hub.attach(take);
    sendState();
  };
  const openShared = () => {
    // if the worker before this one is alive after all
    send({ kind: "hide" });
    heardAt = Date.now();
    const worker = new SharedWorker(WORKER.url, { name: WORKER.name });
    worker.addEventListener("error", openOwn, { once: true });
    worker.port.onmessage = ({ data }: MessageEvent<HubMessage>) => take(data);
    send = (message) => worker.port.postMessage(message);
    isShared = true;
    sendState();
  };
  try {
    openShared();
  } catch {
    // there is no SharedWorker (Chromium on Android), or it is not allowed
    openOwn();
  }
  document.addEventListener("visibilitychange", () => {
    heardAt = Date.now();
    sendState();
  });
  // also when the browser shows a page again that it kept in memory
  addEventListener("pageshow", sendState);
  addEventListener("pagehide", () => send({ kind: "hide" }));
  addEventListener("online", () => send({ kind: "online" }));
  setInterval(() => {
    // the browser may have ended the worker
    if (isShared && isVisible() && Date.now() - heardAt > DEAD_MS) openShared();
  }, DEAD_MS / 4);
  return {
    show(product, interval) {
      shown = { kind: "show", product, interval };
      sendState();
    },
    get isShared() {
      return isShared;
    },
  };
}
