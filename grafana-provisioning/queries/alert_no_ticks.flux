// One number: how many ticks were stored, of all products together; 1 when there were none and the exchange says that there was
// nothing to trade. 0 is what must not be.
import "array"

ticks = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> count()
  |> group()
  |> sum()

valueOf = (tables=<-) => tables
  |> findColumn(fn: (key) => true, column: "_value")

// Quiet: the link is open, heartbeats prove of a product that nothing was traded, and all that came is stored.
link = feed(field: "feed_link_up", start: date.sub(d: 1m, from: v.timeRangeStop)) |> group() |> min() |> valueOf()
proven = feed(field: "feed_product_state")
  |> filter(fn: (r) => r.state == "live" or r.state == "quiet")
  |> group()
  |> count()
  |> valueOf()
late = unstored |> max() |> valueOf()
isQuiet = length(arr: link) > 0 and link[0] > 0.0 and length(arr: proven) > 0 and (length(arr: late) == 0 or late[0] < 20.0)

union(tables: [ticks, array.from(rows: [{_value: if isQuiet then 1 else 0}])])
  |> group()
  |> sum()
