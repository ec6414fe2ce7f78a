// The alert rules with what to do about each: the YAML that Grafana's provisioning reads, and their part of the runbook.

import { PANELS, PIPELINE_PANELS, PIPELINE_UID, PRICES_UID } from "./places.ts";
import { QUERIES } from "./queries.ts";

/** A rule: one query, whose rows are each compared with one number. */
export interface Alert {
  /** Its id in Grafana. */
  readonly uid: string;
  /** As a person reads it in a message. */
  readonly title: string;
  /** `critical`: prices are missing or lost. `warning`: they will be. */
  readonly severity: "critical" | "warning";
  /** Flux; one table, one number, and columns of text as labels. */
  readonly query: string;
  /** How far it looks back, seconds. */
  readonly seconds: number;
  /** Fires where a row's number is below (`lt`) or above (`gt`) the value. */
  readonly fires: { readonly type: "lt" | "gt"; readonly value: number };
  /** For how long it must be so, seconds. */
  readonly forSeconds: number;
  /** Without a row, or when InfluxDB cannot be asked. Only one rule tells of the latter: one alert is enough for that. */
  readonly noData: "Alerting" | "OK";
  /** See {@link Alert.noData}. */
  readonly error: "Alerting" | "KeepLast";
  /** The panel that shows it. */
  readonly panel: readonly [dashboard: string, id: number];
  /** One sentence; may hold Grafana's templates. */
  readonly summary: string;
  /** What one sees. */
  readonly symptom: string;
  /** Where to look, in order. */
  readonly check: readonly string[];
  /** What to do, by what was found. */
  readonly action: readonly string[];
}

