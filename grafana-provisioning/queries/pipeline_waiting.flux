// How much waits, the maximum of each window, one series per queue: in the producer for each sink, in Telegraf for InfluxDB. Null if
// unknown.
queues = feed(field: "feed_queue_depth")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({_time: r._time, queue: "producer, for " + r.sink, _value: r._value}))

buffer = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "internal_write" and r._field == "buffer_size" and r.alias == "records")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({_time: r._time, queue: "Telegraf, for InfluxDB", _value: float(v: r._value)}))

union(tables: [queues, buffer])
  |> group(columns: ["queue", "_time"])
  |> sum()
  |> group(columns: ["queue"])
  |> withNulls()
  |> keep(columns: ["_time", "_value", "queue"])
  |> sort(columns: ["_time"])
