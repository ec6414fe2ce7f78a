// The dashboard *Pipeline*: at which stage between the exchange and the database prices are delayed, lost or missing.

import runbookPage from "../../../docs/runbook.md" with { type: "text" };
import {
  CELLS,
  COLOR_TEXT,
  COLORS,
  column,
  COUNT,
  DASHBOARD,
  type FieldConfig,
  fixed,
  gapRegions,
  type JsonObject,
  line,
  link,
  order,
  panel,
  productLinks,
  ROW_OF_STATS,
  steps,
  table,
  words,
} from "./grafana.ts";
import { PIPELINE_PANELS as PANELS, PIPELINE_UID, PRICES_UID } from "./ids.ts";
import { QUERIES } from "./queries.ts";

const NOTHING = "Nothing in this time range";
/** Telegraf scrapes the producer and itself every 10 s: shorter windows would be empty. */
const SAMPLED = { interval: "10s", maxDataPoints: 240 };
const LINE = line(6, "left");
/** For rare events. */
const RARE = { interval: "30s", maxDataPoints: 120 };
const BARS = {
  drawStyle: "bars",
  lineWidth: 0,
  fillOpacity: 80,
  stacking: { mode: "normal", group: "A" },
  // pixels: a single bar would fill half of the panel
  barMaxWidth: 12,
  axisBorderShow: false,
};
const legend = (...calcs: readonly string[]) => ({ showLegend: true, displayMode: "list", placement: "bottom", calcs });
const TOOLTIP = { mode: "multi", sort: "desc" };
/** For counts that should be 0. */
const ALARMING: FieldConfig = { ...COUNT, ...steps(COLORS.up, [1, COLORS.warning]) };
/** A share of the time range. */
const COVERAGE: FieldConfig = {
  unit: "percentunit",
  decimals: 2,
  ...steps(COLORS.down, [0.99, COLORS.warning], [0.9999, COLORS.up]),
};
/** For how many seconds a tick has been known that is not stored: normally one or two. */
const UNSTORED: FieldConfig = { unit: "s", decimals: 0, ...steps("text", [10, COLORS.warning], [60, COLORS.down]) };

/** As `feed_product_state` names them, numbered as in states.flux. */
const STATES = [
  ["live", COLORS.up],
  ["quiet", COLORS.line],
  ["waiting", COLORS.faint],
  ["stalled", COLORS.down],
  ["refused", "#b877d9"],
] as const;
const STATE_WORDS = STATES.map(([state, color], i) => [`${i}`, state, color] as const);

const summary = panel({
  id: PANELS.summary,
  type: "stat",
  title: "In this time range",
  description:
    "Covered: the share of the time without a declared gap, the mean of all products. Gaps: those that overlap the time " +
    "range. Reconnects: a few per day are normal. Rejected: frames of the exchange and records of the topics that failed a " +
    "check. Dropped or lost: ticks dropped from the full queue or refused by Kafka. Not stored for: how long a tick has been " +
    "known that InfluxDB does not have. A producer that is not running declares its gap when it starts again.",
  gridPos: { x: 0, y: 0, w: 24, h: 4 },
  queries: [QUERIES.pipelineSummary],
  field: { ...fixed("text"), noValue: "-" },
  overrides: [
    column("coverage", { displayName: "Covered", ...COVERAGE }),
    column("gaps", { displayName: "Gaps", ...ALARMING }),
    column("reconnects", {
      displayName: "Reconnects",
      ...COUNT,
      ...steps(COLORS.up, [3, COLORS.warning], [20, COLORS.down]),
    }),
    column("rejected", { displayName: "Rejected", ...ALARMING }),
    column("dropped", { displayName: "Dropped or lost", ...COUNT, ...steps(COLORS.up, [1, COLORS.down]) }),
    column("waiting", { displayName: "Not stored for", ...UNSTORED }),
  ],
  options: ROW_OF_STATS,
  transformations: [order("coverage", "gaps", "reconnects", "rejected", "dropped", "waiting")],
});

const rates = panel({
  id: PANELS.rates,
  type: "timeseries",
  title: "Ticks per second by stage",
  description:
    "Normally the lines coincide. A line below the one before it shows the stage that waits or loses ticks. Stored ticks " +
    "count at their own time, so after an outage that line is filled in; ticks of a product with the same whole second are " +
    "stored as one. Several producers are added up. Amber: declared gaps; gaps that overlap are one region.",
  gridPos: { x: 0, y: 4, w: 12, h: 9 },
  queries: [QUERIES.pipelineRates],
  ...SAMPLED,
  field: { unit: "suffix:/s", decimals: 1, min: 0, custom: LINE },
  overrides: [
    column("received", fixed(COLORS.line)),
    column("acknowledged", fixed(COLORS.warning)),
    column("stored", fixed(COLORS.up)),
  ],
  options: { legend: legend("mean"), tooltip: TOOLTIP },
});

