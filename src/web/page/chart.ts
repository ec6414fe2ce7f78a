/// <reference lib="dom" />
// The chart: draws candles or a line, ticks or volume below, and gaps, with lightweight-charts. Only this file knows that library.

import {
  CandlestickSeries,
  createChartEx,
  CrosshairMode,
  defaultHorzScaleBehavior,
  HistogramSeries,
  type IChartApiBase,
  type IHorzScaleBehavior,
  type IPaneApi,
  type IPrimitivePaneView,
  type ISeriesApi,
  LineSeries,
  LineStyle,
  type Logical,
  type LogicalRange,
  type MouseEventParams,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { type Interval, intervalMs } from "../../core/candle.ts";
import type { Drawing } from "./chart_data.ts";
import { clockText, countText, dayText, type MarkKind, markText, priceText, volumeText, type Zone } from "./format.ts";
import { drawRegions, type RegionData } from "./gap_regions.ts";
import { indexFrom } from "./search.ts";
import type { Style } from "./selection.ts";
import type { WireCandle } from "./wire.ts";

/** What the lower pane shows. */
export type Below = "ticks" | "volume";

/** What the chart is built from. */
export interface ChartOptions {
  readonly element: HTMLElement;
  /** Called with the start of the candle or empty place under the crosshair, unix seconds; undefined: there is none. */
  readonly onLook: (time: number | undefined, byKey: boolean) => void;
  /** Called when the oldest candles come into sight. */
  readonly onLeftEnd: () => void;
  /** Called when the newest candle comes into sight or leaves it. */
  readonly onNow: (isInSight: boolean) => void;
}

type Point = { time: UTCTimestamp };

/** The shaded gaps of one pane. */
interface Shade {
  /** Written in the corner of the pane. */
  label: string;
  redraw: () => void;
}

/** What is on the time axis: a candle, or an empty place that belongs to a gap. */
interface Place {
  readonly time: number;
  readonly candle?: WireCandle;
}

/** The library's weights for labels of the time axis, which it does not export. */
const WEIGHTS = { year: 70, month: 60, day: 50, minute: 20 };
/** Within a day: the weight of a moment that begins a period of so many seconds. */
const DAY_WEIGHTS = [[43_200, 33], [21_600, 32], [10_800, 31], [3600, 30], [1800, 22], [300, 21], [60, 20], [
  1,
  10,
]] as const;

/** How much the label of a moment stands out after the moment before it; unix seconds, shifted to the time zone. */
function weightOf(time: number, before: number): number {
  const day = new Date(time * 1000);
  const dayBefore = new Date(before * 1000);
  if (day.getUTCFullYear() !== dayBefore.getUTCFullYear()) return WEIGHTS.year;
  if (day.getUTCMonth() !== dayBefore.getUTCMonth()) return WEIGHTS.month;
  if (day.getUTCDate() !== dayBefore.getUTCDate()) return WEIGHTS.day;
  return DAY_WEIGHTS.find(([period]) => Math.floor(time / period) !== Math.floor(before / period))?.[1] ?? 0;
}

function markOf(weight: number): MarkKind {
  if (weight >= WEIGHTS.year) return "year";
  if (weight >= WEIGHTS.month) return "month";
  if (weight >= WEIGHTS.day) return "day";
  return weight >= WEIGHTS.minute ? "time" : "second";
}

/**
 * The library's time axis knows only UTC. Shifted times, the usual way around, would be ambiguous when summer time ends. So
 * the times stay as they are, and the zone decides only which labels stand out and what they say.
 */
function timeAxis(zone: () => Zone): IHorzScaleBehavior<Time> {
  const axis = new (defaultHorzScaleBehavior())();
  const inZone = (time: number) => zone() === "UTC" ? time : time - new Date(time * 1000).getTimezoneOffset() * 60;
  axis.fillWeightsForPoints = (points, start) => {
    const times = points.map(({ time }) => axis.key(time) as unknown as number);
    for (let i = start; i < points.length; i++) {
      const point = points[i];
      const time = times[i];
      if (point === undefined || time === undefined) continue;
      // the first point has none before it: assume the distance to the next one
      const before = times[i - 1] ?? 2 * time - (times[i + 1] ?? time + 60);
      point.timeWeight = weightOf(inZone(time), inZone(before)) as typeof point.timeWeight;
    }
  };
  axis.formatTickmark = ({ originalTime, weight }) => markText(Number(originalTime), zone(), markOf(weight));
  return axis;
}

/** The lower pane has a sixth of the height, and at least this, for its name, its bars and two numbers, CSS pixels. */
const LEAST_BELOW = 84;
/** Room for the name of the lower pane above its bars, CSS pixels. */
const LABEL_ROOM = 26;

/** Width of a candle with its distance to the next, CSS pixels, unless too few or too many would fit. */
const CANDLE_WIDTH = 8;
const LEAST_CANDLES = 60;
const MOST_CANDLES = 120;

/** With more decimals the library takes the distance between labels for 0, or throws. */
const MOST_LABEL_DECIMALS = 14;

/** Room at the right of the newest candle, in candles. */
const RIGHT_OFFSET = 4;

/** How many places a key moves the crosshair. */
const STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  PageUp: -20,
  PageDown: 20,
  Home: -Infinity,
  End: Infinity,
};
/** By what a key multiplies the visible time. */
const ZOOMS: Readonly<Record<string, number>> = { "+": 0.7, "=": 0.7, "-": 1.4 };

