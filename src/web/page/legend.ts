/// <reference lib="dom" />
// The text above the chart: a candle in words, and the gaps that touch it.

import { type Interval, intervalMs } from "../../core/candle.ts";
import { wholeSecondsText } from "../../core/duration.ts";
import { byId, make, setAttribute, setText } from "./dom.ts";
import { countText, lengthOf, priceText, REASON_TEXTS, volumeText, windowText, type Zone } from "./format.ts";
import type { Region } from "./gap_regions.ts";
import type { WireCandle } from "./wire.ts";

const legend = byId("legend");
/** Parts that are shown with their names. */
const NAMED = ["open", "high", "low", "close", "ticks", "volume"];
const parts = new Map(["window", ...NAMED, "running", "incomplete", "none"].map((name) => {
  const value = make("span");
  const part = make("span", `part ${name}`, ...(NAMED.includes(name) ? [make("span", "name", name), " "] : []), value);
  // the space separates the parts for screen readers
  legend.append(part, " ");
  return [name, { part, value }];
}));

/**
 * Draws a candle; without one only the time. Returns the text, to be read aloud.
 * @param time start of the candle or of the empty place, unix seconds; undefined: there is nothing to show
 */
export function drawLegend(
  time: number | undefined,
  candle: WireCandle | undefined,
  interval: Interval,
  digits: number,
  zone: Zone,
): string {
  const price = (name: "open" | "high" | "low" | "close") => candle && priceText(candle[name], digits);
  const texts: Record<string, string | undefined> = {
    window: time === undefined ? undefined : windowText(time, interval, zone),
    open: price("open"),
    high: price("high"),
    low: price("low"),
    close: price("close"),
    ticks: candle && countText(candle.ticks),
    volume: candle && (candle.volume === undefined ? "unknown" : volumeText(candle.volume)),
    running: candle?.running ? "running" : undefined,
    incomplete: candle?.incomplete ? "incomplete" : undefined,
    none: time === undefined || candle !== undefined ? undefined : "no candle",
  };
  for (const [name, { part, value }] of parts) {
    part.hidden = texts[name] === undefined;
    setText(value, texts[name] ?? "");
  }
  setAttribute(legend, "data-length", lengthOf(texts["close"] ?? ""));
  return [...parts.values()].filter(({ part }) => !part.hidden).map(({ part }) => part.textContent).join(" ");
}

/** Says which gaps touch the candle under the crosshair; `time` is undefined if there is no crosshair. */
export function drawGapNote(time: number | undefined, interval: Interval, regions: readonly Region[]): void {
  const end = (time ?? NaN) + intervalMs(interval) / 1000;
  const touching = time === undefined ? [] : regions.filter(({ from, to }) => from < end && to >= time);
  const texts = touching.slice(0, 3).map(({ gap, from, to, open }) => {
    const lost = gap.dropped > 0 ? `, at least ${countText(gap.dropped)} ticks lost` : "";
    return `Gap: ${REASON_TEXTS[gap.reason]}, ${open ? "for" : "lasted"} ${wholeSecondsText(to - from)}${lost}`;
  });
  const note = byId("gap-note");
  setText(note, texts.join(" · "));
  note.hidden = texts.length === 0;
}
