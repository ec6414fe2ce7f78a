// Calls to a worker thread: Thread on the caller's side, serve() in the worker. Arguments and results are copied.

import { waitAtMost } from "../core/abort.ts";
import { systemClock } from "../core/clock.ts";
import { SinkError, type SinkErrorKind } from "../core/errors.ts";
import type { Fields, Level } from "../core/log.ts";
import type { Gap } from "../core/record.ts";

/** Time for a worker to close its file, ms; after that the file is left as kill -9 would leave it. */
const CLOSE_MS = 1000;

interface Request {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** An error that a method threw; without a kind it is a bug. */
interface Failure {
  readonly kind?: SinkErrorKind | undefined;
  readonly message: string;
  readonly stack?: string | undefined;
}

/** What a worker reports without being called. */
export type WorkerEvent =
  | { readonly log: { readonly level: Level; readonly message: string; readonly fields: Fields } }
  | { readonly gap: Gap };

type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failure: Failure }
  | { readonly event: WorkerEvent };

/** The methods of a worker, as serve() gets them. */
export type Methods<M> = { readonly [K in keyof M]: (...args: never[]) => unknown };

/** A worker, started by the first call. */
export class Thread<M extends Methods<M>> {
  readonly #url: URL;
  readonly #onEvent: (event: WorkerEvent) => void;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #worker: Worker | undefined;
  #lastId = 0;
  #isClosed = false;

  /** The module at this address calls serve(). */
  constructor(url: URL, onEvent: (event: WorkerEvent) => void) {
    this.#url = url;
    this.#onEvent = onEvent;
  }

  /** Whether a method was ever called. */
  get isStarted(): boolean {
    return this.#worker !== undefined;
  }

  /** Calls a method. Rejects with what it throws. */
  call<K extends keyof M & string>(method: K, ...args: Parameters<M[K]>): Promise<ReturnType<M[K]>> {
    return this.#send(method, args) as Promise<ReturnType<M[K]>>;
  }

  /** Calls the method `close`, waits a limited time for it, and ends the worker. Calls without a reply are rejected. */
  async end(): Promise<void> {
    if (this.#worker !== undefined) await waitAtMost(CLOSE_MS, this.#send("close", []).catch(() => {}), systemClock);
    this.#isClosed = true;
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#rejectAll(new SinkError("retry", "The store was closed meanwhile"));
  }

  #send(method: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(new SinkError("retry", "The store is closed"));
    const worker = this.#worker ??= this.#start();
    const pending = Promise.withResolvers<unknown>();
    const id = ++this.#lastId;
    this.#pending.set(id, pending);
    worker.postMessage({ id, method, args } satisfies Request);
    return pending.promise;
  }

  #start(): Worker {
    const worker = new Worker(this.#url, { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#take(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#worker = undefined;
      this.#rejectAll(new Error(`The worker ${this.#url.pathname} failed: ${event.message}`));
    };
    return worker;
  }

  #take(reply: Reply): void {
    if ("event" in reply) return this.#onEvent(reply.event);
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ("result" in reply) return pending?.resolve(reply.result);
    const { kind, message, stack } = reply.failure;
    const error = kind === undefined ? new Error(message) : new SinkError(kind, message);
    if (stack !== undefined) error.stack = stack;
    pending?.reject(error);
  }

  #rejectAll(error: Error): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}

/** The global object of a worker; the types of the program have only that of the main thread. */
const port = globalThis as unknown as {
  postMessage(reply: Reply): void;
  onmessage: ((event: MessageEvent<Request>) => void) | null;
};

/** In a worker: answers calls with these methods. */
export function serve<M extends Methods<M>>(methods: M): void {
  port.onmessage = ({ data: { id, method, args } }) => {
    try {
      port.postMessage({ id, result: methods[method as keyof M](...args as never[]) });
    } catch (error) {
      port.postMessage({ id, failure: failureOf(error) });
    }
  };
}

function failureOf(error: unknown): Failure {
  if (error instanceof SinkError) return { kind: error.kind, message: error.message };
  return error instanceof Error ? { message: error.message, stack: error.stack } : { message: String(error) };
}

/** In a worker: reports something to the main thread. */
export function emit(event: WorkerEvent): void {
  port.postMessage({ event });
}

function logAt(level: Level): (message: string, fields?: Fields) => void {
  return (message, fields = {}) => emit({ log: { level, message, fields } });
}

/** In a worker: the log of the main thread. */
export const log = { info: logAt("info"), warn: logAt("warn"), error: logAt("error") };
