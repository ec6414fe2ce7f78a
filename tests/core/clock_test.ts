import { assert, assertEquals, assertGreaterOrEqual, assertRejects } from "@std/assert";
import { systemClock } from "../../src/core/clock.ts";
import { FakeClock, settle } from "../fakes/clock.ts";

Deno.test("systemClock.sleep() resolves after its time", async () => {
  const before = systemClock.elapsed();
  await systemClock.sleep(20, new AbortController().signal);
  // timers count in whole ms
  assertGreaterOrEqual(systemClock.elapsed() - before, 19);
});

for (const clock of [systemClock, new FakeClock()]) {
  const name = clock === systemClock ? "systemClock" : "FakeClock";

  Deno.test(`${name}.sleep() rejects at once with the reason of a signal that has aborted`, async () => {
    const reason = new Error("stop");
    assertEquals(await assertRejects(() => clock.sleep(60_000, AbortSignal.abort(reason))), reason);
  });

  // the leak check of the test runner sees to the timer
  Deno.test(`${name}.sleep() ends with the reason of a signal that aborts, and leaves no timer behind`, async () => {
    const stop = new AbortController();
    const reason = new Error("stop");
    const sleep = clock.sleep(60_000, stop.signal);
    stop.abort(reason);
    assertEquals(await assertRejects(() => sleep), reason);
  });

  Deno.test(`${name}.sleep() takes its listener away, so that a signal may outlive a million sleeps`, async () => {
    let listeners = 0;
    const { signal } = new AbortController();
    const add = signal.addEventListener, remove = signal.removeEventListener;
    signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add.apply(signal, args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove.apply(signal, args));
    const sleep = clock.sleep(0, signal);
    assertEquals(listeners, 1);
    if (clock instanceof FakeClock) await clock.advance(0);
    await sleep;
    assertEquals(listeners, 0);
  });
}

Deno.test("FakeClock wakes sleepers in order, each at its moment, those too who went to sleep meanwhile", async () => {
  const clock = new FakeClock(1000);
  const { signal } = new AbortController();
  const woken: string[] = [];
  const nap = async (name: string, ...times: number[]) => {
    for (const ms of times) {
      await clock.sleep(ms, signal);
      woken.push(`${name} ${clock.elapsed()}`);
    }
  };
  const naps = Promise.all([nap("a", 30), nap("b", 10, 15, 10), nap("c", 10)]);
  await clock.advance(9);
  assertEquals([woken, clock.sleeping, clock.nextWakeMs], [[], 3, 1]);
  await clock.advance(31);
  assertEquals(woken, ["b 10", "c 10", "b 25", "a 30", "b 35"]);
  assertEquals([clock.elapsed(), clock.now(), clock.sleeping], [40, 1040, 0]);
  await naps;
});

Deno.test("FakeClock.jump() moves the wall clock alone and wakes nobody", async () => {
  const clock = new FakeClock(1_000_000);
  const stop = new AbortController();
  const sleep = clock.sleep(10, stop.signal).catch(() => {});
  clock.jump(-600_000);
  await settle();
  assertEquals([clock.now(), clock.elapsed(), clock.sleeping], [400_000, 0, 1]);
  assert(clock.nextWakeMs === 10);
  stop.abort();
  await sleep;
});
