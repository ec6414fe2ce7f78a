// `deno task export`, also while the store is written.

import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { exportStore } from "../../src/commands/export.ts";
import { ConfigError, SinkError } from "../../src/core/errors.ts";
import { toGapRecord } from "../../src/core/record.ts";
import { TIME_WISH, timeOf } from "../../src/core/terminal.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { ticksOf } from "../fakes/ticks.ts";
import { exported, never, NOW, output, test } from "./shop.ts";

test("export writes ticks as CSV, with the exchange's digits and empty places for what is not known", async ({ path, store }) => {
  const first = makeTick({
    exchangeTimeUs: 1_700_000_000_123_456,
    recordTimeUs: 1_700_000_000_000_000,
    receivedTime: 1_700_000_000_500,
  });
  await store.write([
    { ...first, lastSize: 4e-7, side: "sell", tradeId: 7 },
    { ...first, exchange: "kraken", product: 'A,"B"', price: 0.1 + 0.2 },
  ], never);
  assertEquals(await exported(path), [
    "product,w_time,price,time,sequence,size,side,trade,received",
    "BTC-USD,1700000000,61234.56,1700000000.123456,1000,4e-7,sell,7,1700000000.5",
    '"kraken:A,""B""",1700000000,0.30000000000000004,1700000000.123456,1000,,,,1700000000.5',
  ]);
});

test("export writes ticks as JSON lines of one product in a range", async ({ path, store }) => {
  await store.write([...ticksOf("BTC-USD", 100), ...ticksOf("ETH-USD", 100)], never);
  const lines = await exported(
    path,
    "--product",
    "ETH-USD",
    "--format=jsonl",
    "--from",
    "50",
    "--to",
    "1970-01-01T00:00:53Z",
  );
  assertEquals(
    lines,
    [50, 51, 52].map((n) =>
      `{"product":"ETH-USD","w_time":${n},"price":${n},"time":${n},"sequence":${n},"received":${n}}`
    ),
  );
  assertEquals((await exported(path, "--product=BTC-USD,ETH-USD", "--from", "1970-01-01")).length, 201);
});

test("export writes candles of any length, and gaps", async ({ path, store }) => {
  const gap = makeGap({ opened: 70, from: 61, to: 62.5 });
  await store.write(
    [...ticksOf("BTC-USD", 120), gap, makeGap({ opened: 5000, from: 4000, product: "ETH-USD" })],
    never,
  );
  assertEquals(await exported(path, "--what", "candles"), [
    "product,interval,time,open,high,low,close,ticks,volume,running,incomplete",
    "BTC-USD,1m,0,1,59,1,59,59,,false,false",
    "BTC-USD,1m,60,60,119,60,119,60,,false,true",
    "BTC-USD,1m,120,120,120,120,120,1,,false,false",
  ]);
  assertEquals(
    (await exported(path, "--what", "candles", "--interval", "1s", "--from", "60", "--to", "70")).length,
    11,
  );
  assertEquals(await exported(path, "--what", "gaps", "--product", "BTC-USD", "--format", "jsonl"), [toGapRecord(gap)]);
  assertEquals(await exported(path, "--what", "gaps"), [
    "exchange,product,opened,from,to,reason,dropped,missed",
    "coinbase,BTC-USD,70,61,62.5,link-closed,0,true",
    "coinbase,ETH-USD,5000,4000,,link-closed,0,true",
  ]);
});

test("export writes everything in pieces, while more is stored", async ({ path, store }) => {
  const COUNT = 60_000;
  for (let n = 1; n <= COUNT; n += 5000) await store.write(ticksOf("BTC-USD", 5000, n), never);
  let next = COUNT + 1, longest = 0;
  const out = output(async (text) => {
    longest = Math.max(longest, text.length);
    await store.write(ticksOf("BTC-USD", 100, next), never);
    next += 100;
  });
  await exportStore([], path, out, NOW);
  assertGreater(out.kept.writes, 10);
  assert(longest < 100_000, String(longest));
  const sequences = out.kept.text.split("\n").slice(1, -1).map((line) => Number(line.split(",")[4]));
  assertEquals(sequences.slice(0, COUNT), Array.from({ length: COUNT }, (_, i) => i + 1));
  // and those that came meanwhile, as far as they were seen: none twice, none out of order
  assertEquals(sequences, sequences.map((_, i) => i + 1));
  const candles = await exported(path, "--what", "candles", "--interval", "1s");
  assertEquals(candles.length, next);
});