const delays = panel({
  id: PANELS.delays,
  type: "timeseries",
  title: "Delay by stage",
  description:
    "Exchange to producer: measured with heartbeats, which arrive every second, and with the clocks of both sides. To Kafka: " +
    "until Kafka acknowledges, as percentiles; above 30 s all look like 30 s. Kafka to InfluxDB: how far Telegraf is behind, " +
    "plus how long what it has read waits. Normal: below 1 s each; less than 1 ms is shown as 1 ms. Of several producers the " +
    "slowest counts.",
  gridPos: { x: 12, y: 4, w: 12, h: 9 },
  queries: [QUERIES.pipelineDelays],
  interval: "30s",
  maxDataPoints: 240,
  field: {
    unit: "s",
    min: 0.001,
    // not symlog: its labels at 0 and at both thresholds overlap
    custom: { ...LINE, spanNulls: 120_000, scaleDistribution: { type: "log", log: 10 } },
  },
  overrides: [
    column("exchange", { displayName: "exchange to producer", ...fixed(COLORS.line) }),
    column("p50", { displayName: "to Kafka, p50", ...fixed("#7c7f85") }),
    column("p95", { displayName: "to Kafka, p95", ...fixed(COLORS.warning) }),
    column("p99", { displayName: "to Kafka, p99", ...fixed(COLORS.down) }),
    column("stored", { displayName: "Kafka to InfluxDB", ...fixed(COLORS.up) }),
  ],
  options: { legend: legend("max"), tooltip: TOOLTIP },
});

const states = panel({
  id: PANELS.states,
  type: "state-timeline",
  title: "State of each product",
  description:
    "Live: ticks arrive. Quiet: the exchange's heartbeats show that nothing was traded. Waiting: no tick for a while, and it is " +
    "unknown whether there was a trade; normal for a product that is rarely traded and has no heartbeat of its own. Stalled: the " +
    "exchange trades it but sends no ticks. Refused: the exchange refused the subscription. No bar: no producer reported it for a " +
    "minute. Each window shows the worst state; if several producers follow a product, the best of theirs.",
  gridPos: { x: 0, y: 13, w: 24, h: 9 },
  queries: [QUERIES.pipelineStates],
  ...SAMPLED,
  field: {
    displayName: "${__field.labels.product}",
    // also shown in the tooltip where there is no bar
    noValue: "Not reported",
    mappings: words(...STATE_WORDS),
    // ms: the bar breaks where the query has nulls for longer; `insertNulls` would also cut longer windows
    custom: { fillOpacity: 80, lineWidth: 0, spanNulls: 60_000 },
  },
  options: {
    showValue: "never",
    mergeValues: true,
    rowHeight: 0.75,
    alignValue: "left",
    legend: legend(),
    tooltip: { mode: "single", sort: "none" },
  },
});

const products = panel({
  id: PANELS.products,
  type: "table",
  title: "Products",
  description:
    "State and age of the last tick at the end of the time range; for how long a tick has been known that is not stored; " +
    "declared gaps in the range, and the share of it without a gap. No answer: its producer does not answer. Not followed: no " +
    "producer has it in its list. Click a product to see its prices.",
  gridPos: { x: 0, y: 22, w: 24, h: 9 },
  queries: [QUERIES.pipelineProducts],
  field: {
    noValue: NOTHING,
    custom: CELLS,
  },
  overrides: [
    column("product", {
      displayName: "Product",
      links: productLinks(),
      custom: { width: 95 },
    }),
    column("state", {
      displayName: "State",
      decimals: 0,
      mappings: words(...STATE_WORDS, ["-1", "not followed", "text"], ["-2", "no answer", COLORS.warning]),
      custom: { width: 110, ...COLOR_TEXT },
    }),
    column("age", {
      displayName: "Last tick",
      unit: "s",
      decimals: 0,
      // -1: not followed by the producer
      mappings: words(["-1", "-", "text"]),
      custom: { width: 90 },
    }),
    column("unstored", {
      displayName: "Not stored for",
      ...UNSTORED,
      mappings: words(["-1", "-", "text"], ["0", "-", "text"]),
      custom: { width: 120, ...COLOR_TEXT },
    }),
    column("gaps", { displayName: "Gaps", ...COUNT, custom: { width: 60 } }),
    column("missing", { displayName: "Missing", unit: "s", decimals: 1, custom: { width: 90 } }),
    column("coverage", { displayName: "Covered", ...COVERAGE, custom: COLOR_TEXT }),
  ],
  options: table("sm"),
  transformations: [order("product", "state", "age", "unstored", "gaps", "missing", "coverage")],
});

