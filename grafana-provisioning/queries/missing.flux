// Stands after the gap spans of all products. `missing`: a table per product that has one, with the number of its gaps in the
// time range and the seconds of it that they cover. They may overlap, so each begins at the earliest where those before it ended.
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
