// One row per product: last price and change in the time range, seconds since its newest tick of the last day.
prices = (start, stop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")

inRange = (name, fn) => prices(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> fn()
  |> map(fn: (r) => ({product: r.product, _field: name, _value: r._value}))

age = prices(start: -1d, stop: now())
  |> last()
  |> map(fn: (r) => ({product: r.product, _field: "age", _value: float(v: int(v: now()) - int(v: r._time)) / 1000000000.0}))

union(tables: [inRange(name: "first", fn: first), inRange(name: "last", fn: last), age])
  |> group()
  |> pivot(rowKey: ["product"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({product: r.product, last: r.last, change: r.last / r.first - 1.0, age: r.age}))
  |> sort(columns: ["product"])
