import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { ConnectionError } from "../../src/errors.ts";
import { type Closed, WebSocketClient, type WebSocketHandler } from "../../src/sources/websocket_client.ts";
import { forSeeds } from "../fakes/random.ts";
import {
  BINARY,
  CLOSE,
  closeFrame,
  concat,
  CONTINUATION,
  frame,
  type Line,
  mayListen,
  Peer,
  PING,
  PONG,
  TEXT,
  until,
  upgradeAnswer,
  within,
} from "./peer.ts";

const LIMITS = { maxMessageBytes: 200_000, handshakeMs: 10_000 };
const never = new AbortController().signal;

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: mayListen ? name : `${name} [skipped: needs --allow-net]`, ignore: !mayListen, fn });
}

/** Notes what arrives. */
class Notes implements WebSocketHandler {
  readonly messages: string[] = [];
  readonly oversized: number[] = [];
  pause: Promise<void> | undefined;
  onMessage(text: string): void {
    this.messages.push(text);
  }
  onOversize(bytes: number): void {
    this.oversized.push(bytes);
  }
  relief(): Promise<void> | undefined {
    return this.pause;
  }
}

interface Pair {
  readonly client: WebSocketClient;
  readonly line: Line;
  readonly notes: Notes;
  readonly closed: Promise<Closed>;
}

/** A client that receives, and the line of its peer. */
async function connected(peer: Peer, limits = LIMITS, notes = new Notes()): Promise<Pair> {
  const [client, line] = await Promise.all([WebSocketClient.connect(peer.url, limits, never), peer.upgrade()]);
  return { client, line, notes, closed: client.receive(notes) };
}

// ---- the handshake

test("WebSocketClient.connect() asks as RFC 6455 wants it", async () => {
  using peer = new Peer();
  const connecting = WebSocketClient.connect(`${peer.url}/feed?x=1`, LIMITS, never);
  const line = await peer.accept();
  const request = await line.request();
  const [first, ...headers] = request.split("\r\n");
  assertEquals(first, "GET /feed?x=1 HTTP/1.1");
  const named = new Map(headers.map((header) => header.split(": ") as [string, string]));
  assertEquals(
    [named.get("Host"), named.get("Upgrade"), named.get("Connection"), named.get("Sec-WebSocket-Version")],
    [new URL(peer.url).host, "websocket", "Upgrade", "13"],
  );
  assertEquals(atob(named.get("Sec-WebSocket-Key") ?? "").length, 16);
  await line.send(await upgradeAnswer(request));
  (await connecting).terminate();
  await within("the peer sees the end", line.ended());
});

for (
  const [what, answer, words] of [
    [
      "a wrong accept key",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
      "no WebSocket server",
    ],
    ["a 101 without headers", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "no WebSocket server"],
    ["a 503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", "503 Service Unavailable"],
    ["a 429", "HTTP/1.1 429 Too Many Requests\r\n\r\n", "429 Too Many Requests"],
    ["a redirect", "HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere.example/\r\n\r\n", "301 Moved"],
    ["garbage", "SSH-2.0-OpenSSH_9.6\r\n\x1b[2Jwhat do you want?\r\n\r\n", "did not answer as HTTP"],
    ["garbage without an end", "x".repeat(40_000), "did not answer as HTTP"],
    ["a hang up", "", "hung up"],
    ["a hang up in the middle", "HTTP/1.1 101 Switching Proto", "hung up"],
  ] as const
) {
  test(`WebSocketClient.connect() rejects after ${what}, and says so`, async () => {
    using peer = new Peer();
    const failed = assertRejects(() => WebSocketClient.connect(peer.url, LIMITS, never), ConnectionError, words);
    const line = await peer.accept();
    await line.request();
    await line.send(answer).catch(() => {});
    if (answer.length < 40) line[Symbol.dispose]();
    const { message } = await within("it has failed", failed);
    assertMatch(message, /^[\x20-\x7e]+$/);
    await within("the line is closed", line.ended());
  });
}

test("WebSocketClient.connect() says that nobody listens", async () => {
  let url;
  {
    using peer = new Peer();
    url = peer.url;
  }
  const error = await assertRejects(() => WebSocketClient.connect(url, LIMITS, never), ConnectionError);
  assertMatch(error.message, /refused/i);
});

