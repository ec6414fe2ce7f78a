// The last price of each window with ticks; the last row is the newest price in the range.
from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == "${product}")
  |> aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: false)
