// One row: change, high and low in the time range, seconds of it without data, seconds since the newest tick of the last day.
prices = (start, stop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == "${product}")

inRange = (name, fn) => prices(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> fn()
  |> map(fn: (r) => ({product: r.product, _field: name, _value: r._value}))

age = prices(start: -1d, stop: now())
  |> last()
  |> map(fn: (r) => ({product: r.product, _field: "age", _value: float(v: int(v: now()) - int(v: r._time)) / 1000000000.0}))

// Gaps may overlap, so only the part after the end of the earlier ones counts.
missing = spans
  |> sort(columns: ["begin"])
  |> reduce(
    identity: {until: int(v: v.timeRangeStart), missing: 0},
    fn: (r, accumulator) => {
      begin = if int(v: r.begin) > accumulator.until then int(v: r.begin) else accumulator.until
      end = int(v: earlier(a: r.end, b: v.timeRangeStop))
      return if end > begin then {until: end, missing: accumulator.missing + end - begin} else accumulator
    },
  )
  |> map(fn: (r) => ({product: "${product}", _field: "missing", _value: float(v: r.missing) / 1000000000.0}))

union(tables: [
  inRange(name: "first", fn: first),
  inRange(name: "last", fn: last),
  inRange(name: "high", fn: max),
  inRange(name: "low", fn: min),
  age,
  missing,
])
  |> group()
  |> pivot(rowKey: ["product"], columnKey: ["_field"], valueColumn: "_value")
  |> map(
    fn: (r) => ({
      change: r.last / r.first - 1.0,
      high: r.high,
      low: r.low,
      missing: if exists r.missing then r.missing else 0.0,
      age: r.age,
    }),
  )
