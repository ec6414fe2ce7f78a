// The alert rules, as the YAML that Grafana's provisioning reads.

import { PANELS, PRICES_UID } from "./prices.ts";
import { QUERIES } from "./queries.ts";

/** Half a minute without a tick, and that for half a minute: the rule fires after one. */
const SECONDS = 30;

/**
 * A count of nothing gives no row, so `noDataState` is what fires in practice. InfluxDB away is the same to the one who waits
 * for prices, so an error fires too. The folder is for alerts alone: a dashboard folder of that name would be made twice.
 */
export const RULES = `# Written by \`deno task dashboards\`; the query stands in ../queries/no_ticks.flux.
apiVersion: 1
groups:
  - orgId: 1
    name: feed
    folder: Alerts
    interval: 10s
    rules:
      - uid: no-ticks
        title: No ticks of any product
        condition: tooFew
        for: ${SECONDS}s
        noDataState: Alerting
        execErrState: Alerting
        isPaused: false
        labels:
          severity: critical
        annotations:
          __dashboardUid__: ${PRICES_UID}
          __panelId__: "${PANELS.timeline}"
          summary: No tick of any product was stored in the last minute.
          description: Ask the services in the order in which a price travels (deno task stack:status), which of them stopped first.
        data:
          - refId: ticks
            datasourceUid: influxdb
            relativeTimeRange:
              from: ${SECONDS}
              to: 0
            model:
              refId: ticks
              query: |
${QUERIES.noTicks.trimEnd().replace(/^/gm, " ".repeat(16))}
          - refId: tooFew
            datasourceUid: __expr__
            model:
              refId: tooFew
              type: threshold
              expression: ticks
              conditions:
                - evaluator:
                    type: lt
                    params: [1]
`;
