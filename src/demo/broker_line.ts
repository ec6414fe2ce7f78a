// The line to Kafka, with a switch in it: cut, all open sockets are destroyed and new ones do not live. What the sink
// sees then are failures of real sockets.

import type net from "node:net";

/** All sockets of a Kafka sink. */
export class BrokerLine {
  readonly #open = new Set<net.Socket>();
  #isCut = false;

  /** Nothing passes. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** For the sink's option of this name. */
  readonly onSocket = (socket: net.Socket): void => {
    if (this.#isCut) return cut(socket);
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
  };

  /** Cuts or mends the line; answers with how many sockets that has cost. */
  set(isCut: boolean): number {
    this.#isCut = isCut;
    if (!isCut) return 0;
    const open = [...this.#open];
    this.#open.clear();
    for (const socket of open) cut(socket);
    return open.length;
  }
}

function cut(socket: net.Socket): void {
  socket.destroy(new Error("the demo has cut the line to the broker"));
}
