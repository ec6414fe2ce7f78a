// A client for the simulator's own tests: the standard WebSocket, the frames it received, and waits with a deadline.

/** Whether tests may open sockets; tests that need them are ignored otherwise. */
export const mayListen: boolean = Deno.permissions.querySync({ name: "net", host: "127.0.0.1" }).state === "granted";

/** Waits until the condition holds; fails, naming it, when that takes too long. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error(`Cannot wait any longer until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A parsed message. */
export type Message = Record<string, unknown>;

function parse(text: string): Message {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Message : { value };
  } catch {
    return { raw: text };
  }
}

/** One connection to a simulator. */
export class Client implements AsyncDisposable {
  /** All frames in order: text, or `binary <bytes>`. */
  readonly frames: string[] = [];
  /** When it was closed, and how. */
  closed: { code: number; reason: string } | undefined;
  readonly #socket: WebSocket;
  readonly #ended: Promise<void>;

  constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => {
      this.frames.push(typeof data === "string" ? data : `binary ${(data as ArrayBuffer).byteLength}`);
    };
    // a broken connection has an error event first, and then closes
    this.#socket.onerror = (event) => event.preventDefault();
    this.#ended = new Promise((resolve) => {
      this.#socket.onclose = ({ code, reason }) => {
        this.closed = { code, reason };
        resolve();
      };
    });
  }

  /** Connects and waits until it is open. */
  static async open(url: string): Promise<Client> {
    const client = new Client(url);
    await until("the socket is open", () => client.#socket.readyState !== WebSocket.CONNECTING);
    return client;
  }

  /** Connects, subscribes, and waits for the reply. */
  static async subscribe(url: string, products: readonly string[], channels: readonly string[]): Promise<Client> {
    const client = await Client.open(url);
    client.send({ type: "subscribe", product_ids: products, channels });
    await until("the subscription is acknowledged", () => client.of("subscriptions").length > 0);
    return client;
  }

  /** Sends text, or a message as JSON. */
  send(message: unknown): void {
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** Starts closing, without waiting. */
  leave(): void {
    this.#socket.close();
  }

  /** Messages of this type so far. */
  of(type: string): Message[] {
    return this.frames.map(parse).filter((message) => message.type === type);
  }

  /** Tickers so far, of one product or of all. */
  tickers(product?: string): Message[] {
    return this.of("ticker").filter(({ product_id }) => product === undefined || product_id === product);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#ended;
  }
}
