// Stands before gaps.flux and summary.flux. `spans`: declared gaps of the product that touch the time range, with begin and end
// as times. One that still lasts reaches to the end of the range; one that does not know its start begins where it was declared.
import "date"

at = (seconds) => time(v: int(v: seconds * 1000000.0 + 0.5) * 1000)
earlier = (a, b) => if a < b then a else b

// A gap is stored under the time when it was opened. That may be long before the range, and after it too: a program that did
// not run says so later.
spans = from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 30d, from: v.timeRangeStart))
  |> filter(fn: (r) => r._measurement == "feed_gap" and r.product == "${product}")
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> filter(fn: (r) => r.missed)
  |> map(fn: (r) => ({r with end: if exists r.to and r.to_known then at(seconds: r.to) else v.timeRangeStop}))
  |> map(fn: (r) => ({r with begin: if exists r.from and r.from_known then at(seconds: r.from) else earlier(a: r._time, b: r.end)}))
  |> filter(fn: (r) => r.begin < v.timeRangeStop and r.end >= v.timeRangeStart)