for (
  const [what, behave] of [
    ["nothing is answered", () => Promise.resolve()],
    ["half an answer comes", (line: Line) => line.send("HTTP/1.1 101 Switching Protocols\r\nUpgr")],
  ] as const
) {
  test(`WebSocketClient.connect() gives up after handshakeMs when ${what}`, async () => {
    using peer = new Peer();
    const limits = { ...LIMITS, handshakeMs: 100 };
    const failed = assertRejects(() => WebSocketClient.connect(peer.url, limits, never), ConnectionError, "0.1 s");
    const line = await peer.accept();
    await line.request();
    await behave(line);
    await within("it has failed", failed);
    await within("the line is closed", line.ended());
  });
}

test("WebSocketClient.connect() over TLS says that the other side speaks no TLS, or nothing at all", async () => {
  using peer = new Peer();
  const url = peer.url.replace("ws:", "wss:");
  const garbled = assertRejects(() => WebSocketClient.connect(url, LIMITS, never), ConnectionError);
  await (await peer.accept()).send("HTTP/1.1 400 Bad Request\r\n\r\n");
  await within("it has failed", garbled);
  const mute = assertRejects(
    () => WebSocketClient.connect(url, { ...LIMITS, handshakeMs: 100 }, never),
    ConnectionError,
    "no answer within 0.1 s",
  );
  const line = await peer.accept();
  await within("it has given up", mute);
  // the peer still holds its side, as one that hangs does
  await within("the client has let go of the socket", line.ended());
});

for (
  const [what, behave] of [
    ["before it begins", undefined],
    ["while nothing is answered", () => Promise.resolve()],
    ["in the middle of the answer", (line: Line) => line.send("HTTP/1.1 101 Switching")],
  ] as const
) {
  for (const scheme of ["ws:", "wss:"]) {
    test(`WebSocketClient.connect() on ${scheme} ends with the signal's reason when aborted ${what}`, async () => {
      using peer = new Peer();
      const stop = new AbortController();
      const reason = new Error("enough");
      if (behave === undefined) stop.abort(reason);
      const url = peer.url.replace("ws:", scheme);
      const failed = WebSocketClient.connect(url, LIMITS, stop.signal).then(() => "connected", (error) => error);
      if (behave !== undefined) {
        const line = await peer.accept();
        await (scheme === "ws:" ? line.request().then(() => behave(line)) : line.conn.read(new Uint8Array(1)));
        stop.abort(reason);
        // Deno ends a socket that was closed in the middle of its TLS handshake only with the peer
        if (scheme === "ws:") await within("the line is closed", line.ended());
      }
      assertEquals(await within("it has ended", failed), reason);
    });
  }
}

test("WebSocketClient.connect() leaves no socket behind, whenever it is aborted", async () => {
  using peer = new Peer();
  let accepted = 0;
  const accepting = (async () => {
    while (true) {
      using line = await peer.accept();
      accepted++;
      await line.ended();
    }
  })().catch(() => {});
  for (let round = 0; round < 300; round++) {
    const stop = new AbortController();
    const connecting = WebSocketClient.connect(peer.url, LIMITS, stop.signal).then(() => "connected", () => "stopped");
    // from the microtask after the call to the time after the connect, past each moment between them
    if (round % 3 === 0) queueMicrotask(() => stop.abort());
    else if (round % 3 === 1) setTimeout(() => stop.abort(), 0);
    else {
      await new Promise((resolve) => setTimeout(resolve, 0));
      for (const end = performance.now() + Math.random(); performance.now() < end;);
      stop.abort();
    }
    assertEquals(await within("it has ended", connecting), "stopped");
  }
  assert(accepted > 0);
  peer[Symbol.dispose]();
  await accepting;
});

test("WebSocketClient.connect() takes an answer that comes byte by byte, with a frame behind it", async () => {
  using peer = new Peer();
  const connecting = WebSocketClient.connect(peer.url, LIMITS, never);
  const line = await peer.accept();
  const answer = await upgradeAnswer(await line.request());
  for (const char of answer) await line.send(char);
  await line.send(concat(frame(TEXT, "at once"), closeFrame(1000)));
  const notes = new Notes();
  await within("it is closed", (await connecting).receive(notes));
  assertEquals(notes.messages, ["at once"]);
});

