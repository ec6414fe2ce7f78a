// How often lately each product was found stalled: the exchange trades it and does not tell us. Heartbeats tell that from a
// quiet one. No row where none was, nor where another producer hears of it.
feed(field: "feed_product_state")
  |> filter(fn: (r) => r.state == "stalled" or r.state == "live" or r.state == "quiet")
  |> count()
  |> map(fn: (r) => ({product: r.product, url: r.url, _value: if r.state == "stalled" then r._value else 0}))
  |> group(columns: ["product", "url"])
  |> sum()
  |> group(columns: ["product"])
  |> min()
  |> filter(fn: (r) => r._value > 0)
  |> keep(columns: ["product", "_value"])
  |> group()
