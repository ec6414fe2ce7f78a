// One WebSocket connection to an exchange. Deno's `WebSocket` cannot be paused, and under a fast feed its events would leave the
// main thread no time for anything else. So it runs in a worker (socket_worker.ts), which can be put to sleep and terminated.

import { setImmediate } from "node:timers";
import { unlessAborted } from "../core/abort.ts";
import { ConnectionError } from "../core/errors.ts";

/** How a connection ended. */
export interface Closed {
  /** The peer's close code; 1005 if it gave none, 1006 if the connection broke. */
  readonly code: number;
  /** The peer's words, or what the platform said. */
  readonly reason: string;
}

/** Bounds of one connection. */
export interface SocketLimits {
  /** Of longer frames only the length leaves the worker, UTF-16 code units. */
  readonly maxFrameLength: number;
  /** Time that the connection has to open, ms. */
  readonly handshakeMs: number;
}

/** Takes what arrives, in order. */
export interface SocketHandler {
  /** One frame and how long ago it arrived, ms. Binary frames are decoded as text. */
  onFrame(text: string, ageMs: number): void;
  /** A frame above the limit, by its length. */
  onOversize(length: number, ageMs: number): void;
  /** If it returns a promise, reading pauses until it resolves (backpressure). */
  relief(): Promise<void> | undefined;
}

/** Messages to the worker. */
export type ToWorker =
  /** The first one: connect. */
  | {
    readonly url: string;
    readonly maxFrameLength: number;
    /** [0] is the number of batches that were sent and are not handled yet; below 0 the worker must end. */
    readonly waiting: Int32Array<SharedArrayBuffer>;
  }
  | { readonly send: string }
  | "close"
  /** Answered with "caught up" after all frames that had arrived. */
  | "catch up";

/** Messages from the worker. Times are those of its own `performance.now()`, ms. */
export type FromWorker =
  | "started"
  | { readonly openedAt: number }
  /** Why the connection could not be opened. */
  | { readonly failed: string }
  | Batch
  | "caught up"
  | { readonly closed: Closed };

/** Frames in the order of their arrival. */
export interface Batch {
  /** Each frame, or the length of one above the limit. */
  readonly frames: readonly (string | number)[];
  /** When each of them arrived. */
  readonly times: readonly number[];
  /** When the batch was sent. */
  readonly sentAt: number;
}

/** How long a peer may take to answer our Close, ms. */
const FAREWELL_MS = 500;

/** One connection. `receive()` may be called once; `terminate()` at any time. */
export class Socket {
  readonly #worker = new Worker(new URL("./socket_worker.ts", import.meta.url), { type: "module", name: "socket" });
  readonly #waiting = new Int32Array(new SharedArrayBuffer(4));
  readonly #started = Promise.withResolvers<void>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #received: (Batch | (() => void))[] = [];
  #wake = () => {};
  #closed: Closed | undefined;
  #isTerminated = false;
  /** Added to the worker's times to get ours, ms. The two clocks start at different moments; the fastest message gives the best estimate. */
  #offset = Infinity;
  readonly #caughtUp: (() => void)[] = [];

  private constructor(url: string, maxFrameLength: number) {
    // it may reject before connect() awaits it
    this.#opened.promise.catch(() => {});
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(`the thread of the connection failed: ${event.message}`);
    };
    this.#tell({ url, maxFrameLength, waiting: this.#waiting });
  }

  /** Opens a connection. Rejects with a ConnectionError that says why not, or with the signal's reason. */
  static async connect(url: string, limits: SocketLimits, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted();
    const socket = new Socket(url, limits.maxFrameLength);
    let tooLate: AbortSignal | undefined;
    try {
      await unlessAborted(socket.#started.promise, signal);
      tooLate = AbortSignal.timeout(limits.handshakeMs);
      await unlessAborted(socket.#opened.promise, AbortSignal.any([signal, tooLate]));
      return socket;
    } catch (error) {
      socket.terminate();
      signal.throwIfAborted();
      if (tooLate?.aborted !== true) throw error;
      throw new ConnectionError(`no answer within ${limits.handshakeMs / 1000} s`, { cause: error });
    }
  }

  /** Passes frames to the handler until the connection ends. Rejects only with what the handler throws. */
  async receive(handler: SocketHandler): Promise<Closed> {
    try {
      while (!this.#isTerminated) {
        const next = this.#received.shift();
        if (next === undefined) {
          if (this.#closed !== undefined) break;
          await new Promise<void>((resolve) => this.#wake = resolve);
        } else if (typeof next === "function") {
          next();
        } else {
          await this.#handOn(next, handler);
        }
      }
      return this.#closed ?? { code: 1006, reason: "dropped by us" };
    } finally {
      this.terminate();
    }
  }

  /** Sends one text frame. A failure shows as the end of `receive()`. */
  send(text: string): void {
    this.#tell({ send: text });
  }

  /** Resolves once the handler has all frames that had arrived when this was called; never if `receive()` ends first. */
  caughtUp(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#caughtUp.push(resolve);
    this.#tell("catch up");
    return promise;
  }

  /** Sends a Close and drops the connection once it is answered, or after half a second. */
  async close(): Promise<void> {
    this.#tell("close");
    const timer = setTimeout(() => this.#ended.resolve(), FAREWELL_MS);
    await this.#ended.promise;
    clearTimeout(timer);
    this.terminate();
  }

  /** Drops the connection at once. `receive()` passes on nothing more and ends, with code 1006 unless the peer had closed it. */
  terminate(): void {
    this.#isTerminated = true;
    // without this, Deno gives a worker that is busy or asleep two more seconds
    Atomics.store(this.#waiting, 0, -1000);
    Atomics.notify(this.#waiting, 0);
    this.#worker.terminate();
    this.#ended.resolve();
    this.#wake();
  }

  #tell(message: ToWorker): void {
    if (!this.#isTerminated) this.#worker.postMessage(message);
  }

  #take(message: FromWorker): void {
    if (message === "caught up") {
      this.#received.push(this.#caughtUp.shift() as () => void);
    } else if (message === "started") {
      this.#started.resolve();
    } else if ("frames" in message) {
      this.#offset = Math.min(this.#offset, performance.now() - message.sentAt);
      this.#received.push(message);
    } else if ("openedAt" in message) {
      this.#offset = performance.now() - message.openedAt;
      this.#opened.resolve();
    } else if ("failed" in message) {
      this.#fail(message.failed);
    } else {
      this.#end(message.closed);
    }
    this.#wake();
  }

  /** The connection could not be opened, or the worker threw. */
  #fail(reason: string): void {
    const error = new ConnectionError(reason);
    this.#started.reject(error);
    this.#opened.reject(error);
    this.#end({ code: 1006, reason });
    this.#wake();
  }

  #end(closed: Closed): void {
    this.#closed ??= closed;
    this.#ended.resolve();
  }

  async #handOn({ frames, times }: Batch, handler: SocketHandler): Promise<void> {
    const now = performance.now() - this.#offset;
    for (const [i, frame] of frames.entries()) {
      const ageMs = Math.max(0, now - (times[i] as number));
      if (typeof frame === "string") handler.onFrame(frame, ageMs);
      else handler.onOversize(frame, ageMs);
      if (this.#isTerminated) return;
    }
    await handler.relief();
    // if the next batch is here already, timers and sinks get their turn first
    if (Atomics.load(this.#waiting, 0) > 1) await new Promise<void>((resolve) => setImmediate(resolve));
    Atomics.sub(this.#waiting, 0, 1);
    Atomics.notify(this.#waiting, 0);
  }
}
