// How often each product was recently stalled: its heartbeats show trades for which no tick arrived. No row if it was not, or if
// another producer receives its ticks.
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
