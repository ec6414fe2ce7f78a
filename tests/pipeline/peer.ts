// The other end of a WebSocket as bytes: a TCP server that does what a test tells it, right or wrong.

import "../fakes/checked_worker.ts";
import { writeAll } from "../../src/core/write_all.ts";
import { mayListen } from "../simulator/client.ts";

export { mayListen, until } from "../simulator/client.ts";

/** True when a test may open our own connections: their thread is started from a file. */
export const mayConnect: boolean = mayListen &&
  Deno.permissions.querySync({ name: "read", path: new URL("../../src", import.meta.url) }).state === "granted";

/** Fails, naming it, when the promise takes too long. */
export async function within<T>(what: string, promise: Promise<T>, ms = 60_000): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${ms} ms in vain until ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const encoder = new TextEncoder();

/** Frame types. */
export const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10] as const;

/** How a frame differs from an ordinary one. */
export interface FrameOptions {
  /** Default true. */
  readonly final?: boolean;
  /** Reserved bits, 0 to 7. */
  readonly reserved?: number;
  /** As only clients may. */
  readonly masked?: boolean;
  /** What the head says, when that is not the truth. */
  readonly length?: bigint;
}

/** The bytes of a server's frame. */
export function frame(opcode: number, payload: string | Uint8Array = "", options: FrameOptions = {}): Uint8Array {
  const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
  const length = options.length ?? BigInt(bytes.length);
  const head = length < 126n ? 2 : length < 65_536n ? 4 : 10;
  const mask = options.masked === true ? 4 : 0;
  const whole = new Uint8Array(head + mask + bytes.length);
  const view = new DataView(whole.buffer);
  whole[0] = (options.final === false ? 0 : 128) | (options.reserved ?? 0) << 4 | opcode;
  whole[1] = (mask > 0 ? 128 : 0) | (head === 2 ? Number(length) : head === 4 ? 126 : 127);
  if (head === 4) view.setUint16(2, Number(length));
  if (head === 10) view.setBigUint64(2, length);
  whole.set(bytes, head + mask);
  return whole;
}

/** The bytes of a Close. */
export function closeFrame(code: number, reason = ""): Uint8Array {
  const payload = encoder.encode(`xx${reason}`);
  new DataView(payload.buffer).setUint16(0, code);
  return frame(CLOSE, payload);
}

/** One after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** A frame that a client sent. */
export interface ClientFrame {
  readonly opcode: number;
  readonly masked: boolean;
  readonly payload: Uint8Array;
}

/** One accepted connection. */
export class Line implements Disposable {
  readonly conn: Deno.TcpConn;
  #buffer = new Uint8Array(0);

  constructor(conn: Deno.TcpConn) {
    this.conn = conn;
    conn.setNoDelay(true);
  }

  /** Writes all of it. */
  async send(bytes: Uint8Array | string): Promise<void> {
    await writeAll(this.conn, typeof bytes === "string" ? encoder.encode(bytes) : bytes);
  }

  /** Reads some more; false at the end of the connection. */
  async #more(): Promise<boolean> {
    const chunk = new Uint8Array(65_536);
    let count: number | null;
    try {
      count = await this.conn.read(chunk);
    } catch {
      return false;
    }
    if (count === null) return false;
    this.#buffer = concat(this.#buffer, chunk.subarray(0, count)) as Uint8Array<ArrayBuffer>;
    return true;
  }

  /** The head of the client's request. */
  async request(): Promise<string> {
    while (true) {
      const text = new TextDecoder("latin1").decode(this.#buffer);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.#buffer = this.#buffer.slice(end + 4);
        return text.slice(0, end);
      }
      if (!await this.#more()) throw new Error("The client hung up before its request was whole");
    }
  }

  /** The next frame, or undefined at the end of the connection. */
  async frame(): Promise<ClientFrame | undefined> {
    while (true) {
      const data = this.#buffer;
      if (data.length >= 2) {
        const [first = 0, second = 0] = data;
        const short = second & 127, masked = (second & 128) !== 0;
        const head = (short < 126 ? 2 : short === 126 ? 4 : 10) + (masked ? 4 : 0);
        if (data.length >= head) {
          const view = new DataView(data.buffer, data.byteOffset);
          const length = short < 126 ? short : short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
          if (data.length >= head + length) {
            const payload = data.slice(head, head + length);
            if (masked) {
              for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (data[head - 4 + i % 4] ?? 0);
            }
            this.#buffer = data.slice(head + length);
            return { opcode: first & 15, masked, payload };
          }
        }
      }
      if (!await this.#more()) return undefined;
    }
  }

  /** Resolves when the client has closed the connection. */
  async ended(): Promise<void> {
    this.#buffer = new Uint8Array(0);
    while (await this.#more()) this.#buffer = new Uint8Array(0);
  }

  [Symbol.dispose](): void {
    try {
      this.conn.close();
    } catch {
      // closed already
    }
  }
}

/** The answer to an upgrade request. */
export async function upgradeAnswer(request: string, headers = ""): Promise<string> {
  const key = /^sec-websocket-key: (\S+)$/mi.exec(request)?.[1] ?? "";
  const digest = await crypto.subtle.digest("SHA-1", encoder.encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`));
  const accept = btoa(String.fromCharCode(...new Uint8Array(digest)));
  return `HTTP/1.1 101 Switching Protocols\r\n${headers}Upgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

/** A TCP server that hands over its connections one by one. */
export class Peer implements Disposable {
  readonly #listener: Deno.TcpListener;
  readonly #host: string;
  readonly #lines: Line[] = [];

  constructor(hostname = "127.0.0.1") {
    this.#listener = Deno.listen({ hostname, port: 0 });
    this.#host = hostname.includes(":") ? `[${hostname}]` : hostname;
  }

  /** Where it listens. */
  get url(): string {
    return `ws://${this.#host}:${this.#listener.addr.port}`;
  }

  /** The next connection, not yet upgraded. */
  async accept(): Promise<Line> {
    const line = new Line(await this.#listener.accept());
    this.#lines.push(line);
    return line;
  }

  /** The next connection, upgraded. */
  async upgrade(): Promise<Line> {
    const line = await this.accept();
    await line.send(await upgradeAnswer(await line.request()));
    return line;
  }

  /** Takes no more connections; those that are open stay. */
  stopListening(): void {
    try {
      this.#listener.close();
    } catch {
      // closed already
    }
  }

  /** Closes all connections. */
  drop(): void {
    for (const line of this.#lines.splice(0)) line[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.drop();
    this.stopListening();
  }
}
