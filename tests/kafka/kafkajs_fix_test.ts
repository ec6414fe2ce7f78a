// The mended kafkajs: no timer at rest, and requests that must wait are sent all the same.

import { assert, assertEquals, assertGreater } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { mendKafkajs } from "../../src/kafka/kafkajs_fix.ts";

/** What is used of kafkajs's RequestQueue. */
interface Queue {
  throttledUntil: number;
  readonly pending: readonly unknown[];
  push(request: Pushed): void;
  fulfillRequest(answer: { correlationId: number; payload: null; size: number }): void;
  checkPendingRequests(): void;
  destroy(): void;
}

interface Pushed {
  readonly entry: { correlationId: number; resolve(): void; reject(): void };
  readonly expectResponse: boolean;
  sendRequest(): void;
}

/** A queue that notes what it sends and how often it looks after what waits. */
async function makeQueue(maxInFlightRequests: number) {
  await mendKafkajs();
  const { default: RequestQueue } = await import("kafkajs/src/network/requestQueue/index.js");
  const log = () => {};
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

Deno.test("kafkajs and the part of it that is mended are one version, the one that has the bug", () => {
  assertEquals(config.imports.kafkajs, "npm:kafkajs@2.2.4");
  assertEquals(config.imports["kafkajs/"], "npm:/kafkajs@2.2.4/");
});

Deno.test({
  name: "the mended queue sets no timer when nothing waits",
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
  name: "the mended queue sends what waited for an answer",
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
  name: "the mended queue sends what was throttled, when that is over",
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
  name: "mendKafkajs() twice mends once",
  ignore,
  async fn() {
    await Promise.all([mendKafkajs(), mendKafkajs()]);
    const { default: RequestQueue } = await import("kafkajs/src/network/requestQueue/index.js");
    const mended = RequestQueue.prototype.scheduleCheckPendingRequests;
    await mendKafkajs();
    assertEquals(RequestQueue.prototype.scheduleCheckPendingRequests, mended);
  },
});
