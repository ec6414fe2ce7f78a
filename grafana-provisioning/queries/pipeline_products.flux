// One row per product: its state (numbered as in states.flux) and the age of its last tick at the end of the time range, for how long
// a tick has been known that is not stored, and its gaps in the range. -1 is unknown; as a state, -1 is a product that no producer
// follows, and -2 a product whose producer does not answer. If several producers follow it, or did a moment ago, the best state counts.
recently = date.sub(d: 1m, from: v.timeRangeStop)

state = feed(field: "feed_product_state", start: recently)
  |> last()
  |> group(columns: ["product", "url"])
  |> sort(columns: ["_time"])
  |> tail(n: 1)
  |> map(fn: (r) => ({product: r.product, _field: "state", _value: float(v: numberOf(state: r.state))}))
  |> group(columns: ["product", "_field"])
  |> min()

answering = feed(field: "feed_link_up", start: recently)
  |> group()
  |> distinct(column: "url")
  |> findColumn(fn: (key) => true, column: "_value")

silent = feed(field: "feed_product_state")
  |> last()
  |> group(columns: ["product"])
  |> sort(columns: ["_time"])
  |> tail(n: 1)
  |> filter(fn: (r) => not contains(value: r.url, set: answering))
  |> map(fn: (r) => ({product: r.product, _field: "silent", _value: 1.0}))

age = feed(field: "feed_tick_age_seconds", start: recently)
  |> last()
  // plus the time since that sample
  |> map(fn: (r) => ({
    product: r.product,
    _field: "age",
    _value: r._value + float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0,
  }))
  |> group(columns: ["product", "_field"])
  |> min()

notStored = unstored
  |> map(fn: (r) => ({product: r.product, _field: "unstored", _value: r._value}))

gaps = missing
  |> map(fn: (r) => ({product: r.product, _field: "gaps", _value: r.gaps}))

absent = missing
  |> map(fn: (r) => ({product: r.product, _field: "missing", _value: r.missing}))

union(tables: [state, silent, age, notStored, gaps, absent])
  |> group()
  |> pivot(rowKey: ["product"], columnKey: ["_field"], valueColumn: "_value")
  |> map(fn: (r) => ({
    product: r.product,
    state: if exists r.state then r.state else if exists r.silent then -2.0 else -1.0,
    age: if exists r.age then r.age else -1.0,
    unstored: if exists r.unstored then r.unstored else -1.0,
    gaps: if exists r.gaps then r.gaps else 0.0,
    missing: if exists r.missing then r.missing else 0.0,
    coverage: if exists r.missing then 1.0 - r.missing / length else 1.0,
  }))
  |> sort(columns: ["product"])
