// Real responses of InfluxDB, and invalid ones.

import { assertEquals, assertThrows } from "@std/assert";
import { parseFluxCsv } from "./flux_csv.ts";

const lines = (...text: string[]) => text.join("\r\n") + "\r\n";

Deno.test("parseFluxCsv() reads types, defaults, nulls, and several tables with different columns", () => {
  const text = lines(
    "#datatype,string,long,dateTime:RFC3339,double,boolean,string",
    "#default,_result,,,,,",
    ",result,table,_time,_value,missed,product",
    ",,0,2023-11-14T22:13:20.000001Z,1.5,true,BTC-USD",
    ",,1,2023-11-14T22:13:20.000002Z,,false,",
    "",
    "#datatype,string,long,long",
    "#default,counts,,",
    ",result,table,_value",
    ",,0,-3",
    "",
  );
  assertEquals(parseFluxCsv(text), [
    {
      result: "_result",
      table: 0,
      _time: "2023-11-14T22:13:20.000001Z",
      _value: 1.5,
      missed: true,
      product: "BTC-USD",
    },
    { result: "_result", table: 1, _time: "2023-11-14T22:13:20.000002Z", _value: null, missed: false, product: null },
    { result: "counts", table: 0, _value: -3 },
  ]);
});

Deno.test("parseFluxCsv() reads texts with commas, quotes and line ends", () => {
  const text = lines(
    "#datatype,string,string",
    "#default,,",
    ",a,b",
    ',"say ""hi"", you","two\r\nlines"',
    ',"","="',
  );
  assertEquals(parseFluxCsv(text), [{ a: 'say "hi", you', b: "two\nlines" }, { a: null, b: "=" }]);
});

Deno.test("parseFluxCsv() reads infinite numbers and empty responses", () => {
  const text = lines("#datatype,double,double", "#default,,", ",a,b", ",+Inf,-Inf");
  assertEquals(parseFluxCsv(text), [{ a: Infinity, b: -Infinity }]);
  assertEquals(parseFluxCsv(""), []);
  assertEquals(parseFluxCsv("\r\n"), []);
});

const wrong: [string, string][] = [
  ["an error in the middle", lines("#datatype,string,string", "#default,,", ",error,reference", ",boom,897")],
  ["a row that is too short", lines("#datatype,string,string", "#default,,", ",a,b", ",1")],
  ["an integer that no number holds", lines("#datatype,long", "#default,", ",a", ",9007199254740993")],
  ["a cell that does not end", lines("#datatype,string", "#default,", ",a", ',"b')],
];
for (const [name, text] of wrong) {
  Deno.test(`parseFluxCsv() throws at ${name}`, () => void assertThrows(() => parseFluxCsv(text)));
}
