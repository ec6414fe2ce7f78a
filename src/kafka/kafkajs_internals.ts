// Everything that we use or change of kafkajs beyond its API. It was written for one version: any other is left unchanged, and
// tests/kafka/kafkajs_internals_test.ts fails.
//
// 1. Bug: each connection sets a timer with a negative time again and again, 1,000 a second at rest (kafkajs#1556, #1704), and
//    Deno warns about it. Patched: it is set only while requests wait.
// 2. Throttling by a broker appears only in the text of a log line. Patched: a log line with the field `throttleMs`.
// 3. Produce requests are encoded slowly. Patched: produce_request.ts encodes those that it can.
// 4. Records cannot be read without a consumer group. The inner client can fetch them.

import type { Buffer } from "node:buffer";
import type kafkajs from "kafkajs";
import { encodeProduce, type ProduceArguments, withoutBundles } from "./produce_request.ts";

/** The version of kafkajs whose internals are known. */
export const KAFKAJS_VERSION = "2.2.4";

/** The part of a connection's request queue that is used. */
interface RequestQueue {
  /** Requests that wait for their turn, or for the end of throttling. */
  readonly pending: readonly unknown[];
  /** Sets a timer that sends them: also when there are none, which is the bug. */
  scheduleCheckPendingRequests(): void;
  /** Called for each response with the time for which the broker wants no request, ms. */
  maybeThrottle(throttleMs: number | null): void;
  /** Its lines reach the `logCreator` of the client. */
  readonly logger: { info(message: string, fields: object): void };
}

/** A request as kafkajs passes it to a connection. */
interface Request {
  encode(): Promise<unknown>;
}

type Protocol = (args: ProduceArguments) => { readonly request: Request; readonly response: unknown };

let patched: Promise<string | undefined> | undefined;

/**
 * Patches kafkajs for the whole process; later calls do nothing. Call it before the first connection. Resolves with the reason
 * if this version of kafkajs is unknown: then it is unchanged, and must not get bundles.
 */
export function patchKafkajs(): Promise<string | undefined> {
  return patched ??= patch();
}

async function patch(): Promise<string | undefined> {
  const { default: { version } } = await import("kafkajs/package.json", { with: { type: "json" } });
  if (version !== KAFKAJS_VERSION) return `expected kafkajs ${KAFKAJS_VERSION}, got ${version}`;
  const [queue, produce, encoder] = await Promise.all([
    import("kafkajs/src/network/requestQueue/index.js"),
    import("kafkajs/src/protocol/requests/produce/index.js"),
    import("kafkajs/src/protocol/encoder.js"),
  ]);
  patchRequestQueue(queue.default.prototype);
  patchProduce(produce.default, encoder.default);
  return undefined;
}

function patchRequestQueue(prototype: RequestQueue): void {
  const { scheduleCheckPendingRequests, maybeThrottle } = prototype;
  prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0) scheduleCheckPendingRequests.call(this);
  };
  prototype.maybeThrottle = function (throttleMs) {
    if (throttleMs !== null && throttleMs > 0) this.logger.info("The broker throttles us", { throttleMs });
    maybeThrottle.call(this, throttleMs);
  };
}

function patchProduce(
  definition: { protocol(args: { version: number }): Protocol },
  Encoder: new (bytes: number) => { buf: Buffer; offset: number },
): void {
  const original = definition.protocol;
  definition.protocol = ({ version }) => {
    const make = original({ version });
    return (args) => {
      if (version < 3) return make(withoutBundles(args));
      const { request, response } = make(args);
      const encode = (): Promise<unknown> => {
        const bytes = encodeProduce(args);
        if (bytes === undefined) return make(withoutBundles(args)).request.encode();
        const encoded = new Encoder(1);
        encoded.buf = bytes;
        encoded.offset = bytes.length;
        return Promise.resolve(encoded);
      };
      return { request: { ...request, encode }, response };
    };
  };
}

/** A record as the inner client returns it. */
export interface FetchedRecord {
  /** An integer as text. */
  readonly offset: string;
  /** ms since the epoch, as text. */
  readonly timestamp: string;
  /** Null: a tombstone. */
  readonly value: Uint8Array | null;
  /** A name that occurs twice has a list of values. */
  readonly headers: Readonly<Record<string, Uint8Array | Uint8Array[] | undefined>>;
  /** It marks the end of a transaction, and is no data. */
  readonly isControlRecord: boolean;
}

/** The part of kafkajs's inner client that is used. */
export type InnerClient = {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, number[]>>;
  findBroker(options: { nodeId: string }): Promise<{
    fetch(request: unknown): Promise<{
      responses: readonly {
        partitions: readonly { partition: number; messages: readonly FetchedRecord[] }[];
      }[];
    }>;
  }>;
};

/** Creates an inner client with the settings of this one. Throws a TypeError if this version of kafkajs is unknown. */
export function innerClientOf(kafka: kafkajs.Kafka): InnerClient {
  const symbol = Object.getOwnPropertySymbols(kafka)
    .find(({ description }) => description === "private:Kafka:createCluster");
  const create = symbol && (kafka as unknown as Record<symbol, unknown>)[symbol];
  if (typeof create !== "function") throw new TypeError(`Cannot read from Kafka: expected kafkajs ${KAFKAJS_VERSION}`);
  return create({ allowAutoTopicCreation: false, metadataMaxAge: 300_000 }) as InnerClient;
}
