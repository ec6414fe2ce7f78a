import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { ConnectionError } from "../../src/core/errors.ts";
import { type Closed, Socket, type SocketHandler } from "../../src/pipeline/socket.ts";
import { forSeeds } from "../fakes/random.ts";
import type { Held } from "./reconnects.ts";
import {
  BINARY,
  CLOSE,
  closeFrame,
  concat,
  CONTINUATION,
  frame,
  type Line,
  mayConnect,
  Peer,
  PING,
  PONG,
  TEXT,
  until,
  upgradeAnswer,
  within,
} from "./peer.ts";

const LIMITS = { maxFrameLength: 200_000, handshakeMs: 10_000 };
const never = new AbortController().signal;

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: mayConnect ? name : `${name} [skipped: needs --allow-net and --allow-read]`,
    ignore: !mayConnect,
    fn,
  });
}

/** Notes what arrives. */
class Notes implements SocketHandler {
  readonly frames: string[] = [];
  readonly oversized: number[] = [];
  /** Of each frame, `performance.now()`. */
  readonly arrivals: number[] = [];
  pause: Promise<void> | undefined;
  onFrame(text: string, ageMs: number): void {
    this.frames.push(text);
    this.arrivals.push(performance.now() - ageMs);
  }
  onOversize(length: number): void {
    this.oversized.push(length);
  }
  relief(): Promise<void> | undefined {
    return this.pause;
  }
}

interface Pair {
  readonly socket: Socket;
  readonly line: Line;
  readonly notes: Notes;
  readonly closed: Promise<Closed>;
}

/** A socket that receives, and the line of its peer. */
async function connected(peer: Peer, limits = LIMITS, notes = new Notes()): Promise<Pair> {
  const [socket, line] = await Promise.all([Socket.connect(peer.url, limits, never), peer.upgrade()]);
  return { socket, line, notes, closed: socket.receive(notes) };
}

// ---- the handshake

for (
  const [what, answer, words] of [
    ["a 101 without headers", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "no WebSocket server"],
    ["a 503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", "refused: 503 Service Unavailable"],
    ["a 429", "HTTP/1.1 429 Too Many Requests\r\n\r\n", "refused: 429 Too Many Requests"],
    [
      "a redirect",
      "HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere.example/\r\n\r\n",
      "refused: 301 Moved Permanently to https://elsewhere.example/",
    ],
    ["garbage", "SSH-2.0-OpenSSH_9.6\r\n\x1b[2Jwhat do you want?\r\n\r\n", "did not answer as HTTP"],
    ["garbage without an end", "x".repeat(40_000), "did not answer as HTTP"],
    ["a hang up", "", "hung up during the upgrade"],
    ["a hang up in the middle", "HTTP/1.1 101 Switching Proto", "hung up during the upgrade"],
  ] as const
) {
  test(`Socket.connect() rejects after ${what}, and says so`, async () => {
    using peer = new Peer();
    const answering = (async () => {
      while (true) {
        const line = await peer.accept();
        await line.request();
        await line.send(answer).catch(() => {});
        if (answer.length < 40) line[Symbol.dispose]();
        else await line.ended();
      }
    })().catch(() => {});
    const error = await within(
      "it fails",
      assertRejects(() => Socket.connect(peer.url, LIMITS, never), ConnectionError),
    );
    assertStringIncludes(error.message, words);
    assertMatch(error.message, /^[\x20-\x7e]+$/);
    peer[Symbol.dispose]();
    await answering;
  });
}

test("Socket.connect() gives the status alone when the plain request is answered otherwise, or not at all", async () => {
  for (const answer of ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", undefined]) {
    using peer = new Peer();
    const failed = assertRejects(() => Socket.connect(peer.url, LIMITS, never), ConnectionError);
    const first = await peer.accept();
    await first.request();
    await first.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    const second = await within("it asks again", peer.accept());
    assert(!/upgrade/i.test(await second.request()));
    if (answer !== undefined) await second.send(answer);
    const { message } = await within("it fails", failed);
    assertEquals(message, "the upgrade was refused: 403");
    await within("the lines are closed", Promise.all([first.ended(), second.ended()]));
  }
});

test("Socket.connect() says that nobody listens", async () => {
  let url: string;
  {
    using peer = new Peer();
    url = peer.url;
  }
  const error = await assertRejects(() => Socket.connect(url, LIMITS, never), ConnectionError);
  assertMatch(error.message, /^tcp connect error: Connection refused/);
});

