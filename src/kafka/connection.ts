// How Kafka is reached: the settings of a connection, and kafkajs clients whose sockets can be closed at any moment. kafkajs
// alone would wait for the responses to its requests, and reconnect although the client is closed.

import net from "node:net";
import tls from "node:tls";
import type kafkajs from "kafkajs";
import { patchKafkajs } from "./kafkajs_internals.ts";

/** Where Kafka is, and how to log in. */
export interface KafkaConnection {
  /** `host:port` each. */
  readonly brokers: readonly string[];
  /** Whether connections use TLS. */
  readonly ssl: boolean;
  /** Used with TLS; undefined: the well-known authorities, and no client certificate. */
  readonly certificates?: Certificates | undefined;
  /** Undefined: no login. */
  readonly sasl?: KafkaLogin | undefined;
}

/** Texts in PEM format. */
export interface Certificates {
  /** Authorities to trust instead of the well-known ones. */
  readonly ca?: string;
  /** Our client certificate, if the broker requires one. */
  readonly cert?: string;
  /** The private key of `cert`. */
  readonly key?: string;
}

/** A login. */
export interface KafkaLogin {
  /** The SASL mechanism. */
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  /** User name or API key. */
  readonly username: string;
  /** Password or API secret. */
  readonly password: string;
}

/** The broker's `host:port` as kafkajs gets it: kafkajs would cut an IPv6 address at its first colon. */
export function kafkajsNameOf(broker: string): string {
  return broker.replace(/^\[(.+)\]/, (_, address: string) => address.replaceAll(":", "-"));
}

/** A kafkajs client that makes no retries. */
export class KafkaClient {
  /** Creates producers and admin clients. */
  readonly kafka: kafkajs.Kafka;
  readonly #open = new Set<net.Socket>();
  #isClosed = false;

  private constructor(kafka: kafkajs.Kafka) {
    this.kafka = kafka;
  }

  /**
   * Connects to nothing yet. The first broker is tried first.
   *
   * @param onSocket called with each socket before it is connected
   */
  static async create(
    { brokers, ssl, certificates, sasl }: KafkaConnection,
    options: Omit<kafkajs.KafkaConfig, "brokers">,
    onSocket: (socket: net.Socket) => void = () => {},
  ): Promise<KafkaClient> {
    await patchKafkajs();
    // named imports of its values type-check, but are missing at run time
    const { default: { Kafka } } = await import("kafkajs");
    const addresses = new Map(
      brokers.map((broker) => [kafkajsNameOf(broker), broker.replace(/:\d+$/, "").replace(/^\[(.+)\]$/, "$1")]),
    );
    // kafkajs may try to connect after the client was closed
    const connect = ({ host: name, port, ssl, onConnect }: kafkajs.ISocketFactoryArgs): net.Socket => {
      if (client.#isClosed) throw new Error(CLIENT_CLOSED);
      const host = addresses.get(`${name}:${port}`) ?? name;
      const servername = net.isIP(host) === 0 ? { servername: host } : {};
      const socket = ssl
        ? tls.connect({ host, port, ...servername, ...ssl }, onConnect)
        : net.connect({ host, port }, onConnect);
      client.#open.add(socket);
      socket.once("close", () => client.#open.delete(socket));
      onSocket(socket);
      return socket;
    };
    const client = new KafkaClient(
      new Kafka({
        brokers: [...addresses.keys()],
        retry: { retries: 0 },
        ssl: ssl && certificates !== undefined ? { ...certificates } : ssl,
        // kafkajs modifies this object
        ...(sasl === undefined ? {} : { sasl: { ...sasl } as kafkajs.SASLOptions }),
        socketFactory: connect,
        ...options,
      }),
    );
    return client;
  }

  /** Requests on their way fail now, and no new socket is opened; resolves when all are closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const closed = [...this.#open].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of this.#open) socket.destroy(new Error(CLIENT_CLOSED));
    await Promise.all(closed);
  }
}

/** The error of everything that a closed client interrupts. */
export const CLIENT_CLOSED = "The client was closed";
