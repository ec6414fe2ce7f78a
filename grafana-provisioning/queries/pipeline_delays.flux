// The delay of each stage in seconds, one series each. `exchange`: from the exchange to the producer, the slowest heartbeat of each
// window. `p50`, `p95`, `p99`: percentiles until Kafka acknowledges. `stored`: from Kafka into InfluxDB, what is not read yet plus what
// waits in Telegraf (the number of waiting records divided by the rate). Of several producers the slowest counts. Null if unknown.
// A logarithmic scale has no 0, so less than a millisecond is shown as one millisecond.
exchange = feed(field: "feed_exchange_delay_seconds")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> group(columns: ["_time"])
  |> max()
  |> group()
  |> map(fn: (r) => ({_time: r._time, _field: "exchange", _value: r._value}))

// The last value of each window, which is pushed down to the storage engine: a day has 16 times 8,640 samples.
counts = feed(field: "feed_tick_delay_seconds_bucket")
  |> filter(fn: (r) => r.stage == "kafka")
  |> aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: false, timeSrc: "_start")
  |> risen()
  |> map(fn: (r) => ({_time: r._time, url: r.url, le: float(v: r.le), _value: r._value}))
  |> group(columns: ["_time", "url"])
  |> sort(columns: ["le"])
// A window without ticks has no percentiles.
quantile = (name, quantile) => counts
  |> histogramQuantile(quantile: quantile, onNonmonotonic: "drop")
  |> filter(fn: (r) => exists r._value)
  |> group(columns: ["_time"])
  |> max()
  |> group()
  |> map(fn: (r) => ({_time: r._time, _field: name, _value: r._value}))

// Of several Telegrafs the one that reads the product has the right value: the lowest.
unread = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "feed_read" and r._field == "behind_seconds")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> group(columns: ["_time", "product"])
  |> min()
  |> group(columns: ["_time"])
  |> max()
  |> group()
  |> map(fn: (r) => ({_time: r._time, _field: "unread", _value: r._value}))

waiting = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "internal_write" and r._field == "buffer_size" and r.alias == "records")
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false, timeSrc: "_start")
  |> group(columns: ["_time"])
  |> sum()
  |> group()
  |> map(fn: (r) => ({_time: r._time, _field: "waiting", _value: r._value}))

rate = feed(field: "feed_ticks_sent_total")
  |> filter(fn: (r) => r.sink == "kafka")
  |> derivative(unit: 1s, nonNegative: true)
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false, timeSrc: "_start")
  |> filter(fn: (r) => exists r._value)
  |> group(columns: ["_time"])
  |> sum()
  |> group()
  |> map(fn: (r) => ({_time: r._time, _field: "rate", _value: r._value}))

stored = union(tables: [unread, waiting, rate])
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.waiting)
  |> map(fn: (r) => ({
    _time: r._time,
    _field: "stored",
    _value: (if exists r.unread then r.unread else 0.0) + (if exists r.rate and r.rate > 0.0 then r.waiting / r.rate else 0.0),
  }))

union(tables: [
  exchange,
  quantile(name: "p50", quantile: 0.5),
  quantile(name: "p95", quantile: 0.95),
  quantile(name: "p99", quantile: 0.99),
  stored,
])
  |> map(fn: (r) => ({r with _value: if r._value < 0.001 then 0.001 else r._value}))
  |> group(columns: ["_field"])
  |> withNulls()
  |> keep(columns: ["_time", "_value", "_field"])
  |> sort(columns: ["_time"])
