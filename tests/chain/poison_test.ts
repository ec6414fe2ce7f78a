// Any program may write to the topic: Telegraf stores a valid record as it is, and shows an invalid one with its reason without
// losing a valid one.

import { assert, assertEquals } from "@std/assert";
import { tell, until } from "../integration/feed.ts";
import { chainMissing, GAPS_TOPIC, produce, type Raw, settle, startChain, TOPIC, waiting } from "./chain.ts";
import { readPoints, readRejected } from "./points.ts";
import { serverTest } from "../servers/test.ts";

const missing = chainMissing();

/** Whole seconds, an hour ago. */
const START = Math.floor(Date.now() / 1000) - 3600;

/** Valid records, each one second after the previous one. */
function* goodRecords(): Generator<string, string> {
  for (let i = 0;; i++) yield JSON.stringify({ product: "GOOD-USD", w_time: START + i, price: i + 0.5 });
}

/** A record with one wrong field, or without it (undefined). */
function record(fields: Record<string, unknown>): string {
  return JSON.stringify({ product: "BAD-USD", w_time: START, price: 1, ...fields });
}

/** A record with a field that JSON.stringify would not write. */
function raw(field: string, text: string): string {
  return record({ [field]: "RAW" }).replace('"RAW"', text);
}

const huge = 900_000;

/** Invalid records, with the reason. */
const POISON: readonly (readonly [reason: string, value: string | Uint8Array | null])[] = [
  ["no-json", "hello"],
  ["no-json", ""],
  ["no-json", null],
  ["no-json", new Uint8Array([0xff, 0xfe, 0x00, 0x80, 0x22])],
  ["no-json", record({}).slice(0, -1)],
  ["no-json", `${record({})}\n${record({})}`],
  ["no-json", raw("price", "NaN")],
  ["no-json", raw("price", "1e999")],
  ["no-json", "[".repeat(19_000)],
  ["no-json", '{"product":'.repeat(1700)],
  ["not-an-object", "null"],
  ["not-an-object", "17"],
  ["not-an-object", '"BTC-USD"'],
  ["not-an-object", `[${record({})}]`],
  ["too-long", "x".repeat(huge)],
  ["too-long", record({ more: "y".repeat(huge) })],
  ["too-long", record({ product: "P".repeat(huge) })],
  ["too-long", "[".repeat(huge)],
  ["bad-product", "{}"],
  ["bad-product", record({ product: undefined })],
  ["bad-product", record({ product: "" })],
  ["bad-product", record({ product: 5 })],
  ["bad-product", record({ product: ["BTC-USD"] })],
  ["bad-product", record({ product: "P".repeat(201) })],
  ["bad-product", record({ product: "BAD\nUSD" })],
  ["bad-product", record({ product: "BAD\0USD" })],
  ["bad-product", record({ product: "BAD\\" })],
  ["bad-product", record({ product: "\\" })],
  ["bad-product", raw("product", '"\\ud800"')],
  ["bad-time", record({ w_time: undefined })],
  ["bad-time", record({ w_time: null })],
  ["bad-time", record({ w_time: String(START) })],
  ["bad-time", record({ w_time: true })],
  ["bad-time", record({ w_time: -START })],
  ["bad-time", record({ w_time: START * 1e3 })],
  ["bad-time", record({ w_time: START * 1e6 })],
  ["bad-time", record({ w_time: "2026-11-24T16:00:00Z" })],
  ["bad-time", raw("w_time", "9".repeat(5000))],
  ["bad-price", record({ price: undefined })],
  ["bad-price", record({ price: null })],
  ["bad-price", record({ price: "37000.12" })],
  ["bad-price", record({ price: true })],
  ["bad-price", record({ price: [1] })],
  ["bad-price", record({ price: { amount: 1 } })],
  ["bad-price", raw("price", "1e301")],
  ["bad-price", raw("price", "9".repeat(5000))],
];

/** What InfluxDB should show of it: the first 1000 bytes, with U+FFFD for invalid UTF-8. */
function seen(value: string | Uint8Array | null): string {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value ?? new Uint8Array();
  return new TextDecoder().decode(bytes.subarray(0, 1000));
}

serverTest(
  missing,
  "Telegraf loses no valid record and shows every invalid one, also when it is killed while InfluxDB is down",
  async () => {
    await using chain = await startChain();
    const { kafka, influx, telegraf } = chain;
    const good = goodRecords();
    const next = (n: number) => Array.from({ length: n }, () => good.next().value);

    const wrong: (readonly [string, string | Uint8Array | null])[] = [...POISON];
    const records: (string | Raw)[] = next(500);
    for (const [, value] of POISON) records.push({ value }, ...next(2));
    for (let i = 0; i < 1000; i++) {
      const value = record({ price: `wrong ${i}` });
      wrong.push(["bad-price", value]);
      records.push(value);
    }
    records.push(...next(300));
    // invalid records are shown whatever their timestamp is
    for (const timestamp of [0, 1, 978_307_200_000, Date.now() + 1_800_000]) {
      const value = `from another time: ${timestamp}`;
      wrong.push(["no-json", value]);
      records.push({ value, timestamp });
    }
    records.push(...next(200));
    const count = 1000 + 2 * POISON.length;

    const since = performance.now();
    await influx.kill();
    await produce(kafka.broker, TOPIC, records);
    await until("Telegraf holds them all", async () => await waiting(telegraf) >= records.length);
    await telegraf.kill();
    await influx.restart();
    await telegraf.restart();
    await settle(chain);

    const points = await readPoints(influx, ["GOOD-USD", "BAD-USD"]);
    assertEquals(points.length, count);
    points.forEach(({ product, timeUs, price }, i) =>
      assertEquals({ product, timeUs, price }, { product: "GOOD-USD", timeUs: (START + i) * 1e6, price: i + 0.5 })
    );
    const key = (reason: string, text: string) => `${reason}: ${text}`;
    const expected = new Set(wrong.map(([reason, value]) => key(reason, seen(value))));
    const found = (await readRejected(influx)).map(({ reason, record }) => key(reason, record));
    assertEquals([...expected.difference(new Set(found))], []);
    assertEquals([...new Set(found).difference(expected)], []);
    // a record that is read twice is one point; an empty record and one without a value are as well if they have the same
    // millisecond
    assert(found.length >= expected.size && found.length <= wrong.length, `${found.length} points`);
    tell(`${points.length} good, ${found.length} wrong in ${Math.round(performance.now() - since)} ms`);
  },
);

