// `main.ts` reads the lines that the benches print.

import { assertEquals } from "@std/assert";
import { median, percentile, resultOf, tableOf } from "./report.ts";

const LINES: [line: string, result: unknown][] = [
  ["ok   rate, of a bare one: 1.2 times (3/s; bare 2/s); wanted: at least 1.0 times", {
    what: "rate, of a bare one",
    value: "1.2 times (3/s; bare 2/s)",
    wanted: "at least 1.0 times",
    isMet: true,
  }],
  ["MISS memory: 201 MB; wanted: at most 200 MB", {
    what: "memory",
    value: "201 MB",
    wanted: "at most 200 MB",
    isMet: false,
  }],
  ["note first candle: 700 ms (median of 15)", { what: "first candle", value: "700 ms (median of 15)" }],
  ["round 1: 3/s", undefined],
  ["     a day: 57 MB", undefined],
  ["ok", undefined],
];
for (const [line, result] of LINES) {
  Deno.test(`resultOf() reads ${JSON.stringify(line)}`, () => assertEquals(resultOf(line), result));
}

Deno.test("tableOf() aligns its columns", () => {
  assertEquals(
    tableOf(LINES.flatMap(([line]) => resultOf(line) ?? [])),
    `
| what                | measured                  | wanted             |      |
| ------------------- | ------------------------- | ------------------ | ---- |
| rate, of a bare one | 1.2 times (3/s; bare 2/s) | at least 1.0 times | ok   |
| memory              | 201 MB                    | at most 200 MB     | MISS |
| first candle        | 700 ms (median of 15)     |                    |      |
`.trim(),
  );
});

Deno.test("median() and percentile() take one of the values", () => {
  assertEquals([median([3, 1, 2]), median([4, 1, 2, 3]), median([])], [2, 3, NaN]);
  assertEquals([percentile([5, 1, 4, 2, 3], 0.99), percentile([1, 2, 3, 4], 0)], [5, 1]);
});