test("Socket.connect() says that a name is unknown", async () => {
  const error = await assertRejects(() => Socket.connect("ws://nobody.invalid", LIMITS, never), ConnectionError);
  assertMatch(error.message, /^dns error/);
});

for (
  const [what, behave] of [
    ["nothing is answered", () => Promise.resolve()],
    ["half an answer comes", (line: Line) => line.send("HTTP/1.1 101 Switching Protocols\r\nUpgr")],
  ] as const
) {
  test(`Socket.connect() gives up after handshakeMs when ${what}`, async () => {
    using peer = new Peer();
    const limits = { ...LIMITS, handshakeMs: 1000 };
    const failed = assertRejects(
      () => Socket.connect(peer.url, limits, never),
      ConnectionError,
      "no answer within 1 s",
    );
    const line = await within("it connects", peer.accept());
    await line.request();
    await behave(line);
    await within("it has failed", failed);
    await within("the line is closed", line.ended());
  });
}

for (
  const [what, behave, words] of [
    [
      "speaks no TLS",
      (line: Line) => line.send("HTTP/1.1 400 Bad Request\r\n\r\n"),
      "the server does not speak TLS (does its address begin with ws:// and not wss://?): ",
    ],
    ["hangs up", (line: Line) => line[Symbol.dispose](), "the server hung up during the TLS handshake: "],
    // it still holds its side
    ["says nothing", () => {}, "no answer within 2 s"],
  ] as const
) {
  test(`Socket.connect() over TLS says that the other side ${what}, and frees the socket`, async () => {
    using peer = new Peer();
    const ends: Promise<void>[] = [];
    // the platform tries twice
    const answering = (async () => {
      while (true) {
        const line = await peer.accept();
        await behave(line);
        ends.push(line.ended());
      }
    })().catch(() => {});
    const url = peer.url.replace("ws:", "wss:");
    const failed = assertRejects(() => Socket.connect(url, { ...LIMITS, handshakeMs: 2000 }, never), ConnectionError);
    assertStringIncludes((await within("it has failed", failed)).message, words);
    peer.stopListening();
    await answering;
    await within("its sockets are free", Promise.all(ends));
  });
}

for (
  const [what, behave] of [
    ["before it begins", undefined],
    ["while nothing is answered", () => Promise.resolve()],
    ["in the middle of the answer", (line: Line) => line.send("HTTP/1.1 101 Switching")],
  ] as const
) {
  for (const scheme of ["ws:", "wss:"]) {
    test(`Socket.connect() on ${scheme} ends with the signal's reason when aborted ${what}`, async () => {
      using peer = new Peer();
      const stop = new AbortController();
      const reason = new Error("enough");
      if (behave === undefined) stop.abort(reason);
      const url = peer.url.replace("ws:", scheme);
      const failed = Socket.connect(url, LIMITS, stop.signal).then(() => "connected", (error) => error);
      if (behave !== undefined) {
        const line = await peer.accept();
        await (scheme === "ws:" ? line.request().then(() => behave(line)) : line.conn.read(new Uint8Array(1)));
        stop.abort(reason);
        await within("the line is closed", line.ended());
      }
      assertEquals(await within("it has ended", failed), reason);
    });
  }
}

test("Socket.connect() leaves no socket behind, whenever it is aborted", async () => {
  using peer = new Peer();
  let accepted = 0;
  const serving: Promise<void>[] = [];
  const accepting = (async () => {
    while (true) {
      const line = await peer.accept();
      accepted++;
      serving.push(
        (async () => {
          await line.send(await upgradeAnswer(await line.request()));
          await line.ended();
        })().catch(() => {}),
      );
    }
  })().catch(() => {});
  let longest = 0;
  for (let round = 0; round < 60; round++) {
    const stop = new AbortController();
    const since = performance.now();
    const connecting = Socket.connect(peer.url, LIMITS, stop.signal).then((socket) => {
      longest = performance.now() - since;
      socket.terminate();
    }, (error) => assertEquals(error, stop.signal.reason));
    // the first tell how long it takes; the others end at any moment of that
    const timer = setTimeout(() => stop.abort(), round < 3 ? 10_000 : Math.random() * longest);
    await within("it has ended", connecting);
    clearTimeout(timer);
  }
  assertGreater(accepted, 3);
  peer.stopListening();
  await accepting;
  await within("all of them are closed", Promise.all(serving));
});

