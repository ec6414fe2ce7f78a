// One row for the time range: the share that is covered (the mean of all products), gaps, reconnects, rejected frames and records,
// dropped and lost ticks; and for how long, at its end, a tick has been known that is not stored.
total = (tables=<-, name) => tables
  |> risen()
  |> sum()
  |> group()
  |> sum()
  |> map(fn: (r) => ({_field: name, _value: r._value}))

// Includes products without a gap.
products = feed(field: "feed_product_state")
  |> last()
  |> map(fn: (r) => ({product: r.product, gaps: 0.0, missing: 0.0}))

gapsOf = union(tables: [products, missing |> group()])
  |> group(columns: ["product"])

coverage = gapsOf
  |> max(column: "missing")
  |> group()
  |> mean(column: "missing")
  |> map(fn: (r) => ({_field: "coverage", _value: 1.0 - r.missing / length}))

gaps = gapsOf
  |> max(column: "gaps")
  |> group()
  |> sum(column: "gaps")
  |> map(fn: (r) => ({_field: "gaps", _value: r.gaps}))

refused = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "ticker_rejected" and r._field == "reason")
  |> count()
  |> group()
  |> sum()
  |> map(fn: (r) => ({_field: "refused", _value: float(v: r._value)}))

waiting = unstored
  |> max()
  |> map(fn: (r) => ({_field: "waiting", _value: r._value}))

or0 = (value) => if exists value then value else 0.0

union(tables: [
  coverage,
  gaps,
  feed(field: "feed_reconnects_total") |> total(name: "reconnects"),
  feed(field: "feed_ticks_rejected_total") |> total(name: "frames"),
  refused,
  feed(field: "feed_ticks_dropped_total") |> filter(fn: (r) => r.sink == "kafka") |> total(name: "dropped"),
  feed(field: "feed_ticks_lost_total") |> filter(fn: (r) => r.sink == "kafka") |> total(name: "lost"),
  waiting,
])
  |> group()
  |> map(fn: (r) => ({r with all: "all"}))
  |> pivot(rowKey: ["all"], columnKey: ["_field"], valueColumn: "_value")
  |> map(
    fn: (r) => ({
      coverage: r.coverage,
      gaps: r.gaps,
      reconnects: r.reconnects,
      rejected: or0(value: r.frames) + or0(value: r.refused),
      dropped: or0(value: r.dropped) + or0(value: r.lost),
      waiting: r.waiting,
    }),
  )
