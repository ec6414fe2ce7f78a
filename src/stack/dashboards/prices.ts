// The dashboard *Prices*: charts of one product, and a list of all products.

import type { Interval } from "../../core/candle.ts";
import {
  CELLS,
  COLOR_TEXT,
  COLORS,
  column,
  DASHBOARD,
  DECIMALS,
  fixed,
  gapRegions,
  INFLUXDB,
  type JsonObject,
  line,
  link,
  order,
  panel,
  PRICE,
  productLinks,
  ROW_OF_STATS,
  steps,
  table,
} from "./grafana.ts";
import { PANELS, PIPELINE_UID, PRICES_UID } from "./ids.ts";
import { QUERIES } from "./queries.ts";

/** The choices for the length of candles. */
export const CHOICES: readonly ("auto" | Interval)[] = [
  "auto",
  "1s",
  "5s",
  "15s",
  "30s",
  "1m",
  "5m",
  "15m",
  "1h",
  "4h",
  "1d",
];

const SAMPLED =
  "Candles are built from the prices received, on the channel ticker_batch one for every 5 seconds. Highs and lows between these " +
  "samples are unseen, so a candle here differs from the exchange's own.";
const NOTHING = "No ticks in this time range";
const NO_LEGEND = { showLegend: false, displayMode: "list", placement: "bottom", calcs: [] };
/** Seconds since the newest tick: half a minute without one is normal, five minutes are not. */
const AGE = { unit: "s", decimals: 0 };

const price = panel({
  id: PANELS.price,
  type: "stat",
  title: "${product}",
  gridPos: { x: 0, y: 0, w: 5, h: 4 },
  queries: [QUERIES.price, QUERIES.decimals],
  field: { ...PRICE, ...fixed("text"), noValue: "-" },
  options: {
    colorMode: "none",
    graphMode: "area",
    justifyMode: "auto",
    textMode: "value",
    wideLayout: true,
    reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
    text: { valueSize: 26 },
  },
  transformations: [DECIMALS],
});

const summary = panel({
  id: PANELS.summary,
  type: "stat",
  title: "In this time range",
  description:
    "Change from the first to the last price; highest and lowest price; total length of declared gaps; age of the newest " +
    "tick.",
  gridPos: { x: 5, y: 0, w: 19, h: 4 },
  queries: [QUERIES.summary, QUERIES.decimals],
  field: { ...PRICE, ...fixed("text"), noValue: "-" },
  overrides: [
    column("change", {
      displayName: "Change",
      unit: "percentunit",
      decimals: 2,
      ...steps(COLORS.down, [0, COLORS.up]),
    }),
    column("high", { displayName: "High" }),
    column("low", { displayName: "Low" }),
    column("missing", { displayName: "Missing", unit: "s", decimals: 1, ...steps("text", [1, COLORS.warning]) }),
    column("age", {
      displayName: "Last tick",
      ...AGE,
      ...steps(COLORS.up, [30, COLORS.warning], [300, COLORS.down]),
    }),
  ],
  options: ROW_OF_STATS,
  transformations: [DECIMALS, order("change", "high", "low", "missing", "age")],
});

const candles = panel({
  id: PANELS.candles,
  type: "candlestick",
  title: "${product} candles, ${Interval}",
  description:
    "Open, high, low and close of each interval (in UTC), drawn at its start. The bars below are the number of ticks, not " +
    `the traded volume. ${SAMPLED} "auto" shows 60 to 120 candles, with at least six samples each. If the time range is too ` +
    "long for the chosen interval, a longer one is used. Amber: declared gaps.",
  gridPos: { x: 0, y: 4, w: 12, h: 14 },
  queries: [QUERIES.candles, QUERIES.decimals],
  // candles narrower than a pixel are not drawn at all
  maxDataPoints: 300,
  field: {
    ...PRICE,
    custom: { axisPlacement: "right", axisBorderShow: false, fillOpacity: 35 },
  },
  overrides: [
    column("open", fixed(COLORS.faint)),
    column("high", fixed(COLORS.up)),
    column("low", fixed(COLORS.down)),
    column("close", fixed("text")),
    column("ticks", { ...fixed("#5f6368"), unit: "short", decimals: 0, custom: { axisPlacement: "hidden" } }),
  ],
  options: {
    mode: "candles+volume",
    candleStyle: "candles",
    colorStrategy: "open-close",
    colors: { up: COLORS.up, down: COLORS.down, flat: "#8e8e8e" },
    // the panel calls the bars `volume`
    fields: { open: "open", high: "high", low: "low", close: "close", volume: "ticks" },
    includeAllFields: false,
    legend: NO_LEGEND,
    tooltip: { mode: "multi", sort: "none" },
  },
  transformations: [DECIMALS],
});