test("Socket.connect() takes an answer that comes byte by byte, with a frame behind it", async () => {
  using peer = new Peer();
  const connecting = Socket.connect(peer.url, LIMITS, never);
  const line = await peer.accept();
  const answer = await upgradeAnswer(await line.request());
  for (const char of answer) await line.send(char);
  await line.send(concat(frame(TEXT, "at once"), closeFrame(1000)));
  const notes = new Notes();
  await within("it is closed", (await connecting).receive(notes));
  assertEquals(notes.frames, ["at once"]);
});

test("Socket.connect() finds the first frame behind headers that are not ASCII", async () => {
  using peer = new Peer();
  const connecting = Socket.connect(peer.url, LIMITS, never);
  const line = await peer.accept();
  const answer = await upgradeAnswer(await line.request(), "X-Note: grüße ✓\r\n");
  await line.send(concat(new TextEncoder().encode(answer), frame(TEXT, "at once"), closeFrame(1000)));
  const notes = new Notes();
  await within("it is closed", (await connecting).receive(notes));
  assertEquals(notes.frames, ["at once"]);
});

// ---- frames

test("Socket.receive() hands on what was sent, for any sizes, parts and reads", async () => {
  using peer = new Peer();
  await forSeeds(15, async (random) => {
    const { line, notes, closed } = await connected(peer, { ...LIMITS, maxFrameLength: 70_000 });
    const texts: string[] = [], oversized: number[] = [], frames: Uint8Array[] = [];
    for (let i = 0; i < 40; i++) {
      const size = random.pick([0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 70_001, 150_000, random.int(0, 500)]);
      const text = String.fromCharCode(97 + i % 26).repeat(size);
      if (size > 70_000) oversized.push(size);
      else texts.push(text);
      const cuts = Array.from({ length: random.int(0, 3) }, () => random.int(0, size)).sort((a, b) => a - b);
      const edges = [0, ...cuts, size];
      // what is binary is text too
      const first = random.pick([TEXT, BINARY]);
      for (let part = 0; part + 1 < edges.length; part++) {
        const opcode = part === 0 ? first : CONTINUATION;
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
    assertEquals(notes.frames.map(({ length }) => length), texts.map(({ length }) => length));
    assert(notes.frames.every((text, i) => text === texts[i]), "a text came back changed");
    assertEquals(notes.oversized, oversized);
    line[Symbol.dispose]();
  });
});

test("Socket answers a ping with its payload", async () => {
  using peer = new Peer();
  const { line, closed, notes } = await connected(peer);
  for (const payload of ["", "ping", "p".repeat(125)]) {
    await line.send(frame(PING, payload));
    const answer = await within("the pong is there", line.frame());
    assertEquals([answer?.opcode, new TextDecoder().decode(answer?.payload)], [PONG, payload]);
  }
  await line.send(closeFrame(1000));
  await within("it is closed", closed);
  assertEquals(notes.frames, []);
});

test("Socket.send() sends text of any length, and close() a Close", async () => {
  using peer = new Peer();
  const { socket, line, closed } = await connected(peer);
  const texts = ["", "short", "✓".repeat(42), "y".repeat(126), "z".repeat(70_000)];
  for (const text of texts) socket.send(text);
  for (const text of texts) {
    const received = await within("the text is there", line.frame());
    assertEquals([received?.opcode, received?.masked], [TEXT, true]);
    assert(new TextDecoder().decode(received?.payload) === text, `${text.length} characters came changed`);
  }
  const closing = socket.close();
  const goodbye = await within("it says goodbye", line.frame());
  assertEquals([goodbye?.opcode, [...goodbye?.payload ?? []].slice(0, 2)], [CLOSE, [3, 232]]);
  await line.send(closeFrame(1000));
  await within("it has ended", closing);
  assertEquals((await closed).code, 1000);
});

test("Socket tells when each frame arrived, however long it waits to be handed on", async () => {
  using peer = new Peer();
  const { line, notes, socket, closed } = await connected(peer);
  for (const end = performance.now() + 30_000;;) {
    const pause = Promise.withResolvers<void>();
    notes.pause = pause.promise;
    notes.arrivals.length = 0;
    const sent: number[] = [];
    for (let i = 0; i < 3; i++) {
      sent.push(performance.now());
      await line.send(frame(TEXT, "x"));
      // the first one begins the pause, the others wait behind it
      if (i === 0) await until("the first is here", () => notes.arrivals.length === 1);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    notes.pause = undefined;
    pause.resolve();
    await until("all are here", () => notes.arrivals.length === 3);
    for (const [i, arrival] of notes.arrivals.entries()) {
      assertGreater(arrival, (sent[i] as number) - 1, `frame ${i} arrived before it was sent`);
    }
    // unless the thread of the socket was late itself
    const [, second = 0, third = 0] = notes.arrivals;
    if (third - second > 30) break;
    assertLess(performance.now(), end, "frames that were sent 40 ms apart are said to have arrived together");
  }
  socket.terminate();
  await closed;
});

test("Socket.caughtUp() resolves once all that has arrived is handed on", async () => {
  using peer = new Peer();
  const { line, notes, socket, closed } = await connected(peer);
  let sent = 0;
  const send = async (count: number) => {
    await line.send(concat(...Array.from({ length: count }, () => frame(TEXT, "x".repeat(100)))));
    sent += count;
  };
  await forSeeds(40, async (random) => {
    // what fits into an empty receive buffer has arrived when it is sent
    await send(random.pick([0, 1, 2, 100, 300]));
    await within("it has caught up", socket.caughtUp());
    assertEquals(notes.frames.length, sent);
  });
  // of more the system may hold back a part
  const before = sent;
  await send(5000);
  await within("it has caught up", socket.caughtUp());
  assertGreater(notes.frames.length, before);
  await until("all is handed on", () => notes.frames.length === sent);
  socket.terminate();
  await closed;
});

// ---- the end

for (
  const [what, bytes, expected, answer] of [
    ["1000 with a reason", closeFrame(1000, "bye"), { code: 1000, reason: "bye" }, [3, 232]],
    ["1001 without one", closeFrame(1001), { code: 1001, reason: "" }, [3, 233]],
    ["1012 with words beyond ASCII", closeFrame(1012, "zurück ✓"), { code: 1012, reason: "zurück ✓" }, [3, 244]],
    ["4000", closeFrame(4000, "ErrSlowConsume"), { code: 4000, reason: "ErrSlowConsume" }, [15, 160]],
    ["no code", frame(CLOSE), { code: 1005, reason: "" }, []],
  ] as const
) {
  test(`Socket.receive() ends with the peer's ${what}, answers and hangs up`, async () => {
    using peer = new Peer();
    const { line, notes, closed } = await connected(peer);
    await line.send(concat(frame(TEXT, "before"), bytes, frame(TEXT, "after")));
    assertEquals(await within("it is closed", closed), expected);
    assertEquals(notes.frames, ["before"]);
    const received = await within("the close is answered", line.frame());
    assertEquals([received?.opcode, [...received?.payload ?? []].slice(0, 2)], [CLOSE, [...answer]]);
    await within("it has hung up", line.ended());
  });
}

test("Socket.receive() ends with 1006 when the line is cut, in the middle of a frame too", async () => {
  using peer = new Peer();
  for (const bytes of [frame(TEXT, "whole"), frame(TEXT, "whole and half").subarray(0, 9)]) {
    const { line, closed } = await connected(peer);
    await line.send(bytes);
    line[Symbol.dispose]();
    assertEquals(await within("it is closed", closed), { code: 1006, reason: "Unexpected EOF" });
  }
});

test("Socket.receive() ends with 1006 and the system's words after a reset", async () => {
  using peer = new Peer();
  const { socket, line, closed } = await connected(peer);
  // a close with unread bytes in its buffer makes the kernel send a reset
  socket.send("unread");
  await line.conn.read(new Uint8Array(1));
  line[Symbol.dispose]();
  const { code, reason } = await within("it is closed", closed);
  assertEquals(code, 1006);
  assertMatch(reason, /reset|EOF/i);
});

for (
  const [what, bytes, words] of [
    ["reserved bits", frame(TEXT, "x", { reserved: 4 }), "Reserved bits"],
    ["a lone continuation", frame(CONTINUATION, "x"), "Invalid continuation"],
    ["a text inside of a text", concat(frame(TEXT, "x", { final: false }), frame(TEXT, "y")), "Invalid fragment"],
    ["an unknown type", frame(3, "x"), "Invalid value"],
    ["an unknown control type", frame(11, "x"), "Invalid value"],
    ["a ping in parts", frame(PING, "x", { final: false }), "must not be fragmented"],
    ["a ping that is too long", frame(PING, "x".repeat(126)), "too large"],
    ["text that is no UTF-8", frame(TEXT, new Uint8Array([0xff])), "Invalid UTF-8"],
    ["half a close code", frame(CLOSE, "x"), "Invalid close frame"],
    ["a frame longer than any", frame(TEXT, "x", { length: 1n << 63n }), "too large"],
    // the platform's own limit: what is shorter is read, and measured by us
    ["a frame of 64 MiB", frame(TEXT, "x", { length: 64n << 20n }), "too large"],
  ] as const
) {
  test(`Socket.receive() ends with 1006 after ${what}, and says so`, async () => {
    using peer = new Peer();
    const { line, notes, closed } = await connected(peer);
    await line.send(concat(frame(TEXT, "before"), bytes, frame(TEXT, "after")));
    const { code, reason } = await within("it is closed", closed);
    assertEquals([code, notes.frames], [1006, ["before"]]);
    assertStringIncludes(reason, words);
    await within("it has hung up", line.ended());
  });
}

for (const state of ["idle", "paused", "flooded"] as const) {
  for (const end of ["terminate", "close"] as const) {
    test(`Socket.${end}() frees the socket of a peer that never answers, when it is ${state}`, async () => {
      using peer = new Peer();
      const { socket, line, notes, closed } = await connected(peer);
      const pause = Promise.withResolvers<void>();
      if (state === "paused") notes.pause = pause.promise;
      const bytes = concat(...Array.from({ length: 2000 }, () => frame(TEXT, "x".repeat(400))));
      let isOver = false, blockedSince = Infinity;
      const flood = (async () => {
        while (state !== "idle" && !isOver) {
          blockedSince = performance.now();
          await line.send(bytes);
        }
      })().catch(() => {});
      if (state === "paused") await until("the peer is blocked", () => performance.now() - blockedSince > 300);
      if (state === "flooded") await until("the flood is here", () => notes.frames.length > 5000);
      const since = performance.now();
      await socket[end]();
      // Deno itself takes 2 s to end a worker that is busy or asleep
      assertLess(performance.now() - since, 1500);
      isOver = true;
      await flood;
      await within("the peer sees the end", line.ended(), 1500);
      pause.resolve();
      assertEquals(await within("it is closed", closed), { code: 1006, reason: "dropped by us" });
      // harmless afterwards
      socket.terminate();
      await socket.close();
      socket.send("nobody hears this");
    });
  }
}

const mayCount = mayConnect && Deno.build.os === "linux" &&
  Deno.permissions.querySync({ name: "run", command: Deno.execPath() }).state === "granted";

Deno.test({
  name: `Socket leaves nothing behind after 200 connections to a mute peer: memory and descriptors are flat${
    mayCount ? "" : " [skipped: needs --allow-net, --allow-read, --allow-run and Linux]"
  }`,
  ignore: !mayCount,
  async fn() {
    const file = new URL("reconnects.ts", import.meta.url).pathname;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: ["run", "-A", file] }).output();
    const text = new TextDecoder().decode(stdout);
    assert(text !== "", new TextDecoder().decode(stderr));
    const { megabytes, before, after }: Held = JSON.parse(text);
    assertLess(after.descriptors, before.descriptors + 3, text);
    assertLess(after.threads, before.threads + 3, text);
    const early = Math.max(...megabytes.slice(2, 7)), late = Math.min(...megabytes.slice(-5));
    assertLess(late, early + 20, `resident MB after each ten: ${megabytes}`);
  },
});

test("Socket drops a peer that does not read, instead of keeping what is for it", async () => {
  using peer = new Peer();
  const { socket, line, closed } = await connected(peer);
  let over = false;
  closed.finally(() => over = true);
  await until("it is dropped", () => {
    socket.send("x".repeat(200_000));
    return over;
  });
  assertEquals(await closed, { code: 1006, reason: "the peer does not read what we send" });
  // what is on its way is read, and then comes the end
  await within("the peer sees the end", line.ended());
});

test("Socket.receive() hands on nothing after terminate()", async () => {
  using peer = new Peer();
  const notes = new Notes();
  const { socket, line, closed } = await connected(peer, LIMITS, notes);
  notes.onFrame = (text) => {
    notes.frames.push(text);
    socket.terminate();
  };
  await line.send(concat(frame(TEXT, "one"), frame(TEXT, "two")));
  assertEquals((await within("it is closed", closed)).code, 1006);
  assertEquals(notes.frames, ["one"]);
});

test("Socket.receive() rejects with what a handler throws, and frees the socket", async () => {
  using peer = new Peer();
  const notes = new Notes();
  notes.onFrame = () => {
    throw new TypeError("a bug");
  };
  const { line, closed } = await connected(peer, LIMITS, notes);
  const failed = assertRejects(() => closed, TypeError, "a bug");
  await line.send(frame(TEXT, "x"));
  await within("it has failed", failed);
  await within("the peer sees the end", line.ended());
});

test("Socket ends with 1006 when its worker throws", async () => {
  using peer = new Peer();
  const { Worker } = globalThis;
  let worker: Worker | undefined;
  globalThis.Worker = class extends Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      worker = this;
    }
  };
  try {
    const { line, closed } = await connected(peer);
    worker?.postMessage(undefined);
    const { code, reason } = await within("it is closed", closed);
    assertEquals(code, 1006);
    assertStringIncludes(reason, "the thread of the connection failed: ");
    await within("the peer sees the end", line.ended());
    await assertRejects(
      () => Socket.connect("no address", LIMITS, never),
      ConnectionError,
      "the thread of the connection failed: ",
    );
  } finally {
    globalThis.Worker = Worker;
  }
});