test("WebSocketClient.connect() finds the first frame behind headers that are not ASCII", async () => {
  using peer = new Peer();
  const connecting = WebSocketClient.connect(peer.url, LIMITS, never);
  const line = await peer.accept();
  const answer = await upgradeAnswer(await line.request(), "X-Note: grüße ✓\r\n");
  await line.send(concat(new TextEncoder().encode(answer), frame(TEXT, "at once"), closeFrame(1000)));
  const notes = new Notes();
  await within("it is closed", (await connecting).receive(notes));
  assertEquals(notes.messages, ["at once"]);
});

// ---- messages

/** Texts, and frames that bring them: short, long, longest, cut in parts with pings between. */
const LONG = "medium ".repeat(50);
const STORY = {
  bytes: concat(
    frame(TEXT, "first"),
    frame(TEXT, "hel", { final: false }),
    frame(PING, "in between"),
    frame(CONTINUATION, "", { final: false }),
    frame(CONTINUATION, "lo ✓".slice(0, 3), { final: false }),
    frame(PONG, "unasked"),
    frame(CONTINUATION, "✓"),
    frame(TEXT, ""),
    frame(BINARY, "binary"),
    frame(TEXT, LONG),
    frame(TEXT, "last"),
  ),
  texts: ["first", "hello ✓", "", "binary", LONG, "last"],
};

test("WebSocketClient.receive() reads frames however they are cut", async () => {
  using peer = new Peer();
  for (let cut = 0; cut <= STORY.bytes.length; cut++) {
    const { line, notes, closed } = await connected(peer);
    // the pong shows that the first part was read by itself
    await line.send(concat(frame(PING, "read?"), STORY.bytes.subarray(0, cut)));
    assertEquals((await within("it is read", line.frame()))?.opcode, PONG);
    await line.send(concat(STORY.bytes.subarray(cut), closeFrame(1000)));
    await within("it is closed", closed);
    assertEquals(notes.messages, STORY.texts, `cut at ${cut}`);
    line[Symbol.dispose]();
  }
});

test("WebSocketClient.receive() gives back what was sent, for any sizes, parts and reads", async () => {
  using peer = new Peer();
  await forSeeds(15, async (random) => {
    const { line, notes, closed } = await connected(peer, { ...LIMITS, maxMessageBytes: 70_000 });
    const texts: string[] = [], oversized: number[] = [], frames: Uint8Array[] = [];
    for (let i = 0; i < 40; i++) {
      const size = random.pick([0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 70_001, 150_000, random.int(0, 500)]);
      const text = String.fromCharCode(97 + i % 26).repeat(size);
      if (size > 70_000) oversized.push(size);
      else texts.push(text);
      const cuts = Array.from({ length: random.int(0, 3) }, () => random.int(0, size)).sort((a, b) => a - b);
      const edges = [0, ...cuts, size];
      for (let part = 0; part + 1 < edges.length; part++) {
        const opcode = part === 0 ? random.pick([TEXT, BINARY]) : CONTINUATION;
        frames.push(frame(opcode, text.slice(edges[part], edges[part + 1]), { final: part + 2 === edges.length }));
        if (random.chance(0.2)) frames.push(frame(PING, "p".repeat(random.int(0, 125))));
      }
    }
    const bytes = concat(...frames, closeFrame(1000));
    const reading = line.ended();
    for (let at = 0; at < bytes.length;) {
      const count = random.pick([1, 2, 3, 1000, 65_536, 300_000]);
      await line.send(bytes.subarray(at, at + count));
      at += count;
    }
    await within("it is closed", closed);
    await within("it has hung up", reading);
    assertEquals(notes.messages.map(({ length }) => length), texts.map(({ length }) => length));
    assert(notes.messages.every((message, i) => message === texts[i]), "a text came back changed");
    assertEquals(notes.oversized, oversized);
    line[Symbol.dispose]();
  });
});

test("WebSocketClient.receive() answers a ping with its payload, masked", async () => {
  using peer = new Peer();
  const { line, closed, notes } = await connected(peer);
  for (const payload of ["", "ping", "p".repeat(125)]) {
    await line.send(frame(PING, payload));
    const answer = await within("the pong is there", line.frame());
    assertEquals(
      [answer?.opcode, answer?.masked, new TextDecoder().decode(answer?.payload)],
      [PONG, true, payload],
    );
  }
  await line.send(closeFrame(1000));
  await within("it is closed", closed);
  assertEquals(notes.messages, []);
});

