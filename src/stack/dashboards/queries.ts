// The Flux of all panels, variables, annotations and alerts, out of grafana-provisioning/queries, where each stands once.

import candles from "../../../grafana-provisioning/queries/candles.flux" with { type: "text" };
import gapSpans from "../../../grafana-provisioning/queries/gap_spans.flux" with { type: "text" };
import gaps from "../../../grafana-provisioning/queries/gaps.flux" with { type: "text" };
import market from "../../../grafana-provisioning/queries/market.flux" with { type: "text" };
import noTicks from "../../../grafana-provisioning/queries/no_ticks.flux" with { type: "text" };
import price from "../../../grafana-provisioning/queries/price.flux" with { type: "text" };
import products from "../../../grafana-provisioning/queries/products.flux" with { type: "text" };
import summary from "../../../grafana-provisioning/queries/summary.flux" with { type: "text" };
import timeline from "../../../grafana-provisioning/queries/timeline.flux" with { type: "text" };
import trends from "../../../grafana-provisioning/queries/trends.flux" with { type: "text" };

/** The queries as Grafana gets them, by what they are for. */
export const QUERIES = {
  candles,
  gaps: `${gapSpans}\n${gaps}`,
  market,
  noTicks,
  price,
  products,
  summary: `${gapSpans}\n${summary}`,
  timeline,
  trends,
};
