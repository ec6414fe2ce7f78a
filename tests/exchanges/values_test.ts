import { assert, assertEquals } from "@std/assert";
import { parseCount, parseDecimal, parsePrice, parseTimeUs } from "../../src/exchanges/values.ts";
import { forSeeds } from "../fakes/random.ts";

const PRICES: [text: string, price: number | undefined][] = [
  ["37000.12", 37000.12],
  ["100", 100],
  ["0.07", 0.07],
  ["4095.00000000", 4095],
  ["007", 7],
  ["0.00000001", 1e-8],
  ["0.0000000000000000000001", 1e-22],
  ["123456789012345", 123456789012345],
  ["999999999999999", 999999999999999],
  ["1234567890.12345", 1234567890.12345],
  // 16 digits and more: taken where a double keeps them
  ["9007199254740992", 9007199254740992],
  ["9007199254740993", undefined],
  ["1000000000000000", 1000000000000000],
  ["0.1234567890123456", 0.1234567890123456],
  ["0.12345678901234567", undefined],
  ["100000000.000000001", undefined],
  ["0.1000000000000000055511151231257827", undefined],
  ["1.0000000000000000000000000", 1],
  ["100000000000000000000000", 1e23],
  ["100000000000000000000001", undefined],
  [`1${"0".repeat(308)}`, 1e308],
  [`1${"0".repeat(309)}`, undefined],
  [`0.${"0".repeat(400)}1`, undefined],
  ["0", undefined],
  ["0.000", undefined],
];
for (const [text, price] of PRICES) {
  const shown = text.length > 40 ? `${text.slice(0, 10)}... (${text.length} characters)` : text;
  Deno.test(`parsePrice() ${price === undefined ? "refuses" : "keeps"} ${shown}`, () => {
    assertEquals(parsePrice(text), price);
  });
}

Deno.test("parsePrice() gives a number that equals the text, or nothing", () =>
  forSeeds(50_000, (random) => {
    const digits = (count: number) => Array.from({ length: count }, () => random.int(0, 9)).join("");
    const text = digits(random.int(1, 19)) + (random.chance(0.8) ? `.${digits(random.int(1, 12))}` : "");
    const price = parsePrice(text);
    const [whole = "", fraction = ""] = text.split(".");
    const sent = BigInt(whole + fraction);
    if (price === undefined) {
      assert(sent === 0n || (whole + fraction).replace(/^0+/, "").length > 15, `${text} is short enough to keep`);
      return;
    }
    assertEquals(price, Number(text));
    // the shortest decimal of the double, in units of the text's last digit
    const [mantissa = "", exponent = "0"] = price.toExponential().split("e");
    const [head = "", tail = ""] = mantissa.split(".");
    const shift = Number(exponent) - tail.length + fraction.length;
    assert(shift >= 0 || sent === 0n, `${text} lost digits`);
    assertEquals(BigInt(head + tail) * 10n ** BigInt(shift), sent, text);
  }));

Deno.test("parseDecimal() gives what Number() gives, for every text of digits with or without a point", () =>
  forSeeds(50_000, (random) => {
    const digits = (count: number) => Array.from({ length: count }, () => random.int(0, 9)).join("");
    const text = digits(random.int(1, 12)) + (random.chance(0.8) ? `.${digits(random.int(1, 12))}` : "");
    assertEquals(parseDecimal(text), Number(text), text);
  }));

for (
  const value of [
    "",
    ".",
    "5.",
    ".5",
    "-5",
    "+5",
    "1e3",
    "0x10",
    " 5",
    "5 ",
    "5\n",
    "1_000",
    "1,5",
    "1.2.3",
    "1..2",
    "٣",
    "NaN",
    "Infinity",
    `${"1".repeat(20)}.`,
    `-${"1".repeat(20)}`,
    `${"1".repeat(20)}.5.5`,
    5,
    null,
    undefined,
    true,
    [],
    [5],
    {},
    5n,
  ]
) {
  Deno.test(`parseDecimal() refuses ${typeof value} ${typeof value === "bigint" ? value : JSON.stringify(value)}`, () => {
    assertEquals([parseDecimal(value), parsePrice(value)], [undefined, undefined]);
  });
}

Deno.test("parseDecimal() takes zero: a size may be none", () => {
  assertEquals([parseDecimal("0"), parseDecimal("0.00000000")], [0, 0]);
});

for (
  const [value, count] of [
    [0, 0],
    [137212619516, 137212619516],
    [2 ** 53 - 1, 2 ** 53 - 1],
    [2 ** 53, undefined],
    [-1, undefined],
    [1.5, undefined],
    [NaN, undefined],
    [Infinity, undefined],
    ["5", undefined],
    [null, undefined],
    [true, undefined],
    [[5], undefined],
    [undefined, undefined],
  ]
) {
  Deno.test(`parseCount() of ${typeof value} ${String(value)} is ${count}`, () => {
    assertEquals(parseCount(value), count as number | undefined);
  });
}