test("WebSocketClient.send() sends masked text of any length", async () => {
  using peer = new Peer();
  const { client, line, closed } = await connected(peer);
  const texts = ["", "short", "✓".repeat(42), "y".repeat(126), "z".repeat(70_000)];
  for (const text of texts) client.send(text);
  for (const text of texts) {
    const received = await within("the text is there", line.frame());
    assertEquals([received?.opcode, received?.masked], [TEXT, true]);
    assert(new TextDecoder().decode(received?.payload) === text, `${text.length} characters came changed`);
  }
  await client.close();
  const goodbye = await within("it says goodbye", line.frame());
  assertEquals([goodbye?.opcode, [...goodbye?.payload ?? []]], [CLOSE, [3, 232]]);
  assertEquals((await closed).code, 1006);
});

// ---- the end

for (
  const [what, bytes, expected, answer] of [
    ["1000 with a reason", closeFrame(1000, "bye"), { code: 1000, reason: "bye" }, [3, 232]],
    ["1001 without one", closeFrame(1001), { code: 1001, reason: "" }, [3, 233]],
    ["1012 with words beyond ASCII", closeFrame(1012, "zurück ✓"), { code: 1012, reason: "zurück ✓" }, [3, 244]],
    ["4000", closeFrame(4000, "ErrSlowConsume"), { code: 4000, reason: "ErrSlowConsume" }, [15, 160]],
    ["no code", frame(CLOSE), { code: 1005, reason: "" }, []],
    ["half a code", frame(CLOSE, "x"), { code: 1005, reason: "" }, []],
  ] as const
) {
  test(`WebSocketClient.receive() ends with the peer's ${what}, answers and hangs up`, async () => {
    using peer = new Peer();
    const { line, notes, closed } = await connected(peer);
    await line.send(concat(frame(TEXT, "before"), bytes, frame(TEXT, "after")));
    assertEquals(await within("it is closed", closed), expected);
    assertEquals(notes.messages, ["before"]);
    const received = await within("the close is answered", line.frame());
    assertEquals([received?.opcode, received?.masked, [...received?.payload ?? []]], [CLOSE, true, [...answer]]);
    await within("it has hung up", line.ended());
  });
}

test("WebSocketClient.receive() ends with 1006 when the line is cut, in the middle of a frame too", async () => {
  using peer = new Peer();
  for (const bytes of [frame(TEXT, "whole"), frame(TEXT, "whole and half").subarray(0, 9)]) {
    const { line, closed } = await connected(peer);
    await line.send(bytes);
    line[Symbol.dispose]();
    const { code, reason } = await within("it is closed", closed);
    assertEquals([code, reason], [1006, "connection ended without a goodbye"]);
  }
});

test("WebSocketClient.receive() ends with 1006 and the system's words after a reset", async () => {
  using peer = new Peer();
  const { client, line, closed } = await connected(peer);
  // a close with unread bytes in its buffer makes the kernel send a reset
  client.send("unread");
  await line.conn.read(new Uint8Array(1));
  line[Symbol.dispose]();
  const { code, reason } = await within("it is closed", closed);
  assertEquals(code, 1006);
  assertMatch(reason, /reset|goodbye/i);
});

for (
  const [what, bytes, words] of [
    ["reserved bits", frame(TEXT, "x", { reserved: 4 }), "reserved bits"],
    ["a masked frame", frame(TEXT, "x", { masked: true }), "masked"],
    ["a lone continuation", frame(CONTINUATION, "x"), "out of order"],
    [
      "a text inside of a text",
      concat(frame(TEXT, "x", { final: false }), frame(TEXT, "y")),
      "out of order",
    ],
    ["an unknown type", frame(3, "x"), "unknown frame type 3"],
    ["an unknown control type", frame(11, "x"), "unknown frame type 11"],
    ["a ping in parts", frame(PING, "x", { final: false }), "control frame"],
    ["a ping that is too long", frame(PING, "x".repeat(126)), "control frame"],
    ["a frame longer than any", frame(TEXT, "x", { length: 1n << 63n }), "longer than any"],
  ] as const
) {
  test(`WebSocketClient.receive() hangs up with 1002 after ${what}, and says so`, async () => {
    using peer = new Peer();
    const { line, notes, closed } = await connected(peer);
    await line.send(concat(frame(TEXT, "before"), bytes, frame(TEXT, "after")));
    const { code, reason } = await within("it is closed", closed);
    assertEquals([code, notes.messages], [1006, ["before"]]);
    assertStringIncludes(reason, `the peer broke the protocol: `);
    assertStringIncludes(reason, words);
    const received = await within("the reason is told", line.frame());
    assertEquals([received?.opcode, [...received?.payload ?? []]], [CLOSE, [3, 234]]);
    await within("it has hung up", line.ended());
  });
}

