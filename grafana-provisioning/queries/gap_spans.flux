// Put before gaps.flux and summary.flux. `spans`: declared gaps of the product that overlap the time range, with begin and end as
// times. An open gap ends at the end of the range; a gap without a known start begins when it was declared.
import "date"

at = (seconds) => time(v: int(v: seconds * 1000000.0 + 0.5) * 1000)
earlier = (a, b) => if a < b then a else b

// A gap is stored at the time when it was opened. That may be long before the range, or after it: a program that was not running
// declares its gap later, and its clock may have been ahead.
declared = from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 30d, from: v.timeRangeStart), stop: date.add(d: 30d, to: now()))
  |> filter(fn: (r) => r._measurement == "feed_gap" and r.product == "${product}")
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> filter(fn: (r) => r.missed)
  |> map(fn: (r) => ({r with end: if exists r.to and r.to_known then at(seconds: r.to) else v.timeRangeStop}))
  |> map(fn: (r) => ({r with begin: if exists r.from and r.from_known then at(seconds: r.from) else earlier(a: r._time, b: r.end)}))
  |> filter(fn: (r) => r.begin < v.timeRangeStop and r.end >= v.timeRangeStart)
  |> map(fn: (r) => ({r with isGap: 1, since: 0}))

// At the very first start nothing can be missing, but the program cannot know that it is the first: a gap without a known start
// counts only if there is an older tick. Only for such a gap is the whole history searched.
unknown = declared
  |> filter(fn: (r) => not r.from_known)
  |> findColumn(fn: (key) => true, column: "product")
firstTicks = from(bucket: v.defaultBucket)
  |> range(start: if length(arr: unknown) > 0 then time(v: 0) else date.sub(d: 1s, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price" and r.product == "${product}")
  |> first()
  |> map(fn: (r) => ({r with isGap: 0, since: int(v: r._time)}))

// The running sum gives each gap the time of the oldest tick of its product, or 0. Records may be rounded to whole seconds.
spans = union(tables: [firstTicks, declared])
  |> group(columns: ["product"])
  |> sort(columns: ["isGap"])
  |> cumulativeSum(columns: ["since"])
  |> group()
  |> filter(fn: (r) => r.isGap == 1)
  |> filter(fn: (r) => r.from_known or (r.since > 0 and r.since + int(v: 1s) < int(v: r.begin)))
