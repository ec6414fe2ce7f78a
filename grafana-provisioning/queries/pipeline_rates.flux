// Ticks per second at three stages, one series each: received from the exchange, acknowledged by Kafka, stored in InfluxDB. Stored
// ticks count at their own time, so after an outage the line is filled in if nothing was lost. Null if no producer answered.
import "date"

// The derivative first, then the windows: the other way round, windows with one sample and windows with two would differ.
rate = (tables=<-, name) => tables
  |> derivative(unit: 1s, nonNegative: true)
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: true, timeSrc: "_start")
  |> group(columns: ["_time"])
  |> sum()
  |> group()
  |> map(fn: (r) => ({_time: r._time, _field: name, _value: r._value}))

// Whole windows only: a part of a window would look like a loss.
stored = from(bucket: v.defaultBucket)
  |> range(
    start: date.truncate(t: v.timeRangeStart, unit: v.windowPeriod),
    stop: date.truncate(t: v.timeRangeStop, unit: v.windowPeriod),
  )
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> aggregateWindow(every: v.windowPeriod, fn: count, createEmpty: true, timeSrc: "_start")
  |> group(columns: ["_time"])
  |> sum()
  |> group()
  |> map(fn: (r) => ({
    _time: r._time,
    _field: "stored",
    _value: float(v: r._value) * 1000000000.0 / float(v: int(v: v.windowPeriod)),
  }))

union(tables: [
  feed(field: "feed_ticks_received_total") |> rate(name: "received"),
  feed(field: "feed_ticks_sent_total") |> filter(fn: (r) => r.sink == "kafka") |> rate(name: "acknowledged"),
  stored,
])
  |> group(columns: ["_field"])
  |> sort(columns: ["_time"])
