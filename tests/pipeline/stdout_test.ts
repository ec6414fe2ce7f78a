import { assertEquals, assertRejects } from "@std/assert";
import { SinkError } from "../../src/core/errors.ts";
import { toRecord } from "../../src/core/record.ts";
import { StdoutSink } from "../../src/pipeline/stdout.ts";
import { sinkContract } from "../contracts/sink.ts";

import { FakeSink, FakeSinkWithGaps, stuck } from "../fakes/sink.ts";
import { ticksOf } from "../fakes/ticks.ts";

const never = new AbortController().signal;

/** Takes at most `most` bytes at a time. */
function stdout(most: number): { sink: StdoutSink; text(): string; stall(): void } {
  let text = "", stalled = false;
  const sink = new StdoutSink(() => {}, async (bytes) => {
    if (stalled) await new Promise<never>(() => {});
    await null;
    text += new TextDecoder().decode(bytes.subarray(0, most));
    return Math.min(most, bytes.length);
  });
  return { sink, text: () => text, stall: () => void (stalled = true) };
}

sinkContract("StdoutSink", () => {
  const { sink, text, stall } = stdout(7);
  return Promise.resolve({
    sink,
    stored: () => Promise.resolve(text().split("\n").slice(0, -1)),
    stall: () => Promise.resolve(stall()),
  });
});

for (const kind of [FakeSink, FakeSinkWithGaps]) {
  sinkContract(`the tests' own ${kind.name}`, () => {
    const sink = new kind();
    return Promise.resolve({
      sink,
      stored: () => Promise.resolve(sink.stored.flatMap((event) => event.kind === "tick" ? [toRecord(event)] : [])),
      stall: () => Promise.resolve(void (sink.onWrite = (_, signal) => stuck(signal))),
    });
  });
}

Deno.test("StdoutSink writes one record a line", async () => {
  const { sink, text } = stdout(1000);
  await sink.write(ticksOf("BTC-USD", 2), never);
  assertEquals(text(), '{"product":"BTC-USD","w_time":1,"price":1}\n{"product":"BTC-USD","w_time":2,"price":2}\n');
});

Deno.test("StdoutSink says that its reader is gone, and does not fail", async () => {
  let gone = 0;
  const sink = new StdoutSink(() => gone++, () => Promise.reject(new Deno.errors.BrokenPipe("Broken pipe")));
  await sink.write(ticksOf("BTC-USD", 1), never);
  assertEquals(gone, 1);
});

Deno.test("StdoutSink fails for good when it cannot be written to", async () => {
  const sink = new StdoutSink(() => {}, () => Promise.reject(new Error("No space left on device (os error 28)")));
  const error = await assertRejects(
    () => sink.write(ticksOf("BTC-USD", 1), never),
    SinkError,
    "Cannot write to stdout: No space left on device",
  );
  assertEquals(error.kind, "fatal");
});