// ---- large frames

test("Socket.receive() skips a frame above the limit, counts it, and reads the next one", async () => {
  using peer = new Peer();
  const { line, notes, closed } = await connected(peer, { ...LIMITS, maxFrameLength: 1000 });
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
  assertEquals(notes.frames, ["a".repeat(1000), "after b", "after c", "e".repeat(1000)]);
  assertEquals(notes.oversized, [1001, 1800, 70_001]);
});

// ---- the pause

test("Socket.receive() reads nothing while it waits for relief, and loses nothing", async () => {
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
  // one batch was handed on before the pause
  assertLess(notes.frames.length, 5);
  notes.pause = undefined;
  pause.resolve();
  await within("it is closed", closed, 30_000);
  await sending;
  assertEquals([notes.frames.length, notes.frames.every((each) => each === text)], [400, true]);
});

test("Socket.receive() leaves timers their turn under a flood", async () => {
  using peer = new Peer();
  const { socket, line, closed } = await connected(peer);
  const bytes = concat(...Array.from({ length: 2000 }, () => frame(TEXT, "x".repeat(400))));
  const flood = (async () => {
    while (true) await line.send(bytes);
  })().catch(() => {});
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await until("timers had their turn", () => turns >= 50, 30_000);
  clearInterval(timer);
  socket.terminate();
  await within("it is closed", closed);
  line[Symbol.dispose]();
  await flood;
});

