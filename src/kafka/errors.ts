// What an error of kafkajs means for the pipeline, and a message that says what to do about it.

import { chainOf, SinkError } from "../core/errors.ts";
import { CLIENT_CLOSED, type KafkaConnection, kafkajsNameOf } from "./connection.ts";

/** Refusals because of one of the records. */
const RECORD_REFUSED = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_TIMESTAMP"]);
/** INVALID_RECORD, which kafkajs does not know. */
const RECORD_REFUSED_TEXT = "Unknown error code 87";
/** Refusals that no retry changes. */
const ACCESS_REFUSED = new Set([
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "INVALID_TOPIC_EXCEPTION",
  // the broker accepts no login, but KAFKA_USERNAME is set
  "ILLEGAL_SASL_STATE",
]);

/** What is wrong with the broker's certificate, by OpenSSL's code. */
const BAD_CERTIFICATES: readonly (readonly [code: RegExp, text: string])[] = [
  [
    /^(?:SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT.*|CERT_UNTRUSTED)$/,
    "has a certificate from an unknown authority (KAFKA_SSL_CA can name it)",
  ],
  [/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/, "has a certificate that has expired or is not valid yet"],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    "has a certificate for another name (KAFKA_BROKERS must use a name in the certificate)",
  ],
  [/^CERT_|^ERR_TLS_CERT/, "has a certificate that cannot be used"],
];
/** The TLS alerts of a broker that requires another client certificate. */
const CLIENT_CERTIFICATE_REFUSED =
  /^received fatal alert: (?:BadCertificate|UnsupportedCertificate|CertificateRevoked|CertificateExpired|CertificateUnknown|CertificateRequired|UnknownCA|AccessDenied)|alert (?:bad|unsupported|unknown) cert|certificate (?:required|unknown|expired|revoked)$/;
/** The server does not speak TLS: it hangs up, or answers with something else. */
const NO_TLS = /before secure TLS connection was established|InvalidContentType|wrong version number/;

/** kafkajs reports everything that goes wrong during a login as a failed login, also a broker that dies meanwhile. */
const LOGIN_INTERRUPTED = new RegExp(
  `: (?:Closed connection|Connection |Not connected|${CLIENT_CLOSED}|Request .* timed out)`,
);

/** The circumstances of an error. */
export interface Circumstances extends KafkaConnection {
  /** The topic that was written or read. */
  readonly topic: string;
  /** Whether a connection has succeeded before. */
  readonly hasConnected: boolean;
}

/** A field of kafkajs's errors. */
function fieldOf(error: Error, name: "type" | "code" | "broker"): string | undefined {
  const value = (error as unknown as Record<string, unknown>)[name];
  return typeof value === "string" ? value : undefined;
}

/** Kafka's names of the error and each of its causes, outermost first; kafkajs's name if Kafka has none. */
export function typesOf(error: unknown): string[] {
  return chainOf(error).map((each) => fieldOf(each, "type") ?? each.name);
}

/** The SinkError for an error of kafkajs. */
export function sinkErrorOf(error: unknown, circumstances: Circumstances): SinkError {
  const { brokers, topic, hasConnected } = circumstances;
  const chain = chainOf(error);
  const types = typesOf(error);
  const text = chain.at(-1)?.message ?? String(error);
  const where = brokers.join(",");
  const cause = { cause: error };
  if (types.some((type) => RECORD_REFUSED.has(type)) || text === RECORD_REFUSED_TEXT) {
    return new SinkError("drop", `Kafka rejects a record: ${text}`, cause);
  }
  const loginFailed = chain.find(({ name }) => name === "KafkaJSSASLAuthenticationError");
  const isRefused = loginFailed !== undefined && !LOGIN_INTERRUPTED.test(loginFailed.message);
  if (isRefused || types.some((type) => ACCESS_REFUSED.has(type))) {
    return new SinkError("fatal", `Kafka at ${where} refuses access (topic ${topic}): ${text}`, cause);
  }
  const certificateTrouble = certificateTroubleOf(chain, circumstances);
  if (certificateTrouble !== undefined) {
    // at the start somebody is watching; later the cluster has changed, and will be repaired there
    return new SinkError(hasConnected ? "retry" : "fatal", certificateTrouble, cause);
  }
  if (types.includes("UNKNOWN_TOPIC_OR_PARTITION")) {
    const command = `kafka-topics.sh --bootstrap-server ${brokers[0]} --create --topic ${topic} --partitions 1`;
    return new SinkError("retry", `Kafka at ${where} has no topic ${topic}; create it with: ${command}`, cause);
  }
  const broker = chain.map((each) => fieldOf(each, "broker")).find((name) => name !== undefined);
  if (!hasConnected && broker !== undefined && !brokers.map(kafkajsNameOf).includes(broker)) {
    const advice =
      "is that broker down? If not, its advertised.listeners must be an address that this program can reach";
    return new SinkError(
      "retry",
      `Kafka at ${where} advertises ${broker}, which does not answer: ${text} (${advice})`,
      cause,
    );
  }
  const hint = hasConnected ? "" : hintFor(text, circumstances);
  return new SinkError("retry", `Kafka at ${where} cannot be used: ${text}${hint}`, cause);
}

/** Why one side does not accept the certificate of the other; undefined if that is not the cause. */
function certificateTroubleOf(
  chain: readonly Error[],
  { brokers, certificates }: KafkaConnection,
): string | undefined {
  for (const each of chain.toReversed()) {
    const where = fieldOf(each, "broker") ?? brokers.join(",");
    const text = each.message.replace(/^Connection error: /, "");
    const code = fieldOf(each, "code") ?? "";
    const [, trouble] = BAD_CERTIFICATES.find(([bad]) => bad.test(code)) ?? [];
    if (trouble !== undefined) return `Kafka at ${where} ${trouble}: ${text}`;
    if (!CLIENT_CERTIFICATE_REFUSED.test(text)) continue;
    return certificates?.cert === undefined
      ? `Kafka at ${where} requires a client certificate (KAFKA_SSL_CERT and KAFKA_SSL_KEY): ${text}`
      : `Kafka at ${where} rejects our client certificate (KAFKA_SSL_CERT): ${text}`;
  }
  return undefined;
}

/** A broker closes the connection without a reason if TLS or a login is missing. */
function hintFor(text: string, { ssl, sasl }: KafkaConnection): string {
  if (text === "Closed connection") {
    const missing = [...ssl ? [] : ["KAFKA_SSL=true"], ...sasl === undefined ? ["a login (KAFKA_USERNAME)"] : []];
    return missing.length === 0 ? "" : ` (does it need ${missing.join(" or ")}?)`;
  }
  return ssl && NO_TLS.test(text) ? " (does this port speak TLS? KAFKA_SSL is true)" : "";
}