/** The chart of one element. */
export class Chart {
  readonly #options: ChartOptions;
  readonly #chart: IChartApiBase<Time>;
  readonly #regions: RegionData;
  readonly #shades: readonly Shade[];
  readonly #below: ISeriesApi<"Histogram", Time>;
  #prices: ISeriesApi<"Candlestick", Time> | ISeriesApi<"Line", Time>;
  #style: Style = "candles";
  #kind: Below = "ticks";
  #zone: Zone;
  #digits = -1;
  /** The last price when the price axis was labelled. */
  #labelledAt: number | undefined;
  /** The width of a candle that suits the width of the chart, CSS pixels. */
  #spacing = CANDLE_WIDTH;
  #colors = colorsOf(document.documentElement);
  /** In order of time. */
  #places: Place[] = [];
  #isNowInSight = true;
  /** What is under the crosshair, unix seconds. */
  #lookedAt: number | undefined;
  /** Keys moved the crosshair: it stays at its candle when the chart moves, while that of a mouse stays at the mouse. */
  #isPinned = false;

  constructor(options: ChartOptions, zone: Zone) {
    this.#options = options;
    this.#zone = zone;
    const { element } = options;
    this.#chart = createChartEx<Time, IHorzScaleBehavior<Time>>(element, timeAxis(() => this.#zone), {
      autoSize: true,
      localization: {
        dateFormat: "yyyy-MM-dd",
        timeFormatter: (time: Time) => this.#timeText(Number(time)),
      },
      crosshair: { mode: CrosshairMode.Normal },
      // on a phone a finger on the chart scrolls the page
      handleScroll: { vertTouchDrag: false },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.1, bottom: 0.08 } },
      timeScale: {
        borderVisible: false,
        timeVisible: true,
        secondsVisible: false,
        rightOffset: RIGHT_OFFSET,
        barSpacing: CANDLE_WIDTH,
        minBarSpacing: 1,
        // a candle in an empty place counts as a new one
        allowShiftVisibleRangeOnWhitespaceReplacement: true,
      },
    });
    this.#regions = { regions: [], times: [], length: 60, colors: this.#colors.regions, font: "" };
    this.#prices = this.#addPrices();
    this.#below = this.#chart.addSeries(HistogramSeries, {
      priceLineVisible: false,
      lastValueVisible: false,
    }, 1);
    const [top, bottom] = this.#chart.panes();
    this.#shades = [top, bottom].flatMap((pane, i) => pane === undefined ? [] : this.#shade(pane, i === 0));
    this.#paint();
    this.setBelow("ticks");
    new ResizeObserver(() => this.#share(element.clientHeight)).observe(element);
    this.#chart.subscribeCrosshairMove((param: MouseEventParams<Time>) => {
      // not the mouse: the chart moved under the crosshair
      if (param.sourceEvent === undefined && this.#isPinned) return;
      this.#isPinned = false;
      this.#look(param.time === undefined ? undefined : Number(param.time), false);
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.#ranged());
    this.#fit();
    // also when the price axis becomes wider; the library is still laying out at this moment
    this.#chart.timeScale().subscribeSizeChange(() => queueMicrotask(() => this.#fit()));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#colors = colorsOf(document.documentElement);
      this.#paint();
      this.#setAll();
    });
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("blur", () => this.#look(undefined, true));
    // so that keys work after a click
    element.addEventListener("pointerdown", () => element.focus({ preventScroll: true }));
  }

  /** The candles in the chart, in order of time. */
  get candles(): WireCandle[] {
    return this.#places.flatMap(({ candle }) => candle ?? []);
  }

  /** How many candles fit at the present zoom. */
  get room(): number {
    const range = this.#range;
    // both ends are the middle of a candle
    return range === null ? 0 : range.to - range.from + 1;
  }

  get regions(): RegionData["regions"] {
    return this.#regions.regions;
  }

  /** Removes everything, before another product or interval is drawn. */
  reset(interval: Interval): void {
    this.#places = [];
    this.#regions.length = intervalMs(interval) / 1000;
    this.#regions.regions = [];
    this.#digits = -1;
    this.#setAll();
    this.#chart.timeScale().applyOptions({ secondsVisible: intervalMs(interval) < 60_000 });
    this.#chart.timeScale().resetTimeScale();
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
    this.#look(undefined, true);
  }

  /** Draws what changed. The newest candle stays in sight if it was. */
  draw(drawing: Drawing): void {
    const { regions, changed, candles } = drawing;
    const wasInSight = this.#isInSight();
    this.#regions.regions = regions;
    if (drawing.all || !changed.every((candle) => this.#update(candle))) {
      this.#places = placesOf(candles, drawing.blanks());
      this.#setAll();
    }
    const last = this.#lastClose();
    if (last !== this.#labelledAt) this.#labelPrices();
    this.#labelledAt = last;
    for (const shade of this.#shades) shade.redraw();
    if (wasInSight) this.#follow();
    if (this.#isPinned) this.#pin();
    this.#ranged();
  }

  setStyle(style: Style): void {
    if (style === this.#style) return;
    this.#style = style;
    // first the new series: a pane without any is removed
    const before = this.#prices;
    this.#prices = this.#addPrices();
    this.#chart.removeSeries(before);
    this.#labelPrices();
    this.#setAll();
  }

  setBelow(below: Below): void {
    this.#kind = below;
    const shade = this.#shades[1];
    if (shade !== undefined) shade.label = below === "ticks" ? "ticks in each candle" : "volume of each candle";
    const [minMove, formatter] = below === "ticks" ? [1, countText] as const : [1e-8, volumeText] as const;
    // half a tick needs no label
    const markText = (value: number) => below === "ticks" && !Number.isInteger(value) ? "" : formatter(value);
    const tickmarksFormatter = (values: number[]) => this.#marks(1, this.#below, values, markText);
    this.#below.applyOptions({ priceFormat: { type: "custom", minMove, formatter, tickmarksFormatter } });
    this.#setAll();
  }

  setZone(zone: Zone): void {
    this.#zone = zone;
    // the library weighs only new points: remove all and set them again
    const range = this.#range;
    this.#prices.setData([]);
    this.#below.setData([]);
    this.#setAll();
    // and it keeps the texts of labels until options change
    this.#chart.timeScale().applyOptions({});
    if (range !== null) this.#chart.timeScale().setVisibleLogicalRange(range);
  }

  setDigits(digits: number): void {
    if (digits === this.#digits) return;
    this.#digits = digits;
    this.#labelPrices();
  }

  goToNow(): void {
    // not scrollToRealTime(): its animation stops as soon as something is drawn
    this.#chart.timeScale().scrollToPosition(RIGHT_OFFSET, false);
  }

  /** Labels the price axis again: the library keeps labels until their format changes. */
  #labelPrices(): void {
    const digits = Math.max(0, this.#digits);
    const formatter = (price: number) => priceText(price, digits);
    const tickmarksFormatter = (prices: number[]) => this.#marks(0, this.#prices, prices, formatter);
    // the smallest distance between two labels; the formatter decides what they say
    const base = 10 ** Math.min(digits, MOST_LABEL_DECIMALS);
    this.#prices.applyOptions({
      priceFormat: { type: "custom", minMove: 1 / base, base, formatter, tickmarksFormatter },
    });
  }

  /** Fits the width of candles to the width of the chart, unless the user has zoomed. */
  #fit(): void {
    const width = this.#chart.timeScale().width();
    const isZoomed = this.room > 0 && Math.abs(width / this.room - this.#spacing) > 0.01;
    if (width === 0 || isZoomed) return;
    this.#spacing = width / Math.min(MOST_CANDLES, Math.max(LEAST_CANDLES, width / CANDLE_WIDTH));
    this.#chart.timeScale().applyOptions({ barSpacing: this.#spacing });
  }

  /** Divides the height between the two panes. */
  #share(height: number): void {
    const [top, bottom] = this.#chart.panes();
    const both = height - this.#chart.timeScale().height();
    const below = Math.max(both / 6, LEAST_BELOW);
    if (both <= below) return;
    top?.setStretchFactor(both - below);
    bottom?.setStretchFactor(below);
    this.#below.priceScale().applyOptions({ scaleMargins: { top: LABEL_ROOM / below, bottom: 0 } });
  }

  #lastClose(): number | undefined {
    return this.#places.findLast(({ candle }) => candle !== undefined)?.candle?.close;
  }

  /** The labels of an axis, without those that the edge or the label of the last price would cover. */
  #marks(
    pane: number,
    series: Pick<ISeriesApi<"Line", Time>, "priceToCoordinate">,
    values: readonly number[],
    text: (value: number) => string,
  ): string[] {
    const height = this.#chart.panes()[pane]?.getHeight() ?? Infinity;
    const half = this.#colors.fontSize / 2 + 1;
    const last = pane === 0 ? this.#lastClose() : undefined;
    const lastY = last === undefined ? null : series.priceToCoordinate(last);
    return values.map((value) => {
      const y = series.priceToCoordinate(value);
      const isCut = y !== null && (y < half || y > height - half);
      const isCovered = y !== null && lastY !== null && Math.abs(y - lastY) <= 2 * half + 2;
      return isCut || isCovered ? "" : text(value);
    });
  }

  /** Shades the gaps behind everything else in a pane. */
  #shade(pane: IPaneApi<Time>, withReasons: boolean): Shade {
    const scale = this.#chart.timeScale();
    const place = (index: number) => scale.logicalToCoordinate(index as Logical);
    const shade: Shade = { label: "", redraw: () => {} };
    const view: IPrimitivePaneView = {
      zOrder: () => "bottom",
      renderer: () => ({
        draw: (target) =>
          target.useMediaCoordinateSpace(({ context, mediaSize: { width, height } }) => {
            const [zero, one] = [place(0), place(1)];
            const axis = zero === null || one === null ? undefined : [zero, one] as const;
            drawRegions({ context, width, height, axis, label: shade.label, withReasons }, this.#regions);
          }),
      }),
    };
    const views = [view];
    pane.attachPrimitive({
      attached: ({ requestUpdate }) => void (shade.redraw = requestUpdate),
      paneViews: () => views,
    });
    return shade;
  }

  #timeText(time: number): string {
    return `${dayText(time, this.#zone)} ${clockText(time, this.#zone, this.#regions.length < 60)}`;
  }

  #addPrices(): ISeriesApi<"Candlestick", Time> | ISeriesApi<"Line", Time> {
    const options = this.#priceOptions();
    return this.#style === "line"
      ? this.#chart.addSeries(LineSeries, options, 0)
      : this.#chart.addSeries(CandlestickSeries, options, 0);
  }

  /** Of both styles: a series ignores what it does not know. */
  #priceOptions() {
    const { up, down, line, muted } = this.#colors;
    return {
      priceLineStyle: LineStyle.Dotted,
      priceLineColor: muted,
      color: line,
      lineWidth: 2,
      upColor: up,
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    } as const;
  }

  #paint(): void {
    const { text, muted, grid, panel, regions, font, fontSize } = this.#colors;
    this.#regions.colors = regions;
    this.#regions.font = `${fontSize}px ${font}`;
    this.#chart.applyOptions({
      layout: {
        background: { color: panel },
        textColor: text,
        fontFamily: font,
        fontSize,
        panes: { separatorColor: grid, separatorHoverColor: grid, enableResize: true },
      },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      crosshair: {
        vertLine: { color: muted, labelBackgroundColor: "#4a5568" },
        horzLine: { color: muted, labelBackgroundColor: "#4a5568" },
      },
    });
    this.#prices.applyOptions(this.#priceOptions());
  }

  /** Draws one candle that changed or was added at the end. Returns false if all must be drawn instead. */
  #update(candle: WireCandle): boolean {
    const index = indexFrom(this.#places, candle.time);
    const before = this.#places[index];
    if (before !== undefined && (before.time !== candle.time || before.candle === undefined)) return false;
    this.#places[index] = { time: candle.time, candle };
    const isHistorical = index < this.#places.length - 1;
    this.#prices.update(this.#pricePoint(candle, false) as never, isHistorical);
    this.#below.update(this.#belowPoint(candle), isHistorical);
    return true;
  }

  #setAll(): void {
    const places = this.#places;
    this.#regions.times = places;
    const prices = places.map(({ time, candle }, i) => {
      if (candle === undefined) return { time: time as UTCTimestamp };
      const next = places[i + 1];
      return this.#pricePoint(candle, next !== undefined && next.candle === undefined);
    });
    this.#prices.setData(prices as never);
    this.#below.setData(this.candles.map((candle) => this.#belowPoint(candle)));
  }

  /** A line must not be drawn across a gap: it ends at the candle before it. */
  #pricePoint(candle: WireCandle, isBeforeGap: boolean): Point {
    const { up, down, warn, panel } = this.#colors;
    const time = candle.time as UTCTimestamp;
    if (this.#style === "line") {
      return { time, value: candle.close, ...(isBeforeGap ? { color: "rgba(0,0,0,0)" } : {}) } as Point;
    }
    const { open, high, low, close } = candle;
    const side = close >= open ? up : down;
    return {
      time,
      open,
      high,
      low,
      close,
      // a running candle is hollow; an incomplete one has the colour of gaps
      ...(candle.running ? { color: panel, borderColor: candle.incomplete ? warn : side } : {}),
      ...(candle.incomplete ? { borderColor: warn, wickColor: warn } : {}),
    } as Point;
  }

  #belowPoint({ time, open, close, ticks, volume }: WireCandle): { time: Time; value: number; color: string } {
    const { upSoft, downSoft } = this.#colors;
    const value = this.#kind === "ticks" ? ticks : volume ?? 0;
    return { time: time as UTCTimestamp, value, color: close >= open ? upSoft : downSoft };
  }

  /** The visible part of the axis, in places; both ends are the middle of one. */
  get #range(): LogicalRange | null {
    return this.#chart.timeScale().getVisibleLogicalRange();
  }

  #ranged(): void {
    const range = this.#range;
    if (range === null || this.#places.length === 0) return;
    if (range.from < 60) this.#options.onLeftEnd();
    const isInSight = this.#isInSight();
    if (isInSight === this.#isNowInSight) return;
    this.#isNowInSight = isInSight;
    this.#options.onNow(isInSight);
  }

  /** Whether the newest candle, or the end of an open gap, is in sight. */
  #isInSight(): boolean {
    const range = this.#range;
    return range === null || this.#places.length === 0 || range.to >= this.#places.length - 1.5;
  }

  /** Keeps the end of an open gap in sight: the library follows only candles. */
  #follow(): void {
    const range = this.#range;
    if (range === null || range.to >= this.#places.length - 0.5) return;
    const lastCandle = this.#places.findLastIndex(({ candle }) => candle !== undefined);
    const blanks = this.#places.length - 1 - lastCandle;
    // however long the gap is, some candles stay in sight
    const position = Math.min(blanks + RIGHT_OFFSET, (range.to - range.from) * 0.6);
    this.#chart.timeScale().scrollToPosition(position, false);
  }

  /** Puts the crosshair where the keys have moved it. */
  #pin(): void {
    const time = this.#lookedAt;
    if (time === undefined) return;
    const price = this.#places.findLast((each) => each.time <= time && each.candle !== undefined)?.candle?.close;
    if (price !== undefined) this.#chart.setCrosshairPosition(price, time as UTCTimestamp, this.#prices as never);
  }

  #look(time: number | undefined, isKey: boolean): void {
    if (time === undefined) this.#isPinned = false;
    if (time === this.#lookedAt) return;
    this.#lookedAt = time;
    if (time === undefined && isKey) this.#chart.clearCrosshairPosition();
    this.#options.onLook(time, isKey);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = STEPS[event.key];
    const zoom = ZOOMS[event.key];
    if (step !== undefined) this.#move(step);
    else if (zoom !== undefined) this.#zoom(zoom);
    else if (event.key === "Escape") this.#look(undefined, true);
    else return;
    event.preventDefault();
  }

  /** Moves the crosshair by so many places, and scrolls if it would leave the chart. */
  #move(step: number): void {
    const last = this.#places.length - 1;
    const from = this.#lookedAt === undefined ? last + 1 : indexFrom(this.#places, this.#lookedAt);
    const index = Math.min(last, Math.max(0, from + step));
    const time = this.#places[index]?.time;
    const range = this.#range;
    if (time === undefined) return;
    this.#isPinned = true;
    this.#look(time, true);
    this.#pin();
    if (range === null) return;
    const shift = index < range.from + 1 ? index - range.from - 5 : index > range.to - 1 ? index - range.to + 5 : 0;
    if (shift === 0) return;
    this.#chart.timeScale().setVisibleLogicalRange({ from: range.from + shift, to: range.to + shift });
  }

  #zoom(factor: number): void {
    const range = this.#range;
    if (range === null) return;
    this.#chart.timeScale().setVisibleLogicalRange({ from: range.to - (range.to - range.from) * factor, to: range.to });
  }
}

/** Candles and empty places together, in order of time. */
function placesOf(candles: readonly WireCandle[], blanks: readonly number[]): Place[] {
  const places: Place[] = [
    ...candles.map((candle) => ({ time: candle.time, candle })),
    ...blanks.map((time) => ({ time })),
  ];
  return blanks.length === 0 ? places : places.sort((a, b) => a.time - b.time);
}

/** Colours and font from the style sheet: a canvas does not know custom properties. */
function colorsOf(element: Element) {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: color("text"),
    muted: color("muted"),
    grid: color("grid"),
    panel: color("panel"),
    up: color("candle-up"),
    down: color("candle-down"),
    upSoft: color("below-up"),
    downSoft: color("below-down"),
    line: color("line"),
    warn: color("candle-warn"),
    font: style.fontFamily,
    fontSize: Math.round(Number.parseFloat(style.fontSize) * 0.82),
    regions: { shade: color("gap-shade"), edge: color("gap-edge"), text: color("muted") },
  };
}
