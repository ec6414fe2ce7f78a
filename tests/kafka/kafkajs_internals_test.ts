// The parts of kafkajs that we use or change beyond its API: they exist in the version that we import, and what is changed works.

import { assert, assertEquals, assertGreater } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { innerClientOf, KAFKAJS_VERSION, patchKafkajs } from "../../src/kafka/kafkajs_internals.ts";

/** What is used of kafkajs's RequestQueue. */
interface Queue {
  throttledUntil: number;
  readonly pending: readonly unknown[];
  push(request: Pushed): void;
  fulfillRequest(answer: { correlationId: number; payload: null; size: number }): void;
  checkPendingRequests(): void;
  maybeThrottle(ms: number | null): void;
  destroy(): void;
}

interface Pushed {
  readonly entry: { correlationId: number; resolve(): void; reject(): void };
  readonly expectResponse: boolean;
  sendRequest(): void;
}

/** A queue that notes what it sends and how often it looks after what waits. */
async function makeQueue(maxInFlightRequests: number) {
  await patchKafkajs();
  const { default: RequestQueue } = await import("kafkajs/src/network/requestQueue/index.js");
  const lines: ({ throttleMs?: number } | undefined)[] = [];
  const log = (_message: string, fields?: { throttleMs?: number }) => void lines.push(fields);
  const logger = { debug: log, info: log, warn: log, error: log };
  const queue: Queue = new RequestQueue({
    maxInFlightRequests,
    requestTimeout: 30_000,
    clientId: "t",
    broker: "b:1",
    logger,
  });
  const sent: number[] = [];
  let looks = 0;
  const check = queue.checkPendingRequests.bind(queue);
  queue.checkPendingRequests = () => {
    looks++;
    check();
  };
  return {
    queue,
    sent,
    lines,
    looks: () => looks,
    push(correlationId: number) {
      const entry = { correlationId, resolve() {}, reject() {} };
      queue.push({ entry, expectResponse: true, sendRequest: () => void sent.push(correlationId) });
    },
    answer(correlationId: number) {
      queue.fulfillRequest({ correlationId, payload: null, size: 0 });
    },
  };
}

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

// kafkajs reads NODE_ENV when it is loaded
const ignore = Deno.permissions.querySync({ name: "env", variable: "NODE_ENV" }).state !== "granted";

Deno.test("kafkajs is imported in the version whose internals are known", () => {
  assertEquals(config.imports.kafkajs, `npm:kafkajs@${KAFKAJS_VERSION}`);
  assertEquals(config.imports["kafkajs/"], `npm:/kafkajs@${KAFKAJS_VERSION}/`);
});

Deno.test({
  name: "kafkajs has every internal that we use: with another version, read kafkajs_internals.ts before changing this",
  ignore,
  async fn() {
    assertEquals(await patchKafkajs(), undefined);
    const [{ default: RequestQueue }, { default: produce }, { default: Encoder }, { default: { Kafka } }] =
      await Promise
        .all([
          import("kafkajs/src/network/requestQueue/index.js"),
          import("kafkajs/src/protocol/requests/produce/index.js"),
          import("kafkajs/src/protocol/encoder.js"),
          import("kafkajs"),
        ]);
    const { scheduleCheckPendingRequests, maybeThrottle, checkPendingRequests } = RequestQueue.prototype;
    const encoder = new Encoder(1);
    const inner = innerClientOf(new Kafka({ brokers: ["127.0.0.1:9"], logCreator: () => () => {} }));
    const found: Record<string, unknown> = {
      scheduleCheckPendingRequests,
      maybeThrottle,
      checkPendingRequests,
      protocol: produce.protocol,
      "produce versions": produce.versions,
      "encoder.buf": encoder.buf,
      "encoder.offset": encoder.offset,
      connect: inner.connect,
      disconnect: inner.disconnect,
      addTargetTopic: inner.addTargetTopic,
      findLeaderForPartitions: inner.findLeaderForPartitions,
      findBroker: inner.findBroker,
    };
    const missing = Object.entries(found).filter(([, value]) => value === undefined).map(([name]) => name);
    assertEquals(missing, [], "kafkajs no longer has these internals");
    assert(produce.versions.every((version: number) => version <= 7), "encodeProduce() knows versions 3 to 7");
  },
});

Deno.test({
  name: "the patched queue logs that a broker throttles us, with the time as a field",
  ignore,
  async fn() {
    const { queue, lines } = await makeQueue(1);
    for (const ms of [null, 0, 1500]) queue.maybeThrottle(ms);
    assertEquals(lines.filter((fields) => fields?.throttleMs !== undefined), [{ throttleMs: 1500 }]);
    queue.destroy();
  },
});

Deno.test({
  name: "the patched queue sets no timer when nothing waits",
  ignore,
  async fn() {
    const { push, answer, sent, looks } = await makeQueue(1);
    for (let id = 0; id < 3; id++) {
      push(id);
      answer(id);
    }
    const before = looks();
    await pause(100);
    assertEquals(sent, [0, 1, 2]);
    assertEquals(looks() - before, 0);
  },
});

Deno.test({
  name: "the patched queue sends what waited for an answer",
  ignore,
  async fn() {
    const { push, answer, sent, queue } = await makeQueue(1);
    for (let id = 0; id < 3; id++) push(id);
    assertEquals(sent, [0]);
    answer(0);
    assertEquals(sent, [0, 1]);
    answer(1);
    answer(2);
    assertEquals(sent, [0, 1, 2]);
    queue.destroy();
  },
});

Deno.test({
  name: "the patched queue sends what was throttled, when that is over",
  ignore,
  async fn() {
    const { push, answer, sent, queue, looks } = await makeQueue(5);
    const until = Date.now() + 60;
    queue.throttledUntil = until;
    push(0);
    push(1);
    assertEquals(sent, []);
    while (sent.length < 2 && Date.now() < until + 5000) await pause(5);
    assertEquals(sent, [0, 1]);
    assert(Date.now() >= until);
    assertGreater(looks(), 0);
    answer(0);
    answer(1);
    const before = looks();
    await pause(50);
    assertEquals(looks() - before, 0);
    queue.destroy();
  },
});

Deno.test({
  name: "patchKafkajs() twice patches once",
  ignore,
  async fn() {
    await Promise.all([patchKafkajs(), patchKafkajs()]);
    const { default: RequestQueue } = await import("kafkajs/src/network/requestQueue/index.js");
    const patched = RequestQueue.prototype.scheduleCheckPendingRequests;
    await patchKafkajs();
    assertEquals(RequestQueue.prototype.scheduleCheckPendingRequests, patched);
  },
});
