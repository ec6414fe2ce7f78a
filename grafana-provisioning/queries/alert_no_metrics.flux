// One row per producer that has answered within the last day, by its address: how many scrapes it answered recently. A producer
// that is no longer scraped has no row. One more row, with 0, if Telegraf scrapes an address that has never answered. No row at all
// if no producer is known.
import "date"

answers = union(tables: [
  feed(field: "feed_link_up", start: date.sub(d: 1d, from: v.timeRangeStop)) |> last() |> map(fn: (r) => ({url: r.url, _value: 0})),
  feed(field: "feed_link_up") |> count() |> map(fn: (r) => ({url: r.url, _value: r._value})),
])
  |> group(columns: ["url"])
  |> sum()
  |> group()

// At each scrape every address gives an answer or an error. Of several Telegrafs, the one with the most errors counts.
scrapes = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "internal_gather" and r.input == "prometheus" and r._field == "errors")
  |> risen()
  |> reduce(identity: {count: 0, errors: 0}, fn: (r, accumulator) => ({
    count: accumulator.count + 1,
    errors: accumulator.errors + r._value,
  }))
  |> group()
  |> sort(columns: ["errors"], desc: true)
  |> limit(n: 1)

counts = scrapes |> findColumn(fn: (key) => true, column: "count")
errorCounts = scrapes |> findColumn(fn: (key) => true, column: "errors")
// Without Telegraf's own metrics it is unknown which addresses it scrapes.
count = if length(arr: counts) > 0 then counts[0] else 0
errors = if length(arr: errorCounts) > 0 then errorCounts[0] else 0

neverAnswered = answers
  |> map(fn: (r) => ({_value: if r._value < count then count - r._value else 0}))
  |> sum()
  |> map(fn: (r) => ({producer: "an address that never answered", _value: 0, errors: errors - r._value}))
  // half of the scrapes: the number of them in the range varies by one or two
  |> filter(fn: (r) => r.errors * 2 > count)
  |> keep(columns: ["producer", "_value"])

union(tables: [
  answers
    |> filter(fn: (r) => r._value > 0 or count == 0 or errors * 2 > count)
    |> map(fn: (r) => ({producer: r.url, _value: r._value})),
  neverAnswered,
])
  |> group()
