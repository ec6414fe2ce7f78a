// One row per stage with the seconds that it takes at least: `exchange` to us by heartbeats, of which the fastest counts; us to
// `kafka`, 95 of 100 ticks are faster; and `stored`, since when a tick is known that InfluxDB lacks. That last one is left out
// while Kafka is away, which has an alert of its own. Of several producers the slowest.
exchange = feed(field: "feed_exchange_delay_seconds")
  |> min()
  |> group()
  |> max()
  |> map(fn: (r) => ({stage: "exchange", _value: r._value}))

kafka = feed(field: "feed_tick_delay_seconds_bucket")
  |> filter(fn: (r) => r.stage == "kafka")
  |> risen()
  |> sum()
  // the sum of a producer that was asked only once is null
  |> filter(fn: (r) => exists r._value)
  |> map(fn: (r) => ({url: r.url, le: float(v: r.le), _value: r._value}))
  |> group(columns: ["url"])
  |> sort(columns: ["le"])
  |> histogramQuantile(quantile: 0.95, onNonmonotonic: "drop")
  |> filter(fn: (r) => exists r._value)
  |> group()
  |> max()
  |> map(fn: (r) => ({stage: "kafka", _value: r._value}))

up = feed(field: "feed_sink_up")
  |> filter(fn: (r) => r.sink == "kafka")
  |> group()
  |> min()
  |> findColumn(fn: (key) => true, column: "_value")
isUp = length(arr: up) == 0 or up[0] > 0.0

stored = unstored
  |> max()
  |> filter(fn: (r) => isUp)
  |> map(fn: (r) => ({stage: "stored", _value: r._value}))

union(tables: [exchange, kafka, stored])
  |> group()
