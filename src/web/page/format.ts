// Numbers and times as people read them. Pure.

import { type Interval, intervalMs } from "../../core/candle.ts";
import { secondsText, wholeSecondsText } from "../../core/duration.ts";
import type { GapReason } from "../../core/record.ts";

/** The time zone of all times on the page: the browser's, or UTC. */
export type Zone = "local" | "UTC";

/** Most decimals that every browser can format. */
const MAX_DECIMALS = 20;

/** The number of decimals in the shortest form of a number: 2 for 90000.12, 11 for 7.13e-9. */
export function decimalsOf(value: number): number {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  const decimals = (mantissa.split(".")[1] ?? "").length - Number(exponent);
  return Math.min(MAX_DECIMALS, Math.max(0, decimals));
}

/**
 * Learns how many decimals the prices of a product have: 90000.1 is written as 90,000.10 once 90000.12 was seen. The number
 * only grows, so that a column of prices does not jump.
 */
export class PriceDigits {
  #digits = -1;

  /** Takes a price into account. Returns true if there are more decimals than before. */
  see(price: number): boolean {
    // the first price may end in zeros, which its number does not show: below 10,000 there are at least cents
    const least = price < 10_000 ? 2 : 0;
    const digits = Math.max(least, decimalsOf(price));
    if (digits <= this.#digits) return false;
    this.#digits = digits;
    return true;
  }

  get digits(): number {
    return Math.max(0, this.#digits);
  }
}

const NUMBERS = new Map<number, Intl.NumberFormat>();

/** A number with so many decimals: `90,000.10`. */
export function priceText(price: number, digits: number): string {
  let format = NUMBERS.get(digits);
  if (format === undefined) {
    format = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    NUMBERS.set(digits, format);
  }
  return format.format(price);
}

/** For the style sheet: whether the text of a price needs more room than usual. */
export function lengthOf(text: string): "long" | "longer" | undefined {
  return text.length > 18 ? "longer" : text.length > 11 ? "long" : undefined;
}

/** A percentage with its sign: `+1.25%`, `−0.40%`, `0.00%`. */
export function changeText(percent: number): string {
  const text = Math.abs(percent).toFixed(Math.abs(percent) >= 1000 ? 0 : 2);
  const isZero = Number(text) === 0;
  return `${isZero ? "" : percent > 0 ? "+" : "−"}${text}%`;
}

/** The age of a price. Less than two seconds is `now`, so that a busy list stays calm. */
export function ageText(seconds: number): string {
  return seconds < 2 ? "now" : wholeSecondsText(Math.floor(seconds));
}

/** A count: `12,345`. */
export function countText(count: number): string {
  return priceText(count, 0);
}

/** A rate: `8 ticks/s`, `0.4 ticks/s`, or without a unit `8/s`. */
export function rateText(perSecond: number, unit = ""): string {
  const number = priceText(perSecond, perSecond > 0 && perSecond < 9.95 ? 1 : 0).replace(/\.0$/, "");
  return unit === "" ? `${number}/s` : `${number} ${unit}/s`;
}

/** The delay of the exchange: `0.4 s away`, `under 0.1 s away`. */
export function awayText(seconds: number): string {
  return `${seconds < 0.1 ? "under 0.1 s" : secondsText(seconds)} away`;
}

const VOLUMES = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 8 });

/** A volume, base units: at most eight significant digits. */
export function volumeText(volume: number): string {
  return VOLUMES.format(volume);
}

const TIMES = new Map<string, Intl.DateTimeFormat>();

function format(seconds: number, zone: Zone, options: Intl.DateTimeFormatOptions): string {
  const key = `${zone} ${JSON.stringify(options)}`;
  let times = TIMES.get(key);
  if (times === undefined) {
    times = new Intl.DateTimeFormat("en-GB", { ...options, ...(zone === "UTC" ? { timeZone: "UTC" } : {}) });
    TIMES.set(key, times);
  }
  return times.format(seconds * 1000);
}

/** Hour and minute, optionally seconds: `18:21`. */
export function clockText(seconds: number, zone: Zone, withSeconds: boolean): string {
  return format(seconds, zone, {
    hour: "2-digit",
    minute: "2-digit",
    ...(withSeconds ? { second: "2-digit" } : {}),
    hourCycle: "h23",
  });
}

/** A day: `Tue 24 Nov 2026`. */
export function dayText(seconds: number, zone: Zone): string {
  return format(seconds, zone, { weekday: "short", day: "numeric", month: "short", year: "numeric" })
    .replace(",", "");
}

/** What a label of the time axis shows. */
export type MarkKind = "year" | "month" | "day" | "time" | "second";

/** A label of the time axis. */
export function markText(seconds: number, zone: Zone, kind: MarkKind): string {
  if (kind === "year") return format(seconds, zone, { year: "numeric" });
  if (kind === "month") return format(seconds, zone, { month: "short" });
  if (kind === "day") return format(seconds, zone, { day: "numeric", month: "short" });
  return clockText(seconds, zone, kind === "second");
}

/** The time of a candle: `Tue 24 Nov 2026 18:21 to 18:22`, `Tue 24 Nov 2026`, `week of Mon 23 Nov 2026`. */
export function windowText(seconds: number, interval: Interval, zone: Zone): string {
  const length = intervalMs(interval) / 1000;
  const end = seconds + length;
  // days and weeks begin at midnight UTC, so elsewhere they need the hour
  if (length >= 86_400 && zone === "UTC") {
    return length === 86_400 ? dayText(seconds, zone) : `week of ${dayText(seconds, zone)}`;
  }
  const withSeconds = length < 60;
  const from = `${dayText(seconds, zone)} ${clockText(seconds, zone, withSeconds)}`;
  const day = dayText(end, zone) === dayText(seconds, zone) ? "" : `${dayText(end, zone)} `;
  return `${from} to ${day}${clockText(end, zone, withSeconds)}`;
}

/** The reasons of gaps, for people. */
export const REASON_TEXTS: Readonly<Record<GapReason, string>> = {
  "link-closed": "the connection was lost",
  "link-silent": "the connection was silent",
  "stalled": "the exchange stopped sending this product",
  "refused": "the exchange refused this product",
  "queue-full": "the queue was full, ticks were dropped",
  "record-refused": "a record was refused",
  "store-failed": "the store lost ticks",
  "restart": "the program was not running",
  "stopped": "the program was stopped",
};
