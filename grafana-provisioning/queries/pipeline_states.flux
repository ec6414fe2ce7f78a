// How each product was, the worst of each window, as a number. A table each. Where several producers follow it, the best of them:
// one is enough.
feed(field: "feed_product_state")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({_time: r._time, product: r.product, url: r.url, _value: numberOf(state: r.state)}))
  |> group(columns: ["product", "_time", "url"])
  |> max()
  |> group(columns: ["product", "_time"])
  |> min()
  |> group(columns: ["product"])
  |> sort(columns: ["_time"])
