// How often the producers reconnected in each window.
feed(field: "feed_reconnects_total")
  |> risen()
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: true, timeSrc: "_start")
  |> group(columns: ["_time"])
  |> sum()
  |> group()
  |> keep(columns: ["_time", "_value"])
  |> sort(columns: ["_time"])
