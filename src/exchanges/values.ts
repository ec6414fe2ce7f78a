// Reads and checks values in an exchange's messages. Plain Number() accepts too much:
// Number(true) is 1, Number("") is 0, Number([5]) is 5, Number("0x10") is 16.

const DECIMAL = /^\d+(?:\.\d+)?$/;
const SECOND = /^(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d):(\d\d)$/;
const OFFSET = /^([+-])(\d\d):(\d\d)$/;

/** Ticks further ahead of our clock are rejected, ms: Kafka refuses a whole batch if one record is an hour ahead. */
export const MAX_AHEAD_MS = 600_000;

const POWERS = Array.from({ length: 17 }, (_, i) => 10 ** i);

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/**
 * Reads a price from decimal text: finite, above zero, and exactly what the text says. Undefined for anything else: signs,
 * exponents, other types, and more digits than a double can hold.
 */
export function parsePrice(text: unknown): number | undefined {
  const price = parseDecimal(text);
  if (price === undefined || price === 0) return undefined;
  // a double always holds 15 significant digits; only longer texts need the check
  return (text as string).length <= 15 || keepsDigits(text as string, price) ? price : undefined;
}

/** Reads a finite number from decimal text like `12` or `12.5`; undefined for anything else. Digits beyond the 15th may be lost. */
export function parseDecimal(text: unknown): number | undefined {
  if (typeof text !== "string") return undefined;
  // Up to 15 digits, integer / power of ten gives the same double as Number() (both operands are exact, and the division
  // rounds once), in less than half the time.
  const { length } = text;
  if (length > 15) return parseLongDecimal(text);
  let digits = 0;
  let point = length;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (isDigit(code)) digits = digits * 10 + code - 48;
    else if (code === 46 && point === length && i > 0 && i < length - 1) point = i + 1;
    else return undefined;
  }
  return length === 0 ? undefined : digits / (POWERS[length - point] as number);
}

function parseLongDecimal(text: string): number | undefined {
  if (!DECIMAL.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function keepsDigits(text: string, value: number): boolean {
  const sent = text.replace(".", "").replace(/^0+/, "");
  const kept = value.toExponential().replace(/e.*$/, "").replace(".", "");
  return sent.startsWith(kept) && /^0*$/.test(sent.slice(kept.length));
}

/** A JSON number that is an integer from 0 to 2^53 - 1; undefined for anything else. */
export function parseCount(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined;
}

// Consecutive frames share the text up to the second, so the last one parsed is kept.
let knownSecond = "";
let knownSecondUs = NaN;

/** `2026-10-03T20:58:31` -> microseconds since the epoch, or NaN. */
function secondUs(text: string): number {
  if (text !== knownSecond) {
    const [, date = "", hours, minutes, seconds] = SECOND.exec(text) ?? [];
    const day = Date.parse(date);
    // Date.parse() may turn 2026-02-30 into a day of March: rejected; second 60 is a leap second
    const valid = new Date(day || 0).toISOString().startsWith(date) && Number(hours) < 24 && Number(minutes) < 60 &&
      Number(seconds) <= 60;
    knownSecond = text;
    knownSecondUs = valid ? day * 1000 + (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1e6 : NaN;
  }
  return knownSecondUs;
}

/** `Z` or `+02:00` -> microseconds, or NaN. */
function offsetUs(text: string): number {
  if (text === "Z" || text === "z") return 0;
  const [, sign, hours, minutes] = OFFSET.exec(text) ?? [];
  if (!(Number(hours) < 24 && Number(minutes) < 60)) return NaN;
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60e6;
}

/**
 * Reads RFC 3339 text with 0 to 9 fraction digits as whole microseconds since the epoch (finer digits are cut off).
 * Undefined for anything else, and for times before 1970.
 */
export function parseTimeUs(text: unknown): number | undefined {
  if (typeof text !== "string") return undefined;
  let end = 19;
  let fraction = 0;
  if (text[end] === ".") {
    for (end = 20; end < 29 && isDigit(text.charCodeAt(end)); end++) {
      if (end < 26) fraction = fraction * 10 + text.charCodeAt(end) - 48;
    }
    if (end === 20) return undefined;
    if (end < 26) fraction *= POWERS[26 - end] as number;
  }
  const us = secondUs(text.slice(0, 19)) + fraction - offsetUs(text.slice(end));
  return us >= 0 ? us : undefined;
}
