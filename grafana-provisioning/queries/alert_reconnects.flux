// One row per producer, by its address: how often it reconnected. Many producers that reconnect once each are not a storm.
feed(field: "feed_reconnects_total")
  |> risen()
  |> sum()
  // the sum of a single sample is null
  |> filter(fn: (r) => exists r._value)
  |> map(fn: (r) => ({producer: r.url, _value: r._value}))
  |> group()
