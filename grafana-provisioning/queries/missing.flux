// Put after the gap spans of all products. `missing`: one table per product with gaps, with their number and the seconds of the time
// range that they cover. Gaps may overlap, so only the part after the end of the earlier ones counts.
missing = spans
  |> group(columns: ["product"])
  |> sort(columns: ["begin"])
  |> reduce(
    identity: {until: int(v: v.timeRangeStart), covered: 0, gaps: 0},
    fn: (r, accumulator) => {
      begin = if int(v: r.begin) > accumulator.until then int(v: r.begin) else accumulator.until
      end = int(v: earlier(a: r.end, b: v.timeRangeStop))
      return {
        until: if end > accumulator.until then end else accumulator.until,
        covered: if end > begin then accumulator.covered + end - begin else accumulator.covered,
        gaps: accumulator.gaps + 1,
      }
    },
  )
  |> map(fn: (r) => ({product: r.product, gaps: float(v: r.gaps), missing: float(v: r.covered) / 1000000000.0}))

// Seconds.
length = float(v: int(v: v.timeRangeStop) - int(v: v.timeRangeStart)) / 1000000000.0
