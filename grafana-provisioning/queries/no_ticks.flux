// How many ticks came, of all products together: one number, and no row at all when there is none.
from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> count()
  |> group()
  |> sum()
