// One row per producer, by its address: how often it connected again. Many that connect again once each are no storm.
feed(field: "feed_reconnects_total")
  |> risen()
  |> sum()
  // the sum of a producer that was asked only once is null
  |> filter(fn: (r) => exists r._value)
  |> map(fn: (r) => ({producer: r.url, _value: r._value}))
  |> group()
