// A line between a browser and the program that can be counted on and cut: each connection is passed on byte for byte, the requests
// on it are noted, and the whole line can be taken away and given back.

import { writeAll } from "../../src/core/write_all.ts";
import { freePorts } from "../servers/process.ts";

/** Passes connections on until it is disposed of. */
export class Relay implements AsyncDisposable {
  /** Where the browser goes. */
  readonly url: string;
  /** Request lines in order: `GET /api/status`. */
  readonly requests: string[] = [];
  readonly #port: number;
  readonly #target: { readonly hostname: string; readonly port: number };
  readonly #pairs = new Set<Pair>();
  #listener: Deno.TcpListener | undefined;
  #serving: Promise<void> = Promise.resolve();
  #silent = false;

  /** Stands before the server at this address. */
  constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#target = { hostname, port: Number(port) };
    this.#port = freePorts("port").port;
    this.url = `http://127.0.0.1:${this.#port}`;
    this.join();
  }

  /** How many requests for paths that begin so are open: asked, and their connection neither closed nor used for another. */
  open(path: string): number {
    return [...this.#pairs].filter(({ last }) => last.startsWith(`GET ${path}`)).length;
  }

  /** The line is gone: what is open breaks, and nothing new is taken. */
  async cut(): Promise<void> {
    this.#listener?.close();
    this.#listener = undefined;
    for (const pair of this.#pairs) pair.close();
    await this.#serving;
  }

  /** The line is back. */
  join(): void {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: this.#port });
    this.#serving = this.#accept(this.#listener);
  }

  /** Connections stay open and nothing more comes from the server: a machine asleep, or a router that forgot. */
  hush(on: boolean): void {
    this.#silent = on;
  }

  async #accept(listener: Deno.TcpListener): Promise<void> {
    const serving: Promise<void>[] = [];
    for await (const conn of listener) serving.push(this.#serve(conn));
    await Promise.all(serving);
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect(this.#target);
    } catch {
      client.close();
      return;
    }
    const pair = new Pair(client, server);
    this.#pairs.add(pair);
    const decoder = new TextDecoder();
    await Promise.all([
      pump(client, server, (bytes) => {
        const line = /^([A-Z]+ \S+) HTTP\/1\.1\r\n/.exec(decoder.decode(bytes.subarray(0, 2000)))?.[1];
        if (line === undefined) return;
        this.requests.push(line);
        pair.last = line;
      }),
      pump(server, client, async () => {
        while (this.#silent && pair.whole) await new Promise((done) => setTimeout(done, 20));
      }),
    ].map((each) => each.finally(() => pair.close())));
    this.#pairs.delete(pair);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#silent = false;
    await this.cut();
  }
}

class Pair {
  last = "";
  whole = true;
  readonly #ends: readonly Deno.TcpConn[];

  constructor(...ends: readonly Deno.TcpConn[]) {
    this.#ends = ends;
  }

  close(): void {
    if (!this.whole) return;
    this.whole = false;
    for (const end of this.#ends) end.close();
  }
}

/** Until one end is gone; whose fault that is does not matter here. */
async function pump(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  look: (bytes: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    while (true) {
      const length = await from.read(buffer);
      if (length === null) return;
      const bytes = buffer.subarray(0, length);
      await look(bytes);
      await writeAll(to, bytes);
    }
  } catch {
    return;
  }
}
