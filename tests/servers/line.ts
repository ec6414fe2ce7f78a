// A proxy between two programs: accepts connections and forwards their bytes. Subclasses define how.

/** Listens until it is disposed of. */
export abstract class Line implements AsyncDisposable {
  /** How many connections there have been. */
  connections = 0;
  /** Both ends of every open connection. */
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

  /** Closes all connections. */
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

  /** Whether a new connection is accepted. */
  protected abstract admits(): boolean;

  /** Forwards bytes in both directions, each until one end is closed. */
  protected abstract pass(client: Deno.Conn, server: Deno.Conn): [toServer: Promise<void>, toClient: Promise<void>];

  /** Disposal waits for it. */
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
    // `cut()` may have closed the client meanwhile
    if (!this.admits()) ends.forEach(close);
    for (const conn of ends) this.#open.add(conn);
    const directions = this.pass(client, server);
    await Promise.race(directions);
    ends.forEach(close);
    await Promise.all(directions);
    for (const conn of ends) this.#open.delete(conn);
  }
}

/** Closes a connection unless it is closed already. */
export function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
