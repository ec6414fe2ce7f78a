/// <reference lib="dom" />
// Draws gaps as shaded stretches behind the candles, each with its reason where there is room.

import type { Region } from "./candles.ts";
import { placeOf } from "./candles.ts";
import { REASON_TEXTS } from "./format.ts";

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
  const next = placeOf(times, time);
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
