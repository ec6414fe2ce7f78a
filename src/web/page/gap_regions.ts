/// <reference lib="dom" />
// Gaps in the chart: shaded regions behind the candles, each with its reason where there is room, and places on the axis.

import { type Interval, intervalMs, openTimeOf } from "../../core/candle.ts";
import { REASON_TEXTS } from "./format.ts";
import { indexFrom } from "./search.ts";
import type { WireGap } from "./wire.ts";

/** A stretch of time without data, unix seconds, as it is shaded. */
export interface Region {
  /** Where the shade begins. */
  readonly from: number;
  /** Where it ends: for a gap that lasts, now. */
  readonly to: number;
  /** It lasts. */
  readonly open: boolean;
  /** The gap itself. */
  readonly gap: WireGap;
}

/** The first start ever: no candle was over before it (`end` is when the first one is), so nothing can be missing. */
function isFirstStart({ from, reason, opened, to }: WireGap, end: number): boolean {
  return from === null && reason === "restart" && end > Math.min(opened, to ?? Infinity);
}

/** The gaps that may have cost a tick, as they are shaded, by their start. Candles in order of time. */
export function regionsOf(
  gaps: Iterable<WireGap>,
  candles: readonly { readonly time: number }[],
  interval: Interval,
  now: number,
): Region[] {
  const first = candles[0]?.time ?? -Infinity;
  const length = intervalMs(interval) / 1000;
  const firstEnd = (candles[0]?.time ?? Infinity) + length;
  const regions: Region[] = [];
  for (const gap of gaps) {
    if (!gap.missed || isFirstStart(gap, firstEnd)) continue;
    const to = gap.to ?? now;
    // an unknown start is somewhere in the last candle that was over before it, or later
    const before = () => candles.findLast(({ time }) => time + length <= Math.min(gap.opened, to))?.time;
    const from = gap.from ?? before() ?? gap.opened;
    if (to >= first) regions.push({ from: Math.min(from, to), to, open: gap.to === null, gap });
  }
  return regions.sort((a, b) => a.from - b.from);
}

/** A gap gets so many empty places on the axis at most, however long it is. */
const MAX_BLANKS = 120;

/**
 * Starts of windows without a candle that the regions cover, in order of time: with a place on the axis each, a gap is as wide
 * as it lasted. Other windows without a candle get none: nothing was traded there.
 */
export function blanksOf(
  regions: readonly Region[],
  candles: readonly { readonly time: number }[],
  interval: Interval,
): number[] {
  const first = candles[0]?.time;
  if (first === undefined) return [];
  const length = intervalMs(interval) / 1000;
  const blanks = new Set<number>();
  for (const { from, to } of regions) {
    const start = openTimeOf(Math.max(from, first) * 1000, interval) / 1000;
    const count = Math.floor((to - start) / length) + 1;
    const step = Math.max(1, Math.ceil(count / MAX_BLANKS));
    for (let i = 0; i < count; i += step) {
      const time = start + i * length;
      if (candles[indexFrom(candles, time)]?.time !== time) blanks.add(time);
    }
  }
  return [...blanks].sort((a, b) => a - b);
}

/** Colours, CSS. */
export interface RegionColors {
  /** Of the shade. */
  readonly shade: string;
  /** Of its edges and its text. */
  readonly edge: string;
  /** Of the pane's own text. */
  readonly text: string;
}

/** What all panes share. */
export interface RegionData {
  /** By their start. */
  regions: readonly Region[];
  /** What the axis shows, unix seconds, in order. */
  times: readonly { readonly time: number }[];
  /** How long a candle is, seconds. */
  length: number;
  /** See {@link RegionColors}. */
  colors: RegionColors;
  /** CSS font. */
  font: string;
}

/** On an axis without a scale: where a moment lies, in places; candle `i` reaches from `i - 0.5` to `i + 0.5`. */
export function placeOnAxis(time: number, times: readonly { readonly time: number }[], length: number): number {
  const next = indexFrom(times, time);
  if (times[next]?.time === time) return next - 0.5;
  const before = times[next - 1];
  if (before === undefined) return -0.5;
  return next - 1.5 + Math.min(1, (time - before.time) / length);
}

/** Where to draw. */
export interface RegionCanvas {
  /** Its units are CSS pixels. */
  readonly context: CanvasRenderingContext2D;
  /** CSS pixels. */
  readonly width: number;
  /** CSS pixels. */
  readonly height: number;
  /** Where the first place of the axis lies, and the second, CSS pixels; undefined: nowhere yet. */
  readonly axis: readonly [zero: number, one: number] | undefined;
  /** Written in the corner. */
  readonly label: string;
  /** Write the reason into each shade. */
  readonly withReasons: boolean;
}

/** Draws the shades of one pane. */
export function drawRegions(canvas: RegionCanvas, { regions, times, length, colors, font }: RegionData): void {
  const { context, width, height, axis, label, withReasons } = canvas;
  context.font = font;
  context.textBaseline = "top";
  if (label !== "") {
    context.fillStyle = colors.text;
    context.fillText(label, 10, 6);
  }
  if (axis === undefined || times.length === 0) return;
  const [zero, one] = axis;
  const x = (time: number) => zero + placeOnAxis(time, times, length) * (one - zero);
  for (const { from, to, open, gap } of regions) {
    const left = x(from);
    // a gap of a moment must be seen too
    const right = Math.max(x(to), left + 2);
    if (right < 0 || left > width) continue;
    context.fillStyle = colors.shade;
    context.fillRect(left, 0, right - left, height);
    context.strokeStyle = colors.edge;
    context.lineWidth = 1;
    context.setLineDash([3, 3]);
    context.beginPath();
    for (const edge of open ? [left] : [left, right]) {
      context.moveTo(Math.round(edge) + 0.5, 0);
      context.lineTo(Math.round(edge) + 0.5, height);
    }
    context.stroke();
    context.setLineDash([]);
    if (!withReasons) continue;
    const text = REASON_TEXTS[gap.reason];
    const start = Math.max(0, left);
    const shown = Math.min(width, right) - start;
    const needed = context.measureText(text).width + 12;
    context.fillStyle = colors.edge;
    if (needed <= shown) {
      context.fillText(text, start + 6, 8);
    } else if (shown >= 18 && needed <= height) {
      // narrow ones are read with the head on the shoulder
      context.save();
      context.translate(start + shown / 2 - 6, height - 8);
      context.rotate(-Math.PI / 2);
      context.fillText(text, 0, 0);
      context.restore();
    }
  }
}
