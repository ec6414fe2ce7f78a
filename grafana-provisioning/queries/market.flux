// One row per product: last price and change in the time range, seconds since its newest tick of the last day. The price is text
// with as many decimals as its prices have needed, because Grafana shows all numbers of a column with the same decimals.
prices = (start, stop) => from(bucket: v.defaultBucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")

inRange = (name, fn) => prices(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> fn()
  |> map(fn: (r) => ({product: r.product, _field: name, _value: r._value}))

age = prices(start: -1d, stop: now())
  |> last()
  |> map(fn: (r) => ({product: r.product, _field: "age", _value: float(v: int(v: now()) - int(v: r._time)) / 1000000000.0}))

// Thirty prices are enough; the last price is one of them.
every = duration(v: (int(v: v.timeRangeStop) - int(v: v.timeRangeStart)) / 30)
decimals = prices(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> aggregateWindow(every: every, fn: last, createEmpty: false)
  |> map(fn: (r) => ({product: r.product, _field: "decimals", _value: float(v: neededFor(price: r._value))}))
  |> group(columns: ["product"])
  |> max()

// -1234.5 with two decimals is -1,234.50.
shown = (price, decimals) => {
  text = string(v: if price < 0.0 then -1.0 * price else price)
  own = decimalsOf(price: price)
  point = if own == 0 then strings.strlen(v: text) else strings.index(v: text, substr: ".")
  part = (from, to) => strings.substring(v: text, start: from, end: to)
  first = point - (point - 1) / 3 * 3
  whole = part(from: 0, to: first)
    + (if first < point then "," + part(from: first, to: first + 3) else "")
    + (if first + 3 < point then "," + part(from: first + 3, to: first + 6) else "")
    + (if first + 6 < point then "," + part(from: first + 6, to: point) else "")
  fraction = if own == 0 then "" else part(from: point + 1, to: point + 1 + own)
  zeros = if own < decimals then strings.repeat(v: "0", i: decimals - own) else ""
  return (if price < 0.0 then "-" else "") + whole + (if decimals > 0 then "." + fraction + zeros else "")
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
