// Ids in Grafana that dashboards and alerts refer to.

/** `/d/prices`. */
export const PRICES_UID = "prices";
/** `/d/pipeline`. */
export const PIPELINE_UID = "pipeline";

/** Panels of *Prices*. */
export const PANELS = { price: 1, summary: 2, candles: 3, market: 4, timeline: 5 };

/** Panels of *Pipeline*. */
export const PIPELINE_PANELS = {
  summary: 1,
  rates: 2,
  delays: 3,
  states: 4,
  products: 5,
  waiting: 6,
  rejected: 7,
  reconnects: 8,
  gaps: 9,
  alerts: 10,
  runbook: 11,
};