/** A record of another program, and the point that it should become. */
const FOREIGN: readonly (readonly [text: string, product: string, timeUs: number, price: number])[] = [
  [`{"product":"nasdaq:AAPL","w_time":1700000000,"price":189.84}`, "nasdaq:AAPL", 1_700_000_000e6, 189.84],
  [`{"product":"A fund, with = spaces","w_time":1700000000,"price":1}`, "A fund, with = spaces", 1_700_000_000e6, 1],
  [`{"product":"東京:7203 é🚀","w_time":1700000000,"price":2750.5}`, "東京:7203 é🚀", 1_700_000_000e6, 2750.5],
  [`{"product":"\\u00e9/\\"q\\"","w_time":1700000000,"price":3}`, 'é/"q"', 1_700_000_000e6, 3],
  [`{"price":37000,"w_time":1700000001.5,"product":"ORDER"}`, "ORDER", 1_700_000_001_500_000, 37_000],
  [` { "product" : "SPACE" ,\n "w_time" : 1.7e9 , "price" : 1E3 } `, "SPACE", 1_700_000_000e6, 1000],
  [`{"product":"MICRO","w_time":1700000000.123457,"price":4e-7}`, "MICRO", 1_700_000_000_123_457, 4e-7],
  [`{"product":"OIL","w_time":1700000000,"price":-37.63}`, "OIL", 1_700_000_000e6, -37.63],
  [`{"product":"ZERO","w_time":1700000000,"price":0}`, "ZERO", 1_700_000_000e6, 0],
  [`{"product":"OLD","w_time":315532800,"price":28.75}`, "OLD", 315_532_800e6, 28.75],
  [
    `{"product":"LONG","w_time":1700000000,"price":0.1234567890123456789}`,
    "LONG",
    1_700_000_000e6,
    0.12345678901234568,
  ],
  [
    `{"product":"MORE","w_time":1700000000,"price":5,"size":1.5,"host":"x","tags":{"a":[1,null]},"price_eur":"4"}`,
    "MORE",
    1_700_000_000e6,
    5,
  ],
  [`{"product":"FIRST","w_time":1700000000,"price":1,"price":2,"product":"LAST"}`, "LAST", 1_700_000_000e6, 2],
  [`{"product":"${"n".repeat(200)}","w_time":1700000000,"price":6}`, "n".repeat(200), 1_700_000_000e6, 6],
];

serverTest(missing, "Telegraf stores product, time and price of any program's records, and nothing else", async () => {
  await using chain = await startChain();
  const { kafka, influx } = chain;
  await produce(kafka.broker, TOPIC, FOREIGN.map(([text]) => text));
  // invalid gaps
  const gap = { exchange: "coinbase", product: "G", opened: START, from: null, to: null, reason: "x", dropped: 0 };
  const wrongGaps: [string, Record<string, unknown>][] = [
    ["bad-gap", gap],
    ["bad-gap", { ...gap, missed: "no" }],
    ["bad-gap", { ...gap, missed: true, dropped: -1 }],
    ["bad-gap", { ...gap, missed: true, reason: 7 }],
    ["bad-time", { ...gap, missed: true, from: "yesterday" }],
    ["bad-time", { ...gap, missed: true, opened: START * 1000 }],
    ["bad-product", { ...gap, missed: true, product: null }],
  ];
  await produce(kafka.broker, GAPS_TOPIC, wrongGaps.map(([, value]) => JSON.stringify(value)));
  await settle(chain);

  const byName = (a: { product: string }, b: { product: string }) => a.product < b.product ? -1 : 1;
  assertEquals(
    (await readPoints(influx, FOREIGN.map(([, product]) => product))).sort(byName),
    FOREIGN.map(([, product, timeUs, price]) => ({ product, timeUs, price })).sort(byName),
  );
  const rejected = (await readRejected(influx)).map(({ reason, record }) => `${reason} ${record}`).sort();
  assertEquals(rejected, wrongGaps.map(([reason, value]) => `${reason} ${JSON.stringify(value)}`).sort());
  // no other fields or tags
  const [keys] = await influx.query(`
      from(bucket: "${influx.bucket}")
        |> range(start: 0, stop: 1h)
        |> filter(fn: (r) => r._measurement == "kafka_consumer")
        |> group()
        |> first()
    `);
  assertEquals(
    Object.keys(keys ?? {}).sort(),
    ["_field", "_measurement", "_start", "_stop", "_time", "_value", "product", "result", "table"],
  );
});
