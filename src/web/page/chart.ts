/// <reference lib="dom" />
// The chart: the one door to lightweight-charts. What is drawn comes from a history; what the user does goes out as calls.

import {
  CandlestickSeries,
  type CandlestickSeriesPartialOptions,
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

/** What stands below the prices. */
export type Below = "ticks" | "volume";

/** What the chart is built from. */
export interface ChartOptions {
  /** Where it is drawn. */
  readonly element: HTMLElement;
  /** The crosshair stands at this candle or empty place, unix seconds; undefined: at none. */
  readonly onLook: (time: number | undefined, byKey: boolean) => void;
  /** The left end comes into sight. */
  readonly onLeftEnd: () => void;
  /** Whether the newest candle is in sight has changed. */
  readonly onNow: (isInSight: boolean) => void;
}

type Point = { time: UTCTimestamp };

/** The shades of one pane. */
interface Shade {
  /** Written in its corner. */
  label: string;
  /** The data changed. */
  redraw: () => void;
}

/** The weights that lightweight-charts gives to labels of the axis; it does not export them. */
const WEIGHTS = { second: 10, minute: 20, minute5: 21, minute30: 22, hour: 30, hour3: 31, hour6: 32, hour12: 33 };
const DIVISORS: readonly [seconds: number, weight: number][] = [
  [43_200, WEIGHTS.hour12],
  [21_600, WEIGHTS.hour6],
  [10_800, WEIGHTS.hour3],
  [3600, WEIGHTS.hour],
  [1800, WEIGHTS.minute30],
  [300, WEIGHTS.minute5],
  [60, WEIGHTS.minute],
  [1, WEIGHTS.second],
];

/** How much a moment stands out after the one before it, both unix seconds on a clock of the zone. */
function weightOf(time: number, before: number): number {
  const day = new Date(time * 1000);
  const dayBefore = new Date(before * 1000);
  if (day.getUTCFullYear() !== dayBefore.getUTCFullYear()) return 70;
  if (day.getUTCMonth() !== dayBefore.getUTCMonth()) return 60;
  if (day.getUTCDate() !== dayBefore.getUTCDate()) return 50;
  return DIVISORS.find(([divisor]) => Math.floor(time / divisor) !== Math.floor(before / divisor))?.[1] ?? 0;
}

function markOf(weight: number): MarkKind {
  if (weight >= 70) return "year";
  if (weight >= 60) return "month";
  if (weight >= 50) return "day";
  return weight >= WEIGHTS.minute ? "time" : "second";
}

/**
 * The library's time axis knows UTC alone. Shifted times, as one often sees, come twice when summer ends; so the times stay,
 * and only which labels stand out is told by the zone.
 */
function timeAxis(zone: () => Zone): IHorzScaleBehavior<Time> {
  const axis = new (defaultHorzScaleBehavior())();
  axis.fillWeightsForPoints = (points, start) => {
    const onClock = (index: number): number | undefined => {
      const point = points[index];
      if (point === undefined) return undefined;
      const time = axis.key(point.time) as unknown as number;
      return zone() === "UTC" ? time : time - new Date(time * 1000).getTimezoneOffset() * 60;
    };
    let before = onClock(start - 1);
    for (let i = start; i < points.length; i++) {
      const point = points[i];
      const time = onClock(i);
      if (point === undefined || time === undefined) continue;
      // before the first one there was one as far away as the next, as far as anybody knows
      before ??= 2 * time - (onClock(i + 1) ?? time + 60);
      point.timeWeight = weightOf(time, before) as typeof point.timeWeight;
      before = time;
    }
  };
  axis.formatTickmark = ({ originalTime, weight }) => markText(Number(originalTime), zone(), markOf(weight));
  return axis;
}

/** The lower pane has a sixth of the chart, and no less than this: its name, its bars and two numbers, CSS pixels. */
const LEAST_BELOW = 84;
/** Above the bars there is room for the name of what they are, CSS pixels. */
const LABEL_ROOM = 26;

/** A candle is this wide, its distance to the next included, unless that makes too few or too many, CSS pixels. */
const CANDLE_WIDTH = 8;
const LEAST_CANDLES = 60;
const MOST_CANDLES = 120;

/** The library takes smaller distances between labels for none (and throws on some). */
const MOST_LABEL_DECIMALS = 14;

/** Empty places at the right of the newest candle. */
const RIGHT_OFFSET = 4;

/** Draws candles or a line, what is below them, and gaps. */
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
  /** The last price as the labels around it know it. */
  #labelledAt: number | undefined;
  /** The width of a candle that suits the chart, CSS pixels. */
  #spacing = CANDLE_WIDTH;
  #colors = colorsOf(document.documentElement);
  /** What stands on the axis, in order; `candle` is absent at an empty place. */
  #points: { readonly time: number; readonly candle?: WireCandle }[] = [];
  #isNowInSight = true;
  #looked: number | undefined;
  /** The keys have put the crosshair where it is: it stays at its candle, while that of a mouse stays at the mouse. */
  #isPinned = false;

  /** Empty at first. */
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
      // on a phone the page is scrolled with the finger on the chart, too
      handleScroll: { vertTouchDrag: false },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.1, bottom: 0.08 } },
      timeScale: {
        borderVisible: false,
        timeVisible: true,
        secondsVisible: false,
        rightOffset: RIGHT_OFFSET,
        barSpacing: CANDLE_WIDTH,
        minBarSpacing: 1,
        // a candle where an empty place was is a new one
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
      // no mouse: the chart moved under a crosshair that stays at its candle
      if (param.sourceEvent === undefined && this.#isPinned) return;
      this.#isPinned = false;
      this.#look(param.time === undefined ? undefined : Number(param.time), false);
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.#ranged());
    this.#fit();
    // also when the axis of prices needs more of the width; the library is still laying out when it tells
    this.#chart.timeScale().subscribeSizeChange(() => queueMicrotask(() => this.#fit()));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#colors = colorsOf(document.documentElement);
      this.#paint();
      this.#setAll();
    });
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("blur", () => this.#look(undefined, true));
    // else a click does not bring the keys to the chart
    element.addEventListener("pointerdown", () => element.focus({ preventScroll: true }));
  }

  /** What is drawn, candles only, in order of time. */
  get candles(): WireCandle[] {
    return this.#points.flatMap(({ candle }) => candle ?? []);
  }

  /** How many candles have room, as it is zoomed now. */
  get room(): number {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    // both ends are middles of candles
    return range === null ? 0 : range.to - range.from + 1;
  }

  /** What is shaded. */
  get regions(): RegionData["regions"] {
    return this.#regions.regions;
  }

  /** Another product or interval: what was drawn goes, the newest comes into sight. */
  reset(interval: Interval): void {
    this.#points = [];
    this.#regions.length = intervalMs(interval) / 1000;
    this.#regions.regions = [];
    this.#digits = -1;
    this.#setAll();
    this.#chart.timeScale().applyOptions({ secondsVisible: intervalMs(interval) < 60_000 });
    this.#chart.timeScale().resetTimeScale();
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
    this.#look(undefined, true);
  }

  /** Draws what changed. */
  draw(drawing: Drawing): void {
    const { regions, changed, candles } = drawing;
    const wasInSight = this.#isInSight();
    this.#regions.regions = regions;
    if (drawing.all || !changed.every((candle) => this.#update(candle))) {
      this.#points = placesOf(candles, drawing.blanks());
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

  /** Candles or a line. */
  setStyle(style: Style): void {
    if (style === this.#style) return;
    this.#style = style;
    // the pane goes with its last series
    const before = this.#prices;
    this.#prices = this.#addPrices();
    this.#chart.removeSeries(before);
    this.#labelPrices();
    this.#setAll();
  }

  /** What is drawn below, and called what it is. */
  setBelow(below: Below): void {
    this.#kind = below;
    const shade = this.#shades[1];
    if (shade !== undefined) shade.label = below === "ticks" ? "ticks in each candle" : "volume of each candle";
    const [minMove, formatter] = below === "ticks" ? [1, countText] as const : [1e-8, volumeText] as const;
    // there is no half tick
    const markText = (value: number) => below === "ticks" && !Number.isInteger(value) ? "" : formatter(value);
    const tickmarksFormatter = (values: number[]) => this.#marks(1, this.#below, values, markText);
    this.#below.applyOptions({ priceFormat: { type: "custom", minMove, formatter, tickmarksFormatter } });
    this.#setAll();
  }

  /** Whose clock the axis shows. */
  setZone(zone: Zone): void {
    this.#zone = zone;
    // which labels stand out is worked out only for points that are new to the axis
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    this.#prices.setData([]);
    this.#below.setData([]);
    this.#setAll();
    // and their texts are kept until the options change
    this.#chart.timeScale().applyOptions({});
    if (range !== null) this.#chart.timeScale().setVisibleLogicalRange(range);
  }

  /** Decimals of the prices. */
  setDigits(digits: number): void {
    if (digits === this.#digits) return;
    this.#digits = digits;
    this.#labelPrices();
  }

  /** Brings the newest candle into sight. */
  goToNow(): void {
    // not scrollToRealTime(): its motion stops where it is as soon as something is drawn
    this.#chart.timeScale().scrollToPosition(RIGHT_OFFSET, false);
  }

  /** Labels the axis of prices anew; the library keeps labels until their format changes. */
  #labelPrices(): void {
    const digits = Math.max(0, this.#digits);
    const formatter = (price: number) => priceText(price, digits);
    const tickmarksFormatter = (prices: number[]) => this.#marks(0, this.#prices, prices, formatter);
    // the least distance of two labels, not what they say
    const base = 10 ** Math.min(digits, MOST_LABEL_DECIMALS);
    this.#prices.applyOptions({
      priceFormat: { type: "custom", minMove: 1 / base, base, formatter, tickmarksFormatter },
    });
  }

  /** Makes candles as wide as suits the chart's width, unless the user has zoomed. */
  #fit(): void {
    const width = this.#chart.timeScale().width();
    const isZoomed = this.room > 0 && Math.abs(width / this.room - this.#spacing) > 0.01;
    if (width === 0 || isZoomed) return;
    this.#spacing = width / Math.min(MOST_CANDLES, Math.max(LEAST_CANDLES, width / CANDLE_WIDTH));
    this.#chart.timeScale().applyOptions({ barSpacing: this.#spacing });
  }

  /** Shares the height among both panes. */
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
    return this.#points.findLast(({ candle }) => candle !== undefined)?.candle?.close;
  }

  /** The labels of a pane's axis; none where a part of it would be cut off at the edge, or covered by the last price. */
  #marks(
    pane: number,
    series: Pick<ISeriesApi<"Line", Time>, "priceToCoordinate">,
    values: readonly number[],
    text: (value: number) => string,
  ): string[] {
    const height = this.#chart.panes()[pane]?.getHeight() ?? Infinity;
    const half = this.#colors.fontSize / 2 + 1;
    const last = pane === 0 ? this.#lastClose() : undefined;
    const covered = last === undefined ? null : series.priceToCoordinate(last);
    return values.map((value) => {
      const y = series.priceToCoordinate(value);
      if (y === null) return text(value);
      const isSeen = y >= half && y <= height - half && (covered === null || Math.abs(y - covered) > 2 * half + 2);
      return isSeen ? text(value) : "";
    });
  }

  /** Puts the shades of gaps behind all that a pane shows. */
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
    const common = { priceLineStyle: LineStyle.Dotted, priceLineColor: this.#colors.muted } as const;
    if (this.#style === "line") {
      return this.#chart.addSeries(LineSeries, { ...common, color: this.#colors.line, lineWidth: 2 }, 0);
    }
    return this.#chart.addSeries(CandlestickSeries, { ...common, ...this.#candleColors() }, 0);
  }

  #candleColors(): CandlestickSeriesPartialOptions {
    const { up, down } = this.#colors;
    return {
      upColor: up,
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    };
  }

  #paint(): void {
    const { text, muted, grid, line, panel, regions, font, fontSize } = this.#colors;
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
    if (this.#style === "line") this.#prices.applyOptions({ color: line, priceLineColor: muted });
    else this.#prices.applyOptions({ ...this.#candleColors(), priceLineColor: muted });
  }

  /** Draws one candle that changed or was added at the end; false where that is not enough. */
  #update(candle: WireCandle): boolean {
    const place = indexFrom(this.#points, candle.time);
    const before = this.#points[place];
    const isNew = before === undefined;
    if (!isNew && (before.time !== candle.time || before.candle === undefined)) return false;
    this.#points[place] = { time: candle.time, candle };
    const historical = place < this.#points.length - 1;
    this.#prices.update(this.#pricePoint(candle, false) as never, historical);
    this.#below.update(this.#belowPoint(candle), historical);
    return true;
  }

  #setAll(): void {
    this.#regions.times = this.#points;
    // the last candle before an empty place ends the line: it must not be drawn across a gap
    const prices = this.#points.map(({ time, candle }, i) =>
      candle === undefined ? { time: time as UTCTimestamp } : this.#pricePoint(candle, this.#isBeforeGap(i))
    );
    this.#prices.setData(prices as never);
    this.#below.setData(this.#points.flatMap(({ candle }) => candle === undefined ? [] : [this.#belowPoint(candle)]));
  }

  #isBeforeGap(index: number): boolean {
    const next = this.#points[index + 1];
    return next !== undefined && next.candle === undefined;
  }

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
      // an open candle is a hollow one; an incomplete one wears the colour of gaps
      ...(candle.running ? { color: panel, borderColor: candle.incomplete ? warn : side } : {}),
      ...(candle.incomplete ? { borderColor: warn, wickColor: warn } : {}),
    } as Point;
  }

  #belowPoint({ time, open, close, ticks, volume }: WireCandle): { time: Time; value: number; color: string } {
    const { upSoft, downSoft } = this.#colors;
    const value = this.#kind === "ticks" ? ticks : volume ?? 0;
    return { time: time as UTCTimestamp, value, color: close >= open ? upSoft : downSoft };
  }

  #ranged(): void {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null || this.#points.length === 0) return;
    if (range.from < 60) this.#options.onLeftEnd();
    const isInSight = this.#isInSight();
    if (isInSight === this.#isNowInSight) return;
    this.#isNowInSight = isInSight;
    this.#options.onNow(isInSight);
  }

  /** The newest candle, or the end of a gap that lasts. */
  #isInSight(): boolean {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    return range === null || this.#points.length === 0 || range.to >= this.#points.length - 1.5;
  }

  /** Brings the end into sight, where empty places were added to it: the library follows candles alone. */
  #follow(): void {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null || range.to >= this.#points.length - 0.5) return;
    const lastCandle = this.#points.findLastIndex(({ candle }) => candle !== undefined);
    const blanks = this.#points.length - 1 - lastCandle;
    // candles stay in sight however long the gap is
    scale.scrollToPosition(Math.min(blanks + RIGHT_OFFSET, (range.to - range.from) * 0.6), false);
  }

  /** Puts the crosshair where the keys have brought it. */
  #pin(): void {
    const time = this.#looked;
    if (time === undefined) return;
    const price = this.#points.findLast((each) => each.time <= time && each.candle !== undefined)?.candle?.close;
    if (price !== undefined) this.#chart.setCrosshairPosition(price, time as UTCTimestamp, this.#prices as never);
  }

  #look(time: number | undefined, isKey: boolean): void {
    if (time === undefined) this.#isPinned = false;
    if (time === this.#looked) return;
    this.#looked = time;
    if (time === undefined && isKey) this.#chart.clearCrosshairPosition();
    this.#options.onLook(time, isKey);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const scale = this.#chart.timeScale();
    const last = this.#points.length - 1;
    const place = this.#looked === undefined ? last + 1 : indexFrom(this.#points, this.#looked);
    const to = (index: number) => {
      const time = this.#points[Math.min(last, Math.max(0, index))]?.time;
      if (time === undefined) return;
      this.#isPinned = true;
      this.#look(time, true);
      this.#pin();
      const range = scale.getVisibleLogicalRange();
      if (range === null) return;
      const shift = index < range.from + 1 ? index - range.from - 5 : index > range.to - 1 ? index - range.to + 5 : 0;
      if (shift !== 0) scale.setVisibleLogicalRange({ from: range.from + shift, to: range.to + shift });
    };
    const zoom = (factor: number) => {
      const range = scale.getVisibleLogicalRange();
      if (range !== null) {
        scale.setVisibleLogicalRange({ from: range.to - (range.to - range.from) * factor, to: range.to });
      }
    };
    if (event.key === "ArrowLeft") to(place - 1);
    else if (event.key === "ArrowRight") to(place + 1);
    else if (event.key === "PageUp") to(place - 20);
    else if (event.key === "PageDown") to(place + 20);
    else if (event.key === "End") to(last);
    else if (event.key === "Home") to(0);
    else if (event.key === "+" || event.key === "=") zoom(0.7);
    else if (event.key === "-") zoom(1.4);
    else if (event.key === "Escape") this.#look(undefined, true);
    else return;
    event.preventDefault();
  }
}

/** Candles and empty places in one row, in order of time. */
function placesOf(candles: readonly WireCandle[], blanks: readonly number[]): { time: number; candle?: WireCandle }[] {
  const places: { time: number; candle?: WireCandle }[] = [];
  let next = 0;
  for (const candle of candles) {
    for (let blank = blanks[next]; blank !== undefined && blank < candle.time; blank = blanks[++next]) {
      places.push({ time: blank });
    }
    places.push({ time: candle.time, candle });
  }
  for (; next < blanks.length; next++) places.push({ time: blanks[next] ?? 0 });
  return places;
}

/** The colours of the style sheet; canvas knows no custom properties. */
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
