// A line to the broker that can be spoilt: answers swallowed, requests cut in half. The broker must advertise the proxy's address.

/** How the line behaves: so many answers of a connection arrive, and then it is mute, or ends; or requests are cut. */
export type LineState = "whole" | "cut-requests" | { readonly answers: number; readonly then: "silence" | "end" };

/** Accepts connections and hands their bytes on to one address. */
export class Proxy implements AsyncDisposable {
  /** As it is. What flows on open connections follows it at once. */
  state: LineState = "whole";
  /** Connections so far. */
  connections = 0;
  /** Bytes of answers that did not arrive. */
  swallowed = 0;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.Conn>();
  readonly #work = new Set<Promise<void>>();
  #target = 0;

  /** Listens on a free port of this address. */
  constructor(hostname = "127.0.0.1") {
    this.#listener = Deno.listen({ hostname, port: 0 });
    this.#track(this.#accept());
  }

  /** Where clients connect. */
  get port(): number {
    return this.#listener.addr.port;
  }

  /** Where bytes go; set it before the first connection. */
  set target(port: number) {
    this.#target = port;
  }

  /** Ends all connections. */
  cut(): void {
    for (const conn of this.#open) close(conn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #track(work: Promise<void>): void {
    const done = work.finally(() => this.#work.delete(done));
    this.#work.add(done);
  }

  async #accept(): Promise<void> {
    try {
      for await (const client of this.#listener) {
        this.connections++;
        this.#track(this.#join(client));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #join(client: Deno.Conn): Promise<void> {
    let broker: Deno.Conn;
    try {
      broker = await Deno.connect({ hostname: "127.0.0.1", port: this.#target });
    } catch {
      return close(client);
    }
    for (const conn of [client, broker]) this.#open.add(conn);
    let answers = 0;
    const toBroker = pump(client, broker, (bytes) => {
      if (this.state !== "cut-requests") return bytes;
      // the half shall arrive before the end
      this.#track(new Promise<void>((done) => setTimeout(done, 50)).then(() => close(broker)));
      return bytes.subarray(0, bytes.length >> 1);
    });
    const toClient = pump(broker, client, (bytes) => {
      if (typeof this.state === "string" || answers++ < this.state.answers) return bytes;
      this.swallowed += bytes.length;
      if (this.state.then === "end") close(client);
      return undefined;
    });
    await Promise.race([toBroker, toClient]);
    for (const conn of [client, broker]) close(conn);
    await Promise.all([toBroker, toClient]);
    for (const conn of [client, broker]) this.#open.delete(conn);
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
      if (bytes === undefined) continue;
      for (let written = 0; written < bytes.length;) written += await to.write(bytes.subarray(written));
    }
  } catch {
    // the end of a line, which is what this is for
  }
}

function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
