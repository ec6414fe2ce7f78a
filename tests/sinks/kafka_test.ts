// What kafkajs's errors mean for us; the sink itself is tested on a real Kafka in tests/integration.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { sinkErrorOf } from "../../src/sinks/kafka.ts";

const WHERE = { brokers: ["a:9092", "b:9092"], topic: "ticker_batch" };

/** As kafkajs makes them, by hand: it cannot be imported in a bare `deno test`. */
function kafkaError(name: string, message: string, more: { type?: string; cause?: unknown } = {}): Error {
  return Object.assign(new Error(message, { cause: more.cause }), { name, ...more });
}

function protocolError(type: string, message = "words"): Error {
  return kafkaError("KafkaJSProtocolError", message, { type });
}

function exhausted(cause: Error): Error {
  return kafkaError("KafkaJSNumberOfRetriesExceeded", cause.message, { cause });
}

const login = (words: string) =>
  kafkaError("KafkaJSSASLAuthenticationError", `SASL PLAIN authentication failed: ${words}`);

const cases: { error: unknown; kind: string }[] = [
  { error: protocolError("MESSAGE_TOO_LARGE"), kind: "drop" },
  { error: protocolError("RECORD_LIST_TOO_LARGE"), kind: "drop" },
  { error: protocolError("INVALID_TIMESTAMP"), kind: "drop" },
  // INVALID_RECORD is too new for kafkajs
  { error: protocolError("KAFKAJS_UNKNOWN_ERROR_CODE", "Unknown error code 87"), kind: "drop" },
  { error: protocolError("KAFKAJS_UNKNOWN_ERROR_CODE", "Unknown error code 88"), kind: "retry" },
  { error: protocolError("TOPIC_AUTHORIZATION_FAILED"), kind: "fatal" },
  { error: protocolError("CLUSTER_AUTHORIZATION_FAILED"), kind: "fatal" },
  { error: login("Authentication failed: Invalid username or password"), kind: "fatal" },
  {
    error: kafkaError("KafkaJSSASLAuthenticationError", "SASL SCRAM-SHA-256 mechanism is not supported by the server"),
    kind: "fatal",
  },
  // the broker died during the login, or did not answer: nobody refused us
  { error: login("Closed connection"), kind: "retry" },
  { error: login("Connection error: read ECONNRESET"), kind: "retry" },
  { error: login("Connection closed by the server"), kind: "retry" },
  { error: login("Not connected"), kind: "retry" },
  { error: login("Request SaslAuthenticate(key: 36, version: 1) timed out"), kind: "retry" },
  { error: exhausted(protocolError("NOT_LEADER_FOR_PARTITION")), kind: "retry" },
  { error: exhausted(protocolError("NOT_ENOUGH_REPLICAS")), kind: "retry" },
  { error: exhausted(protocolError("UNKNOWN_TOPIC_OR_PARTITION")), kind: "retry" },
  {
    error: kafkaError("KafkaJSNonRetriableError", "x", { cause: kafkaError("KafkaJSConnectionError", "ECONNREFUSED") }),
    kind: "retry",
  },
  { error: new TypeError("Cannot read properties of undefined"), kind: "retry" },
  { error: "no error at all", kind: "retry" },
];

for (const { error, kind } of cases) {
  const said: string[] = [];
  for (let each = error; each instanceof Error; each = each.cause) {
    said.push(`${each.name} ${(each as { type?: string }).type ?? ""} ${each.message}`.replace(/ +/g, " "));
  }
  Deno.test(`sinkErrorOf(): ${said.join(", caused by ") || error} -> ${kind}`, () => {
    const sinkError = sinkErrorOf(error, WHERE);
    assertEquals(sinkError.kind, kind as typeof sinkError.kind);
    assertEquals(sinkError.cause, error);
    assertEquals(sinkError.message.includes("\n"), false);
  });
}

Deno.test("sinkErrorOf() gives the command that creates a missing topic", () => {
  const { message } = sinkErrorOf(exhausted(protocolError("UNKNOWN_TOPIC_OR_PARTITION")), WHERE);
  assertStringIncludes(message, "kafka-topics.sh --bootstrap-server a:9092 --create --topic ticker_batch");
});