test("export ends without an error when its reader stops", async ({ path, store }) => {
  await store.write(ticksOf("BTC-USD", 5000), never);
  const out = output(() => {
    throw new Deno.errors.BrokenPipe("Broken pipe");
  });
  await exportStore([], path, out, NOW);
  assertEquals(out.kept.text, "");
});

test("export says what a product must be called, and what is missing", async ({ folder, path, store }) => {
  await store.write(ticksOf("BTC-USD", 1), never);
  await assertRejects(
    () => exported(path, "--product", "BTC/USD"),
    ConfigError,
    'Cannot use --product: expected a product of the store (BTC-USD), got "BTC/USD"',
  );
  await assertRejects(
    () => exported(`${folder}/nothing.sqlite`),
    SinkError,
    `Cannot read the store ${folder}/nothing.sqlite: no such file`,
  );
});

Deno.test("export reports all problems of its arguments at once", async () => {
  const error = await assertRejects(
    () =>
      exported(
        "",
        ...[
          "--what",
          "prices",
          "--format=xml",
          "--interval",
          "7x",
          "--from",
          "yesterday",
          "--to",
          "1",
          "--colour",
          "red",
        ],
        "--product",
      ),
    ConfigError,
  );
  assertEquals(error.problems, [
    "Cannot use --colour: there is no such option, see --help",
    "Cannot use --product: expected a value, see --help",
    'Cannot use "red": expected only options (see --help)',
    'Cannot use --what: expected ticks, candles or gaps, got "prices"',
    'Cannot use --format: expected csv or jsonl, got "xml"',
    'Cannot use --interval: expected 1s, 5s, 15s, 30s, 1m, 5m, 15m, 30m, 1h, 4h, 1d or 1w, got "7x"',
    "Cannot use --interval: expected --what candles, got ticks",
    'Cannot use --from: expected unix seconds like 1700000000 or 1700000000.25, or a date like 2026-10-03T21:00:00Z, got "yesterday"',
    'Cannot export: expected the name of a store in STORE_FILE or --file, got ""',
  ]);
  const turned = await assertRejects(
    () => exported("x", "--from", "2026-10-03", "--to", "2026-10-02 12:30"),
    ConfigError,
  );
  assertEquals(turned.problems, [
    'Cannot use --to: expected a time after --from "2026-10-03", got "2026-10-02 12:30"',
  ]);
});

Deno.test("export refuses milliseconds, as they would be a time after the year 9999", async () => {
  for (const name of ["--from", "--to"]) {
    const error = await assertRejects(() => exported("x", name, "1700000000000"), ConfigError);
    assertEquals(error.problems, [
      `Cannot use ${name}: expected ${TIME_WISH}, got "1700000000000"`,
    ]);
  }
  assertEquals([timeOf("253402300799"), timeOf("253402300800"), timeOf("9999-12-31T23:59:59Z")], [
    253_402_300_799,
    NaN,
    253_402_300_799,
  ]);
});

test("export says that it is stdout which takes no more, not the store's disk", async ({ path, store }) => {
  await store.write(ticksOf("BTC-USD", 10), never);
  for (const words of ["No space left on device (os error 28)", "Input/output error (os error 5)"]) {
    const out = output(() => {
      throw new Error(words);
    });
    const error = await assertRejects(() => exportStore([], path, out, NOW), SinkError);
    assertEquals([error.kind, error.message], ["fatal", `Cannot write the export to stdout: ${words}`]);
  }
});
