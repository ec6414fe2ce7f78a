// The Flux queries of all panels, variables, annotations and alerts, composed from the files in grafana-provisioning/queries.

import alertDelay from "../../../grafana-provisioning/queries/alert_delay.flux" with { type: "text" };
import alertDrops from "../../../grafana-provisioning/queries/alert_drops.flux" with { type: "text" };
import alertKafka from "../../../grafana-provisioning/queries/alert_kafka.flux" with { type: "text" };
import alertNoMetrics from "../../../grafana-provisioning/queries/alert_no_metrics.flux" with { type: "text" };
import alertNoTicks from "../../../grafana-provisioning/queries/alert_no_ticks.flux" with { type: "text" };
import alertReconnects from "../../../grafana-provisioning/queries/alert_reconnects.flux" with { type: "text" };
import alertRejected from "../../../grafana-provisioning/queries/alert_rejected.flux" with { type: "text" };
import alertStalled from "../../../grafana-provisioning/queries/alert_stalled.flux" with { type: "text" };
import candles from "../../../grafana-provisioning/queries/candles.flux" with { type: "text" };
import decimals from "../../../grafana-provisioning/queries/decimals.flux" with { type: "text" };
import digits from "../../../grafana-provisioning/queries/digits.flux" with { type: "text" };
import feed from "../../../grafana-provisioning/queries/feed.flux" with { type: "text" };
import gapSpans from "../../../grafana-provisioning/queries/gap_spans.flux" with { type: "text" };
import gaps from "../../../grafana-provisioning/queries/gaps.flux" with { type: "text" };
import market from "../../../grafana-provisioning/queries/market.flux" with { type: "text" };
import missing from "../../../grafana-provisioning/queries/missing.flux" with { type: "text" };
import pipelineDelays from "../../../grafana-provisioning/queries/pipeline_delays.flux" with { type: "text" };
import pipelineGapMarks from "../../../grafana-provisioning/queries/pipeline_gap_marks.flux" with { type: "text" };
import pipelineGaps from "../../../grafana-provisioning/queries/pipeline_gaps.flux" with { type: "text" };
import pipelineProducts from "../../../grafana-provisioning/queries/pipeline_products.flux" with { type: "text" };
import pipelineRates from "../../../grafana-provisioning/queries/pipeline_rates.flux" with { type: "text" };
import pipelineReconnects from "../../../grafana-provisioning/queries/pipeline_reconnects.flux" with { type: "text" };
import pipelineRejected from "../../../grafana-provisioning/queries/pipeline_rejected.flux" with { type: "text" };
import pipelineStates from "../../../grafana-provisioning/queries/pipeline_states.flux" with { type: "text" };
import pipelineSummary from "../../../grafana-provisioning/queries/pipeline_summary.flux" with { type: "text" };
import pipelineWaiting from "../../../grafana-provisioning/queries/pipeline_waiting.flux" with { type: "text" };
import price from "../../../grafana-provisioning/queries/price.flux" with { type: "text" };
import products from "../../../grafana-provisioning/queries/products.flux" with { type: "text" };
import states from "../../../grafana-provisioning/queries/states.flux" with { type: "text" };
import summary from "../../../grafana-provisioning/queries/summary.flux" with { type: "text" };
import timeline from "../../../grafana-provisioning/queries/timeline.flux" with { type: "text" };
import trends from "../../../grafana-provisioning/queries/trends.flux" with { type: "text" };
import unstored from "../../../grafana-provisioning/queries/unstored.flux" with { type: "text" };

/** Composes one query from several texts; Flux requires all imports first, each once. */
function query(...texts: readonly string[]): string {
  const imports = new Set(texts.join("\n").match(/^import ".*"$/gm));
  const rest = texts.map((text) => text.replace(/^import ".*"\n+/gm, "").trim());
  return [...imports].toSorted().map((line) => `${line}\n`).join("") +
    `${imports.size > 0 ? "\n" : ""}${rest.join("\n\n")}\n`;
}

/** Removed to query the gaps of all products. */
const OF_THE_PRODUCT = ' and r.product == "${product}"';
const allGapSpans = gapSpans.replaceAll(OF_THE_PRODUCT, "").replace("of the product that", "of all products that");

/** The queries as Grafana runs them. */
export const QUERIES = {
  candles,
  decimals: query(digits, decimals),
  gaps: query(gapSpans, gaps),
  market: query(digits, market),
  price,
  products,
  summary: query(gapSpans, summary),
  timeline,
  trends,
  pipelineDelays: query(feed, pipelineDelays),
  pipelineGapMarks: query(allGapSpans, pipelineGapMarks),
  pipelineGaps: query(allGapSpans, pipelineGaps),
  pipelineProducts: query(feed, states, unstored, allGapSpans, missing, pipelineProducts),
  pipelineRates: query(feed, pipelineRates),
  pipelineReconnects: query(feed, pipelineReconnects),
  pipelineRejected: query(feed, pipelineRejected),
  pipelineStates: query(feed, states, pipelineStates),
  pipelineSummary: query(feed, unstored, allGapSpans, missing, pipelineSummary),
  pipelineWaiting: query(feed, pipelineWaiting),
  alertDelay: query(feed, unstored, alertDelay),
  alertDrops: query(feed, alertDrops),
  alertKafka: query(feed, alertKafka),
  alertNoMetrics: query(feed, alertNoMetrics),
  alertNoTicks: query(feed, unstored, alertNoTicks),
  alertReconnects: query(feed, alertReconnects),
  alertRejected: query(feed, alertRejected),
  alertStalled: query(feed, alertStalled),
};
