// One row per stage with its delay in seconds. `exchange`: from the exchange to the producer, the fastest heartbeat. `kafka`: until
// Kafka acknowledges, the 95th percentile. `stored`: for how long a tick has been known that InfluxDB does not have; left out while
// Kafka is down, which has its own alert. Of several producers the slowest counts.
exchange = feed(field: "feed_exchange_delay_seconds")
  |> min()
  |> group()
  |> max()
  |> map(fn: (r) => ({stage: "exchange", _value: r._value}))

kafka = feed(field: "feed_tick_delay_seconds_bucket")
  |> filter(fn: (r) => r.stage == "kafka")
  |> risen()
  |> sum()
  // the sum of a single sample is null
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
