// The declared gaps of all products that overlap the time range, the newest first.
spans
  |> map(
    fn: (r) => ({
      begin: r.begin,
      end: r.end,
      product: r.product,
      reason: r.reason,
      seconds: float(v: int(v: r.end) - int(v: r.begin)) / 1000000000.0,
      dropped: r.dropped,
      state: if not r.to_known then "still open" else if not r.from_known then "start unknown" else "",
    }),
  )
  |> sort(columns: ["begin", "product"], desc: true)
