// Ticks a second at three places, a series each: received from the exchange, acknowledged by Kafka, stored in InfluxDB. What is
// stored counts at its own time: a line that is back after an outage shows that nothing was lost. Null where no producer answered.
import "date"

// The difference first, windows after: the other way round those that hold two samples and those that hold one would differ.
rate = (tables=<-, name) => tables
  |> derivative(unit: 1s, nonNegative: true)
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: true, timeSrc: "_start")
  |> group(columns: ["_time"])
  |> sum()
  |> group()
  |> map(fn: (r) => ({_time: r._time, _field: name, _value: r._value}))

// Whole windows only: a cut one would look like a loss.
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
