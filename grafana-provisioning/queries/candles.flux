// One row per window: _time (its start), open, high, low, close, ticks; prices are null where no tick came.
import "date"

span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)

ticks = (start, stop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == "${product}")

// `auto` gives 60 to 120 candles, but none with less than six samples. Samples come each 5 s, so it needs 30 s; where ticks come more
// often it may be shorter. In more than an hour no candle is that short anyway.
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

// The chosen interval; longer than that if the panel has no room for so many.
wish = if "${Interval}" == "auto" then auto() else duration(v: "${Interval}")
every = if int(v: wish) > int(v: v.windowPeriod) then wish else v.windowPeriod

// Whole windows only: half a window would be a candle with a false open or a false close.
start = date.truncate(t: v.timeRangeStart, unit: every)
stop = date.add(d: every, to: date.truncate(t: date.sub(d: 1ns, from: v.timeRangeStop), unit: every))

// One read per aggregate, each done by the storage engine: tables shared between the calls, or an `if` in the filter, would
// fetch every tick instead.
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
