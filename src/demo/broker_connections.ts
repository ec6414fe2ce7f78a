// A switch in the connections to Kafka: while it is cut, open sockets are destroyed and new ones closed at once, so the
// sink sees failures of real sockets.

import type net from "node:net";

/** All sockets of a Kafka sink. */
export class BrokerConnections {
  readonly #open = new Set<net.Socket>();
  #isCut = false;

  get isCut(): boolean {
    return this.#isCut;
  }

  /** The Kafka sink's option of the same name. */
  readonly onSocket = (socket: net.Socket): void => {
    if (this.#isCut) return destroy(socket);
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
  };

  /** Cuts or restores the connections; returns how many sockets were destroyed. */
  set(isCut: boolean): number {
    this.#isCut = isCut;
    if (!isCut) return 0;
    const open = [...this.#open];
    // a second cut must not count them again, and their close events come later
    this.#open.clear();
    open.forEach(destroy);
    return open.length;
  }
}

function destroy(socket: net.Socket): void {
  socket.destroy(new Error("the demo has cut the connection to the broker"));
}
