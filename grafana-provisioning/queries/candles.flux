// One row per window: _time (its start), open, high, low, close, ticks; prices are null in a window without ticks.
import "date"

span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)

ticks = (start, stop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == "${product}")

// `auto` gives 60 to 120 candles, each with at least six samples. With a sample every 5 s that takes 30 s; it may be shorter if ticks
// are more frequent. In a range of more than an hour no candle is that short anyway.
shortest = () => {
  counted = ticks(start: v.timeRangeStart, stop: v.timeRangeStop) |> count() |> findColumn(fn: (key) => true, column: "_value")
  six = if length(arr: counted) > 0 then 6 * span / counted[0] else span
  return if six > int(v: 15s) then 30s else if six > int(v: 10s) then 15s else if six > int(v: 5s) then 10s else 5s
}
auto = () => {
  least = int(v: if span > int(v: 1h) then 30s else shortest())
  enough = (every) => int(v: every) >= least and int(v: every) * 120 >= span
  return if enough(every: 5s) then 5s
    else if enough(every: 10s) then 10s
    else if enough(every: 15s) then 15s
    else if enough(every: 30s) then 30s
    else if enough(every: 1m) then 1m
    else if enough(every: 2m) then 2m
    else if enough(every: 3m) then 3m
    else if enough(every: 5m) then 5m
    else if enough(every: 10m) then 10m
    else if enough(every: 15m) then 15m
    else if enough(every: 30m) then 30m
    else if enough(every: 1h) then 1h
    else if enough(every: 2h) then 2h
    else if enough(every: 4h) then 4h
    else if enough(every: 8h) then 8h
    else if enough(every: 12h) then 12h
    else 1d
}

// The chosen interval, or a longer one if the panel has no room for so many candles.
chosen = if "${Interval}" == "auto" then auto() else duration(v: "${Interval}")
every = if int(v: chosen) > int(v: v.windowPeriod) then chosen else v.windowPeriod

// Whole windows only: a part of a window would be a candle with a wrong open or close.
start = date.truncate(t: v.timeRangeStart, unit: every)
stop = date.add(d: every, to: date.truncate(t: date.sub(d: 1ns, from: v.timeRangeStop), unit: every))

// One read per aggregate, each pushed down to the storage engine: with a table shared between the calls, or an `if` in the filter,
// InfluxDB would read every tick instead.
column = (name, fn) => ticks(start: start, stop: stop)
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
