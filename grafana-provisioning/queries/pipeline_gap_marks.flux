// Gaps of all products as annotations. Gaps that overlap are one region: regions on top of each other would hide the lines. `depth`
// is how many gaps are open after each begin and end; `region` counts the times when a gap begins while none is open.
begins = spans
  |> map(fn: (r) => ({_time: r.begin, step: 1, isEnd: 0, what: r.product + ": " + r.reason}))

ends = spans
  |> map(fn: (r) => ({_time: r.end, step: -1, isEnd: 1, what: ""}))

// How many gaps a region lists.
most = 10

union(tables: [begins, ends])
  |> group()
  |> sort(columns: ["_time", "isEnd", "what"])
  |> map(fn: (r) => ({r with depth: r.step}))
  |> cumulativeSum(columns: ["depth"])
  |> map(fn: (r) => ({r with region: if r.isEnd == 0 and r.depth == 1 then 1 else 0}))
  |> cumulativeSum(columns: ["region"])
  |> group(columns: ["region"])
  |> sort(columns: ["_time", "isEnd", "what"])
  |> reduce(
    identity: {begin: 0, end: 0, gaps: 0, named: ""},
    fn: (r, accumulator) => ({
      begin: if accumulator.gaps == 0 then int(v: r._time) else accumulator.begin,
      end: int(v: r._time),
      gaps: accumulator.gaps + 1 - r.isEnd,
      named: if r.isEnd == 1 or accumulator.gaps >= most then accumulator.named
        else if accumulator.gaps == 0 then r.what
        else accumulator.named + ", " + r.what,
    }),
  )
  |> group()
  |> map(
    fn: (r) => ({
      time: time(v: r.begin),
      timeEnd: time(v: r.end),
      text: "No data for " + r.named + (if r.gaps > most then " and " + string(v: r.gaps - most) + " more" else ""),
      tags: "gap",
    }),
  )
