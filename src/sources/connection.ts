// Opens the connection under a WebSocket so that it can be given up at any moment and leaves nothing behind: plain or TLS.

import { isIP } from "node:net";
import tls from "node:tls";
import { ConnectionError } from "../errors.ts";

/** What is used of a socket. */
export type Connection = Pick<Deno.Conn, "read" | "write" | "close">;

/** What TLS says (Deno 2.9.6) when the answer is something else. */
const NO_TLS = /InvalidContentType|wrong version number/;

/** Until a connect that nobody wants any more is abandoned, ms. */
const ABANDON_MS = 250;

/**
 * Deno 2.9.6 loses a socket for good that is ready in the very moment in which its signal aborts. So an attempt that is
 * under way is given time to succeed, and then its socket can be closed; only after that it is abandoned.
 */
export async function openTcp(hostname: string, port: number, signal: AbortSignal): Promise<Deno.TcpConn> {
  signal.throwIfAborted();
  const abandon = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onAbort = () => timer = setTimeout(() => abandon.abort(signal.reason), ABANDON_MS);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const conn = await Deno.connect({ hostname, port, signal: abandon.signal });
    conn.setNoDelay(true);
    return conn;
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }
}

/**
 * TLS by node:tls, since Deno.startTls (2.9.6) keeps the socket of a handshake that hangs for as long as the peer likes, and
 * this one can be destroyed at any moment.
 */
class TlsConnection implements Connection {
  readonly #socket: tls.TLSSocket;
  #wake: () => void = () => {};
  #error: Error | undefined;

  constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    socket.on("readable", () => this.#wake());
    socket.on("end", () => this.#wake());
    socket.on("close", () => this.#wake());
    socket.on("error", (error: Error) => {
      this.#error = error;
      this.#wake();
    });
  }

  async read(bytes: Uint8Array): Promise<number | null> {
    while (true) {
      const { readableLength } = this.#socket;
      const chunk = readableLength > 0 ? this.#socket.read(Math.min(readableLength, bytes.length)) : null;
      if (chunk !== null) {
        bytes.set(chunk);
        return chunk.length;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#socket.readableEnded || this.#socket.destroyed) return null;
      // asks for more, and lets the end show
      this.#socket.read(0);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A TLS connection to a server whose certificate is good for this name. Rejects with why not, or with the signal's reason. */
export async function openTls(host: string, port: number, signal: AbortSignal): Promise<Connection> {
  signal.throwIfAborted();
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = tls.connect({ host, port, ...servername, ALPNProtocols: ["http/1.1"] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  socket.once("secureConnect", resolve);
  socket.once("error", reject);
  socket.once("close", () => reject(new ConnectionError("the server hung up during the TLS handshake")));
  try {
    await promise;
    socket.setNoDelay(true);
    return new TlsConnection(socket);
  } catch (error) {
    // its last words have been heard
    socket.on("error", () => {});
    socket.destroy();
    if (error instanceof Error && NO_TLS.test(error.message)) {
      throw new ConnectionError(
        `the server does not speak TLS (does its address begin with ws:// and not wss://?): ${error.message}`,
        { cause: error },
      );
    }
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