/** Whether this computer has an IPv6 loopback address. */
function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

const mayUseIpv6 = mayConnect && hasIpv6();

Deno.test({
  name: `Socket connects to an IPv6 address${mayUseIpv6 ? "" : " [skipped: needs --allow-net, --allow-read and IPv6]"}`,
  ignore: !mayUseIpv6,
  async fn() {
    using peer = new Peer("::1");
    const { line, notes, closed } = await connected(peer);
    await line.send(concat(frame(TEXT, "by IPv6"), closeFrame(1000)));
    await within("it is closed", closed);
    assertEquals([new URL(peer.url).hostname, notes.frames], ["[::1]", ["by IPv6"]]);
  },
});

// ---- a real peer

test("Socket talks with Deno's own server", async () => {
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
    const socket = await Socket.connect(url, LIMITS, never);
    const notes = new Notes();
    const closed = socket.receive(notes);
    socket.send("hello ✓");
    await until("the echo is there", () => notes.frames.length === 3);
    assertEquals([notes.frames[0], notes.frames[1]?.length, notes.frames[2]], ["welcome", 150_000, "echo hello ✓"]);
    socket.send("please hang up");
    assertEquals(await within("it is closed", closed), { code: 1001, reason: "as you wish" });
    await until("the server knows", () => closedWith !== undefined);
    assertEquals(closedWith, 1001);
  }
  {
    closedWith = undefined;
    const socket = await Socket.connect(url, LIMITS, never);
    const notes = new Notes();
    const closed = socket.receive(notes);
    const before = performance.now();
    await socket.close();
    // it does not wait longer than for the answer
    assertLess(performance.now() - before, 400);
    await within("it is closed", closed);
    await until("the server knows", () => closedWith !== undefined);
    assertEquals(closedWith, 1000);
  }
  await server.shutdown();
});
