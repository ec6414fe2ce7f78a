// One row: how many decimals the prices of the product have needed in the time range.
prices = () => from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == "${product}")

// Thirty prices, the highest and the lowest are enough; to examine every price, InfluxDB would have to read each one.
every = duration(v: (int(v: v.timeRangeStop) - int(v: v.timeRangeStart)) / 30)
union(tables: [
  prices() |> aggregateWindow(every: every, fn: last, createEmpty: false),
  prices() |> max(),
  prices() |> min(),
])
  |> map(fn: (r) => ({decimals: neededFor(price: r._value)}))
  |> group()
  |> max(column: "decimals")
