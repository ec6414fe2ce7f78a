// The counters as Prometheus reads them. All names begin with `feed_`; labels come from closed lists and the settings.

import prom from "prom-client";
import type { SinkStatus } from "../pipeline/lane.ts";
import type { SourceStatus } from "../pipeline/source.ts";
import { DELAY_BUCKETS, type Delays, type Stats } from "../core/stats.ts";

/** What the metrics are read from. */
export interface MetricsInput {
  /** Counters. */
  readonly stats: Stats;
  /** The source as it stands. */
  readonly source: SourceStatus;
  /** The sinks as they stand. */
  readonly sinks: readonly SinkStatus[];
}

type Labels = Record<string, string>;

/** The text of `/metrics`. */
export async function renderMetrics({ stats, source, sinks }: MetricsInput): Promise<string> {
  const registry = new prom.Registry();
  const labelsOf = (values: readonly [Labels, number][]) => Object.keys(values[0]?.[0] ?? {});
  // where nothing can be told yet, prom-client would tell 0 of nothing
  const counter = (name: string, help: string, values: readonly [Labels, number][]) => {
    if (values.length === 0) return;
    const metric = new prom.Counter({ name, help, labelNames: labelsOf(values), registers: [registry] });
    for (const [labels, value] of values) metric.inc(labels, value);
  };
  const gauge = (name: string, help: string, values: readonly [Labels, number][]) => {
    if (values.length === 0) return;
    const metric = new prom.Gauge({ name, help, labelNames: labelsOf(values), registers: [registry] });
    for (const [labels, value] of values) metric.set(labels, value);
  };
  const perSink = [...stats.sinks];

  counter("feed_frames_total", "Frames received", [[{}, stats.frames]]);
  counter("feed_frames_ignored_total", "Frames that were not for us", [[{}, stats.ignored]]);
  counter("feed_frames_control_total", "Heartbeats, acknowledgements, refusals", [[{}, stats.control]]);
  counter("feed_tickers_without_trade_total", "Tickers that report no trade", [[{}, stats.withoutTrade]]);
  counter("feed_ticks_received_total", "Ticks that passed every check", [[{}, stats.received]]);
  counter("feed_ticks_repeated_total", "A product's last tick once more", [[{}, stats.repeated]]);
  counter(
    "feed_ticks_rejected_total",
    "Frames and ticks that failed a check",
    Object.entries(stats.rejected).map(([reason, count]) => [{ reason }, count]),
  );
  counter("feed_reconnects_total", "Connections after the first", [[{}, stats.reconnects]]);
  counter("feed_gaps_total", "Gaps opened; those of unknown start only where older ticks are stored", [[
    {},
    stats.gaps,
  ]]);
  counter("feed_ticks_sent_total", "Ticks confirmed", perSink.map(([sink, { sent }]) => [{ sink }, sent]));
  counter("feed_ticks_dropped_total", "Shed as the queue was full", perSink.map(([sink, s]) => [{ sink }, s.dropped]));
  counter("feed_ticks_lost_total", "Taken and never confirmed", perSink.map(([sink, { lost }]) => [{ sink }, lost]));
  counter("feed_gap_records_sent_total", "Gaps confirmed", perSink.map(([sink, s]) => [{ sink }, s.gapsSent]));
  counter("feed_sink_failures_total", "Failed writes", perSink.map(([sink, { failures }]) => [{ sink }, failures]));

  gauge("feed_link_up", "1 while frames come", [[{}, source.link === "open" ? 1 : 0]]);
  gauge(
    "feed_exchange_delay_seconds",
    "How long the exchange's last heartbeat was on its way, by both clocks",
    source.delaySeconds === undefined ? [] : [[{}, source.delaySeconds]],
  );
  gauge("feed_queue_depth", "Events that wait", sinks.map((sink) => [{ sink: sink.name }, sink.queueDepth]));
  gauge("feed_queue_capacity", "Events that may wait", sinks.map((sink) => [{ sink: sink.name }, sink.queueCapacity]));
  gauge(
    "feed_sink_up",
    "1 while writes succeed",
    sinks.map((sink) => [{ sink: sink.name }, sink.state === "ok" ? 1 : 0]),
  );
  gauge(
    "feed_gap_records_up",
    "0 while gap records, which go a way of their own, do not arrive: ticks are not held up by this",
    sinks.map((sink) => [{ sink: sink.name }, sink.gapsTrouble === undefined ? 1 : 0]),
  );
  gauge(
    "feed_tick_age_seconds",
    "Age of the product's last trade: how old it was when it arrived, plus the time since",
    source.products.flatMap(({ product, ageSeconds }): [Labels, number][] =>
      ageSeconds === undefined ? [] : [[{ product }, ageSeconds]]
    ),
  );
  gauge(
    "feed_tick_time_seconds",
    "Exchange's time of the product's newest tick, unix seconds",
    source.products.flatMap(({ product, time }): [Labels, number][] => time === undefined ? [] : [[{ product }, time]]),
  );
  gauge(
    "feed_product_state",
    "1 for the state the product is in",
    source.products.map(({ product, state }) => [{ product, state }, 1]),
  );
  gauge("feed_resident_memory_bytes", "Memory of the process", [[{}, Deno.memoryUsage().rss]]);

  // prom-client's own histogram cannot be given counts that were counted elsewhere
  const delays: [string, Delays][] = [
    ["arrival", stats.arrival],
    ...perSink.map(([sink, s]): [string, Delays] => [sink, s.delay]),
  ];
  registry.registerMetric(
    {
      name: "feed_tick_delay_seconds",
      get: () =>
        Promise.resolve({
          name: "feed_tick_delay_seconds",
          help: "arrival: from the exchange's time to our receipt; by sink: from receipt to confirmation",
          type: "histogram",
          aggregator: "sum",
          values: delays.flatMap(([stage, delay]) => histogram(stage, delay)),
        }),
      reset: () => {},
    } as unknown as prom.Metric<string>,
  );
  return await registry.metrics();
}

function histogram(stage: string, { counts, sum }: Delays): unknown[] {
  let total = 0;
  const buckets = counts.map((count, i) => {
    total += count;
    return {
      metricName: "feed_tick_delay_seconds_bucket",
      labels: { stage, le: DELAY_BUCKETS[i] ?? "+Inf" },
      value: total,
    };
  });
  return [
    ...buckets,
    { metricName: "feed_tick_delay_seconds_sum", labels: { stage }, value: sum },
    { metricName: "feed_tick_delay_seconds_count", labels: { stage }, value: total },
  ];
}
