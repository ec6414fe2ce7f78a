/// <reference lib="dom" />
// The SharedWorker: the hub, and a port for each tab.

import { type Batch, StreamHub, type TabMessage } from "./hub.ts";
import { browserClock } from "./link.ts";

const hub = new StreamHub({ open: (url) => new EventSource(url), clock: browserClock, random: Math.random });

addEventListener("connect", (event) => {
  for (const port of (event as MessageEvent).ports) {
    const hear = hub.attach((batch: Batch) => port.postMessage(batch));
    port.onmessage = ({ data }: MessageEvent<TabMessage>) => hear(data);
  }
});
