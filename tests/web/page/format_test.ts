import { assertEquals } from "@std/assert";
import {
  ageText,
  awayText,
  changeText,
  clockText,
  dayText,
  decimalsOf,
  markText,
  PriceDigits,
  priceText,
  rateText,
  volumeText,
  windowText,
} from "../../../src/web/page/format.ts";
import { secondsText } from "../../../src/core/duration.ts";

const DECIMALS: [value: number, decimals: number][] = [
  [90000.12, 2],
  [90000, 0],
  [0.4123, 4],
  [0.00001234, 8],
  [1e-7, 7],
  [1.5e-7, 8],
  [7.13e-9, 11],
  [5.1234e-12, 16],
  [123456789.12345678, 8],
  [1e21, 0],
  [1e-30, 20],
];
for (const [value, decimals] of DECIMALS) {
  Deno.test(`page format: ${value} has ${decimals} decimals`, () => assertEquals(decimalsOf(value), decimals));
}

const PRICES: [prices: number[], text: string][] = [
  [[90000.12], "90,000.12"],
  [[90000.12, 90000.1], "90,000.10"],
  [[90000.1, 90000.12, 90000], "90,000.00"],
  [[0.4123], "0.4123"],
  [[0.00001234], "0.00001234"],
  [[0.0000051234], "0.0000051234"],
  [[0.00000000713], "0.00000000713"],
  [[0.0000051234, 0.000005], "0.0000050000"],
  [[5.1234e-12], "0.0000000000051234"],
  [[0.4, 0.3999, 0.4], "0.4000"],
  [[14.12, 14], "14.00"],
  [[17.5], "17.50"],
  [[17.072, 17], "17.000"],
  [[13500000], "13,500,000"],
  [[3000], "3,000.00"],
];
for (const [prices, text] of PRICES) {
  Deno.test(`page format: the last of ${prices.join(", ")} is written ${text}`, () => {
    const digits = new PriceDigits();
    for (const price of prices) digits.see(price);
    assertEquals(priceText(prices.at(-1) ?? 0, digits.digits), text);
  });
}

Deno.test("page format: digits tell when they grow, and never shrink", () => {
  const digits = new PriceDigits();
  assertEquals(digits.digits, 0);
  assertEquals([90000.1, 90000.12, 90000.1, 1].map((price) => digits.see(price)), [true, true, false, false]);
});

const TEXTS: [name: string, text: string, wanted: string][] = [
  ["a rise", changeText(1.254), "+1.25%"],
  ["a fall", changeText(-0.4), "−0.40%"],
  ["next to nothing", changeText(-0.001), "0.00%"],
  ["a rocket", changeText(12345.6), "+12346%"],
  ["a moment", secondsText(0.42), "0.4 s"],
  ["a clock that lags", secondsText(-3), "0.0 s"],
  ["some seconds", secondsText(12.4), "12 s"],
  ["minutes", secondsText(185), "3 min"],
  ["hours", secondsText(7300), "2 h"],
  ["days", secondsText(3 * 86_400), "3 d"],
  ["a new price", ageText(1.9), "now"],
  ["an old price", ageText(2.9), "2 s"],
  ["the machine next door", awayText(0.004), "under 0.1 s away"],
  ["an exchange", awayText(0.44), "0.4 s away"],
  ["a slow rate", rateText(0.333, "ticks"), "0.3 ticks/s"],
  ["a whole rate", rateText(8), "8/s"],
  ["a fast rate", rateText(1234.5, "frames"), "1,235 frames/s"],
  ["no rate", rateText(0), "0/s"],
  ["a volume", volumeText(0.1 + 0.2), "0.3"],
  ["a large volume", volumeText(1234567.891), "1,234,567.9"],
];
for (const [name, text, wanted] of TEXTS) {
  Deno.test(`page format: ${name} is ${wanted}`, () => assertEquals(text, wanted));
}

// 2026-11-24T18:21:00Z, a Tuesday
const TIME = 1795544460;
const TIMES: [name: string, text: string, wanted: string][] = [
  ["a clock", clockText(TIME, "UTC", false), "18:21"],
  ["a clock with seconds", clockText(TIME + 5, "UTC", true), "18:21:05"],
  ["midnight", clockText(1795564800, "UTC", false), "00:00"],
  ["a day", dayText(TIME, "UTC"), "Tue 24 Nov 2026"],
  ["a window of a minute", windowText(TIME, "1m", "UTC"), "Tue 24 Nov 2026 18:21 to 18:22"],
  ["a window of five seconds", windowText(TIME, "5s", "UTC"), "Tue 24 Nov 2026 18:21:00 to 18:21:05"],
  ["a window over midnight", windowText(1795550400, "4h", "UTC"), "Tue 24 Nov 2026 20:00 to Wed 25 Nov 2026 00:00"],
  ["a day's window", windowText(1795478400, "1d", "UTC"), "Tue 24 Nov 2026"],
  ["a week's window", windowText(1795392000, "1w", "UTC"), "week of Mon 23 Nov 2026"],
  ["a mark of a year", markText(TIME, "UTC", "year"), "2026"],
  ["a mark of a month", markText(TIME, "UTC", "month"), "Nov"],
  ["a mark of a day", markText(TIME, "UTC", "day"), "24 Nov"],
  ["a mark of a minute", markText(TIME, "UTC", "time"), "18:21"],
  ["a mark of a second", markText(TIME, "UTC", "second"), "18:21:00"],
];
for (const [name, text, wanted] of TIMES) {
  Deno.test(`page format: ${name} is ${wanted}`, () => assertEquals(text, wanted));
}
