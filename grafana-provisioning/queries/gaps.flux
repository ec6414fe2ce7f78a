// Gaps as annotations: Grafana draws a region for each row with time and timeEnd, if the table has no group key.
spans
  |> map(
    fn: (r) => ({
      time: r.begin,
      timeEnd: r.end,
      text: "No data for " + r.product + ": " + r.reason
        + (if r.dropped > 0 then ", " + string(v: r.dropped) + " ticks known to be lost" else "")
        + (if r.from_known then "" else ", start unknown")
        + (if r.to_known then "" else ", still open"),
      tags: "gap," + r.reason,
    }),
  )
