// One row per source: how many frames of the `exchange` the producer rejected, and how many records of the `topic` Telegraf could
// not read.
frames = feed(field: "feed_ticks_rejected_total")
  |> risen()
  |> group()
  |> sum()
  // the sum of a single sample is null
  |> filter(fn: (r) => exists r._value)
  |> map(fn: (r) => ({source: "exchange", _value: r._value}))

records = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "ticker_rejected" and r._field == "reason")
  |> count()
  |> group()
  |> sum()
  |> map(fn: (r) => ({source: "topic", _value: float(v: r._value)}))

union(tables: [frames, records])
  |> group()
