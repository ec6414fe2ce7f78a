// A WebSocket client (RFC 6455) on a plain TCP or TLS connection. The platform's own cannot be paused, hides why an upgrade
// was refused, holds any frame in memory, and keeps the socket of a silent peer open for ever; this one does none of that.

import { setImmediate } from "node:timers";
import { ConnectionError } from "../errors.ts";
import { type Connection, openTcp, openTls } from "./connection.ts";

/** How a connection ended. */
export interface Closed {
  /** The peer's close code; 1005 if it gave none, 1006 if the connection just broke. */
  readonly code: number;
  /** The peer's words, or what the system said. */
  readonly reason: string;
}

/** Bounds of one connection. */
export interface WebSocketLimits {
  /** Longer messages are skipped without being held in memory, bytes. */
  readonly maxMessageBytes: number;
  /** Until the upgrade must be answered, ms. */
  readonly handshakeMs: number;
}

/** Told what arrives. */
export interface WebSocketHandler {
  /** One whole message; binary ones are read as text too. */
  onMessage(text: string): void;
  /** A message above the limit was skipped. */
  onOversize(bytes: number): void;
  /** Awaited between two reads, if given a promise: the way to pause. The kernel then makes the peer wait. */
  relief(): Promise<void> | undefined;
}

const TEXT = 1, BINARY = 2, CONTINUATION = 0, CLOSE = 8, PING = 9, PONG = 10;
const READ_BYTES = 128 * 1024;
const MAX_HEAD_BYTES = 16 * 1024;
/** We say little: a peer with so much unread is gone or means harm, bytes. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** Until a goodbye must have left, ms. */
const FAREWELL_MS = 500;
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
// one character a byte: a head is searched by position
const headDecoder = new TextDecoder("latin1");

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One open connection. `receive()` may be called once; `terminate()` at any time. */
export class WebSocketClient {
  readonly #conn: Connection;
  readonly #maxMessageBytes: number;
  // what was read and not yet understood stands from #start to #end
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(READ_BYTES);
  #start = 0;
  #end = 0;
  // the message that is still incomplete: its parts, or, when it is above the limit, how much of it was skipped
  #parts: Uint8Array[] | undefined;
  #partBytes = 0;
  #skipped = 0;
  // of the frame that is being skipped
  #skipLeft = 0;
  #skipFinal = false;
  #closed: Closed | undefined;
  #terminated = false;
  #writes: Promise<void> = Promise.resolve();
  #unsent = 0;

  private constructor(conn: Connection, rest: Uint8Array, limits: WebSocketLimits) {
    this.#conn = conn;
    this.#maxMessageBytes = limits.maxMessageBytes;
    this.#buffer.set(rest);
    this.#end = rest.length;
  }

  /** Opens the socket and upgrades it. Throws a ConnectionError that says why not, or the signal's reason. */
  static async connect(url: string, limits: WebSocketLimits, signal: AbortSignal): Promise<WebSocketClient> {
    const { protocol, hostname, port, pathname, search, host } = new URL(url);
    const secure = protocol === "wss:";
    // URL keeps the brackets of an IPv6 address, connect wants it bare
    const address = hostname.replace(/^\[|\]$/g, "");
    const tooLate = AbortSignal.timeout(limits.handshakeMs);
    const stop = AbortSignal.any([signal, tooLate]);
    let conn: Connection | undefined;
    const abandon = () => conn && closeQuietly(conn);
    try {
      conn = secure
        ? await openTls(address, Number(port) || 443, stop)
        : await openTcp(address, Number(port) || 80, stop);
      stop.addEventListener("abort", abandon);
      stop.throwIfAborted();
      const rest = await upgrade(conn, host, pathname + search);
      stop.throwIfAborted();
      return new WebSocketClient(conn, rest, limits);
    } catch (error) {
      abandon();
      signal.throwIfAborted();
      if (tooLate.aborted) {
        throw new ConnectionError(`no answer within ${limits.handshakeMs / 1000} s`, { cause: error });
      }
      throw error instanceof ConnectionError ? error : new ConnectionError(wordsOf(error), { cause: error });
    } finally {
      stop.removeEventListener("abort", abandon);
    }
  }

