// One row per place with the ticks that were given up there: `queue` was full, `kafka` refused them, `telegraf` was full or
// InfluxDB refused them.
total = (tables=<-, place) => tables
  |> risen()
  |> map(fn: (r) => ({_value: float(v: r._value)}))
  |> group()
  |> sum()
  |> map(fn: (r) => ({place: place, _value: r._value}))

union(tables: [
  feed(field: "feed_ticks_dropped_total") |> filter(fn: (r) => r.sink == "kafka") |> total(place: "queue"),
  feed(field: "feed_ticks_lost_total") |> filter(fn: (r) => r.sink == "kafka") |> total(place: "kafka"),
  from(bucket: v.defaultBucket)
    |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
    |> filter(
      fn: (r) => r._measurement == "internal_write" and r.alias == "records"
        and (r._field == "metrics_dropped" or r._field == "metrics_rejected"),
    )
    |> total(place: "telegraf"),
])
  |> group()
