// The alert rules, as the YAML that Grafana's provisioning reads. What to do about each is in docs/runbook.md.

import { PANELS, PIPELINE_PANELS, PIPELINE_UID, PRICES_UID } from "./ids.ts";
import { QUERIES } from "./queries.ts";

/** A rule: one query, and the number that each of its rows is compared with. */
export interface Alert {
  /** Its id in Grafana. */
  readonly uid: string;
  /** Shown in messages. */
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
/** Guarded: where the query fails there is no value. */
const VALUE = (how = 'printf "%.0f" .Value') => `{{ with $values.seen }}{{ ${how} }}{{ end }}`;

/** All rules, the gravest first. */
export const ALERTS: readonly Alert[] = [
  {
    uid: "no-ticks",
    title: "No ticks of any product",
    severity: "critical",
    query: QUERIES.alertNoTicks,
    seconds: 30,
    fires: { type: "lt", value: 1 },
    forSeconds: 30,
    firesWithoutRows: true,
    firesOnErrors: true,
    panel: [PRICES_UID, PANELS.timeline],
    summary: "No tick of any product was stored in the last minute, and not because nothing was traded.",
  },
  {
    uid: "kafka-away",
    title: "Kafka takes nothing",
    severity: "critical",
    query: QUERIES.alertKafka,
    seconds: 60,
    fires: { type: "lt", value: 1 },
    forSeconds: 30,
    panel: [PIPELINE_UID, PIPELINE_PANELS.waiting],
    summary: "No write to Kafka was confirmed for a minute and a half; what comes waits in the producer.",
  },
  {
    uid: "drops",
    title: "Ticks were given up",
    severity: "critical",
    query: QUERIES.alertDrops,
    seconds: 600,
    fires: { type: "gt", value: 0 },
    panel: [PIPELINE_UID, PIPELINE_PANELS.summary],
    summary: `${VALUE()} good ticks were given up at "${LABEL("place")}" in ten minutes.`,
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
    summary: `The exchange trades ${LABEL("product")} and does not tell us; the producer asks for it again.`,
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
    summary: `Stage "${LABEL("stage")}" takes ${VALUE('printf "%.1f" .Value')} s or more, for two minutes.`,
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
    summary: `${VALUE()} from the ${LABEL("place")} failed a check in ten minutes.`,
  },
  {
    uid: "no-metrics",
    title: "A producer tells nothing",
    severity: "warning",
    query: QUERIES.alertNoMetrics,
    seconds: 120,
    fires: { type: "lt", value: 1 },
    forSeconds: 60,
    firesWithoutRows: true,
    panel: [PIPELINE_UID, PIPELINE_PANELS.states],
    summary:
      "Telegraf got no metrics from {{ with $labels.producer }}{{ . }}{{ else }}any producer{{ end }} for three " +
      "minutes: the other alerts see nothing of it.",
  },
];

/** Text of any kind as YAML reads it. */
const quoted = (text: string) => JSON.stringify(text);
const indented = (text: string, spaces: number) => text.trimEnd().replace(/^(?=.)/gm, " ".repeat(spaces));

/** Where a heading is found in a rendered page. */
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
 * All rules as a file. Their folder is for alerts alone: a dashboard folder of that name would be made twice. The runbook's
 * address is the panel that holds it, since every Grafana has that one.
 */
export const RULES: string =
  `# Written by \`deno task dashboards\` from src/stack/dashboards/alerts.ts; the queries stand in ../queries.
apiVersion: 1
groups:
  - orgId: 1
    name: feed
    folder: Alerts
    interval: 10s
    rules:
${ALERTS.map(ruleOf).join("")}`;
