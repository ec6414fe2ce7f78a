// The server side of one WebSocket (RFC 6455) on a TCP connection. Written here because the platform's cannot misbehave
// as exchanges and networks do: close with 1001 or 1012, break in the middle of a frame, or stop answering.

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** Longer messages are answered as Coinbase does, with "Message too big"; it does not publish its limit. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** How long a closing socket may take to send its queue and receive the other side's Close. */
const CLOSE_WITHIN_MS = 5000;
const SMALL_BUFFER = 64 * 1024;
const BIG_BUFFER = 1024 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A frame that violates the protocol, with the close code for it. */
class BadFrame extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
    this.name = "BadFrame";
  }
}

function headerBytes(payload: number): number {
  return payload < 126 ? 2 : payload < 65_536 ? 4 : 10;
}

function writeHeader(target: Uint8Array, at: number, opcode: number, payload: number): number {
  target[at] = 0x80 | opcode;
  const size = headerBytes(payload);
  if (size === 2) target[at + 1] = payload;
  else {
    const view = new DataView(target.buffer, target.byteOffset + at + 2);
    target[at + 1] = size === 4 ? 126 : 127;
    if (size === 4) view.setUint16(0, payload);
    else view.setBigUint64(0, BigInt(payload));
  }
  return at + size;
}

