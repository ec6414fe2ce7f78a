// One row per window: _time (its start), open, high, low, close, ticks; prices are null where no tick came.
import "date"

// The chosen interval, or for `auto` one that suits the range; longer than that if the panel has no room for so many.
span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
auto = if span <= int(v: 10m) then 5s
  else if span <= int(v: 30m) then 15s
  else if span <= int(v: 1h) then 30s
  else if span <= int(v: 3h) then 1m
  else if span <= int(v: 12h) then 5m
  else if span <= int(v: 24h) then 15m
  else if span <= int(v: 5d) then 1h
  else if span <= int(v: 20d) then 4h
  else 1d
wish = if "${Interval}" == "auto" then auto else duration(v: "${Interval}")
every = if int(v: wish) > int(v: v.windowPeriod) then wish else v.windowPeriod

// Whole windows only: half a window would be a candle with a false open or a false close.
start = date.truncate(t: v.timeRangeStart, unit: every)
stop = date.add(d: every, to: date.truncate(t: date.sub(d: 1ns, from: v.timeRangeStop), unit: every))

// One read per aggregate, each done by the storage engine: tables shared between the calls, or an `if` in the filter, would
// fetch every tick instead.
column = (name, fn) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == "${product}")
  |> aggregateWindow(every: every, fn: fn, createEmpty: true, timeSrc: "_start")
  |> toFloat()
  |> set(key: "_field", value: name)

union(tables: [
  column(name: "open", fn: first),
  column(name: "high", fn: max),
  column(name: "low", fn: min),
  column(name: "close", fn: last),
  column(name: "ticks", fn: count),
])
  |> group()
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
