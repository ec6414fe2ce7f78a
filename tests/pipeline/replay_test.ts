import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { coinbase } from "../../src/exchanges/coinbase.ts";
import { replay } from "../../src/pipeline/replay.ts";
import { Stats } from "../../src/core/stats.ts";
import { settle } from "../fakes/clock.ts";
import tickerFixture from "../fixtures/coinbase/ticker.2026-10-04.jsonl" with { type: "text" };
import batchFixture from "../fixtures/coinbase/ticker_batch.2026-10-04.jsonl" with { type: "text" };

const LIMIT = 1000;

function streamOf(text: string | Uint8Array<ArrayBuffer>, chunk = Infinity): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + chunk));
      at += chunk;
    },
  });
}

async function run(text: string | Uint8Array<ArrayBuffer>, { channel = "ticker", chunk = Infinity } = {}) {
  const stats = new Stats();
  let output = "";
  const options = { exchange: coinbase, channel, products: undefined, maxFrameLength: LIMIT, stats };
  await replay(streamOf(text, chunk), options, (lines) => {
    output += lines;
    return Promise.resolve();
  });
  const records = output.split("\n");
  assertEquals(records.pop(), "", "each record is a whole line");
  const rejected = Object.fromEntries(Object.entries(stats.rejected).filter(([, count]) => count > 0));
  return { records, stats, rejected };
}

/** A ticker; its price is its sequence. */
function frame(sequence: number, fields: Record<string, unknown> = {}): Record<string, unknown> {
  const time = `2026-10-04T08:15:${String(sequence % 60).padStart(2, "0")}.000000Z`;
  return { type: "ticker", sequence, product_id: "BTC-USD", price: String(sequence), time, ...fields };
}

function line(sequence: number, fields: Record<string, unknown> = {}): string {
  return JSON.stringify(frame(sequence, fields));
}

Deno.test("replay() writes the records of recorded trades, without repeats, each with a time of its own", async () => {
  const { records, stats, rejected } = await run(tickerFixture);
  assertEquals(records, [
    '{"product":"BTC-USD","w_time":1791101700.000001,"price":61234.56}',
    '{"product":"ETH-USD","w_time":1791101651.25,"price":2456.4}',
    '{"product":"BTC-USD","w_time":1791101700.5,"price":61235}',
    '{"product":"BTC-USD","w_time":1791101700.500001,"price":61235.01}',
    '{"product":"BTC-USD","w_time":1791101700.500002,"price":61235.02}',
    '{"product":"BTC-USD","w_time":1791101700.500003,"price":61235.02}',
    '{"product":"BTC-USD","w_time":1791101700.00025,"price":61234.9}',
    '{"product":"ETH-USD","w_time":1791101701.999999,"price":2456.37}',
  ]);
  assertEquals([stats.frames, stats.received, stats.repeated, stats.ignored], [10, 8, 1, 0]);
  assertEquals(rejected, {});
});

Deno.test("replay() writes whole seconds for ticker_batch", async () => {
  const { records, stats } = await run(batchFixture, { channel: "ticker_batch" });
  assertEquals(records, [
    '{"product":"BTC-USD","w_time":1791102000,"price":61240.1}',
    '{"product":"ETH-USD","w_time":1791101998,"price":2457}',
    '{"product":"BTC-USD","w_time":1791102005,"price":61239.99}',
  ]);
  assertEquals([stats.frames, stats.received, stats.ignored], [6, 3, 0]);
});

const at = Date.UTC(2026, 9, 4, 8, 16) / 1000;
const WRAPPED: { name: string; text: string; prices: number[]; rejected?: Record<string, number> }[] = [
  { name: "a plain frame", text: line(1), prices: [1] },
  { name: "a frame as object, with its time", text: JSON.stringify({ at, data: frame(1) }), prices: [1] },
  { name: "a frame as text, with its time", text: JSON.stringify({ at, data: line(1) }), prices: [1] },
  { name: "a frame as object, without time", text: JSON.stringify({ data: frame(1) }), prices: [1] },
  { name: "a frame as text, without time", text: JSON.stringify({ data: line(1) }), prices: [1] },
  { name: "a frame whose time is no number", text: JSON.stringify({ at: "08:16", data: frame(1) }), prices: [1] },
  { name: "a wrapper with other fields and spaces", text: ` { "n": 1, "data" : ${line(1)} } `, prices: [1] },
  { name: "a plain frame with a field data", text: line(1, { data: "x", at: 0 }), prices: [1] },
  {
    name: "a frame from more than 10 minutes after it was received",
    text: JSON.stringify({ at: at - 3600, data: frame(1) }),
    prices: [],
    rejected: { "bad-time": 1 },
  },
  { name: "a wrapper around nothing", text: '{"at":1,"data":null}', prices: [], rejected: { "bad-message": 1 } },
  { name: "a wrapper around a number", text: '{"at":1,"data":5}', prices: [], rejected: { "bad-message": 1 } },
  { name: "a wrapper around junk", text: '{"at":1,"data":"junk"}', prices: [], rejected: { "bad-json": 1 } },
  { name: "a wrapper without a frame", text: '{"at":1}', prices: [], rejected: { "bad-message": 1 } },
  { name: "a list", text: `[${line(1)}]`, prices: [], rejected: { "bad-message": 1 } },
  { name: "junk", text: "junk", prices: [], rejected: { "bad-json": 1 } },
  {
    name: "a wrapper around lists in lists without end",
    text: `{"data":${"[".repeat(LIMIT / 2 - 10)}${"]".repeat(LIMIT / 2 - 10)}}`,
    prices: [],
    rejected: { "bad-message": 1 },
  },
];
for (const { name, text, prices, rejected = {} } of WRAPPED) {
  Deno.test(`replay() reads ${name}`, async () => {
    const result = await run(text);
    assertEquals(result.records.map((record) => JSON.parse(record).price), prices);
    assertEquals([result.rejected, result.stats.frames], [rejected, 1]);
  });
}

