// Put after feed.flux. `unstored`, one table: for each product, for how many seconds the producer has reported a tick that InfluxDB
// does not have; 0 if it has all, so always 0 for a quiet product. No row for a producer that has not answered for a minute, unless a
// tick that it reported before is missing.
import "date"
import "regexp"

// Only ticks of the last day: the exchange first sends the last trade of a product, however old.
oldest = date.sub(d: 1d, from: v.timeRangeStop)

reported = feed(field: "feed_tick_time_seconds", start: date.sub(d: 10m, from: v.timeRangeStop))
  |> filter(fn: (r) => int(v: r._value) > int(v: oldest) / 1000000000)
  // records may be rounded to whole seconds
  |> map(fn: (r) => ({product: r.product, _time: r._time, tick: int(v: r._value)}))

// The product as the producer names it, without the exchange as a prefix. The time 0 sorts it before all that was reported.
newest = from(bucket: v.defaultBucket)
  |> range(start: oldest, stop: date.add(d: 1h, to: v.timeRangeStop))
  |> filter(fn: (r) => r._measurement == "kafka_consumer" and r._field == "price")
  |> last()
  |> map(fn: (r) => ({
    product: regexp.replaceAllString(r: /^[a-z0-9_]+:/, v: r.product, t: ""),
    _time: 1970-01-01T00:00:00Z,
    tick: int(v: r._time) / 1000000000,
  }))

// Counted from the first sample that reported a tick which is not stored.
unstored = union(tables: [newest, reported])
  |> group(columns: ["product"])
  |> sort(columns: ["_time"])
  |> reduce(
    identity: {stored: 0, since: 0, reported: 0},
    fn: (r, accumulator) => {
      isStored = int(v: r._time) == 0
      return {
        stored: if isStored then r.tick else accumulator.stored,
        reported: if isStored then accumulator.reported else int(v: r._time),
        since: if not isStored and accumulator.since == 0 and r.tick > accumulator.stored then int(v: r._time) else accumulator.since,
      }
    },
  )
  |> filter(fn: (r) => r.since > 0 or r.reported > int(v: date.sub(d: 1m, from: v.timeRangeStop)))
  |> map(fn: (r) => ({
    product: r.product,
    _value: if r.since == 0 then 0.0 else float(v: int(v: v.timeRangeStop) - r.since) / 1000000000.0,
  }))
  |> group()
