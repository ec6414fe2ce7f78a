// The sockets under a kafkajs client, so that it can be left at any moment: kafkajs alone would wait for the answers to what is on
// its way, and connect again although nobody wants it any more.

import net from "node:net";
import tls from "node:tls";
import type kafkajs from "kafkajs";

/** All sockets of one client. */
export class KafkaSockets {
  readonly #open = new Set<net.Socket>();
  /** Names that stand in for IPv6 addresses, which kafkajs would cut at their first colon. */
  readonly #addresses = new Map<string, string>();
  readonly #onSocket: (socket: net.Socket) => void;
  #isLeft = false;

  /**
   * None is open.
   * @param onSocket told of each before it is connected
   */
  constructor(onSocket: (socket: net.Socket) => void = () => {}) {
    this.#onSocket = onSocket;
  }

  /** The broker, `host:port`, as kafkajs must be told of it. */
  nameOf(broker: string): string {
    const [, address, port] = /^\[(.+)\]:(\d+)$/.exec(broker) ?? [];
    if (address === undefined) return broker;
    const name = address.replaceAll(":", "-");
    this.#addresses.set(name, address);
    return `${name}:${port}`;
  }

  /** kafkajs's `socketFactory`. Throws once the client was left: kafkajs does not ask whether anybody still wants it. */
  readonly factory = ({ host: name, port, ssl, onConnect }: kafkajs.ISocketFactoryArgs): net.Socket => {
    if (this.#isLeft) throw new Error("The client was left");
    const host = this.#addresses.get(name) ?? name;
    const servername = net.isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl
      ? tls.connect({ host, port, ...servername, ...ssl }, onConnect)
      : net.connect({ host, port }, onConnect);
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    this.#onSocket(socket);
    return socket;
  };

  /** What is on its way fails now, and none is opened any more; resolves when all are closed. */
  async leave(): Promise<void> {
    this.#isLeft = true;
    const closed = [...this.#open].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of this.#open) socket.destroy(new Error("The client was left"));
    await Promise.all(closed);
  }
}
