// 1 if Kafka acknowledged a write recently, else 0; of several producers the worst. No row without metrics.
feed(field: "feed_sink_up")
  |> filter(fn: (r) => r.sink == "kafka")
  |> max()
  |> group()
  |> min()
  |> keep(columns: ["_value"])
