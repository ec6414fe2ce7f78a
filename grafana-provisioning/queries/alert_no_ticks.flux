// One number: how many ticks were stored for all products together, plus 1 if the market is quiet. 0 is an outage.
import "array"

ticks = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> count()
  |> group()
  |> sum()

valueOf = (tables=<-) => tables
  |> findColumn(fn: (key) => true, column: "_value")

// Quiet: the connection is open, everything received is stored, and heartbeats prove for a product that nothing was traded; or
// every product is waiting and none is stalled. A product without its own heartbeat that is rarely traded waits for hours.
link = feed(field: "feed_link_up", start: date.sub(d: 1m, from: v.timeRangeStop)) |> group() |> min() |> valueOf()
// 2: proven, 1: stalled, 0: waiting; the highest of all products.
known = feed(field: "feed_product_state")
  |> filter(fn: (r) => r.state != "refused")
  |> map(fn: (r) => ({
    // without a column of the input Flux returns no row
    product: r.product,
    _value: if r.state == "live" or r.state == "quiet" then 2 else if r.state == "stalled" then 1 else 0,
  }))
  |> group()
  |> max()
  |> valueOf()
late = unstored |> max() |> valueOf()
isQuiet = length(arr: link) > 0 and link[0] > 0.0 and length(arr: known) > 0 and known[0] != 1
  and (length(arr: late) == 0 or late[0] < 20.0)

union(tables: [ticks, array.from(rows: [{_value: if isQuiet then 1 else 0}])])
  |> group()
  |> sum()
