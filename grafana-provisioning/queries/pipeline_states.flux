// The worst state of each product in each window, as a number; null if no producer reported it. One table per product. If several
// producers follow a product, the best of them counts.
import "date"

feed(field: "feed_product_state")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({_time: r._time, product: r.product, url: r.url, _value: numberOf(state: r.state)}))
  |> group(columns: ["product", "_time", "url"])
  |> max()
  |> group(columns: ["product", "_time"])
  |> min()
  |> group(columns: ["product"])
  |> withNulls()
  // the newest windows may still get their sample
  |> filter(fn: (r) => exists r._value or r._time < date.sub(d: 30s, from: v.timeRangeStop))
  // any other column would become a second bar
  |> keep(columns: ["_time", "_value", "product"])
  |> group(columns: ["product"])
  |> sort(columns: ["_time"])