const LABEL = (name: string) => `{{ $labels.${name} }}`;
/** Guarded: where the query fails there is no value. */
const VALUE = (how = 'printf "%.0f" .Value') => `{{ with $values.seen }}{{ ${how} }}{{ end }}`;
const COUNTED = { noData: "OK", error: "KeepLast" } as const;
const STATUS = "http://localhost:8000/api/status";
const LAG = "docker compose exec broker /opt/kafka/bin/kafka-consumer-groups.sh --bootstrap-server broker:19092 " +
  "--describe --group telegraf";

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
    noData: "Alerting",
    error: "Alerting",
    panel: [PRICES_UID, PANELS.timeline],
    summary: "No tick of any product was stored in the last minute, and not because nothing was traded.",
    symptom: "All charts stand still. InfluxDB away looks the same, and so does the producer.",
    check: [
      "`deno task stack:status`: which service is not healthy? Go along the way of a price: `coinbase-producer`, `broker`, " +
      "`telegraf`, `influxdb`.",
      `\`${STATUS}\`: \`reasons\` says what the producer lacks, the exchange or Kafka.`,
      "*Ticks a second, stage by stage* on the dashboard *Pipeline*: the first line that is at 0, or that ends, names the stage.",
    ],
    action: [
      "A service is down: `deno task stack:logs NAME` says why; `deno task stack` starts what does not run.",
      "The exchange is away: nothing to do, the producer connects by itself and declares the gap. Its status page (for " +
      "Coinbase https://status.exchange.coinbase.com) says whether it is them; `deno task stack --demo` whether it is your network.",
      "Received and acknowledged, but not stored: `deno task stack:logs telegraf`; a refused token is mended by " +
      "`deno task stack`, which makes a new one.",
    ],
  },
  {
    uid: "kafka-away",
    title: "Kafka takes nothing",
    severity: "critical",
    query: QUERIES.alertKafka,
    seconds: 60,
    fires: { type: "lt", value: 1 },
    forSeconds: 30,
    ...COUNTED,
    panel: [PIPELINE_UID, PIPELINE_PANELS.waiting],
    summary: "No write to Kafka was confirmed for a minute and a half; what comes waits in the producer.",
    symptom:
      "The producer's queue grows. Nothing is lost until it is full (QUEUE_CAPACITY, 100,000 events by default).",
    check: [
      `\`${STATUS}\`: \`trouble\` of the sink \`kafka\` has Kafka's words.`,
      "`deno task stack:status` and `deno task stack:logs broker`: does it run, is its disk full?",
      "`kcat -L -b localhost:9092`: does it answer, is the topic there?",
    ],
    action: [
      "The broker does not run: `deno task stack`. After a crash it is back in about 11 seconds by itself.",
      "The topic is missing: `deno task stack` makes it (`init-kafka`). If it was there before, Telegraf's place in it must " +
      "be set back too: `deno task doctor` says how.",
      "The disk is full: make room, or lower `TOPIC_RETENTION_MS`.",
      "A certificate or a login is refused: the entry of that message below.",
    ],
  },
  {
    uid: "drops",
    title: "Ticks were given up",
    severity: "critical",
    query: QUERIES.alertDrops,
    seconds: 600,
    fires: { type: "gt", value: 0 },
    forSeconds: 0,
    ...COUNTED,
    panel: [PIPELINE_UID, PIPELINE_PANELS.summary],
    summary: `${VALUE()} good ticks were given up at "${LABEL("place")}" in ten minutes.`,
    symptom:
      "Prices are missing for good. What the producer gave up is declared: a gap with its reason stands in *Gaps*.",
    check: [
      "`place` is `queue`: the producer's queue was full, since Kafka was away for too long or is too slow (*What waits*).",
      "`place` is `kafka`: Kafka refused single records; the producer's log says `refuses a record, it is lost`, and why.",
      "`place` is `telegraf`: InfluxDB refused points (older than its retention?), or Kafka and InfluxDB came and went " +
      "together; `deno task stack:logs telegraf` says which.",
    ],
    action: [
      "`queue`: mend Kafka; raise `QUEUE_CAPACITY` (an event needs about 1 kB of memory) if it is away that long again.",
      "`kafka`: compare `max.message.bytes` and the clock of the broker with the words in the log.",
      "`telegraf`: the records are still in Kafka for a week. Points beyond the retention are refused rightly; otherwise set " +
      "the group `telegraf` back to a time before (kafka-consumer-groups.sh --reset-offsets --to-datetime, with Telegraf " +
      "stopped): what is stored twice is one point.",
    ],
  },
  {
    uid: "product-stalled",
    title: "A product is stalled",
    severity: "warning",
    query: QUERIES.alertStalled,
    seconds: 30,
    fires: { type: "gt", value: 0 },
    forSeconds: 60,
    ...COUNTED,
    panel: [PIPELINE_UID, PIPELINE_PANELS.states],
    summary: `The exchange trades ${LABEL("product")} and does not tell us; the producer asks for it again.`,
    symptom:
      "One product stands still while others go on. A quiet one does not: its heartbeats say that nothing was traded.",
    check: [
      "*How each product is*: one product, or all? A bar that ends means that the producer does not answer.",
      "The exchange's own page of that product: does it trade there?",
      "`deno task stack:logs coinbase-producer`: `Asking the exchange again for products`, `refuses a product`.",
    ],
    action: [
      "Nothing at first: the producer subscribes again, then connects anew, and declares the gap.",
      "For hours, and the exchange trades it: `docker compose restart coinbase-producer`; then tell the exchange.",
      "The product was renamed or taken off: change `COINBASE_PRODUCTS`.",
    ],
  },
  {
    uid: "delay",
    title: "A stage is slow",
    severity: "warning",
    query: QUERIES.alertDelay,
    seconds: 60,
    fires: { type: "gt", value: 5 },
    forSeconds: 60,
    ...COUNTED,
    panel: [PIPELINE_UID, PIPELINE_PANELS.delays],
    summary: `Stage "${LABEL("stage")}" takes ${VALUE('printf "%.1f" .Value')} s or more, for two minutes.`,
    symptom: "Prices come late. Nothing is lost.",
    check: [
      "`stage` is `exchange`: heartbeats come late. The network is full, the clock of this computer is wrong " +
      "(`timedatectl`), or the producer has no time (its CPU, `docker stats`).",
      "`stage` is `kafka`: acknowledgements come late: disk and CPU of the broker, with several brokers the slowest of them.",
      `\`stage\` is \`stored\`: the producer told of a tick that InfluxDB does not have: \`${LAG}\` shows what Telegraf has not ` +
      "read; *What waits* shows what it cannot write.",
    ],
    action: [
      "`exchange`: set the clock (NTP), free the line or the CPU.",
      "`kafka`: give the broker a faster disk, or more time: what it cannot take waits in the queue.",
      "`stored`: `deno task stack:logs telegraf`, `deno task stack:logs influxdb`; after an outage just wait, it drains some " +
      "thousand records a second.",
    ],
  },
  {
    uid: "reconnect-storm",
    title: "Reconnect storm",
    severity: "warning",
    query: QUERIES.alertReconnects,
    seconds: 600,
    fires: { type: "gt", value: 5 },
    forSeconds: 0,
    ...COUNTED,
    panel: [PIPELINE_UID, PIPELINE_PANELS.reconnects],
    summary: `${VALUE()} connections of the producer at ${LABEL("producer")} to the exchange ended within ten minutes.`,
    symptom: "Many short gaps with the reasons `link-closed` or `link-silent`.",
    check: [
      "`producer` says whose; the log of that one, here `deno task stack:logs coinbase-producer`: `why` in `Connection to Coinbase ended`.",
      "`closed with code 1006` or `hung up`: a proxy or firewall between. `nothing came for`: a line that loses packets. " +
      "Another code and words: the exchange's own reason.",
    ],
    action: [
      "A proxy that ends connections after a while: let this address through without it.",
      "The exchange limits us: fewer products, fewer programs at the same address.",
      "`nothing came for` on a slow line: raise `STALE_AFTER_MS`.",
    ],
  },
  {
    uid: "rejected",
    title: "Frames or records are rejected",
    severity: "warning",
    query: QUERIES.alertRejected,
    seconds: 600,
    fires: { type: "gt", value: 0 },
    forSeconds: 0,
    ...COUNTED,
    panel: [PIPELINE_UID, PIPELINE_PANELS.rejected],
    summary: `${VALUE()} from the ${LABEL("place")} failed a check in ten minutes.`,
    symptom: "Something on the way is not what it should be: it is not stored, and nothing else is held up.",
    check: [
      "`place` is `exchange`: the producer's log has `Frame rejected` with the reason and the beginning of the frame.",
      "`place` is `topic`: somebody wrote a record that is none. It is kept, with the reason: " +
      '`from(bucket: "coinbase-bucket") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "ticker_rejected")`.',
    ],
    action: [
      "`bad-time` of all frames: this computer's clock is wrong.",
      "`too-large`: raise `MAX_FRAME_BYTES` if the exchange's frames have grown.",
      "Other reasons: the exchange changed its format. Keep the frame, and write an issue with it.",
      '`topic`: find the writer. A record is `{"product":"BTC-USD","w_time":1700000000,"price":37000.12}`.',
    ],
  },
  {
    uid: "no-metrics",
    title: "A producer tells nothing",
    severity: "warning",
    query: QUERIES.alertNoMetrics,
    seconds: 120,
    fires: { type: "lt", value: 1 },
    forSeconds: 60,
    noData: "Alerting",
    error: "KeepLast",
    panel: [PIPELINE_UID, PIPELINE_PANELS.states],
    summary:
      "Telegraf got no metrics from {{ with $labels.producer }}{{ . }}{{ else }}any producer{{ end }} for three " +
      "minutes: the other alerts see nothing of it.",
    symptom:
      "The dashboard *Pipeline* is empty, or of several producers one is missing there, while prices may still come.",
    check: [
      "`producer` is the address of the one that is silent. `an address that never answered`: Telegraf asks one that has " +
      "told nothing within a day; its log says which. No `producer`: that is so of all.",
      "`deno task stack:status`: does `coinbase-producer` run? Others: where they run.",
      "`curl http://localhost:8000/metrics`, or that address: does it answer?",
      "`deno task stack:logs telegraf`: an error of `inputs.prometheus` names the address that it asks.",
    ],
    action: [
      "It does not run: `deno task stack:logs coinbase-producer`, then `deno task stack`.",
      "It runs elsewhere: `PRODUCER_METRICS` of Telegraf must be its address (of several `PRODUCER_METRICS_2` to `_8` the " +
      "others'), and its `HOST` and `ALLOWED_HOSTS` must let Telegraf in.",
      "It is not to run any more: take its address out of them, and start Telegraf anew (`deno task stack`).",
    ],
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
        for: ${alert.forSeconds}s
        noDataState: ${alert.noData}
        execErrState: ${alert.error}
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

/** The alerts' part of docs/runbook.md, as Markdown. */
export function runbookOf(): string {
  const list = (items: readonly string[]) => items.map((item) => `- ${item}`).join("\n");
  const when = ({ fires, forSeconds, seconds }: Alert) =>
    `It looks back ${seconds} s and fires ${fires.type === "lt" ? "below" : "above"} ${fires.value}` +
    `${forSeconds === 0 ? "" : `, when that lasts ${forSeconds} s`}.`;
  return ALERTS.map((alert) =>
    `### ${alert.title}

\`${alert.uid}\`, ${alert.severity}. ${when(alert)}

**Symptom:** ${alert.symptom}

**Check:**

${list(alert.check)}

**Action:**

${list(alert.action)}
`
  ).join("\n");
}