test("WebSocketClient frees the socket of a silent peer at once", async () => {
  using peer = new Peer();
  for (const end of ["terminate", "close"] as const) {
    const { client, line, closed } = await connected(peer);
    await client[end]();
    // nothing will ever come from the other side
    const { code, reason } = await within("it is closed", closed);
    assertEquals([code, reason], [1006, "dropped by us"]);
    await within("the peer sees the end", line.ended());
    // harmless afterwards
    client.terminate();
    await client.close();
    client.send("nobody hears this");
  }
});

test("WebSocketClient.close() does not wait for a peer that reads nothing", async () => {
  using peer = new Peer();
  const { client, closed } = await connected(peer);
  client.send("x".repeat(800_000));
  for (let i = 0; i < 20; i++) client.send("x".repeat(40_000));
  await within("it is closed", Promise.all([client.close(), closed]), 2000);
});

test("WebSocketClient drops a peer that does not read, instead of keeping what is for it", async () => {
  using peer = new Peer();
  const { client, line, closed } = await connected(peer);
  let over = false;
  closed.finally(() => over = true);
  await until("it is dropped", () => {
    client.send("x".repeat(200_000));
    return over;
  });
  assertEquals(await closed, { code: 1006, reason: "the peer does not read what we send" });
  // what is on its way is read, and then comes the end
  await within("the peer sees the end", line.ended());
});

test("WebSocketClient.receive() hands on nothing after terminate()", async () => {
  using peer = new Peer();
  const notes = new Notes();
  const { client, line, closed } = await connected(peer, LIMITS, notes);
  notes.onMessage = (text) => {
    notes.messages.push(text);
    client.terminate();
  };
  await line.send(concat(frame(TEXT, "one"), frame(TEXT, "two")));
  assertEquals((await within("it is closed", closed)).code, 1006);
  assertEquals(notes.messages, ["one"]);
});

test("WebSocketClient.receive() rejects with what a handler throws, and frees the socket", async () => {
  using peer = new Peer();
  const notes = new Notes();
  notes.onMessage = () => {
    throw new TypeError("a bug");
  };
  const { line, closed } = await connected(peer, LIMITS, notes);
  const failed = assertRejects(() => closed, TypeError, "a bug");
  await line.send(frame(TEXT, "x"));
  await within("it has failed", failed);
  await within("the peer sees the end", line.ended());
});

// ---- large messages

test("WebSocketClient.receive() skips a message above the limit, counts it, and reads the next one", async () => {
  using peer = new Peer();
  const { line, notes, closed } = await connected(peer, { ...LIMITS, maxMessageBytes: 1000 });
  await line.send(concat(
    frame(TEXT, "a".repeat(1000)),
    frame(TEXT, "b".repeat(1001)),
    frame(TEXT, "after b"),
    // in parts, each below the limit
    frame(TEXT, "c".repeat(600), { final: false }),
    frame(CONTINUATION, "c".repeat(600), { final: false }),
    frame(PING, "still there?"),
    frame(CONTINUATION, "c".repeat(600), { final: false }),
    frame(CONTINUATION, ""),
    frame(TEXT, "after c"),
    // the first part alone is too large
    frame(TEXT, "d".repeat(70_000), { final: false }),
    frame(CONTINUATION, "d"),
    frame(TEXT, "e".repeat(400), { final: false }),
    frame(CONTINUATION, "e".repeat(600)),
    closeFrame(1000),
  ));
  assertEquals((await within("the ping is answered", line.frame()))?.opcode, PONG);
  await within("it is closed", closed);
  assertEquals(notes.messages, ["a".repeat(1000), "after b", "after c", "e".repeat(1000)]);
  assertEquals(notes.oversized, [1001, 1800, 70_001]);
});