const waiting = panel({
  id: PANELS.waiting,
  type: "timeseries",
  title: "Queues and buffers",
  description:
    "Events in the producer's queue for each sink, and records that Telegraf has read but not yet written. Normally near 0; a " +
    "rising line means that the next stage is slow or down. At QUEUE_CAPACITY the producer drops the oldest; at 50,000 Telegraf " +
    "stops reading, and newer records wait in Kafka.",
  gridPos: { x: 0, y: 31, w: 8, h: 8 },
  queries: [QUERIES.pipelineWaiting],
  ...SAMPLED,
  field: {
    ...COUNT,
    min: 0,
    displayName: "${__field.labels.queue}",
    color: { mode: "palette-classic" },
    custom: LINE,
  },
  options: { legend: legend("max"), tooltip: TOOLTIP },
});

const rejected = panel({
  id: PANELS.rejected,
  type: "timeseries",
  title: "Rejected",
  description:
    "Frames of the exchange that the producer rejected, and records of the topics that Telegraf rejected, by reason. Normally " +
    "none. The runbook says what each reason means.",
  gridPos: { x: 8, y: 31, w: 8, h: 8 },
  queries: [QUERIES.pipelineRejected],
  ...RARE,
  field: {
    ...COUNT,
    min: 0,
    displayName: "${__field.labels.reason}",
    color: { mode: "palette-classic" },
    // also shown in the tooltip of a window without any
    noValue: "None",
    custom: BARS,
  },
  options: { legend: legend("sum"), tooltip: TOOLTIP },
});

const reconnects = panel({
  id: PANELS.reconnects,
  type: "timeseries",
  title: "Reconnects",
  description: "Connections to the exchange after the first one. A few per day are normal.",
  gridPos: { x: 16, y: 31, w: 8, h: 8 },
  queries: [QUERIES.pipelineReconnects],
  ...RARE,
  field: {
    ...COUNT,
    min: 0,
    displayName: "reconnects",
    ...fixed(COLORS.warning),
    noValue: "None",
    custom: BARS,
  },
  options: { legend: legend("sum"), tooltip: TOOLTIP },
});

const gaps = panel({
  id: PANELS.gaps,
  type: "table",
  title: "Gaps",
  description:
    "Declared gaps that overlap the time range, the newest first, with the number of ticks known to be lost.",
  gridPos: { x: 0, y: 39, w: 24, h: 8 },
  queries: [QUERIES.pipelineGaps],
  field: {
    noValue: "None in this time range",
    custom: CELLS,
  },
  overrides: [
    column("begin", { displayName: "From", unit: "dateTimeAsIso", custom: { width: 150 } }),
    column("end", { displayName: "To", unit: "dateTimeAsIso", custom: { width: 150 } }),
    column("product", { displayName: "Product", custom: { width: 95 } }),
    column("reason", { displayName: "Reason", custom: { width: 105 } }),
    column("seconds", { displayName: "Lasted", unit: "s", decimals: 1, custom: { width: 80 } }),
    column("dropped", { displayName: "Lost", ...COUNT, custom: { width: 60 } }),
    // most gaps are closed: without this the cell would show the text for an empty table
    column("state", { displayName: " ", noValue: " ", custom: { minWidth: 105 } }),
  ],
  options: table("sm"),
  transformations: [order("begin", "end", "product", "reason", "seconds", "dropped", "state")],
});

const alerts = panel({
  id: PANELS.alerts,
  type: "alertlist",
  title: "Alerts",
  description: "Alerts that fire or are about to. Normally none.",
  gridPos: { x: 0, y: 47, w: 24, h: 6 },
  options: {
    viewMode: "list",
    groupMode: "default",
    groupBy: [],
    maxItems: 20,
    sortOrder: 3,
    dashboardAlerts: false,
    alertName: "",
    alertInstanceLabelFilter: "",
    datasource: "",
    stateFilter: { firing: true, pending: true, noData: true, normal: false, error: true, recovering: true },
  },
});

/** The runbook's part about alerts. */
const [, ALERTS_PART] = /<!-- alerts -->\n\n([^]*?)\n<!-- \/alerts -->/.exec(runbookPage) ?? [];

const runbook = panel({
  id: PANELS.runbook,
  type: "text",
  title: "Runbook",
  description:
    "What each alert means and what to do. docs/runbook.md has the same text, and all messages of the producer.",
  gridPos: { x: 0, y: 53, w: 24, h: 20 },
  options: { mode: "markdown", content: ALERTS_PART },
});

/** The dashboard in Grafana's model. */
export const PIPELINE: JsonObject = {
  uid: PIPELINE_UID,
  title: "Pipeline",
  description: "At which stage between the exchange and the database prices are delayed, lost or missing.",
  tags: [],
  ...DASHBOARD,
  refresh: "10s",
  time: { from: "now-1h", to: "now" },
  timepicker: {},
  links: [link("Prices", `/d/${PRICES_UID}`, "dashboard", false)],
  templating: { list: [] },
  annotations: gapRegions(QUERIES.pipelineGapMarks, PANELS.rates),
  panels: [summary, rates, delays, states, products, waiting, rejected, reconnects, gaps, alerts, runbook],
};
