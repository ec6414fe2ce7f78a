// A line to the broker that can be spoilt: answers swallowed, requests cut in half. The broker must advertise the proxy's address.

import { writeAll } from "../../src/core/write_all.ts";
import { close, Line } from "../servers/line.ts";

/** How the line behaves: so many answers of a connection arrive, and then it is mute, or ends; or requests are cut. */
export type LineState = "whole" | "cut-requests" | { readonly answers: number; readonly then: "silence" | "end" };

/** Accepts connections and hands their bytes on to one address. */
export class Proxy extends Line {
  /** As it is. What flows on open connections follows it at once. */
  state: LineState = "whole";
  /** Bytes of answers that did not arrive. */
  swallowed = 0;
  #target = 0;

  /** Where bytes go; set it before the first connection. */
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
      // the half shall arrive before the end
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
    // the end of a line, which is what this is for
  }
}
