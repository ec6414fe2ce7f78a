// The mean price of each window, null in a window without ticks, one table per product: the sparklines of the market table.
from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: true)
  |> keep(columns: ["_time", "_value", "product"])
