// A process of its own, as memory and descriptors are counted per process: 200 connections to a peer that accepts and then says
// nothing, not even to a Close. Prints what they left behind, as JSON. Needs -A, to read /proc.

import { Socket } from "../../src/pipeline/socket.ts";
import { Peer, until } from "./peer.ts";

/** What the process holds. */
export interface Held {
  /** Resident memory after each ten connections, MB. */
  readonly megabytes: readonly number[];
  /** Descriptors and threads before the first connection, and after the last one. */
  readonly before: Counts;
  readonly after: Counts;
}

interface Counts {
  readonly descriptors: number;
  readonly threads: number;
}

const never = new AbortController().signal;
const ignore = { onFrame() {}, onOversize() {}, relief: () => undefined };
const count = (what: string) => [...Deno.readDirSync(`/proc/self/${what}`)].length;
const counts = (): Counts => ({ descriptors: count("fd"), threads: count("task") });

if (import.meta.main) {
  using peer = new Peer();
  const ten = async () => {
    const connecting = Array.from(
      { length: 10 },
      () => Socket.connect(peer.url, { maxFrameLength: 1000, handshakeMs: 60_000 }, never),
    );
    for (const _ of connecting) await peer.upgrade();
    const sockets = await Promise.all(connecting);
    await Promise.all(sockets.flatMap((socket) => [socket.receive(ignore), socket.close()]));
    peer.drop();
  };
  const before = counts();
  const megabytes: number[] = [];
  for (let i = 0; i < 20; i++) {
    await ten();
    megabytes.push(Math.round(Deno.memoryUsage().rss / 2 ** 20));
  }
  // threads end a little later than their sockets
  await until("all is free", () => counts().descriptors + counts().threads <= before.descriptors + before.threads, 5000)
    .catch(() => {});
  const held: Held = { megabytes, before, after: counts() };
  await Deno.stdout.write(new TextEncoder().encode(JSON.stringify(held)));
}
