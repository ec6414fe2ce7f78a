// How often the producer connected again: one number.
feed(field: "feed_reconnects_total")
  |> risen()
  |> group()
  |> sum()
  |> keep(columns: ["_value"])
