// How many frames the producers rejected, and how many records Telegraf rejected, in each window; one series per reason.
frames = feed(field: "feed_ticks_rejected_total")
  |> risen()
  |> filter(fn: (r) => r._value > 0.0)
  |> map(fn: (r) => ({_time: r._time, reason: "frame: " + r.reason, _value: r._value}))

records = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "ticker_rejected" and r._field == "reason")
  |> map(fn: (r) => ({_time: r._time, reason: "record: " + r._value, _value: 1.0}))

union(tables: [frames, records])
  |> group(columns: ["reason"])
  |> sort(columns: ["_time"])
  |> window(every: v.windowPeriod)
  |> sum()
  |> group(columns: ["reason"])
  |> map(fn: (r) => ({_time: r._start, reason: r.reason, _value: r._value}))