Deno.test("replay() takes the recorded time for the time of arrival, else the frame's own", async () => {
  const { stats } = await run(`${JSON.stringify({ at: at + 0.5, data: frame(60) })}\n${line(1)}\n`);
  assertEquals(stats.arrival.sum, 60.5);
});

const LINES: { name: string; text: string | Uint8Array<ArrayBuffer>; prices: number[]; frames: number }[] = [
  { name: "nothing", text: "", prices: [], frames: 0 },
  { name: "a last line without its end", text: `${line(1)}\n${line(2)}`, prices: [1, 2], frames: 2 },
  { name: "Windows line ends", text: `${line(1)}\r\n${line(2)}\r\n`, prices: [1, 2], frames: 2 },
  { name: "no frame in blank lines", text: `\n${line(1)}\n\n\r\n \t\n${line(2)}\n\n`, prices: [1, 2], frames: 2 },
  { name: "junk between frames", text: `${line(1)}\n{"type":"tick\n${line(2)}\n`, prices: [1, 2], frames: 3 },
  { name: "a byte order mark", text: `\ufeff${line(1)}\n`, prices: [1], frames: 1 },
  {
    name: "bytes that are no UTF-8",
    text: new Uint8Array([
      ...new TextEncoder().encode(`${line(1)}\n`),
      0xff,
      0xc3,
      0x0a,
      ...new TextEncoder().encode(line(2)),
    ]),
    prices: [1, 2],
    frames: 3,
  },
];
for (const { name, text, prices, frames } of LINES) {
  for (const chunk of [Infinity, 7, 1]) {
    Deno.test(`replay() reads ${name}, in pieces of ${chunk} bytes`, async () => {
      const { records, stats } = await run(text, { chunk });
      assertEquals(records.map((record) => JSON.parse(record).price), prices);
      assertEquals([stats.frames, stats.rejected["bad-json"]], [frames, frames - prices.length]);
    });
  }
}

for (const chunk of [Infinity, 64, 1]) {
  Deno.test(`replay() rejects a line above the limit and reads on, in pieces of ${chunk} bytes`, async () => {
    const fits = line(2, { pad: "x".repeat(LIMIT - line(2, { pad: "" }).length) });
    const long = line(3, { pad: "x".repeat(5 * LIMIT) });
    const { records, rejected, stats } = await run([line(1), fits, long, line(4), long].join("\n"), { chunk });
    assertEquals(records.map((record) => JSON.parse(record).price), [1, 2, 4]);
    assertEquals([rejected, stats.frames], [{ "too-large": 2 }, 5]);
  });

  Deno.test(`replay() makes no price of the two ends of a line above the limit, in pieces of ${chunk} bytes`, async () => {
    // as text, a quote takes two characters: what is left of such a line may be a frame below the limit
    const data = line(1, { a: '"'.repeat(300), price: `1${"0".repeat(2000)}5` });
    const { records, rejected } = await run(`${JSON.stringify({ data })}\n${line(2)}\n`, { chunk });
    assertEquals(records.map((record) => JSON.parse(record).price), [2]);
    assertEquals(rejected, { "too-large": 1 });
  });
}

Deno.test("replay() gives the same records however the bytes are cut", async () => {
  const whole = await run(tickerFixture);
  for (const chunk of [1, 13, 400, 65536]) assertEquals((await run(tickerFixture, { chunk })).records, whole.records);
});

Deno.test("replay() reads no further until its output was taken", async () => {
  let pulled = 0;
  const bytes = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (pulled++ === 1000) return controller.close();
      controller.enqueue(new TextEncoder().encode(`${line(pulled)}\n`));
    },
  }, { highWaterMark: 0 });
  const options = {
    exchange: coinbase,
    channel: "ticker",
    products: undefined,
    maxFrameLength: LIMIT,
    stats: new Stats(),
  };
  let most = 0, written = 0;
  await replay(bytes, options, () => {
    most = Math.max(most, pulled - ++written);
    return settle();
  });
  assertEquals(written, 1000);
  assertLess(most, 20);
});

Deno.test("replay() ends with the error of whoever takes its output, and lets go of the file", async () => {
  let cancelled = false;
  const bytes = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode(`${line(1)}\n`)),
    cancel: () => void (cancelled = true),
  });
  const broken = new Deno.errors.BrokenPipe("gone");
  const options = {
    exchange: coinbase,
    channel: "ticker",
    products: undefined,
    maxFrameLength: LIMIT,
    stats: new Stats(),
  };
  assertEquals(await assertRejects(() => replay(bytes, options, () => Promise.reject(broken))), broken);
  assertEquals(cancelled, true);
});

Deno.test("replay() survives a frame nested too deeply to be written again", async () => {
  const deep = 1_000_000;
  const stats = new Stats();
  const options = { exchange: coinbase, channel: "ticker", products: undefined, maxFrameLength: 3 * deep, stats };
  let output = "";
  const text = `{"data":${"[".repeat(deep)}${"]".repeat(deep)}}\n${line(1)}\n`;
  await replay(streamOf(text), options, (lines) => Promise.resolve(void (output += lines)));
  assertEquals([output.split("\n").length - 1, stats.rejectedTotal], [1, 1]);
});

Deno.test("replay() refuses a recording that is still compressed, and says how to read it", async () => {
  const zipped = new Response(new Blob([line(1)]).stream().pipeThrough(new CompressionStream("gzip")));
  await assertRejects(
    () => zipped.bytes().then(run),
    Error,
    "it is compressed: gzip -dc FILE | deno task replay -",
  );
});
