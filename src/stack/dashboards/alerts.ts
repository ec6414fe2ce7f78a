// The alert rules, as the YAML that Grafana's provisioning reads. What to do about each is in docs/runbook.md.

import { PANELS, PIPELINE_PANELS, PIPELINE_UID, PRICES_UID } from "./ids.ts";
import { QUERIES } from "./queries.ts";

/** A rule: one query, and the number that each of its rows is compared with. */
export interface Alert {
  readonly uid: string;
  readonly title: string;
  /** `critical`: prices are missing or lost. `warning`: that will follow. */
  readonly severity: "critical" | "warning";
  /** Flux that returns one table with a number, and columns of text as labels. */
  readonly query: string;
  /** The time range of the query ends now and is this long, seconds. */
  readonly seconds: number;
  /** Fires if a number is less (`lt`) or greater (`gt`) than the value. */
  readonly fires: { readonly type: "lt" | "gt"; readonly value: number };
  /** For how long that must be the case, seconds; at once by default. */
  readonly forSeconds?: number;
  /** Also fires if the query returns no row. */
  readonly firesWithoutRows?: boolean;
  /** Also fires if InfluxDB cannot be queried. One rule does: one alert is enough. */
  readonly firesOnErrors?: boolean;
  /** The panel that shows it. */
  readonly panel: readonly [dashboard: string, id: number];
  /** One sentence; may contain Grafana's templates. */
  readonly summary: string;
}

const LABEL = (name: string) => `{{ $labels.${name} }}`;
/** Guarded, because there is no value if the query fails. */
const VALUE = (how = 'printf "%.0f" .Value') => `{{ with $values.seen }}{{ ${how} }}{{ end }}`;

/** All rules, the most serious first. */
export const ALERTS: readonly Alert[] = [
  {
    uid: "no-ticks",
    title: "No ticks for any product",
    severity: "critical",
    query: QUERIES.alertNoTicks,
    seconds: 30,
    fires: { type: "lt", value: 1 },
    forSeconds: 30,
    firesWithoutRows: true,
    firesOnErrors: true,
    panel: [PRICES_UID, PANELS.timeline],
    summary: "No tick was stored for any product in the last minute, although the market is not quiet.",
  },
  {
    uid: "kafka-away",
    title: "Kafka accepts no writes",
    severity: "critical",
    query: QUERIES.alertKafka,
    seconds: 60,
    fires: { type: "lt", value: 1 },
    forSeconds: 30,
    panel: [PIPELINE_UID, PIPELINE_PANELS.waiting],
    summary: "Kafka has acknowledged no write for a minute and a half; new ticks wait in the producer.",
  },
  {
    uid: "drops",
    title: "Ticks were dropped or lost",
    severity: "critical",
    query: QUERIES.alertDrops,
    seconds: 600,
    fires: { type: "gt", value: 0 },
    panel: [PIPELINE_UID, PIPELINE_PANELS.summary],
    summary: `${VALUE()} ticks were dropped or lost at stage "${LABEL("stage")}" within ten minutes.`,
  },
  {
    uid: "product-stalled",
    title: "A product is stalled",
    severity: "warning",
    query: QUERIES.alertStalled,
    seconds: 30,
    fires: { type: "gt", value: 0 },
    forSeconds: 60,
    panel: [PIPELINE_UID, PIPELINE_PANELS.states],
    summary: `The exchange trades ${LABEL("product")} but sends no ticks; the producer subscribes again.`,
  },
  {
    uid: "delay",
    title: "A stage is slow",
    severity: "warning",
    query: QUERIES.alertDelay,
    seconds: 60,
    fires: { type: "gt", value: 5 },
    forSeconds: 60,
    panel: [PIPELINE_UID, PIPELINE_PANELS.delays],
    summary: `Stage "${LABEL("stage")}" has taken ${VALUE('printf "%.1f" .Value')} s or more for two minutes.`,
  },
  {
    uid: "reconnect-storm",
    title: "Reconnect storm",
    severity: "warning",
    query: QUERIES.alertReconnects,
    seconds: 600,
    fires: { type: "gt", value: 5 },
    panel: [PIPELINE_UID, PIPELINE_PANELS.reconnects],
    summary: `${VALUE()} connections of the producer at ${LABEL("producer")} to the exchange ended within ten minutes.`,
  },
  {
    uid: "rejected",
    title: "Frames or records are rejected",
    severity: "warning",
    query: QUERIES.alertRejected,
    seconds: 600,
    fires: { type: "gt", value: 0 },
    panel: [PIPELINE_UID, PIPELINE_PANELS.rejected],
    summary: `${VALUE()} from the ${LABEL("source")} failed a check within ten minutes.`,
  },
  {
    uid: "no-metrics",
    title: "No metrics from a producer",
    severity: "warning",
    query: QUERIES.alertNoMetrics,
    seconds: 120,
    fires: { type: "lt", value: 1 },
    forSeconds: 60,
    firesWithoutRows: true,
    panel: [PIPELINE_UID, PIPELINE_PANELS.states],
    summary:
      "Telegraf got no metrics from {{ with $labels.producer }}{{ . }}{{ else }}any producer{{ end }} for three " +
      "minutes, so the other alerts cannot see it.",
  },
];

/** Any text as a YAML string. */
const quoted = (text: string) => JSON.stringify(text);
const indented = (text: string, spaces: number) => text.trimEnd().replace(/^(?=.)/gm, " ".repeat(spaces));

/** The anchor of a heading in a rendered page. */
export function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^a-z0-9 -]/g, "").replaceAll(" ", "-");
}

function ruleOf(alert: Alert): string {
  const [dashboard, panel] = alert.panel;
  return `      - uid: ${alert.uid}
        title: ${quoted(alert.title)}
        condition: fires
        for: ${alert.forSeconds ?? 0}s
        noDataState: ${alert.firesWithoutRows ? "Alerting" : "OK"}
        execErrState: ${alert.firesOnErrors ? "Alerting" : "KeepLast"}
        isPaused: false
        labels:
          severity: ${alert.severity}
        annotations:
          __dashboardUid__: ${dashboard}
          __panelId__: "${panel}"
          summary: ${quoted(alert.summary)}
          description: ${quoted(`What to do: docs/runbook.md#${anchorOf(alert.title)}`)}
          runbook_url: ${quoted(`{{ externalURL }}d/${PIPELINE_UID}?viewPanel=${PIPELINE_PANELS.runbook}`)}
        data:
          - refId: seen
            datasourceUid: influxdb
            relativeTimeRange:
              from: ${alert.seconds}
              to: 0
            model:
              refId: seen
              query: |
${indented(alert.query, 16)}
          - refId: fires
            datasourceUid: __expr__
            model:
              refId: fires
              type: threshold
              expression: seen
              conditions:
                - evaluator:
                    type: ${alert.fires.type}
                    params: [${alert.fires.value}]
`;
}

/**
 * The file with all rules. Their folder contains only alerts: Grafana would create a dashboard folder of the same name
 * twice. `runbook_url` is the panel with the runbook, because that exists in every Grafana.
 */
export const RULES: string =
  `# Generated by \`deno task dashboards\` from src/stack/dashboards/alerts.ts and ../queries.
apiVersion: 1
groups:
  - orgId: 1
    name: feed
    folder: Alerts
    interval: 10s
    rules:
${ALERTS.map(ruleOf).join("")}`;
