// A raw TCP server that upgrades any request and writes prebuilt WebSocket frames, faster than any client can read them. Runs as a
// separate process. The path of a request sets the rate: /25000 for 25,000 frames a second, /0 for as many as possible.

import { frameText } from "./frames.ts";

const FRAMES = 160_000;
const SLICE_MS = 5;

const encoder = new TextEncoder();

/** All frames in one array, and the end of each. */
function build(): { bytes: Uint8Array; ends: Uint32Array } {
  const texts = Array.from({ length: FRAMES }, (_, i) => encoder.encode(frameText(i)));
  const bytes = new Uint8Array(texts.reduce((sum, text) => sum + text.length + 4, 0));
  const ends = new Uint32Array(FRAMES);
  let offset = 0;
  texts.forEach((text, i) => {
    bytes.set([0x81, 126, text.length >> 8, text.length & 255], offset);
    bytes.set(text, offset + 4);
    offset += text.length + 4;
    ends[i] = offset;
  });
  return { bytes, ends };
}

async function upgrade(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(8192);
  let head = "";
  while (!head.includes("\r\n\r\n")) {
    const count = await conn.read(buffer);
    if (count === null) throw new Error("The client hung up");
    head += new TextDecoder().decode(buffer.subarray(0, count));
  }
  const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? "";
  const digest = await crypto.subtle.digest("SHA-1", encoder.encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`));
  const accept = btoa(String.fromCharCode(...new Uint8Array(digest)));
  await conn.write(encoder.encode(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  ));
  return /^GET \/(\d+)/.exec(head)?.[1] ?? "0";
}

const { bytes, ends } = build();

async function feed(conn: Deno.Conn): Promise<void> {
  const rate = Number(await upgrade(conn));
  const since = performance.now();
  let sent = 0;
  while (true) {
    const due = rate === 0 ? sent + 2000 : Math.floor((performance.now() - since) / 1000 * rate);
    while (sent < due) {
      const first = sent % FRAMES;
      const last = Math.min(first + due - sent, FRAMES, first + 2000) - 1;
      const start = first === 0 ? 0 : ends[first - 1] as number;
      const end = ends[last] as number;
      for (let offset = start; offset < end;) offset += await conn.write(bytes.subarray(offset, end));
      sent += last - first + 1;
    }
    if (rate > 0) await new Promise((resolve) => setTimeout(resolve, SLICE_MS));
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
Deno.stdout.writeSync(encoder.encode(`${listener.addr.port}\n`));
for await (const conn of listener) {
  // the client closes the connection when it has enough
  feed(conn).catch(() => {}).finally(() => {
    try {
      conn.close();
    } catch {
      // it is closed already
    }
  });
}
