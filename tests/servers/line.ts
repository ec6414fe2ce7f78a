// A line between two programs: accepts connections and hands their bytes on. How they are handed on is left to whoever extends it.

/** Open until it is disposed of. */
export abstract class Line implements AsyncDisposable {
  /** Connections so far. */
  connections = 0;
  /** Both ends of all connections. */
  readonly #open = new Set<Deno.Conn>();
  readonly #listener: Deno.TcpListener;
  readonly #work = new Set<Promise<void>>();

  /** Listens on a free port of this address. */
  constructor(hostname = "127.0.0.1") {
    this.#listener = Deno.listen({ hostname, port: 0 });
    this.track(this.#accept());
  }

  /** Where clients connect. */
  get port(): number {
    return this.#listener.addr.port;
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

  /** The server's port. */
  protected abstract get target(): number;

  /** Whether a connection that was accepted just now may live. */
  protected abstract admits(): boolean;

  /** Hands bytes on in both directions, each until an end is gone. */
  protected abstract pass(client: Deno.Conn, server: Deno.Conn): [toServer: Promise<void>, toClient: Promise<void>];

  /** The end waits for it. */
  protected track(work: Promise<void>): void {
    const done = work.finally(() => this.#work.delete(done));
    this.#work.add(done);
  }

  async #accept(): Promise<void> {
    try {
      for await (const client of this.#listener) {
        this.connections++;
        this.track(this.#join(client));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #join(client: Deno.Conn): Promise<void> {
    if (!this.admits()) return close(client);
    let server: Deno.Conn;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: this.target });
    } catch {
      return close(client);
    }
    const ends = [client, server];
    // it may have been cut meanwhile
    if (!this.admits()) ends.forEach(close);
    for (const conn of ends) this.#open.add(conn);
    const directions = this.pass(client, server);
    await Promise.race(directions);
    ends.forEach(close);
    await Promise.all(directions);
    for (const conn of ends) this.#open.delete(conn);
  }
}

/** Closes it, unless it is closed. */
export function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
