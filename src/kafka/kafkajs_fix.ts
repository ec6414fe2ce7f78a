// Two faults of kafkajs 2.2.4, mended from outside. Each connection sets a timer with a negative time again and again, 1,000 a
// second at rest (kafkajs#1556, #1704), and Deno warns of it. And that a broker throttles us is told in prose alone. Goes
// away with kafkajs itself.

/** What is used of kafkajs's queue of requests, of which each connection has one. */
interface RequestQueue {
  /** Requests that wait for a turn, or for the end of a throttling. */
  readonly pending: readonly unknown[];
  /** Sets a timer that looks after them: also when there are none, which is the bug. */
  scheduleCheckPendingRequests(): void;
  /** Called with the time that each answer of a broker wants us to wait, ms; nothing is sent before that. */
  maybeThrottle(throttleMs: number | null): void;
  /** Its lines reach the `logCreator` of the client. */
  readonly logger: { info(message: string, fields: object): void };
}

let mended: Promise<void> | undefined;

/**
 * Makes that timer be set only while requests wait, and a throttling a line with the field `throttleMs` for the client's
 * `logCreator`. Call it before the first connection; harmless when called again.
 */
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
  const throttle = prototype.maybeThrottle;
  if (typeof throttle !== "function") return;
  prototype.maybeThrottle = function (throttleMs) {
    if (throttleMs !== null && throttleMs > 0) this.logger.info("The broker throttles us", { throttleMs });
    throttle.call(this, throttleMs);
  };
}