const TIMES: [text: string, us: number | undefined][] = [
  ["2026-10-03T20:58:31.127510Z", 1_791_061_111_127_510],
  ["2026-10-03T20:58:31Z", 1_791_061_111_000_000],
  ["2026-10-03T20:58:31.1Z", 1_791_061_111_100_000],
  ["2026-10-03T20:58:31.12Z", 1_791_061_111_120_000],
  ["2026-10-03T20:58:31.818Z", 1_791_061_111_818_000],
  ["2026-10-03T20:58:31.0001Z", 1_791_061_111_000_100],
  ["2026-10-03T20:58:31.00001Z", 1_791_061_111_000_010],
  ["2026-10-03T20:58:31.000001Z", 1_791_061_111_000_001],
  ["2026-10-03T20:58:31.0162749Z", 1_791_061_111_016_274],
  ["2026-10-03T20:58:31.18623968Z", 1_791_061_111_186_239],
  ["2026-10-03T20:58:31.999999999Z", 1_791_061_111_999_999],
  ["2026-10-03t20:58:31.5z", 1_791_061_111_500_000],
  ["2026-10-03T22:58:31+02:00", 1_791_061_111_000_000],
  ["2026-10-03T15:28:31.25-05:30", 1_791_061_111_250_000],
  ["2026-10-03T20:58:31-00:00", 1_791_061_111_000_000],
  ["1970-01-01T00:00:00Z", 0],
  ["1970-01-01T00:00:00.000001Z", 1],
  ["1969-12-31T23:30:00-01:00", 1_800_000_000],
  ["2024-02-29T00:00:00Z", 1_709_164_800_000_000],
  ["2000-02-29T12:00:00Z", 951_825_600_000_000],
  // a leap second is the first second of the next minute, as unix time has it
  ["2016-12-31T23:59:60Z", 1_483_228_800_000_000],
  ["2016-12-31T23:59:60.5Z", 1_483_228_800_500_000],
  ["2038-01-19T03:14:08Z", 2_147_483_648_000_000],
  ["2026-10-03T20:58:31.1275101234Z", undefined],
  ["2026-10-03T20:58:31.Z", undefined],
  ["2026-10-03T20:58:31.12", undefined],
  ["2026-10-03T20:58:31", undefined],
  ["2026-10-03T20:58:31.-5Z", undefined],
  ["2026-10-03T20:58:31,5Z", undefined],
  ["2026-10-03 20:58:31Z", undefined],
  ["2026-10-03T20:58Z", undefined],
  ["2026-10-03", undefined],
  ["20261003T205831Z", undefined],
  ["+002026-10-03T20:58:31Z", undefined],
  ["-2026-10-03T20:58:31Z", undefined],
  [" 2026-10-03T20:58:31Z", undefined],
  ["2026-10-03T20:58:31Z ", undefined],
  ["2026-10-03T20:58:31Z\n", undefined],
  ["2026-10-03T20:58:31ZZ", undefined],
  ["2026-10-03T20:58:31+0200", undefined],
  ["2026-10-03T20:58:31+24:00", undefined],
  ["2026-10-03T20:58:31+02:60", undefined],
  ["2026-10-03T20:58:61Z", undefined],
  ["2026-10-03T20:60:31Z", undefined],
  ["2026-10-03T24:00:00Z", undefined],
  ["2026-02-30T00:00:00Z", undefined],
  ["2025-02-29T00:00:00Z", undefined],
  ["2100-02-29T00:00:00Z", undefined],
  ["2026-04-31T00:00:00Z", undefined],
  ["2026-00-10T00:00:00Z", undefined],
  ["2026-13-10T00:00:00Z", undefined],
  ["2026-10-00T00:00:00Z", undefined],
  ["2026-10-32T00:00:00Z", undefined],
  ["1969-12-31T23:59:59.999999Z", undefined],
  ["1970-01-01T00:30:00+01:00", undefined],
  ["0001-01-01T00:00:00.000000Z", undefined],
  ["0000-01-01T00:00:00Z", undefined],
  ["0070-01-01T00:00:00Z", undefined],
  ["２026-10-03T20:58:31Z", undefined],
  ["", undefined],
  ["Z", undefined],
  ["now", undefined],
];
for (const [text, us] of TIMES) {
  Deno.test(`parseTimeUs() ${us === undefined ? "refuses" : "reads"} ${JSON.stringify(text)}`, () => {
    assertEquals(parseTimeUs(text), us);
    // whatever was read before
    parseTimeUs("2026-10-03T20:58:31Z");
    assertEquals(parseTimeUs(text), us);
  });
}

for (const value of [1_791_061_111, null, undefined, true, [], ["2026-10-03T20:58:31Z"], {}, new Date(0)]) {
  Deno.test(`parseTimeUs() refuses ${typeof value} ${JSON.stringify(value)}`, () => {
    assertEquals(parseTimeUs(value), undefined);
  });
}

Deno.test("parseTimeUs() reads back every microsecond that was written", () =>
  forSeeds(20_000, (random) => {
    const us = random.int(0, 4_102_444_800) * 1e6 + random.int(0, 999_999);
    const digits = random.int(6, 9);
    const fraction = String(us % 1e6).padStart(6, "0") + "0".repeat(digits - 6);
    const text = `${new Date(Math.floor(us / 1000)).toISOString().slice(0, 19)}.${fraction}Z`;
    assertEquals(parseTimeUs(text), us, text);
  }));
