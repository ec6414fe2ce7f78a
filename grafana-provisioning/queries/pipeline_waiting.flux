// What waits, the most of each window, a series each: in the producer for a sink, in Telegraf for InfluxDB. Null where it is
// unknown.
queues = feed(field: "feed_queue_depth")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({_time: r._time, place: "producer, for " + r.sink, _value: r._value}))

buffer = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "internal_write" and r._field == "buffer_size" and r.alias == "records")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({_time: r._time, place: "Telegraf, for InfluxDB", _value: float(v: r._value)}))

union(tables: [queues, buffer])
  |> group(columns: ["place", "_time"])
  |> sum()
  |> group(columns: ["place"])
  |> withNulls()
  |> keep(columns: ["_time", "_value", "place"])
  |> sort(columns: ["_time"])
