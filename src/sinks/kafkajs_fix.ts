// A bug of kafkajs 2.2.4, mended from outside: each connection sets a timer with a negative time again and again, 1,000 a
// second at rest (kafkajs#1556, #1704), and Deno warns of it. Goes away with kafkajs itself.

/** What is used of kafkajs's queue of requests, of which each connection has one. */
interface RequestQueue {
  /** Requests that wait for a turn, or for the end of a throttling. */
  readonly pending: readonly unknown[];
  /** Sets a timer that looks after them: also when there are none, which is the bug. */
  scheduleCheckPendingRequests(): void;
}

let mended: Promise<void> | undefined;

/** Makes that timer be set only while requests wait. Call it before the first connection; harmless when called again. */
export function mendKafkajs(): Promise<void> {
  return mended ??= mend();
}

async function mend(): Promise<void> {
  const module = await import("kafkajs/src/network/requestQueue/index.js");
  const prototype: RequestQueue = module.default.prototype;
  const schedule = prototype.scheduleCheckPendingRequests;
  // in any other version this may be another thing
  if (typeof schedule !== "function") return;
  prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0) schedule.call(this);
  };
}