  /** Hands on messages until the connection ends, however it ends. Never rejects, unless a handler throws. */
  async receive(handler: WebSocketHandler): Promise<Closed> {
    try {
      while (this.#closed === undefined) {
        this.#understand(handler);
        if (this.#closed !== undefined) break;
        const pause = handler.relief();
        if (pause !== undefined) await pause;
        await this.#read();
      }
      return this.#closed;
    } finally {
      // the answer to a goodbye must have left before the socket goes
      await this.#farewell();
      await this.#writes;
    }
  }

  /** Sends one text message. Failures show as the end of `receive()`. */
  send(text: string): void {
    this.#write(TEXT, encoder.encode(text));
  }

  /** Says goodbye and drops the connection: it does not wait for a peer that may be dead. */
  async close(): Promise<void> {
    this.#write(CLOSE, new Uint8Array([1000 >> 8, 1000 & 255]));
    await this.#farewell();
  }

  /** Drops the connection at once; `receive()` then ends with code 1006. */
  terminate(): void {
    if (this.#terminated) return;
    this.#terminated = true;
    closeQuietly(this.#conn);
  }

  /** Lets what was written leave, but not for long, and drops the connection. */
  async #farewell(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => timer = setTimeout(resolve, FAREWELL_MS));
    await Promise.race([this.#writes, patience]);
    clearTimeout(timer);
    this.terminate();
  }

  async #read(): Promise<void> {
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    if (this.#end === this.#buffer.length) {
      const larger = new Uint8Array(this.#buffer.length * 2);
      larger.set(this.#buffer);
      this.#buffer = larger;
    } else if (this.#end === 0 && this.#buffer.length > READ_BYTES) {
      this.#buffer = new Uint8Array(READ_BYTES);
    }
    try {
      const count = await this.#conn.read(this.#buffer.subarray(this.#end));
      if (count === null) {
        this.#closed ??= { code: 1006, reason: "connection ended without a goodbye" };
        return;
      }
      this.#end += count;
      // data that is there already is read without waiting: under a flood neither timers nor sinks would ever get their turn
      if (count > READ_BYTES / 2) await new Promise<void>((resolve) => setImmediate(resolve));
    } catch (error) {
      this.#closed ??= { code: 1006, reason: this.#terminated ? "dropped by us" : wordsOf(error) };
    }
  }

  /** Takes all whole frames out of the buffer. */
  #understand(handler: WebSocketHandler): void {
    while (this.#closed === undefined && !this.#terminated) {
      if (this.#skipLeft > 0 && !this.#skip(handler)) return;
      const buffer = this.#buffer, start = this.#start, there = this.#end - start;
      if (there < 2) return;
      const first = buffer[start] as number, second = buffer[start + 1] as number;
      const opcode = first & 15, final = (first & 128) !== 0;
      if ((first & 112) !== 0) return this.#fail("a frame with reserved bits");
      if ((second & 128) !== 0) return this.#fail("a masked frame, which only clients send");
      let length = second & 127, head = 2;
      if (length === 126) {
        head = 4;
        if (there < head) return;
        length = (buffer[start + 2] as number) << 8 | buffer[start + 3] as number;
      } else if (length === 127) {
        head = 10;
        if (there < head) return;
        length = Number(new DataView(buffer.buffer, start + 2, 8).getBigUint64(0));
        if (length > Number.MAX_SAFE_INTEGER) return this.#fail("a frame longer than any");
      }

      if ((opcode > BINARY && opcode < CLOSE) || opcode > PONG) return this.#fail(`an unknown frame type ${opcode}`);
      if (opcode >= CLOSE) {
        if (length > 125 || !final) return this.#fail("a control frame that is too long or cut");
        if (there < head + length) return;
        this.#start = start + head + length;
        this.#control(opcode, buffer.subarray(start + head, start + head + length));
        continue;
      }
      const inside = this.#parts !== undefined || this.#skipped > 0;
      if (inside !== (opcode === CONTINUATION)) return this.#fail("parts of messages out of order");

      if (this.#skipped > 0 || this.#partBytes + length > this.#maxMessageBytes) {
        this.#skipped += this.#partBytes + length;
        this.#parts = undefined;
        this.#partBytes = 0;
        this.#start = start + head;
        this.#skipLeft = length;
        this.#skipFinal = final;
        if (!this.#skip(handler)) return;
        continue;
      }
      if (there < head + length) return;
      const payload = buffer.subarray(start + head, start + head + length);
      this.#start = start + head + length;
      if (final && this.#parts === undefined) {
        handler.onMessage(decoder.decode(payload));
        continue;
      }
      // a copy, since the next read writes over the buffer
      this.#parts ??= [];
      if (length > 0) this.#parts.push(payload.slice());
      this.#partBytes += length;
      if (final) {
        const parts = this.#parts;
        this.#parts = undefined;
        this.#partBytes = 0;
        handler.onMessage(decoder.decode(joined(parts)));
      }
    }
  }

  /** Skips what is there of an oversized frame; true once it is over. */
  #skip(handler: WebSocketHandler): boolean {
    const count = Math.min(this.#skipLeft, this.#end - this.#start);
    this.#start += count;
    this.#skipLeft -= count;
    if (this.#skipLeft > 0) return false;
    if (this.#skipFinal) {
      handler.onOversize(this.#skipped);
      this.#skipped = 0;
    }
    return true;
  }

  #control(opcode: number, payload: Uint8Array): void {
    if (opcode === PING) return this.#write(PONG, payload);
    if (opcode !== CLOSE) return;
    const hasCode = payload.length >= 2;
    this.#write(CLOSE, payload.subarray(0, hasCode ? 2 : 0));
    this.#closed = hasCode
      ? { code: (payload[0] as number) << 8 | payload[1] as number, reason: decoder.decode(payload.subarray(2)) }
      : { code: 1005, reason: "" };
  }

  #fail(what: string): void {
    this.#write(CLOSE, new Uint8Array([1002 >> 8, 1002 & 255]));
    this.#closed = { code: 1006, reason: `the peer broke the protocol: ${what}` };
  }

  #write(opcode: number, payload: Uint8Array): void {
    const head = payload.length < 126 ? 2 : payload.length < 65536 ? 4 : 10;
    const frame = new Uint8Array(head + 4 + payload.length);
    const view = new DataView(frame.buffer);
    frame[0] = 128 | opcode;
    frame[1] = 128 | (head === 2 ? payload.length : head === 4 ? 126 : 127);
    if (head === 4) view.setUint16(2, payload.length);
    if (head === 10) view.setBigUint64(2, BigInt(payload.length));
    const mask = crypto.getRandomValues(frame.subarray(head, head + 4));
    for (let i = 0; i < payload.length; i++) {
      frame[head + 4 + i] = (payload[i] as number) ^ (mask[i & 3] as number);
    }
    this.#unsent += frame.length;
    if (this.#unsent > MAX_UNSENT_BYTES) {
      this.#closed ??= { code: 1006, reason: "the peer does not read what we send" };
      return this.terminate();
    }
    // one after the other, or the frames would mix
    this.#writes = this.#writes.then(() => writeAll(this.#conn, frame)).then(() => {
      this.#unsent -= frame.length;
    }, (error) => {
      this.#closed ??= { code: 1006, reason: this.#terminated ? "dropped by us" : wordsOf(error) };
    });
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function closeQuietly(conn: Connection): void {
  try {
    conn.close();
  } catch {
    // it is closed already
  }
}

async function writeAll(conn: Connection, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await conn.write(bytes.subarray(written));
}

/** Asks for the upgrade; resolves with the bytes that came behind the answer. */
async function upgrade(conn: Connection, host: string, path: string): Promise<Uint8Array> {
  const key = base64(crypto.getRandomValues(new Uint8Array(16)));
  await writeAll(
    conn,
    encoder.encode(
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: coinbase-producer\r\n\r\n`,
    ),
  );
  const bytes = new Uint8Array(MAX_HEAD_BYTES);
  let end = 0, head = -1;
  while (head < 0) {
    const count = end < bytes.length ? await conn.read(bytes.subarray(end)) : null;
    if (count === null) throw new ConnectionError("the server hung up, or did not answer as HTTP, during the upgrade");
    end += count;
    head = headDecoder.decode(bytes.subarray(0, end)).indexOf("\r\n\r\n");
  }
  const [first = "", ...lines] = headDecoder.decode(bytes.subarray(0, head)).split("\r\n");
  const [, status] = /^HTTP\/1\.[01] (\d{3}(?: [ -~]{0,100})?)/.exec(first) ?? [];
  if (status === undefined) throw new ConnectionError("the server did not answer as HTTP, during the upgrade");
  if (!status.startsWith("101")) throw new ConnectionError(`the upgrade was refused: ${status}`);
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  const digest = await crypto.subtle.digest("SHA-1", encoder.encode(key + ACCEPT_SUFFIX));
  if (headers.get("sec-websocket-accept") !== base64(new Uint8Array(digest))) {
    throw new ConnectionError("the upgrade was answered by something that is no WebSocket server");
  }
  return bytes.subarray(head + 4, end);
}
