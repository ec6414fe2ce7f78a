// The contract of every sink, on which the pipeline relies. A new sink runs these cases with one line in its test.

import { assert, assertEquals, assertLess } from "@std/assert";
import { toRecord } from "../../src/core/record.ts";
import type { Sink } from "../../src/core/sink.ts";
import { makeGap } from "../fakes/events.ts";
import { ticksOf } from "../fakes/ticks.ts";

/** A sink, and access to what it has stored. */
export interface SinkUnderTest {
  /** A new one for each case, not yet connected. The case closes it. */
  readonly sink: Sink;
  /** The stored records, in order, as {@link toRecord} writes them. */
  stored(): Promise<readonly string[]>;
  /** Makes every write hang; if left out, that case is not run. */
  stall?(): Promise<void>;
  /** Called at the end of a case, after the sink was closed. */
  cleanUp?(): Promise<void>;
}

/** All optional. */
export interface SinkContractOptions {
  /** Why the cases cannot run here; undefined if they can. */
  readonly skipped?: string | undefined;
  /** Limit for an aborted attempt to end, ms; default 10,000. */
  readonly abortMs?: number;
}

/** Defines the tests. */
export function sinkContract(
  name: string,
  open: () => Promise<SinkUnderTest>,
  { skipped, abortMs = 10_000 }: SinkContractOptions = {},
): void {
  const test = (what: string, fn: (under: SinkUnderTest) => Promise<void>) =>
    Deno.test({
      name: `${name} ${what}${skipped === undefined ? "" : ` [skipped: ${skipped}]`}`,
      ignore: skipped !== undefined,
      async fn() {
        const under = await open();
        try {
          await fn(under);
        } finally {
          await under.sink[Symbol.asyncDispose]();
          await under.cleanUp?.();
        }
      },
    });
  const never = new AbortController().signal;

  test("has a name that can be a label", ({ sink }) => {
    assert(/^[a-z][a-z0-9_]*$/.test(sink.name), sink.name);
    return Promise.resolve();
  });

  test("has stored a batch, once and in order, when write() resolves", async ({ sink, stored }) => {
    await sink.connect(never);
    const ticks = ticksOf("BTC-USD", 50);
    for (const [from, to] of [[0, 1], [1, 1], [1, 40], [40, 50]]) {
      await sink.write(ticks.slice(from, to), never);
      assertEquals(await stored(), ticks.slice(0, to).map(toRecord));
    }
  });

  test("keeps gaps out of the records", async ({ sink, stored }) => {
    await sink.connect(never);
    const [first, second] = ticksOf("BTC-USD", 2);
    assert(first !== undefined && second !== undefined);
    await sink.write([first, makeGap({ opened: 7 }), second], never);
    await sink.writeGaps?.([makeGap({ opened: 8 })], never);
    await sink.write([makeGap({ opened: 9 })], never);
    assertEquals(await stored(), [first, second].map(toRecord));
  });

  test("can be connected twice", async ({ sink, stored }) => {
    await sink.connect(never);
    await sink.connect(never);
    await sink.write(ticksOf("BTC-USD", 1), never);
    assertEquals((await stored()).length, 1);
  });

  test("takes up nothing once the signal is aborted, and rejects with its reason", async ({ sink, stored }) => {
    await sink.connect(never);
    const reason = new Error("enough");
    const outcome = await sink.write(ticksOf("BTC-USD", 1), AbortSignal.abort(reason)).catch((error) => error);
    assertEquals([outcome, await stored()], [reason, []]);
    // the signal bounded the attempt, not the life of the connection
    await sink.write(ticksOf("BTC-USD", 1), never);
    assertEquals((await stored()).length, 1);
  });

  test("gives up a write that is stuck when the signal aborts, with its reason", async ({ sink, stall }) => {
    if (stall === undefined) return;
    await sink.connect(never);
    await stall();
    const stop = new AbortController();
    const reason = new Error("enough");
    const writing = sink.write(ticksOf("BTC-USD", 3), stop.signal).catch((error) => error);
    await new Promise((resolve) => setTimeout(resolve, 0));
    const before = performance.now();
    stop.abort(reason);
    assertEquals(await writing, reason);
    assertLess(performance.now() - before, abortMs);
  });

  test("can be closed twice, and without ever having been connected", async ({ sink }) => {
    await sink[Symbol.asyncDispose]();
    await sink[Symbol.asyncDispose]();
  });

  test("can be closed twice after it was used", async ({ sink, stored }) => {
    await sink.connect(never);
    await sink.write(ticksOf("BTC-USD", 3), never);
    await sink[Symbol.asyncDispose]();
    await sink[Symbol.asyncDispose]();
    assertEquals((await stored()).length, 3);
  });
}
