// One row per product: last price (as text with as many decimals as its prices have needed, since a column has one number of
// decimals for all products) and change in the time range, seconds since its newest tick of the last day.
prices = (start, stop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")

inRange = (name, fn) => prices(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> fn()
  |> map(fn: (r) => ({product: r.product, _field: name, _value: r._value}))

age = prices(start: -1d, stop: now())
  |> last()
  |> map(fn: (r) => ({product: r.product, _field: "age", _value: float(v: int(v: now()) - int(v: r._time)) / 1000000000.0}))

// Thirty prices tell it; the last price is one of them.
every = duration(v: (int(v: v.timeRangeStop) - int(v: v.timeRangeStart)) / 30)
decimals = prices(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> aggregateWindow(every: every, fn: last, createEmpty: false)
  |> map(fn: (r) => ({product: r.product, _field: "decimals", _value: float(v: neededFor(price: r._value))}))
  |> group(columns: ["product"])
  |> max()

// 1234.5 with two decimals is 1,234.50.
shown = (price, decimals) => {
  text = string(v: price)
  own = decimalsOf(price: price)
  point = if own == 0 then strings.strlen(v: text) else strings.index(v: text, substr: ".")
  part = (from, to) => strings.substring(v: text, start: from, end: to)
  whole = if point <= 3 then part(from: 0, to: point)
    else if point <= 6 then part(from: 0, to: point - 3) + "," + part(from: point - 3, to: point)
    else if point <= 9 then part(from: 0, to: point - 6) + "," + part(from: point - 6, to: point - 3) + "," + part(from: point - 3, to: point)
    else part(from: 0, to: point - 9) + "," + part(from: point - 9, to: point - 6) + "," + part(from: point - 6, to: point - 3) + "," + part(from: point - 3, to: point)
  fraction = if own == 0 then "" else part(from: point + 1, to: point + 1 + own)
  return if decimals == 0 then whole else whole + "." + fraction + strings.repeat(v: "0", i: decimals - own)
}

union(tables: [inRange(name: "first", fn: first), inRange(name: "last", fn: last), age, decimals])
  |> group()
  |> pivot(rowKey: ["product"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({
    product: r.product,
    last: if exists r.last then shown(price: r.last, decimals: int(v: r.decimals)) else "-",
    change: r.last / r.first - 1.0,
    age: r.age,
  }))
  |> sort(columns: ["product"])
