// The worker thread of one connection (see socket.ts). It sends frames to the main thread in batches. While too many batches wait
// there, this thread sleeps: nothing is read, so TCP makes the exchange wait.

import { setImmediate } from "node:timers";
import type { FromWorker, ToWorker } from "./socket.ts";

/** A batch is sent as soon as nothing more has arrived, at the latest with this many frames, */
const MAX_FRAMES = 512;
/** or with this much text, UTF-16 code units. */
const MAX_LENGTH = 256 * 1024;
/** With this many batches waiting in the main thread, this thread sleeps. */
const MAX_WAITING = 4;
/** We send little: a peer that leaves this much unread will not read it any more, bytes. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** Limit for the plain request that asks why a connection failed, ms. */
const EXPLAIN_MS = 2000;

/** The global object of a worker: the program's types know only that of the main thread. */
const worker = globalThis as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  close(): void;
};

const decoder = new TextDecoder();
let socket: WebSocket;
let waiting: Int32Array<SharedArrayBuffer>;
let frames: (string | number)[] = [];
let times: number[] = [];
let length = 0;

worker.onmessage = ({ data }) => {
  if (data === "close") {
    socket.close(1000);
  } else if (data === "catch up") {
    // before a timer fires, the socket has been polled; when the second one fires, what was found has been read
    setTimeout(() => setTimeout(() => flushAndSend("caught up"), 1), 1);
  } else if ("send" in data) {
    socket.send(data.send);
    if (socket.bufferedAmount > MAX_UNSENT_BYTES) {
      flushAndSend({ closed: { code: 1006, reason: "the peer does not read what we send" } });
    }
  } else {
    waiting = data.waiting;
    open(data.url, data.maxFrameLength);
  }
};

worker.postMessage("started");

function open(url: string, maxFrameLength: number): void {
  let trouble = "";
  let isOpen = false;
  socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    isOpen = true;
    worker.postMessage({ openedAt: performance.now() });
  };
  socket.onmessage = ({ data }) => {
    const frame = typeof data === "string" ? data : decoder.decode(data);
    if (frames.length === 0) setImmediate(flush);
    frames.push(frame.length > maxFrameLength ? frame.length : frame);
    times.push(performance.now());
    length += frame.length;
    if (frames.length >= MAX_FRAMES || length >= MAX_LENGTH) flush();
  };
  socket.onerror = (event) => {
    event.preventDefault();
    trouble = (event as ErrorEvent).message;
  };
  socket.onclose = async ({ code, reason }) => {
    // Deno gives the code 0 when the connection broke
    if (isOpen) flushAndSend({ closed: { code: code || 1006, reason: reason || trouble } });
    else worker.postMessage({ failed: await explain(url, trouble.replace(/^.*WebSocket: /, "")) });
  };
}

function flushAndSend(message: FromWorker): void {
  flush();
  worker.postMessage(message);
}

/** Sends what has arrived, and sleeps while the main thread has enough. */
function flush(): void {
  if (frames.length > 0) {
    Atomics.add(waiting, 0, 1);
    worker.postMessage({ frames, times, sentAt: performance.now() });
    frames = [];
    times = [];
    length = 0;
  }
  for (let count = Atomics.load(waiting, 0); count >= MAX_WAITING; count = Atomics.load(waiting, 0)) {
    Atomics.wait(waiting, 0, count);
  }
  if (Atomics.load(waiting, 0) < 0) worker.close();
}

/** What Deno's words mean (2.9.6). */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/InvalidContentType/, "the server does not speak TLS (does its address begin with ws:// and not wss://?)"],
  [
    /peer certificate/,
    "the server's certificate is not trusted (DENO_CERT names a file with one more authority, " +
    "DENO_TLS_CA_STORE=system takes those of this computer)",
  ],
  [/handshake eof/, "the server hung up during the TLS handshake"],
  [/before message completed|canceled/, "the server hung up during the upgrade"],
  [/parsed/, "the server did not answer as HTTP"],
  [/Invalid .* header/, "the upgrade was answered by something that is no WebSocket server"],
  [/proxy authentication/, "the proxy in HTTPS_PROXY wants another login"],
  [/unsuccessful tunnel/, "the proxy in HTTPS_PROXY refused to connect us"],
  [/tunneling/, "the proxy in HTTPS_PROXY hung up"],
];

/** Why there is no connection, for a person. Where Deno's words say little, a plain request to the same address may learn more. */
async function explain(url: string, trouble: string): Promise<string> {
  const [, status] = /^Invalid status code: (\d+)/.exec(trouble) ?? [];
  const meaning = MEANINGS.find(([words]) => words.test(trouble))?.[1];
  if (meaning !== undefined) return `${meaning}: ${trouble}`;
  let more = "";
  try {
    const signal = AbortSignal.timeout(EXPLAIN_MS);
    const answer = await fetch(url.replace(/^ws/, "http"), { redirect: "manual", signal });
    const location = answer.headers.get("location");
    if (String(answer.status) === status) more = ` ${answer.statusText}${location === null ? "" : ` to ${location}`}`;
  } catch (error) {
    // "... client error (Connect): tcp connect error: Connection refused (os error 111)"
    const { cause } = error as Error;
    if (cause instanceof Error) more = cause.message.split(trouble)[1] ?? "";
  }
  return (status === undefined ? trouble : `the upgrade was refused: ${status}`) + more;
}
