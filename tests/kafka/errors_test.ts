// What errors of kafkajs mean; the sink itself is tested on a real Kafka in tests/integration.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { type Circumstances, sinkErrorOf } from "../../src/kafka/errors.ts";

const WHERE: Circumstances = {
  brokers: ["a:9092", "b:9092"],
  ssl: false,
  topic: "ticker_batch",
  hasConnected: false,
};

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
  { error: protocolError("ILLEGAL_SASL_STATE"), kind: "fatal" },
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

/** As Deno's TLS and kafkajs put it (2.9.6, 2.2.4). */
function tlsError(code: string, words: string): Error {
  const error = Object.assign(kafkaError("KafkaJSConnectionError", `Connection error: ${words}`), { code });
  return exhausted(Object.assign(error, { broker: "b:9092" }));
}

/** A port that answers, and not in TLS. */
const NO_TLS = "received corrupt message of type InvalidContentType " +
  "(SSL routines:ssl3_get_record:wrong version number)";
const OURS = { certificates: { cert: "-----BEGIN", key: "-----BEGIN" } };
const TLS: { error: Error; more?: Partial<Circumstances>; kind?: string; message: string }[] = [
  {
    error: tlsError("SELF_SIGNED_CERT_IN_CHAIN", "self-signed certificate in certificate chain"),
    message: "Kafka at b:9092 has a certificate from an unknown authority (KAFKA_SSL_CA can name it): " +
      "self-signed certificate in certificate chain",
  },
  {
    error: tlsError("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certificate"),
    message: "Kafka at b:9092 has a certificate from an unknown authority (KAFKA_SSL_CA can name it): " +
      "unable to verify the first certificate",
  },
  {
    error: tlsError("CERT_HAS_EXPIRED", "certificate has expired"),
    message: "Kafka at b:9092 has a certificate that has expired or is not valid yet: certificate has expired",
  },
  {
    // somebody will renew it, and until then the queue holds what comes
    error: tlsError("CERT_HAS_EXPIRED", "certificate has expired"),
    more: { hasConnected: true },
    kind: "retry",
    message: "Kafka at b:9092 has a certificate that has expired or is not valid yet: certificate has expired",
  },
  {
    error: tlsError("ERR_TLS_CERT_ALTNAME_INVALID", "Hostname/IP does not match certificate's altnames: ..."),
    message: "Kafka at b:9092 has a certificate for another name (KAFKA_BROKERS must use a name in the certificate): " +
      "Hostname/IP does not match certificate's altnames: ...",
  },
  {
    error: tlsError("ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE", "received fatal alert: BadCertificate"),
    message: "Kafka at b:9092 requires a client certificate (KAFKA_SSL_CERT and KAFKA_SSL_KEY): " +
      "received fatal alert: BadCertificate",
  },
  {
    error: tlsError("ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN", "received fatal alert: CertificateUnknown"),
    more: OURS,
    message:
      "Kafka at b:9092 rejects our client certificate (KAFKA_SSL_CERT): received fatal alert: CertificateUnknown",
  },
  {
    error: kafkaError("KafkaJSConnectionClosedError", "Closed connection"),
    kind: "retry",
    message: "Kafka at a:9092,b:9092 cannot be used: Closed connection " +
      "(does it need KAFKA_SSL=true or a login (KAFKA_USERNAME)?)",
  },
  {
    error: kafkaError("KafkaJSConnectionClosedError", "Closed connection"),
    more: { ssl: true },
    kind: "retry",
    message: "Kafka at a:9092,b:9092 cannot be used: Closed connection (does it need a login (KAFKA_USERNAME)?)",
  },
  {
    error: kafkaError("KafkaJSConnectionClosedError", "Closed connection"),
    more: { hasConnected: true },
    kind: "retry",
    message: "Kafka at a:9092,b:9092 cannot be used: Closed connection",
  },
  {
    error: tlsError("ECONNRESET", "Client network socket disconnected before secure TLS connection was established"),
    more: { ssl: true },
    kind: "retry",
    message: "Kafka at a:9092,b:9092 cannot be used: Connection error: Client network socket disconnected before " +
      "secure TLS connection was established (does this port speak TLS? KAFKA_SSL is true)",
  },
  {
    error: tlsError("undefined", NO_TLS),
    more: { ssl: true },
    kind: "retry",
    message:
      `Kafka at a:9092,b:9092 cannot be used: Connection error: ${NO_TLS} (does this port speak TLS? KAFKA_SSL is true)`,
  },
  {
    error: tlsError("undefined", NO_TLS),
    kind: "retry",
    message: `Kafka at a:9092,b:9092 cannot be used: Connection error: ${NO_TLS}`,
  },
];
for (const { error, more = {}, kind = "fatal", message } of TLS) {
  const { certificates, ...flags } = more;
  const with_ = `${Object.keys(flags).join(", ")}${certificates === undefined ? "" : "our certificate"}` || "defaults";
  Deno.test(`sinkErrorOf(): ${error.message} (${with_}) -> ${kind}, with what can be done about it`, () => {
    const found = sinkErrorOf(error, { ...WHERE, ...more });
    assertEquals([found.kind, found.message], [kind, message]);
  });
}

Deno.test("sinkErrorOf() gives the command that creates a missing topic", () => {
  const { message } = sinkErrorOf(exhausted(protocolError("UNKNOWN_TOPIC_OR_PARTITION")), WHERE);
  assertStringIncludes(message, "kafka-topics.sh --bootstrap-server a:9092 --create --topic ticker_batch");
});

for (
  const [broker, brokers, hasConnected, isAdvertised] of [
    ["c:9092", ["a:9092", "b:9092"], false, true],
    ["c:9092", ["a:9092", "b:9092"], true, false],
    ["b:9092", ["a:9092", "b:9092"], false, false],
    ["--1:9092", ["[::1]:9092"], false, false],
  ] as const
) {
  const when = hasConnected ? "after Kafka let us in" : "at the start";
  Deno.test(`sinkErrorOf(): ${broker} of ${brokers.join()} is away ${when}`, () => {
    const error = Object.assign(kafkaError("KafkaJSConnectionError", "Connection error: connect ECONNREFUSED"), {
      broker,
    });
    const { kind, message } = sinkErrorOf(exhausted(error), { ...WHERE, brokers, hasConnected });
    assertEquals([kind, message.includes(`advertises ${broker}, which does not answer`)], ["retry", isAdvertised]);
  });
}
