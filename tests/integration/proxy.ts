// A proxy to the broker that can swallow responses or cut requests in half. The broker must advertise the proxy's address.

import { writeAll } from "../../src/core/write_all.ts";
import { close, Line } from "../servers/line.ts";

/** What the proxy does; an object lets only this many responses of a connection pass, and then is silent or closes it. */
export type LineState = "whole" | "cut-requests" | { readonly answers: number; readonly then: "silence" | "end" };

/** Forwards connections to one address. */
export class Proxy extends Line {
  /** Takes effect at once, also for open connections. */
  state: LineState = "whole";
  /** Bytes of responses that were not forwarded. */
  swallowed = 0;
  #target = 0;

  /** The broker's port; set it before the first connection. */
  override set target(port: number) {
    this.#target = port;
  }

  override get target(): number {
    return this.#target;
  }

  protected override admits(): boolean {
    return true;
  }

  protected override pass(client: Deno.Conn, broker: Deno.Conn): [Promise<void>, Promise<void>] {
    let answers = 0;
    const toBroker = pump(client, broker, (bytes) => {
      if (this.state !== "cut-requests") return bytes;
      // the first half must arrive before the connection ends
      this.track(new Promise<void>((done) => setTimeout(done, 50)).then(() => close(broker)));
      return bytes.subarray(0, bytes.length >> 1);
    });
    const toClient = pump(broker, client, (bytes) => {
      if (typeof this.state === "string" || answers++ < this.state.answers) return bytes;
      this.swallowed += bytes.length;
      if (this.state.then === "end") close(client);
      return undefined;
    });
    return [toBroker, toClient];
  }
}

async function pump(
  from: Deno.Conn,
  to: Deno.Conn,
  pass: (bytes: Uint8Array) => Uint8Array | undefined,
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (let read = await from.read(buffer); read !== null; read = await from.read(buffer)) {
      const bytes = pass(buffer.subarray(0, read));
      if (bytes !== undefined) await writeAll(to, bytes);
    }
  } catch {
    // a closed connection is expected here
  }
}
