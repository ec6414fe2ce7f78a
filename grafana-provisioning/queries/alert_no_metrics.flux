// How often the producer was asked and answered: one number, and no row at all when it never did.
feed(field: "feed_link_up")
  |> group()
  |> count()
  |> keep(columns: ["_value"])
