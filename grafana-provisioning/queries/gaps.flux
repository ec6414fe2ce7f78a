// Gaps as annotations: Grafana makes a region of each row with time and timeEnd, as long as the table has no group key.
spans
  |> map(
    fn: (r) => ({
      time: r.begin,
      timeEnd: r.end,
      text: "No data of " + r.product + ": " + r.reason
        + (if r.dropped > 0 then ", " + string(v: r.dropped) + " ticks known to be lost" else "")
        + (if r.from_known then "" else ", start unknown")
        + (if r.to_known then "" else ", still lasting"),
      tags: "gap," + r.reason,
    }),
  )
