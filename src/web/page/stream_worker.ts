/// <reference lib="dom" />
// The SharedWorker: the hub, and a port for each window.

import { browserClock } from "./event_stream.ts";
import { StreamHub, type WindowMessage } from "./hub.ts";

const hub = new StreamHub({ open: (url) => new EventSource(url), clock: browserClock, random: Math.random });

addEventListener("connect", (event) => {
  for (const port of (event as MessageEvent).ports) {
    const take = hub.attach((message) => port.postMessage(message));
    port.onmessage = ({ data }: MessageEvent<WindowMessage>) => take(data);
  }
});
