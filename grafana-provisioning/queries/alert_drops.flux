// One row per stage with the ticks that were dropped or lost there: the `queue` was full, `kafka` refused them, the buffer of
// `telegraf` was full or InfluxDB refused them.
total = (tables=<-, stage) => tables
  |> risen()
  |> map(fn: (r) => ({_value: float(v: r._value)}))
  |> group()
  |> sum()
  |> map(fn: (r) => ({stage: stage, _value: r._value}))

union(tables: [
  feed(field: "feed_ticks_dropped_total") |> filter(fn: (r) => r.sink == "kafka") |> total(stage: "queue"),
  feed(field: "feed_ticks_lost_total") |> filter(fn: (r) => r.sink == "kafka") |> total(stage: "kafka"),
  from(bucket: v.defaultBucket)
    |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
    |> filter(
      fn: (r) => r._measurement == "internal_write" and r.alias == "records"
        and (r._field == "metrics_dropped" or r._field == "metrics_rejected"),
    )
    |> total(stage: "telegraf"),
])
  |> group()