/** For cells without a value; the text for an empty table would not fit there. */
const NO_PRICE = { noValue: "-" };

const market = panel({
  id: PANELS.market,
  type: "table",
  title: "Market",
  description: "All products of the last day; last price and change within the time range. Click a product to show it.",
  gridPos: { x: 12, y: 4, w: 12, h: 14 },
  queries: [QUERIES.market, QUERIES.trends],
  // a sparkline breaks where no tick arrived for this long
  interval: "1m",
  maxDataPoints: 120,
  field: {
    noValue: NOTHING,
    custom: CELLS,
  },
  // together they fit into 363 pixels, half of a page that is 800 pixels wide
  overrides: [
    column("product", {
      displayName: "Product",
      links: productLinks("var-Interval=${Interval}"),
      custom: { width: 84 },
    }),
    column("Trend #B", {
      displayName: "Trend",
      ...NO_PRICE,
      ...fixed(COLORS.line),
      custom: {
        cellOptions: {
          type: "sparkline",
          hideValue: true,
          drawStyle: "line",
          lineWidth: 1,
          lineInterpolation: "linear",
          fillOpacity: 10,
          gradientMode: "none",
          showPoints: "never",
          spanNulls: false,
          axisPlacement: "auto",
          barAlignment: 0,
        },
        minWidth: 50,
      },
    }),
    // text, aligned like a number
    column("last", { displayName: "Last", ...NO_PRICE, custom: { width: 104, align: "right" } }),
    column("change", {
      displayName: "Change",
      ...NO_PRICE,
      unit: "percentunit",
      decimals: 2,
      ...steps(COLORS.down, [0, COLORS.up]),
      custom: { width: 62, ...COLOR_TEXT },
    }),
    column("age", {
      displayName: "Age",
      ...NO_PRICE,
      ...AGE,
      ...steps("text", [30, COLORS.warning], [300, COLORS.down]),
      custom: { width: 62, ...COLOR_TEXT },
    }),
  ],
  options: table("lg"),
  transformations: [
    { id: "timeSeriesTable", options: { B: { timeField: "Time", stat: "lastNotNull" } } },
    { id: "joinByField", options: { byField: "product", mode: "outer" } },
    order("product", "last", "change", "Trend #B", "age"),
  ],
});

const timeline = panel({
  id: PANELS.timeline,
  type: "timeseries",
  title: "${product} timeline",
  description:
    "The mean price, one value per pixel. The line breaks where no tick arrived for more than a minute. Amber: declared gaps.",
  gridPos: { x: 0, y: 18, w: 24, h: 9 },
  queries: [QUERIES.timeline, QUERIES.decimals],
  field: {
    ...PRICE,
    ...fixed(COLORS.line),
    displayName: "mean",
    custom: line(14, "right"),
  },
  options: { legend: NO_LEGEND, tooltip: { mode: "multi", sort: "desc" } },
  transformations: [DECIMALS],
});

/** The dashboard in Grafana's model. */
export const PRICES: JsonObject = {
  uid: PRICES_UID,
  title: "Prices",
  description: SAMPLED,
  tags: ["crypto"],
  ...DASHBOARD,
  refresh: "5s",
  // short, so that the chart is not empty in the first minutes after a start
  time: { from: "now-30m", to: "now" },
  timepicker: { refresh_intervals: ["1s", "5s", "10s", "30s", "1m", "5m", "15m"] },
  links: [
    link("Pipeline", `/d/${PIPELINE_UID}`, "dashboard", false),
    link("Full screen", `/d/${PRICES_UID}?kiosk`, "external link", true),
  ],
  templating: {
    list: [
      {
        name: "product",
        label: "Product",
        type: "query",
        datasource: INFLUXDB,
        query: { query: QUERIES.products, refId: "product" },
        definition: "products of the time range",
        // at each refresh: a page that was opened before there was data then finds its product
        refresh: 2,
        sort: 0,
        multi: false,
        includeAll: false,
        current: { text: "BTC-USD", value: "BTC-USD" },
        options: [],
        hide: 0,
        skipUrlSync: false,
      },
      {
        name: "Interval",
        label: "Interval",
        type: "custom",
        query: CHOICES.join(","),
        multi: false,
        includeAll: false,
        current: { text: "auto", value: "auto" },
        options: CHOICES.map((choice) => ({ text: choice, value: choice, selected: choice === "auto" })),
        hide: 0,
        skipUrlSync: false,
      },
    ],
  },
  annotations: gapRegions(QUERIES.gaps, PANELS.candles, PANELS.timeline),
  panels: [price, summary, candles, market, timeline],
};
