// The variable `product`: the products with ticks in the time range, in the day before it or since then, BTC-USD first. Not
// `schema.tagValues`, which reads whole shards: a product that was removed would stay for a week.
import "date"

from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 1d, from: v.timeRangeStart))
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> last()
  |> group()
  |> map(fn: (r) => ({rank: if r.product == "BTC-USD" then 0 else 1, _value: r.product}))
  |> sort(columns: ["rank", "_value"])
  |> keep(columns: ["_value"])
