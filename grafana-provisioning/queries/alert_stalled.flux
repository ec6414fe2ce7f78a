// How often lately each product was found stalled: the exchange trades it and does not tell us. Heartbeats tell that from a
// quiet one. No row where none was.
feed(field: "feed_product_state")
  |> filter(fn: (r) => r.state == "stalled")
  |> group(columns: ["product"])
  |> count()
  |> keep(columns: ["product", "_value"])
  |> group()
