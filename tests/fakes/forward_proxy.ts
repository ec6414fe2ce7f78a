// A forward proxy like those of companies: CONNECT for TLS, absolute URLs in the request line for plain HTTP. Every host leads to
// one server of the test.

import { writeAll } from "../../src/core/write_all.ts";
import { close, Line } from "../servers/line.ts";

const WORDS: Readonly<Record<number, string>> = {
  403: "Forbidden",
  407: "Proxy Authentication Required",
  503: "Service Unavailable",
};

/** Listens until it is disposed of. */
export class ForwardProxy extends Line {
  /** The port of the server, on 127.0.0.1. */
  readonly target: number;
  /** `user:password`; requests without it are answered with 407. */
  login: string | undefined;
  /** Answers every request with this status instead of forwarding it. */
  refuse: number | undefined;
  /** The first line of each request, and its login. */
  readonly requests: { readonly line: string; readonly login: string | undefined }[] = [];

  constructor(target: number, login?: string) {
    super();
    this.target = target;
    this.login = login;
  }

  protected override admits(): boolean {
    return true;
  }

  protected override pass(client: Deno.Conn, server: Deno.Conn): [Promise<void>, Promise<void>] {
    const asked = this.#ask(client, server).catch(() => false);
    const pump = async (from: Deno.Conn, to: Deno.Conn) => {
      if (!await asked) return;
      try {
        const buffer = new Uint8Array(65_536);
        for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
          await writeAll(to, buffer.subarray(0, count));
        }
      } catch {
        // a cut connection is expected here
      }
    };
    return [pump(client, server), pump(server, client)];
  }

  /** Reads the head of the request; true if the rest is to be forwarded. */
  async #ask(client: Deno.Conn, server: Deno.Conn): Promise<boolean> {
    let head = "";
    const buffer = new Uint8Array(4096);
    while (!head.endsWith("\r\n\r\n")) {
      const count = await client.read(buffer);
      if (count === null) return false;
      head += new TextDecoder("latin1").decode(buffer.subarray(0, count));
    }
    const [line = "", ...headers] = head.trimEnd().split("\r\n");
    const [, basic] = /^proxy-authorization: Basic (.+)$/im.exec(headers.join("\n")) ?? [];
    const login = basic === undefined ? undefined : atob(basic);
    this.requests.push({ line, login });
    const answer = (words: string) => writeAll(client, new TextEncoder().encode(`HTTP/1.1 ${words}\r\n\r\n`));
    const status = this.refuse ?? (login === this.login ? undefined : 407);
    if (status !== undefined) {
      await answer(`${status} ${WORDS[status]}\r\nContent-Length: 0\r\nConnection: close`);
      close(client);
      return false;
    }
    const [method = "", target = ""] = line.split(" ");
    if (method === "CONNECT") {
      await answer("200 Connection established");
      return true;
    }
    // the server gets only the path, and no header for the proxy
    const { pathname, search } = new URL(target);
    const own = headers.filter((header) => !/^proxy-/i.test(header));
    const request = [`${method} ${pathname}${search} HTTP/1.1`, ...own].join("\r\n");
    await writeAll(server, new TextEncoder().encode(`${request}\r\n\r\n`));
    return true;
  }
}
