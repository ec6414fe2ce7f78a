// Checked values out of an exchange's messages. What a value promises is checked here, its type first:
// Number(true) is 1, Number("") is 0, Number([5]) is 5, Number("0x10") is 16.

const DECIMAL = /^\d+(?:\.\d+)?$/;
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** A frame may not be further ahead of our clock, ms: Kafka refuses the whole batch of a record an hour ahead. */
export const MAX_AHEAD_MS = 600_000;

/**
 * A price from decimal text: finite, above zero, and equal to the text. Undefined for anything else: signs, exponents,
 * other types, and texts with more digits than a double keeps.
 */
export function parsePrice(text: unknown): number | undefined {
  const price = parseDecimal(text);
  if (price === undefined || price === 0) return undefined;
  // 15 significant digits always survive a double; only longer texts need the look
  return (text as string).length <= 16 || keepsDigits(text as string, price) ? price : undefined;
}

/** A finite number from decimal text (digits, perhaps a point and more digits), or undefined. May lose digits beyond the 15th. */
export function parseDecimal(text: unknown): number | undefined {
  if (typeof text !== "string" || !DECIMAL.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function keepsDigits(text: string, value: number): boolean {
  const asked = text.replace(".", "").replace(/^0+/, "").replace(/0+$/, "");
  const kept = value.toExponential().replace(/e.*$/, "").replace(".", "").replace(/0+$/, "");
  return asked === kept;
}

/** An integer from 0 to 2^53 - 1, given as a JSON number, or undefined. */
export function parseCount(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined;
}

// All frames of a day share their date: the calendar is asked once for it.
let knownDate = "";
let knownDateMs = NaN;

function dateMs(date: string): number {
  if (date !== knownDate) {
    const [year = NaN, month = NaN, day = NaN] = date.split("-").map(Number);
    const ms = Date.UTC(year, month - 1, day);
    // 2026-02-30 rolls over to March: such a day is no day
    const valid = year >= 1970 && new Date(ms).toISOString().startsWith(date);
    knownDate = date;
    knownDateMs = valid ? ms : NaN;
  }
  return knownDateMs;
}

/**
 * RFC 3339 text with 0 to 9 fraction digits -> whole microseconds since the epoch (finer digits cut off). Undefined for
 * anything else, and before 1970.
 */
export function parseTimeUs(text: unknown): number | undefined {
  if (typeof text !== "string") return undefined;
  const parts = RFC3339.exec(text);
  if (parts === null) return undefined;
  const hours = Number(parts[4]), minutes = Number(parts[5]), seconds = Number(parts[6]);
  // 60 is a leap second
  if (hours > 23 || minutes > 59 || seconds > 60) return undefined;
  let us = dateMs(text.slice(0, 10)) * 1000 + (hours * 3600 + minutes * 60 + seconds) * 1e6;
  const fraction = parts[7];
  if (fraction !== undefined) us += Number(fraction.padEnd(6, "0").slice(0, 6));
  if (parts[8] !== undefined) {
    const offsetHours = Number(parts[9]), offsetMinutes = Number(parts[10]);
    if (offsetHours > 23 || offsetMinutes > 59) return undefined;
    us -= (parts[8] === "-" ? -1 : 1) * (offsetHours * 60 + offsetMinutes) * 60e6;
  }
  return us >= 0 ? us : undefined;
}
