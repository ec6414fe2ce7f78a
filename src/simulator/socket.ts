// The server side of one WebSocket (RFC 6455) on a TCP connection. Written by hand because the platform's cannot misbehave
// as exchanges and networks do: close with any code, break in the middle of a frame, or stop answering.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Socket } from "node:net";

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** Longer messages are answered as Coinbase does, with "Message too big"; it does not publish its limit. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** How long a closing socket may take to send its queue and receive the client's Close. */
const CLOSE_WITHIN_MS = 5000;
/** Close codes that mean "no Close frame was received": they cannot be sent. */
const UNSENDABLE_CODES: readonly number[] = [1005, 1006, 1015];

const NOTHING = Buffer.alloc(0);
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The client violated the protocol. */
class ProtocolError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** The value of `Sec-WebSocket-Accept` for a client's key. */
export function acceptKey(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

function encodeFrame(opcode: number, payload: string | Uint8Array): Buffer {
  const length = Buffer.byteLength(payload);
  const headerBytes = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headerBytes + length);
  frame[0] = 0x80 | opcode;
  frame[1] = headerBytes === 2 ? length : headerBytes === 4 ? 126 : 127;
  if (headerBytes === 4) frame.writeUInt16BE(length, 2);
  if (headerBytes === 10) frame.writeBigUInt64BE(BigInt(length), 2);
  if (typeof payload === "string") frame.write(payload, headerBytes);
  else frame.set(payload, headerBytes);
  return frame;
}

/** An accepted WebSocket. It owns the connection and closes it. */
export class ServerSocket {
  /** Its close code once it is closing or closed, 1006 if the connection broke. */
  code: number | undefined;
  /** Frames not yet handed to the kernel. */
  unsentFrames = 0;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #onText: (text: string) => void;
  #received: Buffer = NOTHING;
  /** The fragments of a message whose end has not arrived. */
  #fragments: Buffer[] = [];
  #isText = true;
  #queue: Buffer[] = [];
  #isHushed = false;
  /** Code of the client's Close that was not answered while hushed. */
  #unanswered: number | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, onText: (text: string) => void) {
    this.#socket = socket;
    this.#onText = onText;
    this.closed = new Promise((resolve) =>
      socket.once("close", () => {
        this.code ??= 1006;
        clearTimeout(this.#closeTimer);
        resolve();
      })
    );
    socket.setNoDelay(true);
    // "close" follows
    socket.on("error", () => {});
    socket.on("end", () => this.drop());
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
  }

  get isOpen(): boolean {
    return this.code === undefined;
  }

  /** While hushed it answers neither Ping nor Close, like a peer whose machine is down. */
  hush(on: boolean): void {
    this.#isHushed = on;
    if (!on && this.#unanswered !== undefined) this.#answerClose(this.#unanswered);
  }

  /** Sends one frame, text or binary; false if the socket is not open. */
  send(payload: string | Uint8Array): boolean {
    if (!this.isOpen) return false;
    this.#write(encodeFrame(typeof payload === "string" ? TEXT : BINARY, payload));
    return true;
  }

  /** Sends the header of a text frame and half its payload, then cuts the connection. */
  breakOff(text: string): boolean {
    if (!this.isOpen) return false;
    const frame = encodeFrame(TEXT, text);
    this.#write(frame.subarray(0, frame.length - Math.ceil(Buffer.byteLength(text) / 2)));
    this.code = 1006;
    this.#cutWhenSent();
    return true;
  }

  /** Sends a Close after what is queued. Codes that cannot be sent (1005, 1006, 1015) cut the connection. */
  close(code: number, reason = ""): void {
    if (!this.isOpen) return;
    if (UNSENDABLE_CODES.includes(code)) return this.drop();
    const payload = Buffer.from(`xx${reason}`);
    payload.writeUInt16BE(code);
    this.#write(encodeFrame(CLOSE, payload));
    this.code = code;
    this.#closeTimer = setTimeout(() => this.drop(), CLOSE_WITHIN_MS);
  }

  /** Cuts the connection at once. What was queued is lost. */
  drop(): void {
    this.code ??= 1006;
    this.#socket.destroy();
  }

  #cutWhenSent(): void {
    this.#flush();
    this.#closeTimer ??= setTimeout(() => this.drop(), CLOSE_WITHIN_MS);
    this.#socket.destroySoon();
  }

  #answerClose(code: number): void {
    this.close(code === 1005 ? 1000 : code);
    this.#cutWhenSent();
  }

  /** The frames of one turn go out in one write. */
  #write(frame: Buffer): void {
    this.unsentFrames++;
    if (this.#queue.push(frame) === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const frames = this.#queue;
    if (frames.length === 0 || this.#socket.destroyed) return;
    this.#queue = [];
    this.#socket.write(Buffer.concat(frames), () => this.unsentFrames -= frames.length);
  }

  #read(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    try {
      while (this.#readFrame());
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#received = NOTHING;
      this.close(error.code, error.message);
      this.#cutWhenSent();
    }
  }

  /** Takes one frame from what was received; false if it is not complete. */
  #readFrame(): boolean {
    const bytes = this.#received;
    if (bytes.length < 2) return false;
    const [first = 0, second = 0] = bytes;
    if ((second & 0x80) === 0) throw new ProtocolError(1002, "frame is not masked");
    if ((first & 0x70) !== 0) throw new ProtocolError(1002, "reserved bits are set");
    const short = second & 0x7f;
    const maskAt = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < maskAt + 4) return false;
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (length > MAX_MESSAGE_BYTES) throw new ProtocolError(1009, "Message too big");
    const end = maskAt + 4 + length;
    if (bytes.length < end) return false;
    this.#received = bytes.subarray(end);
    const payload = bytes.subarray(maskAt + 4, end);
    for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (bytes[maskAt + (i & 3)] ?? 0);
    this.#take(first & 0x0f, (first & 0x80) !== 0, payload);
    return true;
  }

  #take(opcode: number, isFinal: boolean, payload: Buffer): void {
    if (opcode === PING) {
      if (!this.#isHushed && this.isOpen) this.#write(encodeFrame(PONG, payload));
    } else if (opcode === CLOSE) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      if (this.#isHushed && this.isOpen) this.#unanswered = code;
      else this.#answerClose(code);
    } else if (opcode === CONTINUATION || opcode === TEXT || opcode === BINARY) {
      if (opcode !== CONTINUATION) this.#isText = opcode === TEXT;
      this.#fragments.push(payload);
      const message = Buffer.concat(this.#fragments);
      if (message.length > MAX_MESSAGE_BYTES) throw new ProtocolError(1009, "Message too big");
      if (!isFinal) return;
      this.#fragments = [];
      this.#onText(this.#isText ? decodeText(message) : "");
    } else if (opcode !== PONG) throw new ProtocolError(1002, "unknown frame");
  }
}

function decodeText(bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError(1007, "not UTF-8");
  }
}
