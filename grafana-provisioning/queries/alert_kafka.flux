// 1 when a write to Kafka was confirmed lately, 0 when none was; of several producers the worst. No row where none tells.
feed(field: "feed_sink_up")
  |> filter(fn: (r) => r.sink == "kafka")
  |> max()
  |> group()
  |> min()
  |> keep(columns: ["_value"])
