// How each product was, the worst of each window, as a number. A table each.
feed(field: "feed_product_state")
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({_time: r._time, product: r.product, _value: numberOf(state: r.state)}))
  |> group(columns: ["product", "_time"])
  |> max()
  |> group(columns: ["product"])
  |> sort(columns: ["_time"])