test("WebSocketClient.receive() holds nothing of a message above the limit in memory", async () => {
  using peer = new Peer();
  const { line, notes, closed } = await connected(peer, { ...LIMITS, maxMessageBytes: 1000 });
  const size = 256 * 1024 * 1024;
  const chunk = new Uint8Array(256 * 1024).fill(120);
  await line.send(frame(TEXT, "", { length: BigInt(size) }));
  let most = 0;
  const before = Deno.memoryUsage();
  for (let sent = 0; sent < size; sent += chunk.length) {
    await line.send(chunk);
    const { external, heapUsed } = Deno.memoryUsage();
    most = Math.max(most, external + heapUsed - before.external - before.heapUsed);
  }
  await line.send(concat(frame(TEXT, "after"), closeFrame(1000)));
  await within("it is closed", closed);
  assertEquals([notes.oversized, notes.messages], [[size], ["after"]]);
  assert(most < 32 * 1024 * 1024, `${most} bytes more were in use`);
});

// ---- the pause

test("WebSocketClient.receive() reads nothing while it waits for relief, and loses nothing", async () => {
  using peer = new Peer();
  const notes = new Notes();
  const pause = Promise.withResolvers<void>();
  notes.pause = pause.promise;
  const { line, closed } = await connected(peer, LIMITS, notes);
  const text = "x".repeat(100_000);
  let sent = 0;
  let blockedSince = performance.now();
  const sending = (async () => {
    for (; sent < 400; sent++) {
      blockedSince = performance.now();
      await line.send(frame(TEXT, text));
    }
    await line.send(closeFrame(1000));
  })();
  // the kernel takes some megabytes, and then the peer has to wait
  await until("the peer is blocked", () => sent === 400 || performance.now() - blockedSince > 300);
  assert(sent < 400, "the peer never had to wait");
  assertEquals(notes.messages.length, 0);
  notes.pause = undefined;
  pause.resolve();
  await within("it is closed", closed, 30_000);
  await sending;
  assertEquals([notes.messages.length, notes.messages.every((message) => message === text)], [400, true]);
});

test("WebSocketClient.receive() leaves timers their turn under a flood", async () => {
  using peer = new Peer();
  const { client, line, closed } = await connected(peer);
  const bytes = concat(...Array.from({ length: 2000 }, () => frame(TEXT, "x".repeat(400))));
  const flood = (async () => {
    while (true) await line.send(bytes);
  })().catch(() => {});
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await until("timers had their turn", () => turns >= 50, 30_000);
  clearInterval(timer);
  client.terminate();
  await within("it is closed", closed);
  line[Symbol.dispose]();
  await flood;
});

// ---- a real peer

test("WebSocketClient talks with Deno's own server", async () => {
  const heard: string[] = [];
  let closedWith: number | undefined;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onopen = () => {
      socket.send("welcome");
      socket.send("w".repeat(150_000));
    };
    socket.onmessage = ({ data }) => {
      heard.push(data);
      if (data === "please hang up") socket.close(1001, "as you wish");
      else socket.send(`echo ${data}`);
    };
    socket.onclose = ({ code }) => closedWith = code;
    return response;
  });
  const url = `ws://localhost:${server.addr.port}/`;
  {
    const client = await WebSocketClient.connect(url, LIMITS, never);
    const notes = new Notes();
    const closed = client.receive(notes);
    client.send("hello ✓");
    await until("the echo is there", () => notes.messages.length === 3);
    assertEquals([notes.messages[0], notes.messages[1]?.length, notes.messages[2]], [
      "welcome",
      150_000,
      "echo hello ✓",
    ]);
    client.send("please hang up");
    assertEquals(await within("it is closed", closed), { code: 1001, reason: "as you wish" });
    await until("the server knows", () => closedWith !== undefined);
    assertEquals(closedWith, 1001);
  }
  {
    closedWith = undefined;
    const client = await WebSocketClient.connect(url, LIMITS, never);
    const notes = new Notes();
    const closed = client.receive(notes);
    // a socket that is closed with unread data is reset, and the goodbye may be lost
    await until("all is read", () => notes.messages.length === 2);
    await client.close();
    await within("it is closed", closed);
    await until("the server knows", () => closedWith !== undefined);
    assertEquals(closedWith, 1000);
  }
  await server.shutdown();
});
