import { assertEquals, assertGreaterOrEqual, assertLess, assertRejects } from "@std/assert";
import { systemClock } from "../../src/core/clock.ts";
import { SlowDisk } from "../../src/demo/slow_disk.ts";
import { FakeClock, settle } from "../fakes/clock.ts";

const never = new AbortController().signal;

/** A write that waits 1000 ms. */
function waitingWrite() {
  const clock = new FakeClock();
  const disk = new SlowDisk(clock);
  disk.delayMs = 1000;
  let isDone = false;
  const stop = new AbortController();
  const writing = disk.wait(stop.signal).then(() => void (isDone = true));
  return { clock, disk, stop, writing, isDone: () => isDone };
}

Deno.test("SlowDisk makes no write wait at first", async () => {
  await new SlowDisk(new FakeClock()).wait(never);
});

Deno.test("SlowDisk lets a write go after its delay, and not before", async () => {
  const { clock, writing, isDone } = waitingWrite();
  await clock.advance(999);
  assertEquals(isDone(), false);
  await clock.advance(1);
  await writing;
  assertEquals(clock.sleeping, 0);
});

Deno.test("SlowDisk lets a waiting write go at once when it is no longer slow", async () => {
  const { clock, disk, writing } = waitingWrite();
  await clock.advance(10);
  disk.delayMs = 0;
  await settle();
  await writing;
  assertEquals(clock.sleeping, 0);
});

Deno.test("SlowDisk counts the time that a write has already waited when its delay changes", async () => {
  const { clock, disk, writing, isDone } = waitingWrite();
  await clock.advance(600);
  disk.delayMs = 800;
  await clock.advance(199);
  assertEquals(isDone(), false);
  await clock.advance(1);
  await writing;
});

Deno.test("SlowDisk.wait() rejects when the signal aborts", async () => {
  const { clock, stop, writing } = waitingWrite();
  await clock.advance(10);
  stop.abort(new DOMException("enough", "AbortError"));
  await assertRejects(() => writing, DOMException, "enough");
  assertEquals(clock.sleeping, 0);
});

Deno.test("SlowDisk waits in real time", async () => {
  const disk = new SlowDisk(systemClock);
  disk.delayMs = 50;
  const since = performance.now();
  await disk.wait(never);
  assertGreaterOrEqual(performance.now() - since, 49);
  assertLess(performance.now() - since, 5000);
});
