import { assertEquals } from "@std/assert";
import { GapTimes, recordTime, seriesOf, tickId, toGapRecord, toRecord } from "../../src/core/record.ts";
import { makeGap, makeTick } from "../fakes/events.ts";
import { forSeeds } from "../fakes/random.ts";

const RECORDS = [
  { price: 37000.12, us: 1_700_000_000_000_000, record: '{"product":"BTC-USD","w_time":1700000000,"price":37000.12}' },
  { price: 100, us: 1_700_000_000_000_001, record: '{"product":"BTC-USD","w_time":1700000000.000001,"price":100}' },
  { price: 0.07, us: 1_700_000_000_127_510, record: '{"product":"BTC-USD","w_time":1700000000.12751,"price":0.07}' },
  { price: 0.000001, us: 0, record: '{"product":"BTC-USD","w_time":0,"price":0.000001}' },
  { price: 0.0000004, us: 999_999, record: '{"product":"BTC-USD","w_time":0.999999,"price":4e-7}' },
  { price: 123456789012345, us: 1e6, record: '{"product":"BTC-USD","w_time":1,"price":123456789012345}' },
];
for (const { price, us, record } of RECORDS) {
  Deno.test(`toRecord() writes ${record}`, () => {
    assertEquals(toRecord(makeTick({ price, recordTimeUs: us })), record);
  });
}

Deno.test("toRecord() names a product of another exchange behind the exchange", () => {
  const tick = makeTick({ exchange: "kraken", product: "BTC/USD", price: 1, recordTimeUs: 1e6 });
  assertEquals(toRecord(tick), '{"product":"kraken:BTC/USD","w_time":1,"price":1}');
});

Deno.test("toRecord() keeps the same product of two exchanges apart, in any order", () => {
  const names = ["kraken", "coinbase", "kraken", "coinbase"].map((exchange) =>
    JSON.parse(toRecord(makeTick({ exchange, product: "BTC-USD" }))).product
  );
  assertEquals(names, ["kraken:BTC-USD", "BTC-USD", "kraken:BTC-USD", "BTC-USD"]);
});

Deno.test("toRecord() writes JSON even where a product's name needs escapes", () => {
  assertEquals(JSON.parse(toRecord(makeTick({ product: 'A"\\\n-USD' }))).product, 'A"\\\n-USD');
});

Deno.test("toRecord() takes the record's time, not the exchange's", () => {
  assertEquals(JSON.parse(toRecord(makeTick({ exchangeTimeUs: 5_000_000, recordTimeUs: 5_000_007 }))).w_time, 5.000007);
});

Deno.test("toRecord() keeps each price and each microsecond until 2106, and the three fields in order", () =>
  forSeeds(20_000, (random) => {
    const text = `${random.int(0, 10 ** random.int(0, 7))}.${
      String(random.int(1, 99_999_999)).padStart(random.int(1, 8), "0")
    }`;
    const us = random.int(0, 0xffff_ffff) * 1e6 + random.int(0, 999_999);
    const record = toRecord(makeTick({ price: Number(text), recordTimeUs: us }));
    const read = JSON.parse(record);
    assertEquals(Object.keys(read), ["product", "w_time", "price"]);
    assertEquals(read.price, Number(text));
    assertEquals(Math.round(read.w_time * 1e6), us);
    // also as text: other languages may read decimals
    const [seconds, fraction = ""] = record.replace(/.*"w_time":([\d.]+),.*/, "$1").split(".");
    assertEquals(seconds + fraction.padEnd(6, "0"), String(us).padStart(7, "0"));
  }));

Deno.test("recordTime() is the record's time in seconds", () => {
  assertEquals(recordTime(makeTick({ recordTimeUs: 1_700_000_000_250_000 })), 1_700_000_000.25);
});

for (
  const [exchange, product, series] of [["coinbase", "BTC-USD", "BTC-USD"], ["kraken", "BTC/USD", "kraken:BTC/USD"]]
) {
  Deno.test(`seriesOf() calls ${product} of ${exchange} ${series}`, () => {
    assertEquals(seriesOf(exchange as string, product as string), series);
  });
}

Deno.test("tickId() holds exchange, product and the whole sequence", () => {
  assertEquals(tickId(makeTick({ sequence: 9_007_199_254_740_991 })), "coinbase:BTC-USD:9007199254740991");
});

Deno.test("toGapRecord() writes the fields of the contract in order, null while it lasts", () => {
  const gap = makeGap({ opened: 1700000015.25, from: 1700000000, reason: "link-silent" });
  assertEquals(
    toGapRecord(gap),
    '{"exchange":"coinbase","product":"BTC-USD","opened":1700000015.25,"from":1700000000,"to":null,' +
      '"reason":"link-silent","dropped":0,"missed":true}',
  );
});

Deno.test("toGapRecord() names the product as toRecord() does", () => {
  assertEquals(JSON.parse(toGapRecord(makeGap({ exchange: "kraken", product: "BTC/USD" }))).product, "kraken:BTC/USD");
});

Deno.test("GapTimes gives our clock in whole ms, the same to all products", () => {
  const times = new GapTimes();
  for (const product of ["BTC-USD", "ETH-USD"]) {
    assertEquals(times.next(1_700_000_015_250.75, "coinbase", product), 1_700_000_015.25);
  }
});

Deno.test("GapTimes gives no product the same time twice, and follows a clock that is set back", () => {
  const times = new GapTimes([["coinbase", "BTC-USD", 1_600_000_000.001], ["coinbase", "ETH-USD", 1_600_000_000]]);
  const next = (now: number) => times.next(now, "coinbase", "BTC-USD");
  // three days ahead, corrected, and a moment that an earlier run has used
  assertEquals(next(1_700_259_200_000), 1_700_259_200);
  assertEquals([next(1_700_000_000_000), next(1_700_000_000_000), next(1_700_000_000_000)], [
    1_700_000_000,
    1_700_000_000.001,
    1_700_000_000.002,
  ]);
  assertEquals([next(1_600_000_000_000), next(1_600_000_000_000)], [1_600_000_000, 1_600_000_000.002]);
});

Deno.test("GapTimes tells the newest names and forgets the oldest of very many", () => {
  const times = new GapTimes();
  for (let i = 0; i < 50_001; i++) times.next(i * 10, "coinbase", "BTC-USD");
  assertEquals(times.newest(2), [["coinbase", "BTC-USD", 499.99], ["coinbase", "BTC-USD", 500]]);
  assertEquals(times.newest(Infinity).length, 50_000);
});
