// One row per producer that was heard within the last day, by its address: how often it was asked and answered lately. One that
// is silent since nobody asks it any more has none. One row more, with 0, where Telegraf asks an address that was never heard. No
// row at all where no producer is known.
import "date"

answers = union(tables: [
  feed(field: "feed_link_up", start: date.sub(d: 1d, from: v.timeRangeStop)) |> last() |> map(fn: (r) => ({url: r.url, _value: 0})),
  feed(field: "feed_link_up") |> count() |> map(fn: (r) => ({url: r.url, _value: r._value})),
])
  |> group(columns: ["url"])
  |> sum()
  |> group()

// At each look each address gives an answer or an error. Of several Telegrafs the one with most errors.
asked = from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "internal_gather" and r.input == "prometheus" and r._field == "errors")
  |> risen()
  |> reduce(identity: {looks: 0, errors: 0}, fn: (r, accumulator) => ({
    looks: accumulator.looks + 1,
    errors: accumulator.errors + r._value,
  }))
  |> group()
  |> sort(columns: ["errors"], desc: true)
  |> limit(n: 1)

looksOf = asked |> findColumn(fn: (key) => true, column: "looks")
errorsOf = asked |> findColumn(fn: (key) => true, column: "errors")
// Of a Telegraf that tells nothing itself nobody knows whom it asks.
looks = if length(arr: looksOf) > 0 then looksOf[0] else 0
errors = if length(arr: errorsOf) > 0 then errorsOf[0] else 0

unheard = answers
  |> map(fn: (r) => ({_value: if r._value < looks then looks - r._value else 0}))
  |> sum()
  |> map(fn: (r) => ({producer: "an address that never answered", _value: 0, errors: errors - r._value}))
  // half of the looks: which of them the range still holds differs by one or two
  |> filter(fn: (r) => r.errors * 2 > looks)
  |> keep(columns: ["producer", "_value"])

union(tables: [
  answers
    |> filter(fn: (r) => r._value > 0 or looks == 0 or errors * 2 > looks)
    |> map(fn: (r) => ({producer: r.url, _value: r._value})),
  unheard,
])
  |> group()