/** The value of `Sec-WebSocket-Accept` for a client's key. */
export async function acceptKey(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", encoder.encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`));
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

/** Closes a connection, also one that is closed already. */
export function cut(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** An accepted WebSocket. It owns the connection and closes it. */
export class ServerSocket {
  readonly #conn: Deno.Conn;
  #in: Uint8Array;
  #inUsed: number;
  #out = new Uint8Array(SMALL_BUFFER);
  #outUsed = 0;
  #spare = new Uint8Array(SMALL_BUFFER);
  #inFlight = 0;
  #exempt = 0;
  #writing = false;
  #writer: Promise<void> = Promise.resolve();
  #state: "open" | "closing" | "closed" = "open";
  #code: number | undefined;
  #closeBy = Infinity;
  #cutAfterWrite = false;
  #hushed = false;
  #unanswered: number | undefined;

  /** `rest`: bytes already received after the handshake. */
  constructor(conn: Deno.Conn, rest: Uint8Array) {
    this.#conn = conn;
    this.#in = new Uint8Array(Math.max(4096, rest.length));
    this.#in.set(rest);
    this.#inUsed = rest.length;
  }

  /** Whether frames can still be sent. */
  get open(): boolean {
    return this.#state === "open";
  }

  /** Its close code, 1006 if the connection broke; undefined while open. */
  get code(): number | undefined {
    return this.#code;
  }

  /** Bytes not yet handed to the kernel, without those sent as `exempt`. */
  get queuedBytes(): number {
    return Math.max(0, this.#outUsed + this.#inFlight - this.#exempt);
  }

  /** While hushed it answers neither Ping nor Close, like a peer whose machine is down. */
  hush(on: boolean): void {
    this.#hushed = on;
    if (!on && this.#unanswered !== undefined) this.close(this.#unanswered);
  }

  /** Sends one text frame; false if the socket is not open. */
  sendText(text: string): boolean {
    if (this.#state !== "open") return false;
    this.#reserve(text.length * 3 + 10);
    const guess = headerBytes(text.length);
    const { written } = encoder.encodeInto(text, this.#out.subarray(this.#outUsed + guess));
    const size = headerBytes(written);
    if (size !== guess) {
      const from = this.#outUsed + guess;
      this.#out.copyWithin(this.#outUsed + size, from, from + written);
    }
    this.#outUsed = writeHeader(this.#out, this.#outUsed, TEXT, written) + written;
    this.#startWriting();
    return true;
  }

  /** Sends one frame of binary or encoded text; `exempt` bytes do not count as queued. */
  sendBytes(payload: Uint8Array, options: { text?: boolean; exempt?: boolean } = {}): boolean {
    if (this.#state !== "open") return false;
    const before = this.#outUsed;
    this.#frame(options.text === true ? TEXT : BINARY, payload);
    if (options.exempt === true) this.#exempt += this.#outUsed - before;
    return true;
  }

  /** Sends the header of a text frame and half its payload, then cuts the connection. */
  breakOff(text: string): boolean {
    if (this.#state !== "open") return false;
    const payload = encoder.encode(text);
    const half = payload.subarray(0, payload.length >> 1);
    this.#reserve(payload.length + 10);
    const at = writeHeader(this.#out, this.#outUsed, TEXT, payload.length);
    this.#out.set(half, at);
    this.#outUsed = at + half.length;
    this.#state = "closing";
    this.#code = 1006;
    this.#cutAfterWrite = true;
    this.#closeBy = performance.now() + CLOSE_WITHIN_MS;
    this.#startWriting();
    return true;
  }

  /** Sends a Close after what is queued. Codes that mean "no Close received" (1005, 1006, 1015) cut the connection. */
  close(code: number, reason = ""): void {
    if (this.#state !== "open") return;
    if (code === 1005 || code === 1006 || code === 1015) return this.drop();
    this.#state = "closing";
    this.#code = code;
    this.#closeBy = performance.now() + CLOSE_WITHIN_MS;
    const payload = encoder.encode(`xx${reason}`);
    new DataView(payload.buffer).setUint16(0, code);
    this.#frame(CLOSE, payload);
  }

  /** Cuts the connection at once. What was queued is lost. */
  drop(): void {
    this.#code ??= 1006;
    if (this.#state === "closed") return;
    this.#state = "closed";
    cut(this.#conn);
  }

  /** Cuts the connection if it has been closing for too long. Call it regularly. */
  tend(now: number): void {
    if (now > this.#closeBy) this.drop();
  }

  /** Reads to the end and calls `onText` for each text message; resolves with the close code once closed. */
  async run(onText: (text: string) => void): Promise<number> {
    try {
      for (;;) {
        const message = this.#nextMessage();
        if (message === "closed") break;
        if (message !== undefined) onText(message);
        else if (!await this.#readMore()) break;
      }
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      this.close(error.code, error.message);
    } finally {
      // a peer that sent Close gets its answer first; one that just left gets nothing more
      if (this.#state === "closing") await this.#writer;
      this.drop();
      await this.#writer;
    }
    return this.#code ?? 1006;
  }

  async #readMore(): Promise<boolean> {
    if (this.#inUsed === this.#in.length) {
      const larger = new Uint8Array(this.#in.length * 2);
      larger.set(this.#in);
      this.#in = larger;
    }
    try {
      const count = await this.#conn.read(this.#in.subarray(this.#inUsed));
      if (count === null) return false;
      this.#inUsed += count;
      return true;
    } catch {
      // reset by the peer, or closed by us
      return false;
    }
  }

  #fragments: Uint8Array[] = [];
  #fragmentBytes = 0;
  #fragmentOpcode = 0;

  /** The next text message, "closed" after a Close, undefined when more bytes are needed. */
  #nextMessage(): string | "closed" | undefined {
    for (;;) {
      const frame = this.#nextFrame();
      if (frame === undefined) return undefined;
      const { opcode, final, payload } = frame;
      if (opcode === PING) {
        if (!this.#hushed && this.#state === "open") this.#frame(PONG, payload);
      } else if (opcode === CLOSE) {
        const code = payload.length >= 2 ? new DataView(payload.buffer, payload.byteOffset).getUint16(0) : 1005;
        if (this.#hushed && this.#state === "open") this.#unanswered = code === 1005 ? 1000 : code;
        else {
          this.close(code === 1005 ? 1000 : code);
          return "closed";
        }
      } else if (opcode === 0 || opcode === TEXT || opcode === BINARY) {
        if (opcode !== 0) this.#fragmentOpcode = opcode;
        this.#fragments.push(payload);
        this.#fragmentBytes += payload.length;
        if (this.#fragmentBytes > MAX_MESSAGE_BYTES) throw new BadFrame(1009, "Message too big");
        if (!final) continue;
        const whole = new Uint8Array(this.#fragmentBytes);
        let at = 0;
        for (const piece of this.#fragments) {
          whole.set(piece, at);
          at += piece.length;
        }
        this.#fragments = [];
        this.#fragmentBytes = 0;
        if (this.#fragmentOpcode === BINARY) return "";
        try {
          return decoder.decode(whole);
        } catch {
          throw new BadFrame(1007, "not UTF-8");
        }
      } else if (opcode !== PONG) throw new BadFrame(1002, "unknown frame");
    }
  }

  #nextFrame(): { opcode: number; final: boolean; payload: Uint8Array } | undefined {
    const data = this.#in;
    if (this.#inUsed < 2) return undefined;
    const [first = 0, second = 0] = data;
    if ((second & 0x80) === 0) throw new BadFrame(1002, "frame is not masked");
    if ((first & 0x70) !== 0) throw new BadFrame(1002, "reserved bits are set");
    const short = second & 0x7f;
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (this.#inUsed < head + 4) return undefined;
    const view = new DataView(data.buffer);
    const size = short < 126 ? short : short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
    if (size > MAX_MESSAGE_BYTES) throw new BadFrame(1009, "Message too big");
    const end = head + 4 + size;
    if (this.#inUsed < end) return undefined;
    const payload = data.slice(head + 4, end);
    for (let i = 0; i < size; i++) payload[i] = (payload[i] ?? 0) ^ (data[head + (i & 3)] ?? 0);
    data.copyWithin(0, end, this.#inUsed);
    this.#inUsed -= end;
    return { opcode: first & 0x0f, final: (first & 0x80) !== 0, payload };
  }

  #frame(opcode: number, payload: Uint8Array): void {
    this.#reserve(payload.length + 10);
    const at = writeHeader(this.#out, this.#outUsed, opcode, payload.length);
    this.#out.set(payload, at);
    this.#outUsed = at + payload.length;
    this.#startWriting();
  }

  #reserve(bytes: number): void {
    const needed = this.#outUsed + bytes;
    if (needed <= this.#out.length) return;
    let size = this.#out.length * 2;
    while (size < needed) size *= 2;
    const larger = new Uint8Array(size);
    larger.set(this.#out.subarray(0, this.#outUsed));
    this.#out = larger;
  }

  #startWriting(): void {
    if (this.#writing) return;
    this.#writing = true;
    this.#writer = this.#write();
  }

  /** Writes until nothing is queued. Starts one microtask late, so that the frames of one turn go out in one write. */
  async #write(): Promise<void> {
    await null;
    try {
      while (this.#outUsed > 0 && this.#state !== "closed") {
        const full = this.#out;
        const bytes = this.#outUsed;
        this.#out = this.#spare;
        this.#outUsed = 0;
        this.#inFlight = bytes;
        for (let written = 0; written < bytes;) written += await this.#conn.write(full.subarray(written, bytes));
        this.#spare = full.length > BIG_BUFFER ? new Uint8Array(SMALL_BUFFER) : full;
        this.#inFlight = 0;
        if (this.#outUsed === 0) this.#exempt = 0;
      }
    } catch {
      // the peer is gone; the reading side ends the connection
      this.drop();
    }
    this.#writing = false;
    if (this.#cutAfterWrite) this.drop();
  }
}
