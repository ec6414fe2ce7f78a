// The counters in the text format of Prometheus. All names start with `feed_`; labels come from closed lists and the settings.

import type { SinkStatus } from "../pipeline/delivery.ts";
import type { SourceStatus } from "../pipeline/source.ts";
import { DELAY_BUCKETS, type Delays, type SinkStats, type Stats } from "../core/stats.ts";

/** What the metrics are read from. */
export interface MetricsInput {
  readonly stats: Stats;
  readonly source: SourceStatus;
  readonly sinks: readonly SinkStatus[];
}

type Labels = Readonly<Record<string, string | number>>;
/** A histogram adds the suffix to its name. */
type Sample = readonly [labels: Labels, value: number | undefined, suffix?: string];

/** The text of `/metrics`, in version 0.0.4 of the Prometheus text format. A metric without any value is left out. */
export function renderMetrics({ stats, source, sinks }: MetricsInput): string {
  const metrics: string[] = [];
  const add = (type: string, name: string, help: string, samples: readonly Sample[]) => {
    const lines = samples.flatMap(([labels, value, suffix = ""]) =>
      value === undefined ? [] : [`${name}${suffix}${labelsText(labels)} ${value}\n`]
    );
    if (lines.length > 0) metrics.push(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`);
  };
  const counter = (name: string, help: string, value: number) => add("counter", name, help, [[{}, value]]);
  const gauge = (name: string, help: string, value: number | undefined) => add("gauge", name, help, [[{}, value]]);
  const sinkCounter = (name: string, help: string, value: (sink: SinkStats) => number) =>
    add("counter", name, help, Array.from(stats.sinks, ([sink, counted]) => [{ sink }, value(counted)]));
  const sinkGauge = (name: string, help: string, value: (sink: SinkStatus) => number) =>
    add("gauge", name, help, sinks.map((sink) => [{ sink: sink.name }, value(sink)]));

  counter("feed_frames_total", "Frames received", stats.frames);
  counter("feed_frames_ignored_total", "Frames of other types or products", stats.ignored);
  counter("feed_frames_control_total", "Heartbeats, confirmations and refusals", stats.control);
  counter("feed_tickers_without_trade_total", "Tickers that report no trade", stats.withoutTrade);
  counter("feed_ticks_received_total", "Ticks that passed every check", stats.received);
  counter("feed_ticks_repeated_total", "Ticks received before: a product's last tick again", stats.repeated);
  add(
    "counter",
    "feed_ticks_rejected_total",
    "Frames and ticks that failed a check",
    Object.entries(stats.rejected).map(([reason, count]) => [{ reason }, count]),
  );
  counter("feed_reconnects_total", "Connections after the first", stats.reconnects);
  counter("feed_gaps_total", "Gaps declared; one of unknown start counts only if older ticks are stored", stats.gaps);
  sinkCounter("feed_ticks_sent_total", "Ticks acknowledged by the sink", ({ sent }) => sent);
  sinkCounter("feed_ticks_dropped_total", "Ticks dropped because the queue was full", ({ dropped }) => dropped);
  sinkCounter("feed_ticks_lost_total", "Ticks accepted but never acknowledged", ({ lost }) => lost);
  sinkCounter("feed_gap_records_sent_total", "Gap records acknowledged by the sink", ({ gapsSent }) => gapsSent);
  sinkCounter("feed_sink_failures_total", "Failed writes", ({ failures }) => failures);

  gauge("feed_link_up", "1 while frames arrive", Number(source.link === "open"));
  gauge(
    "feed_exchange_delay_seconds",
    "Delay of the last heartbeat: our clock at its arrival minus the exchange's time in it",
    source.delaySeconds,
  );
  sinkGauge("feed_queue_depth", "Events in the queue", ({ queueDepth }) => queueDepth);
  sinkGauge("feed_queue_capacity", "Most events that the queue holds", ({ queueCapacity }) => queueCapacity);
  sinkGauge("feed_sink_up", "1 while writes succeed", ({ state }) => Number(state === "ok"));
  sinkGauge(
    "feed_gap_records_up",
    "0 while gap records, which are delivered separately, cannot be written: ticks are not held up by this",
    ({ gapsTrouble }) => Number(gapsTrouble === undefined),
  );
  add(
    "gauge",
    "feed_tick_age_seconds",
    "Age of the product's last trade: its age on arrival plus the time since then",
    source.products.map(({ product, ageSeconds }) => [{ product }, ageSeconds]),
  );
  add(
    "gauge",
    "feed_tick_time_seconds",
    "The exchange's time of the product's newest tick, unix seconds",
    source.products.map(({ product, time }) => [{ product }, time]),
  );
  add(
    "gauge",
    "feed_product_state",
    "1 for the state that the product is in",
    source.products.map(({ product, state }) => [{ product, state }, 1]),
  );
  gauge("feed_resident_memory_bytes", "Resident memory of the process", Deno.memoryUsage().rss);
  add(
    "histogram",
    "feed_tick_delay_seconds",
    "Stage arrival: from the exchange's time to our receipt; a sink: from receipt to its acknowledgement",
    [
      ...histogram("arrival", stats.arrival),
      ...Array.from(stats.sinks, ([sink, { delay }]) => histogram(sink, delay)).flat(),
    ],
  );
  return metrics.join("\n");
}

function histogram(stage: string, { counts, sum }: Delays): Sample[] {
  let total = 0;
  return [
    ...counts.map((count, at): Sample => [{ stage, le: DELAY_BUCKETS[at] ?? "+Inf" }, total += count, "_bucket"]),
    [{ stage }, sum, "_sum"],
    [{ stage }, total, "_count"],
  ];
}

function labelsText(labels: Labels): string {
  const texts = Object.entries(labels).map(([name, value]) =>
    `${name}="${String(value).replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"')}"`
  );
  return texts.length === 0 ? "" : `{${texts.join(",")}}`;
}
